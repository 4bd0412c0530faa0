// The request parser against everything that RFC 9112 and the service's contract say about heads:
// request line, header fields, limits, persistence, expectations; and against every way to cut it.
#include "http/request_parser.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/http_trace.h"

namespace espora::http {
namespace {

using test::cut_everywhere;
using test::Cuts;
using test::Feeder;
using test::http_trace;
using test::random_cuts;

using namespace std::string_literals;

constexpr size_t line_max = limits::http_request_line_bytes_max;
constexpr size_t fields_max = limits::http_fields_bytes_max;

// The trace, after checking that it is the same byte by byte and at every single cut.
std::string trace_of(const std::string& stream) {
  const std::string whole = http_trace(stream);
  EXPECT_EQ(http_trace(stream, cut_everywhere(stream.size())), whole) << stream.substr(0, 400);
  if (stream.size() <= 2000) {
    for (size_t cut = 1; cut < stream.size(); ++cut) {
      EXPECT_EQ(http_trace(stream, {cut}), whole) << "cut at " << cut << " of " << stream;
    }
  } else {
    std::mt19937_64 random(stream.size());
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(http_trace(stream, random_cuts(random, stream.size())), whole);
    }
  }
  return whole;
}

std::string error_trace(const Error& error) {
  return "error " + std::to_string(error.status) + " " + std::string(error.code) + "\n";
}

std::string ok_trace(std::string_view method, std::string_view path,
                     std::string_view rest = "1.1 keep length 0", std::string_view body = "") {
  const std::string target = std::string(method) + " " + std::string(path);
  return "head " + target + " " + std::string(rest) + "\nbody " + std::string(body) + "\nof " +
         target + "\n";
}

std::string get(std::string_view target) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n";
}

// A request with one more field line, or several.
std::string with_fields(std::string_view fields) {
  return "GET /x HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n\r\n";
}

std::string accepted(std::string_view rest = "1.1 keep length 0", std::string_view body = "") {
  return ok_trace("GET", "/x", rest, body);
}

// --- Request line --------------------------------------------------------------------------------

TEST(RequestLine, PathIsTheTargetWithoutItsQuery) {
  EXPECT_EQ(trace_of(get("/clientes/1/extrato")), ok_trace("GET", "/clientes/1/extrato"));
  EXPECT_EQ(trace_of(get("/a?b=/c?d")), ok_trace("GET", "/a"));
  EXPECT_EQ(trace_of(get("/?")), ok_trace("GET", "/"));
  EXPECT_EQ(trace_of(get("/%31/../a//;x")), ok_trace("GET", "/%31/../a//;x"));
}

TEST(RequestLine, AbsoluteFormCountsByItsPath) {
  EXPECT_EQ(trace_of(get("http://localhost:9999/a/b?c")), ok_trace("GET", "/a/b"));
  EXPECT_EQ(trace_of(get("HTTPS://[::1]:80/a")), ok_trace("GET", "/a"));
  EXPECT_EQ(trace_of(get("http://h")), ok_trace("GET", "/"));
  EXPECT_EQ(trace_of(get("http://h?q")), ok_trace("GET", "/"));
  EXPECT_EQ(trace_of(get("http://h/")), ok_trace("GET", "/"));
  EXPECT_EQ(trace_of(get("http://h?/a")), ok_trace("GET", "/"));
}

TEST(RequestLine, TargetThatIsNeitherPathNorUrlIsRefused) {
  const std::string refused = error_trace(errors::target_invalid);
  for (const char* target : {"a",
                             "a/b",
                             "localhost:80",
                             "http:/h/a",
                             "http:h",
                             "ftp://h/a",
                             "http:///a",
                             "http://",
                             "http://:80/a",
                             "http://user@h/a",
                             "http://u:p@h/a",
                             "http://h:x/a",
                             "http://h:80:80/a",
                             "http://[::1/a",
                             "http://[]/a",
                             "http://[::1]x/a",
                             "http://a b/",
                             "http://%/a",
                             "http://%2/a",
                             "http://%zz/a",
                             "?a",
                             "*a",
                             "**",
                             "//a b"}) {
    EXPECT_EQ(trace_of(get(target)), std::string_view(target).find(' ') != std::string_view::npos
                                         ? error_trace(errors::request_line_invalid)
                                         : refused)
        << target;
  }
  EXPECT_EQ(trace_of("CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n"), refused);
}

TEST(RequestLine, AsteriskIsForOptionsOnly) {
  EXPECT_EQ(trace_of("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), ok_trace("OPTIONS", "*"));
  EXPECT_EQ(trace_of(get("*")), error_trace(errors::target_invalid));
  EXPECT_EQ(trace_of("options * HTTP/1.1\r\nHost: a\r\n\r\n"), error_trace(errors::target_invalid));
}

TEST(RequestLine, EveryByteOfATarget) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const std::string path = "/a"s + c + "b";
    const std::string trace = trace_of(get(path));
    if (byte >= 0x21 && byte <= 0x7E && c != '#') {
      EXPECT_EQ(trace, ok_trace("GET", c == '?' ? "/a" : path)) << byte;
    } else if (c == ' ' || c == '\r') {
      EXPECT_EQ(trace, error_trace(errors::request_line_invalid)) << byte;
    } else {
      EXPECT_EQ(trace, error_trace(errors::target_invalid)) << byte;
    }
  }
}

TEST(RequestLine, EveryByteOfAMethod) {
  constexpr std::string_view symbols = "!#$%&'*+-.^_`|~";
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const std::string method = "A"s + c + "B";
    const std::string trace = trace_of(method + " /x HTTP/1.1\r\nHost: a\r\n\r\n");
    const bool alphanumeric =
        (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (alphanumeric || (c != 0 && symbols.find(c) != symbols.npos)) {
      EXPECT_EQ(trace, ok_trace(method, "/x")) << byte;
    } else if (c == ' ') {
      EXPECT_EQ(trace, error_trace(errors::target_invalid));
    } else {
      EXPECT_EQ(trace, error_trace(errors::request_line_invalid)) << byte;
    }
  }
}

TEST(RequestLine, SpacesAndLineEndsAreExact) {
  for (const std::string& line : {" GET /x HTTP/1.1\r\n"s,
                                  "GET /x  HTTP/1.1\r\n"s,
                                  "GET /x HTTP/1.1 \r\n"s,
                                  "GET\t/x HTTP/1.1\r\n"s,
                                  "GET /x\r\n"s,
                                  "GET\r\n"s,
                                  "GET /x HTTP/1.1\n"s,
                                  "GET /x HTTP/1.1\rX"s,
                                  "GET /x HTTP/1.1\r\r\n"s,
                                  "\n"s,
                                  "\nGET /x HTTP/1.1\r\n"s,
                                  "GET /x http/1.1\r\n"s,
                                  "GET /x HTTP/1\r\n"s,
                                  "GET /x HTTP/1.\r\n"s,
                                  "GET /x HTTP/1.10\r\n"s,
                                  "GET /x HTTP/01.1\r\n"s,
                                  "GET /x HTTP/a.1\r\n"s,
                                  "GET /x HTTP/1,1\r\n"s,
                                  "GET /x HTTPS/1.1\r\n"s,
                                  "GET /x \r\n"s,
                                  "\rGET /x HTTP/1.1\r\n"s,
                                  "\r\rGET"s,
                                  "\r\n GET /x HTTP/1.1\r\n"s,
                                  "\x16\x03\x01"s}) {
    EXPECT_EQ(trace_of(line + "Host: a\r\n\r\n"), error_trace(errors::request_line_invalid))
        << line;
  }
  EXPECT_EQ(trace_of("GET  /x HTTP/1.1\r\nHost: a\r\n\r\n"), error_trace(errors::target_invalid));
  EXPECT_EQ(trace_of("GET /x\tHTTP/1.1\r\nHost: a\r\n\r\n"), error_trace(errors::target_invalid));
  EXPECT_EQ(trace_of("GET /x\n"), error_trace(errors::target_invalid));
}

TEST(RequestLine, OtherVersionsAreUnsupported) {
  for (const char* version : {"0.9", "1.2", "1.9", "2.0", "2.1", "3.0", "0.0", "9.9"}) {
    EXPECT_EQ(trace_of("GET /x HTTP/"s + version + "\r\nHost: a\r\n\r\n"),
              error_trace(errors::version_unsupported))
        << version;
  }
  EXPECT_EQ(trace_of("GET /x HTTP/1.0\r\n\r\n"), accepted("1.0 close length 0"));
}

TEST(RequestLine, GarbageIsRefusedWithoutWaitingForALineEnd) {
  Feeder feeder;
  EXPECT_FALSE(feeder.feed("\x16\x03\x01\x02"));  // how a TLS client says hello
  Feeder another;
  EXPECT_FALSE(another.feed("GET /x HTTP/1.1\n"));
}

TEST(RequestLine, LimitIsExact) {
  const std::string frame = "GET / HTTP/1.1";
  const std::string fits(line_max - frame.size(), 'a');
  EXPECT_EQ(trace_of(get("/" + fits)), ok_trace("GET", "/" + fits));
  const std::string too_long = error_trace(errors::request_line_too_long);
  EXPECT_EQ(trace_of(get("/" + fits + "a")), too_long);
  EXPECT_EQ(trace_of(get("/?" + fits)), too_long);
  EXPECT_EQ(trace_of(std::string(line_max + 1, 'A')), too_long);
  EXPECT_EQ(trace_of("GET /" + std::string(20'000, 'a')), too_long);
  EXPECT_EQ(trace_of(std::string(line_max, 'A')), "");  // may still end
  // The line ends one byte too late within its version.
  EXPECT_EQ(trace_of("GET /" + fits + "a HTTP/1.1\r\n"), too_long);
  EXPECT_EQ(trace_of("GET /" + fits + "aaaaaaa HTTP/1.1\r\n"), too_long);
}

TEST(RequestLine, FewEmptyLinesBeforeItArePassedOver) {
  for (unsigned count = 0; count <= limits::http_leading_empty_lines_max + 1; ++count) {
    std::string stream;
    for (unsigned i = 0; i < count; ++i) stream += "\r\n";
    EXPECT_EQ(trace_of(stream + get("/x")), count <= limits::http_leading_empty_lines_max
                                                ? accepted()
                                                : error_trace(errors::request_line_invalid));
  }
  // Between requests too; and they don't count against the line's limit.
  EXPECT_EQ(trace_of(get("/x") + "\r\n\r\n" + get("/x") + "\r\n"), accepted() + accepted());
  const std::string fits(line_max - 14, 'a');
  EXPECT_EQ(trace_of("\r\n\r\n" + get("/" + fits)), ok_trace("GET", "/" + fits));
}

TEST(RequestLine, NothingButAnEmptyLineIsIdle) {
  Feeder feeder;
  EXPECT_TRUE(feeder.parser().idle());
  feeder.feed("\r\n");
  EXPECT_TRUE(feeder.parser().idle());
  feeder.feed("G");
  EXPECT_FALSE(feeder.parser().idle());
  feeder.feed("ET /x HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(feeder.parser().idle());
}

// --- Field lines ---------------------------------------------------------------------------------

TEST(Fields, EveryByteOfAName) {
  constexpr std::string_view symbols = "!#$%&'*+-.^_`|~";
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool alphanumeric =
        (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    const bool token = alphanumeric || (c != 0 && symbols.find(c) != symbols.npos);
    // A colon ends the name, whatever the rest of it then means.
    EXPECT_EQ(trace_of(with_fields("A"s + c + "B: y")),
              token || c == ':' ? accepted() : error_trace(errors::field_invalid))
        << byte;
  }
}

// Past 16 and 32 bytes: where a scan in blocks begins, goes on and ends.
TEST(Fields, EveryByteOfANameAtEveryOffset) {
  const auto is_token = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != 0 && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos);
  };
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    for (size_t offset = 0; offset < 40; ++offset) {
      std::string name(40, 'n');
      name[offset] = c;
      const bool allowed = is_token(c) || (c == ':' && offset > 0);
      EXPECT_EQ(http_trace(with_fields(name + ": a value of more than sixteen bytes")),
                allowed ? accepted() : error_trace(errors::field_invalid))
          << byte << " at " << offset;
    }
  }
}

TEST(RequestLine, EveryByteOfATargetAtEveryOffset) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    if (c == '?' || c == ' ' || c == '\r') continue;
    for (size_t offset = 1; offset < 40; ++offset) {
      std::string path = "/" + std::string(40, 't');
      path[offset] = c;
      EXPECT_EQ(http_trace(get(path)), byte >= 0x21 && byte <= 0x7E && c != '#'
                                           ? ok_trace("GET", path)
                                           : error_trace(errors::target_invalid))
          << byte << " at " << offset;
    }
  }
}

TEST(Fields, EveryByteOfAValueAtEveryOffset) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool allowed = c == '\t' || (byte >= 0x20 && byte != 0x7F);
    for (size_t offset = 0; offset < 40; ++offset) {
      std::string value(40, 'v');
      value[offset] = c;
      EXPECT_EQ(http_trace(with_fields("X: " + value)),
                allowed ? accepted() : error_trace(errors::field_invalid))
          << byte << " at " << offset;
    }
    EXPECT_EQ(trace_of(with_fields("X: a"s + c + "b")),
              allowed ? accepted() : error_trace(errors::field_invalid));
  }
}

TEST(Fields, MalformedLines) {
  const std::string refused = error_trace(errors::field_invalid);
  for (const std::string& line :
       {"X : y"s, "X\t: y"s, ": y"s, "X Y: z"s, " X: y"s, "\tX: y"s, "X"s, "X\r\n: y"s,
        "X: a\r\n b"s, "X: a\r\n\tb"s, "X: a\rb"s, "X: a\nb"s, "X: a\0b"s, "X: a\n"s, "X: a\r\r"s,
        "X: \r\n Y: b"s, "X: y\r\n\rZ"s, "X: y\r\n\n"s}) {
    EXPECT_EQ(trace_of(with_fields(line)), refused) << line;
  }
  // A folded first line would belong to the request line.
  EXPECT_EQ(trace_of("GET /x HTTP/1.1\r\n Host: a\r\n\r\n"), refused);
  EXPECT_EQ(trace_of("GET /x HTTP/1.1\r\n\nHost: a\r\n\r\n"), refused);
}

TEST(Fields, WhiteSpaceAroundValuesDoesNotCount) {
  EXPECT_EQ(trace_of("GET /x HTTP/1.1\r\nHost:\t  a \t \r\nX:\r\nY:   \t\r\n\r\n"), accepted());
  EXPECT_EQ(trace_of(with_fields("Content-Length: \t 2 \t\r\nConnection:close") + "ab"),
            accepted("1.1 close length 2", "ab"));
}

TEST(Fields, SizeLimitIsExact) {
  const std::string begin = "GET /x HTTP/1.1\r\n";
  const std::string host = "Host: a\r\n";
  const std::string name = "X: ";
  const std::string fits(fields_max - host.size() - name.size() - 2, 'v');
  EXPECT_EQ(trace_of(begin + host + name + fits + "\r\n\r\n"), accepted());
  const std::string too_large = error_trace(errors::fields_too_large);
  EXPECT_EQ(trace_of(begin + host + name + fits + "v\r\n\r\n"), too_large);
  EXPECT_EQ(trace_of(begin + host + std::string(fields_max, 'X')), too_large);
  EXPECT_EQ(trace_of(begin + host + "X:" + std::string(fields_max, ' ')), too_large);
  EXPECT_EQ(trace_of(begin + host + name + fits + "\r\nY:\r\n\r\n"), too_large);
}

TEST(Fields, CountLimitIsExact) {
  std::string stream = "GET /x HTTP/1.1\r\nHost: a\r\n";
  for (unsigned i = 1; i < limits::http_fields_max; ++i) stream += "X: y\r\n";
  EXPECT_EQ(trace_of(stream + "\r\n"), accepted());
  EXPECT_EQ(trace_of(stream + "X: y\r\n\r\n"), error_trace(errors::fields_too_large));
}

TEST(Fields, NoFieldsAtAll) {
  EXPECT_EQ(trace_of("GET /x HTTP/1.0\r\n\r\n"), accepted("1.0 close length 0"));
  EXPECT_EQ(trace_of("GET /x HTTP/1.1\r\n\r\n"), error_trace(errors::host_invalid));
}

// --- Host ----------------------------------------------------------------------------------------

TEST(Host, WhatAHostMayBe) {
  for (const char* host : {"", "a", "localhost:9999", "127.0.0.1", "[::1]", "[::1]:80", "[v1.a:b]",
                           "a:", ":80", "a_b~!$&'()*+,;=", "%41%2f", "xn--caf-dma.example."}) {
    EXPECT_EQ(trace_of("GET /x HTTP/1.1\r\nHost: "s + host + "\r\n\r\n"), accepted()) << host;
    EXPECT_EQ(trace_of("GET /x HTTP/1.0\r\nhOsT: "s + host + "\r\n\r\n"),
              accepted("1.0 close length 0"))
        << host;
  }
}

TEST(Host, WhatNoHostIs) {
  for (const char* host :
       {"a/b",     "a b",     "a\tb", "a@b", "a?b",    "a#b",         "a\\b",
        "a:b",     "a:80:80", "[::1", "[]",  "[::1]a", "[a/b]",       "::1",
        "a,\"b\"", "%",       "%4",   "%4g", "a<b",    "caf\xC3\xA9", "http://a"}) {
    for (const char* version : {"1.0", "1.1"}) {
      EXPECT_EQ(trace_of("GET /x HTTP/"s + version + "\r\nHost: " + host + "\r\n\r\n"),
                error_trace(errors::host_invalid))
          << host;
    }
  }
}

TEST(Host, OnceAndOnlyOnce) {
  for (const char* version : {"1.0", "1.1"}) {
    const std::string begin = "GET /x HTTP/"s + version + "\r\nHost: a\r\n";
    EXPECT_EQ(trace_of(begin + "Host: a\r\n\r\n"), error_trace(errors::host_invalid));
    EXPECT_EQ(trace_of(begin + "X: y\r\nHOST:\r\n\r\n"), error_trace(errors::host_invalid));
  }
}

// --- Framing -------------------------------------------------------------------------------------

TEST(Framing, ContentLengthValues) {
  for (const char* value : {"2", "02", "00000000000000000000000000000000002"}) {
    EXPECT_EQ(trace_of(with_fields("Content-Length: "s + value) + "ab"),
              accepted("1.1 keep length 2", "ab"));
  }
  const std::string refused = error_trace(errors::framing_ambiguous);
  for (const char* value :
       {"", "+2", "-2", "-0", "0x2", "2,2", "2, 2", "2,", ",2", "2 2", "2;", "2.0", "2e0", "a",
        "\xC2\xB2", "18446744073709551616", "99999999999999999999999999", "\"2\"", "2\t2"}) {
    EXPECT_EQ(trace_of(with_fields("Content-Length: "s + value) + "ab"), refused) << value;
  }
  EXPECT_EQ(trace_of(with_fields("Content-Length: 2\r\nContent-Length: 2") + "ab"), refused);
  EXPECT_EQ(trace_of(with_fields("Content-Length: 2\r\ncontent-length: 3") + "abc"), refused);
  EXPECT_EQ(trace_of(with_fields("Content-Length:\r\nContent-Length: 0")), refused);
  // The largest one is no overflow, merely too large.
  EXPECT_EQ(
      trace_of(with_fields("Content-Length: 18446744073709551615")),
      "head GET /x 1.1 keep length 18446744073709551615\n" + error_trace(errors::body_too_large));
}

TEST(Framing, TransferCodings) {
  const auto verdict = [](const std::string& fields) {
    return trace_of(with_fields(fields) + "0\r\n\r\n");
  };
  const std::string te = "Transfer-Encoding: ";
  const std::string chunked = accepted("1.1 keep chunked");
  for (const char* value :
       {"chunked", "CHUNKED", "chunKed ", ",chunked", "chunked,", " , ,chunked, ,"}) {
    EXPECT_EQ(verdict(te + value), chunked) << value;
  }
  EXPECT_EQ(verdict(te + "\r\n" + te + "chunked"), chunked);
  const std::string refused = error_trace(errors::framing_ambiguous);
  for (const char* value : {"",
                            ",",
                            "gzip",
                            "identity",
                            "chunked, gzip",
                            "chunked, chunked",
                            "gzip, chunked, chunked",
                            "chunked;a=b",
                            "chunked;",
                            "\"chunked\"",
                            "chunked chunked",
                            "chunked\tx",
                            "gzip x, chunked",
                            "x\"y, chunked",
                            "chunked, identity",
                            "chunked/1",
                            "=, chunked",
                            ";a, chunked",
                            "gzip;a=\"b, chunked",
                            "\xC4\xA7unked",
                            "chunke",
                            "chunkedd"}) {
    EXPECT_EQ(verdict(te + value), refused) << value;
  }
  EXPECT_EQ(verdict(te + "chunked\r\n" + te + "chunked"), refused);
  EXPECT_EQ(verdict(te + "chunked\r\n" + te + "gzip"), refused);
  EXPECT_EQ(verdict(te + "chunked\r\nX: y\r\nTRANSFER-ENCODING: identity"), refused);
  const std::string unknown = error_trace(errors::coding_unknown);
  for (const char* value :
       {"gzip, chunked", "gzip,deflate,chunked", "identity, chunked", "gzip;q=1, chunked",
        "gzip;a=\"x,y\", chunked", "gzip ; a = \"\\\"\" , chunked"}) {
    EXPECT_EQ(verdict(te + value), unknown) << value;
  }
  EXPECT_EQ(verdict(te + "gzip\r\n" + te + "chunked"), unknown);
}

TEST(Framing, BothWaysAtOnceOrChunkedIn10IsAmbiguous) {
  const std::string refused = error_trace(errors::framing_ambiguous);
  EXPECT_EQ(trace_of(with_fields("Content-Length: 5\r\nTransfer-Encoding: chunked") + "0\r\n\r\n"),
            refused);
  EXPECT_EQ(trace_of(with_fields("Transfer-Encoding: chunked\r\nContent-Length: 5") + "0\r\n\r\n"),
            refused);
  EXPECT_EQ(trace_of(with_fields("Transfer-Encoding: gzip, chunked\r\nContent-Length: 5")),
            refused);
  EXPECT_EQ(trace_of("GET /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), refused);
  EXPECT_EQ(trace_of("GET /x HTTP/1.0\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), refused);
}

TEST(Framing, BodyOfADeclaredLength) {
  EXPECT_EQ(trace_of(with_fields("Content-Length: 0") + get("/y")),
            accepted() + ok_trace("GET", "/y"));
  const std::string body = "a\r\n\r\nGET /\0\xFF"s;
  EXPECT_EQ(
      trace_of(with_fields("Content-Length: " + std::to_string(body.size())) + body + get("/y")),
      accepted("1.1 keep length " + std::to_string(body.size()), body) + ok_trace("GET", "/y"));
  EXPECT_EQ(trace_of(with_fields("Content-Length: 3") + "ab"), "head GET /x 1.1 keep length 3\n");
}

TEST(Framing, WithoutLengthThereIsNoBody) {
  EXPECT_EQ(trace_of("POST /x HTTP/1.1\r\nHost: a\r\n\r\n{}\r\n"),
            ok_trace("POST", "/x") + error_trace(errors::request_line_invalid));
}

TEST(Framing, BodyLimitIsExactAndComesAfterTheHead) {
  const auto declared = [](size_t bytes) {
    return with_fields("Content-Length: " + std::to_string(bytes));
  };
  const std::string body(4096, 'b');
  EXPECT_EQ(trace_of(declared(4096) + body), accepted("1.1 keep length 4096", body));
  EXPECT_EQ(trace_of(declared(4097)),
            "head GET /x 1.1 keep length 4097\n" + error_trace(errors::body_too_large));
  EXPECT_EQ(http_trace(declared(1), {}, 0),
            "head GET /x 1.1 keep length 1\n" + error_trace(errors::body_too_large));
  EXPECT_EQ(http_trace(declared(0), {}, 0), accepted());
  const std::string large(limits::http_body_bytes_max, 'b');
  EXPECT_EQ(http_trace(declared(large.size()) + large, {}, limits::http_body_bytes_max),
            accepted("1.1 keep length " + std::to_string(large.size()), large));
}

// --- Persistence ---------------------------------------------------------------------------------

TEST(Persistence, ByVersionAndConnection) {
  struct Case {
    const char* connection;
    const char* of_1_1;
    const char* of_1_0;
  };
  constexpr const char* keep = "keep";
  constexpr const char* close = "close";
  constexpr const char* said = "keep say-keep-alive";
  for (const Case& c : std::vector<Case>{
           {"", keep, close},
           {"Connection: close\r\n", close, close},
           {"Connection: CLOSE\r\n", close, close},
           {"Connection: keep-alive\r\n", keep, said},
           {"Connection: foo, Keep-Alive\r\n", keep, said},
           {"Connection: keep-alive, close\r\n", close, close},
           {"Connection: keep-alive\r\nConnection: close\r\n", close, close},
           {"Connection: close\r\nConnection: keep-alive\r\n", close, close},
           {"Connection: upgrade ,\t close ,\r\n", close, close},
           {"Connection: closed\r\n", keep, close},
           {"Connection: close x\r\n", keep, close},
           {"Connection: \"close\"\r\n", keep, close},
           {"Connection:\r\n", keep, close},
           {"Connection: Upgrade\r\nUpgrade: h2c\r\n", keep, close},
           {"Proxy-Connection: close\r\n", keep, close},
           {"Xonnection: close\r\n", keep, close},
       }) {
    EXPECT_EQ(trace_of("GET /x HTTP/1.1\r\nHost: a\r\n"s + c.connection + "\r\n"),
              accepted("1.1 "s + c.of_1_1 + " length 0"))
        << c.connection;
    EXPECT_EQ(trace_of("GET /x HTTP/1.0\r\n"s + c.connection + "\r\n"),
              accepted("1.0 "s + c.of_1_0 + " length 0"))
        << c.connection;
  }
}

// --- Expect --------------------------------------------------------------------------------------

TEST(Expect, OnlyContinueIsKnown) {
  EXPECT_EQ(trace_of(with_fields("Expect: 100-Continue\r\nContent-Length: 1") + "a"),
            accepted("1.1 keep expect length 1", "a"));
  EXPECT_EQ(
      trace_of(with_fields("Expect: 100-continue\r\nTransfer-Encoding: chunked") + "0\r\n\r\n"),
      accepted("1.1 keep expect chunked"));
  for (const char* value : {"100-continue2", "200-ok", "x", "100-continue, x", "100-continue;a=b",
                            "\"100-continue\""}) {
    EXPECT_EQ(trace_of(with_fields("Expect: "s + value)), error_trace(errors::expectation_unknown))
        << value;
    EXPECT_EQ(trace_of("GET /x HTTP/1.0\r\nExpect: "s + value + "\r\n\r\n"),
              accepted("1.0 close length 0"));
  }
  // Without a body to come there is nothing to wait for.
  EXPECT_EQ(trace_of(with_fields("Expect: 100-continue")), accepted());
  EXPECT_EQ(trace_of(with_fields("Expect: 100-continue\r\nContent-Length: 0")), accepted());
  EXPECT_EQ(trace_of(with_fields("Expect:")), accepted());
  EXPECT_EQ(trace_of("GET /x HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na"),
            accepted("1.0 close length 1", "a"));
}

TEST(Expect, ContinueIsDueOnlyWhileTheClientWaits) {
  const auto awaits = [](const std::string& stream) {
    std::vector<char> bytes(stream.begin(), stream.end());
    RequestParser parser(test::request_body_bytes_max);
    EXPECT_EQ(parser.parse(bytes), RequestParser::Outcome::head);
    return parser.awaits_continue(bytes.size());
  };
  const std::string expect = "Expect: 100-continue\r\n";
  EXPECT_TRUE(awaits(with_fields(expect + "Content-Length: 1")));
  EXPECT_TRUE(awaits(with_fields(expect + "Content-Length: 4096")));
  EXPECT_TRUE(awaits(with_fields(expect + "Transfer-Encoding: chunked")));
  EXPECT_FALSE(awaits(with_fields(expect + "Content-Length: 4097")));
  EXPECT_FALSE(awaits(with_fields(expect + "Content-Length: 0")));
  EXPECT_FALSE(awaits(with_fields(expect + "Content-Length: 2") + "a"));
  EXPECT_FALSE(awaits(with_fields(expect + "Transfer-Encoding: chunked") + "2"));
  EXPECT_FALSE(awaits(with_fields("Content-Length: 2")));
}

// --- Pipelining ----------------------------------------------------------------------------------

TEST(Pipelining, RequestsFollowEachOther) {
  std::string stream;
  std::string expected;
  for (int i = 0; i < 50; ++i) {
    const std::string path = "/" + std::to_string(i);
    stream += get(path);
    expected += ok_trace("GET", path);
    stream += "POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    expected += ok_trace("POST", path, "1.1 keep length 3", "abc");
    stream += "POST " + path +
              " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    expected += ok_trace("POST", path, "1.1 keep chunked", "abc");
  }
  EXPECT_EQ(trace_of(stream), expected);
}

TEST(Pipelining, NothingOfOneRequestStaysForTheNext) {
  const std::string loaded =
      "\r\nPOST http://h/x HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nExpect: "
      "100-continue\r\n"
      "Content-Length: 2\r\n\r\nab";
  EXPECT_EQ(trace_of(loaded + get("/x") + loaded),
            ok_trace("POST", "/x", "1.0 keep say-keep-alive length 2", "ab") + accepted() +
                ok_trace("POST", "/x", "1.0 keep say-keep-alive length 2", "ab"));
}

TEST(Pipelining, AfterAnErrorEverythingIsAnError) {
  std::vector<char> bytes;
  RequestParser parser(test::request_body_bytes_max);
  const std::string stream = "GET /x HTTP/1.1\r\nX : y\r\n\r\n" + get("/y");
  bytes.assign(stream.begin(), stream.end());
  EXPECT_EQ(parser.parse(bytes), RequestParser::Outcome::error);
  EXPECT_EQ(&parser.error(), &errors::field_invalid);
  EXPECT_EQ(parser.parse(bytes), RequestParser::Outcome::error);
  EXPECT_EQ(&parser.error(), &errors::field_invalid);
}

TEST(Pipelining, PhasesAreVisible) {
  std::string stream = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nabrest";
  RequestParser parser(test::request_body_bytes_max);
  EXPECT_TRUE(parser.idle());
  EXPECT_FALSE(parser.in_body());
  EXPECT_EQ(parser.parse({stream.data(), 10}), RequestParser::Outcome::need_more);
  EXPECT_FALSE(parser.idle());
  EXPECT_FALSE(parser.in_body());
  EXPECT_EQ(parser.parse({stream.data(), stream.size() - 5}), RequestParser::Outcome::head);
  EXPECT_TRUE(parser.in_body());
  EXPECT_EQ(parser.parse({stream.data(), stream.size() - 5}), RequestParser::Outcome::need_more);
  EXPECT_TRUE(parser.in_body());
  EXPECT_EQ(parser.parse(stream), RequestParser::Outcome::complete);
  EXPECT_FALSE(parser.in_body());
  EXPECT_EQ(parser.consumed(), stream.size() - 4);
  // Zero-copy: the views point into what was given.
  EXPECT_EQ(parser.request().body.data(), stream.data() + stream.size() - 6);
  EXPECT_EQ(parser.request().method.data(), stream.data());
  parser.next();
  EXPECT_TRUE(parser.idle());
}

// --- Mutations -----------------------------------------------------------------------------------

TEST(Mutations, NeverCrashAndNeverDependOnTheCuts) {
  const std::vector<std::string> seeds = {
      "POST /clientes/1/transacoes HTTP/1.1\r\nHost: localhost:9999\r\nContent-Type: "
      "application/json\r\n"
      "Content-Length: 46\r\n\r\n{\"valor\": 1, \"tipo\": \"c\", \"descricao\": \"toma\"}",
      "POST http://a/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: "
      "100-continue\r\n\r\n"
      "2;a=\"b\"\r\nab\r\n0a\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.0\r\nConnection: "
      "keep-alive, a\r\n\r\n",
      get("/x") + get("/y?z") + with_fields("Connection: close\r\nContent-Length: 3") + "abc",
  };
  const std::string alphabet = "\r\n\t :;,=\"\\/.%#?*0159afAFzZ-+\0\x01\x7F\x80\xFF"s;
  std::mt19937_64 random(20240117);
  for (int round = 0; round < 30'000; ++round) {
    std::string stream = seeds[random() % seeds.size()];
    const size_t changes = 1 + random() % 3;
    for (size_t i = 0; i < changes && !stream.empty(); ++i) {
      const size_t at = random() % stream.size();
      const char byte = alphabet[random() % alphabet.size()];
      switch (random() % 4) {
        case 0:
          stream[at] = byte;
          break;
        case 1:
          stream.insert(at, 1, byte);
          break;
        case 2:
          stream.erase(at, 1 + random() % 3);
          break;
        default:
          stream.insert(at, stream.substr(random() % stream.size(), random() % 30));
      }
    }
    const std::string whole = http_trace(stream);
    ASSERT_EQ(http_trace(stream, cut_everywhere(stream.size())), whole) << stream;
    ASSERT_EQ(http_trace(stream, random_cuts(random, stream.size())), whole) << stream;
  }
}

}  // namespace
}  // namespace espora::http
