// Ends: draining with clients in every state, its deadline, and closing at once.
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <sys/socket.h>

#include "http/server_harness.h"

namespace espora::test {
namespace {

using http::ServerOptions;

class ServerDrainTest : public OverBoth {
 protected:
  // Begins to drain; `patience_ms` from now the rest is cut. The flag becomes true once it is over.
  static std::shared_ptr<std::atomic<int>> drain(Harness& harness, uint64_t patience_ms = 60'000) {
    auto over = std::make_shared<std::atomic<int>>(0);
    harness.call([&] {
      harness.server().drain(harness.loop().now_ms() + patience_ms, [over] { over->fetch_add(1); });
    });
    return over;
  }
  static bool becomes_one(const std::shared_ptr<std::atomic<int>>& over) {
    return eventually([&] { return over->load() == 1; });
  }
};
ESPORA_OVER_BOTH(ServerDrainTest);

TEST_P(ServerDrainTest, WithNobodyItIsOverAtOnce) {
  Harness harness;
  const auto over = drain(harness);
  EXPECT_EQ(over->load(), 1);
  EXPECT_TRUE(harness.call([&] { return harness.server().draining(); }));
  SocketClient late = SocketClient::make(tcp());
  EXPECT_FALSE(tcp() ? late.connect_tcp(harness.server().port())
                     : late.connect_unix(harness.socket_path()));
}

TEST_P(ServerDrainTest, IdleConnectionsCloseWithoutAWord) {
  Harness harness;
  Client used = harness.connect(tcp());
  EXPECT_EQ(used.exchange(get("/now/1")).status, 200);
  const auto over = drain(harness);
  EXPECT_TRUE(used.ends_cleanly());
  used.close();
  EXPECT_TRUE(becomes_one(over));
}

// One that never asked anything has a moment for a request that may be on its way.
TEST_P(ServerDrainTest, AFreshConnectionMayStillAsk) {
  Harness harness;
  Client fresh = harness.connect(tcp());
  Client silent = harness.connect(tcp());
  ASSERT_TRUE(harness.wait_active(2));
  const auto over = drain(harness);
  const Response answer = fresh.exchange(get("/now/1"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_TRUE(fresh.ends_cleanly());
  EXPECT_TRUE(silent.ends_cleanly());
  fresh.close();
  EXPECT_TRUE(becomes_one(over));
}

TEST_P(ServerDrainTest, BusyConnectionsAreAnsweredAndTold) {
  Harness harness;
  Client half = harness.connect(tcp());
  Client held = harness.connect(tcp());
  Client held_1_0 = harness.connect(tcp());
  Client deferred = harness.connect(tcp());
  Client both = harness.connect(tcp());
  ASSERT_TRUE(half.send("POST /now/half HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo"));
  ASSERT_TRUE(held.send(get("/gate/1/held") + get("/gate/2/held")));
  ASSERT_TRUE(held_1_0.send("GET /gate/2/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  ASSERT_TRUE(deferred.send(get("/defer/1")));
  ASSERT_TRUE(harness.wait_requests(4));
  ASSERT_TRUE(both.send(get("/gate/1/both") + get("/defer/both") + get("/now/never")));
  ASSERT_TRUE(harness.wait_requests(6));
  ASSERT_TRUE(eventually([&] { return harness.heads().size() == 7; }));
  const auto over = drain(harness);
  EXPECT_EQ(over->load(), 0);
  EXPECT_FALSE(half.readable_now());

  ASSERT_TRUE(half.send("dy" + get("/now/never")));
  const Response half_answer = half.read_response();
  EXPECT_EQ(half_answer.body, "POST /now/half body");
  EXPECT_EQ(half_answer.header("Connection"), "close");
  EXPECT_TRUE(half.ends_cleanly());

  harness.open_gate(2);
  const Response first = held.read_response();
  EXPECT_EQ(first.body, "GET /gate/1/held ");
  EXPECT_EQ(first.header("Connection"), "");
  const Response second = held.read_response();
  EXPECT_EQ(second.body, "GET /gate/2/held ");
  EXPECT_EQ(second.header("Connection"), "close");
  EXPECT_TRUE(held.ends_cleanly());

  const Response old = held_1_0.read_response();
  EXPECT_EQ(old.body, "GET /gate/2/x ");
  EXPECT_EQ(old.header("Connection"), "close");
  EXPECT_EQ(old.head.find("keep-alive"), std::string::npos);
  EXPECT_TRUE(held_1_0.ends_cleanly());

  harness.answer_deferred(0);
  const Response late = deferred.read_response();
  EXPECT_EQ(late.body, "GET /defer/1 ");
  EXPECT_EQ(late.header("Connection"), "close");
  EXPECT_TRUE(deferred.ends_cleanly());

  EXPECT_EQ(both.read_response().body, "GET /gate/1/both ");
  harness.answer_deferred(1);
  const Response last = both.read_response();
  EXPECT_EQ(last.body, "GET /defer/both ");
  EXPECT_EQ(last.header("Connection"), "close");
  EXPECT_TRUE(both.ends_cleanly());

  EXPECT_EQ(over->load(), 0);
  for (Client* client : {&half, &held, &held_1_0, &deferred, &both}) client->close();
  EXPECT_TRUE(becomes_one(over));
}

// An answer that the peer has not taken yet, made before draining began.
TEST_P(ServerDrainTest, ASlowReaderGetsItsAnswerThenTheEnd) {
  Harness harness;
  SocketClient socket = SocketClient::make(tcp());
  socket.set_receive_buffer(4096);
  ASSERT_TRUE(tcp() ? socket.connect_tcp(harness.server().port())
                    : socket.connect_unix(harness.socket_path()));
  Client slow(std::move(socket));
  constexpr size_t big = 16 << 20;
  ASSERT_TRUE(slow.send(get("/big/" + std::to_string(big) + "/")));
  ASSERT_TRUE(harness.wait_requests(1));
  const auto over = drain(harness);
  EXPECT_EQ(slow.read_response().body.size(), big);
  EXPECT_TRUE(slow.ends_cleanly());
  slow.close();
  EXPECT_TRUE(becomes_one(over));
}

// The loop is held up while they connect and ask, so that all of them wait in the queue.
TEST_P(ServerDrainTest, WhatWaitsInTheQueueIsAnswered) {
  Harness harness;
  std::vector<Client> clients(200);
  auto over = std::make_shared<std::atomic<int>>(0);
  harness.call([&] {
    for (size_t i = 0; i < clients.size(); ++i) {
      clients[i] = harness.connect(tcp());
      EXPECT_TRUE(clients[i].send(get("/now/" + std::to_string(i))));
    }
    harness.server().drain(harness.loop().now_ms() + 60'000, [over] { over->fetch_add(1); });
  });
  for (size_t i = 0; i < clients.size(); ++i) {
    const Response response = clients[i].read_response();
    ASSERT_EQ(response.body, "GET /now/" + std::to_string(i) + " ");
    EXPECT_EQ(response.header("Connection"), "close");
    EXPECT_TRUE(clients[i].ends_cleanly());
    clients[i].close();
  }
  EXPECT_TRUE(becomes_one(over));
}

// The same with room for few: the queue is emptied as room comes back, and only then is it over.
TEST_P(ServerDrainTest, WhatWaitsForRoomIsAnswered) {
  ServerOptions options = server_options();
  options.connections_max = 2;
  Harness harness(options);
  std::vector<Client> clients(20);
  auto over = std::make_shared<std::atomic<int>>(0);
  harness.call([&] {
    for (size_t i = 0; i < clients.size(); ++i) {
      clients[i] = harness.connect(tcp());
      EXPECT_TRUE(clients[i].send(get("/now/" + std::to_string(i))));
    }
    harness.server().drain(harness.loop().now_ms() + 60'000, [over] { over->fetch_add(1); });
  });
  for (size_t i = 0; i < clients.size(); ++i) {
    EXPECT_EQ(over->load(), 0);
    ASSERT_EQ(clients[i].read_response().body, "GET /now/" + std::to_string(i) + " ");
    EXPECT_TRUE(clients[i].ends_cleanly());
    clients[i].close();
  }
  EXPECT_TRUE(becomes_one(over));
  EXPECT_GT(harness.stats().accept_pauses.get(), 0u);
}

TEST_P(ServerDrainTest, TheDeadlineCutsTheRest) {
  Harness harness;
  Client held = harness.connect(tcp());
  Client deferred = harness.connect(tcp());
  ASSERT_TRUE(held.send(get("/gate/1/never")));
  ASSERT_TRUE(deferred.send(get("/defer/never")));
  ASSERT_TRUE(harness.wait_requests(2));
  const auto over = drain(harness, 30);
  EXPECT_EQ(held.read_response().status, 0);
  EXPECT_EQ(deferred.read_response().status, 0);
  EXPECT_TRUE(becomes_one(over));
  EXPECT_EQ(harness.stats().connections_active.get(), 0u);
  harness.open_gate(1);
  harness.answer_deferred(0);
}

// The client waits for an answer that never comes: only a deadline ends this. It is the first one
// here, and the second below; a test in which the other is in force never ends.
TEST_P(ServerDrainTest, AFurtherDrainDoesNotPutTheDeadlineOff) {
  Harness harness;
  Client held = harness.connect(tcp());
  ASSERT_TRUE(held.send(get("/gate/1/never")));
  ASSERT_TRUE(harness.wait_requests(1));
  const auto first = drain(harness, 100);
  const auto later = drain(harness, 3'600'000);
  EXPECT_EQ(held.read_response().status, 0);
  EXPECT_TRUE(becomes_one(first) && becomes_one(later));
}

TEST_P(ServerDrainTest, AFurtherDrainBringsTheDeadlineForward) {
  Harness harness;
  Client held = harness.connect(tcp());
  ASSERT_TRUE(held.send(get("/gate/1/never")));
  ASSERT_TRUE(harness.wait_requests(1));
  const auto first = drain(harness, 3'600'000);
  harness.thread().settle();
  EXPECT_EQ(first->load(), 0);
  const auto sooner = drain(harness, 20);
  EXPECT_EQ(held.read_response().status, 0);
  EXPECT_TRUE(becomes_one(first) && becomes_one(sooner));
  const auto again = drain(harness);
  EXPECT_EQ(again->load(), 1);
  harness.thread().settle();
  EXPECT_EQ(first->load() + sooner->load() + again->load(), 3);
}

TEST_P(ServerDrainTest, ClosingAtOnceEndsADrain) {
  Harness harness;
  Client held = harness.connect(tcp());
  ASSERT_TRUE(held.send(get("/gate/1/never")));
  ASSERT_TRUE(harness.wait_requests(1));
  const auto over = drain(harness);
  harness.call([&] { harness.server().close_all(); });
  EXPECT_EQ(over->load(), 1);
  EXPECT_EQ(held.read_response().status, 0);
}

TEST_P(ServerDrainTest, ClosingAtOnce) {
  Harness harness;
  std::vector<Client> clients;
  for (uint64_t i = 0; i < 10; ++i) {
    clients.push_back(harness.connect(tcp()));
    ASSERT_TRUE(clients.back().send(i % 2 == 0 ? get("/gate/1/never") : get("/defer/never")));
  }
  ASSERT_TRUE(harness.wait_requests(10));
  harness.call([&] { harness.server().close_all(); });
  for (Client& client : clients) EXPECT_EQ(client.read_response().status, 0);
  EXPECT_EQ(harness.stats().connections_active.get(), 0u);
  SocketClient late = SocketClient::make(tcp());
  EXPECT_FALSE(tcp() ? late.connect_tcp(harness.server().port())
                     : late.connect_unix(harness.socket_path()));
  harness.open_gate(1);
  harness.call([&] { harness.server().close_all(); });
}

TEST_P(ServerDrainTest, DestroyedWhileClientsAreConnected) {
  Client client;
  {
    Harness harness;
    client = harness.connect(tcp());
    ASSERT_TRUE(client.send(get("/gate/1/never")));
    ASSERT_TRUE(harness.wait_requests(1));
  }
  EXPECT_EQ(client.read_response().status, 0);
}

// --- Adopted sockets -----------------------------------------------------------------------------

// Whoever handed it over may keep a descriptor for a while: nothing of that is seen.
TEST_P(ServerDrainTest, AnAdoptedSocketIsServedLikeAnAcceptedOne) {
  Harness harness;
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  ASSERT_EQ(::fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
  const sys::Fd kept(::fcntl(ends[0], F_DUPFD_CLOEXEC, 0));
  Client client{SocketClient(sys::Fd(ends[1]))};
  // The request may be there before the socket is.
  ASSERT_TRUE(client.send(get("/now/1") + get("/gate/1/2")));
  harness.call([&] { harness.server().adopt(sys::Fd(ends[0])); });
  EXPECT_EQ(client.read_response().body, "GET /now/1 ");
  harness.open_gate(1);
  EXPECT_EQ(client.read_response().body, "GET /gate/1/2 ");
  EXPECT_EQ(harness.stats().connections_accepted.get(), 1u);
  EXPECT_EQ(client.exchange(get("/now/3", "Connection: close\r\n")).status, 200);
  EXPECT_TRUE(client.ends_cleanly());
  client.shutdown_write();
  EXPECT_TRUE(harness.wait_active(0));
  // Events of the copy that was kept reach nobody.
  client.close();
  harness.thread().settle();
  EXPECT_EQ(harness.connect(tcp()).exchange(get("/now/4")).status, 200);
}

}  // namespace
}  // namespace espora::test
