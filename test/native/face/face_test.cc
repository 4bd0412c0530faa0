// The face between clients and an engine that says what the test tells it to.
#include "face/face.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "face/errors.h"
#include "face/route.h"
#include "support/options.h"
#include "support/socket_client.h"
#include "sys/event_loop.h"

namespace espora::face {
namespace {

using engine::AccountRef;
using engine::Outcome;
using engine::Result;

constexpr std::string_view debit_body = R"({"valor":7,"tipo":"d","descricao":"x"})";

class ScriptedEngine final : public engine::Engine {
 public:
  AccountRef find(uint32_t id) const noexcept override {
    finds++;
    return id == 3 ? AccountRef{3'000'000'000'000} : AccountRef::none;
  }
  std::optional<Result> refusal() const noexcept override { return refused; }
  Outcome post(AccountRef account, const engine::Transaction& transaction,
               engine::Ticket ticket) override {
    EXPECT_EQ(transaction.amount, 7);
    EXPECT_EQ(transaction.kind, engine::Kind::debit);
    return say("post", account, ticket);
  }
  Outcome statement(AccountRef account, engine::Ticket ticket) override {
    return say("statement", account, ticket);
  }

  mutable int finds = 0;
  std::optional<Result> refused;
  Outcome next;
  std::vector<std::string> asked;
  std::vector<engine::Ticket> tickets;

 private:
  Outcome say(const char* what, AccountRef account, engine::Ticket ticket) {
    EXPECT_EQ(account, AccountRef{3'000'000'000'000});
    asked.emplace_back(what);
    tickets.push_back(ticket);
    return next;
  }
};

class Taken final : public http::Exchange {
 public:
  void answer(const http::Answer& given) override {
    times++;
    error = given.error;
    text = given.body;
    gate = given.gate;
  }
  void defer() override { deferred = true; }
  http::Ticket ticket() const override { return {11, 12}; }

  int times = 0;
  bool deferred = false;
  const http::Error* error = nullptr;
  std::string text;
  http::Gate gate = 0;
};

http::Request request_of(std::string_view method, std::string_view path, std::string_view content) {
  http::Request request;
  request.method = method;
  request.path = path;
  request.body = content;
  return request;
}

Taken ask(Face& face, const http::Request& request) {
  const http::HeadVerdict verdict = face.on_head(request);
  EXPECT_EQ(verdict.refusal, nullptr);
  Taken taken;
  face.on_request(request, verdict.tag, taken);
  return taken;
}

const http::Request posting = request_of("POST", "/clientes/3/transacoes", debit_body);
const http::Request asking = request_of("GET", "/clientes/3/extrato", {});

TEST(Face, TheAccountIsFoundOnce) {
  ScriptedEngine engine;
  Face face(engine);
  engine.next = {Result::applied, 5, {.limit = 100, .balance = -7}};
  const Taken posted = ask(face, posting);
  EXPECT_EQ(posted.text, R"({"limite":100,"saldo":-7})");
  EXPECT_EQ(posted.gate, 5u);
  engine.next = {Result::shown, 4, {.limit = 100, .balance = -7}};
  const Taken shown = ask(face, asking);
  EXPECT_NE(shown.text.find(R"("ultimas_transacoes":[])"), std::string::npos);
  EXPECT_EQ(shown.gate, 4u);
  EXPECT_EQ(engine.finds, 2);
  EXPECT_EQ(engine.asked, (std::vector<std::string>{"post", "statement"}));
  EXPECT_EQ(engine.tickets[0].connection, 11u);
  EXPECT_EQ(engine.tickets[0].request, 12u);
}

TEST(Face, EachRefusalHasItsError) {
  ScriptedEngine engine;
  Face face(engine);
  const std::map<Result, const http::Error*> errors = {
      {Result::account_unknown, &errors::account_unknown},
      {Result::limit_insufficient, &errors::limit_insufficient},
      {Result::balance_too_large, &errors::balance_too_large},
      {Result::store_full, &errors::store_full},
      {Result::store_refuses, &errors::store_refuses},
      {Result::store_waits_for_space, &errors::store_waits_for_space},
      {Result::store_failed, &errors::store_failed},
  };
  for (const auto& [result, error] : errors) {
    engine.next = {result, 9};
    const Taken taken = ask(face, posting);
    EXPECT_EQ(taken.error, error);
    EXPECT_EQ(taken.times, 1);
    EXPECT_EQ(taken.gate, 9u);
  }
  EXPECT_EQ(face.stats().store_full, 1u);
}

// 404 and 405 say nothing about what the engine holds; that an account does not exist would.
TEST(Face, WhileNothingIsServedNothingIsJudged) {
  ScriptedEngine engine;
  Face face(engine);
  EXPECT_EQ(face.on_head(request_of("GET", "/clientes/4/extrato", {})).refusal,
            &errors::account_unknown);
  EXPECT_EQ(ask(face, request_of("POST", "/clientes/3/transacoes", "x")).error,
            &errors::body_not_json);
  engine.refused = Result::store_waits_for_space;
  EXPECT_EQ(face.on_head(request_of("GET", "/clientes/4/extrato", {})).refusal,
            &errors::store_waits_for_space);
  EXPECT_EQ(ask(face, request_of("POST", "/clientes/3/transacoes", "x")).error,
            &errors::store_waits_for_space);
  EXPECT_EQ(face.on_head(request_of("GET", "/x", {})).refusal, &errors::path_unknown);
  const http::HeadVerdict other = face.on_head(request_of("PUT", "/clientes/4/extrato", {}));
  EXPECT_EQ(other.refusal, &errors::method_not_allowed);
  EXPECT_EQ(other.allow, "GET, HEAD");
  EXPECT_TRUE(engine.asked.empty());
}

// A real server, without turns of its loop: what has arrived is served when the socket is adopted.
class ServedFace : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(loop_.init().ok());
    face_.serve(server_);
  }
  void send(std::string_view bytes) {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    client_ = test::SocketClient{sys::Fd(pair[0])};
    ASSERT_TRUE(client_.send(bytes));
    server_.adopt(sys::Fd(pair[1]));
  }
  // What the client has got, without waiting for it.
  std::string arrived() {
    std::string all(4096, '\0');
    const ssize_t got = ::recv(client_.fd(), all.data(), all.size(), MSG_DONTWAIT);
    all.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return all;
  }

  sys::EventLoop loop_;
  ScriptedEngine engine_;
  Face face_{engine_};
  http::Server server_{loop_, face_, test::server_options()};
  test::SocketClient client_;
};

std::string http_post() {
  return "POST /clientes/3/transacoes HTTP/1.1\r\nHost: a\r\nContent-Length: " +
         std::to_string(debit_body.size()) + "\r\n\r\n" + std::string(debit_body);
}

TEST_F(ServedFace, ALaterAnswerGoesWhereItsTicketSays) {
  engine_.next = {Result::later};
  send(http_post());
  EXPECT_EQ(arrived(), "");
  face_.answer(engine_.tickets.at(0), {Result::applied, 2, {.limit = 100, .balance = -7}});
  EXPECT_EQ(arrived(), "");
  face_.open_gate(2);
  EXPECT_TRUE(arrived().ends_with("\r\n\r\n{\"limite\":100,\"saldo\":-7}"));
}

TEST_F(ServedFace, WhatIsTakenBackIsRefusedAndStatementsAreMadeAnew) {
  engine_.next = {Result::shown, 3, {.limit = 100, .balance = -7}};
  // The first is a statement to the engine's script; the face only knows what it asked for.
  send("GET /clientes/3/extrato HTTP/1.1\r\nHost: a\r\n\r\n" + http_post());
  EXPECT_EQ(engine_.asked, (std::vector<std::string>{"statement", "post"}));
  engine_.next = {Result::shown, 0, {.limit = 100, .balance = 500}};
  face_.take_back();
  EXPECT_EQ(engine_.asked, (std::vector<std::string>{"statement", "post", "statement"}));
  const std::string all = arrived();
  EXPECT_NE(all.find("\"total\":500"), std::string::npos) << all;
  EXPECT_NE(all.find("HTTP/1.1 507 "), std::string::npos) << all;
  EXPECT_EQ(face_.stats().store_full, 1u);
}

TEST_F(ServedFace, WhatIsNotDecidedIsNoAnswer) {
  engine_.next = {Result::later};
  send(http_post());
  EXPECT_DEATH(face_.answer(engine_.tickets.at(0), {Result::later}), "later");
  EXPECT_EQ(arrived(), "");
}

TEST_F(ServedFace, WhatIsHeldFailsWithTheStore) {
  engine_.next = {Result::applied, 3, {.limit = 100, .balance = -7}};
  send(http_post());
  face_.fail_held();
  EXPECT_TRUE(arrived().starts_with("HTTP/1.1 503 "));
  EXPECT_EQ(face_.stats().store_full, 0u);
}

}  // namespace
}  // namespace espora::face
