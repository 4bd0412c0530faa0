#include "http/response_writer.h"

#include <charconv>
#include <cstring>

#include "sys/check.h"

namespace espora::http {

namespace {

// A status line with the header that begins every final answer.
struct StatusText {
  uint16_t status;
  std::string_view line;
};

// The statuses that this server sends, most frequent first.
constexpr StatusText status_texts[] = {
    {200, "HTTP/1.1 200 OK\r\n"},
    {422, "HTTP/1.1 422 Unprocessable Content\r\n"},
    {404, "HTTP/1.1 404 Not Found\r\n"},
    {400, "HTTP/1.1 400 Bad Request\r\n"},
    {405, "HTTP/1.1 405 Method Not Allowed\r\n"},
    {408, "HTTP/1.1 408 Request Timeout\r\n"},
    {413, "HTTP/1.1 413 Content Too Large\r\n"},
    {414, "HTTP/1.1 414 URI Too Long\r\n"},
    {417, "HTTP/1.1 417 Expectation Failed\r\n"},
    {431, "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
    {500, "HTTP/1.1 500 Internal Server Error\r\n"},
    {501, "HTTP/1.1 501 Not Implemented\r\n"},
    {503, "HTTP/1.1 503 Service Unavailable\r\n"},
    {505, "HTTP/1.1 505 HTTP Version Not Supported\r\n"},
    {507, "HTTP/1.1 507 Insufficient Storage\r\n"},
};

std::string_view status_line(uint16_t status) noexcept {
  for (const StatusText& text : status_texts) {
    if (text.status == status) return text.line;
  }
  return {};
}

char* write(char* out, std::string_view text) noexcept {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

// Above the size of any head's fixed parts; the caller's parts are added to it.
constexpr size_t fixed_head_bytes_max = 256;

}  // namespace

void append_response(OutputBuffer& out, const ResponseHead& head, std::string_view date,
                     std::string_view body) {
  const std::string_view line = status_line(head.status);
  ESPORA_CHECK(!line.empty());
  char* at = out.prepare(fixed_head_bytes_max + date.size() + head.allow.size() + body.size());
  at = write(at, line);
  at = write(at, "Content-Type: application/json\r\nContent-Length: ");
  at = std::to_chars(at, at + 20, body.size()).ptr;
  at = write(at, "\r\nDate: ");
  at = write(at, date);
  if (!head.allow.empty()) {
    at = write(at, "\r\nAllow: ");
    at = write(at, head.allow);
  }
  switch (head.persistence) {
    case Persistence::keep:
      break;
    case Persistence::say_keep_alive:
      at = write(at, "\r\nConnection: keep-alive");
      break;
    case Persistence::close:
      at = write(at, "\r\nConnection: close");
      break;
  }
  at = write(at, "\r\n\r\n");
  if (!head.without_body) at = write(at, body);
  out.commit(at);
}

void append_error_response(OutputBuffer& out, ResponseHead head, std::string_view date,
                           const Error& error) {
  // The texts of the table need no escaping except that of quotes.
  char body[512];
  ESPORA_CHECK(error.code.size() + 2 * error.message.size() + 64 <= sizeof(body));
  char* at = write(body, "{\"erro\":\"");
  at = write(at, error.code);
  at = write(at, "\",\"mensagem\":\"");
  for (const char byte : error.message) {
    if (byte == '"' || byte == '\\') *at++ = '\\';
    *at++ = byte;
  }
  at = write(at, "\"}");
  head.status = error.status;
  append_response(out, head, date, {body, static_cast<size_t>(at - body)});
}

void append_continue(OutputBuffer& out) { out.append("HTTP/1.1 100 Continue\r\n\r\n"); }

}  // namespace espora::http
