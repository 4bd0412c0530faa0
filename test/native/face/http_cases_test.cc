// The project's conversations (test/fixtures/http-cases.json), byte for byte, against the service
// without sockets: whole, byte by byte, and cut at every single place.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/http_trace.h"
#include "support/json_value.h"
#include "support/pure_service.h"

namespace espora::face {
namespace {

struct Case {
  std::string name;
  std::string request;
  std::vector<std::vector<int>> statuses;  // each answer: any of these
  bool closes = false;
};

std::vector<Case> load_cases() {
  std::ifstream file(ESPORA_FIXTURES "/http-cases.json", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto document = test::JsonReader::read(text);
  std::vector<Case> cases;
  if (!document) return cases;
  for (const test::JsonValue& element : document->at(U"cases").elements) {
    Case one;
    one.name = test::to_bytes(element.at(U"name").string);
    one.request = test::to_bytes(element.at(U"request").string);
    one.closes = element.at(U"closes").boolean;
    for (const test::JsonValue& status : element.at(U"status").elements) {
      std::vector<int> any;
      if (status.type == test::JsonValue::Type::number)
        any.push_back(static_cast<int>(status.integer()));
      for (const test::JsonValue& each : status.elements)
        any.push_back(static_cast<int>(each.integer()));
      one.statuses.push_back(any);
    }
    cases.push_back(one);
  }
  return cases;
}

test::PureService play(const Case& one, const test::Cuts& cuts) {
  return test::PureService(one.request, cuts);
}

// One response off the front of `output`; every one has a Content-Length.
struct Response {
  int status = 0;
  std::string head;
  std::string body;
};

Response take_response(std::string& output, bool to_head) {
  Response response;
  const size_t head_end = output.find("\r\n\r\n");
  if (head_end == std::string::npos) return response;
  response.head = output.substr(0, head_end + 2);
  response.status = std::stoi(output.substr(9, 3));
  const size_t length_at = response.head.find("\r\nContent-Length: ") + 18;
  const size_t length = to_head ? 0 : std::stoul(response.head.substr(length_at));
  response.body = output.substr(head_end + 4, length);
  output.erase(0, head_end + 4 + length);
  return response;
}

TEST(HttpCases, FixtureIsThere) { EXPECT_GE(load_cases().size(), 130u); }

TEST(HttpCases, EveryCaseGetsItsAnswers) {
  for (const Case& one : load_cases()) {
    SCOPED_TRACE(one.name);
    const test::PureService service(one.request, {});
    ASSERT_EQ(service.statuses().size(), one.statuses.size());
    for (size_t i = 0; i < one.statuses.size(); ++i) {
      EXPECT_NE(std::find(one.statuses[i].begin(), one.statuses[i].end(), service.statuses()[i]),
                one.statuses[i].end())
          << service.statuses()[i];
    }
    EXPECT_EQ(service.closed(), one.closes);
    // The bytes say the same.
    std::string output(service.output());
    const bool to_head = one.request.starts_with("HEAD");
    for (const int status : service.statuses()) {
      if (status == 100) continue;
      const Response response = take_response(output, to_head);
      EXPECT_EQ(response.status, status);
      EXPECT_NE(response.head.find("\r\nContent-Type: application/json\r\n"), std::string::npos);
      EXPECT_NE(response.head.find("\r\nDate: Wed, 17 Jan 2024 02:34:41 GMT\r\n"),
                std::string::npos);
      EXPECT_EQ(response.head.find("\r\nAllow: ") != std::string::npos, status == 405);
      const bool last = output.empty();
      EXPECT_EQ(response.head.find("\r\nConnection: close\r\n") != std::string::npos,
                last && one.closes);
      if (to_head) continue;
      const auto body = test::JsonReader::read(response.body);
      ASSERT_TRUE(body.has_value()) << response.body;
      EXPECT_EQ(body->find(U"erro") != nullptr, status != 200);
    }
    EXPECT_EQ(output, "");
  }
}

TEST(HttpCases, CutsChangeNothing) {
  for (const Case& one : load_cases()) {
    SCOPED_TRACE(one.name);
    const std::string whole = play(one, {}).outcome();
    ASSERT_EQ(play(one, test::cut_everywhere(one.request.size())).outcome(), whole);
    // Long ones are long because of one long run: places inside it are all alike.
    const size_t step = one.request.size() > 3000 ? 97 : 1;
    for (size_t cut = 1; cut < one.request.size(); cut += step) {
      ASSERT_EQ(play(one, {cut}).outcome(), whole) << "cut at " << cut;
    }
  }
}

TEST(HttpCases, AnOpenConnectionTakesTheNextRequest) {
  for (const Case& one : load_cases()) {
    SCOPED_TRACE(one.name);
    test::PureService service(one.request, {});
    const size_t before = service.statuses().size();
    if (!service.closed() && service.statuses().back() == 100) {
      service.receive(std::string(4096, ' '));  // the body that was waited for
      EXPECT_EQ(service.statuses().back(), 400);
      EXPECT_EQ(service.statuses().size(), before + 1);
    }
    const size_t answered = service.statuses().size();
    service.receive("GET /clientes/2/extrato HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(service.statuses().size(), answered + (one.closes ? 0 : 1));
    EXPECT_EQ(service.statuses().back() == 200, !one.closes || one.statuses.back()[0] == 200);
  }
}

TEST(HttpCases, RandomConversationsDoNotDependOnTheCuts) {
  const std::vector<Case> cases = load_cases();
  std::mt19937_64 random(17);
  for (int round = 0; round < 300; ++round) {
    Case all;
    const size_t count = 1 + random() % 6;
    for (size_t i = 0; i < count; ++i) all.request += cases[random() % cases.size()].request;
    const std::string whole = play(all, {}).outcome();
    for (int i = 0; i < 5; ++i) {
      ASSERT_EQ(play(all, test::random_cuts(random, all.request.size())).outcome(), whole);
    }
  }
}

// --- What the fixture's statuses alone do not show -----------------------------------------------

std::string transaction(std::string_view path, std::string_view body,
                        std::string_view fields = "") {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n" + std::string(fields) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

std::vector<int> statuses_of(const std::string& stream, bool* closed = nullptr) {
  test::PureService service;
  service.receive(stream);
  if (closed != nullptr) *closed = service.closed();
  return service.statuses();
}

TEST(Conversation, OrderOfChecks) {
  const std::string large(4097, ' ');
  const std::string path = "/clientes/1/transacoes";
  bool closed = false;
  // Path, method and account come before the body's limit; the connection closes all the same.
  EXPECT_EQ(statuses_of(transaction("/nowhere", large), &closed), (std::vector<int>{404}));
  EXPECT_TRUE(closed);
  EXPECT_EQ(statuses_of(transaction("/clientes/6/transacoes", large), &closed),
            (std::vector<int>{404}));
  EXPECT_TRUE(closed);
  EXPECT_EQ(statuses_of(transaction("/clientes/6/extrato", large), &closed),
            (std::vector<int>{405}));
  EXPECT_TRUE(closed);
  EXPECT_EQ(statuses_of(transaction(path, large), &closed), (std::vector<int>{413}));
  EXPECT_TRUE(closed);
  // Method comes before account.
  EXPECT_EQ(statuses_of(transaction("/clientes/6/extrato", "x"), &closed), (std::vector<int>{405}));
  EXPECT_FALSE(closed);
  EXPECT_EQ(statuses_of(transaction("/clientes/99999999999/extrato", "x")),
            (std::vector<int>{405}));
  // Framing comes before the path.
  EXPECT_EQ(statuses_of(transaction("/nowhere", "x", "Content-Length: 1\r\n")),
            (std::vector<int>{400}));
  EXPECT_EQ(statuses_of("GET /nowhere HTTP/1.1\r\n\r\n"), (std::vector<int>{400}));
  // The body's limit comes before the body.
  EXPECT_EQ(statuses_of(transaction(path, std::string(4096, ' ')), &closed),
            (std::vector<int>{400}));
  EXPECT_FALSE(closed);
}

TEST(Conversation, ABodyForNobodyIsDroppedInEitherFraming) {
  const std::string chunked =
      "POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
  bool closed = true;
  EXPECT_EQ(
      statuses_of(chunked + transaction("/nowhere", "GET / HTTP/1.1\r\n\r\n") + chunked, &closed),
      (std::vector<int>{404, 404, 404}));
  EXPECT_FALSE(closed);
  const std::string too_large =
      "POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1001\r\n";
  EXPECT_EQ(statuses_of(too_large + chunked, &closed), (std::vector<int>{404}));
  EXPECT_TRUE(closed);
  // Broken framing is 400 whatever the path.
  EXPECT_EQ(statuses_of("POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx"),
            (std::vector<int>{400}));
}

TEST(Conversation, ContinueOnlyWhileNothingIsDecided) {
  const std::string expect =
      " HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 38\r\n\r\n";
  const std::string body = R"({"valor":1,"tipo":"c","descricao":"x"})";
  EXPECT_EQ(statuses_of("POST /clientes/1/transacoes" + expect), (std::vector<int>{100}));
  EXPECT_EQ(statuses_of("POST /clientes/6/transacoes" + expect), (std::vector<int>{}));
  EXPECT_EQ(statuses_of("POST /clientes/1/transacoes" + expect + body), (std::vector<int>{200}));
  test::PureService service;
  service.receive("POST /clientes/1/transacoes" + expect);
  service.receive(body);
  EXPECT_EQ(service.statuses(), (std::vector<int>{100, 200}));
  EXPECT_TRUE(service.output().ends_with(R"({"limite":100000,"saldo":1})"));
}

TEST(Conversation, HeadSaysTheLengthOfTheStatement) {
  test::PureService get;
  get.receive("GET /clientes/1/extrato HTTP/1.1\r\nHost: a\r\n\r\n");
  test::PureService head;
  head.receive("HEAD /clientes/1/extrato HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string full(get.output());
  EXPECT_EQ(head.output(), full.substr(0, full.find("\r\n\r\n") + 4));
  // Refusals to HEAD have no body either, and the next answer follows at once.
  test::PureService refused;
  refused.receive(
      "HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\nHEAD /clientes/1/transacoes HTTP/1.1\r\nHost: "
      "a\r\n\r\n");
  EXPECT_EQ(refused.statuses(), (std::vector<int>{404, 405}));
  EXPECT_EQ(refused.output().find('{'), std::string_view::npos);
  for (const char* rest :
       {"/x HTTP/1.1\r\n\r\n", "/x HTTP/2.0\r\n\r\n", "x", "/x HTTP/1.1\r\nX : y\r\n",
        "/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n"}) {
    test::PureService malformed;
    malformed.receive("HEAD " + std::string(rest) + (rest[0] == 'x' ? " HTTP/1.1\r\n\r\n" : ""));
    ASSERT_EQ(malformed.statuses().size(), 1u) << rest;
    EXPECT_EQ(malformed.output().find('{'), std::string_view::npos) << rest;
  }
  // A word that only begins like it is another method.
  test::PureService other;
  other.receive("HEADS /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_NE(other.output().find('{'), std::string_view::npos);
}

TEST(Conversation, Http10SaysThatItStays) {
  test::PureService service;
  service.receive("GET /clientes/1/extrato HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_NE(service.output().find("\r\nConnection: keep-alive\r\n"), std::string_view::npos);
  EXPECT_FALSE(service.closed());
  service.receive("GET /clientes/1/extrato HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(service.closed());
}

}  // namespace
}  // namespace espora::face
