// Accepting from real listeners: both kinds at once, limits, exhausted descriptors, draining, and
// owners that close the acceptor while it hands them a connection.
#include "intake/acceptor.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "support/loop_thread.h"
#include "support/socket_client.h"
#include "sys/limits.h"

namespace espora::test {
namespace {

// Keeps what it is given, as many as it has room for. The loop's thread only, but for the counts.
class Keeper final : public intake::AcceptorOwner {
 public:
  void on_accepted(sys::Fd fd, bool tcp, const std::optional<sys::Endpoint>&) override {
    EXPECT_NE(::fcntl(fd.get(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
    kept_.push_back(std::move(fd));
    (tcp ? over_tcp_ : over_unix_).fetch_add(1);
    if (on_each_) on_each_();
  }
  bool has_room() override { return kept_.size() < room_; }
  size_t room_for_handed() override { return room_ - kept_.size(); }
  void on_handed(sys::Fd fd, bool tcp, const intake::HandoffOrigin& origin) override {
    EXPECT_TRUE(origin);
    on_accepted(std::move(fd), tcp, std::nullopt);
  }
  void on_paused() override { pauses_.fetch_add(1); }
  void on_drained() override { drained_.fetch_add(1); }

  std::vector<sys::Fd> kept_;
  size_t room_ = SIZE_MAX;
  std::function<void()> on_each_;
  std::atomic<size_t> over_tcp_{0};
  std::atomic<size_t> over_unix_{0};
  std::atomic<size_t> pauses_{0};
  std::atomic<size_t> drained_{0};
};

class AcceptorTest : public testing::Test, private sys::TurnHook {
 protected:
  AcceptorTest() : acceptor_(std::make_unique<intake::Acceptor>(thread_.loop(), keeper_)) {}
  // Before any destructor: the loop calls this object at the end of each turn.
  void TearDown() override {
    thread_.stop();
    acceptor_.reset();
  }

  void begin() {
    const sys::Status listening =
        acceptor_->listen({.host = "127.0.0.1", .port = 0, .unix_path = path(), .unix_mode = 0640});
    ASSERT_TRUE(listening.ok()) << listening.message();
    ASSERT_TRUE(acceptor_->start().ok());
    thread_.loop().set_turn_hook(this);
    thread_.start();
  }

  [[nodiscard]] std::string path() const { return directory_.file("s"); }
  SocketClient tcp() { return SocketClient::tcp(acceptor_->port()); }
  SocketClient unix_socket() { return SocketClient::unix_path(path()); }
  [[nodiscard]] bool wait_kept(size_t count) {
    return eventually([&] { return keeper_.over_tcp_ + keeper_.over_unix_ == count; });
  }
  [[nodiscard]] bool has_kept(size_t count) const {
    return keeper_.over_tcp_ + keeper_.over_unix_ >= count;
  }
  uint64_t turns() {
    return thread_.call([&] { return turns_; });
  }

  TemporaryDirectory directory_;
  LoopThread thread_;
  Keeper keeper_;
  std::unique_ptr<intake::Acceptor> acceptor_;

 private:
  void on_turn_end() override { ++turns_; }
  uint64_t turns_ = 0;
};

TEST_F(AcceptorTest, NowhereToListenIsSaid) {
  EXPECT_EQ(acceptor_->listen({}).code(), sys::Code::invalid);
  EXPECT_FALSE(acceptor_->listening());
  EXPECT_EQ(acceptor_->port(), 0);
}

// Over TCP alone nothing can be handed over, and nothing listens for it.
TEST_F(AcceptorTest, APortAloneIsEnough) {
  ASSERT_TRUE(acceptor_->listen({.host = "127.0.0.1", .port = 0}).ok());
  const sys::Status started = acceptor_->start();
  ASSERT_TRUE(started.ok()) << started.message();
  thread_.start();
  const SocketClient client = tcp();
  EXPECT_TRUE(wait_kept(1));
}

TEST_F(AcceptorTest, TakesFromBothListeners) {
  begin();
  std::vector<SocketClient> clients;
  // More than one burst of each.
  for (int i = 0; i < 2 * limits::accepts_per_event_max + 1; ++i) {
    clients.push_back(tcp());
    clients.push_back(unix_socket());
  }
  EXPECT_TRUE(wait_kept(clients.size()));
  EXPECT_EQ(keeper_.over_tcp_.load(), clients.size() / 2);
  EXPECT_EQ(acceptor_->counters().accepted.get(), clients.size());
  struct stat socket;
  ASSERT_EQ(::stat(path().c_str(), &socket), 0);
  EXPECT_EQ(socket.st_mode & 0777, 0640u);
}

// Each turn of a database ends with a flush: who came while it waited for the last one shares one.
TEST_F(AcceptorTest, TakesAllThatCameDuringALongTurnInOne) {
  begin();
  std::vector<SocketClient> clients;
  uint64_t first = 0;
  uint64_t last = 0;
  keeper_.on_each_ = [&] {
    last = thread_.loop().turns();
    if (first == 0) first = last;
  };
  thread_.call([&] {
    for (int i = 0; i < 20; ++i) clients.push_back(unix_socket());
    std::this_thread::sleep_for(std::chrono::nanoseconds(limits::long_turn_ns));
  });
  ASSERT_TRUE(wait_kept(clients.size()));
  thread_.call([&] { EXPECT_EQ(first, last); });
}

TEST_F(AcceptorTest, WithoutRoomItRestsUntilItIsResumed) {
  keeper_.room_ = 3;
  begin();
  std::vector<SocketClient> clients;
  for (int i = 0; i < 6; ++i) clients.push_back(i % 2 == 0 ? tcp() : unix_socket());
  ASSERT_TRUE(wait_kept(3));
  thread_.settle();
  EXPECT_EQ(keeper_.pauses_.load(), 1u);
  EXPECT_EQ(acceptor_->counters().limit_reached.get(), 1u);
  const uint64_t before = turns();
  thread_.settle();
  EXPECT_LE(turns() - before, 5u);  // its own questions, and nothing that spins
  thread_.call([&] {
    keeper_.room_ = 6;
    acceptor_->resume();
  });
  EXPECT_TRUE(wait_kept(6));
  thread_.call([&] { acceptor_->resume(); });  // nothing was paused
}

TEST_F(AcceptorTest, DrainingTakesWhatWaitsThenCloses) {
  begin();
  std::vector<SocketClient> clients;
  thread_.call([&] {
    for (int i = 0; i < 200; ++i) clients.push_back(i % 2 == 0 ? tcp() : unix_socket());
    acceptor_->drain();
    EXPECT_EQ(keeper_.kept_.size(), 200u);
    EXPECT_FALSE(acceptor_->listening());
    EXPECT_EQ(keeper_.drained_.load(), 1u);
    acceptor_->drain();
    EXPECT_EQ(keeper_.drained_.load(), 1u);
  });
  EXPECT_FALSE(SocketClient::make(false).connect_unix(path()));
  struct stat socket;
  EXPECT_NE(::stat(path().c_str(), &socket), 0);  // its own path went with it
}

TEST_F(AcceptorTest, DrainingWithoutRoomGoesOnAsRoomComesBack) {
  keeper_.room_ = 2;
  begin();
  std::vector<SocketClient> clients;
  thread_.call([&] {
    for (int i = 0; i < 9; ++i) clients.push_back(i % 2 == 0 ? tcp() : unix_socket());
    acceptor_->drain();
  });
  for (size_t taken = 2; taken < 9; ++taken) {
    ASSERT_TRUE(wait_kept(taken));
    EXPECT_EQ(keeper_.drained_.load(), 0u);
    thread_.call([&] {
      ++keeper_.room_;
      acceptor_->resume();
    });
  }
  ASSERT_TRUE(wait_kept(9));
  thread_.call([&] {
    ++keeper_.room_;
    acceptor_->resume();
  });
  EXPECT_TRUE(eventually([&] { return keeper_.drained_.load() == 1; }));
}

TEST_F(AcceptorTest, ClosedWhileItHandsOverAConnection) {
  keeper_.on_each_ = [&] { acceptor_->close(); };
  begin();
  std::vector<SocketClient> clients;
  thread_.call([&] {
    for (int i = 0; i < 5; ++i) clients.push_back(unix_socket());
  });
  ASSERT_TRUE(wait_kept(1));
  thread_.settle();
  EXPECT_EQ(keeper_.over_unix_.load(), 1u);
  EXPECT_FALSE(thread_.call([&] { return acceptor_->listening(); }));
}

// Leaves nothing to be opened, until it goes.
class NoDescriptors {
 public:
  NoDescriptors() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const int next = sys::Fd(::fcntl(0, F_DUPFD_CLOEXEC, 0)).get();
    const rlimit none{static_cast<rlim_t>(next), before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoDescriptors() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }

 private:
  rlimit before_{};
};

TEST_F(AcceptorTest, ItOpensAgainWhateverShutItBefore) {
  begin();
  size_t came = 0;
  for (const bool exhausted : {true, true, false, true, false, false, true}) {
    SocketClient one = SocketClient::make(true);
    SocketClient other = SocketClient::make(false);
    const auto& counters = acceptor_->counters();
    const sys::Counter& reason = exhausted ? counters.exhausted : counters.limit_reached;
    const uint64_t before = reason.get();
    std::optional<NoDescriptors> none;
    if (exhausted) {
      none.emplace();
    } else {
      thread_.call([&] { keeper_.room_ = keeper_.kept_.size(); });
    }
    ASSERT_TRUE(one.connect_tcp(acceptor_->port()));
    ASSERT_TRUE(other.connect_unix(path()));
    ASSERT_TRUE(eventually([&] { return reason.get() > before; }));
    EXPECT_FALSE(has_kept(came + 1));
    if (exhausted) {
      none.reset();
    } else {
      thread_.call([&] {
        keeper_.room_ = SIZE_MAX;
        acceptor_->resume();
      });
    }
    came += 2;
    ASSERT_TRUE(wait_kept(came)) << came;
  }
}

TEST_F(AcceptorTest, DrainingWithoutDescriptorsGoesOnAsTheyComeBack) {
  begin();
  std::vector<SocketClient> clients;
  for (int i = 0; i < 6; ++i) clients.push_back(SocketClient::make(i % 2 == 0));
  {
    const NoDescriptors none;
    for (size_t i = 0; i < clients.size(); ++i) {
      ASSERT_TRUE(i % 2 == 0 ? clients[i].connect_tcp(acceptor_->port())
                             : clients[i].connect_unix(path()));
    }
    ASSERT_TRUE(eventually([&] { return acceptor_->counters().exhausted.get() > 0; }));
    thread_.call([&] { acceptor_->drain(); });
    EXPECT_EQ(keeper_.drained_.load(), 0u);
  }
  EXPECT_TRUE(wait_kept(6));
  EXPECT_TRUE(eventually([&] { return keeper_.drained_.load() == 1; }));
}

TEST_F(AcceptorTest, WithoutDescriptorsItRestsAndRecovers) {
  begin();
  std::vector<SocketClient> clients;
  for (int i = 0; i < 6; ++i) clients.push_back(SocketClient::make(false));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = sys::Fd(::fcntl(0, F_DUPFD_CLOEXEC, 0)).get();
  const rlimit low{static_cast<rlim_t>(next) + 2, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  for (const SocketClient& client : clients) EXPECT_TRUE(client.connect_unix(path()));
  EXPECT_TRUE(eventually([&] { return acceptor_->counters().exhausted.get() >= 3; }));
  const uint64_t exhausted = acceptor_->counters().exhausted.get();
  const uint64_t turns_before = turns();
  EXPECT_TRUE(eventually([&] { return acceptor_->counters().exhausted.get() >= exhausted + 4; }));
  EXPECT_LE(turns() - turns_before, 4u * 4 + 2);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(wait_kept(6));
}

}  // namespace
}  // namespace espora::test
