// How the kernel schedules a thread that serves incoming work: see sched(7).
//
// A SCHED_OTHER thread that becomes ready preempts the running one. That is right for a service
// with little to do: it answers at once. Where several services have more to do than the CPUs can
// take it is wasteful: each message that one sends preempts it in favour of the receiver, which
// then finds one thing to do where there could be ten. A SCHED_BATCH thread waits until others
// sleep or their slice is over, and then handles everything that arrived meanwhile in one go, with
// fewer switches, calls and flushes for each. But next to an unrelated process that only computes,
// it waits for no benefit. So a thread that has much to do tries SCHED_BATCH, and keeps it as long
// as it finds several things to do after each sleep.
#pragma once

#include <cstdint>

#include "sys/limits.h"

namespace espora::sys {

// The decision alone. Pure.
class BatchDecision {
 public:
  // What a thread did recently.
  struct Window {
    uint64_t units;   // of work: events, connections accepted
    uint64_t sleeps;  // voluntary waits
    uint64_t ms;
  };

  // Turns of the loop until decide() must be called again.
  [[nodiscard]] uint32_t turns() const noexcept;
  [[nodiscard]] bool batch() const noexcept { return batch_; }
  // Whether the thread should be SCHED_BATCH from now on.
  bool decide(const Window& window, uint64_t now_ms) noexcept;

 private:
  bool batch_ = false;
  bool proved_ = false;  // it has helped since it was tried
  uint64_t pause_ms_ = 0;
  uint64_t next_try_ms_ = 0;
};

// Not thread-safe: all calls on the thread that is scheduled.
class Scheduling {
 public:
  // A thread that was given another policy than SCHED_OTHER keeps it.
  void begin(uint64_t now_ms) noexcept;
  // A turn of the thread's loop ended, after this many units of work.
  void turn(uint32_t units, uint64_t now_ms) noexcept {
    if (!adapts_) return;
    units_ += units;
    if (--turns_left_ == 0 || now_ms - since_ms_ >= limits::batch_window_ms) decide(now_ms);
  }
  // Restores the policy.
  void end() noexcept;

 private:
  void decide(uint64_t now_ms) noexcept;
  void set(bool batch) noexcept;
  void begin_window(uint64_t sleeps, uint64_t now_ms) noexcept;

  BatchDecision decision_;
  bool adapts_ = false;
  uint32_t turns_left_ = 0;
  uint64_t units_ = 0;
  uint64_t sleeps_before_ = 0;
  uint64_t since_ms_ = 0;
};

}  // namespace espora::sys
