// Decoder of the chunked transfer coding (RFC 9112 7.1), incremental at every byte: it moves the
// chunks' data together in place. It does not read the trailer section after the last chunk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "http/error.h"

namespace espora::http {

class ChunkDecoder {
 public:
  enum class Outcome : uint8_t { need_more, last_chunk, error };

  // Reads message[read...] up to the end or through the line of the last chunk, moving data to
  // message[write...]; advances both (write <= read always). `data_left_max` is how many more bytes
  // of data are allowed. A chunk that would exceed it is errors::body_too_large before its data is
  // read, as are sizes and extensions that together exceed http_chunk_lines_bytes_max.
  [[nodiscard]] Outcome decode(std::span<char> message, size_t& read, size_t& write,
                               size_t data_left_max) noexcept;

  // Valid after `error`.
  [[nodiscard]] const Error& error() const noexcept { return *error_; }

 private:
  enum class State : uint8_t {
    size_first,       // needs a hexadecimal digit
    size,             // more digits, ';' or CR
    extension_first,  // after ';': the first byte of a name
    extension_name,
    extension_value_first,  // after '=': a token or a quoted string
    extension_value,
    extension_quoted,
    extension_escape,  // after '\' in a quoted string
    extension_end,     // after the closing quote
    line_feed,         // after the CR of a chunk line
    data,
    data_return,  // the CR after the data
    data_feed,
  };

  [[nodiscard]] Outcome fail(const Error& error) noexcept;
  // Reads a byte of a chunk line, except its LF; nullptr if it is allowed there.
  [[nodiscard]] const Error* read_line_byte(char byte) noexcept;

  uint64_t size_left_ = 0;   // of the chunk's data; while its line is read: the size so far
  uint32_t line_bytes_ = 0;  // of all chunk lines of this body
  State state_ = State::size_first;
  const Error* error_ = nullptr;
};

}  // namespace espora::http
