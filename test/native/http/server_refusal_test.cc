// Requests that are refused, before or behind their body, and closes that must not take the answer
// with them: 100 Continue, 404, 405, 413, malformed ones, and the lingering close.
#include <string>

#include "http/server_harness.h"

namespace espora::test {
namespace {

class ServerRefusalTest : public OverBoth {};
ESPORA_OVER_BOTH(ServerRefusalTest);

std::string head_only(const std::string& request) {
  return request.substr(0, request.find("\r\n\r\n") + 4);
}

// --- Bodies of refused requests ------------------------------------------------------------------

TEST_P(ServerRefusalTest, ABodyWithinTheLimitIsReadAndDropped) {
  Harness harness;
  Client client = harness.connect(tcp());
  const std::string body(4096, 'x');
  EXPECT_EQ(client.exchange(post("/nothing", body)).status, 404);
  EXPECT_EQ(client.exchange(post("/method/", body)).status, 405);
  EXPECT_EQ(client
                .exchange("PUT /nothing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "3\r\nabc\r\n0\r\n\r\n")
                .status,
            404);
  EXPECT_EQ(client.exchange(get("/now/1")).body, "GET /now/1 ");
  EXPECT_EQ(harness.seen().size(), 1u);
}

TEST_P(ServerRefusalTest, ALargerOneIsLeftUnread) {
  for (const char* path : {"/nothing", "/method/"}) {
    Harness harness;
    Client client = harness.connect(tcp());
    const Response response = client.exchange(head_only(post(path, std::string(4097, 'x'))));
    EXPECT_EQ(response.status, path == std::string("/nothing") ? 404 : 405);
    EXPECT_EQ(response.header("Allow"), path == std::string("/nothing") ? "" : "GET");
    EXPECT_EQ(response.header("Connection"), "close");
    EXPECT_TRUE(client.ends_cleanly());
  }
}

TEST_P(ServerRefusalTest, TooLargeIsSaidBeforeItIsRead) {
  Harness harness;
  Client client = harness.connect(tcp());
  const Response declared = client.exchange(head_only(post("/now/1", std::string(4097, 'x'))));
  EXPECT_EQ(declared.status, 413);
  EXPECT_EQ(declared.header("Connection"), "close");
  EXPECT_TRUE(client.ends_cleanly());
  Client chunked = harness.connect(tcp());
  const Response in_chunks = chunked.exchange(
      "POST /now/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n1000\r\n");
  EXPECT_EQ(in_chunks.status, 413);
  EXPECT_TRUE(chunked.ends_cleanly());
  EXPECT_EQ(harness.seen().size(), 0u);
}

// --- 100 Continue --------------------------------------------------------------------------------

TEST_P(ServerRefusalTest, ContinueIsSaidOnlyWhenItIsWaitedFor) {
  Harness harness;
  Client client = harness.connect(tcp());
  const std::string expecting = post("/now/1", "body", "Expect: 100-continue\r\n");
  EXPECT_EQ(client.exchange(head_only(expecting)).status, 100);
  EXPECT_EQ(client.exchange("body").body, "POST /now/1 body");
  // The body came along: nobody waits.
  EXPECT_EQ(client.exchange(expecting).status, 200);
  // There is none.
  EXPECT_EQ(client.exchange(post("/now/2", "", "Expect: 100-continue\r\n")).status, 200);
  EXPECT_EQ(client.exchange(get("/now/3")).body, "GET /now/3 ");
  // In two pieces that meet inside the head: it is said at its end, once.
  ASSERT_TRUE(client.send(expecting.substr(0, 20)));
  ASSERT_TRUE(client.send(expecting.substr(20, expecting.size() - 24)));
  EXPECT_EQ(client.read_response().status, 100);
  ASSERT_TRUE(client.send("bo"));
  EXPECT_EQ(client.exchange("dy").body, "POST /now/1 body");
}

// A client that waits for 100 hears the refusal instead, and may then send the body or not: its
// bytes are dropped either way.
TEST_P(ServerRefusalTest, ARefusalIsSaidInsteadOfContinue) {
  Harness harness;
  Client client = harness.connect(tcp());
  const std::string expecting = post("/nothing", "body", "Expect: 100-continue\r\n");
  const Response refused = client.exchange(head_only(expecting));
  EXPECT_EQ(refused.status, 404);
  EXPECT_EQ(refused.header("Connection"), "");
  EXPECT_EQ(client.exchange("body" + get("/now/1")).body, "GET /now/1 ");
  EXPECT_EQ(harness.stats().requests.get(), 2u);
  EXPECT_EQ(harness.stats().answers_4xx.get(), 1u);
  // It asked for close: the body is not worth reading.
  const Response last = client.exchange(
      head_only(post("/nothing", "body", "Expect: 100-continue\r\nConnection: close\r\n")));
  EXPECT_EQ(last.status, 404);
  EXPECT_EQ(last.header("Connection"), "close");
  EXPECT_TRUE(client.ends_cleanly());
}

// --- Malformed -----------------------------------------------------------------------------------

TEST_P(ServerRefusalTest, WhatWasOwedComesBeforeTheRefusal) {
  Harness harness;
  Client client = harness.connect(tcp());
  ASSERT_TRUE(client.send(get("/now/1") + get("/gate/1/2") + get("/later/3") +
                          "NOT A REQUEST\r\n\r\n" + get("/now/4")));
  EXPECT_EQ(client.read_response().body, "GET /now/1 ");
  ASSERT_TRUE(harness.wait_requests(4));
  harness.open_gate(1);
  EXPECT_EQ(client.read_response().body, "GET /gate/1/2 ");
  EXPECT_EQ(client.read_response().body, "GET /later/3 ");
  const Response refused = client.read_response();
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.header("Connection"), "close");
  EXPECT_TRUE(client.ends_cleanly());
  EXPECT_EQ(harness.seen().size(), 3u);
}

TEST_P(ServerRefusalTest, TheRefusalOfAHeadRequestHasABodyUntilItsHeadIsKnown) {
  Harness harness;
  Client client = harness.connect(tcp());
  // The method alone does not make it a HEAD request: its head never became known.
  const Response response = client.exchange("HEAD /now/1 HTTP/1.1\r\nHost : a\r\n\r\n");
  EXPECT_EQ(response.status, 400);
  EXPECT_FALSE(response.body.empty());
  EXPECT_TRUE(client.ends_cleanly());
}

TEST_P(ServerRefusalTest, RequestLineAndHeadersHaveLimits) {
  Harness harness;
  Client line = harness.connect(tcp());
  EXPECT_EQ(line.exchange("GET /" + std::string(9000, 'x')).status, 414);
  EXPECT_TRUE(line.ends_cleanly());
  Client fields = harness.connect(tcp());
  EXPECT_EQ(fields.exchange("GET / HTTP/1.1\r\nX: " + std::string(17'000, 'x')).status, 431);
  EXPECT_TRUE(fields.ends_cleanly());
}

// --- The lingering close -------------------------------------------------------------------------

// A client that goes on sending for a while still finds the answer, and a clean end behind it: had
// the server closed with its bytes unread, a reset would have come instead.
TEST_P(ServerRefusalTest, ItStillReadsTheAnswerAlthoughItGoesOnSending) {
  Harness harness;
  Client client = harness.connect(tcp());
  ASSERT_TRUE(client.send(head_only(post("/now/1", std::string(1'000'000, 'x')))));
  ASSERT_TRUE(harness.wait_requests(1));
  const uint64_t head_bytes = harness.stats().bytes_in.get();
  const std::string piece(1000, 'x');
  for (uint64_t i = 1; i <= 40; ++i) {
    ASSERT_TRUE(client.send(piece)) << i;
    ASSERT_TRUE(harness.wait_bytes_in(head_bytes + i * piece.size())) << i;
  }
  EXPECT_EQ(client.read_response().status, 413);
  EXPECT_TRUE(client.ends_cleanly());
  EXPECT_EQ(harness.stats().connections_active.get(), 1u);
  client.close();
  EXPECT_TRUE(harness.wait_active(0));
}

TEST_P(ServerRefusalTest, LingeringIsBoundInBytes) {
  Harness harness;
  Client client = harness.connect(tcp());
  ASSERT_TRUE(client.send(head_only(post("/now/1", std::string(100'000'000, 'x')))));
  ASSERT_TRUE(harness.wait_requests(1));
  const std::string piece(16 * 1024, 'x');
  while (client.send(piece)) {
  }
  EXPECT_TRUE(harness.wait_active(0));
  // The bound, the portion that passed it, and the request's head.
  EXPECT_LE(harness.stats().bytes_in.get(),
            limits::http_linger_bytes_max + limits::http_receive_bytes + 200);
}

// The client neither sends nor closes. No other deadline is near.
TEST_P(ServerRefusalTest, LingeringIsBoundInTime) {
  http::ServerOptions options = server_options();
  options.header_timeout_ms = options.body_timeout_ms = 3'600'000;
  options.keep_alive_timeout_ms = options.write_timeout_ms = 3'600'000;
  Harness harness(options);
  Client client = harness.connect(tcp());
  EXPECT_EQ(client.exchange("nonsense\r\n").status, 400);
  EXPECT_EQ(harness.stats().connections_active.get(), 1u);
  EXPECT_TRUE(harness.wait_active(0));
  EXPECT_EQ(harness.stats().timeouts.get(), 1u);
}

// One byte now and then does not prolong it.
TEST_P(ServerRefusalTest, LingeringIsBoundInTimeWhateverArrives) {
  Harness harness;
  Client client = harness.connect(tcp());
  EXPECT_EQ(client.exchange("nonsense\r\n").status, 400);
  EXPECT_TRUE(eventually([&] {
    (void)client.send_some("x");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return harness.stats().connections_active.get() == 0;
  }));
}

}  // namespace
}  // namespace espora::test
