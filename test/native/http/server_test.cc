// What a well-behaved client sees of the server, and what every way of cutting its bytes must not
// change: answers, their order, persistence, pipelining.
#include <string>
#include <vector>

#include "http/server_harness.h"

namespace espora::test {
namespace {

using http::ServerOptions;

class ServerTest : public OverBoth {};
ESPORA_OVER_BOTH(ServerTest);

TEST_P(ServerTest, AnswersAndKeepsTheConnection) {
  Harness harness;
  Client client = harness.connect(tcp());
  const Response first = client.exchange(get("/now/1?query"));
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.body, "GET /now/1 ");
  EXPECT_EQ(first.header("Content-Type"), "application/json");
  EXPECT_EQ(first.header("Date").size(), 29u);
  EXPECT_EQ(first.header("Connection"), "");
  EXPECT_EQ(client.exchange(post("/now/2", "body")).body, "POST /now/2 body");
  EXPECT_EQ(client.exchange(get("/nothing")).status, 404);
  const Response refused = client.exchange(post("/method/", "dropped"));
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.header("Allow"), "GET");
  EXPECT_EQ(client.exchange(get("/now/3")).body, "GET /now/3 ");
  EXPECT_EQ(harness.stats().requests.get(), 5u);
  EXPECT_EQ(harness.stats().answers_2xx.get(), 3u);
  EXPECT_EQ(harness.stats().answers_4xx.get(), 2u);
  EXPECT_EQ(harness.stats().connections_active.get(), 1u);
  client.close();
  EXPECT_TRUE(harness.wait_active(0));
}

TEST_P(ServerTest, HeadHasTheLengthButNoBody) {
  Harness harness;
  Client client = harness.connect(tcp());
  const Response head = client.exchange(head_of("/now/1"), true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("Content-Length"), std::to_string(std::string("HEAD /now/1 ").size()));
  // If a body had come, this would begin with it.
  EXPECT_EQ(client.exchange(head_of("/nothing"), true).status, 404);
  EXPECT_EQ(client.exchange(get("/now/2")).body, "GET /now/2 ");
}

TEST_P(ServerTest, SaysCloseAndCloses) {
  Harness harness;
  Client client = harness.connect(tcp());
  const Response last = client.exchange(get("/now/1", "Connection: close\r\n"));
  EXPECT_EQ(last.status, 200);
  EXPECT_EQ(last.header("Connection"), "close");
  EXPECT_TRUE(client.ends_cleanly());
}

TEST_P(ServerTest, NothingBehindConnectionCloseIsARequest) {
  Harness harness;
  Client client = harness.connect(tcp());
  ASSERT_TRUE(client.send(get("/now/1") + get("/now/2", "Connection: close\r\n") + get("/now/3") +
                          "no request at all"));
  EXPECT_EQ(client.read_response().body, "GET /now/1 ");
  EXPECT_EQ(client.read_response().body, "GET /now/2 ");
  EXPECT_TRUE(client.ends_cleanly());
  EXPECT_EQ(harness.seen(), (std::vector<std::string>{"GET /now/1 ", "GET /now/2 "}));
}

TEST_P(ServerTest, Version10ClosesUnlessAskedNotTo) {
  Harness harness;
  Client kept = harness.connect(tcp());
  const Response first = kept.exchange("GET /now/1 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.header("Connection"), "keep-alive");
  const Response last = kept.exchange("GET /now/2 HTTP/1.0\r\n\r\n");
  EXPECT_EQ(last.body, "GET /now/2 ");
  EXPECT_EQ(last.header("Connection"), "close");
  EXPECT_TRUE(kept.ends_cleanly());
}

// --- Pipelining ----------------------------------------------------------------------------------

TEST_P(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  Harness harness;
  Client client = harness.connect(tcp());
  std::string requests;
  for (int i = 0; i < 16; ++i) {
    const std::string path = "/now/" + std::to_string(i);
    requests += i % 3 == 0 ? get(path) : i % 3 == 1 ? post(path, "b") : head_of(path);
  }
  ASSERT_TRUE(client.send(requests));
  for (int i = 0; i < 16; ++i) {
    const Response response = client.read_response(i % 3 == 2);
    EXPECT_EQ(response.status, 200);
    const std::string path = "/now/" + std::to_string(i);
    EXPECT_EQ(response.body, i % 3 == 0   ? "GET " + path + " "
                             : i % 3 == 1 ? "POST " + path + " b"
                                          : "");
  }
}

// A client that sends and does not read: what the server keeps for it is bounded, and it stops
// reading. Once the client reads, everything is there, in order.
TEST_P(ServerTest, TenThousandPipelinedForASlowReader) {
  Harness harness;
  SocketClient socket = SocketClient::make(tcp());
  socket.set_receive_buffer(4096);
  ASSERT_TRUE(tcp() ? socket.connect_tcp(harness.server().port())
                    : socket.connect_unix(harness.socket_path()));
  Client client(std::move(socket));
  constexpr size_t count = 10'000;
  constexpr size_t answer_bytes = 3000;
  std::string requests;
  for (size_t i = 0; i < count; ++i) {
    requests += get("/big/" + std::to_string(answer_bytes + i % 100) + "/" + std::to_string(i));
  }
  const std::string_view all = requests;
  std::string_view left = all;
  // What the server has made of requests and not yet given to the kernel. Exact: it is looked at
  // between two turns.
  const auto owed = [&] {
    return harness.call([&] {
      const uint64_t made = harness.stats().requests.get() * answer_bytes;
      return made - std::min<uint64_t>(made, harness.stats().bytes_out.get());
    });
  };
  // Until neither side moves any more: twice in a row nothing could be sent and nothing was read.
  uint64_t bytes_in_before = 0;
  for (int quiet = 0; quiet < 20;) {
    const ssize_t sent = client.send_some(left);
    ASSERT_GE(sent, 0);
    left.remove_prefix(static_cast<size_t>(sent));
    EXPECT_LE(owed(), limits::http_output_bytes_max + answer_bytes + 100);
    const uint64_t bytes_in = harness.stats().bytes_in.get();
    quiet = sent == 0 && bytes_in == bytes_in_before ? quiet + 1 : 0;
    bytes_in_before = bytes_in;
    if (left.empty()) break;
  }
  EXPECT_LT(harness.stats().requests.get(), count);
  EXPECT_LE(harness.stats().bytes_in.get(), all.size());
  std::thread rest([&] { EXPECT_TRUE(client.send(left)); });
  size_t answered = 0;
  for (; answered < count; ++answered) {
    const Response response = client.read_response();
    if (response.status != 200 || response.body.size() != answer_bytes + answered % 100) break;
  }
  EXPECT_EQ(answered, count);
  rest.join();
  EXPECT_EQ(harness.stats().bytes_in.get(), all.size());
}

// Fewer bytes than one portion, more answers than the server wants to hold: what was received
// already must be taken up again without any further event from the socket.
TEST_P(ServerTest, ManySmallRequestsInOneWrite) {
  Harness harness;
  Client client = harness.connect(tcp());
  std::string requests;
  constexpr int count = 1000;
  for (int i = 0; i < count; ++i) requests += get("/big/2000/");
  std::thread sender([&] { EXPECT_TRUE(client.send(requests)); });
  for (int i = 0; i < count; ++i) ASSERT_EQ(client.read_response().body.size(), 2000u) << i;
  sender.join();
}

// One that never stops sending does not keep another one waiting.
TEST_P(ServerTest, AFloodDoesNotStarveTheOthers) {
  Harness harness;
  Client flood = harness.connect(tcp());
  std::atomic<bool> over{false};
  std::string many;
  for (int i = 0; i < 2000; ++i) many += get("/now/flood");
  std::thread sender([&] {
    while (!over.load() && flood.send(many)) {
    }
  });
  std::thread reader([&] {
    std::string answers;
    while (flood.receive(answers)) answers.clear();
  });
  ASSERT_TRUE(harness.wait_requests(10'000));
  Client other = harness.connect(tcp());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(other.exchange(get("/now/other")).status, 200);
  over.store(true);
  sender.join();
  flood.shutdown_write();
  reader.join();
}

// --- Cuts ----------------------------------------------------------------------------------------

struct Stream {
  const char* name;
  std::string bytes;
};

std::vector<Stream> streams() {
  const std::string chunked =
      "POST /now/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;x=\"y\"\r\nabc\r\n00a\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n";
  const std::string expecting = post("/now/e", "expected", "Expect: 100-continue\r\n");
  return {
      {"get", get("/now/1")},
      {"head", head_of("/now/1")},
      {"empty lines first", "\r\n\r\n" + get("/now/1")},
      {"declared body", post("/now/1", "0123456789")},
      {"chunked body", chunked},
      {"expectation", expecting},
      {"pipelined", get("/now/1") + post("/now/2", "two") + chunked + get("/now/3")},
      {"refused on the head", post("/nothing", "dropped") + get("/now/1")},
      {"refused, expecting",
       post("/nothing", "dropped", "Expect: 100-continue\r\n") + get("/now/1")},
      {"refused, expecting, chunked",
       "POST /nothing HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: "
       "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" +
           get("/now/1")},
      {"refused, expecting, chunked, malformed",
       "POST /nothing HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: "
       "chunked\r\n\r\n3\r\nabcd0\r\n\r\n" +
           get("/now/1")},
      {"refused, expecting, close",
       post("/nothing", "dropped", "Expect: 100-continue\r\nConnection: close\r\n") +
           get("/now/1")},
      {"wrong method, chunked",
       "PUT /method/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" +
           get("/now/1")},
      {"1.0", "GET /now/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /now/2 HTTP/1.0\r\n\r\n"},
      {"close", get("/now/1", "Connection: close\r\n") + get("/now/2")},
      {"later", get("/later/1") + post("/later/2", "x") + get("/now/3")},
      {"malformed", get("/now/1") + "GET  /now/2 HTTP/1.1\r\nHost: a\r\n\r\n" + get("/now/3")},
      {"malformed chunk", post("/now/1", "x") +
                              "POST /now/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                              "\r\n3\r\nabcd\r\n0\r\n\r\n" +
                              get("/now/3")},
      {"too large", post("/now/1", std::string(65, 'x')) + get("/now/2")},
      {"too large, chunked",
       "POST /now/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n" +
           std::string(65, 'x') + "\r\n0\r\n\r\n" + get("/now/2")},
      {"refused and too large", post("/nothing", std::string(65, 'x')) + get("/now/2")},
      {"cut short",
       get("/now/1") + "POST /now/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nx"},
  };
}

struct Transcript {
  std::string answers;            // without Date, and without the 100s, which a cut may ask for
  std::vector<std::string> seen;  // by the handler
  SocketClient::End end = SocketClient::End::none;

  bool operator==(const Transcript&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Transcript& transcript) {
  out << transcript.answers << "end " << static_cast<int>(transcript.end) << '\n';
  for (const std::string& request : transcript.seen) out << "seen: " << request << '\n';
  return out;
}

std::string without_what_varies(std::string answers) {
  const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n";
  for (size_t at; (at = answers.find(interim)) != std::string::npos;) {
    answers.erase(at, interim.size());
  }
  for (size_t at; (at = answers.find("Date: ")) != std::string::npos;) {
    answers.erase(at, answers.find("\r\n", at) + 2 - at);
  }
  return answers;
}

// Sends the stream in pieces, each only when the one before was taken from the socket, then ends
// it.
Transcript play(bool tcp, const std::string& bytes, const std::vector<size_t>& cuts) {
  ServerOptions options = server_options();
  options.body_bytes_max = 64;
  Harness harness(options);
  Client client = harness.connect(tcp);
  size_t begin = 0;
  const auto send = [&](size_t end) {
    EXPECT_TRUE(client.send(std::string_view(bytes).substr(begin, end - begin)));
    EXPECT_TRUE(harness.wait_bytes_in(end)) << "cut at " << end;
    begin = end;
  };
  for (const size_t cut : cuts) send(cut);
  send(bytes.size());
  client.shutdown_write();
  Transcript transcript;
  transcript.answers = without_what_varies(client.receive_all());
  transcript.seen = harness.seen();
  transcript.end = client.end();
  EXPECT_TRUE(harness.wait_active(0));
  return transcript;
}

TEST_P(ServerTest, CutsChangeNothing) {
  for (const Stream& stream : streams()) {
    SCOPED_TRACE(stream.name);
    const Transcript whole = play(tcp(), stream.bytes, {});
    EXPECT_EQ(whole.end, SocketClient::End::clean);
    EXPECT_NE(whole.answers, "");
    std::vector<size_t> everywhere;
    for (size_t at = 1; at < stream.bytes.size(); ++at) everywhere.push_back(at);
    EXPECT_EQ(play(tcp(), stream.bytes, everywhere), whole);
    for (size_t at = 1; at < stream.bytes.size(); ++at) {
      ASSERT_EQ(play(tcp(), stream.bytes, {at}), whole) << "cut at " << at;
    }
  }
}

// Every part of a request at its largest, in pieces: the receive buffer always has room.
TEST_P(ServerTest, TheLargestRequestInPieces) {
  ServerOptions options = server_options();
  options.body_bytes_max = 100 * 1024;  // above the shared buffer's own size
  Harness harness(options);
  Client client = harness.connect(tcp());
  const std::string target = "/now/" + std::string(limits::http_request_line_bytes_max - 30, 't');
  std::string request =
      "\r\n\r\nPOST " + target + " HTTP/1.1\r\nHost: a\r\n" + "Transfer-Encoding: chunked\r\n";
  request += "X: " + std::string(10'000, 'x') + "\r\n\r\n";
  std::string body;
  for (size_t i = 0; body.size() + 25 <= options.body_bytes_max; ++i) {
    const std::string data = std::to_string(1'000'000'000 + i) + "0123456789abcde";
    request += "19\r\n" + data + "\r\n";
    body += data;
  }
  request += "0\r\nTrailer: " + std::string(5000, 't') + "\r\n\r\n";
  for (const size_t piece : {size_t{997}, size_t{60'000}, request.size()}) {
    uint64_t taken = harness.stats().bytes_in.get();
    for (size_t at = 0; at < request.size(); at += piece) {
      const std::string_view part = std::string_view(request).substr(at, piece);
      ASSERT_TRUE(client.send(part));
      if (piece < request.size()) {
        ASSERT_TRUE(harness.wait_bytes_in(taken += part.size()));
      }
    }
    EXPECT_EQ(client.read_response().body, "POST " + target + " " + body);
  }
}

}  // namespace
}  // namespace espora::test
