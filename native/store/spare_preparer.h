// Prepares the next segment's file ahead of use: allocated, zero-filled and flushed, so that a
// flush into it later needs no metadata write. A step machine: a driver steps it, and another
// thread or the same one takes the result.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

#include "store/directory.h"
#include "sys/file_system.h"
#include "sys/status.h"

namespace espora::store {

// A file under a temporary name, filled with zeros and durable.
struct Spare {
  sys::File file;
  std::string name;
  bool direct = false;
};

// take(), failure(), hurry(), set_used(), ready() and the hooks' setters belong to the engine's
// thread, step() and discard() to the driver's; both may be the same.
class SparePreparer {
 public:
  static constexpr uint64_t never_ns = UINT64_MAX;

  // `directory` must stay open for the lifetime of this; `path` is for messages.
  SparePreparer(sys::FileSystem& file_system, int directory, std::string path,
                uint64_t segment_bytes, bool direct);

  // Hands over the spare if one is ready; the next step() may then begin the next one.
  bool take(Spare& spare);
  [[nodiscard]] bool ready() const;
  // Why the last attempt failed; ok if there was no failure since the last success. A failed
  // attempt is repeated after limits::spare_retry_ns, with a new file.
  [[nodiscard]] sys::Status failure() const;
  // An append waits: no pauses until a spare is ready.
  void hurry();
  // How much of the segment in use is filled: sets the pace.
  void set_used(uint64_t bytes) noexcept { used_bytes_.store(bytes, std::memory_order_relaxed); }

  // Set before another thread drives. step() calls `on_ready` when a spare became ready or an
  // attempt failed; take() and hurry() call `on_wanted` when step() has something to do at once.
  void set_on_ready(std::function<void()> hook) { on_ready_ = std::move(hook); }
  void set_on_wanted(std::function<void()> hook) { on_wanted_ = std::move(hook); }

  // At most one system call. Returns when to call again, of the file system's monotonic clock: 0
  // for at once, never_ns for after on_wanted.
  uint64_t step();
  // Steps without pauses until a spare is ready or an attempt failed.
  sys::Status prepare_now();
  // Removes what was prepared; for close(). Nothing is prepared afterwards.
  void discard();

 private:
  [[nodiscard]] sys::Status failure_of_call(int result, const char* call) const;

  enum class State : uint8_t { create, allocate, fill, sync, ready, remove, rest, stopped };

  uint64_t enter(State state);
  uint64_t create();
  uint64_t allocate();
  uint64_t fill();
  uint64_t sync();
  uint64_t remove();
  uint64_t rest();
  uint64_t fail(int result, const char* call);

  sys::FileSystem& file_system_;
  const int directory_;
  const std::string path_;
  const uint64_t segment_bytes_;
  const BlockBuffer zeros_;
  std::function<void()> on_ready_;
  std::function<void()> on_wanted_;

  // Only for the driver.
  bool direct_;
  Spare spare_;
  uint64_t count_ = 0;  // of files made: each attempt uses a new name
  uint64_t filled_bytes_ = 0;
  uint64_t retry_ns_ = 0;

  std::atomic<uint64_t> used_bytes_{0};

  // Shared.
  mutable std::mutex mutex_;
  State state_ = State::create;
  bool hurried_ = false;
  sys::Status failure_;
};

}  // namespace espora::store
