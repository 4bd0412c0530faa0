// The forwarder as its owner sees it: which upstream takes a connection, what it does when
// upstreams refuse, are full, slow or nowhere, deadlines, limits, descriptors that run out, drain
// and stop.
#include "forward/forwarder.h"

#include <sys/resource.h>

#include <map>

#include "forward/rig.h"
#include "sys/limits.h"

namespace espora::forward {
namespace {

// A TCP port on which nobody listens, and nobody will while this lives: it is bound.
class DeadPort {
 public:
  DeadPort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) std::abort();
    socklen_t length = sizeof at;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &length);
    port_ = ntohs(at.sin_port);
  }
  ~DeadPort() { ::close(fd_); }
  [[nodiscard]] sys::Address address() const { return tcp_address("127.0.0.1", port_); }

 private:
  int fd_;
  uint16_t port_;
};

class ForwarderOn : public ::testing::TestWithParam<Kind> {
 protected:
  TemporaryFolder folder;
};
INSTANTIATE_TEST_SUITE_P(Sockets, ForwarderOn, ::testing::Values(Kind::tcp, Kind::unix_path),
                         [](const auto& tested) { return kind_name(tested.param); });

// --- which upstream --------------------------------------------------------------------------

TEST_P(ForwarderOn, RoundRobinIsExact) {
  NamedServer a(GetParam(), folder, "a");
  NamedServer b(GetParam(), folder, "b");
  NamedServer c(GetParam(), folder, "c");
  Rig rig(options_for(folder, {a.address(), b.address(), c.address()}));
  std::string order;
  for (int i = 0; i < 300; ++i) order += ask(rig.address(i % 2 == 0 ? Kind::tcp : Kind::unix_path));
  std::string expected;
  for (int i = 0; i < 100; ++i) expected += "abc";
  EXPECT_EQ(order, expected);
  const ForwarderStats stats = rig->stats();
  EXPECT_EQ(stats.accepted, 300u);
  for (const UpstreamStats& each : stats.upstreams) {
    EXPECT_EQ(each.connections, 100u);
    EXPECT_EQ(each.connect_failures, 0u);
    EXPECT_TRUE(each.up);
  }
}

TEST_P(ForwarderOn, RoundRobinStaysExactWithManyAtOnce) {
  NamedServer a(GetParam(), folder, "a");
  NamedServer b(GetParam(), folder, "b");
  Rig rig(options_for(folder, {a.address(), b.address()}));
  std::vector<std::thread> clients;
  for (int thread = 0; thread < 8; ++thread) {
    clients.emplace_back([&] {
      for (int i = 0; i < 100; ++i) EXPECT_EQ(ask(rig.address(Kind::tcp)).size(), 1u);
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(a.served(), 400);
  EXPECT_EQ(b.served(), 400);
}

TEST_P(ForwarderOn, ADeadUpstreamIsPassedOverAndSharesStayEven) {
  NamedServer a(GetParam(), folder, "a");
  NamedServer b(GetParam(), folder, "b");
  DeadPort dead_port;
  const sys::Address dead =
      GetParam() == Kind::tcp ? dead_port.address() : unix_address(folder.file("nobody"));
  Rig rig(options_for(folder, {a.address(), dead, b.address()}));
  std::map<std::string, int> answers;
  for (int i = 0; i < 200; ++i) ++answers[ask(rig.address(Kind::tcp))];
  EXPECT_EQ(answers, (std::map<std::string, int>{{"a", 100}, {"b", 100}}));
  const ForwarderStats stats = rig->stats();
  EXPECT_EQ(stats.upstreams[1].connections, 0u);
  EXPECT_GT(stats.upstreams[1].connect_failures, 0u);
  EXPECT_EQ(stats.retries, stats.upstreams[1].connect_failures);
  EXPECT_EQ(stats.ended_unreachable, 0u);
  const std::lock_guard lock(rig.events.mutex);
  EXPECT_EQ(rig.events.unreachable, std::vector<size_t>{1});  // said once
  EXPECT_EQ(rig.events.reachable, std::vector<size_t>{});
}

TEST_P(ForwarderOn, AnUpstreamThatComesBackIsUsedAgain) {
  auto a = std::make_unique<NamedServer>(Kind::unix_path, folder, "a");
  NamedServer b(GetParam(), folder, "b");
  Rig rig(options_for(folder, {a->address(), b.address()}));
  EXPECT_EQ(ask(rig.address(Kind::tcp)), "a");
  EXPECT_EQ(ask(rig.address(Kind::tcp)), "b");
  a.reset();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(ask(rig.address(Kind::tcp)), "b");
  a = std::make_unique<NamedServer>(Kind::unix_path, folder, "a");
  std::string answers;
  for (int i = 0; i < 4; ++i) answers += ask(rig.address(Kind::tcp));
  EXPECT_TRUE(answers == "abab" || answers == "baba") << answers;
  const std::lock_guard lock(rig.events.mutex);
  EXPECT_EQ(rig.events.unreachable, std::vector<size_t>{0});
  EXPECT_EQ(rig.events.reachable, std::vector<size_t>{0});
}

TEST_P(ForwarderOn, NobodyTakesIt) {
  DeadPort dead;
  Rig rig(options_for(folder, {dead.address(), unix_address(folder.file("nobody"))}));
  for (int i = 0; i < 10; ++i) {
    Peer client = Peer::connected(rig.address(GetParam()));
    EXPECT_NE(client.end(), StreamEnd::timed_out);
  }
  rig.expect_idle();
  const ForwarderStats stats = rig->stats();
  EXPECT_EQ(stats.ended_unreachable, 10u);
  EXPECT_EQ(stats.upstreams[0].connect_failures, 10u);  // each tried once by each
  EXPECT_EQ(stats.upstreams[1].connect_failures, 10u);
  EXPECT_EQ(stats.local_errors, 0u);
}

TEST_P(ForwarderOn, AnUnknownNameIsDownAndNotFatal) {
  NamedServer a(GetParam(), folder, "a");
  Rig rig(options_for(folder, {tcp_address("no-such-host.invalid", 80), a.address()}));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ask(rig.address(Kind::tcp)), "a");
  ASSERT_TRUE(eventually([&] { return rig->stats().upstreams[0].connect_failures == 1; }));
  const ForwarderStats stats = rig->stats();
  EXPECT_FALSE(stats.upstreams[0].up);
  EXPECT_EQ(stats.upstreams[0].address, "no-such-host.invalid:80");
  EXPECT_EQ(stats.upstreams[0].connect_failures, 1u);
  EXPECT_EQ(stats.retries, 0u);  // it is not even tried
  const std::lock_guard lock(rig.events.mutex);
  ASSERT_EQ(rig.events.reasons.size(), 1u);
  EXPECT_NE(rig.events.reasons[0].find("no-such-host.invalid"), std::string::npos);
}

TEST_P(ForwarderOn, ANameWithSeveralAddressesIsTriedOnEach) {
  // "localhost" is ::1 and 127.0.0.1 on most machines, and the server listens on one of them.
  TestServer server(Kind::tcp, folder);
  Rig rig(options_for(folder, {tcp_address("localhost", server.address().port)}));
  for (int i = 0; i < 3; ++i) {
    Peer client = Peer::connected(rig.address(GetParam()));
    Peer upstream = server.accept();
    ASSERT_TRUE(upstream.valid());
    ASSERT_TRUE(client.send_text("x"));
    ASSERT_EQ(upstream.receive(1), "x");
  }
  EXPECT_EQ(rig->stats().upstreams[0].connect_failures, 0u);
}

// A byte that was forwarded may have been acted on: the connection is not tried elsewhere.
TEST_P(ForwarderOn, NoSecondUpstreamAfterAByteWasForwarded) {
  TestServer first(GetParam(), folder, "first");
  TestServer second(GetParam(), folder, "second");
  Rig rig(options_for(folder, {first.address(), second.address()}));
  Peer client = Peer::connected(rig.address(Kind::tcp));
  ASSERT_TRUE(client.send_text("pay 10"));
  Peer upstream = first.accept();
  ASSERT_EQ(upstream.receive(3), "pay");
  if (GetParam() == Kind::tcp) {
    upstream.reset();
  } else {
    upstream.close();  // with something unread
  }
  EXPECT_EQ(client.end(), StreamEnd::reset);
  rig.expect_idle();
  EXPECT_FALSE(second.somebody_waits(0));
  EXPECT_EQ(rig->stats().retries, 0u);
  EXPECT_EQ(rig->stats().ended_by_upstream, 1u);
}

// --- full backlogs ---------------------------------------------------------------------------

// Connects until the listener's queue is full.
std::vector<Peer> fill_backlog(const sys::Address& address) {
  std::vector<Peer> waiting;
  for (;;) {
    Peer peer(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int error = peer.connect_to(address);
    if (error == EAGAIN) return waiting;
    EXPECT_EQ(error, 0);
    if (error != 0) return waiting;
    waiting.push_back(std::move(peer));
  }
}

TEST(Forwarder, AFullBacklogIsPassedOver) {
  TemporaryFolder folder;
  TestServer full(Kind::unix_path, folder, "full", 1);
  NamedServer other(Kind::unix_path, folder, "other");
  const std::vector<Peer> waiting = fill_backlog(full.address());
  Rig rig(options_for(folder, {full.address(), other.address()}));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(ask(rig.address(Kind::tcp)), "other");
  const ForwarderStats stats = rig->stats();
  EXPECT_EQ(stats.backlog_waits, 0u);
  EXPECT_EQ(stats.upstreams[0].connect_failures, 0u);  // full is not broken
  EXPECT_EQ(stats.retries, 5u);                        // it stays in its turn
}

TEST(Forwarder, AFullBacklogOfAllIsWaitedFor) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder, "full", 0);
  const std::vector<Peer> waiting = fill_backlog(server.address());
  DeadPort dead;
  Rig rig(options_for(folder, {dead.address(), server.address()}));
  Peer client = Peer::connected(rig.address(Kind::tcp));
  ASSERT_TRUE(client.send_text("patience"));
  ASSERT_TRUE(eventually([&] { return rig->stats().backlog_waits >= 3; }));
  for (size_t i = 0; i < waiting.size(); ++i) ASSERT_TRUE(server.accept().valid());
  Peer upstream = server.accept();
  ASSERT_EQ(upstream.receive(8), "patience");
  EXPECT_EQ(rig->stats().upstreams[0].connect_failures, 1u);  // once, not at each round
  EXPECT_EQ(rig->stats().upstreams[1].connect_failures, 0u);
}

TEST(Forwarder, AFullBacklogIsNotWaitedForEver) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder, "full", 0);
  const std::vector<Peer> waiting = fill_backlog(server.address());
  ForwarderOptions options = options_for(folder, {server.address()});
  options.connect_timeout_ms = 50;
  Rig rig(std::move(options));
  Peer client = Peer::connected(rig.address(Kind::tcp));
  EXPECT_NE(client.end(), StreamEnd::timed_out);
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_connect_timeout, 1u);
  EXPECT_GE(rig->stats().backlog_waits, 1u);
}

// --- deadlines -------------------------------------------------------------------------------

TEST(Forwarder, AnUpstreamThatDoesNotAnswerIsPassedOver) {
  TemporaryFolder folder;
  SilentPort silent(folder);
  NamedServer other(Kind::unix_path, folder, "other");
  ForwarderOptions options = options_for(folder, {silent.address(), other.address()});
  options.connect_timeout_ms = 50;
  Rig rig(std::move(options));
  EXPECT_EQ(ask(rig.address(Kind::tcp)), "other");
  EXPECT_EQ(rig->stats().upstreams[0].connect_failures, 1u);
  EXPECT_EQ(rig->stats().retries, 1u);
}

TEST(Forwarder, AnUpstreamThatDoesNotAnswerIsGivenUp) {
  TemporaryFolder folder;
  SilentPort silent(folder);
  ForwarderOptions options = options_for(folder, {silent.address()});
  options.connect_timeout_ms = 50;
  Rig rig(std::move(options));
  Peer client = Peer::connected(rig.address(Kind::tcp));
  EXPECT_NE(client.end(), StreamEnd::timed_out);
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_connect_timeout, 1u);
  const std::lock_guard lock(rig.events.mutex);
  ASSERT_EQ(rig.events.reasons.size(), 1u);
  EXPECT_NE(rig.events.reasons[0].find("ETIMEDOUT"), std::string::npos);
}

// What the kernel holds for a peer that takes it slowly makes no events for a long time.
TEST(Forwarder, ASessionWhosePeerTakesSlowlyWhatWasSentIsNotIdle) {
  TemporaryFolder folder;
  TestServer server(Kind::tcp, folder);
  ForwarderOptions options = options_for(folder, {server.address()});
  options.idle_timeout_ms = 700;
  Rig rig(std::move(options));
  Peer client = Peer::make(Kind::tcp);
  client.set_buffers(8 * 1024);
  ASSERT_EQ(client.connect_to(rig.address(Kind::tcp)), 0);
  Peer upstream = server.accept();
  constexpr size_t total = 192 * 1024;
  ASSERT_TRUE(upstream.send_text(std::string(total, 'x')));
  ASSERT_TRUE(eventually([&] { return rig->stats().bytes_down == total; }));
  size_t left = total;
  for (const auto begun = std::chrono::steady_clock::now();
       std::chrono::steady_clock::now() - begun < std::chrono::milliseconds(2'000);) {
    ASSERT_EQ(client.receive(4096).size(), 4096u);
    left -= 4096;
    ASSERT_GT(left, 32u * 1024);
    EXPECT_EQ(rig->stats().ended_idle, 0u);
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
  }
  // Now it takes nothing any more.
  EXPECT_TRUE(eventually([&] { return rig->stats().ended_idle == 1; }));
}

TEST_P(ForwarderOn, IdleSessionsEndAndBusyOnesDoNot) {
  TestServer server(GetParam(), folder);
  ForwarderOptions options = options_for(folder, {server.address()});
  options.idle_timeout_ms = 300;
  options.half_close_timeout_ms = 0;
  Rig rig(std::move(options));
  Peer idle = Peer::connected(rig.address(Kind::tcp));
  Peer idle_upstream = server.accept();
  Peer busy = Peer::connected(rig.address(Kind::tcp));
  Peer busy_upstream = server.accept();
  while (!idle.readable_within(20)) {
    ASSERT_TRUE(busy.send_text("x"));
    ASSERT_EQ(busy_upstream.receive(1), "x");
  }
  EXPECT_EQ(idle.end(), StreamEnd::clean);
  EXPECT_EQ(idle_upstream.end(), StreamEnd::clean);
  ASSERT_TRUE(busy.send_text("alive"));
  ASSERT_EQ(busy_upstream.receive(5), "alive");
  EXPECT_TRUE(eventually([&] { return rig->stats().ended_idle == 1; }));
  EXPECT_EQ(rig->stats().active, 1u);
}

TEST_P(ForwarderOn, HalfClosedSessionsEnd) {
  TestServer server(GetParam(), folder);
  ForwarderOptions options = options_for(folder, {server.address()});
  options.half_close_timeout_ms = 50;
  Rig rig(std::move(options));
  Peer client = Peer::connected(rig.address(Kind::tcp));
  Peer upstream = server.accept();
  client.shutdown_write();
  EXPECT_EQ(upstream.end(), StreamEnd::clean);
  EXPECT_EQ(client.end(), StreamEnd::clean);  // and the upstream never did anything
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_half_closed, 1u);
}

TEST_P(ForwarderOn, WithoutDeadlinesNothingEnds) {
  TestServer server(GetParam(), folder);
  ForwarderOptions options = options_for(folder, {server.address()});
  options.idle_timeout_ms = 0;
  options.half_close_timeout_ms = 0;
  Rig rig(std::move(options));
  Peer client = Peer::connected(rig.address(Kind::tcp));
  Peer upstream = server.accept();
  client.shutdown_write();
  EXPECT_EQ(upstream.end(), StreamEnd::clean);
  EXPECT_FALSE(client.readable_within(100));
  ASSERT_TRUE(upstream.send_text("late"));
  EXPECT_EQ(client.receive(4), "late");
}

// --- limits ----------------------------------------------------------------------------------

TEST_P(ForwarderOn, AtTheLimitTheKernelQueues) {
  TestServer server(GetParam(), folder);
  ForwarderOptions options = options_for(folder, {server.address()});
  options.connections_max = 3;
  Rig rig(std::move(options));
  std::vector<Peer> clients;
  std::vector<Peer> upstreams;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(Peer::connected(rig.address(Kind::tcp)));
    ASSERT_TRUE(clients.back().send_text(std::to_string(i)));
  }
  for (int i = 0; i < 3; ++i) upstreams.push_back(server.accept());
  ASSERT_TRUE(eventually([&] { return rig->stats().limit_pauses >= 1; }));
  EXPECT_FALSE(server.somebody_waits(50));
  EXPECT_EQ(rig->stats().active, 3u);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(upstreams[static_cast<size_t>(i)].receive(1), std::to_string(i));
    upstreams[static_cast<size_t>(i)].close();
    clients[static_cast<size_t>(i)].close();
    if (i + 3 < 10) upstreams.push_back(server.accept());
  }
  rig.expect_idle();
  EXPECT_EQ(rig->stats().accepted, 10u);
  EXPECT_EQ(rig->stats().ended_by_stop, 0u);
}

class DescriptorsLeft : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Left, DescriptorsLeft, ::testing::Values(0, 1, 2, 3, 4, 5, 6));

// With any number of descriptors left, connections wait in the kernel and none is lost: one that
// was accepted gets its upstream socket. Nothing spins, and upstreams are not blamed.
TEST_P(DescriptorsLeft, NothingIsLostAndNothingSpins) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  Rig rig(options_for(folder, {server.address()}));
  // Opens what opens at the first connection.
  {
    Peer warm = Peer::connected(rig.address(Kind::tcp));
    server.accept();
  }
  rig.expect_idle();

  constexpr int count = 12;
  std::vector<Peer> clients;
  for (int i = 0; i < count; ++i) clients.push_back(Peer::make(Kind::tcp));
  {
    const FewDescriptors few(GetParam());
    ASSERT_NO_FATAL_FAILURE(greet_until_it_rests(rig, clients));
    // Whoever was accepted is served: nobody waits for a descriptor that others hold.
    ASSERT_TRUE(eventually([&] {
      const ForwarderStats now = rig->stats();
      return now.upstreams[0].connections == now.accepted;
    }));
    const uint64_t pauses = rig->stats().accept_pauses;
    const uint64_t turns = rig.loop().turns();
    ASSERT_TRUE(eventually([&] { return rig->stats().accept_pauses >= pauses + 5; }));
    EXPECT_LE(rig.loop().turns() - turns, 5u * 30);  // a rest each time
    const ForwarderStats stats = rig->stats();
    EXPECT_LE(stats.active, static_cast<uint64_t>(GetParam() + 1) / 2 + 1);
    EXPECT_EQ(stats.upstreams[0].connect_failures, 0u);
    EXPECT_EQ(stats.ended_local_error, 0u);
  }
  ASSERT_NO_FATAL_FAILURE(expect_greetings(server, count));
  rig.expect_idle();
  EXPECT_EQ(rig->stats().accepted, count + 1u);
  EXPECT_EQ(rig->stats().ended_local_error, 0u);
  const std::lock_guard lock(rig.events.mutex);
  ASSERT_EQ(rig.events.pauses.size(), 1u);  // one shortage, said once
  EXPECT_NE(rig.events.pauses[0].find("EMFILE"), std::string::npos);
}

TEST(Forwarder, AcceptingGoesOnAfterEachShortage) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  Rig rig(options_for(folder, {server.address()}));
  for (int shortage = 0; shortage < 3; ++shortage) {
    std::vector<Peer> clients;
    for (int i = 0; i < 8; ++i) clients.push_back(Peer::make(Kind::tcp));
    {
      const FewDescriptors few(2);
      ASSERT_NO_FATAL_FAILURE(greet_until_it_rests(rig, clients));
    }
    ASSERT_NO_FATAL_FAILURE(expect_greetings(server, 8));
    clients.clear();
    rig.expect_idle();
  }
  EXPECT_EQ(rig->stats().ended_local_error, 0u);
}

// A buffer that was given back with bytes in it, and sessions that had one at every end.
TEST_P(ForwarderOn, WhatASessionLeftOwedReachesNoOther) {
  TestServer server(GetParam(), folder);
  ForwarderOptions options = options_for(folder, {server.address()});
  options.pipes_max = 0;
  Rig rig(std::move(options));
  const std::vector<std::function<void(Peer & client, Peer & upstream)>> ends = {
      [](Peer& client, Peer&) { client.close(); },
      [](Peer& client, Peer&) { client.reset(); },
      [](Peer& client, Peer& upstream) {
        upstream.reset();
        client.close();
      },
      [](Peer& client, Peer& upstream) {
        upstream.shutdown_write();
        client.close();
      },
  };
  for (uint64_t turn = 0; turn < ends.size(); ++turn) {
    for (const bool up : {false, true}) {
      Peer client = Peer::connected(rig.address(GetParam()));
      Peer upstream = server.accept();
      ASSERT_TRUE(eventually([&] {
        (up ? client : upstream).send_until_full(1 << 20);
        return rig->stats().buffers_in_use == 1;
      }));
      ends[turn](up ? upstream : client, up ? client : upstream);
      client.close();
      upstream.close();
      rig.expect_idle();
      // Its reader begins late, so that the same buffer is lent.
      Peer next = Peer::connected(rig.address(GetParam()));
      Peer next_upstream = server.accept();
      next.set_buffers(64 * 1024);
      next_upstream.set_buffers(64 * 1024);
      constexpr uint64_t total = 16 << 20;
      std::thread sender(
          [&] { EXPECT_TRUE(send_pattern(up ? next : next_upstream, total, turn, 64 * 1024)); });
      EXPECT_TRUE(eventually([&] { return rig->stats().buffers_in_use == 1; }));
      EXPECT_EQ(receive_pattern(up ? next_upstream : next, total, turn), total);
      sender.join();
      next.close();
      next_upstream.close();
      rig.expect_idle();
    }
  }
  EXPECT_EQ(rig->stats().buffers_peak, 1u);
}

TEST(Forwarder, FiveThousandAtOnce) {
  size_t count = 5'000;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  const rlimit before = files;
  files.rlim_cur = std::max<rlim_t>(files.rlim_cur, 4 * count + 500);
  files.rlim_max = std::max(files.rlim_max, files.rlim_cur);
  if (::setrlimit(RLIMIT_NOFILE, &files) != 0) {
    files = before;
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    count = std::min<size_t>(count, (files.rlim_cur - 500) / 4);
  }
  TemporaryFolder folder;
  TestServer a(Kind::unix_path, folder, "a");
  TestServer b(Kind::unix_path, folder, "b");
  {
    Rig rig(options_for(folder, {a.address(), b.address()}));
    std::vector<Peer> upstreams;
    std::mutex mutex;
    const auto accept_half = [&](TestServer& server) {
      for (size_t i = 0; i < count / 2; ++i) {
        Peer peer = server.accept();
        const std::lock_guard lock(mutex);
        upstreams.push_back(std::move(peer));
      }
    };
    std::thread accept_a([&] { accept_half(a); });
    std::thread accept_b([&] { accept_half(b); });
    std::vector<Peer> clients;
    for (size_t i = 0; i < count / 2 * 2; ++i) {
      clients.push_back(Peer::connected(rig.address(Kind::tcp)));
    }
    accept_a.join();
    accept_b.join();
    EXPECT_EQ(rig->stats().active, clients.size());
    for (Peer& client : clients) EXPECT_TRUE(client.send_text("ping"));
    for (Peer& upstream : upstreams) {
      EXPECT_EQ(upstream.receive(4), "ping");
      EXPECT_TRUE(upstream.send_text("pong"));
    }
    for (Peer& client : clients) EXPECT_EQ(client.receive(4), "pong");
    EXPECT_EQ(rig->stats().buffers_peak, 0u);  // many idle connections hold no memory
    upstreams.clear();
    clients.clear();
    rig.expect_idle();
    EXPECT_EQ(rig->stats().ended_normally, count / 2 * 2);
  }
  ::setrlimit(RLIMIT_NOFILE, &before);
}

// More stalled readers than there are buffers: memory stays bounded and all of them get all.
class StalledReaders : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Pipes, StalledReaders, ::testing::Values(0, 4));

TEST_P(StalledReaders, MoreThanThereAreBuffers) {
  constexpr size_t count = limits::relay_buffers_max + 32;
  constexpr uint64_t total = 1'000'000;
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  ForwarderOptions options = options_for(folder, {server.address()});
  options.pipes_max = GetParam();
  Rig rig(std::move(options));
  std::vector<Peer> clients;
  std::vector<std::thread> senders;
  for (size_t i = 0; i < count; ++i) {
    clients.push_back(Peer::connected(rig.address(Kind::unix_path)));
    auto upstream = std::make_shared<Peer>(server.accept());
    senders.emplace_back([upstream, i] { EXPECT_TRUE(send_pattern(*upstream, total, i, 50'000)); });
  }
  EXPECT_TRUE(eventually([&] { return rig->stats().buffers_in_use == limits::relay_buffers_max; }));
  EXPECT_LE(rig->stats().pipes_peak, GetParam());
  for (size_t i = 0; i < count; ++i) EXPECT_EQ(receive_pattern(clients[i], total, i), total);
  for (std::thread& sender : senders) sender.join();
  EXPECT_EQ(rig->stats().buffers_peak, limits::relay_buffers_max);
  clients.clear();
  rig.expect_idle();
}

// --- ending ----------------------------------------------------------------------------------

TEST_P(ForwarderOn, StopCutsWhatIsBusy) {
  TestServer server(GetParam(), folder);
  Rig rig(options_for(folder, {server.address()}));
  constexpr int count = 20;
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    auto client = std::make_shared<Peer>(Peer::connected(rig.address(Kind::tcp)));
    auto upstream = std::make_shared<Peer>(server.accept());
    threads.emplace_back([client] { EXPECT_FALSE(send_pattern(*client, 1 << 30, 0, 100'000)); });
    threads.emplace_back([upstream, reads = i % 2 == 0] {
      std::vector<char> block(1 << 16);
      while (reads && ::recv(upstream->fd(), block.data(), block.size(), 0) > 0) {
      }
      while (!reads && ::send(upstream->fd(), "x", 1, MSG_NOSIGNAL) == 1) {
      }
    });
  }
  EXPECT_TRUE(eventually([&] { return rig->stats().bytes_up > 10'000'000; }));
  std::promise<void> done;
  rig->drain(0, [&] { done.set_value(); });
  done.get_future().wait();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(rig->stats().active, 0u);
  EXPECT_EQ(rig->stats().ended_by_stop, static_cast<uint64_t>(count));
  EXPECT_EQ(rig->stats().buffers_in_use, 0u);
  EXPECT_NE(Peer::make(Kind::tcp).connect_to(rig.address(Kind::tcp)), 0);
}

TEST_P(ForwarderOn, DrainLetsSessionsEnd) {
  TestServer server(Kind::unix_path, folder);
  Rig rig(options_for(folder, {server.address()}));
  const sys::Address address = rig.address(GetParam());
  Peer client = Peer::connected(address);
  Peer upstream = server.accept();
  std::atomic<int> done{0};
  rig->drain(patience_ms, [&] { ++done; });
  rig.on_loop([] {});
  EXPECT_NE(Peer::make(GetParam()).connect_to(address), 0);
  ASSERT_TRUE(client.send_text("still here"));
  ASSERT_EQ(upstream.receive(10), "still here");
  EXPECT_EQ(done, 0);
  client.close();
  upstream.close();
  EXPECT_TRUE(eventually([&] { return done == 1; }));
  EXPECT_EQ(rig->stats().ended_normally, 1u);
  // Once more, after the end.
  rig->drain(patience_ms, [&] { ++done; });
  EXPECT_TRUE(eventually([&] { return done == 2; }));
}

TEST_P(ForwarderOn, DrainCutsWhatDoesNotEnd) {
  TestServer server(Kind::unix_path, folder);
  Rig rig(options_for(folder, {server.address()}));
  Peer client = Peer::connected(rig.address(GetParam()));
  Peer upstream = server.accept();
  std::atomic<int> done{0};
  rig->drain(uint64_t{3'600'000}, [&] { ++done; });
  rig->drain(30, [&] { ++done; });  // shortens it
  rig->drain(uint64_t{3'600'000}, [&] { ++done; });
  EXPECT_EQ(client.end(), StreamEnd::clean);
  EXPECT_TRUE(eventually([&] { return done == 3; }));
  EXPECT_EQ(rig->stats().ended_by_stop, 1u);
}

// Closing a listener resets what waits in its queue, so that is taken first.
TEST_P(ForwarderOn, DrainTakesWhatWaits) {
  TestServer server(Kind::unix_path, folder);
  Rig rig(options_for(folder, {server.address()}));
  std::promise<void> go_on;
  rig.loop().post([&] { go_on.get_future().wait(); });
  std::vector<Peer> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(Peer::connected(rig.address(GetParam())));
    ASSERT_TRUE(clients.back().send_text("x"));
  }
  std::atomic<bool> done{false};
  rig->drain(patience_ms, [&] { done = true; });
  go_on.set_value();
  for (int i = 0; i < 100; ++i) {
    Peer upstream = server.accept();
    ASSERT_EQ(upstream.receive(1), "x");
    ASSERT_TRUE(upstream.send_text("y"));
  }
  for (Peer& client : clients) EXPECT_EQ(client.receive(1), "y");
  clients.clear();
  EXPECT_TRUE(eventually([&] { return done.load(); }));
  EXPECT_EQ(rig->stats().ended_normally, 100u);
}

TEST_P(ForwarderOn, DrainAtTheLimitTakesWhatWaitsAsRoomComes) {
  TestServer server(Kind::unix_path, folder);
  ForwarderOptions options = options_for(folder, {server.address()});
  options.connections_max = 2;
  Rig rig(std::move(options));
  std::vector<Peer> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(Peer::connected(rig.address(GetParam())));
  std::atomic<bool> done{false};
  ASSERT_TRUE(eventually([&] { return rig->stats().active == 2; }));
  rig->drain(patience_ms, [&] { done = true; });
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(done);
    Peer upstream = server.accept();
    ASSERT_TRUE(upstream.valid());
    clients[static_cast<size_t>(i)].close();
  }
  EXPECT_TRUE(eventually([&] { return done.load(); }));
  EXPECT_EQ(rig->stats().accepted, 20u);
}

TEST(Forwarder, MayBeDeletedInItsDoneCallback) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  sys::EventLoop loop;
  ASSERT_TRUE(loop.init().ok());
  auto started = Forwarder::start(loop, options_for(folder, {server.address()}), nullptr);
  ASSERT_TRUE(started.ok());
  std::unique_ptr<Forwarder> forwarder = std::move(started).value();
  const sys::Address address = tcp_address("127.0.0.1", forwarder->port());
  sys::Thread looping = sys::start_thread("forward test", [&] { loop.run(); }).value();
  Peer client = Peer::connected(address);
  Peer upstream = server.accept();
  std::promise<void> deleted;
  forwarder->drain(10, [&] {
    forwarder.reset();
    deleted.set_value();
  });
  deleted.get_future().wait();
  EXPECT_EQ(client.end(), StreamEnd::clean);
  loop.stop();
  looping.join();
}

TEST(Forwarder, GoesWithSessionsAtWork) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  Peer client;
  Peer upstream;
  {
    Rig rig(options_for(folder, {server.address()}));
    client = Peer::connected(rig.address(Kind::tcp));
    upstream = server.accept();
    ASSERT_GT(client.send_until_full(10'000'000), 0u);
    ASSERT_TRUE(eventually([&] {
      const ForwarderStats stats = rig->stats();
      return stats.buffers_in_use + stats.pipes_in_use == 1;
    }));
  }
  EXPECT_NE(client.end(), StreamEnd::timed_out);
}

// --- options ---------------------------------------------------------------------------------

TEST(Forwarder, OptionsThatCannotBeRightAreRefused) {
  TemporaryFolder folder;
  sys::EventLoop loop;
  ASSERT_TRUE(loop.init().ok());
  const auto refused = [&](const std::function<void(ForwarderOptions&)>& spoil) {
    ForwarderOptions options = options_for(folder, {unix_address(folder.file("upstream"))});
    spoil(options);
    auto started = Forwarder::start(loop, std::move(options), nullptr);
    return started.ok() ? "started" : started.status().message();
  };
  EXPECT_EQ(refused([](auto& options) { options.upstreams.clear(); }),
            "under test: no upstreams: name at least one");
  EXPECT_EQ(refused([](auto& options) {
              options.upstreams.resize(limits::upstreams_max + 1, options.upstreams[0]);
            }),
            "under test: 257 upstreams; at most 256 are possible");
  EXPECT_EQ(refused([](auto& options) { options.connections_max = 0; }),
            "under test: the most connections must be at least 1");
  EXPECT_EQ(refused([](auto& options) { options.connect_timeout_ms = 0; }),
            "under test: the connect timeout must be at least 1 ms");
  EXPECT_NE(refused([](auto& options) {
              options.listen.port.reset();
              options.listen.unix_path.clear();
            }).find("nowhere to listen"),
            std::string::npos);
  EXPECT_NE(refused([](auto& options) {
              options.upstreams[0].path = "/tmp/" + std::string(200, 'x');
            }).find("107"),
            std::string::npos);
  EXPECT_EQ(refused([](auto&) {}), "started");
}

TEST(Forwarder, APortThatIsTakenIsSaid) {
  TemporaryFolder folder;
  TestServer taken(Kind::tcp, folder);
  sys::EventLoop loop;
  ASSERT_TRUE(loop.init().ok());
  ForwarderOptions options = options_for(folder, {unix_address(folder.file("upstream"))});
  options.listen.port = taken.address().port;
  auto started = Forwarder::start(loop, std::move(options), nullptr);
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.status().code(), sys::Code::address_in_use);
}

}  // namespace
}  // namespace espora::forward
