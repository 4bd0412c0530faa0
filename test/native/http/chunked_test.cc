// The chunked coding as the parser reads it: sizes, extensions, trailers, their limits, and the gap
// that framing leaves in the receive buffer.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>

#include "http/request_parser.h"
#include "support/http_trace.h"

namespace espora::http {
namespace {

using test::cut_everywhere;
using test::Feeder;
using test::http_trace;
using test::random_cuts;

using namespace std::string_literals;

const std::string chunked_head =
    "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const std::string head_line = "head POST /x 1.1 keep chunked\n";

std::string chunked_trace(const std::string& stream) {
  const std::string whole = http_trace(stream);
  EXPECT_EQ(http_trace(stream, cut_everywhere(stream.size())), whole);
  for (size_t cut = chunked_head.size(); cut < stream.size() && cut < chunked_head.size() + 500;
       ++cut) {
    EXPECT_EQ(http_trace(stream, {cut}), whole) << "cut at " << cut << " of " << stream;
  }
  return whole;
}

std::string body_trace(std::string_view body) {
  return head_line + "body " + std::string(body) + "\nof POST /x\n";
}

std::string chunked_error_trace(const Error& error) {
  return head_line + "error " + std::to_string(error.status) + " " + std::string(error.code) + "\n";
}

TEST(Chunked, DataOfAllChunksIsOneBody) {
  EXPECT_EQ(chunked_trace(chunked_head + "0\r\n\r\n"), body_trace(""));
  EXPECT_EQ(chunked_trace(chunked_head + "3\r\nabc\r\n0\r\n\r\n"), body_trace("abc"));
  EXPECT_EQ(chunked_trace(chunked_head + "1\r\na\r\n2\r\nbc\r\n0A\r\n0123456789\r\n00\r\n\r\n"),
            body_trace("abc0123456789"));
  // What looks like framing inside the data is data.
  EXPECT_EQ(chunked_trace(chunked_head + "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"),
            body_trace("\r\n0\r\n\r\n"));
  EXPECT_EQ(chunked_trace(chunked_head + "2\r\n\0\xFF\r\n0\r\n\r\n"s), body_trace("\0\xFF"s));
}

TEST(Chunked, NextRequestFollows) {
  const std::string one = chunked_head + "3;a\r\nabc\r\n0\r\nX: y\r\n\r\n";
  EXPECT_EQ(chunked_trace(one + one), body_trace("abc") + body_trace("abc"));
}

TEST(Chunked, SizesAreHexadecimalOfAnyCaseWithLeadingZeros) {
  const std::string ten = "0123456789";
  for (const char* size : {"a", "A", "0a", "000000000000000000000000000000000000000A"}) {
    EXPECT_EQ(chunked_trace(chunked_head + size + "\r\n" + ten + "\r\n0\r\n\r\n"), body_trace(ten))
        << size;
  }
  const std::string data(0x1bc, 'd');
  EXPECT_EQ(http_trace(chunked_head + "1bC\r\n" + data + "\r\n0\r\n\r\n"), body_trace(data));
  EXPECT_EQ(http_trace(chunked_head + "1Bc\r\n" + data + "\r\n0\r\n\r\n"), body_trace(data));
}

TEST(Chunked, WhatIsNoSize) {
  const std::string invalid = chunked_error_trace(errors::chunk_invalid);
  for (const char* line : {"",
                           "x",
                           "g",
                           "+3",
                           "-3",
                           " 3",
                           "3 ",
                           "\t3",
                           "3\t",
                           "0x3",
                           "3h",
                           "3,",
                           "3.0",
                           "3\"",
                           ";a",
                           "\xEF\xBC\x93",
                           "fffffffffffffffff",
                           "10000000000000000",
                           "10000000000000003",
                           "3\n",
                           "3\rX"}) {
    EXPECT_EQ(chunked_trace(chunked_head + line + "\r\nabc\r\n0\r\n\r\n"), invalid) << line;
  }
}

TEST(Chunked, EveryByteBehindASize) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string trace =
        chunked_trace(chunked_head + "3"s + static_cast<char>(byte) + "\nabc\r\n0\r\n\r\n");
    if (byte == '\r') {
      EXPECT_EQ(trace, body_trace("abc"));
    } else {
      EXPECT_EQ(trace, chunked_error_trace(errors::chunk_invalid)) << byte;
    }
  }
}

TEST(Chunked, LineEndsAreExact) {
  const std::string invalid = chunked_error_trace(errors::chunk_invalid);
  for (const char* body :
       {"3\nabc\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n", "3\r\nabc\r0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n", "3\r\nabc0\r\n\r\n", "4\r\nabc\r\n0\r\n\r\n",
        "3\r\r\nabc\r\n0\r\n\r\n", "3\r\nabc\r\n\r\n0\r\n\r\n", "3\r\nabc\r\n0\n\r\n"}) {
    EXPECT_EQ(chunked_trace(chunked_head + body), invalid) << body;
  }
  EXPECT_EQ(chunked_trace(chunked_head + "0\r\n\n"), chunked_error_trace(errors::field_invalid));
  EXPECT_EQ(chunked_trace(chunked_head + "0\r\n\rX"), chunked_error_trace(errors::field_invalid));
}

TEST(Chunked, IncompleteBodiesWaitForMore) {
  const std::string stream = chunked_head + "3;a=\"b\"\r\nabc\r\n0\r\nX: y\r\n\r\n";
  for (size_t bytes = chunked_head.size(); bytes < stream.size(); ++bytes) {
    EXPECT_EQ(http_trace(stream.substr(0, bytes)), head_line) << bytes;
  }
}

TEST(Chunked, Extensions) {
  for (const char* extension :
       {";a", ";a=b", ";a=bcd", ";abc=d", ";a=\"b\"", ";a=\"\"", ";a;b=c;d=\"e;f\\\"\\\\\"",
        ";!#$%&'*+-.^_`|~=1", ";a=\"\t \x80\xFF\"", ";a=\"\\\t\""}) {
    EXPECT_EQ(
        chunked_trace(chunked_head + "3" + extension + "\r\nabc\r\n0" + extension + "\r\n\r\n"),
        body_trace("abc"))
        << extension;
  }
  for (const std::string& extension :
       {";"s,           ";;a"s,        ";a="s,        ";a=;b"s,      "; a"s,
        " ;a"s,         ";a =b"s,      ";a= b"s,      ";a "s,        ";a=b "s,
        ";a=\"b\" "s,   ";a=\"b\"c"s,  ";a=\"b"s,     ";a=\"b\\"s,   ";a=\"\x01\""s,
        ";a=\"\x7F\""s, ";a=\"\0\""s,  ";=b"s,        ";a==b"s,      ";a=b=c"s,
        ";a,b"s,        ";\"a\""s,     ";a=b\"c\""s,  ";a\xC3\xA9"s, ";a=\"\\\x01\""s,
        ";a\n"s,        ";a=\"b\n\""s, ";a=\"\r\n\""s}) {
    EXPECT_EQ(chunked_trace(chunked_head + "3" + extension + "\r\nabc\r\n0\r\n\r\n"),
              chunked_error_trace(errors::chunk_invalid))
        << extension;
  }
}

TEST(Chunked, LinesOfAllChunksTogetherAreLimited) {
  constexpr size_t max = limits::http_chunk_lines_bytes_max;
  const auto with_extension = [](size_t bytes) {
    return chunked_head + "1;" + std::string(bytes, 'e') + "\r\na\r\n0\r\n\r\n";
  };
  EXPECT_EQ(chunked_trace(with_extension(max - 3)), body_trace("a"));
  EXPECT_EQ(chunked_trace(with_extension(max - 2)), chunked_error_trace(errors::body_too_large));
  EXPECT_EQ(chunked_trace(chunked_head + std::string(max, '0') + "\r\n\r\n"), body_trace(""));
  EXPECT_EQ(chunked_trace(chunked_head + std::string(max + 1, '0')),
            chunked_error_trace(errors::body_too_large));
  std::string many = chunked_head;
  for (int i = 0; i < 600; ++i) many += "1;" + std::string(30, 'e') + "\r\na\r\n";
  EXPECT_EQ(chunked_trace(many), chunked_error_trace(errors::body_too_large));
}

TEST(Chunked, BodyLimitIsExactAndComesBeforeTheData) {
  const std::string limit(4096, 'b');
  EXPECT_EQ(http_trace(chunked_head + "1000\r\n" + limit + "\r\n0\r\n\r\n"), body_trace(limit));
  const std::string too_large = chunked_error_trace(errors::body_too_large);
  EXPECT_EQ(chunked_trace(chunked_head + "1001\r\n"), too_large);
  EXPECT_EQ(chunked_trace(chunked_head + "fff\r\n" + limit.substr(1) + "\r\n2\r\n"), too_large);
  EXPECT_EQ(http_trace(chunked_head + "fff\r\n" + limit.substr(1) + "\r\n1\r\nb\r\n0\r\n\r\n"),
            body_trace(limit));
  EXPECT_EQ(chunked_trace(chunked_head + "100000003\r\n"), too_large);         // 2^32 + 3
  EXPECT_EQ(chunked_trace(chunked_head + "ffffffffffffffff\r\n"), too_large);  // 2^64 - 1
  EXPECT_EQ(chunked_trace(chunked_head + "8000000000000000\r\n"), too_large);
  EXPECT_EQ(chunked_trace(chunked_head + "ffffffffffffffff"),
            head_line);  // may still become malformed
  EXPECT_EQ(http_trace(chunked_head + "1\r\n", {}, 0), too_large);
  EXPECT_EQ(http_trace(chunked_head + "0\r\n\r\n", {}, 0), body_trace(""));
}

TEST(Chunked, BodyInChunksOfOneByteFitsTheBufferWithEveryCut) {
  std::string stream = chunked_head;
  std::string body;
  for (int i = 0; i < 4096; ++i) {
    const char byte = static_cast<char>('a' + i % 26);
    stream += "1\r\n"s + byte + "\r\n";
    body += byte;
  }
  stream += "0\r\n\r\n";
  // Larger than receive_bytes_max(): Feeder checks that closing the gap makes it fit.
  ASSERT_GT(stream.size() + 8192, RequestParser::receive_bytes_max(4096) / 2);
  EXPECT_EQ(http_trace(stream), body_trace(body));
  EXPECT_EQ(http_trace(stream, cut_everywhere(stream.size())), body_trace(body));
}

TEST(Chunked, LargestRequestOfAllFitsTheBuffer) {
  const std::string target(limits::http_request_line_bytes_max - 15, 't');
  std::string stream = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nPOST /" + target + " HTTP/1.1\r\n";
  const std::string fields = "Host: a\r\nTransfer-Encoding: chunked\r\n";
  const std::string trailer = "Y: y\r\n";
  stream += fields + "X: ";
  stream += std::string(limits::http_fields_bytes_max - fields.size() - 5 - trailer.size(), 'x');
  stream += "\r\n\r\n";
  const std::string body(4096, 'b');
  stream += "ff0;" + std::string(8000, 'e') + "\r\n" + body.substr(0, 0xff0) + "\r\n";
  stream += "10;" + std::string(8000, 'e') + "\r\n" + body.substr(0xff0) + "\r\n0\r\n";
  for (const size_t extra : {size_t{0}, size_t{1}}) {
    const std::string end = "Y: y" + std::string(extra, 'y') + "\r\n\r\n";
    const std::string trace = http_trace(stream + end);
    EXPECT_EQ(http_trace(stream + end, cut_everywhere(stream.size() + end.size())), trace);
    EXPECT_EQ(trace.find("error 431") != std::string::npos, extra != 0);
    EXPECT_EQ(trace.find("body " + body) != std::string::npos, extra == 0);
  }
}

TEST(Chunked, TrailersAreDropped) {
  for (const char* trailer :
       {"X: y\r\n", "X:\r\n", "Connection: close\r\n", "Expect: x\r\n", "Hosts: a\r\n",
        "X: y\r\nContent-Lengths: 3\r\n", "Content-Type: Transfer-Encoding\r\n"}) {
    EXPECT_EQ(chunked_trace(chunked_head + "3\r\nabc\r\n0\r\n" + trailer + "\r\n"),
              body_trace("abc"))
        << trailer;
  }
}

TEST(Chunked, TrailersThatWouldFrameOrRouteAreRefused) {
  const std::string refused = chunked_error_trace(errors::field_invalid);
  for (const char* trailer : {"Content-Length: 3", "CONTENT-LENGTH:", "Transfer-Encoding: chunked",
                              "transfer-encoding: x", "Host: a", "hOST:", "X: y\r\nHost: a",
                              "X : y", ": y", "X", " X: y", "X: a\r\n b", "X: a\rb", "X: \x7F"}) {
    EXPECT_EQ(chunked_trace(chunked_head + "3\r\nabc\r\n0\r\n" + trailer + "\r\n\r\n"), refused)
        << trailer;
  }
}

TEST(Chunked, TrailersShareTheLimitsOfFields) {
  const std::string last = chunked_head + "0\r\n";
  std::string many = last;
  for (unsigned i = 2; i < limits::http_fields_max; ++i) many += "X: y\r\n";
  EXPECT_EQ(chunked_trace(many + "\r\n"), body_trace(""));
  EXPECT_EQ(chunked_trace(many + "X: y\r\n\r\n"), chunked_error_trace(errors::fields_too_large));
  const size_t left =
      limits::http_fields_bytes_max - "Host: a\r\nTransfer-Encoding: chunked\r\n"s.size();
  EXPECT_EQ(chunked_trace(last + "X: " + std::string(left - 5, 'v') + "\r\n\r\n"), body_trace(""));
  EXPECT_EQ(chunked_trace(last + "X: " + std::string(left - 4, 'v') + "\r\n\r\n"),
            chunked_error_trace(errors::fields_too_large));
}

// What the parser says about `stream` when the gap is closed once, after `at` bytes, and the rest
// comes in pieces of `step` with the gap closed after each.
std::string trace_with_gaps_closed(const std::string& stream, size_t at, size_t step) {
  using Outcome = RequestParser::Outcome;
  RequestParser parser(test::request_body_bytes_max);
  std::string bytes;
  size_t given = 0;
  std::string trace;
  for (size_t count = at;; count = step) {
    const std::string piece = stream.substr(given, count);
    if (piece.empty()) return trace + "unfinished";
    given += piece.size();
    bytes += piece;
    Outcome outcome = parser.parse(bytes);
    if (outcome == Outcome::head) outcome = parser.parse(bytes);
    if (outcome == Outcome::error) return "error " + std::string(parser.error().code);
    if (outcome == Outcome::complete) {
      return "body " + std::string(parser.request().body) +
             (parser.consumed() == bytes.size() ? "" : " and more");
    }
    const size_t left = parser.close_gap(bytes);
    EXPECT_LE(left, bytes.size());
    bytes.resize(left);
    EXPECT_EQ(parser.close_gap(bytes), left);  // nothing is left to close
  }
}

TEST(Chunked, GapClosesAtEveryPoint) {
  const std::string chunks =
      chunked_head + "3;ext=\"quoted\"\r\nabc\r\n0a\r\n0123456789\r\n0;x\r\n";
  const std::string good = chunks + "Trailer: value\r\nHosts: a\r\n\r\n";
  // A line that the parser must still know from its first byte when its last one comes.
  const std::string bad = chunks + "Trailer: value\r\nHost: a\r\n\r\n";
  for (const size_t step : {size_t{1}, size_t{7}, size_t{1000}}) {
    for (size_t at = 1; at < good.size(); ++at) {
      EXPECT_EQ(trace_with_gaps_closed(good, at, step), "body abc0123456789") << at;
    }
    for (size_t at = 1; at < bad.size(); ++at) {
      EXPECT_EQ(trace_with_gaps_closed(bad, at, step), "error cabecalho_invalido") << at;
    }
  }
}

TEST(Chunked, LimitOfTrailersIsExactWhenGapsAreClosed) {
  const size_t left =
      limits::http_fields_bytes_max - "Host: a\r\nTransfer-Encoding: chunked\r\n"s.size();
  const std::string chunks = chunked_head + "3;" + std::string(500, 'e') + "\r\nabc\r\n0\r\n";
  const std::string short_line = "X: y\r\n";
  for (const size_t step : {size_t{1}, size_t{64}, size_t{5000}}) {
    for (const size_t extra : {size_t{0}, size_t{1}}) {
      const std::string stream = chunks + short_line +
                                 "Y: " + std::string(left - short_line.size() - 5 + extra, 'v') +
                                 "\r\n\r\n";
      EXPECT_EQ(trace_with_gaps_closed(stream, chunked_head.size() + 9, step),
                extra == 0 ? "body abc" : "error cabecalhos_grandes_demais");
    }
  }
}

}  // namespace
}  // namespace espora::http
