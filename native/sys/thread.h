// Starts threads of the data plane: named, and with all signals blocked, so that signals always
// reach Node's main thread and never interrupt a commit's write. If the system has no room for
// another thread, the result is a Status; std::thread would throw.
#pragma once

#include <pthread.h>

#include <functional>
#include <utility>

#include "sys/status.h"

namespace espora::sys {

// A thread that must be joined or detached before destruction, or none.
class Thread {
 public:
  Thread() noexcept = default;
  ~Thread();
  Thread(Thread&& other) noexcept
      : handle_(other.handle_), joinable_(std::exchange(other.joinable_, false)) {}
  Thread& operator=(Thread&& other) noexcept;
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  [[nodiscard]] bool joinable() const noexcept { return joinable_; }
  void join();
  void detach();

 private:
  friend Result<Thread> start_thread(const char* name, std::function<void()> body);
  explicit Thread(pthread_t handle) noexcept : handle_(handle), joinable_(true) {}

  pthread_t handle_{};
  bool joinable_ = false;
};

// `name` has at most 15 bytes, prctl(2), and must stay valid. `resources` if the system has no room
// for a thread: then `body` was not called and was freed.
Result<Thread> start_thread(const char* name, std::function<void()> body);

}  // namespace espora::sys
