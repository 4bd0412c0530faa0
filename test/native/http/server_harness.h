// A server with real sockets, a real loop, and a handler that does what the path of a request says:
//
//   /now/...        answered at once
//   /gate/N/...     answered at once, held until the gate reaches N
//   /defer/...      answered when the test says so: Harness::answer_deferred
//   /later/...      deferred, and answered by work that the loop was posted
//   /big/N/...      answered at once, with a body of N bytes
//   /method/...     405 on the head, Allow: GET
//   anything else   404 on the head
//
// An answer's body is the request's method, path and body, so that it proves which one it is for.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/server.h"
#include "support/loop_thread.h"
#include "support/options.h"
#include "support/socket_client.h"

namespace espora::test {

inline constexpr http::Error not_found{404, "nada", "Nada aqui."};
inline constexpr http::Error method_not_allowed{405, "metodo", "Outro verbo."};
inline constexpr http::Error out_of_order{503, "fora", "Fora de serviço."};

class ScriptedHandler final : public http::Handler {
 public:
  struct Deferred {
    http::Ticket ticket;
    std::string body;
  };

  explicit ScriptedHandler(sys::EventLoop& loop) : loop_(loop) {}
  void serve(http::Server* server) noexcept { server_ = server; }

  http::HeadVerdict on_head(const http::Request& request) override {
    heads_.push_back(std::string(request.method) + " " + std::string(request.path));
    if (begins_with(request.path, "/method/")) {
      return {.refusal = &method_not_allowed, .allow = "GET"};
    }
    for (const std::string_view known : {"/now/", "/gate/", "/defer/", "/later/", "/big/"}) {
      if (begins_with(request.path, known)) return {.tag = {request.path.size(), 7}};
    }
    return {.refusal = &not_found};
  }

  void on_request(const http::Request& request, const http::Tag& tag,
                  http::Exchange& exchange) override {
    ESPORA_CHECK(tag.subject == request.path.size() && tag.kind == 7);  // its own, not another's
    const std::string body = std::string(request.method) + " " + std::string(request.path) + " " +
                             std::string(request.body);
    seen_.push_back(body);
    if (begins_with(request.path, "/gate/")) {
      exchange.answer({.body = body, .gate = number(request.path.substr(6))});
    } else if (begins_with(request.path, "/big/")) {
      exchange.answer({.body = std::string(number(request.path.substr(5)), 'b')});
    } else if (begins_with(request.path, "/defer/")) {
      exchange.defer();
      deferred_.push_back({exchange.ticket(), body});
    } else if (begins_with(request.path, "/later/")) {
      exchange.defer();
      loop_.post(
          [this, ticket = exchange.ticket(), body] { server_->answer(ticket, {.body = body}); });
    } else {
      exchange.answer({.body = body});
    }
  }

  // The loop's thread only.
  std::vector<std::string> seen_;   // complete requests
  std::vector<std::string> heads_;  // all of which a head was seen
  std::vector<Deferred> deferred_;  // in the order in which they came

 private:
  static bool begins_with(std::string_view text, std::string_view start) {
    return text.substr(0, start.size()) == start;
  }
  static uint64_t number(std::string_view text) {
    return std::strtoull(std::string(text).c_str(), nullptr, 10);
  }

  sys::EventLoop& loop_;
  http::Server* server_ = nullptr;
};

struct Response {
  int status = 0;  // 0: there was none
  std::string head;
  std::string body;

  // The value of a header, as written; empty without it.
  [[nodiscard]] std::string header(std::string_view name) const {
    const std::string line = "\r\n" + std::string(name) + ": ";
    const size_t at = head.find(line);
    if (at == std::string::npos) return {};
    const size_t begin = at + line.size();
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
};

// Takes the first response from the front of `bytes`; nullopt while it is not whole.
inline std::optional<Response> take_response(std::string& bytes, bool to_head = false) {
  const size_t head_end = bytes.find("\r\n\r\n");
  if (head_end == std::string::npos) return {};
  Response response;
  response.head = bytes.substr(0, head_end + 2);
  EXPECT_EQ(response.head.substr(0, 9), "HTTP/1.1 ") << bytes;
  response.status = std::atoi(response.head.c_str() + 9);
  size_t body_bytes = 0;
  if (!to_head && response.status >= 200) {
    const std::string length = response.header("Content-Length");
    EXPECT_FALSE(length.empty()) << response.head;
    body_bytes = std::strtoull(length.c_str(), nullptr, 10);
  }
  if (bytes.size() < head_end + 4 + body_bytes) return {};
  response.body = bytes.substr(head_end + 4, body_bytes);
  bytes.erase(0, head_end + 4 + body_bytes);
  return response;
}

class Client : public SocketClient {
 public:
  Client() = default;
  explicit Client(SocketClient socket) : SocketClient(std::move(socket)) {}

  // The next response. Status 0: the stream ended before it was whole.
  Response read_response(bool to_head = false) {
    for (;;) {
      if (auto response = take_response(unread_, to_head)) return *response;
      if (!receive(unread_)) return {};
    }
  }
  // Sends and reads one answer.
  Response exchange(std::string_view request, bool to_head = false) {
    if (!send(request)) return {};
    return read_response(to_head);
  }
  // Keeps no memory for what was read.
  void release_memory() {
    if (unread_.empty()) std::string().swap(unread_);
  }
  // Whether the stream ends here, without a further byte and without a reset.
  [[nodiscard]] bool ends_cleanly() { return receive_all().empty() && end() == End::clean; }
};

inline std::string get(std::string_view path, std::string_view headers = {}) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n" + std::string(headers) + "\r\n";
}
inline std::string post(std::string_view path, std::string_view body,
                        std::string_view headers = {}) {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(headers) + "\r\n" + std::string(body);
}
inline std::string head_of(std::string_view path) {
  return "HEAD " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n";
}

// Listens on both, TCP with a port that the kernel chose and a unix socket.
class Harness final : private sys::TurnHook {
 public:
  explicit Harness(http::ServerOptions options = server_options()) : handler_(thread_.loop()) {
    options.listen.host = "127.0.0.1";
    options.listen.port = 0;
    options.listen.unix_path = directory_.file("s");
    server_ = std::make_unique<http::Server>(thread_.loop(), handler_, options);
    handler_.serve(server_.get());
    const sys::Status listening = server_->listen();
    EXPECT_TRUE(listening.ok()) << listening.message();
    const sys::Status started = server_->start();
    EXPECT_TRUE(started.ok()) << started.message();
    thread_.loop().set_turn_hook(this);
    thread_.start();
  }
  ~Harness() {
    thread_.stop();
    server_.reset();
  }

  [[nodiscard]] Client connect(bool tcp) const {
    return Client(tcp ? SocketClient::tcp(server_->port())
                      : SocketClient::unix_path(directory_.file("s")));
  }
  [[nodiscard]] std::string socket_path() const { return directory_.file("s"); }

  http::Server& server() noexcept { return *server_; }
  [[nodiscard]] const http::ServerStats& stats() const noexcept { return server_->stats(); }
  sys::EventLoop& loop() noexcept { return thread_.loop(); }
  LoopThread& thread() noexcept { return thread_; }
  template <typename Work>
  auto call(Work work) {
    return thread_.call(std::move(work));
  }

  void open_gate(http::Gate gate) {
    call([&] { server_->open_gate(gate); });
  }
  // Answers the deferred request of that number, counted from 0.
  void answer_deferred(size_t index, http::Gate gate = 0) {
    call([&] {
      const auto& deferred = handler_.deferred_.at(index);
      server_->answer(deferred.ticket, {.body = deferred.body, .gate = gate});
    });
  }
  // How many requests were deferred so far. The loop's thread only.
  [[nodiscard]] size_t deferred() const noexcept { return handler_.deferred_.size(); }
  std::vector<std::string> seen() {
    return call([&] { return handler_.seen_; });
  }
  std::vector<std::string> heads() {
    return call([&] { return handler_.heads_; });
  }
  void forget_requests() {
    call([&] {
      std::vector<std::string>().swap(handler_.seen_);
      std::vector<std::string>().swap(handler_.heads_);
    });
  }
  // Turns of the loop so far.
  uint64_t turns() {
    return call([&] { return turns_; });
  }
  // Waits until the server has taken that many bytes from its sockets, in all.
  [[nodiscard]] bool wait_bytes_in(uint64_t bytes) const {
    return eventually([&] { return stats().bytes_in.get() >= bytes; });
  }
  [[nodiscard]] bool wait_requests(uint64_t requests) const {
    return eventually([&] { return stats().requests.get() >= requests; });
  }
  [[nodiscard]] bool wait_active(uint64_t connections) const {
    return eventually([&] { return stats().connections_active.get() == connections; });
  }

 private:
  void on_turn_end() override { ++turns_; }

  TemporaryDirectory directory_;
  LoopThread thread_;
  ScriptedHandler handler_;
  std::unique_ptr<http::Server> server_;
  uint64_t turns_ = 0;
};

// Tests that hold for both kinds of socket; the parameter says whether it is TCP.
class OverBoth : public testing::TestWithParam<bool> {
 protected:
  static bool tcp() { return GetParam(); }
};

inline std::string name_of_kind(const testing::TestParamInfo<bool>& info) {
  return info.param ? "tcp" : "unix";
}

#define ESPORA_OVER_BOTH(suite) \
  INSTANTIATE_TEST_SUITE_P(Over, suite, testing::Bool(), espora::test::name_of_kind)

}  // namespace espora::test
