// Incremental HTTP/1.x request parser (RFC 9112). It owns no socket and no buffer, allocates
// nothing, and can resume at every byte; how the bytes are cut never changes a verdict.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "http/chunk_decoder.h"
#include "http/error.h"
#include "http/header_fields.h"
#include "sys/limits.h"

namespace espora::http {

enum class Version : uint8_t { http_1_0, http_1_1 };

// A parsed request. The views point into the bytes given to the parse() call that returned `head`
// or `complete`; they are valid until those bytes move or change, or parse(), next() or close_gap()
// is called.
struct Request {
  std::string_view method;  // as sent; methods are case-sensitive (RFC 9110 9.1)
  std::string_view path;    // without query; of an absolute form only its path; "*" of OPTIONS *
  std::string_view body;    // set by `complete`; chunked: decoded
  uint64_t content_length = 0;  // as declared; 0 if not declared, or chunked
  Version version = Version::http_1_1;
  bool chunked = false;
  bool keep_alive = true;         // whether the connection may outlive this exchange
  bool says_keep_alive = false;   // 1.0 with keep-alive: the answer must say it too
  bool expects_continue = false;  // 1.1, 100-continue, and a body follows
};

// Reads the requests of one connection, one after another. The caller keeps one receive buffer and
// always passes everything from the first byte of the current request to the last byte received:
//
//   buffer  | answered already | current request ............ | received after it |
//                              ^ begin                                          ^ end
//                              '---------- parse({begin, end}) -----------------'
//
//   for (;;) {
//     switch (parser.parse({begin, end})) {
//       case need_more: receive more behind `end`, or wait;                      return;
//       case head:      route; if no final status is known yet and
//                       parser.awaits_continue(end - begin): send 100 Continue;  break;
//       case complete:  answer; begin += parser.consumed(); parser.next();       break;
//       case error:     answer parser.error(), then close;                       return;
//     }
//   }
//
// - Between calls the caller may move the bytes (grow or compact its buffer), but never change or
//   drop any of [begin, end): the parser holds offsets from `begin`, not pointers. It decodes a
//   chunked body in place, hence the mutable span.
// - `head` is returned once per request, as soon as its last header line has arrived. Calling
//   parse() again continues with the body. A body that must be dropped (404, 405) is parsed like
//   any other and ignored: its size is bounded.
// - A body above the limit is an error only in the call after `head` (declared), or when a chunk
//   exceeds it (chunked), before its data is read. So a caller that has decided on 404 or 405
//   answers that instead of the 413 (errors::body_too_large), and closes.
// - After `error` the views of request() must not be used, nor anything of it if `head` was not
//   returned.
// - A buffer of receive_bytes_max() bytes can always take the rest of a request, provided that
//   close_gap() is called when it is full.
class RequestParser {
 public:
  enum class Outcome : uint8_t { need_more, head, complete, error };

  // The most bytes of one unfinished request at one time.
  static constexpr size_t receive_bytes_max(size_t body_bytes_max) noexcept {
    return 2 * limits::http_leading_empty_lines_max + limits::http_request_line_bytes_max + 2 +
           limits::http_fields_bytes_max + 4 + body_bytes_max + 4;
  }

  explicit RequestParser(uint32_t body_bytes_max) noexcept;

  // See above. `message` must not be empty once a part of the request was given.
  [[nodiscard]] Outcome parse(std::span<char> message) noexcept;

  [[nodiscard]] const Request& request() const noexcept { return request_; }
  // Valid after `error`.
  [[nodiscard]] const Error& error() const noexcept { return *error_; }
  // Bytes of the request, including head, body and framing. Valid after `complete`.
  [[nodiscard]] size_t consumed() const noexcept { return cursor_; }
  // Forgets the request and prepares for the next one.
  void next() noexcept;

  // No byte of a request so far (except perhaps an empty line, RFC 9112 2.2): an end of stream here
  // is a clean one, and the idle deadline applies, not that for headers.
  [[nodiscard]] bool idle() const noexcept { return state_ == State::start; }
  // `head` was returned, `complete` not yet.
  [[nodiscard]] bool in_body() const noexcept { return head_end_ != 0 && state_ < State::finished; }
  // Whether the request's method is HEAD, as far as known: neither an answer (RFC 9110 9.3.2) nor a
  // refusal has a body then. Valid at any time, also after `error`.
  [[nodiscard]] bool is_head() const noexcept { return is_head_; }
  // Whether 100 Continue is due if no final status is known: the client waits for it, the body is
  // within the limit, and none of the `received` bytes since the request's first belongs to the
  // body (RFC 9110 10.1.1). Valid after `head`.
  [[nodiscard]] bool awaits_continue(size_t received) const noexcept;

  // Chunk framing and trailers already read leave a gap in the buffer. Moves the unread bytes of
  // `message` (as given to parse) down over it and returns its new size. Invalidates request().
  [[nodiscard]] size_t close_gap(std::span<char> message) noexcept;

 private:
  enum class State : uint8_t {
    start,       // before the first byte of the request line
    start_feed,  // after the CR of an empty line
    method,
    target,
    version,
    field_start,  // at the first byte of a field line, or of the empty line
    field_name,
    field_space,  // white space before a value
    field_value,
    field_feed,
    section_feed,  // after the CR of the empty line
    body,          // of a declared length, also 0
    chunks,
    finished,
    failed,
  };

  // Each continues at cursor_ and returns whether its part is complete; otherwise more bytes are
  // needed, or state_ is `failed`.
  bool read_request_line(std::string_view message) noexcept;
  bool read_empty_lines(std::string_view message) noexcept;
  bool read_target(std::string_view target, std::string_view method) noexcept;
  bool read_version(std::string_view message) noexcept;
  bool read_fields(std::string_view message) noexcept;
  bool read_body(std::string_view message) noexcept;
  bool read_chunks(std::span<char> message) noexcept;

  bool accept_field(std::string_view message) noexcept;
  bool accept_head() noexcept;
  void set_views(const char* message) noexcept;
  // A scan stopped because the bytes ended, or at the limit of this part of the request.
  bool pause(size_t at, size_t end, const Error& beyond_limit) noexcept;
  bool fail(const Error& error) noexcept;

  Request request_;
  HeaderFields fields_;
  ChunkDecoder chunk_decoder_;
  const Error* error_ = nullptr;
  uint32_t body_bytes_max_;
  // All positions are offsets from the first byte of the request.
  uint32_t cursor_ = 0;      // next byte to read
  uint32_t line_begin_ = 0;  // of the request line
  uint32_t method_end_ = 0;
  uint32_t target_begin_ = 0;
  uint32_t version_begin_ = 0;
  uint32_t path_begin_ = 0;
  uint32_t path_end_ = 0;
  uint32_t fields_limit_ = 0;        // latest end of the section's field lines
  uint32_t trailers_bytes_max_ = 0;  // what the header section left of the limit
  uint32_t name_begin_ = 0;          // of the field being read
  uint32_t name_end_ = 0;
  uint32_t value_begin_ = 0;
  uint32_t head_end_ = 0;  // the body's first byte
  uint32_t body_end_ = 0;  // chunked: end of what is decoded so far
  uint16_t fields_count_ = 0;
  uint8_t empty_lines_ = 0;
  bool is_head_ = false;
  bool in_trailers_ = false;
  State state_ = State::start;
};

}  // namespace espora::http
