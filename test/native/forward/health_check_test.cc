// One check after another with the same object: none knows anything of the one before it.
#include "forward/health_check.h"

#include <optional>
#include <string>
#include <vector>

#include "forward/rig.h"
#include "support/loop_thread.h"

namespace espora::forward {
namespace {

class HealthCheckTest : public testing::Test, private HealthCheck::Owner {
 protected:
  HealthCheckTest() {
    options_.check = Check::http;
    options_.timeout_ms = patience_ms;
    HealthCheck::Owner& owner = *this;
    check_ = std::make_unique<HealthCheck>(thread_.loop(), options_, "name", owner);
    thread_.start();
  }
  void TearDown() override {
    thread_.call([&] { check_.reset(); });
    thread_.stop();
  }
  void begin(const sys::Address& address, Check kind = Check::http) {
    thread_.call([&] {
      told_.reset();
      check_->start(kind, sys::resolve(address).value().front());
      EXPECT_FALSE(told_.has_value()) << "never within start()";
    });
  }
  // How it went, once it has.
  std::string told() {
    std::string how;
    EXPECT_TRUE(eventually([&] {
      how = thread_.call([&] { return told_.value_or(""); });
      return !how.empty();
    }));
    return how;
  }
  void answer(TestServer& server, const std::string& text) {
    Peer peer = server.accept();
    ASSERT_TRUE(peer.valid());
    std::string request;
    while (!request.ends_with("\r\n\r\n") && request.size() < 1024) request += peer.receive(1);
    EXPECT_TRUE(request.starts_with("GET "));
    peer.send_text(text);
  }
  TemporaryFolder folder_;
  CheckOptions options_ = test::check_options();

 private:
  void on_checked(Check, HealthCheck::Outcome outcome, const std::string& why) override {
    told_ = outcome == HealthCheck::Outcome::good  ? "good"
            : outcome == HealthCheck::Outcome::bad ? "bad: " + why
                                                   : "unknown";
  }
  test::LoopThread thread_;
  std::unique_ptr<HealthCheck> check_;
  std::optional<std::string> told_;
};

// Each way in which one may end, behind each other.
TEST_F(HealthCheckTest, NoneKnowsAnythingOfTheOneBeforeIt) {
  const sys::Address nobody = unix_address(folder_.file("nobody"));
  TestServer server(Kind::unix_path, folder_);
  struct Way {
    const char* name;
    std::function<std::string()> go;
  };
  const auto asked = [&](const std::string& text) {
    begin(server.address());
    answer(server, text);
    return told();
  };
  const std::vector<Way> ways = {
      {"bad: could not connect: ENOENT",
       [&] {
         begin(nobody);
         return told();
       }},
      {"good", [&] { return asked("HTTP/1.1 200 OK\r\n\r\n"); }},
      {"bad: got status 503", [&] { return asked("HTTP/1.1 503 No\r\n\r\n"); }},
      {"bad: got no answer before the end of the stream",
       [&] { return asked("HTTP/1.1 103 Early Hints\r\nLink: half of it"); }},
      {"bad: got an answer that is not HTTP", [&] { return asked("SSH-2.0-OpenSSH\r\n"); }},
      {"good",
       [&] {
         begin(server.address(), Check::connect);
         std::string how = told();
         server.accept();
         return how;
       }},
  };
  for (const Way& first : ways) {
    for (const Way& second : ways) {
      EXPECT_EQ(first.go(), first.name);
      EXPECT_EQ(second.go(), second.name) << "after " << first.name;
    }
  }
}

}  // namespace
}  // namespace espora::forward
