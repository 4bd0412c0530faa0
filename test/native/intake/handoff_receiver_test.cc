// The receiving end of handoff against senders that do as they should, and against all others:
// sockets that are none, messages that are none, a sender that dies, gives up or does not listen,
// and no room or no descriptors here.
#include "intake/handoff_receiver.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "intake/acceptor.h"
#include "support/handoff_peer.h"
#include "support/loop_thread.h"
#include "support/socket_client.h"

namespace espora::test {
namespace {

class HandoffKeeper final : public intake::AcceptorOwner {
 public:
  struct Kept {
    sys::Fd fd;
    bool tcp;
    intake::HandoffOrigin origin;
    uint64_t turn;  // of the loop
  };
  explicit HandoffKeeper(const sys::EventLoop& loop) : loop_(loop) {}
  void on_accepted(sys::Fd, bool, const std::optional<sys::Endpoint>&) override {
    ADD_FAILURE() << "nobody connects by themselves";
  }
  bool has_room() override { return true; }
  size_t room_for_handed() override { return room_ - kept_.size(); }
  void on_handed(sys::Fd fd, bool tcp, const intake::HandoffOrigin& origin) override {
    EXPECT_NE(::fcntl(fd.get(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
    kept_.push_back({std::move(fd), tcp, origin, loop_.turns()});
  }

  std::vector<Kept> kept_;  // the loop's thread
  size_t room_ = SIZE_MAX;

 private:
  const sys::EventLoop& loop_;
};

class HandoffReceiver : public testing::Test {
 protected:
  HandoffReceiver() : acceptor_(std::make_unique<intake::Acceptor>(thread_.loop(), keeper_)) {}
  void SetUp() override {
    ASSERT_TRUE(acceptor_->listen({.unix_path = path()}).ok());
    ASSERT_TRUE(acceptor_->start().ok());
    thread_.start();
  }
  void TearDown() override {
    thread_.stop();
    acceptor_.reset();
  }
  [[nodiscard]] std::string path() const { return directory_.file("listen"); }
  HandoffPeer greeted() {
    HandoffPeer sender = HandoffPeer::connect(path());
    EXPECT_TRUE(sender.valid());
    const auto hello = sender.next();
    EXPECT_TRUE(hello.has_value() && hello->kind == Kind::hello);
    return sender;
  }
  const intake::HandoffReceiver::Counters& counters() { return acceptor_->handoff_counters(); }
  size_t kept() {
    return thread_.call([&] { return keeper_.kept_.size(); });
  }

  TemporaryDirectory directory_;
  LoopThread thread_;
  HandoffKeeper keeper_{thread_.loop()};
  std::unique_ptr<intake::Acceptor> acceptor_;
};

TEST_F(HandoffReceiver, TakesWhatIsPassedAndReportsItsEnd) {
  HandoffPeer sender = greeted();
  StreamPair one;
  StreamPair two;
  ASSERT_GT(sender.say(Kind::hand, {7, 9}, {one.accepted.get(), two.accepted.get()}).bytes, 0u);
  EXPECT_EQ(sender.collect(Kind::taken, 2), (std::vector<uint64_t>{7, 9}));
  ASSERT_TRUE(eventually([&] { return kept() == 2; }));
  one.accepted.reset();
  thread_.call([&] {
    EXPECT_FALSE(keeper_.kept_[0].tcp);
    EXPECT_EQ(::send(keeper_.kept_[0].fd.get(), "x", 1, 0), 1);
    keeper_.kept_[0].fd.reset();
    acceptor_->report_ended(keeper_.kept_[0].origin);
  });
  EXPECT_EQ(sender.collect(Kind::ended, 1), (std::vector<uint64_t>{7}));
  char byte;
  EXPECT_EQ(::recv(one.client.get(), &byte, 1, 0), 1);
  EXPECT_EQ(::recv(one.client.get(), &byte, 1, 0), 0);
  EXPECT_EQ(counters().received, 2u);
}

// One wake-up of the sender for what a client's end and the next one's coming have to say.
TEST_F(HandoffReceiver, ReportsGoWithTheNextAnswerWhereNobodyWaitsForThem) {
  HandoffPeer sender = greeted();
  StreamPair one;
  StreamPair two;
  ASSERT_GT(sender.say(Kind::hand, {1}, {one.accepted.get()}).bytes, 0u);
  ASSERT_EQ(sender.collect(Kind::taken, 1).size(), 1u);
  const size_t before = sender.packets();
  // In one turn of the loop, so that no clock decides.
  thread_.call([&] {
    acceptor_->report_ended(keeper_.kept_.at(0).origin);
    EXPECT_GT(sender.say(Kind::hand, {2}, {two.accepted.get()}).bytes, 0u);
  });
  EXPECT_EQ(sender.collect(Kind::taken, 1), (std::vector<uint64_t>{2}));
  EXPECT_EQ(sender.collect(Kind::ended, 1), (std::vector<uint64_t>{1}));
  EXPECT_EQ(sender.packets(), before + 1);
  // Nothing took this one along: it comes by itself, and once.
  thread_.call([&] { acceptor_->report_ended(keeper_.kept_.at(1).origin); });
  EXPECT_EQ(sender.collect(Kind::ended, 1), (std::vector<uint64_t>{2}));
  thread_.settle();
  EXPECT_FALSE(sender.wait_for_input(3 * limits::handoff_report_delay_ms));
}

// Each turn of a database ends with a flush: who came while it waited for the last one shares one.
TEST_F(HandoffReceiver, TakesWhatCameDuringALongTurnInOne) {
  HandoffPeer sender = greeted();
  std::array<StreamPair, limits::handoff_packets_per_event_max> pairs;
  std::vector<uint64_t> ids;
  thread_.call([&] {
    for (StreamPair& pair : pairs) {
      ids.push_back(ids.size() + 1);
      EXPECT_GT(sender.say(Kind::hand, {ids.back()}, {pair.accepted.get()}).bytes, 0u);
    }
    std::this_thread::sleep_for(std::chrono::nanoseconds(limits::long_turn_ns));
  });
  EXPECT_EQ(sender.collect(Kind::taken, ids.size()), ids);
  thread_.call([&] {
    ASSERT_EQ(keeper_.kept_.size(), ids.size());
    EXPECT_EQ(keeper_.kept_.front().turn, keeper_.kept_.back().turn);
  });
}

TEST_F(HandoffReceiver, ReportsDoNotWaitWhereTheSenderCounts) {
  HandoffPeer sender = greeted();
  StreamPair pair;
  const std::vector<int> socket{pair.accepted.get()};
  const intake::handoff::Packet counted(Kind::hand, std::vector<uint64_t>{1},
                                        intake::handoff::report_at_once);
  ASSERT_GT(sender.say_packet(counted, socket).bytes, 0u);
  ASSERT_EQ(sender.collect(Kind::taken, 1).size(), 1u);
  thread_.call([&] { acceptor_->report_ended(keeper_.kept_.at(0).origin); });
  // What is due in a turn is done when the next piece of work is.
  thread_.settle();
  EXPECT_TRUE(sender.wait_for_input(0));
  EXPECT_EQ(sender.collect(Kind::ended, 1), (std::vector<uint64_t>{1}));
}

TEST_F(HandoffReceiver, ASocketMadeBlockingByItsSenderBlocksNobody) {
  HandoffPeer sender = greeted();
  StreamPair pair;
  ::fcntl(pair.accepted.get(), F_SETFL, 0);
  ASSERT_GT(sender.say(Kind::hand, {1}, {pair.accepted.get()}).bytes, 0u);
  EXPECT_EQ(sender.collect(Kind::taken, 1).size(), 1u);
  EXPECT_EQ(kept(), 1u);
}

TEST_F(HandoffReceiver, WhatNobodyIsToldOfIsClosedUnreadAndNotShutDown) {
  HandoffPeer sender = greeted();
  StreamPair pair;
  // The receiver is busy while the sender hands over and then gives up.
  thread_.call([&] {
    ASSERT_GT(sender.say(Kind::hand, {1}, {pair.accepted.get()}).bytes, 0u);
    ::shutdown(sender.fd(), SHUT_RDWR);
  });
  ASSERT_TRUE(eventually([&] { return counters().unacknowledged == 1; }));
  EXPECT_EQ(kept(), 0u);
  EXPECT_EQ(sender.take(), std::nullopt);
  // Whoever has the other copy goes on with it.
  EXPECT_EQ(::send(pair.client.get(), "abc", 3, 0), 3);
  char bytes[8];
  EXPECT_EQ(::recv(pair.accepted.get(), bytes, sizeof bytes, 0), 3);
  EXPECT_EQ(::send(pair.accepted.get(), "d", 1, 0), 1);
  EXPECT_EQ(::recv(pair.client.get(), bytes, sizeof bytes, 0), 1);
}

TEST_F(HandoffReceiver, WhatASenderThatDiedHadUnderWayIsNotServed) {
  HandoffPeer sender = greeted();
  StreamPair pair;
  thread_.call([&] {
    ASSERT_GT(sender.say(Kind::hand, {1}, {pair.accepted.get()}).bytes, 0u);
    pair.accepted.reset();
    sender.close();
  });
  // The client hears that nobody is there.
  char byte;
  ASSERT_TRUE(eventually([&] { return ::recv(pair.client.get(), &byte, 1, 0) == 0; }));
  EXPECT_EQ(kept(), 0u);
}

TEST_F(HandoffReceiver, WhatWasTakenOutlivesItsSender) {
  HandoffPeer sender = greeted();
  StreamPair pair;
  ASSERT_GT(sender.say(Kind::hand, {1}, {pair.accepted.get()}).bytes, 0u);
  EXPECT_EQ(sender.collect(Kind::taken, 1).size(), 1u);
  sender.close();
  pair.accepted.reset();
  thread_.settle();
  thread_.call([&] {
    ASSERT_EQ(keeper_.kept_.size(), 1u);
    EXPECT_EQ(::send(keeper_.kept_[0].fd.get(), "x", 1, MSG_NOSIGNAL), 1);
    acceptor_->report_ended(keeper_.kept_[0].origin);  // to nobody
  });
  char byte;
  EXPECT_EQ(::recv(pair.client.get(), &byte, 1, 0), 1);
}

TEST_F(HandoffReceiver, WithoutRoomItRefuses) {
  thread_.call([&] { keeper_.room_ = 2; });
  HandoffPeer sender = greeted();
  std::vector<StreamPair> pairs(5);
  std::vector<int> sockets;
  for (const StreamPair& each : pairs) sockets.push_back(each.accepted.get());
  ASSERT_GT(sender.say(Kind::hand, {1, 2, 3, 4, 5}, sockets).bytes, 0u);
  EXPECT_EQ(sender.collect(Kind::taken, 2), (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(sender.collect(Kind::refused, 3), (std::vector<uint64_t>{3, 4, 5}));
  EXPECT_EQ(counters().refused, 3u);
  EXPECT_EQ(kept(), 2u);
}

TEST_F(HandoffReceiver, WhatIsNoConnectionIsRefused) {
  HandoffPeer sender = greeted();
  sys::Fd datagram(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sys::Fd file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  sys::Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  sys::Fd udp(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sys::Fd unix_listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un unnamed{};
  unnamed.sun_family = AF_UNIX;  // unix(7): "autobind", a name that nobody else has
  ASSERT_EQ(
      ::bind(unix_listener.get(), reinterpret_cast<sockaddr*>(&unnamed), sizeof unnamed.sun_family),
      0);
  ASSERT_EQ(::listen(unix_listener.get(), 1), 0);
  StreamPair pair;
  ASSERT_GT(sender
                .say(Kind::hand, {1, 2, 3, 4, 5, 6},
                     {datagram.get(), file.get(), pair.accepted.get(), listener.get(), udp.get(),
                      unix_listener.get()})
                .bytes,
            0u);
  const auto taken = sender.next();
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->kind, Kind::taken);
  EXPECT_EQ(taken->ids, (std::vector<uint64_t>{3}));
  EXPECT_EQ(sender.collect(Kind::refused, 5), (std::vector<uint64_t>{1, 2, 4, 5, 6}));
  EXPECT_EQ(counters().strays, 5u);
}

TEST_F(HandoffReceiver, MessagesWithoutSenseEndTheChannelAndNothingElse) {
  StreamPair pair;
  HandoffPeer good = greeted();
  const std::vector<int> socket{pair.accepted.get()};
  const std::function<void(HandoffPeer&)> bad[] = {
      [&](HandoffPeer& peer) { peer.say_bytes("x", socket); },
      [&](HandoffPeer& peer) { peer.say_bytes(std::string(4000, 'x'), socket); },
      [&](HandoffPeer& peer) { peer.say(Kind::hand, {}, socket); },    // one more than ids
      [&](HandoffPeer& peer) { peer.say(Kind::taken, {1}, socket); },  // not a sender's
      [&](HandoffPeer& peer) { peer.say(Kind::hello, {}); },           //
      [&](HandoffPeer& peer) {
        peer.say(Kind::hand, std::vector<uint64_t>(limits::handoff_sockets_max + 1, 1), socket);
      },
      [&](HandoffPeer& peer) {
        const intake::handoff::Packet packet(Kind::hand, std::vector<uint64_t>{1, 2});
        peer.say_bytes({static_cast<const char*>(packet.data()), packet.size() - 1}, socket);
      },
      [&](HandoffPeer& peer) {
        intake::handoff::Packet twice(Kind::hand, std::vector<uint64_t>{1});
        twice.add(Kind::hand, std::vector<uint64_t>{2});
        peer.say_packet(twice, socket);
      },
      [&](HandoffPeer& peer) {
        peer.say_packet(intake::handoff::Packet(Kind::hand, std::vector<uint64_t>{1}, 2), socket);
      },
  };
  for (const auto& misbehave : bad) {
    HandoffPeer peer = greeted();
    misbehave(peer);
    EXPECT_TRUE(peer.ended());
  }
  EXPECT_EQ(counters().strays, std::size(bad));
  EXPECT_EQ(kept(), 0u);
  ASSERT_GT(good.say(Kind::hand, {1}, socket).bytes, 0u);
  EXPECT_EQ(good.collect(Kind::taken, 1).size(), 1u);
}

TEST_F(HandoffReceiver, SocketsThatWereAnnouncedAndDidNotComeAreRefused) {
  HandoffPeer sender = greeted();
  StreamPair pair;
  ASSERT_GT(sender.say(Kind::hand, {1, 2}, {pair.accepted.get()}).bytes, 0u);
  EXPECT_EQ(sender.collect(Kind::taken, 1), (std::vector<uint64_t>{1}));
  EXPECT_EQ(sender.collect(Kind::refused, 1), (std::vector<uint64_t>{2}));
  EXPECT_EQ(counters().truncated, 1u);
}

TEST_F(HandoffReceiver, WithoutDescriptorsItRefusesWhatDidNotFit) {
  HandoffPeer sender = greeted();
  std::vector<StreamPair> pairs(8);
  std::vector<int> sockets;
  std::vector<uint64_t> ids;
  for (const StreamPair& each : pairs) {
    ids.push_back(ids.size());
    sockets.push_back(each.accepted.get());
  }
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit tight = before;
  thread_.call([&] {
    // The next descriptors of this process but three are out of bounds.
    const int next = ::dup(0);
    ::close(next);
    tight.rlim_cur = static_cast<rlim_t>(next) + 3;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  });
  ASSERT_GT(sender.say(Kind::hand, ids, sockets).bytes, 0u);
  const std::vector<uint64_t> refused = sender.collect(Kind::refused, 1);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_GE(refused.size(), 5u);
  EXPECT_EQ(refused.back(), 7u);
  EXPECT_EQ(counters().truncated, refused.size());
  EXPECT_EQ(kept() + refused.size(), 8u);
  // And then it takes them.
  sockets.erase(sockets.begin(), sockets.end() - static_cast<ptrdiff_t>(refused.size()));
  ASSERT_GT(sender.say(Kind::hand, refused, sockets).bytes, 0u);
  EXPECT_EQ(sender.collect(Kind::taken, refused.size()), refused);
}

TEST_F(HandoffReceiver, ASenderThatDoesNotListenGetsNoFurther) {
  HandoffPeer sender = greeted();
  StreamPair pair;
  // Each is answered, and nobody reads the answers: the receiver stops, and then the sender has no
  // room either.
  uint64_t id = 0;
  sys::IoResult sent;
  for (int quiet = 0; quiet < 200;) {
    sent = sender.say(Kind::hand, {id}, {pair.accepted.get()});
    if (sent.bytes > 0) {
      ++id;
      quiet = 0;
    } else {
      ASSERT_TRUE(sent.again);
      thread_.settle();
      ++quiet;
    }
    ASSERT_LT(id, 100'000u);
    thread_.call([&] { keeper_.kept_.clear(); });
  }
  // It listens: every one of them is answered, in order.
  const std::vector<uint64_t> taken = sender.collect(Kind::taken, id);
  ASSERT_EQ(taken.size(), id);
  for (uint64_t i = 0; i < id; ++i) ASSERT_EQ(taken[i], i);
}

TEST_F(HandoffReceiver, DrainingTakesWhatIsUnderWayAndNothingAfterIt) {
  HandoffPeer sender = greeted();
  StreamPair before;
  StreamPair after;
  thread_.call([&] {
    ASSERT_GT(sender.say(Kind::hand, {1}, {before.accepted.get()}).bytes, 0u);
    acceptor_->drain();
    EXPECT_EQ(sender.say(Kind::hand, {2}, {after.accepted.get()}).error, EPIPE);
  });
  EXPECT_EQ(sender.collect(Kind::taken, 1), (std::vector<uint64_t>{1}));
  EXPECT_FALSE(HandoffPeer::connect(path()).valid());
  // The channel stays for what is still to be said.
  thread_.call([&] { acceptor_->report_ended(keeper_.kept_.at(0).origin); });
  EXPECT_EQ(sender.collect(Kind::ended, 1), (std::vector<uint64_t>{1}));
  thread_.call([&] { acceptor_->close(); });
  EXPECT_TRUE(sender.ended());
}

TEST_F(HandoffReceiver, ManyReportsLeaveInOrder) {
  HandoffPeer sender = greeted();
  StreamPair pair;
  ASSERT_GT(sender.say(Kind::hand, {1}, {pair.accepted.get()}).bytes, 0u);
  EXPECT_EQ(sender.collect(Kind::taken, 1).size(), 1u);
  constexpr uint64_t count = 100'000;
  thread_.call([&] {
    intake::HandoffOrigin origin = keeper_.kept_.at(0).origin;
    for (origin.id = 0; origin.id < count; ++origin.id) acceptor_->report_ended(origin);
  });
  const std::vector<uint64_t> ended = sender.collect(Kind::ended, count);
  ASSERT_EQ(ended.size(), count);
  for (uint64_t i = 0; i < count; ++i) ASSERT_EQ(ended[i], i);
}

// Runs `work` in a process of its own, as a user without rights; gives back its exit code.
int as_nobody(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr unsigned nobody = 65534;
    if (::setgid(nobody) != 0 || ::setuid(nobody) != 0) ::_exit(99);
    ::_exit(work());
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(HandoffReceiver, AnotherUserMayNotHandOver) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to be somebody else";
  const std::string where = path();
  ASSERT_EQ(::chmod(where.substr(0, where.rfind('/')).c_str(), 0755), 0);
  ASSERT_EQ(::chmod((where + ".handoff").c_str(), 0666), 0);
  const int code = as_nobody([&] {
    HandoffPeer sender = HandoffPeer::connect(where);
    if (!sender.valid()) return 1;
    return sender.next().has_value() ? 2 : 0;
  });
  EXPECT_EQ(code, 0);
  EXPECT_EQ(counters().denied, 1u);
}

TEST(SocketPassing, MoreUnderWayThanAUserMayHaveOpenIsNotTheEnd) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to be somebody without rights";
  const int code = as_nobody([] {
    const rlimit tight{32, 32};
    if (::setrlimit(RLIMIT_NOFILE, &tight) != 0) return 1;
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) return 2;
    const std::array<int, 1> passed{ends[0]};
    for (int count = 0; count < 200; ++count) {
      const sys::IoResult sent = sys::send_sockets(ends[0], "x", 1, passed);
      if (sent.bytes > 0) continue;
      if (sent.error != ETOOMANYREFS) return 3;
      char byte;
      std::array<sys::Fd, 1> taken;
      if (sys::receive_sockets(ends[1], &byte, 1, taken).sockets != 1) return 4;
      return sys::send_sockets(ends[0], "x", 1, passed).bytes > 0 ? 0 : 5;
    }
    return 6;
  });
  EXPECT_EQ(code, 0);
}

// Both ends of a connection that keeps packets apart.
struct PacketPair {
  PacketPair() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    here = sys::Fd(ends[0]);
    there = sys::Fd(ends[1]);
  }
  sys::Fd here;
  sys::Fd there;
};

TEST(SocketPassing, WhatThereIsRoomForComesWhole) {
  const PacketPair packets;
  StreamPair pair;
  const std::array<int, 2> passed{pair.accepted.get(), pair.client.get()};
  ASSERT_EQ(sys::send_sockets(packets.here.get(), "ab", 2, passed).bytes, 2u);
  char bytes[2];
  std::array<sys::Fd, 2> taken;
  const sys::SocketMessage got = sys::receive_sockets(packets.there.get(), bytes, 2, taken);
  EXPECT_EQ(got.io.bytes, 2u);
  EXPECT_FALSE(got.io.end);
  EXPECT_EQ(got.sockets, 2u);
  EXPECT_TRUE(taken[0].valid() && taken[1].valid());
  EXPECT_FALSE(got.truncated);
  EXPECT_FALSE(got.oversized);
}

// Closing would not: the other side may still have it, or a copy of it may be under way.
TEST(SocketPassing, AShutDownEndsWhatOthersHoldToo) {
  for (const bool both : {false, true}) {
    const PacketPair packets;
    const sys::Fd copy(::fcntl(packets.here.get(), F_DUPFD_CLOEXEC, 0));
    (both ? sys::shutdown_both : sys::shutdown_read)(packets.here.get());
    // Nothing can be said to it any more; it is heard unless both directions ended.
    EXPECT_EQ(::send(packets.there.get(), "x", 1, MSG_NOSIGNAL), -1);
    EXPECT_EQ(errno, EPIPE);
    EXPECT_EQ(::send(copy.get(), "x", 1, MSG_NOSIGNAL), both ? -1 : 1);
    char byte;
    EXPECT_EQ(::recv(packets.there.get(), &byte, 1, MSG_DONTWAIT), both ? 0 : 1);
  }
}

TEST(SocketPassing, MoreSocketsThanThereIsRoomForAreClosedAndSaid) {
  const PacketPair packets;
  StreamPair pair;
  const std::array<int, 3> passed{pair.accepted.get(), pair.accepted.get(), pair.accepted.get()};
  ASSERT_GT(sys::send_sockets(packets.here.get(), "ab", 2, passed).bytes, 0u);
  char byte;
  std::array<sys::Fd, 2> taken;
  const sys::SocketMessage got = sys::receive_sockets(packets.there.get(), &byte, 1, taken);
  EXPECT_EQ(got.sockets, 2u);
  EXPECT_TRUE(got.truncated);
  EXPECT_TRUE(got.oversized);
  pair.accepted.reset();
  taken = {};
  // No copy is left anywhere.
  char end;
  EXPECT_EQ(::recv(pair.client.get(), &end, 1, 0), 0);
}

}  // namespace
}  // namespace espora::test
