// What the request parser makes of streams of bytes, for programs in other languages that compare
// it with another parser. Batches on standard input, answers on standard output, until the input
// ends:
//
//   batch   = u32 count, count × (u32 bytes, the bytes)       machine's byte order
//   answer  = count × (u32 bytes, text)
//   text    = for each request "METHOD PATH 1.x keep|close LENGTH:BODY\n", then how it went on:
//             "end" all was read, "incomplete", "closed" (after a request that asks for it; what
//             follows is not looked at), or "error STATUS CODE"
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "http/request_parser.h"
#include "support/options.h"

namespace {

using espora::http::RequestParser;

std::string verdict_on(std::span<char> stream) {
  RequestParser parser(espora::test::request_body_bytes_max);
  std::string text;
  while (!stream.empty()) {
    switch (parser.parse(stream)) {
      case RequestParser::Outcome::need_more:
        text += parser.idle() ? "end" : "incomplete";
        return text;
      case RequestParser::Outcome::error:
        text += "error " + std::to_string(parser.error().status) + " ";
        text += parser.error().code;
        return text;
      case RequestParser::Outcome::head:
        break;
      case RequestParser::Outcome::complete: {
        const espora::http::Request& request = parser.request();
        text += request.method;
        text += ' ';
        text += request.path;
        text += request.version == espora::http::Version::http_1_1 ? " 1.1 " : " 1.0 ";
        text += request.keep_alive ? "keep " : "close ";
        text += std::to_string(request.body.size()) + ":";
        text += request.body;
        text += '\n';
        if (!request.keep_alive) return text + "closed";
        stream = stream.subspan(parser.consumed());
        parser.next();
        break;
      }
    }
  }
  return text + "end";
}

bool read_exactly(void* into, size_t bytes) { return std::fread(into, 1, bytes, stdin) == bytes; }

void write_number(std::string& out, uint32_t number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

}  // namespace

int main() {
  std::vector<char> stream;
  std::string out;
  for (uint32_t count; read_exactly(&count, sizeof count);) {
    out.clear();
    for (; count > 0; --count) {
      uint32_t bytes;
      if (!read_exactly(&bytes, sizeof bytes)) return EXIT_FAILURE;
      stream.resize(bytes);
      if (!read_exactly(stream.data(), bytes)) return EXIT_FAILURE;
      const std::string text = verdict_on(stream);
      write_number(out, static_cast<uint32_t>(text.size()));
      out += text;
    }
    if (std::fwrite(out.data(), 1, out.size(), stdout) != out.size()) return EXIT_FAILURE;
    if (std::fflush(stdout) != 0) return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
