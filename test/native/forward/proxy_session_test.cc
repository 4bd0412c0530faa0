// PROXY headers on real connections: who has to send one, what comes of one that is late, cut or
// wrong, and what upstreams are told.
#include <sys/socket.h>

#include "forward/proxy_protocol.h"
#include "forward/rig.h"
#include "support/handoff_peer.h"

namespace espora::forward {
namespace {

const std::string header_1 = "PROXY TCP4 10.1.2.3 192.0.2.1 4660 80\r\n";
const std::string header_2("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\1\2\3\xc0\0\2\1\x12\x34\0\x50",
                           28);
const std::string header_unknown("\r\n\r\n\0\r\nQUIT\n\x21\0\0\0", 16);

ForwarderOptions accepting(const TemporaryFolder& folder, const sys::Address& upstream,
                           const char* network = "127.0.0.0/8") {
  ForwarderOptions options = options_for(folder, {upstream});
  options.proxy.from = {sys::IpNetwork::parse(network).value()};
  options.proxy.from_unix = true;
  return options;
}

class ProxySession : public ::testing::TestWithParam<Kind> {
 protected:
  TemporaryFolder folder;
};
INSTANTIATE_TEST_SUITE_P(Clients, ProxySession, ::testing::Values(Kind::tcp, Kind::unix_path),
                         [](const auto& tested) { return kind_name(tested.param); });

TEST_P(ProxySession, TheHeaderIsTakenOffWhereverItIsCut) {
  TestServer server(Kind::unix_path, folder);
  Rig rig(accepting(folder, server.address()));
  for (const std::string& header : {header_1, header_2, header_unknown}) {
    const std::string whole = header + "GET /";
    for (size_t cut = 0; cut <= whole.size(); ++cut) {
      Peer client = Peer::connected(rig.address(GetParam()));
      ASSERT_TRUE(client.send_text(whole.substr(0, cut)));
      if (cut % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ASSERT_TRUE(client.send_text(whole.substr(cut)));
      Peer upstream = server.accept();
      ASSERT_EQ(upstream.receive(5), "GET /");
      ASSERT_TRUE(upstream.send_text("200"));
      ASSERT_EQ(client.receive(3), "200");
    }
  }
}

TEST_P(ProxySession, NoUpstreamIsBotheredBeforeTheHeaderIsWhole) {
  TestServer server(Kind::unix_path, folder);
  Rig rig(accepting(folder, server.address()));
  Peer client = Peer::connected(rig.address(GetParam()));
  ASSERT_TRUE(client.send_text(header_1.substr(0, 10)));
  EXPECT_FALSE(server.somebody_waits(50));
  ASSERT_TRUE(client.send_text(header_1.substr(10)));
  EXPECT_TRUE(server.accept().valid());
}

TEST_P(ProxySession, AWrongHeaderEndsIt) {
  TestServer server(Kind::unix_path, folder);
  Rig rig(accepting(folder, server.address()));
  uint64_t ended = 0;
  for (const std::string& wrong : {std::string("GET / HTTP/1.1\r\n"), std::string("PROXY TCP9 "),
                                   header_2.substr(0, 12) + "\x31", std::string(5000, 'x')}) {
    Peer client = Peer::connected(rig.address(GetParam()));
    ASSERT_TRUE(client.send_text(wrong + "\r\n"));
    EXPECT_NE(client.end(), StreamEnd::timed_out);
    EXPECT_TRUE(eventually([&] { return rig->stats().ended_proxy_header == ended + 1; })) << wrong;
    ++ended;
  }
  EXPECT_FALSE(server.somebody_waits(0));
}

TEST_P(ProxySession, AHeaderThatIsNeverFinishedEndsIt) {
  TestServer server(Kind::unix_path, folder);
  Rig rig(accepting(folder, server.address()));
  Peer silent = Peer::connected(rig.address(GetParam()));
  Peer half = Peer::connected(rig.address(GetParam()));
  ASSERT_TRUE(half.send_text(header_1.substr(0, 20)));
  Peer cut = Peer::connected(rig.address(GetParam()));
  ASSERT_TRUE(cut.send_text(header_1.substr(0, 20)));
  cut.shutdown_write();
  EXPECT_NE(cut.end(), StreamEnd::timed_out);
  Peer gone = Peer::connected(rig.address(GetParam()));
  gone.close();
  EXPECT_NE(silent.end(), StreamEnd::timed_out);
  EXPECT_NE(half.end(), StreamEnd::timed_out);
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_proxy_header, 3u);
  EXPECT_EQ(rig->stats().ended_by_client, 1u);
  EXPECT_FALSE(server.somebody_waits(0));
}

TEST(ProxySessions, FromElsewhereItIsAsGoodAsAnyOtherBytes) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  Rig rig(accepting(folder, server.address(), "10.0.0.0/8"));
  Peer client = Peer::connected(rig.address(Kind::tcp));
  ASSERT_TRUE(client.send_text(header_1));
  Peer upstream = server.accept();
  EXPECT_EQ(upstream.receive(header_1.size()), header_1);
}

// Connects, speaks and resets before the forwarder has accepted: its thread does all of it.
void speak_and_reset(Rig& rig, const std::string& text, int times) {
  rig.on_loop([&] {
    for (int i = 0; i < times; ++i) {
      Peer client = Peer::connected(rig.address(Kind::tcp));
      ASSERT_TRUE(client.send_text(text));
      client.reset();
    }
  });
}

TEST(ProxySessions, OneThatResetBeforeItWasAcceptedOwesItsHeader) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  Rig rig(accepting(folder, server.address()));
  speak_and_reset(rig, "GET / HTTP/1.1\r\n\r\n", 20);
  ASSERT_TRUE(eventually([&] { return rig->stats().ended_proxy_header == 20; }));
  rig.expect_idle();
  EXPECT_FALSE(server.somebody_waits(0));
}

TEST(ProxySessions, OneThatResetBeforeItWasAcceptedHasItsHeaderTakenOff) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  Rig rig(accepting(folder, server.address()));
  speak_and_reset(rig, header_1 + "GET /", 1);
  Peer upstream = server.accept();
  StreamEnd how;
  EXPECT_EQ(upstream.receive_to_end(&how), "GET /");
}

TEST(ProxySessions, FromElsewhereOneThatResetOwesNothing) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  Rig rig(accepting(folder, server.address(), "10.0.0.0/8"));
  speak_and_reset(rig, "hello", 1);
  Peer upstream = server.accept();
  EXPECT_EQ(upstream.receive(5), "hello");
}

// Hands over TCP clients that have spoken and are reset by then: where they come from nobody can
// say.
void hand_over_reset_clients(Rig& rig, const TemporaryFolder& folder, const std::string& text) {
  TestServer door(Kind::tcp, folder);
  Peer client = Peer::connected(door.address());
  ASSERT_TRUE(client.send_text(text));
  Peer accepted = door.accept();
  ASSERT_TRUE(accepted.readable_within(patience_ms));
  client.reset();
  ASSERT_TRUE(eventually([&] { return !sys::peer_endpoint(accepted.fd()).has_value(); }));
  test::HandoffPeer sender = test::HandoffPeer::connect(rig.address(Kind::unix_path).path);
  ASSERT_EQ(sender.collect(test::Kind::hello, 0).size(), 0u);
  ASSERT_NE(sender.say(test::Kind::hand, {1}, {accepted.fd()}).bytes, 0u);
  ASSERT_EQ(sender.collect(test::Kind::taken, 1).size(), 1u);
  ASSERT_EQ(sender.collect(test::Kind::ended, 1).size(), 1u);
}

TEST(ProxySessions, AHandedClientThatNobodyKnowsOwesAHeader) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  // Not one of those that owe one, as far as it goes: but nobody can say so.
  Rig rig(accepting(folder, server.address(), "10.0.0.0/8"));
  hand_over_reset_clients(rig, folder, "GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(rig->stats().ended_proxy_header, 1u);
  EXPECT_FALSE(server.somebody_waits(0));
}

TEST(ProxySessions, UpstreamsAreNeverToldOurOwnAddressForTheClients) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  ForwarderOptions options = options_for(folder, {server.address()});
  options.proxy.send = true;
  Rig rig(std::move(options));
  hand_over_reset_clients(rig, folder, "hello");
  EXPECT_EQ(rig->stats().ended_by_client, 1u);
  EXPECT_FALSE(server.somebody_waits(0));
}

TEST_P(ProxySession, WhyOneWasTurnedAwayIsSaidAtMostOnceInAWhile) {
  TemporaryFolder own;
  TestServer server(Kind::unix_path, own);
  Rig rig(accepting(own, server.address()));
  for (uint64_t i = 0; i < 10; ++i) {
    Peer client = Peer::connected(rig.address(GetParam()));
    ASSERT_TRUE(client.send_text("PROXY TCP9 \r\n"));
    ASSERT_TRUE(eventually([&] { return rig->stats().ended_proxy_header == i + 1; }));
  }
  const std::lock_guard lock(rig.events.mutex);
  ASSERT_EQ(rig.events.refusals.size(), 1u);
  EXPECT_NE(rig.events.refusals[0].find("has an unknown family"), std::string::npos);
  EXPECT_NE(
      rig.events.refusals[0].find(GetParam() == Kind::tcp ? "from 127.0.0.1:" : "left no address"),
      std::string::npos)
      << rig.events.refusals[0];
}

// What an upstream reads first, as text.
std::string told_to(Peer& upstream) {
  std::string text;
  for (;;) {
    text += upstream.receive(1);
    const ProxyHeader header =
        parse_proxy_header({reinterpret_cast<const std::byte*>(text.data()), text.size()});
    if (header.outcome == ProxyParse::invalid || text.size() > 300) return "invalid";
    if (header.outcome == ProxyParse::incomplete) continue;
    if (!header.connection.has_value()) return "unknown";
    return header.connection->source.ip.to_string() + ":" +
           std::to_string(header.connection->source.port) + ">" +
           std::to_string(header.connection->destination.port);
  }
}

TEST(ProxySessions, UpstreamsAreToldWhoTheClientIs) {
  for (const Kind upstream_kind : {Kind::tcp, Kind::unix_path}) {
    TemporaryFolder folder;
    TestServer server(upstream_kind, folder);
    ForwarderOptions options = options_for(folder, {server.address()});
    options.proxy.send = true;
    Rig rig(std::move(options));
    Peer client = Peer::connected(rig.address(Kind::tcp));
    sockaddr_in own{};
    socklen_t length = sizeof own;
    ASSERT_EQ(::getsockname(client.fd(), reinterpret_cast<sockaddr*>(&own), &length), 0);
    ASSERT_TRUE(client.send_text("hello"));
    Peer upstream = server.accept();
    EXPECT_EQ(told_to(upstream), "127.0.0.1:" + std::to_string(ntohs(own.sin_port)) + ">" +
                                     std::to_string(rig.address(Kind::tcp).port));
    EXPECT_EQ(upstream.receive(5), "hello");
    Peer local = Peer::connected(rig.address(Kind::unix_path));
    Peer local_upstream = server.accept();
    EXPECT_EQ(told_to(local_upstream), "unknown");
  }
}

TEST(ProxySessions, UpstreamsAreToldWhoAClientWasThatResetBeforeItWasAccepted) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  ForwarderOptions options = options_for(folder, {server.address()});
  options.proxy.send = true;
  Rig rig(std::move(options));
  speak_and_reset(rig, "hello", 1);
  Peer upstream = server.accept();
  EXPECT_EQ(told_to(upstream).rfind("127.0.0.1:", 0), 0u);
}

// The client of the first proxy is the client that the last one hears of.
TEST(ProxySessions, AChainPassesItOn) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  ForwarderOptions second_options = accepting(folder, server.address());
  second_options.listen.unix_path = folder.file("second");
  second_options.proxy.send = true;
  Rig second(std::move(second_options));
  ForwarderOptions first_options = accepting(folder, second.address(Kind::unix_path));
  first_options.proxy.send = true;
  Rig first(std::move(first_options));
  Peer client = Peer::connected(first.address(Kind::tcp));
  ASSERT_TRUE(client.send_text(header_2 + "hello"));
  Peer upstream = server.accept();
  EXPECT_EQ(told_to(upstream), "10.1.2.3:4660>80");
  EXPECT_EQ(upstream.receive(5), "hello");
}

// A check of such an upstream begins with a header, too, which says that nobody is behind it.
TEST(ProxySessions, ChecksBeginWithAHeader) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  ForwarderOptions options = options_for(folder, {server.address()});
  options.proxy.send = true;
  options.check.send_proxy = true;
  options.check.check = Check::http;
  options.check.interval_ms = 10;
  Rig rig(std::move(options));
  Peer upstream = server.accept();
  EXPECT_EQ(told_to(upstream), "unknown");
  EXPECT_EQ(upstream.receive(4), "GET ");
}

}  // namespace
}  // namespace espora::forward
