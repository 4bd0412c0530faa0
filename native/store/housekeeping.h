// Keeps a store's space and opening time bounded as its history grows: rewrites closed segments
// densely, and makes snapshots of the state at their end. Works alongside the engine, on closed
// segments only, without delaying it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "store/dense_rewriter.h"
#include "store/directory.h"
#include "store/snapshot.h"
#include "store/snapshot_maker.h"
#include "sys/file_system.h"
#include "sys/status.h"

namespace espora::store {

struct HousekeepingStats {
  uint64_t segments_rewritten = 0;
  int64_t saved_bytes = 0;         // by rewriting
  uint64_t rewrite_failures = 0;   // abandoned, tried again later
  uint64_t segments_damaged = 0;   // found damaged, and kept
  uint64_t snapshots = 0;          // made
  uint64_t snapshot_failures = 0;  // abandoned, tried again later
  uint32_t snapshot_segment = 0;   // the last one that a snapshot covers
};

// closed(), stop(), failed(), failure() and stats() are for the engine's thread (the last three for
// any), step() and discard() for the driver's; both may be the same.
class Housekeeping {
 public:
  static constexpr uint64_t never_ns = UINT64_MAX;

  struct Plan {
    bool rewrite = true;
    std::unique_ptr<SnapshotState> state;  // null: no snapshots
    std::unique_ptr<Snapshot> newest;      // the one that the store was opened from; null for none
    std::vector<uint64_t> snapshots;       // that exist, ascending
  };

  // Does nothing before closed(). `directory` must stay open for the lifetime of this.
  Housekeeping(sys::FileSystem& file_system, int directory, std::string path, StoreFacts store,
               Plan plan);

  // Segment `current` is durable: all before it are closed. `direct`: whether it takes O_DIRECT.
  void closed(uint32_t current, bool direct);
  // The store is poisoned: nothing more is done from the next step on.
  void stop() noexcept { stopped_.store(true, std::memory_order_release); }
  // A flush of the directory failed: what relied on it is void, and the store is poisoned.
  [[nodiscard]] bool failed() const noexcept { return failed_.load(std::memory_order_acquire); }
  [[nodiscard]] sys::Status failure() const;
  [[nodiscard]] HousekeepingStats stats() const;
  // The newest failure of any kind, as text; empty for none.
  [[nodiscard]] std::string last_failure() const;

  // Set before another thread drives. closed() calls `on_wanted`; step() calls `on_news` when
  // something was rewritten, made or given up: stats() has changed, and failed() may have.
  void set_on_wanted(std::function<void()> hook) { on_wanted_ = std::move(hook); }
  void set_on_news(std::function<void()> hook) { on_news_ = std::move(hook); }

  // At most one system call that changes anything, or one portion that is read. Returns when to
  // call again, of the file system's monotonic clock: 0 for at once, never_ns for after on_wanted.
  uint64_t step();
  // Removes unfinished files; for close(). Nothing is done afterwards.
  void discard();

 private:
  enum class Chore : uint8_t { none, rewrite, snapshot };

  [[nodiscard]] Chore choose(uint32_t closed, uint64_t now_ns) const noexcept;
  sys::Status begin();
  // When to continue, with this many segments to do.
  [[nodiscard]] uint64_t resume_ns(uint32_t backlog) const noexcept;
  uint64_t step_rewriter(uint32_t closed);
  uint64_t step_maker(uint32_t closed);
  uint64_t fail(uint64_t& retry_ns, uint64_t HousekeepingStats::*counter,
                const sys::Status& status);
  // Changes the shared statistics, and reports that.
  void note(const std::function<void(HousekeepingStats&)>& change);
  uint64_t fail_for_good(const sys::Status& status);
  [[nodiscard]] uint64_t due_ns(uint32_t closed, uint64_t now_ns) const noexcept;

  sys::FileSystem& file_system_;
  const int engine_directory_;
  const std::string path_;
  const StoreFacts store_;
  std::function<void()> on_wanted_;
  std::function<void()> on_news_;
  std::atomic<bool> stopped_{false};
  std::atomic<bool> failed_{false};

  // ---- the driver's ----
  Plan plan_;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<DenseRewriter> rewriter_;
  std::unique_ptr<SnapshotMaker> maker_;
  Chore chore_ = Chore::none;
  uint64_t retry_rewrite_ns_ = 0;
  uint64_t retry_snapshot_ns_ = 0;

  // ---- handed over ----
  mutable std::mutex mutex_;
  uint32_t current_ = 0;  // 0: none yet
  bool direct_ = false;
  sys::Status failure_;
  HousekeepingStats stats_;
  std::string last_failure_;
};

}  // namespace espora::store
