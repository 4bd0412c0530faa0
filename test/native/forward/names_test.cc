// Upstreams that are names, asked of a name server of the test's own: several addresses, dead ones,
// others than before, and name servers that say nothing.
#include <condition_variable>
#include <future>
#include <map>

#include "forward/rig.h"

namespace espora::forward {
namespace {

// Answers what it was told to, and nothing while it is stopped.
class NameServer {
 public:
  void answer(const std::string& name, std::vector<sys::Address> places) {
    const std::lock_guard lock(mutex_);
    names_[name] = std::move(places);
  }
  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  void go_on() {
    const std::lock_guard lock(mutex_);
    stopped_ = false;
    changed_.notify_all();
  }
  [[nodiscard]] int asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  sys::Resolver::Found ask(const sys::Address& address) {
    std::unique_lock lock(mutex_);
    ++asked_;
    changed_.wait(lock, [this] { return !stopped_; });
    std::vector<sys::ResolvedAddress> all;
    for (const sys::Address& place : names_[address.host]) {
      all.push_back(sys::resolve(place).value().front());
    }
    if (all.empty()) return sys::Status(sys::Code::unavailable, "no such name: " + address.host);
    return all;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<sys::Address>> names_;
  bool stopped_ = false;
  int asked_ = 0;
};

class Names : public testing::Test {
 protected:
  ~Names() override { server_->go_on(); }
  ForwarderOptions asking(const std::vector<std::string>& names) {
    std::vector<sys::Address> upstreams;
    for (const std::string& name : names) upstreams.push_back(tcp_address(name, 1));
    ForwarderOptions options = options_for(folder_, std::move(upstreams));
    options.resolve = [server = server_](const sys::Address& address) {
      return server->ask(address);
    };
    return options;
  }
  static std::map<char, int> answers(Rig& rig, int times) {
    std::map<char, int> count;
    for (int i = 0; i < times; ++i) {
      const std::string answer = ask(rig.address(Kind::tcp));
      ++count[answer.empty() ? '-' : answer[0]];
    }
    return count;
  }

  TemporaryFolder folder_;
  std::shared_ptr<NameServer> server_ = std::make_shared<NameServer>();
};

TEST_F(Names, AllAddressesOfOneTakePart) {
  NamedServer a(Kind::tcp, folder_, "a");
  NamedServer b(Kind::tcp, folder_, "b");
  NamedServer c(Kind::tcp, folder_, "c");
  server_->answer("api", {a.address(), b.address(), c.address()});
  Rig rig(asking({"api"}));
  EXPECT_EQ(answers(rig, 30), (std::map<char, int>{{'a', 10}, {'b', 10}, {'c', 10}}));
}

// One drops handshakes: only the first that meets it has to wait, each address has its own time.
TEST_F(Names, AnAddressThatDropsHandshakesCostsNobodyItsConnection) {
  SilentPort silent(folder_);
  NamedServer b(Kind::tcp, folder_, "b");
  server_->answer("api", {silent.address(), b.address()});
  ForwarderOptions options = asking({"api"});
  options.connect_timeout_ms = 50;
  Rig rig(std::move(options));
  EXPECT_EQ(answers(rig, 40), (std::map<char, int>{{'b', 40}}));
  const ForwarderStats stats = rig->stats();
  EXPECT_EQ(stats.upstreams[0].connect_failures, 0u) << "its name was reached each time";
  EXPECT_EQ(stats.upstreams[0].health, UpstreamHealth::fit);
  EXPECT_EQ(stats.ended_connect_timeout, 0u);
}

// What the last of them did says how the session ended.
TEST_F(Names, OneThatRefusesBehindOneThatDropsHandshakesIsNoTimeout) {
  SilentPort silent(folder_);
  sys::Address refusing;
  {
    TestServer gone(Kind::tcp, folder_);
    refusing = gone.address();
  }
  server_->answer("api", {silent.address(), refusing});
  ForwarderOptions options = asking({"api"});
  options.connect_timeout_ms = 50;
  Rig rig(std::move(options));
  EXPECT_EQ(answers(rig, 1), (std::map<char, int>{{'-', 1}}));
  ASSERT_TRUE(eventually([&] { return rig->stats().active == 0; }));
  EXPECT_EQ(rig->stats().ended_unreachable, 1u);
  EXPECT_EQ(rig->stats().ended_connect_timeout, 0u);
}

// It costs one session its connect timeout: those behind it begin elsewhere, until a look finds
// that it takes connections.
TEST_F(Names, AfterOneThatDroppedAHandshakeSessionsBeginElsewhere) {
  SilentPort silent(folder_);
  NamedServer b(Kind::tcp, folder_, "b");
  server_->answer("api", {silent.address(), b.address()});
  ForwarderOptions options = asking({"api"});
  options.connect_timeout_ms = 50;
  Rig rig(std::move(options));
  EXPECT_EQ(ask(rig.address(Kind::tcp)), "b");
  // From here on who came to it would get its answer.
  silent.wake("a");
  for (int i = 0; i < 10; ++i) {
    const std::string answer = ask(rig.address(Kind::tcp));
    EXPECT_TRUE(answer == "b" || rig->stats().upstreams[0].checks > 0) << i << ": " << answer;
  }
  EXPECT_TRUE(eventually([&] { return ask(rig.address(Kind::tcp)) == "a"; }));
  EXPECT_GE(rig->stats().upstreams[0].checks, 1u);
}

TEST_F(Names, AnAddressThatComesBackTakesPartAgain) {
  NamedServer a(Kind::tcp, folder_, "a");
  std::optional<sys::Address> later;
  {
    TestServer gone(Kind::tcp, folder_);
    later = gone.address();
  }
  server_->answer("api", {*later, a.address()});
  Rig rig(asking({"api"}));
  EXPECT_EQ(answers(rig, 6), (std::map<char, int>{{'a', 6}}));
  // Somebody listens there now.
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(later->port);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) {
    ::close(fd);
    GTEST_SKIP() << "the port was taken meanwhile";
  }
  ASSERT_EQ(::listen(fd, 64), 0);
  const sys::Fd listener(fd);
  // Once a look found it each second connection goes there, and is told of nobody.
  ASSERT_TRUE(eventually([&] {
    Peer client = Peer::connected(rig.address(Kind::tcp));
    pollfd poller{fd, POLLIN, 0};
    return !client.readable_within(20) && ::poll(&poller, 1, 0) > 0 &&
           rig->stats().upstreams[0].active > 0;
  }));
}

TEST_F(Names, ANameIsAskedForAgainWhileAllIsWell) {
  NamedServer a(Kind::tcp, folder_, "a");
  NamedServer b(Kind::tcp, folder_, "b");
  server_->answer("api", {a.address()});
  ForwarderOptions options = asking({"api"});
  options.resolve_interval_ms = 20;
  Rig rig(std::move(options));
  EXPECT_EQ(ask(rig.address(Kind::tcp)), "a");
  server_->answer("api", {b.address()});
  EXPECT_TRUE(eventually([&] { return ask(rig.address(Kind::tcp)) == "b"; }));
  EXPECT_EQ(answers(rig, 10), (std::map<char, int>{{'b', 10}}));
  // A name server that knows nothing of it any more does not take the service away.
  server_->answer("api", {});
  const int before = server_->asked();
  ASSERT_TRUE(eventually([&] { return server_->asked() >= before + 3; }));
  EXPECT_EQ(answers(rig, 10), (std::map<char, int>{{'b', 10}}));
}

TEST_F(Names, WithoutAnIntervalOneThatIsKnownIsAskedForOnce) {
  NamedServer a(Kind::tcp, folder_, "a");
  server_->answer("api", {a.address()});
  ForwarderOptions options = asking({"api"});
  options.resolve_interval_ms = 0;
  Rig rig(std::move(options));
  EXPECT_EQ(answers(rig, 10), (std::map<char, int>{{'a', 10}}));
  EXPECT_EQ(server_->asked(), 1);
}

TEST_F(Names, AStartWaitsForNoNameServerAndAStopNeither) {
  server_->stop();
  NamedServer a(Kind::unix_path, folder_, "a");
  ForwarderOptions options = asking({"one", "two", "three"});
  options.upstreams.push_back(a.address());
  Rig rig(std::move(options));
  EXPECT_EQ(answers(rig, 10), (std::map<char, int>{{'a', 10}}));
  ASSERT_TRUE(eventually([&] { return server_->asked() == 3; })) << "several at a time";
  std::promise<void> drained;
  rig->drain(60'000, [&] { drained.set_value(); });
  EXPECT_EQ(drained.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
  rig.stop();
}

TEST_F(Names, ConnectionsWaitForTheFirstAnswer) {
  NamedServer a(Kind::tcp, folder_, "a");
  server_->answer("api", {a.address()});
  server_->stop();
  ForwarderOptions options = asking({"api"});
  options.connect_timeout_ms = patience_ms;
  Rig rig(std::move(options));
  Peer client = Peer::connected(rig.address(Kind::tcp));
  EXPECT_FALSE(client.readable_within(50));
  server_->go_on();
  EXPECT_EQ(client.receive(1), "a");
}

TEST_F(Names, ButNotForEver) {
  server_->stop();
  ForwarderOptions options = asking({"api"});
  options.connect_timeout_ms = 50;
  Rig rig(std::move(options));
  Peer client = Peer::connected(rig.address(Kind::tcp));
  EXPECT_NE(client.end(), StreamEnd::timed_out);
  EXPECT_TRUE(eventually([&] { return rig->stats().ended_connect_timeout == 1; }));
}

// Each address is checked: a dead one is passed over before anybody tried, and says nothing about
// the others.
TEST_F(Names, ChecksLookAtEachAddress) {
  NamedServer a(Kind::tcp, folder_, "a");
  NamedServer b(Kind::tcp, folder_, "b");
  sys::Address gone;
  {
    TestServer dead(Kind::tcp, folder_);
    gone = dead.address();
  }
  server_->answer("api", {gone, a.address(), b.address()});
  ForwarderOptions options = asking({"api"});
  options.check.check = Check::connect;
  options.check.interval_ms = 30;
  options.health.fall = 1;
  Rig rig(std::move(options));
  ASSERT_TRUE(eventually([&] { return rig->stats().upstreams[0].checks >= 6; }));
  EXPECT_GE(rig->stats().upstreams[0].checks_failed, 1u);
  EXPECT_EQ(rig->stats().upstreams[0].health, UpstreamHealth::fit);
}

}  // namespace
}  // namespace espora::forward
