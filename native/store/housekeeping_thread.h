// The thread that prepares a store's segments alongside the thread that writes them, rewrites them
// when they are closed, and makes snapshots.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>

#include "store/housekeeping.h"
#include "store/spare_preparer.h"
#include "sys/file_system.h"
#include "sys/thread.h"

namespace espora::store {

// Runs from construction to stop() or destruction, which must come before the engine's close() and
// destruction; not at all if started() is a failure.
class HousekeepingThread {
 public:
  // Takes all hooks of `spares` and `housekeeping` (which may be null). The new thread calls
  // `on_ready` (may be empty) when a spare became ready, an attempt failed, or housekeeping failed
  // for good: it should wake the thread with delayed appends, which calls Engine::maintain().
  HousekeepingThread(sys::FileSystem& file_system, SparePreparer& spares,
                     std::function<void()> on_ready, Housekeeping* housekeeping = nullptr);
  ~HousekeepingThread() { stop(); }
  HousekeepingThread(const HousekeepingThread&) = delete;
  HousekeepingThread& operator=(const HousekeepingThread&) = delete;

  [[nodiscard]] const sys::Status& started() const noexcept { return started_; }
  // Waits for the running system call to end; idempotent.
  void stop();

 private:
  void run();
  uint64_t step();
  void let_go();
  void wake(bool stop);

  sys::FileSystem& file_system_;
  SparePreparer& spares_;
  Housekeeping* housekeeping_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
  bool stopping_ = false;
  sys::Status started_;
  sys::Thread thread_;
};

}  // namespace espora::store
