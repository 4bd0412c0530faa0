// An upstream that is killed with -9 under load, and comes back: only what was under way on it
// fails.
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <span>
#include <string_view>

#include "forward/rig.h"
#include "intake/handoff_protocol.h"
#include "sys/limits.h"
#include "sys/socket_passing.h"

namespace espora::forward {
namespace {

// A process that answers one byte with one byte, on as many connections as there are, one after the
// other: it accepts them itself, or takes those that are handed over. Made by fork(2), so it makes
// system calls and nothing else.
class AnsweringProcess {
 public:
  AnsweringProcess(ForwardMode mode, const std::string& path, char answer)
      : mode_(mode), path_(path), answer_(answer) {
    start();
  }
  ~AnsweringProcess() { kill(); }
  void start() {
    const int streams = listen(path_, SOCK_STREAM);
    const int channels =
        mode_ == ForwardMode::handoff
            ? listen(path_ + std::string(intake::handoff::path_suffix), SOCK_SEQPACKET)
            : -1;
    process_ = ::fork();
    if (process_ == 0) {
      // Nobody else's connections may live on in it.
      close_all_but(streams, channels);
      for (;;) {
        const int peer = ::accept(channels >= 0 ? channels : streams, nullptr, nullptr);
        if (peer >= 0) channels >= 0 ? take_from(peer) : answer_to(peer);
        ::close(peer);
      }
    }
    ::close(streams);
    ::close(channels);
  }
  void kill() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    process_ = 0;
  }

 private:
  static int listen(const std::string& path, int type) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strcpy(at.sun_path, path.c_str());
    const int listener = ::socket(AF_UNIX, type, 0);
    ::unlink(at.sun_path);
    if (::bind(listener, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) std::abort();
    if (::listen(listener, 4096) != 0) std::abort();
    return listener;
  }
  static void close_all_but(int one, int other) {
    unsigned first = 3;
    for (const int kept : {std::min(one, other), std::max(one, other)}) {
      if (kept < 0) continue;
      const auto fd = static_cast<unsigned>(kept);
      if (first < fd) ::close_range(first, fd - 1, 0);
      first = fd + 1;
    }
    ::close_range(first, ~0u, 0);
  }
  static bool wait_for(int fd, short events) {
    pollfd poller{fd, events, 0};
    return ::poll(&poller, 1, patience_ms) > 0;
  }
  void answer_to(int peer) const {
    char byte;
    if (wait_for(peer, POLLIN) && ::recv(peer, &byte, 1, 0) == 1) {
      ::send(peer, &answer_, 1, MSG_NOSIGNAL);
    }
  }
  static bool say(int channel, const intake::handoff::Packet& packet) {
    for (;;) {
      const sys::IoResult said = sys::send_sockets(channel, packet.data(), packet.size(), {});
      if (said.bytes != 0) return true;
      if (!said.again || !wait_for(channel, POLLOUT)) return false;
    }
  }
  // Until the sender ends the channel.
  void take_from(int channel) const {
    using intake::handoff::Kind;
    if (!say(channel, intake::handoff::Packet(Kind::hello, {}))) return;
    for (;;) {
      std::array<char, intake::handoff::packet_bytes_max> bytes;
      std::array<sys::Fd, limits::handoff_sockets_max> sockets;
      const sys::SocketMessage got =
          sys::receive_sockets(channel, bytes.data(), bytes.size(), sockets);
      if (got.io.again) {
        wait_for(channel, POLLIN);
        continue;
      }
      if (got.io.bytes == 0) return;
      std::string_view packet(bytes.data(), got.io.bytes);
      const auto hand = intake::handoff::take_message(packet);
      if (!hand.has_value() || hand->kind != Kind::hand || hand->count != got.sockets) return;
      std::array<uint64_t, limits::handoff_sockets_max> ids;
      for (size_t i = 0; i < hand->count; ++i) ids[i] = hand->id(i);
      const auto came = std::span(ids).first(hand->count);
      if (!say(channel, intake::handoff::Packet(Kind::taken, came))) return;
      for (size_t i = 0; i < hand->count; ++i) {
        answer_to(sockets[i].get());
        sockets[i].reset();
      }
      if (!say(channel, intake::handoff::Packet(Kind::ended, came))) return;
    }
  }

  ForwardMode mode_;
  std::string path_;
  char answer_;
  pid_t process_ = 0;
};

// Clients that ask all the time, one connection for each question.
class Load {
 public:
  Load(Rig& rig, int clients) : rig_(rig) {
    for (int i = 0; i < clients; ++i) threads_.emplace_back([this] { run(); });
  }
  ~Load() {
    over_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  [[nodiscard]] uint64_t answered(char by) const { return by == 'a' ? a_ : b_; }
  [[nodiscard]] uint64_t failed() const { return failed_; }

 private:
  void run() {
    while (!over_) {
      Peer client = Peer::make(Kind::tcp);
      std::string answer;
      if (client.connect_to(rig_.address(Kind::tcp)) == 0 && client.send_text("?")) {
        answer = Peer(::dup(client.fd())).receive(1);
      }
      if (answer == "a") {
        ++a_;
      } else if (answer == "b") {
        ++b_;
      } else {
        ++failed_;
      }
    }
  }
  Rig& rig_;
  std::atomic<bool> over_{false};
  std::atomic<uint64_t> a_{0};
  std::atomic<uint64_t> b_{0};
  std::atomic<uint64_t> failed_{0};
  std::vector<std::thread> threads_;
};

class Kill : public testing::TestWithParam<ForwardMode> {};
INSTANTIATE_TEST_SUITE_P(Modes, Kill, testing::Values(ForwardMode::relay, ForwardMode::handoff),
                         [](const auto& tested) {
                           return tested.param == ForwardMode::relay ? "Relay" : "Handoff";
                         });

TEST_P(Kill, OnlyWhatWasUnderWayOnItFailsAndItIsUsedAgain) {
  constexpr int clients = 8;
  TemporaryFolder folder;
  AnsweringProcess a(GetParam(), folder.file("a"), 'a');
  AnsweringProcess b(GetParam(), folder.file("b"), 'b');
  ForwarderOptions options =
      options_for(folder, {unix_address(folder.file("a")), unix_address(folder.file("b"))});
  options.mode = GetParam();
  // More than fail with it, so that it is ejected for taking no connections. Then only a look at it
  // brings it back, of which there are several in each second.
  options.health.eject_after = clients + 1;
  options.health.eject_time_ms = options.health.eject_time_max_ms = 3'600'000;
  static_assert(2 * limits::recheck_ms <= 1'000);
  Rig rig(std::move(options));
  Load load(rig, clients);
  const auto more = [&](char by, uint64_t count) {
    const uint64_t before = load.answered(by);
    return eventually([&] { return load.answered(by) >= before + count; });
  };
  for (uint64_t round = 0; round < 3; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    const uint64_t answered_before = load.answered('a') + load.answered('b');
    ASSERT_TRUE(more('a', 1'000));
    ASSERT_TRUE(more('b', 1'000));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    const uint64_t answered = load.answered('a') + load.answered('b') - answered_before;
    std::printf("killed in the middle of %.0f requests/s\n",
                static_cast<double>(answered) / took.count());
    const uint64_t failed_before = load.failed();
    a.kill();
    ASSERT_TRUE(more('b', 1'000));  // whatever was under way has failed by now
    const uint64_t failed_by_kill = load.failed() - failed_before;
    EXPECT_LE(failed_by_kill, static_cast<uint64_t>(clients));
    ASSERT_TRUE(more('b', 3'000));
    EXPECT_EQ(load.failed() - failed_before, failed_by_kill) << "none after that";
    const ForwarderStats stats = rig->stats();
    EXPECT_EQ(stats.ended_unreachable, 0u);
    EXPECT_EQ(stats.upstreams[0].ejections, round + 1);
    EXPECT_EQ(stats.upstreams[1].ejections, 0u);
    a.start();
    ASSERT_TRUE(more('a', 100)) << "back, and not used";
    EXPECT_EQ(load.failed() - failed_before, failed_by_kill);
  }
}

}  // namespace
}  // namespace espora::forward
