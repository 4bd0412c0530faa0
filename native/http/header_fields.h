// The values of the five header fields that HTTP itself acts on: Host, Content-Length,
// Transfer-Encoding, Connection and Expect. In all others only the bytes are checked.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/error.h"

namespace espora::http {

// Collects the fields of one header section, line by line.
class HeaderFields {
 public:
  // False if add() ignores a field of this name; may be true for other ignored ones.
  [[nodiscard]] static bool interesting(std::string_view name) noexcept {
    constexpr uint32_t lengths = 1u << 4 | 1u << 6 | 1u << 10 | 1u << 14 | 1u << 17;
    return name.size() < 32 && (lengths >> name.size() & 1) != 0;
  }
  // Reads one line: a token, and a value without white space around it. Its error, or nullptr.
  [[nodiscard]] const Error* add(std::string_view name, std::string_view value) noexcept;
  // At the section's end: the error of all lines together, or nullptr; for HTTP/1.minor_version.
  [[nodiscard]] const Error* check(unsigned minor_version) const noexcept;

  // Whether a field of this name is forbidden in a trailer section: it frames or routes.
  [[nodiscard]] static bool forbidden_in_trailers(std::string_view name) noexcept;

  // Read these after check() found no error.
  [[nodiscard]] uint64_t content_length() const noexcept { return content_length_; }
  [[nodiscard]] bool chunked() const noexcept { return has_transfer_encoding_; }
  [[nodiscard]] bool connection_close() const noexcept { return connection_close_; }
  [[nodiscard]] bool connection_keep_alive() const noexcept { return connection_keep_alive_; }
  [[nodiscard]] bool expects_continue() const noexcept { return expects_continue_; }

 private:
  const Error* add_host(std::string_view value) noexcept;
  const Error* add_content_length(std::string_view value) noexcept;
  const Error* add_transfer_encoding(std::string_view value) noexcept;
  const Error* add_connection(std::string_view value) noexcept;
  const Error* add_expect(std::string_view value) noexcept;

  uint64_t content_length_ = 0;
  bool has_host_ = false;
  bool has_content_length_ = false;
  bool has_transfer_encoding_ = false;
  bool last_coding_is_chunked_ = false;
  bool has_unknown_coding_ = false;
  bool connection_close_ = false;
  bool connection_keep_alive_ = false;
  bool expects_continue_ = false;
  bool expects_unknown_ = false;
};

// uri-host [":" port] with bytes allowed in a host (RFC 9110 7.2, RFC 3986 3.2.2); may be empty.
[[nodiscard]] bool is_host(std::string_view value) noexcept;

// Case-insensitive ASCII comparison. `lower` consists of lower-case letters, digits, '-', ':' and
// '/'; `text` has no control characters (tokens and field values have none except tabs).
[[nodiscard]] bool equals_ignoring_case(std::string_view text, std::string_view lower) noexcept;

}  // namespace espora::http
