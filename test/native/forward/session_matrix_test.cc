// Who ends, half-closes, resets or stalls first, on which kind of socket, on which side: each case
// runs for clients and upstreams on TCP and on unix sockets, with streams copied and spliced.
#include <tuple>

#include "forward/rig.h"

namespace espora::forward {
namespace {

enum class Way { copied, spliced };

class SessionMatrix : public ::testing::TestWithParam<std::tuple<Kind, Kind, Way>> {
 protected:
  SessionMatrix()
      : client_kind(std::get<0>(GetParam())),
        upstream_kind(std::get<1>(GetParam())),
        streams(std::get<2>(GetParam())),
        server(upstream_kind, folder),
        rig(options()),
        client(Peer::connected(rig.address(client_kind))),
        upstream(server.accept()) {}

  void TearDown() override {
    client.close();
    upstream.close();
    rig.expect_idle();
    const ForwarderStats stats = rig->stats();
    EXPECT_EQ(stats.accepted, 1u);
    EXPECT_EQ(stats.upstreams[0].active, 0u);
    EXPECT_EQ(stats.ended_normally + stats.ended_by_client + stats.ended_by_upstream, 1u);
    EXPECT_EQ(stats.retries, 0u);
  }
  ForwarderOptions options() const {
    ForwarderOptions options = options_for(folder, {server.address()});
    if (streams == Way::copied) options.pipes_max = 0;
    return options;
  }
  // What the forwarder holds for sockets that do not take it: a buffer full or a pipe full each.
  uint64_t held() {
    const ForwarderStats stats = rig->stats();
    return stats.buffers_in_use + stats.pipes_in_use;
  }
  // Nothing was held but that, ever. (Who stalls before it streams is owed a buffer, not a pipe.)
  void expect_most_held(uint64_t most) {
    const ForwarderStats stats = rig->stats();
    EXPECT_LE(stats.buffers_peak, most);
    EXPECT_LE(stats.pipes_peak, most);
    if (streams == Way::copied) {
      EXPECT_EQ(stats.pipes_peak, 0u);
    }
  }
  // TCP: an RST. Unix: going with something unread, which is what its peer sees as ECONNRESET.
  void break_off(Peer& who, Kind kind, Peer& other_end) {
    if (kind == Kind::tcp) {
      who.reset();
      return;
    }
    ASSERT_TRUE(other_end.send_text("never read"));
    ASSERT_TRUE(who.readable_within(patience_ms));
    who.close();
  }
  // What a break towards a socket of this kind looks like: unix sockets only know an end, unless
  // something of what they sent was not taken.
  static StreamEnd broken(Kind kind) {
    return kind == Kind::tcp ? StreamEnd::reset : StreamEnd::clean;
  }

  TemporaryFolder folder;
  Kind client_kind;
  Kind upstream_kind;
  Way streams;
  TestServer server;
  Rig rig;
  Peer client;
  Peer upstream;
};

TEST_P(SessionMatrix, BytesGoBothWays) {
  for (int round = 0; round < 100; ++round) {
    ASSERT_TRUE(client.send_text("question"));
    ASSERT_EQ(upstream.receive(8), "question");
    ASSERT_TRUE(upstream.send_text("answer"));
    ASSERT_EQ(client.receive(6), "answer");
  }
  // Counted after they were sent, so perhaps a moment after they arrived.
  EXPECT_TRUE(eventually([&] { return rig->stats().bytes_down == 600; }));
  EXPECT_EQ(rig->stats().bytes_up, 800u);
  EXPECT_EQ(rig->stats().buffers_peak, 0u);  // sockets that take everything need no buffer
}

TEST_P(SessionMatrix, ServerMaySpeakFirst) {
  ASSERT_TRUE(upstream.send_text("220 hello"));
  ASSERT_EQ(client.receive(9), "220 hello");
  ASSERT_TRUE(client.send_text("QUIT"));
  ASSERT_EQ(upstream.receive(4), "QUIT");
}

TEST_P(SessionMatrix, ClientHalfClosesAndStillGetsItsAnswer) {
  ASSERT_TRUE(client.send_text("all I have"));
  client.shutdown_write();
  StreamEnd how;
  ASSERT_EQ(upstream.receive_to_end(&how), "all I have");
  ASSERT_EQ(how, StreamEnd::clean);
  ASSERT_TRUE(upstream.send_text("first "));
  ASSERT_EQ(client.receive(6), "first ");
  ASSERT_TRUE(upstream.send_text("second"));
  upstream.close();
  ASSERT_EQ(client.receive_to_end(&how), "second");
  ASSERT_EQ(how, StreamEnd::clean);
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_normally, 1u);
}

TEST_P(SessionMatrix, UpstreamHalfClosesAndStillListens) {
  ASSERT_TRUE(upstream.send_text("all I say"));
  upstream.shutdown_write();
  StreamEnd how;
  ASSERT_EQ(client.receive_to_end(&how), "all I say");
  ASSERT_EQ(how, StreamEnd::clean);
  ASSERT_TRUE(client.send_text("first "));
  ASSERT_EQ(upstream.receive(6), "first ");
  ASSERT_TRUE(client.send_text("second"));
  client.close();
  ASSERT_EQ(upstream.receive_to_end(&how), "second");
  ASSERT_EQ(how, StreamEnd::clean);
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_normally, 1u);
}

TEST_P(SessionMatrix, HalfClosedWithoutAByteIsPassedOn) {
  client.shutdown_write();
  EXPECT_EQ(upstream.end(), StreamEnd::clean);
  upstream.shutdown_write();
  EXPECT_EQ(client.end(), StreamEnd::clean);
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_normally, 1u);
}

TEST_P(SessionMatrix, BothHalfCloseAtOnce) {
  ASSERT_TRUE(client.send_text("c"));
  ASSERT_TRUE(upstream.send_text("u"));
  client.shutdown_write();
  upstream.shutdown_write();
  StreamEnd how;
  EXPECT_EQ(upstream.receive_to_end(&how), "c");
  EXPECT_EQ(how, StreamEnd::clean);
  EXPECT_EQ(client.receive_to_end(&how), "u");
  EXPECT_EQ(how, StreamEnd::clean);
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_normally, 1u);
}

TEST_P(SessionMatrix, ClientClosesFirst) {
  ASSERT_TRUE(client.send_text("request"));
  ASSERT_EQ(upstream.receive(7), "request");
  ASSERT_TRUE(upstream.send_text("answer"));
  ASSERT_EQ(client.receive(6), "answer");
  client.close();
  EXPECT_EQ(upstream.end(), StreamEnd::clean);
  // On TCP it may have half-closed; of a unix socket it is known that nobody is there any more.
  if (client_kind == Kind::tcp) upstream.close();
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_normally, 1u);
}

TEST_P(SessionMatrix, UpstreamAnswersAndCloses) {
  ASSERT_TRUE(client.send_text("request"));
  ASSERT_EQ(upstream.receive(7), "request");
  ASSERT_TRUE(upstream.send_text("answer"));
  upstream.close();
  StreamEnd how;
  EXPECT_EQ(client.receive_to_end(&how), "answer");
  EXPECT_EQ(how, StreamEnd::clean);
  if (upstream_kind == Kind::tcp) client.close();
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_normally, 1u);
}

TEST_P(SessionMatrix, UpstreamClosesAtOnceWithoutAByte) {
  upstream.close();
  EXPECT_EQ(client.end(), StreamEnd::clean);
}

TEST_P(SessionMatrix, ClientBreaksOff) {
  ASSERT_TRUE(client.send_text("half a requ"));
  ASSERT_EQ(upstream.receive(11), "half a requ");
  break_off(client, client_kind, upstream);
  EXPECT_EQ(upstream.end(), broken(upstream_kind));
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_by_client, 1u);
}

TEST_P(SessionMatrix, UpstreamBreaksOff) {
  ASSERT_TRUE(upstream.send_text("half an ans"));
  ASSERT_EQ(client.receive(11), "half an ans");
  break_off(upstream, upstream_kind, client);
  EXPECT_EQ(client.end(), broken(client_kind));
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_by_upstream, 1u);
}

// More than the reader's socket holds waits in the relay and in its kernel buffers when the sender
// breaks off; all that left the sender must arrive, and only then the break. (A reset drops what
// is still in the sender's own TCP socket, so there it may be only as much as fits behind it.)
constexpr size_t before_break_bytes_max(Kind sender) {
  return sender == Kind::tcp ? 200'000 : 3'000'000;
}

TEST_P(SessionMatrix, WhatCameBeforeABreakArrivesFirst) {
  const size_t sent = client.send_until_full(before_break_bytes_max(client_kind));
  ASSERT_GT(sent, 100'000u);
  ASSERT_TRUE(upstream.send_text("never read"));
  ASSERT_TRUE(client.readable_within(patience_ms));
  if (client_kind == Kind::tcp) client.wait_until_acknowledged();
  if (client_kind == Kind::tcp) {
    client.reset();
  } else {
    client.close();
  }
  // A slow reader: the break has long been seen when it begins.
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  StreamEnd how;
  const std::string got = upstream.receive_to_end(&how);
  EXPECT_EQ(got.size(), sent);
  EXPECT_EQ(how, broken(upstream_kind));
}

TEST_P(SessionMatrix, WhatTheUpstreamSaidBeforeABreakArrivesFirst) {
  const size_t sent = upstream.send_until_full(before_break_bytes_max(upstream_kind));
  ASSERT_GT(sent, 100'000u);
  ASSERT_TRUE(client.send_text("never read"));
  ASSERT_TRUE(upstream.readable_within(patience_ms));
  if (upstream_kind == Kind::tcp) {
    upstream.wait_until_acknowledged();
    upstream.reset();
  } else {
    upstream.close();
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  StreamEnd how;
  const std::string got = client.receive_to_end(&how);
  EXPECT_EQ(got.size(), sent);
  EXPECT_EQ(how, broken(client_kind));
}

// A server that refuses a large body answers and goes while the client still sends.
TEST_P(SessionMatrix, AnswerSurvivesThatItsRequestWasNotRead) {
  const size_t sent = client.send_until_full(2'000'000);
  ASSERT_GT(sent, 100'000u);
  ASSERT_TRUE(upstream.readable_within(patience_ms));
  ASSERT_TRUE(upstream.send_text("413"));
  upstream.close();
  StreamEnd how;
  EXPECT_EQ(client.receive_to_end(&how), "413");
  // The client's bytes were dropped: on TCP it is told so; a unix client is told if some of them
  // were still in its relay's socket.
  if (client_kind == Kind::tcp) {
    EXPECT_EQ(how, StreamEnd::reset);
  }
  EXPECT_NE(how, StreamEnd::timed_out);
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_by_upstream, 1u);
}

TEST_P(SessionMatrix, ClientBreaksOffAfterHalfClosing) {
  client.shutdown_write();
  EXPECT_EQ(upstream.end(), StreamEnd::clean);
  ASSERT_TRUE(upstream.send_text("unread"));
  ASSERT_TRUE(client.readable_within(patience_ms));
  if (client_kind == Kind::tcp) {
    client.reset();
  } else {
    client.close();
  }
  // Whoever goes on sending learns that nobody is there.
  EXPECT_TRUE(eventually([&] { return !upstream.send_text("x"); }));
  rig.expect_idle();
}

// The same with an upstream that does nothing: it is freed all the same.
TEST_P(SessionMatrix, ABreakBehindTheEndIsSeen) {
  client.shutdown_write();
  EXPECT_EQ(upstream.end(), StreamEnd::clean);
  if (client_kind == Kind::tcp) {
    client.reset();
  } else {
    client.close();
  }
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_by_client, client_kind == Kind::tcp ? 1u : 0u);
}

TEST_P(SessionMatrix, ABreakBehindTheUpstreamsEndIsSeen) {
  upstream.shutdown_write();
  EXPECT_EQ(client.end(), StreamEnd::clean);
  if (upstream_kind == Kind::tcp) {
    upstream.reset();
  } else {
    upstream.close();
  }
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_by_upstream, upstream_kind == Kind::tcp ? 1u : 0u);
}

// Its stream had ended, but bytes are still owed to it: they cannot be delivered, and their sender
// is told.
TEST_P(SessionMatrix, GoneWithBytesOwedToIt) {
  client.shutdown_write();
  EXPECT_EQ(upstream.end(), StreamEnd::clean);
  std::thread sender([&] { EXPECT_FALSE(send_pattern(upstream, 1 << 30, 1, 100'000)); });
  EXPECT_TRUE(eventually([&] { return held() == 1; }));
  client.close();
  sender.join();
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_by_client, 1u);
}

// One direction stands still: the other goes on, the sender is held back, memory is bounded, and
// when the reader wakes up nothing is missing.
TEST_P(SessionMatrix, StalledClientHoldsBackItsUpstreamOnly) {
  constexpr uint64_t total = 32 * 1024 * 1024;
  std::atomic<bool> sent{false};
  std::thread sender([&] {
    EXPECT_TRUE(send_pattern(upstream, total, 1, 100'000));
    sent = true;
  });
  EXPECT_TRUE(eventually([&] { return held() == 1; }));
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(client.send_text("ping"));
    ASSERT_EQ(upstream.receive(4), "ping");
  }
  EXPECT_FALSE(sent);
  expect_most_held(1);
  EXPECT_EQ(receive_pattern(client, total, 1), total);
  sender.join();
}

TEST_P(SessionMatrix, StalledUpstreamHoldsBackItsClientOnly) {
  constexpr uint64_t total = 32 * 1024 * 1024;
  std::atomic<bool> sent{false};
  std::thread sender([&] {
    EXPECT_TRUE(send_pattern(client, total, 2, 100'000));
    sent = true;
  });
  EXPECT_TRUE(eventually([&] { return held() == 1; }));
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(upstream.send_text("pong"));
    ASSERT_EQ(client.receive(4), "pong");
  }
  EXPECT_FALSE(sent);
  expect_most_held(1);
  EXPECT_EQ(receive_pattern(upstream, total, 2), total);
  sender.join();
}

// The stalled side goes away: what was held for it is given back and the sender learns it.
TEST_P(SessionMatrix, StalledClientThatLeavesFreesItsUpstream) {
  std::thread sender([&] { EXPECT_FALSE(send_pattern(upstream, 1 << 30, 1, 100'000)); });
  EXPECT_TRUE(eventually([&] { return held() == 1; }));
  client.close();
  sender.join();
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_by_client, 1u);
}

TEST_P(SessionMatrix, BulkBothWaysAtOnce) {
  constexpr uint64_t total = 64 * 1024 * 1024;
  std::thread client_sends([&] {
    EXPECT_TRUE(send_pattern(client, total, 1, 1'000'003));
    client.shutdown_write();
  });
  std::thread upstream_sends([&] {
    EXPECT_TRUE(send_pattern(upstream, total, 2, 65'537));
    upstream.shutdown_write();
  });
  std::thread upstream_reads([&] {
    EXPECT_EQ(receive_pattern(upstream, total, 1), total);
    EXPECT_EQ(upstream.end(), StreamEnd::clean);
  });
  EXPECT_EQ(receive_pattern(client, total, 2), total);
  EXPECT_EQ(client.end(), StreamEnd::clean);
  client_sends.join();
  upstream_sends.join();
  upstream_reads.join();
  rig.expect_idle();
  const ForwarderStats stats = rig->stats();
  EXPECT_EQ(stats.bytes_up, total);
  EXPECT_EQ(stats.bytes_down, total);
  expect_most_held(2);
  EXPECT_EQ(stats.ended_normally, 1u);
}

TEST_P(SessionMatrix, OneByteAtATime) {
  constexpr uint64_t total = 20'000;
  std::thread sender([&] { EXPECT_TRUE(send_pattern(client, total, 3, 1)); });
  std::thread answers([&] { EXPECT_TRUE(send_pattern(upstream, total, 4, 1)); });
  std::thread reader([&] { EXPECT_EQ(receive_pattern(upstream, total, 3), total); });
  EXPECT_EQ(receive_pattern(client, total, 4), total);
  sender.join();
  answers.join();
  reader.join();
}

// recv(2) stops short at urgent data, where a short read does not mean that all was read.
TEST_P(SessionMatrix, BytesAroundUrgentDataArrive) {
  if (client_kind != Kind::tcp) GTEST_SKIP() << "urgent data is TCP's";
  for (int round = 0; round < 20; ++round) {
    rig.loop().post([] { std::this_thread::sleep_for(std::chrono::milliseconds(5)); });
    ASSERT_TRUE(client.send_text("before"));
    ASSERT_EQ(::send(client.fd(), "!", 1, MSG_OOB), 1);
    ASSERT_TRUE(client.send_text("behind"));
    ASSERT_EQ(upstream.receive(12), "beforebehind");
  }
}

INSTANTIATE_TEST_SUITE_P(Sockets, SessionMatrix,
                         ::testing::Combine(::testing::Values(Kind::tcp, Kind::unix_path),
                                            ::testing::Values(Kind::tcp, Kind::unix_path),
                                            ::testing::Values(Way::copied, Way::spliced)),
                         [](const auto& tested) {
                           return std::string(kind_name(std::get<0>(tested.param))) + "To" +
                                  kind_name(std::get<1>(tested.param)) +
                                  (std::get<2>(tested.param) == Way::copied ? "Copied" : "Spliced");
                         });

}  // namespace
}  // namespace espora::forward
