// Deadlines, each configured small where it is to strike and large where it is not, and clients
// that end or break their streams at every point.
#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "http/server_harness.h"

namespace espora::test {
namespace {

using http::ServerOptions;

class ServerDeadlineTest : public OverBoth {
 protected:
  // Everything far away: a test makes the one near that it is about.
  static ServerOptions patient() {
    ServerOptions options = server_options();
    options.header_timeout_ms = options.body_timeout_ms = 3'600'000;
    options.keep_alive_timeout_ms = options.write_timeout_ms = 3'600'000;
    return options;
  }
};
ESPORA_OVER_BOTH(ServerDeadlineTest);

TEST_P(ServerDeadlineTest, AnUnfinishedHeadGets408) {
  ServerOptions options = patient();
  options.header_timeout_ms = 30;
  Harness harness(options);
  Client client = harness.connect(tcp());
  EXPECT_EQ(client.exchange(get("/now/1")).status, 200);
  const Response late = client.exchange("GET /now/2 HTT");
  EXPECT_EQ(late.status, 408);
  EXPECT_EQ(late.header("Connection"), "close");
  EXPECT_TRUE(client.ends_cleanly());
  EXPECT_EQ(harness.stats().timeouts.get(), 1u);
}

TEST_P(ServerDeadlineTest, SingleBytesDoNotProlongAHead) {
  ServerOptions options = patient();
  options.header_timeout_ms = 100;
  Harness harness(options);
  Client client = harness.connect(tcp());
  ASSERT_TRUE(client.send("GET /now/1 HTTP/1.1\r\nX: "));
  // Far from the header limit when patience ends.
  EXPECT_TRUE(eventually([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return client.send_some("x") < 0 || harness.stats().timeouts.get() > 0;
  }));
  EXPECT_EQ(client.read_response().status, 408);
}

TEST_P(ServerDeadlineTest, AnUnfinishedBodyGets408) {
  ServerOptions options = patient();
  options.body_timeout_ms = 30;
  Harness harness(options);
  Client declared = harness.connect(tcp());
  EXPECT_EQ(
      declared.exchange("POST /now/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhalf").status,
      408);
  EXPECT_TRUE(declared.ends_cleanly());
  Client chunked = harness.connect(tcp());
  EXPECT_EQ(chunked
                .exchange("POST /now/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                          "\r\n3\r\nabc\r\n")
                .status,
            408);
  EXPECT_TRUE(chunked.ends_cleanly());
  // That of a refused one as well; a refusal that was said early is not followed by a second one.
  Client refused = harness.connect(tcp());
  EXPECT_EQ(
      refused.exchange("POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhalf").status,
      408);
  Client early = harness.connect(tcp());
  EXPECT_EQ(early
                .exchange("POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                          "Expect: 100-continue\r\n\r\n")
                .status,
            404);
  EXPECT_TRUE(early.ends_cleanly());
}

// What a body may take is its deadline, whatever trickles in: its least rate.
TEST_P(ServerDeadlineTest, SingleBytesDoNotProlongABody) {
  ServerOptions options = patient();
  options.body_timeout_ms = 100;
  Harness harness(options);
  const struct {
    const char* framing;
    const char* step;
  } bodies[] = {{"Content-Length: 4000", "x"}, {"Transfer-Encoding: chunked", "1\r\nx\r\n"}};
  uint64_t timeouts = 0;
  for (const auto& [framing, step] : bodies) {
    Client client = harness.connect(tcp());
    ASSERT_TRUE(
        client.send("POST /now/1 HTTP/1.1\r\nHost: a\r\n" + std::string(framing) + "\r\n\r\n"));
    ++timeouts;
    // Far from the body's end when patience ends.
    EXPECT_TRUE(eventually([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      return client.send_some(step) < 0 || harness.stats().timeouts.get() == timeouts;
    }));
    EXPECT_EQ(client.read_response().status, 408);
  }
  EXPECT_EQ(harness.stats().answers_2xx.get(), 0u);
}

TEST_P(ServerDeadlineTest, AnIdleConnectionIsClosedSilently) {
  ServerOptions options = patient();
  options.keep_alive_timeout_ms = 30;
  Harness harness(options);
  Client fresh = harness.connect(tcp());
  Client used = harness.connect(tcp());
  EXPECT_EQ(used.exchange(get("/now/1")).status, 200);
  EXPECT_TRUE(fresh.ends_cleanly());
  EXPECT_TRUE(used.ends_cleanly());
  EXPECT_TRUE(harness.wait_active(0));
  EXPECT_EQ(harness.stats().timeouts.get(), 2u);
  EXPECT_EQ(harness.stats().answers_4xx.get(), 0u);
}

// None of the deadlines is for a client that waits for us.
TEST_P(ServerDeadlineTest, WhoWaitsForAnAnswerIsNotTimedOut) {
  ServerOptions options = server_options();
  options.header_timeout_ms = options.body_timeout_ms = 5;
  options.keep_alive_timeout_ms = options.write_timeout_ms = 5;
  Harness harness(options);
  Client held = harness.connect(tcp());
  ASSERT_TRUE(held.send(get("/gate/1/x") + "GET /now/half HTTP/1.1\r\n"));
  ASSERT_TRUE(harness.wait_requests(1));
  Client deferred = harness.connect(tcp());
  ASSERT_TRUE(deferred.send(get("/defer/x") + "GET /now/half HTTP/1.1\r\n"));
  ASSERT_TRUE(harness.wait_requests(2));
  // Many times each deadline; the idle ones beside them show that the clock was looked at.
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(harness.connect(tcp()).ends_cleanly());
  EXPECT_TRUE(harness.wait_active(2));
  harness.open_gate(1);
  harness.answer_deferred(0);
  EXPECT_EQ(held.read_response().status, 200);
  EXPECT_EQ(deferred.read_response().status, 200);
  // Now it is their turn again.
  EXPECT_EQ(held.read_response().status, 408);
  EXPECT_EQ(deferred.read_response().status, 408);
}

TEST_P(ServerDeadlineTest, AStalledReaderIsClosed) {
  ServerOptions options = patient();
  options.write_timeout_ms = 50;
  Harness harness(options);
  SocketClient socket = SocketClient::make(tcp());
  socket.set_receive_buffer(4096);
  ASSERT_TRUE(tcp() ? socket.connect_tcp(harness.server().port())
                    : socket.connect_unix(harness.socket_path()));
  Client stalled(std::move(socket));
  ASSERT_TRUE(stalled.send(get("/big/" + std::to_string(32 << 20) + "/")));
  ASSERT_TRUE(harness.wait_requests(1));
  EXPECT_TRUE(harness.wait_active(0));
  EXPECT_EQ(harness.stats().timeouts.get(), 1u);
  EXPECT_LT(stalled.receive_all().size(), size_t{32 << 20});
}

// What the kernel holds for it is far more than it takes within the timeout, so that the socket
// becomes writable long after that. Of unix sockets what is taken shows in steps of whole messages.
TEST_P(ServerDeadlineTest, AReaderThatIsSlowIsNotStalled) {
  if (!tcp()) GTEST_SKIP() << "said of TCP";
  ServerOptions options = patient();
  options.write_timeout_ms = 500;
  Harness harness(options);
  SocketClient socket = SocketClient::make(true);
  socket.set_receive_buffer(4096);
  ASSERT_TRUE(socket.connect_tcp(harness.server().port()));
  Client slow(std::move(socket));
  ASSERT_TRUE(slow.send(get("/big/" + std::to_string(32 << 20) + "/")));
  ASSERT_TRUE(harness.wait_requests(1));
  std::string taken;
  for (int i = 0; i < 75; ++i) {
    ASSERT_TRUE(slow.receive(taken, 4096)) << i;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(harness.stats().timeouts.get(), 0u);
  EXPECT_EQ(harness.stats().connections_active.get(), 1u);
  // Now it takes nothing any more.
  EXPECT_TRUE(harness.wait_active(0));
  EXPECT_EQ(harness.stats().timeouts.get(), 1u);
}

// --- Half-closed ---------------------------------------------------------------------------------

TEST_P(ServerDeadlineTest, AHalfClosedClientGetsItsAnswers) {
  Harness harness;
  for (int i = 0; i < 100; ++i) {
    // While the loop is kept busy, bytes and end arrive in one event.
    Client client;
    const auto requests = [&] {
      client = harness.connect(tcp());
      EXPECT_TRUE(client.send(get("/now/1") + post("/now/2", "two")));
      client.shutdown_write();
    };
    if (i % 2 == 0) {
      harness.call(requests);
    } else {
      requests();
    }
    ASSERT_EQ(client.read_response().body, "GET /now/1 ");
    ASSERT_EQ(client.read_response().body, "POST /now/2 two");
    ASSERT_TRUE(client.ends_cleanly());
  }
  EXPECT_TRUE(harness.wait_active(0));
}

TEST_P(ServerDeadlineTest, HalfClosedWhileItsAnswerIsHeld) {
  Harness harness;
  Client client = harness.connect(tcp());
  ASSERT_TRUE(client.send(get("/gate/1/x") + get("/now/2")));
  client.shutdown_write();
  ASSERT_TRUE(harness.wait_requests(2));
  harness.thread().settle();
  EXPECT_FALSE(client.readable_now());
  harness.open_gate(1);
  EXPECT_EQ(client.read_response().body, "GET /gate/1/x ");
  EXPECT_EQ(client.read_response().body, "GET /now/2 ");
  EXPECT_TRUE(client.ends_cleanly());
}

TEST_P(ServerDeadlineTest, ARequestThatWasCutGetsNoAnswer) {
  Harness harness;
  const std::string request = post("/now/1", "body");
  for (size_t cut = 0; cut < request.size(); ++cut) {
    Client client;
    // At once, as one event; and one after the other.
    for (const bool at_once : {true, false}) {
      const auto send = [&] {
        client = harness.connect(tcp());
        EXPECT_TRUE(client.send(request.substr(0, cut)));
        if (!at_once) harness.thread().settle();
        client.shutdown_write();
      };
      if (at_once) {
        harness.call(send);
      } else {
        send();
      }
      ASSERT_TRUE(client.ends_cleanly()) << cut;
    }
  }
  EXPECT_EQ(harness.stats().requests.get(), 0u);
  EXPECT_TRUE(harness.wait_active(0));
}

// --- Broken --------------------------------------------------------------------------------------

// Clients of every kind that break off anywhere: what remains is a server without connections that
// answers the next one.
TEST_P(ServerDeadlineTest, BrokenOffAnywhere) {
  ServerOptions options = patient();
  options.body_bytes_max = 64;
  Harness harness(options);
  std::mt19937_64 random(20240117);
  const std::vector<std::string> requests = {
      get("/now/1"),
      post("/now/2", "two"),
      get("/later/3"),
      get("/gate/0/4"),
      get("/gate/1000000/held"),
      get("/nothing"),
      get("/big/300000/"),
      "nonsense\r\n",
      post("/nothing", std::string(65, 'x')),
      get("/now/5", "Connection: close\r\n"),
      "POST /now/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"};
  for (int round = 0; round < 2000; ++round) {
    Client client = harness.connect(tcp());
    std::string bytes;
    for (uint64_t i = random() % 8; i > 0; --i) bytes += requests[random() % requests.size()];
    if (!bytes.empty() && random() % 2 == 0) bytes.resize(random() % bytes.size());
    const size_t cut = bytes.empty() ? 0 : random() % bytes.size();
    (void)client.send(std::string_view(bytes).substr(0, cut));
    if (random() % 4 == 0) harness.thread().settle();
    (void)client.send(std::string_view(bytes).substr(cut));
    if (random() % 4 == 0) client.shutdown_write();
    if (random() % 4 == 0) {
      std::string some;
      if (client.readable_now()) client.receive(some, 1 + random() % 5000);
    }
    switch (random() % 3) {
      case 0:
        client.reset();
        break;
      case 1:
        client.close();
        break;
      default:
        client.shutdown_write();
        harness.thread().settle();
        client.reset();
        break;
    }
    if (round % 100 == 0) {
      ASSERT_EQ(harness.connect(tcp()).exchange(get("/now/ok")).status, 200) << round;
    }
  }
  harness.open_gate(1000000);
  EXPECT_TRUE(harness.wait_active(0));
  EXPECT_EQ(harness.connect(tcp()).exchange(get("/now/ok")).status, 200);
}

}  // namespace
}  // namespace espora::test
