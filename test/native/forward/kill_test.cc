// An upstream that is killed with -9 under load, and comes back: only what was under way on it
// fails.
#include <signal.h>
#include <sys/wait.h>

#include <map>

#include "forward/rig.h"

namespace espora::forward {
namespace {

// A process that answers one byte with one byte, on as many connections as there are, one after the
// other. Made by fork(2), so it makes system calls and nothing else.
class AnsweringProcess {
 public:
  AnsweringProcess(const std::string& path, char answer) : path_(path), answer_(answer) { start(); }
  ~AnsweringProcess() { kill(); }
  void start() {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strcpy(at.sun_path, path_.c_str());
    const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
    ::unlink(at.sun_path);
    if (::bind(listener, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) std::abort();
    if (::listen(listener, 4096) != 0) std::abort();
    process_ = ::fork();
    if (process_ == 0) {
      // Nobody else's connections may live on in it.
      const auto own = static_cast<unsigned>(listener);
      if (own > 3) ::close_range(3, own - 1, 0);
      ::close_range(own + 1, ~0u, 0);
      for (;;) {
        const int peer = ::accept(listener, nullptr, nullptr);
        char byte;
        if (peer >= 0 && ::recv(peer, &byte, 1, 0) == 1) ::send(peer, &answer_, 1, MSG_NOSIGNAL);
        ::close(peer);
      }
    }
    ::close(listener);
  }
  void kill() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    process_ = 0;
  }

 private:
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

TEST(Kill, OnlyWhatWasUnderWayOnItFailsAndItIsUsedAgain) {
  constexpr int clients = 8;
  TemporaryFolder folder;
  AnsweringProcess a(folder.file("a"), 'a');
  AnsweringProcess b(folder.file("b"), 'b');
  ForwarderOptions options =
      options_for(folder, {unix_address(folder.file("a")), unix_address(folder.file("b"))});
  options.health.eject_after = 3;
  Rig rig(std::move(options));
  Load load(rig, clients);
  const auto more = [&](char by, uint64_t count) {
    const uint64_t before = load.answered(by);
    return eventually([&] { return load.answered(by) >= before + count; });
  };
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(more('a', 1'000));
    ASSERT_TRUE(more('b', 1'000));
    const uint64_t failed_before = load.failed();
    a.kill();
    ASSERT_TRUE(more('b', 1'000));  // whatever was under way has failed by now
    const uint64_t failed_by_kill = load.failed() - failed_before;
    EXPECT_LE(failed_by_kill, static_cast<uint64_t>(clients));
    ASSERT_TRUE(more('b', 3'000));
    EXPECT_EQ(load.failed() - failed_before, failed_by_kill) << "none after that";
    const ForwarderStats stats = rig->stats();
    EXPECT_EQ(stats.ended_unreachable, 0u);
    EXPECT_EQ(stats.upstreams[1].ejections, 0u);
    a.start();
    ASSERT_TRUE(more('a', 100)) << "back, and not used";
    EXPECT_EQ(load.failed() - failed_before, failed_by_kill);
  }
}

}  // namespace
}  // namespace espora::forward
