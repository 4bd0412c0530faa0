// Responses byte for byte, the table of errors as it reaches the wire, and the buffer beneath.
#include "http/response_writer.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>

#include "support/json_value.h"

namespace espora::http {
namespace {

constexpr std::string_view date = "Sun, 06 Nov 1994 08:49:37 GMT";

std::string response(const ResponseHead& head, std::string_view body) {
  OutputBuffer out;
  append_response(out, head, date, body);
  return std::string(out.view());
}

TEST(Response, HasTheHeadersThatEveryAnswerHas) {
  EXPECT_EQ(response({}, "{}"),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n{}");
}

TEST(Response, SaysHowTheConnectionGoesOn) {
  EXPECT_EQ(response({.status = 400, .persistence = Persistence::close}, ""),
            "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 0\r\n"
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(response({.persistence = Persistence::say_keep_alive}, ""),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n"
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: keep-alive\r\n\r\n");
}

TEST(Response, ToHeadHasTheLengthButNoBody) {
  EXPECT_EQ(response({.without_body = true}, "{\"a\":1}"),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n"
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
}

TEST(Response, WithAllowSaysTheMethods) {
  EXPECT_EQ(response({.status = 405, .allow = "GET, HEAD"}, "x"),
            "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: application/json\r\nContent-Length: "
            "1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nAllow: GET, HEAD\r\n\r\nx");
}

TEST(Response, LargeBodiesAndManyResponsesKeepTheirOrder) {
  OutputBuffer out;
  std::string expected;
  for (size_t i = 0; i < 200; ++i) {
    const std::string body(i * 37 % 5000, static_cast<char>('a' + i % 26));
    append_response(out, {}, date, body);
    expected += response({}, body);
  }
  EXPECT_EQ(out.view(), expected);
}

TEST(Response, InterimContinueHasNoHeaders) {
  OutputBuffer out;
  append_continue(out);
  EXPECT_EQ(out.view(), "HTTP/1.1 100 Continue\r\n\r\n");
}

TEST(Response, PhrasesOfStatuses) {
  const auto line = [](uint16_t status) {
    OutputBuffer out;
    append_response(out, {.status = status}, date, "{}");
    return std::string(out.view().substr(0, out.view().find('\r')));
  };
  EXPECT_EQ(line(200), "HTTP/1.1 200 OK");
  EXPECT_EQ(line(422), "HTTP/1.1 422 Unprocessable Content");
  EXPECT_EQ(line(507), "HTTP/1.1 507 Insufficient Storage");
}

TEST(ErrorTable, EveryErrorIsAnAnswerThatAClientCanRead) {
  std::set<std::string_view> codes;
  for (const Error* error : errors::all()) {
    EXPECT_TRUE(codes.insert(error->code).second) << error->code;
    EXPECT_EQ(error->message.back(), '.') << error->code;
    OutputBuffer out;
    append_error_response(out, {.status = 200, .persistence = Persistence::close}, date, *error);
    const std::string text(out.view());
    EXPECT_EQ(text.substr(0, 13), "HTTP/1.1 " + std::to_string(error->status) + " ");
    const std::string body = text.substr(text.find("\r\n\r\n") + 4);
    EXPECT_NE(text.find("Content-Length: " + std::to_string(body.size()) + "\r\n"),
              std::string::npos);
    const auto json = test::JsonReader::read(body);
    ASSERT_TRUE(json.has_value()) << body;
    ASSERT_EQ(json->members.size(), 2u);
    EXPECT_EQ(test::to_bytes(json->at(U"erro").string), error->code);
    EXPECT_EQ(test::to_bytes(json->at(U"mensagem").string), error->message);
  }
  EXPECT_EQ(codes.size(), 13u);
}

TEST(ErrorTable, TextsAreEscaped) {
  OutputBuffer out;
  append_error_response(out, {}, date, Error{400, "c", "a \"b\" \\ c."});
  EXPECT_TRUE(
      out.view().ends_with("\r\n\r\n{\"erro\":\"c\",\"mensagem\":\"a \\\"b\\\" \\\\ c.\"}"));
}

TEST(OutputBuffer, BehavesLikeAQueueOfBytes) {
  std::mt19937_64 random(7);
  OutputBuffer out;
  std::string model;
  for (int round = 0; round < 20'000; ++round) {
    switch (random() % 5) {
      case 0: {
        const std::string text(random() % 300, static_cast<char>('a' + round % 26));
        out.append(text);
        model += text;
        break;
      }
      case 1: {
        const size_t room = random() % 3000;
        char* at = out.prepare(room);
        const size_t used = room == 0 ? 0 : random() % room;
        for (size_t i = 0; i < used; ++i) at[i] = static_cast<char>('A' + i % 26);
        model.append(at, used);
        out.commit(at + used);
        break;
      }
      case 2:
      case 3: {
        const size_t bytes = random() % (model.size() + 1);
        out.consume(bytes);
        model.erase(0, bytes);
        break;
      }
      default:
        if (random() % 50 == 0) {
          random() % 2 == 0 ? out.clear() : out.release();
          model.clear();
        }
        if (random() % 50 == 0) {
          OutputBuffer moved(std::move(out));
          out = std::move(moved);
        }
    }
    ASSERT_EQ(out.view(), model);
    ASSERT_EQ(out.empty(), model.empty());
  }
}

TEST(OutputBuffer, ReusesItsMemory) {
  OutputBuffer out;
  EXPECT_EQ(out.capacity(), 0u);
  out.append("x");
  const size_t capacity = out.capacity();
  for (int i = 0; i < 10'000; ++i) {
    out.append(std::string(1000, 'y'));
    out.consume(1000);
  }
  EXPECT_EQ(out.size(), 1u);
  EXPECT_EQ(out.capacity(), capacity);
  out.release();
  EXPECT_EQ(out.capacity(), 0u);
}

}  // namespace
}  // namespace espora::http
