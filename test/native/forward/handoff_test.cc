// The passing end of handoff against receivers that are played by hand: slow, full, stuck, dead at
// every moment, or without sense. Whatever they do, a client has one owner: it is nowhere lost and
// nowhere twice.
#include "forward/handoff.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "forward/rig.h"
#include "support/handoff_peer.h"

namespace espora::forward {
namespace {

using test::HandoffMessage;
using test::HandoffPeer;
using test::HandoffServer;
using Said = intake::handoff::Kind;

sys::Address unix_address(const std::string& path) {
  sys::Address address;
  address.kind = sys::Address::Kind::unix_path;
  address.path = path;
  return address;
}

// The receiving end of a forwarder: each thing that can become of what is handed over has its
// count.
TEST(HandoffReceived, WhatBecameOfItIsCounted) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  Rig rig(options_for(folder, {server.address()}));
  const std::string path = rig.address(Kind::unix_path).path;
  const auto greeted = [&] {
    HandoffPeer sender = HandoffPeer::connect(path);
    EXPECT_TRUE(sender.valid());
    EXPECT_EQ(sender.next()->kind, Said::hello);
    return sender;
  };
  HandoffPeer sender = greeted();
  test::StreamPair pair;
  ASSERT_GT(sender.say(Said::hand, {1, 2}, {pair.accepted.get()}).bytes, 0u);
  EXPECT_EQ(sender.collect(Said::taken, 1), (std::vector<uint64_t>{1}));
  EXPECT_EQ(sender.collect(Said::refused, 1), (std::vector<uint64_t>{2}));
  HandoffPeer foolish = greeted();
  foolish.say_bytes("x");
  EXPECT_TRUE(foolish.ended());
  const ForwarderStats stats = rig->stats();
  EXPECT_EQ(stats.receiving.received, 1u);
  EXPECT_EQ(stats.accepted, 1u) << "a client is a client";
  EXPECT_EQ(stats.receiving.truncated, 1u);
  EXPECT_EQ(stats.receiving.strays, 1u);
  EXPECT_EQ(stats.receiving.refused, 0u);
  EXPECT_EQ(stats.receiving.unacknowledged, 0u);
  EXPECT_EQ(stats.receiving.denied, 0u);
}

// Answers are read in passing, or watched for where clients are counted exactly.
class HandoffTest : public testing::TestWithParam<Balance> {
 protected:
  // Clients that say who they are, so that whoever holds one can tell.
  Peer client(Rig& rig) {
    Peer peer = Peer::connected(rig.address(Kind::tcp));
    const uint32_t number = next_client_++;
    EXPECT_TRUE(peer.send_all(&number, sizeof number));
    return peer;
  }
  // Which client's socket that is.
  static uint32_t number_of(const sys::Fd& fd) {
    uint32_t number = UINT32_MAX;
    pollfd poller{fd.get(), POLLIN, 0};
    if (::poll(&poller, 1, patience_ms) > 0) {
      EXPECT_EQ(::recv(fd.get(), &number, sizeof number, MSG_PEEK), ssize_t{sizeof number});
    }
    return number;
  }
  // Messages with sockets until `count` of them came.
  static std::vector<std::pair<uint64_t, sys::Fd>> take(HandoffPeer& receiver, size_t count) {
    std::vector<std::pair<uint64_t, sys::Fd>> all;
    while (all.size() < count) {
      auto message = receiver.next();
      if (!message.has_value()) break;
      EXPECT_EQ(message->kind, Said::hand);
      EXPECT_EQ(message->ids.size(), message->sockets.size());
      for (size_t i = 0; i < message->sockets.size(); ++i) {
        all.emplace_back(message->ids[i], std::move(message->sockets[i]));
      }
    }
    return all;
  }

  ForwarderOptions options(size_t upstreams) {
    ForwarderOptions all = options_for(folder_, {});
    all.mode = ForwardMode::handoff;
    all.balance = GetParam();
    all.connect_timeout_ms = patience_ms;  // a slow machine is not a stuck receiver
    for (size_t i = 0; i < upstreams; ++i) {
      all.upstreams.push_back(unix_address(path(i)));
      servers_.push_back(std::make_unique<HandoffServer>(path(i)));
    }
    return all;
  }
  [[nodiscard]] std::string path(size_t upstream) const {
    return folder_.file("upstream-" + std::to_string(upstream));
  }

  TemporaryFolder folder_;
  std::vector<std::unique_ptr<HandoffServer>> servers_;
  uint32_t next_client_ = 0;
  std::vector<size_t> last_;
  std::vector<uint64_t> ids_;
};

INSTANTIATE_TEST_SUITE_P(Answers, HandoffTest,
                         testing::Values(Balance::round_robin, Balance::least_connections),
                         [](const auto& each) {
                           return std::string(each.param == Balance::round_robin ? "Read"
                                                                                 : "Watched");
                         });

TEST_P(HandoffTest, AClientIsOursUntilItIsTaken) {
  Rig rig(options(1));
  HandoffPeer receiver = servers_[0]->accept_and_greet();
  Peer peer = client(rig);
  auto passed = take(receiver, 1);
  ASSERT_EQ(passed.size(), 1u);
  // The receiver may read before the sender has returned from sendmsg.
  EXPECT_TRUE(eventually([&] { return rig->stats().pass_unacknowledged == 1u; }));
  passed[0].second.reset();
  EXPECT_FALSE(peer.readable_within(20));  // our copy holds it open
  receiver.say(Said::taken, {passed[0].first});
  EXPECT_EQ(peer.end(), StreamEnd::reset);  // what it said was never read
  EXPECT_EQ(rig->stats().active, 1u);
  receiver.say(Said::ended, {passed[0].first});
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_at_holder, 1u);
  EXPECT_EQ(rig->stats().upstreams[0].connections, 1u);
}

TEST_P(HandoffTest, UpstreamsTakeTurns) {
  ForwarderOptions in_turn = options(3);
  in_turn.balance = Balance::round_robin;
  Rig rig(in_turn);
  std::vector<HandoffPeer> receivers;
  for (auto& server : servers_) receivers.push_back(server->accept_and_greet());
  std::vector<Peer> clients;
  // All must be ready, or the first would be passed over those that are not.
  for (uint32_t warm = 0; warm < 3;) {
    clients.push_back(client(rig));
    for (HandoffPeer& receiver : receivers) {
      if (!receiver.wait_for_input(10)) continue;
      for (auto& [id, fd] : take(receiver, 1)) receiver.say(Said::taken, {id});
      ++warm;
    }
  }
  for (int round = 0; round < 5; ++round) {
    for (size_t i = 0; i < 3; ++i) {
      clients.push_back(client(rig));
      ASSERT_TRUE(eventually([&] {
        return std::any_of(receivers.begin(), receivers.end(),
                           [](HandoffPeer& each) { return each.wait_for_input(0); });
      }));
      const size_t got = static_cast<size_t>(
          std::find_if(receivers.begin(), receivers.end(),
                       [](HandoffPeer& each) { return each.wait_for_input(0); }) -
          receivers.begin());
      auto passed = take(receivers[got], 1);
      receivers[got].say(Said::taken, {passed.at(0).first});
      last_.push_back(got);
    }
  }
  for (size_t i = 3; i < last_.size(); ++i) EXPECT_EQ(last_[i], last_[i - 3]);
}

TEST_P(HandoffTest, WhoDoesNotGreetGetsNothing) {
  ForwarderOptions all = options(2);
  Rig rig(all);
  HandoffPeer silent = servers_[0]->accept();
  HandoffPeer live = servers_[1]->accept_and_greet();
  std::vector<Peer> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(client(rig));
  EXPECT_EQ(take(live, 10).size(), 10u);
  EXPECT_FALSE(silent.wait_for_input(0));
  silent.say(Said::hello, {});
  ASSERT_TRUE(eventually([&] {
    clients.push_back(client(rig));
    return silent.wait_for_input(10);
  }));
}

TEST_P(HandoffTest, AtMostSixtyFourAreUnderWayToOne) {
  Rig rig(options(1));
  HandoffPeer receiver = servers_[0]->accept_and_greet();
  std::vector<Peer> clients;
  constexpr size_t all = 200;
  for (size_t i = 0; i < all; ++i) clients.push_back(client(rig));
  auto passed = take(receiver, limits::handoff_unacknowledged_max);
  ASSERT_EQ(passed.size(), limits::handoff_unacknowledged_max);
  EXPECT_FALSE(receiver.wait_for_input(50));
  EXPECT_TRUE(eventually([&] { return rig->stats().pass_full > 0; }));
  // Each answer makes room for one more.
  std::set<uint32_t> seen;
  for (size_t done = 0; done < all; ++done) {
    if (done == passed.size()) {
      for (auto& each : take(receiver, 1)) passed.push_back(std::move(each));
    }
    ASSERT_LT(done, passed.size());
    EXPECT_TRUE(seen.insert(number_of(passed[done].second)).second);
    receiver.say(Said::taken, {passed[done].first});
  }
  EXPECT_EQ(seen.size(), all);
  EXPECT_TRUE(eventually([&] { return rig->stats().passed == all; }));
}

TEST_P(HandoffTest, AFullOneIsPassedOver) {
  Rig rig(options(2));
  HandoffPeer slow = servers_[0]->accept_and_greet();
  HandoffPeer quick = servers_[1]->accept_and_greet();
  std::vector<Peer> clients;
  std::vector<std::pair<uint64_t, sys::Fd>> passed;
  for (size_t i = 0; i < 300; ++i) {
    clients.push_back(client(rig));
    while (quick.wait_for_input(0)) {
      for (auto& each : take(quick, 1)) {
        quick.say(Said::taken, {each.first});
        passed.push_back(std::move(each));
      }
    }
  }
  // One by one: it gets no more than so many before it answers.
  while (passed.size() < 300 - limits::handoff_unacknowledged_max) {
    auto next = take(quick, 1);
    ASSERT_FALSE(next.empty());
    for (auto& each : next) {
      quick.say(Said::taken, {each.first});
      passed.push_back(std::move(each));
    }
  }
  EXPECT_EQ(take(slow, limits::handoff_unacknowledged_max).size(),
            limits::handoff_unacknowledged_max);
  EXPECT_FALSE(slow.wait_for_input(0));
}

// Makes this process's end of the channel to `path` hold as little as the kernel allows.
void shrink_channel(const std::string& path) {
  // Bound under a temporary name, which begins with its own.
  const std::string listener = path + std::string(intake::handoff::path_suffix);
  int found = 0;
  for (int fd = 3; fd < 1024; ++fd) {
    int type = 0;
    socklen_t length = sizeof type;
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0) continue;
    sockaddr_un peer{};
    length = sizeof peer;
    if (type != SOCK_SEQPACKET ||
        ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0 ||
        !std::string_view(peer.sun_path).starts_with(listener)) {
      continue;
    }
    const int least = 1;
    ASSERT_EQ(::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof least), 0);
    ++found;
  }
  ASSERT_EQ(found, 1);
}

// The kernel takes no further message, long before there are as many under way as may be.
TEST_P(HandoffTest, AFullChannelIsPassedOver) {
  Rig rig(options(2));
  HandoffPeer slow = servers_[0]->accept_and_greet();
  HandoffPeer quick = servers_[1]->accept_and_greet();
  shrink_channel(path(0));
  constexpr size_t all = limits::handoff_unacknowledged_max;
  std::vector<Peer> clients;
  std::set<uint32_t> seen;
  for (size_t i = 1; i <= all; ++i) {
    clients.push_back(client(rig));
    ASSERT_TRUE(eventually([&] {
      const ForwarderStats stats = rig->stats();
      return stats.passed + stats.pass_unacknowledged == i;
    }));
    if (!quick.wait_for_input(0)) continue;
    for (auto& [id, fd] : take(quick, 1)) {
      EXPECT_TRUE(seen.insert(number_of(fd)).second) << "twice";
      quick.say(Said::taken, {id});
    }
    ASSERT_TRUE(eventually([&] { return rig->stats().passed == seen.size(); }));
  }
  EXPECT_GT(rig->stats().pass_full, 0u);
  EXPECT_EQ(rig->stats().upstreams[0].connect_failures, 0u);  // full is not broken
  const size_t held = all - seen.size();
  EXPECT_GT(held, 0u);
  EXPECT_LT(held, all / 2);
  for (auto& [id, fd] : take(slow, held)) {
    EXPECT_TRUE(seen.insert(number_of(fd)).second) << "twice";
    slow.say(Said::taken, {id});
  }
  EXPECT_EQ(seen.size(), all);
  EXPECT_FALSE(slow.wait_for_input(0));
  // It has read: its turn comes again.
  EXPECT_TRUE(eventually([&] {
    clients.push_back(client(rig));
    return slow.wait_for_input(10);
  }));
}

TEST_P(HandoffTest, AFullChannelOfAllIsWaitedForWithoutSpinning) {
  Rig rig(options(1));
  HandoffPeer slow = servers_[0]->accept_and_greet();
  shrink_channel(path(0));
  constexpr size_t all = 40;
  std::vector<Peer> clients;
  for (size_t i = 0; i < all; ++i) {
    clients.push_back(client(rig));
    ASSERT_TRUE(eventually([&] { return rig->stats().accepted == i + 1; }));
  }
  const uint64_t full = rig->stats().pass_full;
  const uint64_t turns = rig.loop().turns();
  ASSERT_TRUE(eventually([&] { return rig->stats().pass_full >= full + 5; }));
  EXPECT_LE(rig.loop().turns() - turns, 5u * 4) << "a rest each time";
  std::set<uint32_t> seen;
  while (seen.size() < all) {
    auto next = take(slow, 1);
    ASSERT_FALSE(next.empty());
    for (auto& [id, fd] : next) {
      EXPECT_TRUE(seen.insert(number_of(fd)).second) << "twice";
      slow.say(Said::taken, {id});
    }
  }
  EXPECT_TRUE(eventually([&] { return rig->stats().passed == all; }));
  EXPECT_EQ(rig->stats().upstreams[0].connect_failures, 0u);
}

TEST_P(HandoffTest, AFullQueueOfChannelsIsPassedOver) {
  ForwarderOptions all = options(2);
  const std::vector<HandoffPeer> waiting = servers_[0]->fill_queue();
  Rig rig(all);
  HandoffPeer other = servers_[1]->accept_and_greet();
  std::vector<Peer> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(client(rig));
  for (auto& [id, fd] : take(other, 10)) other.say(Said::taken, {id});
  EXPECT_TRUE(eventually([&] { return rig->stats().passed == 10; }));
  EXPECT_GT(rig->stats().pass_full, 0u);
  EXPECT_EQ(rig->stats().upstreams[0].connect_failures, 0u);  // full is not broken
  for (size_t i = 0; i < waiting.size(); ++i) ASSERT_TRUE(servers_[0]->accept().valid());
  EXPECT_TRUE(eventually([&] {
    clients.push_back(client(rig));
    return servers_[0]->somebody_waits();
  }));
}

TEST_P(HandoffTest, AFullQueueOfChannelsOfAllIsWaitedForWithoutSpinning) {
  ForwarderOptions all = options(1);
  const std::vector<HandoffPeer> waiting = servers_[0]->fill_queue();
  Rig rig(all);
  Peer peer = client(rig);
  ASSERT_TRUE(eventually([&] { return rig->stats().pass_full >= 3; }));
  const uint64_t full = rig->stats().pass_full;
  const uint64_t turns = rig.loop().turns();
  ASSERT_TRUE(eventually([&] { return rig->stats().pass_full >= full + 5; }));
  EXPECT_LE(rig.loop().turns() - turns, 5u * 4);
  EXPECT_FALSE(peer.readable_within(0));
  for (size_t i = 0; i < waiting.size(); ++i) ASSERT_TRUE(servers_[0]->accept().valid());
  HandoffPeer receiver = servers_[0]->accept_and_greet();
  auto passed = take(receiver, 1);
  ASSERT_EQ(passed.size(), 1u);
  receiver.say(Said::taken, {passed[0].first});
  EXPECT_TRUE(eventually([&] { return rig->stats().passed == 1; }));
  EXPECT_EQ(rig->stats().upstreams[0].connect_failures, 0u);
}

TEST_P(HandoffTest, AFullQueueOfChannelsIsNotWaitedForEver) {
  ForwarderOptions all = options(1);
  all.connect_timeout_ms = 50;
  const std::vector<HandoffPeer> waiting = servers_[0]->fill_queue();
  Rig rig(all);
  Peer peer = client(rig);
  EXPECT_NE(peer.end(), StreamEnd::timed_out);
  rig.expect_idle();
  EXPECT_EQ(rig->stats().ended_connect_timeout + rig->stats().ended_unreachable, 1u);
}

// A hop that passes clients and one that takes them, in one process, so that both have as few
// descriptors left: what can't be accepted waits in the kernel, what can't be taken is refused and
// offered again, and neither end makes turns for nothing meanwhile.
class HandoffDescriptorsLeft : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Left, HandoffDescriptorsLeft, testing::Values(0, 1, 2, 3, 4, 5, 6));

TEST_P(HandoffDescriptorsLeft, NothingIsLostAndNothingSpins) {
  TemporaryFolder folder;
  TestServer server(Kind::unix_path, folder);
  ForwarderOptions taking = options_for(folder, {server.address()});
  taking.listen.unix_path = folder.file("taking");
  Rig receiver(std::move(taking));
  ForwarderOptions passing = options_for(folder, {unix_address(folder.file("taking"))});
  passing.mode = ForwardMode::handoff;
  passing.connect_timeout_ms = patience_ms;
  Rig rig(std::move(passing));
  // Opens what opens at the first connection.
  {
    Peer warm = Peer::connected(rig.address(Kind::tcp));
    server.accept();
  }
  rig.expect_idle();
  receiver.expect_idle();

  constexpr int count = 12;
  std::vector<Peer> clients;
  for (int i = 0; i < count; ++i) clients.push_back(Peer::make(Kind::tcp));
  {
    const FewDescriptors few(GetParam());
    ASSERT_NO_FATAL_FAILURE(greet_until_it_rests(rig, clients));
    const uint64_t pauses = rig->stats().accept_pauses;
    const uint64_t turns = rig.loop().turns();
    const uint64_t turns_taking = receiver.loop().turns();
    ASSERT_TRUE(eventually([&] { return rig->stats().accept_pauses >= pauses + 5; }));
    EXPECT_LE(rig.loop().turns() - turns, 5u * 30);
    EXPECT_LE(receiver.loop().turns() - turns_taking, 5u * 30);
  }
  ASSERT_NO_FATAL_FAILURE(expect_greetings(server, count));
  rig.expect_idle();
  receiver.expect_idle();
  EXPECT_EQ(rig->stats().accepted, count + 1u);
  EXPECT_EQ(rig->stats().passed, count + 1u);
  EXPECT_EQ(rig->stats().upstreams[0].connect_failures, 0u);
  EXPECT_EQ(receiver->stats().receiving.received, count + 1u);
  EXPECT_EQ(receiver->stats().ended_local_error, 0u);
  EXPECT_EQ(receiver->stats().upstreams[0].connect_failures, 0u);
}

TEST_P(HandoffTest, WhatADeadOneHadNotTakenGoesElsewhereAndNothingElseDoes) {
  // It dies having read all, some or none of what it was offered, and having acknowledged some of
  // it, of which the sender has seen nothing yet. Where it leaves something unread the sender meets
  // an error before the acknowledgements.
  for (const bool reads_all : {true, false}) {
    next_client_ = 0;
    servers_.clear();
    Rig rig(options(2));
    HandoffPeer dying = servers_[0]->accept_and_greet();
    std::vector<Peer> clients;
    clients.push_back(client(rig));
    auto passed = take(dying, 1);  // it is ready, and the other one is not yet
    ASSERT_EQ(passed.size(), 1u);
    HandoffPeer other = servers_[1]->accept();
    while (clients.size() < 40) clients.push_back(client(rig));
    auto rest = take(dying, 30);
    for (auto& each : rest) passed.push_back(std::move(each));
    if (reads_all) {
      for (auto& each : take(dying, 40 - passed.size())) passed.push_back(std::move(each));
    } else {
      clients.push_back(client(rig));
    }
    ASSERT_TRUE(eventually([&] { return rig->stats().pass_unacknowledged == clients.size(); }));
    std::set<uint32_t> taken;
    rig.on_loop([&] {
      other.say(Said::hello, {});
      for (size_t i = 0; i < 7; ++i) {
        taken.insert(number_of(passed[i].second));
        dying.say(Said::taken, {passed[i].first});
      }
      dying.close();
    });
    const size_t left = clients.size() - taken.size();
    auto elsewhere = take(other, left);
    ASSERT_EQ(elsewhere.size(), left) << reads_all;
    std::set<uint32_t> seen = taken;
    for (auto& [id, fd] : elsewhere) {
      EXPECT_TRUE(seen.insert(number_of(fd)).second) << "twice";
      other.say(Said::taken, {id});
    }
    EXPECT_FALSE(other.wait_for_input(20));
    EXPECT_EQ(rig->stats().pass_returned, left);
    EXPECT_EQ(rig->stats().channels_lost, 1u);
    // Those that the dead one had are no longer counted: nobody will report them.
    EXPECT_TRUE(eventually([&] { return rig->stats().active == left; }));
    EXPECT_EQ(rig->stats().pass_unreported, taken.size());
    EXPECT_EQ(rig->stats().upstreams[0].active, 0u);
  }
}

TEST_P(HandoffTest, AStuckOneIsGivenUpAndCannotTakeWhatWentElsewhere) {
  ForwarderOptions all = options(2);
  all.connect_timeout_ms = 100;
  Rig rig(all);
  HandoffPeer stuck = servers_[0]->accept_and_greet();
  std::vector<Peer> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(client(rig));
  auto passed = take(stuck, 5);
  ASSERT_EQ(passed.size(), 5u);
  // An answer that was on its way when it got stuck is heard.
  stuck.say(Said::taken, {passed[4].first});
  HandoffPeer other = servers_[1]->accept_and_greet();
  std::set<uint32_t> seen;
  const auto elsewhere = take(other, 4);  // kept open: the clients are looked at below
  for (const auto& [id, fd] : elsewhere) {
    seen.insert(number_of(fd));
    other.say(Said::taken, {id});
  }
  EXPECT_EQ(seen, (std::set<uint32_t>{0, 1, 2, 3}));
  // It goes on: nobody listens to it any more, so that it must let go of them.
  EXPECT_EQ(stuck.say(Said::taken, {passed[0].first}).error, EPIPE);
  EXPECT_EQ(rig->stats().channels_cut, 1u);
  for (Peer& each : clients) EXPECT_FALSE(each.readable_within(0));
}

// It drains, and is stopped before it has answered; who took its place is there already.
TEST_P(HandoffTest, AStuckOneThatTakesNoMoreIsGivenUp) {
  ForwarderOptions all = options(1);
  all.connect_timeout_ms = 1'500;
  Rig rig(all);
  HandoffPeer stuck = servers_[0]->accept_and_greet();
  std::vector<Peer> clients;
  clients.push_back(client(rig));
  const auto passed = take(stuck, 1);
  ASSERT_EQ(passed.size(), 1u);
  ASSERT_EQ(::shutdown(stuck.fd(), SHUT_RD), 0);
  clients.push_back(client(rig));
  HandoffPeer successor = servers_[0]->accept_and_greet();
  std::set<uint32_t> seen;
  const auto elsewhere = take(successor, 2);  // kept open: the clients are looked at below
  for (const auto& [id, fd] : elsewhere) {
    seen.insert(number_of(fd));
    successor.say(Said::taken, {id});
  }
  EXPECT_EQ(seen, (std::set<uint32_t>{0, 1}));
  EXPECT_EQ(stuck.say(Said::taken, {passed[0].first}).error, EPIPE);
  EXPECT_EQ(rig->stats().channels_cut, 1u);
  for (Peer& each : clients) EXPECT_FALSE(each.readable_within(0));
}

TEST_P(HandoffTest, AStuckOneIsWaitedForWhileNobodyElseIsThere) {
  ForwarderOptions all = options(1);
  all.connect_timeout_ms = 20;
  Rig rig(all);
  HandoffPeer stuck = servers_[0]->accept_and_greet();
  Peer peer = client(rig);
  auto passed = take(stuck, 1);
  EXPECT_FALSE(peer.readable_within(200));
  EXPECT_EQ(rig->stats().channels_cut, 0u);
  EXPECT_GT(stuck.say(Said::taken, {passed.at(0).first}).bytes, 0u);
  EXPECT_TRUE(eventually([&] { return rig->stats().passed == 1; }));
}

TEST_P(HandoffTest, NotForEver) {
  ForwarderOptions all = options(1);
  all.connect_timeout_ms = 20;
  all.idle_timeout_ms = 100;
  Rig rig(all);
  HandoffPeer stuck = servers_[0]->accept_and_greet();
  Peer peer = client(rig);
  EXPECT_EQ(take(stuck, 1).size(), 1u);
  EXPECT_NE(peer.end(), StreamEnd::timed_out);
  EXPECT_TRUE(eventually(
      [&] { return rig->stats().ended_connect_timeout + rig->stats().ended_unreachable == 1; }));
}

TEST_P(HandoffTest, RefusedByOneIsOfferedToTheNext) {
  Rig rig(options(2));
  HandoffPeer first = servers_[0]->accept_and_greet();
  std::vector<Peer> clients;
  clients.push_back(client(rig));
  auto passed = take(first, 1);
  HandoffPeer second = servers_[1]->accept_and_greet();
  first.say(Said::refused, {passed.at(0).first});
  passed[0].second.reset();
  auto again = take(second, 1);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(number_of(again[0].second), 0u);
  // By all: to one of them again later, and not for ever.
  second.say(Said::refused, {again[0].first});
  EXPECT_TRUE(eventually([&] { return first.wait_for_input(0) || second.wait_for_input(0); }));
  EXPECT_EQ(rig->stats().pass_refused, 2u);
}

TEST_P(HandoffTest, RefusedByAllItEndsInTime) {
  ForwarderOptions all = options(1);
  all.connect_timeout_ms = 100;
  Rig rig(all);
  HandoffPeer receiver = servers_[0]->accept_and_greet();
  Peer peer = client(rig);
  size_t offers = 0;
  while (!peer.readable_within(0)) {
    if (!receiver.wait_for_input(1)) continue;
    for (auto& [id, fd] : take(receiver, 1)) receiver.say(Said::refused, {id});
    ++offers;
  }
  EXPECT_GE(offers, 2u);
  EXPECT_LT(offers, 60u);  // it rests in between
  EXPECT_TRUE(eventually([&] { return rig->stats().ended_connect_timeout == 1; }));
}

TEST_P(HandoffTest, ReportsMakeRoomForFurtherClients) {
  ForwarderOptions all = options(1);
  all.connections_max = 2;
  Rig rig(all);
  HandoffPeer receiver = servers_[0]->accept_and_greet();
  std::vector<Peer> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(client(rig));
  for (uint32_t next = 0; next < 2;) {
    for (auto& [id, fd] : take(receiver, 1)) {
      EXPECT_EQ(number_of(fd), next++);
      receiver.say(Said::taken, {id});
      ids_.push_back(id);
    }
  }
  EXPECT_FALSE(receiver.wait_for_input(50));
  EXPECT_EQ(rig->stats().active, 2u);
  for (size_t i = 0; i < 2; ++i) {
    receiver.say(Said::ended, {ids_[i]});
    auto passed = take(receiver, 1);
    ASSERT_EQ(passed.size(), 1u);
    EXPECT_EQ(number_of(passed[0].second), 2 + i);
    receiver.say(Said::taken, {passed[0].first});
  }
  // Twice, or of one that it never had: no more room than there is.
  receiver.say(Said::ended, {ids_[0], ids_[1], 12345});
  EXPECT_TRUE(eventually([&] { return rig->stats().passed == 4; }));
  EXPECT_EQ(rig->stats().active, 2u);
}

TEST_P(HandoffTest, IsWokenForEachPacketOnlyWhereClientsAreCountedOrRefused) {
  constexpr uint64_t packets = 20;
  Rig rig(options(1));
  HandoffPeer receiver = servers_[0]->accept_and_greet();
  EXPECT_TRUE(eventually([&] { return rig.loop().turns() > 0; }));
  auto begin = std::chrono::steady_clock::now();
  Peer peer = client(rig);
  auto passed = take(receiver, 1);
  ASSERT_EQ(passed.size(), 1u);
  // Turns until the last of several packets, which says that the client is taken, has been read.
  const auto turns_of_packets = [&](uint64_t held) {
    EXPECT_TRUE(eventually([&] { return rig->stats().pass_unacknowledged == 1u; }));
    const uint64_t turns_before = rig.loop().turns();
    for (uint64_t i = 0; i < packets; ++i) {
      EXPECT_GT(receiver.say(Said::ended, {passed[0].first + 1 + i}).bytes, 0u);  // of nobody
    }
    EXPECT_GT(receiver.say(Said::taken, {passed[0].first}).bytes, 0u);
    const auto took = std::chrono::steady_clock::now() - begin;
    EXPECT_TRUE(eventually([&] { return rig->stats().passed_active == held; }));
    return std::pair(rig.loop().turns() - turns_before, took);
  };
  const auto [turns, took] = turns_of_packets(1);
  if (GetParam() == Balance::least_connections) {
    EXPECT_GE(turns, packets);
  } else if (2 * took < std::chrono::milliseconds(limits::handoff_answers_ms)) {
    EXPECT_LE(turns, 5u);
  }

  Peer another = client(rig);
  passed = take(receiver, 1);
  ASSERT_EQ(passed.size(), 1u);
  receiver.say(Said::refused, {passed[0].first});
  passed = take(receiver, 1);
  ASSERT_EQ(passed.size(), 1u);
  EXPECT_GE(turns_of_packets(2).first, packets);
}

// Where the number of clients decides about the next one, their ends are to be reported at once.
TEST_P(HandoffTest, AsksForReportsAtOnceWhereClientsAreCounted) {
  const auto asked = [this](const ForwarderOptions& all, size_t clients) {
    Rig rig(all);
    HandoffPeer receiver = servers_.back()->accept_and_greet();
    std::vector<bool> flags;
    std::vector<Peer> peers;
    for (size_t i = 0; i < clients; ++i) {
      peers.push_back(client(rig));
      const auto message = receiver.next();
      EXPECT_TRUE(message.has_value() && message->kind == Said::hand);
      flags.push_back(message->flags == intake::handoff::report_at_once);
      receiver.say(Said::taken, message->ids);
    }
    servers_.clear();
    return flags;
  };
  const bool always = GetParam() == Balance::least_connections;
  EXPECT_EQ(asked(options(1), 3), (std::vector<bool>{always, always, always}));
  if (always) return;
  ForwarderOptions in_all = options(1);
  in_all.connections_max = 6;
  EXPECT_EQ(asked(in_all, 4), (std::vector<bool>{false, false, true, true}));
  ForwarderOptions each = options(1);
  each.upstream_connections_max = 4;
  EXPECT_EQ(asked(each, 3), (std::vector<bool>{false, true, true}));
}

TEST_P(HandoffTest, HearsAllMessagesOfAPacket) {
  Rig rig(options(1));
  HandoffPeer receiver = servers_[0]->accept_and_greet();
  std::vector<Peer> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(client(rig));
  auto passed = take(receiver, 3);
  ASSERT_EQ(passed.size(), 3u);
  receiver.say(Said::taken, {passed[0].first});
  intake::handoff::Packet packet(Said::taken, std::vector<uint64_t>{passed[1].first});
  packet.add(Said::refused, std::vector<uint64_t>{passed[2].first});
  packet.add(Said::ended, std::vector<uint64_t>{passed[0].first, passed[1].first});
  ASSERT_GT(receiver.say_packet(packet).bytes, 0u);
  EXPECT_TRUE(eventually([&] { return rig->stats().ended_at_holder == 2; }));
  // Offered again: nobody else is there.
  auto again = take(receiver, 1);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(number_of(again[0].second), 2u);
  receiver.say(Said::taken, {again[0].first});
  EXPECT_TRUE(eventually([&] { return rig->stats().passed == 3; }));
  EXPECT_EQ(rig->stats().active, 1u);
}

TEST_P(HandoffTest, MessagesWithoutSenseEndTheChannelAndLoseNobody) {
  test::StreamPair pair;
  const std::function<void(HandoffPeer&, uint64_t)> bad[] = {
      [](HandoffPeer& peer, uint64_t) { peer.say_bytes("x"); },
      [](HandoffPeer& peer, uint64_t) { peer.say_bytes(std::string(4000, 'x')); },
      [](HandoffPeer& peer, uint64_t id) { peer.say(Said::taken, {id + 1}); },
      [](HandoffPeer& peer, uint64_t id) { peer.say(Said::refused, {id + 1}); },
      [](HandoffPeer& peer, uint64_t) { peer.say(Said::hello, {}); },
      [](HandoffPeer& peer, uint64_t) {  // only `hand` has flags
        peer.say_packet(intake::handoff::Packet(Said::ended, {}, intake::handoff::report_at_once));
      },
      [](HandoffPeer& peer, uint64_t) {  // half a message behind a whole one
        const intake::handoff::Packet whole(Said::ended, {});
        const std::string bytes(static_cast<const char*>(whole.data()), whole.size());
        peer.say_bytes(bytes + bytes.substr(1));
      },
      [&](HandoffPeer& peer, uint64_t id) { peer.say(Said::hand, {id}, {pair.accepted.get()}); },
  };
  for (const auto& misbehave : bad) {
    servers_.clear();
    Rig rig(options(2));
    HandoffPeer first = servers_[0]->accept_and_greet();
    Peer peer = client(rig);
    auto passed = take(first, 1);
    ASSERT_EQ(passed.size(), 1u);
    HandoffPeer second = servers_[1]->accept_and_greet();
    misbehave(first, passed[0].first);
    EXPECT_TRUE(first.ended());
    auto again = take(second, 1);
    ASSERT_EQ(again.size(), 1u);
    EXPECT_EQ(number_of(again[0].second), next_client_ - 1);
    EXPECT_FALSE(peer.readable_within(0));
  }
}

TEST_P(HandoffTest, NobodyThereEndsTheClient) {
  ForwarderOptions all = options(2);
  servers_.clear();
  Rig rig(all);
  Peer peer = client(rig);
  EXPECT_NE(peer.end(), StreamEnd::timed_out);
  EXPECT_TRUE(eventually([&] { return rig->stats().ended_unreachable == 1; }));
  EXPECT_GT(rig->stats().upstreams[0].connect_failures, 0u);
}

TEST_P(HandoffTest, OneThatComesBackIsUsedAgain) {
  Rig rig(options(1));
  HandoffPeer receiver = servers_[0]->accept_and_greet();
  Peer first = client(rig);
  auto passed = take(receiver, 1);
  receiver.say(Said::taken, {passed.at(0).first});
  receiver.close();
  servers_.clear();
  EXPECT_TRUE(eventually([&] { return rig->stats().channels_lost == 1; }));
  servers_.push_back(std::make_unique<HandoffServer>(path(0)));
  Peer second = client(rig);
  HandoffPeer again = servers_[0]->accept_and_greet();
  auto offered = take(again, 1);
  ASSERT_EQ(offered.size(), 1u);
  EXPECT_EQ(number_of(offered[0].second), 1u);
}

TEST_P(HandoffTest, OneThatDrainsStillReportsWhileItsSuccessorServes) {
  ForwarderOptions all = options(1);
  Rig rig(all);
  HandoffPeer old = servers_[0]->accept_and_greet();
  Peer first = client(rig);
  auto passed = take(old, 1);
  old.say(Said::taken, {passed.at(0).first});
  servers_.clear();
  ::shutdown(old.fd(), SHUT_RD);
  servers_.push_back(std::make_unique<HandoffServer>(path(0)));
  Peer second = client(rig);
  HandoffPeer fresh = servers_[0]->accept_and_greet();
  EXPECT_EQ(take(fresh, 1).size(), 1u);
  EXPECT_EQ(rig->stats().active, 2u);
  old.say(Said::ended, {passed[0].first});
  EXPECT_TRUE(eventually([&] { return rig->stats().active == 1; }));
}

TEST_P(HandoffTest, DrainingWaitsForAnswersAndNotForClients) {
  Rig rig(options(1));
  HandoffPeer receiver = servers_[0]->accept_and_greet();
  Peer held = client(rig);
  auto first = take(receiver, 1);
  receiver.say(Said::taken, {first.at(0).first});
  Peer offered = client(rig);
  auto second = take(receiver, 1);
  std::promise<void> done;
  rig->drain(patience_ms, [&] { done.set_value(); });
  auto drained = done.get_future();
  EXPECT_EQ(drained.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  receiver.say(Said::taken, {second.at(0).first});
  EXPECT_EQ(drained.wait_for(std::chrono::milliseconds(patience_ms)), std::future_status::ready);
  rig.stop();
  EXPECT_FALSE(held.readable_within(0));
  EXPECT_FALSE(offered.readable_within(0));
}

TEST_P(HandoffTest, AHardStopEndsOnlyWhatNobodyTook) {
  Rig rig(options(1));
  HandoffPeer receiver = servers_[0]->accept_and_greet();
  Peer held = client(rig);
  auto first = take(receiver, 1);
  receiver.say(Said::taken, {first.at(0).first});
  Peer offered = client(rig);
  auto second = take(receiver, 1);
  std::promise<void> done;
  rig->drain(0, [&] { done.set_value(); });
  done.get_future().wait();
  second.clear();
  EXPECT_NE(offered.end(), StreamEnd::timed_out);
  EXPECT_FALSE(held.readable_within(0));
}

TEST_P(HandoffTest, PassesOnWhatItWasHandedAndReportsBack) {
  Rig rig(options(1));
  HandoffPeer receiver = servers_[0]->accept_and_greet();
  HandoffPeer sender = HandoffPeer::connect(folder_.file("listen"));
  ASSERT_TRUE(sender.valid());
  EXPECT_EQ(sender.next()->kind, Said::hello);
  test::StreamPair pair;
  sender.say(Said::hand, {77}, {pair.accepted.get()});
  EXPECT_EQ(sender.collect(Said::taken, 1), (std::vector<uint64_t>{77}));
  auto passed = take(receiver, 1);
  ASSERT_EQ(passed.size(), 1u);
  receiver.say(Said::taken, {passed[0].first});
  EXPECT_EQ(::send(pair.client.get(), "x", 1, 0), 1);
  char byte;
  EXPECT_EQ(::recv(passed[0].second.get(), &byte, 1, 0), 1);
  receiver.say(Said::ended, {passed[0].first});
  EXPECT_EQ(sender.collect(Said::ended, 1), (std::vector<uint64_t>{77}));
  EXPECT_EQ(rig->stats().receiving.received, 1u);
  EXPECT_EQ(rig->stats().accepted, 1u);
  rig.expect_idle();
}

TEST_P(HandoffTest, WhatItWasHandedItAlsoRelays) {
  TestServer server(Kind::unix_path, folder_);
  Rig rig(options_for(folder_, {server.address()}));
  HandoffPeer sender = HandoffPeer::connect(folder_.file("listen"));
  ASSERT_TRUE(sender.valid());
  EXPECT_EQ(sender.next()->kind, Said::hello);
  for (uint64_t round = 0; round < 3; ++round) {
    test::StreamPair pair;
    sender.say(Said::hand, {round}, {pair.accepted.get()});
    EXPECT_EQ(sender.collect(Said::taken, 1), (std::vector<uint64_t>{round}));
    Peer upstream = server.accept();
    ASSERT_TRUE(upstream.valid());
    EXPECT_EQ(::send(pair.client.get(), "question", 8, 0), 8);
    EXPECT_EQ(upstream.receive(8), "question");
    upstream.close();
    // The sender's copy is still there, as that of a slow one would be.
    EXPECT_EQ(sender.collect(Said::ended, 1), (std::vector<uint64_t>{round}));
  }
  rig.expect_idle();
}

TEST_P(HandoffTest, OnlySocketsOfThisMachine) {
  ForwarderOptions all = options_for(folder_, {});
  all.mode = ForwardMode::handoff;
  sys::Address far;
  far.host = "example.org";
  far.port = 80;
  all.upstreams = {far};
  sys::EventLoop loop;
  ASSERT_TRUE(loop.init().ok());
  const auto started = Forwarder::start(loop, all, nullptr);
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.status().message(),
            "under test: handoff cannot reach example.org:80: name the path of a unix socket on "
            "this machine, or choose the mode relay");
}

}  // namespace
}  // namespace espora::forward
