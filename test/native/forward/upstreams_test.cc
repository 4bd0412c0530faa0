// Upstreams that fail, come back, are checked, limited and changed while connections are open, with
// real sockets. The rules themselves are tested without any, in upstream_set_test and health_test.
#include "forward/upstreams.h"

#include <future>
#include <map>
#include <memory>

#include "forward/rig.h"
#include "sys/limits.h"

namespace espora::forward {
namespace {

constexpr uint64_t hour_ms = 3'600'000;

ForwarderOptions ejecting(const TemporaryFolder& folder, std::vector<sys::Address> upstreams,
                          uint32_t after, uint64_t time_ms = hour_ms) {
  ForwarderOptions options = options_for(folder, std::move(upstreams));
  options.health.eject_after = after;
  options.health.eject_time_ms = time_ms;
  options.health.eject_time_max_ms = hour_ms;
  return options;
}

const UpstreamStats& of(const ForwarderStats& stats, const sys::Address& address) {
  static const UpstreamStats none{};
  for (const UpstreamStats& each : stats.upstreams) {
    if (each.address == address.to_string()) return each;
  }
  ADD_FAILURE() << address.to_string() << " is not there";
  return none;
}

// Runs a change on the loop and waits for what came of it.
sys::Status changed(Rig& rig, const std::function<void(Forwarder&, Forwarder::Done)>& change) {
  const auto told = std::make_shared<std::promise<sys::Status>>();
  std::future<sys::Status> status = told->get_future();
  change(*rig.operator->(), [told](const sys::Status& each) { told->set_value(each); });
  return status.get();
}
sys::Status set_state(Rig& rig, const sys::Address& address, UpstreamState state) {
  return changed(rig, [&](Forwarder& forwarder, auto done) {
    forwarder.set_upstream(address.to_string(), state, std::nullopt, std::move(done));
  });
}
sys::Status set_weight(Rig& rig, const sys::Address& address, uint32_t weight) {
  return changed(rig, [&](Forwarder& forwarder, auto done) {
    forwarder.set_upstream(address.to_string(), std::nullopt, weight, std::move(done));
  });
}

std::string asked(Rig& rig, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += ask(rig.address(Kind::tcp));
  return all;
}

// Takes connections and ends each without a word, or never even takes them: what a process does
// that crashes at each request, or was stopped.
class MuteServer {
 public:
  MuteServer(Kind kind, const TemporaryFolder& folder, const std::string& name)
      : server_(kind, folder, name), thread_([this] {
          for (;;) {
            if (!server_.accept().valid()) return;
          }
        }) {}
  ~MuteServer() {
    server_.shut();
    thread_.join();
  }
  [[nodiscard]] const sys::Address& address() const { return server_.address(); }

 private:
  TestServer server_;
  std::thread thread_;
};

// --- ejection --------------------------------------------------------------------------------

TEST(Upstreams, OneThatRefusesIsEjectedAndTakenBackWhenItListens) {
  TemporaryFolder folder;
  NamedServer b(Kind::unix_path, folder, "b");
  const sys::Address gone = unix_address(folder.file("a"));
  Rig rig(ejecting(folder, {gone, b.address()}, 3));
  EXPECT_EQ(asked(rig, 20), std::string(20, 'b'));
  ForwarderStats stats = rig->stats();
  EXPECT_EQ(of(stats, gone).connect_failures, 3u);  // and then it was left alone
  EXPECT_EQ(of(stats, gone).ejections, 1u);
  EXPECT_EQ(of(stats, gone).health, UpstreamHealth::ejected);
  EXPECT_FALSE(of(stats, gone).up);
  EXPECT_EQ(stats.retries, 3u);
  // It is looked at, long before the hour of its ejection is over.
  NamedServer a(Kind::unix_path, folder, "a");
  EXPECT_TRUE(eventually([&] { return ask(rig.address(Kind::tcp)) == "a"; }));
  EXPECT_TRUE(eventually([&] {
    asked(rig, 2);
    return of(rig->stats(), gone).health == UpstreamHealth::fit;
  }));
  EXPECT_EQ(asked(rig, 4).substr(0, 2).find_first_not_of("ab"), std::string::npos);
  stats = rig->stats();
  EXPECT_EQ(of(stats, gone).connect_failures, 3u);
  const std::lock_guard lock(rig.events.mutex);
  const std::string name = gone.to_string();
  EXPECT_EQ(
      rig.events.changes,
      (std::vector<std::string>{name + " up ejected", name + " up probation", name + " up fit"}));
}

// Its connections are taken by the kernel, and nobody ever answers.
TEST(Upstreams, OneThatWasStoppedIsEjected) {
  TemporaryFolder folder;
  TestServer stopped(Kind::unix_path, folder, "stopped");
  NamedServer b(Kind::unix_path, folder, "b");
  ForwarderOptions options = ejecting(folder, {stopped.address(), b.address()}, 2);
  options.half_close_timeout_ms = 20;
  Rig rig(std::move(options));
  int lost = 0;
  for (int i = 0; i < 20; ++i) {
    Peer client = Peer::connected(rig.address(Kind::tcp));
    ASSERT_TRUE(client.send_text("anybody there?"));
    // Whoever is not answered gives up.
    if (!eventually([&] {
          return client.readable_within(0) || of(rig->stats(), stopped.address()).active > 0;
        })) {
      ADD_FAILURE() << "neither answered nor taken";
    }
    if (of(rig->stats(), stopped.address()).active > 0) ++lost;
    client.close();
    rig.expect_idle();
  }
  EXPECT_EQ(lost, 2);
  const ForwarderStats stats = rig->stats();
  EXPECT_EQ(of(stats, stopped.address()).silent_sessions, 2u);
  EXPECT_EQ(of(stats, stopped.address()).health, UpstreamHealth::ejected);
  EXPECT_EQ(of(stats, stopped.address()).checks, 0u);  // a connect would prove nothing
}

TEST(Upstreams, OneThatEndsEachConnectionWithoutAWordIsEjected) {
  for (const Kind kind : {Kind::tcp, Kind::unix_path}) {
    TemporaryFolder folder;
    MuteServer mute(kind, folder, "mute");
    NamedServer b(kind, folder, "b");
    Rig rig(ejecting(folder, {mute.address(), b.address()}, 2));
    EXPECT_EQ(asked(rig, 20), std::string(18, 'b'));
    EXPECT_TRUE(eventually(
        [&] { return of(rig->stats(), mute.address()).health == UpstreamHealth::ejected; }));
  }
}

TEST(Upstreams, AClientThatSaysNothingAndGoesIsNobodysFault) {
  TemporaryFolder folder;
  TestServer a(Kind::unix_path, folder, "a");
  TestServer b(Kind::unix_path, folder, "b");
  ForwarderOptions options = ejecting(folder, {a.address(), b.address()}, 1);
  options.half_close_timeout_ms = 20;
  Rig rig(std::move(options));
  for (int i = 0; i < 6; ++i) Peer::connected(rig.address(Kind::tcp)).close();
  ASSERT_TRUE(eventually([&] { return rig->stats().ended_half_closed == 6; }));
  EXPECT_EQ(of(rig->stats(), a.address()).silent_sessions, 0u);
  EXPECT_EQ(of(rig->stats(), a.address()).ejections, 0u);
  EXPECT_EQ(of(rig->stats(), b.address()).ejections, 0u);
}

// A service that needs its time, and clients that do not wait for it: they ask and leave, by an end
// or by a reset.
TEST(Upstreams, ClientsThatAskAndLeaveEjectNobody) {
  for (const bool resets : {false, true}) {
    TemporaryFolder folder;
    TestServer a(Kind::tcp, folder, "a");
    TestServer b(Kind::tcp, folder, "b");
    Rig rig(ejecting(folder, {a.address(), b.address()}, 1));
    for (int i = 0; i < 10; ++i) {
      TestServer& server = i % 2 == 0 ? a : b;
      Peer client = Peer::connected(rig.address(Kind::tcp));
      ASSERT_TRUE(client.send_text("how much?"));
      Peer upstream = server.accept();
      ASSERT_EQ(upstream.receive(9), "how much?");
      if (resets) {
        client.reset();
      } else {
        client.close();
      }
      // The service notices and does not answer any more.
      StreamEnd how;
      EXPECT_EQ(upstream.receive_to_end(&how), "");
      upstream.close();
    }
    rig.expect_idle();
    for (const UpstreamStats& each : rig->stats().upstreams) {
      EXPECT_EQ(each.silent_sessions, 0u) << resets;
      EXPECT_EQ(each.ejections, 0u);
      EXPECT_EQ(each.connections, 5u);
    }
  }
}

// Silence is counted when its time is over, whatever the client does; the session goes on.
TEST(Upstreams, OneThatSaysNothingForItsTimeHasFailed) {
  TemporaryFolder folder;
  TestServer a(Kind::unix_path, folder, "a");
  NamedServer b(Kind::unix_path, folder, "b");
  ForwarderOptions options = ejecting(folder, {a.address(), b.address()}, 1);
  options.eject_silence_ms = 20;
  Rig rig(std::move(options));
  Peer client = Peer::connected(rig.address(Kind::tcp));
  ASSERT_TRUE(client.send_text("anybody there?"));
  ASSERT_TRUE(
      eventually([&] { return of(rig->stats(), a.address()).health == UpstreamHealth::ejected; }));
  EXPECT_EQ(of(rig->stats(), a.address()).silent_sessions, 1u);
  Peer upstream = a.accept();
  EXPECT_EQ(upstream.receive(5), "anybo");
  ASSERT_TRUE(upstream.send_text("yes"));
  EXPECT_EQ(client.receive(3), "yes");
  ASSERT_TRUE(
      eventually([&] { return of(rig->stats(), a.address()).health != UpstreamHealth::ejected; }));
  client.close();
  upstream.close();
  rig.expect_idle();
  EXPECT_EQ(of(rig->stats(), a.address()).silent_sessions, 1u) << "once for a session";
}

TEST(Upstreams, OneThatWasNotAskedMaySayNothing) {
  TemporaryFolder folder;
  TestServer a(Kind::unix_path, folder, "a");
  ForwarderOptions options = ejecting(folder, {a.address()}, 1);
  options.eject_silence_ms = 5;
  options.idle_timeout_ms = 60;
  Rig rig(std::move(options));
  Peer client = Peer::connected(rig.address(Kind::tcp));
  EXPECT_NE(client.end(), StreamEnd::timed_out);
  rig.expect_idle();
  EXPECT_EQ(of(rig->stats(), a.address()).silent_sessions, 0u);
}

TEST(Upstreams, NotAllOfThemAreEjected) {
  TemporaryFolder folder;
  MuteServer a(Kind::unix_path, folder, "a");
  MuteServer b(Kind::unix_path, folder, "b");
  Rig rig(ejecting(folder, {a.address(), b.address()}, 1));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(ask(rig.address(Kind::tcp)), "");
  rig.expect_idle();
  const ForwarderStats stats = rig->stats();
  EXPECT_EQ(stats.upstreams[0].ejections + stats.upstreams[1].ejections, 1u);
  EXPECT_EQ(stats.upstreams[0].connections + stats.upstreams[1].connections, 20u);
  EXPECT_EQ(stats.ended_unreachable, 0u);
}

// The one that is left refuses as well: an ejected one is better than nobody.
TEST(Upstreams, AnEjectedOneIsTheLastResort) {
  TemporaryFolder folder;
  auto a = std::make_unique<MuteServer>(Kind::unix_path, folder, "a");
  auto b = std::make_unique<NamedServer>(Kind::unix_path, folder, "b");
  Rig rig(ejecting(folder, {a->address(), b->address()}, 1));
  EXPECT_EQ(asked(rig, 4), "bbb");
  const sys::Address address = a->address();
  ASSERT_TRUE(
      eventually([&] { return of(rig->stats(), address).health == UpstreamHealth::ejected; }));
  a.reset();
  NamedServer back(Kind::unix_path, folder, "a");
  EXPECT_EQ(asked(rig, 2), "bb");
  b.reset();
  EXPECT_EQ(asked(rig, 4), "aaaa");  // and with the first answer it is no longer ejected
  EXPECT_EQ(of(rig->stats(), address).health, UpstreamHealth::fit);
}

TEST(Upstreams, AnEjectionForSilenceEndsWithItsTime) {
  TemporaryFolder folder;
  auto mute = std::make_unique<MuteServer>(Kind::unix_path, folder, "a");
  NamedServer b(Kind::unix_path, folder, "b");
  Rig rig(ejecting(folder, {mute->address(), b.address()}, 1, 50));
  const sys::Address address = mute->address();
  asked(rig, 4);
  mute.reset();
  NamedServer a(Kind::unix_path, folder, "a");
  EXPECT_TRUE(eventually([&] { return ask(rig.address(Kind::tcp)) == "a"; }));
  EXPECT_GE(of(rig->stats(), address).ejections, 1u);
}

// --- checks ----------------------------------------------------------------------------------

// Answers each connection with a status of its own choice, or not at all.
class StatusServer {
 public:
  StatusServer(Kind kind, const TemporaryFolder& folder, const std::string& name, int status)
      : server_(kind, folder, name), name_(name), status_(status), thread_([this] { serve(); }) {}
  ~StatusServer() {
    server_.shut();
    thread_.join();
  }
  void answer(int status) { status_ = status; }
  [[nodiscard]] const sys::Address& address() const { return server_.address(); }
  [[nodiscard]] std::string last_request() {
    const std::lock_guard lock(mutex_);
    return last_request_;
  }

 private:
  void serve() {
    for (;;) {
      Peer peer = server_.accept();
      if (!peer.valid()) return;
      char request[2048];
      const ssize_t got = ::recv(peer.fd(), request, sizeof request, 0);
      if (got <= 0) continue;
      if (std::string(request, static_cast<size_t>(got)).find("GET ") == std::string::npos) {
        peer.send_text(name_);  // a client of the test
        continue;
      }
      {
        const std::lock_guard lock(mutex_);
        last_request_.assign(request, static_cast<size_t>(got));
      }
      if (status_ != 0) peer.send_text("HTTP/1.1 " + std::to_string(status_) + " Whatever\r\n\r\n");
    }
  }
  TestServer server_;
  std::string name_;
  std::atomic<int> status_;
  std::mutex mutex_;
  std::string last_request_;
  std::thread thread_;
};

std::optional<unsigned> status_of(const std::string& answer, size_t piece) {
  StatusReader reader;
  for (size_t at = 0; at < answer.size(); at += piece) {
    if (const auto status = reader.read(std::string_view(answer).substr(at, piece))) return status;
  }
  return std::nullopt;
}

TEST(StatusReader, FindsTheAnswerBehindInterimOnesWhereverItIsCut) {
  const std::string hints = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n";
  const std::string barest = "HTTP/1.1 100\n\n";
  for (size_t piece = 1; piece < 60; ++piece) {
    EXPECT_EQ(status_of(hints + barest + hints + "HTTP/1.1 200 OK\r\n", piece), 200u);
    EXPECT_EQ(status_of(barest + "HTTP/1.1 200 OK\r\n", piece), 200u);
    EXPECT_EQ(status_of(hints + "HTTP/1.1 503 No\r\n", piece), 503u);
    EXPECT_EQ(status_of(hints, piece), std::nullopt);
    EXPECT_EQ(status_of(hints + "nonsense", piece), 0u);
    EXPECT_EQ(status_of("HTTP/1.1 101 Switching\r\n\r\n", piece), 101u) << "none follows it";
  }
  std::string endless;
  for (unsigned i = 0; i <= limits::check_interim_answers_max; ++i) endless += hints;
  EXPECT_EQ(status_of(endless, 7), 0u);
}

std::string ask_something(Rig& rig) {
  Peer client = Peer::connected(rig.address(Kind::tcp));
  client.send_text("something");
  StreamEnd how;
  return client.receive_to_end(&how);
}

ForwarderOptions checking(const TemporaryFolder& folder, std::vector<sys::Address> upstreams,
                          Check check) {
  ForwarderOptions options = options_for(folder, std::move(upstreams));
  options.check.check = check;
  options.check.interval_ms = 10;
  options.check.timeout_ms = 100;
  options.check.path = "/up?all";
  options.health.fall = 2;
  options.health.rise = 2;
  return options;
}

class CheckedOn : public ::testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Sockets, CheckedOn, ::testing::Values(Kind::tcp, Kind::unix_path),
                         [](const auto& tested) { return kind_name(tested.param); });

TEST_P(CheckedOn, AStatusThatWasNotExpectedTakesItOutOfUse) {
  TemporaryFolder folder;
  StatusServer a(GetParam(), folder, "a", 200);
  StatusServer b(GetParam(), folder, "b", 204);
  Rig rig(checking(folder, {a.address(), b.address()}, Check::http));
  ASSERT_TRUE(eventually([&] { return of(rig->stats(), b.address()).checks >= 2; }));
  EXPECT_TRUE(a.last_request().starts_with("GET /up?all HTTP/1.1\r\nHost: ")) << a.last_request();
  EXPECT_TRUE(of(rig->stats(), a.address()).up);
  for (const int bad : {503, 0, 199, 400, 700}) {
    a.answer(bad);
    ASSERT_TRUE(eventually([&] { return !of(rig->stats(), a.address()).up; })) << bad;
    EXPECT_EQ(of(rig->stats(), a.address()).health, UpstreamHealth::failed);
    for (int i = 0; i < 6; ++i) EXPECT_EQ(ask_something(rig), "b");
    a.answer(399);
    ASSERT_TRUE(eventually([&] { return of(rig->stats(), a.address()).up; })) << bad;
    std::string both;
    for (int i = 0; i < 4; ++i) both += ask_something(rig);
    EXPECT_NE(both.find('a'), std::string::npos);
  }
}

// RFC 9110 15.2: what is said before the answer is not the answer.
TEST_P(CheckedOn, InterimAnswersAreSkipped) {
  TemporaryFolder folder;
  TestServer server(GetParam(), folder, "a");
  ForwarderOptions options = checking(folder, {server.address()}, Check::http);
  options.check.timeout_ms = patience_ms;
  options.check.interval_ms = 1;
  options.health.fall = 1;
  options.health.rise = 1;
  Rig rig(std::move(options));
  const std::string early =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n";
  for (const char* last : {"HTTP/1.1 503 No\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"}) {
    const bool good = std::string(last).find("200") != std::string::npos;
    const uint64_t before = rig->stats().upstreams[0].checks;
    Peer upstream = server.accept();
    for (const char c : early) ASSERT_TRUE(upstream.send_all(&c, 1));
    EXPECT_EQ(rig->stats().upstreams[0].checks, before) << "it is not over";
    ASSERT_TRUE(upstream.send_text(last));
    ASSERT_TRUE(eventually([&] { return rig->stats().upstreams[0].checks > before; }));
    ASSERT_TRUE(eventually([&] { return rig->stats().upstreams[0].up == good; }));
  }
}

// A slow database behind all of them must not take the service away.
TEST_P(CheckedOn, WhereAllFailAllAreUsed) {
  TemporaryFolder folder;
  StatusServer a(GetParam(), folder, "a", 503);
  StatusServer b(GetParam(), folder, "b", 0);
  Rig rig(checking(folder, {a.address(), b.address()}, Check::http));
  ASSERT_TRUE(eventually([&] {
    const ForwarderStats stats = rig->stats();
    return !stats.upstreams[0].up && !stats.upstreams[1].up;
  }));
  std::string both;
  for (int i = 0; i < 10; ++i) both += ask_something(rig);
  EXPECT_EQ(std::count(both.begin(), both.end(), 'a'), 5);
  EXPECT_EQ(std::count(both.begin(), both.end(), 'b'), 5);
}

TEST_P(CheckedOn, OneThatTakesNoConnectionsIsOutOfUseBeforeAnybodyTried) {
  TemporaryFolder folder;
  auto a = std::make_unique<NamedServer>(Kind::unix_path, folder, "a");
  NamedServer b(GetParam(), folder, "b");
  const sys::Address address = a->address();
  a.reset();
  Rig rig(checking(folder, {address, b.address()}, Check::connect));
  ASSERT_TRUE(eventually([&] { return !of(rig->stats(), address).up; }));
  EXPECT_EQ(asked(rig, 10), std::string(10, 'b'));
  EXPECT_EQ(of(rig->stats(), address).connect_failures, 0u);
  a = std::make_unique<NamedServer>(Kind::unix_path, folder, "a");
  ASSERT_TRUE(eventually([&] { return of(rig->stats(), address).up; }));
  const std::string turns = asked(rig, 4);
  EXPECT_TRUE(turns == "abab" || turns == "baba") << turns;
}

TEST(HealthCheck, StatusLines) {
  const auto parsed = [](const std::string& text) {
    const auto status = parse_status_line(text);
    return status.has_value() ? static_cast<int>(*status) : -1;
  };
  EXPECT_EQ(parsed("HTTP/1.1 200 OK\r\n"), 200);
  EXPECT_EQ(parsed("HTTP/1.0 503\r\n"), 503);
  EXPECT_EQ(parsed("HTTP/1.1 204 "), 204);
  EXPECT_EQ(parsed("HTTP/1.1 200"), -1);
  EXPECT_EQ(parsed("HTTP/1.1 20"), -1);
  EXPECT_EQ(parsed(""), -1);
  for (const char* wrong : {"HTTP/2 200 OK\r\n", "HTTP/1.x 200 OK", "HTTP/1.1  200 OK",
                            "http/1.1 200 OK", "HTTP/1.1 2000\r\n", "HTTP/1.1 2x0 ", "SSH-2.0-x"}) {
    EXPECT_EQ(parsed(wrong), 0) << wrong;
  }
}

TEST(HealthCheck, Requests) {
  CheckOptions options;
  options.path = "/up";
  EXPECT_TRUE(check_request(options, "10.0.0.1:80")
                  .starts_with("GET /up HTTP/1.1\r\nHost: 10.0.0.1:80\r\n"));
  EXPECT_NE(check_request(options, "/run/a.sock").find("Host: localhost\r\n"), std::string::npos);
  options.host = "example.org";
  EXPECT_NE(check_request(options, "10.0.0.1:80").find("Host: example.org\r\n"), std::string::npos);
}

// --- choice and limits -----------------------------------------------------------------------

TEST(Upstreams, WeightsAreKept) {
  TemporaryFolder folder;
  NamedServer a(Kind::unix_path, folder, "a");
  NamedServer b(Kind::tcp, folder, "b");
  ForwarderOptions options = options_for(folder, {a.address(), b.address()});
  options.weights = {3, 1};
  Rig rig(std::move(options));
  EXPECT_EQ(asked(rig, 8), "aabaaaba");
}

TEST(Upstreams, FewestConnectionsGetTheNext) {
  TemporaryFolder folder;
  TestServer a(Kind::unix_path, folder, "a");
  TestServer b(Kind::unix_path, folder, "b");
  ForwarderOptions options = options_for(folder, {a.address(), b.address()});
  options.balance = Balance::least_connections;
  Rig rig(std::move(options));
  std::vector<Peer> clients;
  const auto connect = [&] { clients.push_back(Peer::connected(rig.address(Kind::tcp))); };
  const auto active = [&](const TestServer& server) {
    return of(rig->stats(), server.address()).active;
  };
  for (int i = 0; i < 6; ++i) connect();
  ASSERT_TRUE(eventually([&] { return active(a) == 3 && active(b) == 3; }));
  for (int i = 0; i < 3; ++i) {
    Peer upstream = a.accept();
    ASSERT_TRUE(upstream.send_text("x"));
    upstream.close();
  }
  ASSERT_TRUE(eventually([&] { return active(a) == 0; }));
  for (int i = 0; i < 3; ++i) connect();  // in turn would be two at most
  ASSERT_TRUE(eventually([&] { return active(a) == 3 && active(b) == 3; }));
}

TEST(Upstreams, AtTheLimitOfEachTheKernelQueues) {
  TemporaryFolder folder;
  TestServer a(Kind::unix_path, folder, "a");
  TestServer b(Kind::unix_path, folder, "b");
  ForwarderOptions options = options_for(folder, {a.address(), b.address()});
  options.upstream_connections_max = 2;
  Rig rig(std::move(options));
  std::vector<Peer> clients;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(Peer::connected(rig.address(Kind::tcp)));
    ASSERT_TRUE(clients.back().send_text("x"));
  }
  ASSERT_TRUE(eventually([&] { return rig->stats().limit_pauses >= 1; }));
  const uint64_t turns = rig.loop().turns();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(rig.loop().turns(), turns);  // nothing is polled
  EXPECT_EQ(rig->stats().active, 4u);
  EXPECT_EQ(of(rig->stats(), a.address()).active, 2u);
  // As one ends, the next comes.
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(eventually([&] { return a.somebody_waits(0) || b.somebody_waits(0); }));
    Peer upstream = a.somebody_waits(0) ? a.accept() : b.accept();
    ASSERT_EQ(upstream.receive(1), "x");
    EXPECT_LE(of(rig->stats(), a.address()).active, 2u);
    EXPECT_LE(of(rig->stats(), b.address()).active, 2u);
    ASSERT_TRUE(upstream.send_text("y"));
  }
  for (Peer& client : clients) EXPECT_EQ(client.receive(1), "y");
  EXPECT_EQ(rig->stats().accepted, 12u);
}

// The one with room refuses; the others have as many connections as they may.
TEST(Upstreams, WhereTheOthersAreFullItIsWaitedFor) {
  TemporaryFolder folder;
  TestServer a(Kind::unix_path, folder, "a");
  ForwarderOptions options = options_for(folder, {a.address(), unix_address(folder.file("b"))});
  options.upstream_connections_max = 1;
  Rig rig(std::move(options));
  Peer first = Peer::connected(rig.address(Kind::tcp));
  Peer first_upstream = a.accept();
  Peer second = Peer::connected(rig.address(Kind::tcp));
  ASSERT_TRUE(second.send_text("patience"));
  ASSERT_TRUE(eventually([&] { return rig->stats().backlog_waits >= 2; }));
  EXPECT_FALSE(a.somebody_waits(0));
  first.close();
  first_upstream.close();
  Peer second_upstream = a.accept();
  EXPECT_EQ(second_upstream.receive(8), "patience");
}

// --- changes ---------------------------------------------------------------------------------

TEST(Upstreams, StatesChangeWithoutTouchingConnections) {
  for (const UpstreamState state : {UpstreamState::draining, UpstreamState::down}) {
    TemporaryFolder folder;
    TestServer a(Kind::unix_path, folder, "a");
    NamedServer b(Kind::unix_path, folder, "b");
    Rig rig(options_for(folder, {a.address(), b.address()}));
    Peer client = Peer::connected(rig.address(Kind::tcp));
    Peer upstream = a.accept();
    ASSERT_TRUE(set_state(rig, a.address(), state).ok());
    EXPECT_EQ(of(rig->stats(), a.address()).state, state);
    EXPECT_FALSE(of(rig->stats(), a.address()).up);
    EXPECT_EQ(asked(rig, 6), "bbbbbb");
    ASSERT_TRUE(client.send_text("still here"));
    EXPECT_EQ(upstream.receive(10), "still here");
    ASSERT_TRUE(set_state(rig, b.address(), UpstreamState::down).ok());
    EXPECT_EQ(asked(rig, 1), "");  // nobody, not even as a last resort
    // The client may see its end before it is counted.
    EXPECT_TRUE(eventually([&] { return rig->stats().ended_unreachable == 1u; }));
    ASSERT_TRUE(set_state(rig, a.address(), UpstreamState::up).ok());
    Peer again = Peer::connected(rig.address(Kind::tcp));
    EXPECT_TRUE(a.accept().valid());
  }
}

TEST(Upstreams, WeightsChange) {
  TemporaryFolder folder;
  NamedServer a(Kind::unix_path, folder, "a");
  NamedServer b(Kind::unix_path, folder, "b");
  Rig rig(options_for(folder, {a.address(), b.address()}));
  EXPECT_EQ(asked(rig, 4), "abab");
  ASSERT_TRUE(set_weight(rig, b.address(), 3).ok());
  EXPECT_EQ(of(rig->stats(), b.address()).weight, 3u);
  EXPECT_EQ(asked(rig, 8), "babbbabb");
  EXPECT_EQ(set_weight(rig, b.address(), 0).code(), sys::Code::invalid);
  EXPECT_EQ(set_weight(rig, b.address(), 1001).code(), sys::Code::invalid);
  EXPECT_NE(set_weight(rig, b.address(), 1001).message().find("1001: give a number from 1 to 1000"),
            std::string::npos);
}

TEST(Upstreams, ComeAndGo) {
  TemporaryFolder folder;
  NamedServer a(Kind::unix_path, folder, "a");
  TestServer b(Kind::unix_path, folder, "b");
  Rig rig(options_for(folder, {a.address()}));
  const auto add = [&](const sys::Address& address) {
    return changed(rig, [&](Forwarder& forwarder, auto done) {
      forwarder.add_upstream({address, 1}, std::move(done));
    });
  };
  const auto remove = [&](const sys::Address& address) {
    return changed(rig, [&](Forwarder& forwarder, auto done) {
      forwarder.remove_upstream(address.to_string(), std::move(done));
    });
  };
  ASSERT_TRUE(add(b.address()).ok());
  Peer first = Peer::connected(rig.address(Kind::tcp));
  Peer second = Peer::connected(rig.address(Kind::tcp));
  Peer upstream = b.accept();
  ASSERT_TRUE(upstream.valid());
  ASSERT_TRUE(upstream.send_text("12345"));
  // It keeps what it has, gets no more, and is forgotten with its last connection.
  ASSERT_TRUE(remove(b.address()).ok());
  EXPECT_EQ(remove(b.address()).code(), sys::Code::not_found);
  EXPECT_EQ(asked(rig, 4), "aaaa");
  EXPECT_EQ(rig->stats().upstreams.size(), 2u);
  ASSERT_TRUE(upstream.send_text("67890"));
  upstream.close();
  first.close();
  second.close();
  EXPECT_TRUE(eventually([&] { return rig->stats().upstreams.size() == 1; }));
  // What went through it still counts; its last words may have met a client that was gone.
  EXPECT_GE(rig->stats().bytes_down, 9u);
  // Without any, a client is turned away; with one again, it is served.
  ASSERT_TRUE(remove(a.address()).ok());
  EXPECT_EQ(asked(rig, 1), "");
  ASSERT_TRUE(add(a.address()).ok());
  EXPECT_EQ(asked(rig, 2), "aa");
  EXPECT_EQ(add(unix_address("/" + std::string(200, 'x'))).code(), sys::Code::invalid);
  const auto numbered = [&](size_t i) { return unix_address(folder.file(std::to_string(i))); };
  for (size_t i = 1; i < limits::upstreams_max; ++i) ASSERT_TRUE(add(numbered(i)).ok());
  EXPECT_EQ(add(numbered(0)).code(), sys::Code::overloaded);
  EXPECT_EQ(add(a.address()).code(), sys::Code::exists);
  for (size_t i = 1; i < limits::upstreams_max; ++i) ASSERT_TRUE(remove(numbered(i)).ok());
  ASSERT_TRUE(remove(a.address()).ok());
  EXPECT_TRUE(rig->stats().upstreams.empty());
}

TEST(Upstreams, ANameThatIsAddedResolvesInItsTime) {
  TemporaryFolder folder;
  TestServer server(Kind::tcp, folder);
  Rig rig(options_for(folder, {unix_address(folder.file("nobody"))}));
  ASSERT_TRUE(changed(rig, [&](Forwarder& forwarder, auto done) {
                forwarder.add_upstream({tcp_address("localhost", server.address().port), 1},
                                       std::move(done));
              }).ok());
  ASSERT_TRUE(eventually([&] { return rig->stats().upstreams[1].up; }));
  Peer client = Peer::connected(rig.address(Kind::tcp));
  EXPECT_TRUE(server.accept().valid());
}

TEST(Upstreams, ChangesOfOneThatIsNotThereAreRefused) {
  TemporaryFolder folder;
  NamedServer a(Kind::unix_path, folder, "a");
  Rig rig(options_for(folder, {a.address()}));
  const sys::Status status = set_state(rig, unix_address("/nobody"), UpstreamState::down);
  EXPECT_EQ(status.code(), sys::Code::not_found);
  EXPECT_EQ(status.message(), "under test: there is no upstream /nobody");
}

TEST(Upstreams, TimesAreMeasured) {
  TemporaryFolder folder;
  NamedServer a(Kind::unix_path, folder, "a");
  Rig rig(options_for(folder, {a.address(), unix_address(folder.file("nobody"))}));
  asked(rig, 10);
  rig.expect_idle();
  const ForwarderStats stats = rig->stats();
  EXPECT_EQ(stats.connect.count, 10u);
  EXPECT_EQ(stats.session.count, 10u);
  EXPECT_EQ(of(stats, a.address()).session.count, 10u);
  EXPECT_EQ(stats.upstreams[1].connect.count, 0u);
  EXPECT_LE(stats.connect.p50_us, stats.connect.p999_us);
  EXPECT_LE(stats.session.p50_us, stats.session.sum_us * 17 / 16 + 1);
}

// --- one place, one upstream -----------------------------------------------------------------

TEST(Upstreams, TheSamePlaceTwiceIsRefusedHoweverItIsSpelled) {
  TemporaryFolder folder;
  const std::string path = folder.file("a");
  const std::vector<std::pair<std::string, std::string>> pairs = {
      {path, path},
      {"/run/a", "/run//./a"},
      {"Example.test:80", "example.test.:080"},
      {"[::1]:80", "[0:0:0::1]:80"},
      {"127.0.0.1:80", "[::ffff:127.0.0.1]:80"},
  };
  for (const auto& [first, second] : pairs) {
    sys::EventLoop loop;
    ASSERT_TRUE(loop.init().ok());
    ForwarderOptions options = options_for(
        folder, {sys::Address::parse(first).value(), sys::Address::parse(second).value()});
    const auto started = Forwarder::start(loop, std::move(options), nullptr);
    ASSERT_FALSE(started.ok()) << first << " " << second;
    EXPECT_NE(started.status().message().find("already"), std::string::npos);
  }
  NamedServer a(Kind::unix_path, folder, "a");
  Rig rig(options_for(folder, {a.address()}));
  const sys::Status again = changed(rig, [&](Forwarder& forwarder, auto done) {
    forwarder.add_upstream({unix_address(folder.file("./a")), 1}, std::move(done));
  });
  EXPECT_EQ(again.code(), sys::Code::exists) << again.message();
  EXPECT_EQ(rig->stats().upstreams.size(), 1u);
}

TEST(Upstreams, CountersOfOneThatIsAddedAgainGoOn) {
  TemporaryFolder folder;
  TestServer a(Kind::unix_path, folder, "a");
  NamedServer b(Kind::unix_path, folder, "b");
  Rig rig(options_for(folder, {a.address(), b.address()}));
  const auto remove = [&] {
    return changed(rig, [&](Forwarder& forwarder, auto done) {
      forwarder.remove_upstream(a.address().to_string(), std::move(done));
    });
  };
  const auto add = [&] {
    return changed(rig, [&](Forwarder& forwarder, auto done) {
      forwarder.add_upstream({a.address(), 1}, std::move(done));
    });
  };
  Peer client = Peer::connected(rig.address(Kind::tcp));
  Peer upstream = a.accept();
  ASSERT_TRUE(client.send_text("hello"));
  ASSERT_EQ(upstream.receive(5), "hello");
  // While a connection of its first life is open, and after that.
  ASSERT_TRUE(remove().ok());
  EXPECT_EQ(of(rig->stats(), a.address()).connections, 1u);
  ASSERT_TRUE(add().ok());
  EXPECT_EQ(rig->stats().upstreams.size(), 2u) << "one row for one place";
  EXPECT_EQ(of(rig->stats(), a.address()).connections, 1u);
  EXPECT_EQ(of(rig->stats(), a.address()).active, 1u);
  EXPECT_EQ(of(rig->stats(), a.address()).bytes_to, 5u);
  client.close();
  upstream.close();
  rig.expect_idle();
  ASSERT_TRUE(remove().ok());
  EXPECT_EQ(rig->stats().upstreams.size(), 1u);
  EXPECT_EQ(rig->stats().bytes_up, 5u);
  ASSERT_TRUE(add().ok());
  EXPECT_EQ(of(rig->stats(), a.address()).connections, 1u);
  EXPECT_EQ(of(rig->stats(), a.address()).active, 0u);
  EXPECT_EQ(rig->stats().bytes_up, 5u) << "counted once";
}

struct NobodyAsks final : UpstreamsOwner {
  void on_upstream_unreachable(size_t, const sys::Status&) override {}
  void on_upstream_reachable(size_t) override {}
  void on_upstream_change(const UpstreamChange&) override {}
  void on_upstream_room() override {}
};

// More places come and go than counters are kept of; in this order the newest is always the first
// of them, and never the one that is forgotten.
TEST(Upstreams, CountersAreForgottenOfPlacesThatAreGoneOnly) {
  TemporaryFolder folder;
  sys::EventLoop loop;
  ASSERT_TRUE(loop.init().ok());
  NobodyAsks nobody;
  Upstreams upstreams(loop, "under test", {}, nobody);
  const sys::Address stays = unix_address(folder.file("stays"));
  const sys::Address goes = unix_address(folder.file("zz"));
  ASSERT_TRUE(upstreams.start({{stays, 1}, {goes, 1}}).ok());
  for (int session = 0; session < 2; ++session) {
    const UpstreamChooser::Choice choice = upstreams.choose({});
    ASSERT_EQ(choice.kind, UpstreamChooser::Choice::Kind::chosen);
    upstreams.on_connected(choice.upstream, 1);
    upstreams.at(choice.upstream).counters->bytes_to.add(5);
    upstreams.on_session_end(choice.upstream, {}, {}, 1);
    upstreams.leave(choice.upstream);
  }
  ASSERT_TRUE(upstreams.remove(goes.to_string()).ok());
  for (size_t i = limits::upstream_counters_max + 8; i > 0; --i) {
    const sys::Address address = unix_address(folder.file("a" + std::to_string(10'000 + i)));
    ASSERT_TRUE(upstreams.add({address, 1}).ok()) << i;
    const std::vector<UpstreamStats> stats = upstreams.stats();
    ASSERT_EQ(stats.size(), 2u) << i;
    EXPECT_EQ(stats[0].connections, 1u) << i;
    EXPECT_EQ(stats[1].connections, 0u) << i;
    ASSERT_TRUE(upstreams.remove(address.to_string()).ok()) << i;
  }
  EXPECT_EQ(upstreams.totals().bytes_to, 10u) << "what went through those that were forgotten";
  EXPECT_EQ(upstreams.totals().session_us.count(), 2u);
}

}  // namespace
}  // namespace espora::forward
