// Answers that may not leave yet: held behind a gate, deferred, failed; their order among others,
// and clients that are gone before their answer comes.
#include <algorithm>
#include <string>
#include <vector>

#include <sys/socket.h>

#include "http/server_harness.h"

namespace espora::test {
namespace {

class ServerGateTest : public OverBoth {};
ESPORA_OVER_BOTH(ServerGateTest);

// What the client can read after the server has done all that it could.
std::string readable(Harness& harness, Client& client) {
  harness.thread().settle();
  std::string bytes;
  while (client.readable_now() && client.receive(bytes)) {
  }
  return bytes;
}

TEST_P(ServerGateTest, HeldAnswersKeepOrderAmongOthers) {
  Harness harness;
  Client client = harness.connect(tcp());
  ASSERT_TRUE(client.send(get("/now/1") + get("/gate/5/2") + get("/now/3") + get("/gate/3/4") +
                          get("/gate/9/5") + get("/nothing")));
  EXPECT_EQ(client.read_response().body, "GET /now/1 ");
  ASSERT_TRUE(harness.wait_requests(6));
  EXPECT_EQ(readable(harness, client), "");
  // 4 needs only 3, but must not overtake 2.
  harness.open_gate(3);
  EXPECT_EQ(readable(harness, client), "");
  EXPECT_EQ(harness.stats().answers_2xx.get(), 1u);
  harness.open_gate(8);
  EXPECT_EQ(client.read_response().body, "GET /gate/5/2 ");
  EXPECT_EQ(client.read_response().body, "GET /now/3 ");
  EXPECT_EQ(client.read_response().body, "GET /gate/3/4 ");
  EXPECT_EQ(readable(harness, client), "");
  EXPECT_EQ(harness.stats().answers_2xx.get(), 4u);
  EXPECT_EQ(harness.stats().answers_4xx.get(), 0u);
  harness.open_gate(9);
  EXPECT_EQ(client.read_response().body, "GET /gate/9/5 ");
  EXPECT_EQ(client.read_response().status, 404);
  EXPECT_EQ(harness.stats().answers_2xx.get(), 5u);
  EXPECT_EQ(harness.stats().answers_4xx.get(), 1u);
  // What is open stays open.
  EXPECT_EQ(client.exchange(get("/gate/9/6")).status, 200);
}

TEST_P(ServerGateTest, OpensExactlyThoseOfEachConnection) {
  Harness harness;
  std::vector<Client> clients;
  for (uint64_t i = 1; i <= 20; ++i) {
    clients.push_back(harness.connect(tcp()));
    ASSERT_TRUE(clients.back().send(get("/gate/" + std::to_string(i) + "/x")));
    ASSERT_TRUE(harness.wait_requests(i));
  }
  for (uint64_t gate = 1; gate <= 20; gate += 3) {
    harness.open_gate(gate);
    harness.thread().settle();
    for (uint64_t i = 1; i <= 20; ++i) {
      EXPECT_EQ(clients[i - 1].readable_now(), i <= gate) << i << " at " << gate;
    }
  }
  harness.open_gate(20);
  for (uint64_t i = 1; i <= 20; ++i) {
    EXPECT_EQ(clients[i - 1].read_response().body, "GET /gate/" + std::to_string(i) + "/x ");
  }
}

// What is noted of a held answer is forgotten with it, however long the connection lasts.
TEST_P(ServerGateTest, ALongLifeOfHeldAnswersTakesNoMoreMemory) {
  Harness harness;
  Client client = harness.connect(tcp());
  const auto live = [&](int from, int to) {
    for (int i = from; i <= to; ++i) {
      ASSERT_TRUE(client.send(get("/gate/" + std::to_string(i) + "/x")));
      ASSERT_TRUE(harness.wait_requests(static_cast<uint64_t>(i)));
      ASSERT_EQ(readable(harness, client), "") << "before gate " << i;
      harness.open_gate(static_cast<uint64_t>(i));
      ASSERT_EQ(client.read_response().status, 200);
    }
    harness.thread().settle();
  };
  live(1, 10);
  const uint64_t before = harness.stats().bytes_held.get();
  EXPECT_GT(before, 0u);
  live(11, 500);
  EXPECT_EQ(harness.stats().bytes_held.get(), before);
}

// More answers behind one gate than a connection may owe: it stops, goes on when the gate opens,
// and holds anew within the same opening.
TEST_P(ServerGateTest, MoreHeldThanMayBeOwed) {
  Harness harness;
  Client client = harness.connect(tcp());
  constexpr int count = 3000;
  std::thread sender([&] {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(client.send(get("/gate/" + std::to_string(i / 2) + "/" + std::string(150, 'p'))));
    }
  });
  for (int i = 0; i < count; ++i) {
    if (i % 2 == 0) harness.open_gate(static_cast<uint64_t>(i / 2));
    const Response response = client.read_response();
    ASSERT_EQ(response.body,
              "GET /gate/" + std::to_string(i / 2) + "/" + std::string(150, 'p') + " ");
  }
  sender.join();
  EXPECT_EQ(harness.stats().answers_2xx.get(), static_cast<uint64_t>(count));
}

TEST_P(ServerGateTest, ConnectionCloseBehindAGate) {
  Harness harness;
  Client client = harness.connect(tcp());
  ASSERT_TRUE(client.send(get("/gate/1/x", "Connection: close\r\n") + get("/now/never")));
  ASSERT_TRUE(harness.wait_requests(1));
  EXPECT_EQ(readable(harness, client), "");
  harness.open_gate(1);
  EXPECT_EQ(client.read_response().header("Connection"), "close");
  EXPECT_TRUE(client.ends_cleanly());
  EXPECT_EQ(harness.seen().size(), 1u);
}

TEST_P(ServerGateTest, ContinueComesBehindHeldAnswers) {
  Harness harness;
  Client client = harness.connect(tcp());
  const std::string expecting = post("/now/2", "body", "Expect: 100-continue\r\n");
  ASSERT_TRUE(client.send(get("/gate/1/1") + expecting.substr(0, expecting.size() - 4)));
  ASSERT_TRUE(harness.wait_requests(1));
  EXPECT_EQ(readable(harness, client), "");
  harness.open_gate(1);
  EXPECT_EQ(client.read_response().body, "GET /gate/1/1 ");
  EXPECT_EQ(client.read_response().status, 100);
  EXPECT_EQ(client.exchange("body").body, "POST /now/2 body");
}

TEST_P(ServerGateTest, FailingReplacesWhatIsHeldAndCloses) {
  Harness harness;
  Client client = harness.connect(tcp());
  Client uninvolved = harness.connect(tcp());
  EXPECT_EQ(uninvolved.exchange(get("/now/u")).status, 200);
  ASSERT_TRUE(client.send(get("/now/1") + get("/gate/5/2") + head_of("/gate/6/3") +
                          get("/nothing") + get("/gate/7/5") +
                          "POST /now/6 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhalf"));
  ASSERT_TRUE(harness.wait_requests(6));
  harness.call([&] { harness.server().fail_held(out_of_order); });
  EXPECT_EQ(client.read_response().status, 200);
  const Response first = client.read_response();
  EXPECT_EQ(first.status, 503);
  EXPECT_EQ(first.header("Connection"), "");
  EXPECT_NE(first.body.find("\"fora\""), std::string::npos);
  const Response to_head = client.read_response(true);
  EXPECT_EQ(to_head.status, 503);
  EXPECT_EQ(to_head.header("Content-Length"), first.header("Content-Length"));
  // A refusal behind a held answer was held as well.
  EXPECT_EQ(client.read_response().status, 503);
  const Response last = client.read_response();
  EXPECT_EQ(last.status, 503);
  EXPECT_EQ(last.header("Connection"), "close");
  EXPECT_TRUE(client.ends_cleanly());
  EXPECT_EQ(harness.stats().answers_5xx.get(), 4u);
  EXPECT_EQ(harness.stats().answers_4xx.get(), 0u);
  EXPECT_EQ(uninvolved.exchange(get("/now/u")).status, 200);
}

// The peer has taken only part of what may leave when the rest is replaced.
TEST_P(ServerGateTest, FailingKeepsWhatIsOnItsWay) {
  Harness harness;
  SocketClient socket = SocketClient::make(tcp());
  socket.set_receive_buffer(4096);
  ASSERT_TRUE(tcp() ? socket.connect_tcp(harness.server().port())
                    : socket.connect_unix(harness.socket_path()));
  Client client(std::move(socket));
  constexpr size_t big = 16 << 20;  // more than the kernel takes
  ASSERT_TRUE(client.send(get("/big/" + std::to_string(big) + "/")));
  ASSERT_TRUE(harness.wait_requests(1));
  // The answer above fills the output, so this one is read when it has left.
  ASSERT_TRUE(client.send(get("/gate/1/x") + get("/gate/2/y")));
  std::string bytes;
  while (harness.stats().requests.get() < 3) ASSERT_TRUE(client.receive(bytes, 64 * 1024));
  harness.call([&] { harness.server().fail_held(out_of_order); });
  bytes += client.receive_all();
  EXPECT_EQ(client.end(), SocketClient::End::clean);
  EXPECT_EQ(take_response(bytes)->body, std::string(big, 'b'));
  EXPECT_EQ(take_response(bytes)->status, 503);
  EXPECT_EQ(take_response(bytes)->header("Connection"), "close");
  EXPECT_EQ(bytes, "");
}

// What a gate was to open for is taken back: answers that waited for it are made anew, those that
// only stood behind one are kept, and the connection goes on.
TEST_P(ServerGateTest, TakingBackMakesAnewWhatWaitedAndKeepsTheRest) {
  Harness harness;
  Client client = harness.connect(tcp());
  Client old = harness.connect(tcp());
  Client uninvolved = harness.connect(tcp());
  harness.open_gate(5);
  ASSERT_TRUE(uninvolved.send(get("/now/u")));
  EXPECT_EQ(uninvolved.read_response().status, 200);
  const std::string expecting = post("/now/7", "body", "Expect: 100-continue\r\n");
  ASSERT_TRUE(client.send(get("/now/1") + get("/gate/6/22") + get("/gate/5/3") +
                          head_of("/gate/9/4444") + get("/method/5") + get("/gate/7/666666") +
                          expecting.substr(0, expecting.size() - 4)));
  ASSERT_TRUE(old.send("GET /gate/6/1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"));
  ASSERT_TRUE(harness.wait_requests(8));
  EXPECT_EQ(client.read_response().body, "GET /now/1 ");
  EXPECT_EQ(readable(harness, client), "");
  std::vector<uint64_t> tags;
  harness.call([&] {
    harness.server().take_back([&](const http::Tag& tag) -> http::Answer {
      EXPECT_EQ(tag.kind, 7);
      tags.push_back(tag.subject);
      if (tag.subject == std::string_view("/gate/6/22").size()) return {.error = &out_of_order};
      return {.body = "anew", .gate = 5};
    });
  });
  std::sort(tags.begin(), tags.end());
  EXPECT_EQ(tags, (std::vector<uint64_t>{9, 10, 12, 14}));  // of what each path's length names
  const Response first = client.read_response();
  EXPECT_EQ(first.status, 503);
  EXPECT_EQ(first.header("Connection"), "");
  EXPECT_EQ(client.read_response().body, "GET /gate/5/3 ");
  const Response to_head = client.read_response(true);
  EXPECT_EQ(to_head.status, 200);
  EXPECT_EQ(to_head.header("Content-Length"), "4");
  const Response refusal = client.read_response();
  EXPECT_EQ(refusal.status, 405);
  EXPECT_EQ(refusal.header("Allow"), "GET");
  EXPECT_EQ(client.read_response().body, "anew");
  EXPECT_EQ(client.read_response().status, 100);
  EXPECT_EQ(client.exchange("body").body, "POST /now/7 body");
  EXPECT_EQ(client.exchange(get("/gate/5/8")).body, "GET /gate/5/8 ");
  const Response to_old = old.read_response();
  EXPECT_EQ(to_old.body, "anew");
  EXPECT_EQ(to_old.header("Connection"), "keep-alive");
  EXPECT_EQ(harness.stats().answers_5xx.get(), 1u);
  EXPECT_EQ(harness.stats().answers_4xx.get(), 1u);
  // The numbers of what was taken back are given again.
  ASSERT_TRUE(client.send(get("/gate/6/9")));
  EXPECT_EQ(readable(harness, client), "");
  harness.open_gate(6);
  EXPECT_EQ(client.read_response().body, "GET /gate/6/9 ");
}

TEST_P(ServerGateTest, TakingBackKeepsWhatTheLastAnswerSays) {
  Harness harness;
  Client client = harness.connect(tcp());
  Client asked = harness.connect(tcp());
  ASSERT_TRUE(client.send(get("/gate/1/x")));
  ASSERT_TRUE(asked.send(get("/gate/1/y", "Connection: close\r\n")));
  ASSERT_TRUE(harness.wait_requests(2));
  harness.call([&] { harness.server().drain(harness.loop().now_ms() + 60'000, [] {}); });
  harness.call([&] {
    harness.server().take_back(
        [](const http::Tag&) -> http::Answer { return {.error = &out_of_order}; });
  });
  for (Client* each : {&client, &asked}) {
    const Response last = each->read_response();
    EXPECT_EQ(last.status, 503);
    EXPECT_EQ(last.header("Connection"), "close");
    EXPECT_TRUE(each->ends_cleanly());
  }
}

// --- Deferred ------------------------------------------------------------------------------------

TEST_P(ServerGateTest, RequestsWaitBehindADeferredOne) {
  Harness harness;
  Client client = harness.connect(tcp());
  ASSERT_TRUE(client.send(get("/now/1") + post("/defer/2", "two") + get("/now/3") +
                          get("/defer/4") + get("/now/5")));
  EXPECT_EQ(client.read_response().body, "GET /now/1 ");
  ASSERT_TRUE(harness.wait_requests(2));
  EXPECT_EQ(readable(harness, client), "");
  EXPECT_EQ(harness.seen().size(), 2u);  // nothing behind it was looked at
  harness.answer_deferred(0);
  EXPECT_EQ(client.read_response().body, "POST /defer/2 two");
  EXPECT_EQ(client.read_response().body, "GET /now/3 ");
  harness.answer_deferred(0);  // a second answer to the same is ignored
  EXPECT_EQ(readable(harness, client), "");
  harness.answer_deferred(1, 7);
  EXPECT_EQ(readable(harness, client), "");  // deferred, then held; the last one holds behind it
  harness.open_gate(7);
  EXPECT_EQ(client.read_response().body, "GET /defer/4 ");
  EXPECT_EQ(client.read_response().body, "GET /now/5 ");
  EXPECT_EQ(harness.stats().answers_2xx.get(), 5u);
}

// While one is deferred nothing is read, so a client that goes on sending is stopped.
TEST_P(ServerGateTest, ADeferredRequestStopsReading) {
  Harness harness;
  Client client = harness.connect(tcp());
  ASSERT_TRUE(client.send(get("/defer/1")));
  ASSERT_TRUE(harness.wait_requests(1));
  const uint64_t taken = harness.stats().bytes_in.get();
  std::string more;
  for (int i = 0; i < 100; ++i) more += get("/now/" + std::to_string(i));
  ASSERT_TRUE(client.send(more));
  harness.thread().settle();
  EXPECT_EQ(harness.stats().bytes_in.get(), taken);
  harness.answer_deferred(0);
  EXPECT_EQ(client.read_response().body, "GET /defer/1 ");
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(client.read_response().body, "GET /now/" + std::to_string(i) + " ");
  }
}

TEST_P(ServerGateTest, AnsweredByWorkThatWasPosted) {
  Harness harness;
  Client client = harness.connect(tcp());
  std::string requests;
  for (int i = 0; i < 200; ++i) requests += get("/later/" + std::to_string(i));
  ASSERT_TRUE(client.send(requests));
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(client.read_response().body, "GET /later/" + std::to_string(i) + " ");
  }
}

TEST_P(ServerGateTest, FailingWithADeferredRequestBehind) {
  Harness harness;
  Client client = harness.connect(tcp());
  ASSERT_TRUE(client.send(get("/gate/1/x") + get("/defer/y") + get("/now/never")));
  ASSERT_TRUE(harness.wait_requests(2));
  harness.call([&] { harness.server().fail_held(out_of_order); });
  const Response held = client.read_response();
  EXPECT_EQ(held.status, 503);
  EXPECT_EQ(held.header("Connection"), "");  // it is not the last
  harness.answer_deferred(0);
  const Response deferred = client.read_response();
  EXPECT_EQ(deferred.body, "GET /defer/y ");
  EXPECT_EQ(deferred.header("Connection"), "close");
  EXPECT_TRUE(client.ends_cleanly());
  EXPECT_EQ(harness.seen().size(), 2u);
}

// --- Clients that are gone -----------------------------------------------------------------------

TEST_P(ServerGateTest, TheAnswerToOneThatIsGoneReachesNobody) {
  Harness harness;
  Client gone = harness.connect(tcp());
  ASSERT_TRUE(gone.send(get("/defer/secret")));
  ASSERT_TRUE(harness.wait_requests(1));
  harness.call([&] { harness.server().close_all(); });
  EXPECT_NE(gone.read_response().status, 200);
  // The next client gets the same slot, and its request the same number.
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  ASSERT_EQ(::fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
  Client next{SocketClient(sys::Fd(ends[1]))};
  harness.call([&] { harness.server().adopt(sys::Fd(ends[0])); });
  ASSERT_TRUE(next.send(get("/defer/mine")));
  ASSERT_TRUE(harness.wait_requests(2));
  harness.call([&] { harness.server().answer({}, {.body = "nobody's"}); });
  harness.answer_deferred(0);
  EXPECT_EQ(readable(harness, next), "");
  harness.answer_deferred(1);
  EXPECT_EQ(next.read_response().body, "GET /defer/mine ");
}

TEST_P(ServerGateTest, GoneWhileHeld) {
  Harness harness;
  for (int i = 0; i < 50; ++i) {
    Client client = harness.connect(tcp());
    ASSERT_TRUE(client.send(get("/gate/1/x") + get("/gate/2/y")));
    ASSERT_TRUE(harness.wait_requests(static_cast<uint64_t>(2 * i + 2)));
    if (i % 2 == 0) {
      client.reset();
    } else {
      client.close();
    }
  }
  Client left = harness.connect(tcp());
  ASSERT_TRUE(left.send(get("/gate/1/left")));
  ASSERT_TRUE(harness.wait_requests(101));
  harness.open_gate(2);
  EXPECT_EQ(left.read_response().body, "GET /gate/1/left ");
  EXPECT_TRUE(harness.wait_active(1));
}

TEST_P(ServerGateTest, GoneWhileDeferred) {
  Harness harness;
  Client reset = harness.connect(tcp());
  Client closed = harness.connect(tcp());
  Client half = harness.connect(tcp());
  ASSERT_TRUE(reset.send(get("/defer/r") + get("/now/r")));
  ASSERT_TRUE(harness.wait_requests(1));
  ASSERT_TRUE(closed.send(get("/defer/c")));
  ASSERT_TRUE(harness.wait_requests(2));
  ASSERT_TRUE(half.send(get("/defer/h")));
  half.shutdown_write();
  ASSERT_TRUE(harness.wait_requests(3));
  reset.reset();
  closed.close();
  harness.thread().settle();
  for (size_t i = 0; i < 3; ++i) harness.answer_deferred(i);
  EXPECT_EQ(half.read_response().body, "GET /defer/h ");
  EXPECT_TRUE(half.ends_cleanly());
  EXPECT_TRUE(harness.wait_active(0));
}

}  // namespace
}  // namespace espora::test
