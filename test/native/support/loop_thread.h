// An event loop on a thread of its own, and how a test talks to it.
#pragma once

#include <chrono>
#include <functional>
#include <thread>
#include <utility>

#include "support/call_on.h"
#include "sys/check.h"
#include "sys/event_loop.h"
#include "sys/thread.h"

namespace espora::test {

// How long a test waits for what must happen before it counts as never happening. Nothing is
// measured with it.
inline constexpr std::chrono::seconds patience{60};

// Waits until `condition` holds; false when it never did.
inline bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (int round = 0; !condition(); ++round) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    if (round < 200) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }
  return true;
}

// Declare it before whatever lives on the loop, and stop() before that is destroyed.
class LoopThread {
 public:
  LoopThread() { ESPORA_CHECK(loop_.init().ok()); }
  ~LoopThread() { stop(); }

  sys::EventLoop& loop() noexcept { return loop_; }

  void start() {
    thread_ = sys::start_thread("loop", [this] { loop_.run(); }).value();
  }

  void stop() {
    if (!thread_.joinable()) return;
    loop_.stop();
    thread_.join();
  }

  // Runs `work` on the loop's thread and gives back what it returns.
  template <typename Work>
  auto call(Work work) {
    return call_on(loop_, work);
  }

  // Everything that was posted or ready before this has been served when it returns.
  void settle() {
    for (int turn = 0; turn < 3; ++turn) call([] {});
  }

 private:
  sys::EventLoop loop_;
  sys::Thread thread_;
};

}  // namespace espora::test
