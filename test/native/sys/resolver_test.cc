// Names away from the event thread: answers come on the loop, each once, and to nobody once the
// resolver is gone.
#include "sys/resolver.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/loop_thread.h"
#include "sys/limits.h"

namespace espora::test {
namespace {

using sys::Address;
using sys::ResolvedAddress;
using sys::Result;

class ResolverTest : public testing::Test {
 protected:
  ResolverTest() : resolver_(std::make_unique<sys::Resolver>(thread_.loop())) { thread_.start(); }
  void TearDown() override {
    if (resolver_ != nullptr) forget();
    thread_.stop();
  }
  void forget() {
    thread_.call([&] { resolver_.reset(); });
  }
  static Address named(const std::string& host) {
    Address address;
    address.host = host;
    address.port = 4321;
    return address;
  }
  // Asks, and waits for what is told.
  Result<std::vector<ResolvedAddress>> resolved(const Address& address) {
    auto promise = std::make_shared<std::promise<Result<std::vector<ResolvedAddress>>>>();
    auto answer = promise->get_future();
    thread_.call([&] {
      resolver_->resolve(address, [promise](Result<std::vector<ResolvedAddress>> found) {
        promise->set_value(std::move(found));
      });
    });
    return answer.get();
  }

  LoopThread thread_;
  std::unique_ptr<sys::Resolver> resolver_;
};

TEST_F(ResolverTest, NamesAddressesAndPaths) {
  for (const char* host : {"127.0.0.1", "localhost"}) {
    const auto found = resolved(named(host));
    ASSERT_TRUE(found.ok()) << found.status().message();
    ASSERT_FALSE(found.value().empty());
    for (const ResolvedAddress& each : found.value()) {
      sockaddr_in at{};
      ASSERT_TRUE(each.family == AF_INET || each.family == AF_INET6);
      std::memcpy(&at, each.bytes, sizeof at);  // sin_port lies where sin6_port does
      EXPECT_EQ(ntohs(at.sin_port), 4321);
    }
  }
  Address path;
  path.kind = Address::Kind::unix_path;
  path.path = "/somewhere/else";
  const auto found = resolved(path);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found.value().front().family, AF_UNIX);
}

// RFC 6761 6.4: nobody may ever give this name to anybody.
TEST_F(ResolverTest, AnUnknownNameIsSaidAndTheNextOneStillAnswered) {
  const auto unknown = resolved(named("no-such-host.invalid"));
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.status().message().find("no-such-host.invalid"), std::string::npos);
  EXPECT_TRUE(resolved(named("127.0.0.1")).ok());
}

// Asked from inside an answer as well; each answer on the loop's thread.
TEST_F(ResolverTest, EachQuestionIsAnsweredOnceOnTheLoop) {
  constexpr int count = 200;
  std::vector<int> answers(count);
  std::atomic<int> answered{0};
  const auto loop_thread = thread_.call([] { return std::this_thread::get_id(); });
  thread_.call([&] {
    for (int i = 0; i < count; ++i) {
      resolver_->resolve(named("127.0.0.1"), [&, i](const auto& found) {
        EXPECT_TRUE(found.ok());
        EXPECT_EQ(std::this_thread::get_id(), loop_thread);
        ++answers[static_cast<size_t>(i)];
        resolver_->resolve(named("::1"), [&](const auto&) { answered.fetch_add(1); });
      });
    }
  });
  ASSERT_TRUE(eventually([&] { return answered.load() == count; }));
  thread_.call([&] { EXPECT_EQ(answers, std::vector<int>(count, 1)); });
}

// Name servers that answer when the test says so, or never.
class SlowNames {
 public:
  Result<std::vector<ResolvedAddress>> ask(const Address& address) {
    std::unique_lock lock(mutex_);
    ++asked_;
    changed_.notify_all();
    if (address.host == "dead") changed_.wait(lock, [this] { return over_; });
    return sys::resolve(at("127.0.0.1"));
  }
  void finish() {
    const std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] size_t asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  static Address at(const std::string& host) {
    Address address;
    address.host = host;
    address.port = 1;
    return address;
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t asked_ = 0;
  bool over_ = false;
};

TEST_F(ResolverTest, DeadNamesHoldUpNobodyElseAndAreBounded) {
  const auto names = std::make_shared<SlowNames>();
  thread_.call([&] {
    resolver_ = std::make_unique<sys::Resolver>(
        thread_.loop(), [names](const Address& address) { return names->ask(address); });
    for (size_t i = 1; i < limits::resolver_threads_max; ++i) {
      resolver_->resolve(named("dead"), [](const auto&) {});
    }
  });
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(resolved(named("alive")).ok());
  // The last place is taken as well: what is asked now waits.
  std::atomic<int> late{0};
  thread_.call([&] {
    for (int i = 0; i < 8; ++i) resolver_->resolve(named("dead"), [&](const auto&) { ++late; });
  });
  ASSERT_TRUE(eventually([&] { return names->asked() == limits::resolver_threads_max + 20; }));
  EXPECT_EQ(late.load(), 0);
  names->finish();
  ASSERT_TRUE(eventually([&] { return late.load() == 8; }));
}

TEST_F(ResolverTest, WhoGoesWaitsForNoDeadName) {
  const auto names = std::make_shared<SlowNames>();
  thread_.call([&] {
    resolver_ = std::make_unique<sys::Resolver>(
        thread_.loop(), [names](const Address& address) { return names->ask(address); });
    resolver_->resolve(named("dead"), [](const auto&) { ADD_FAILURE() << "it was gone"; });
  });
  ASSERT_TRUE(eventually([&] { return names->asked() == 1; }));
  forget();
  names->finish();
  thread_.settle();
}

TEST(ResolveWithin, SomebodyWaitsForAnAnswerButNotForEver) {
  const auto names = std::make_shared<SlowNames>();
  Address address;
  address.host = "dead";
  const auto late = sys::resolve_within(
      1'000, [names, address] { return names->ask(address); }, "dead");
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.status().message(), "cannot resolve \"dead\": no name server answered within 1 s");
  names->finish();
  address.host = "alive";
  EXPECT_TRUE(sys::resolve_within(
                  60'000, [names, address] { return names->ask(address); }, "alive")
                  .ok());
}

// At every moment: before it is looked up, meanwhile, and with the answer already posted.
TEST_F(ResolverTest, OnceItIsGoneNobodyIsAnswered) {
  std::atomic<int> late{0};
  for (int round = 0; round < 200; ++round) {
    thread_.call([&] {
      auto passing = std::make_unique<sys::Resolver>(thread_.loop());
      auto gone = std::make_shared<bool>(false);
      for (int i = 0; i < 4; ++i) {
        passing->resolve(named("127.0.0.1"), [&late, gone](const auto&) {
          if (*gone) late.fetch_add(1);
        });
      }
      for (int i = 0; i < round % 5; ++i) std::this_thread::yield();
      passing.reset();
      *gone = true;
    });
  }
  thread_.settle();
  EXPECT_EQ(late.load(), 0);
}

TEST_F(ResolverTest, MayGoInsideAnAnswer) {
  std::atomic<int> answered{0};
  thread_.call([&] {
    for (int i = 0; i < 3; ++i) {
      resolver_->resolve(named("127.0.0.1"), [&](const auto&) {
        answered.fetch_add(1);
        resolver_.reset();
      });
    }
  });
  ASSERT_TRUE(eventually([&] { return answered.load() > 0; }));
  thread_.settle();
  EXPECT_EQ(answered.load(), 1);
}

}  // namespace
}  // namespace espora::test
