// Deadlines of one event loop: a binary heap of intrusive timers. Postponing a deadline, which
// every byte of traffic does, costs one store: the heap entry moves only when it fires early.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sys/check.h"

namespace espora::sys {

// Base or member of an object with a deadline. Not movable while armed; disarm before destruction.
class Timer {
 public:
  using Callback = void (*)(Timer& timer, void* context);

  Timer(Callback callback, void* context) noexcept : callback_(callback), context_(context) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { ESPORA_CHECK(!armed()); }

  [[nodiscard]] bool armed() const noexcept { return index_ != npos; }
  // The deadline in milliseconds of the loop's clock. Only while armed.
  [[nodiscard]] uint64_t deadline_ms() const noexcept { return deadline_ms_; }

 private:
  friend class Timers;
  static constexpr size_t npos = static_cast<size_t>(-1);

  Callback callback_;
  void* context_;
  uint64_t deadline_ms_ = 0;  // when it is due
  uint64_t queued_ms_ = 0;    // its key in the heap, never after deadline_ms_
  size_t index_ = npos;
};

// Belongs to one thread.
class Timers {
 public:
  static constexpr uint64_t never_ms = UINT64_MAX;

  ~Timers();

  void arm(Timer& timer, uint64_t deadline_ms);
  void disarm(Timer& timer) noexcept;
  // Time by which fire() must be called, possibly early; never_ms when nothing is armed.
  [[nodiscard]] uint64_t next_ms() const noexcept;
  // Disarms each timer that is due, then calls it back. A callback may arm and disarm any timer.
  void fire(uint64_t now_ms);

 private:
  void sift_up(size_t index) noexcept;
  void sift_down(size_t index) noexcept;
  void place(size_t index, Timer* timer) noexcept;

  std::vector<Timer*> heap_;
};

}  // namespace espora::sys
