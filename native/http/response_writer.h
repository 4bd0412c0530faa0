// Writes HTTP/1.1 responses (RFC 9112 4): status line, common headers, body.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/error.h"
#include "http/output_buffer.h"

namespace espora::http {

// How the connection continues after this answer, as its headers say.
enum class Persistence : uint8_t {
  keep,            // HTTP/1.1's default: no header
  say_keep_alive,  // to an HTTP/1.0 client that asked for it (Request::says_keep_alive)
  close,           // "Connection: close"
};

struct ResponseHead {
  uint16_t status = 200;
  Persistence persistence = Persistence::keep;
  bool without_body = false;  // answer to HEAD: the same headers, including Content-Length, no body
  std::string_view allow;     // of a 405: the methods; otherwise empty
};

// Appends a whole response. `date` is an IMF-fixdate (see DateCache); `body` is JSON.
void append_response(OutputBuffer& out, const ResponseHead& head, std::string_view date,
                     std::string_view body);

// Appends the response to a refusal: {"erro":"<code>","mensagem":"<sentence>"}. The status is the
// error's; `head.status` is ignored.
void append_error_response(OutputBuffer& out, ResponseHead head, std::string_view date,
                           const Error& error);

// Appends the interim response 100 Continue, which has no headers (RFC 9110 15.2.1).
void append_continue(OutputBuffer& out);

}  // namespace espora::http
