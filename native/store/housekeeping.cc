#include "store/housekeeping.h"

#include <algorithm>
#include <utility>

#include "sys/check.h"
#include "sys/limits.h"

namespace espora::store {

using sys::Status;

Housekeeping::Housekeeping(sys::FileSystem& file_system, int directory, std::string path,
                           StoreFacts store, Plan plan)
    : file_system_(file_system),
      engine_directory_(directory),
      path_(std::move(path)),
      store_(std::move(store)),
      plan_(std::move(plan)) {}

// ---- the engine's side ------------------------------------------------------------------------

void Housekeeping::closed(uint32_t current, bool direct) {
  {
    const std::lock_guard lock(mutex_);
    current_ = current;
    direct_ = direct;
  }
  if (on_wanted_) on_wanted_();
}

Status Housekeeping::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

HousekeepingStats Housekeeping::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

std::string Housekeeping::last_failure() const {
  const std::lock_guard lock(mutex_);
  return last_failure_;
}

// ---- the driver's side ------------------------------------------------------------------------

uint64_t Housekeeping::step() {
  if (stopped_.load(std::memory_order_acquire) || failed()) return never_ns;
  uint32_t closed = 0;
  {
    const std::lock_guard lock(mutex_);
    if (current_ <= 1) return never_ns;
    closed = current_ - 1;
  }
  const uint64_t now_ns = file_system_.monotonic_ns();
  if (directory_ == nullptr) {
    if (now_ns < retry_rewrite_ns_) return retry_rewrite_ns_;
    if (Status begun = begin(); !begun.ok()) {
      return fail(retry_rewrite_ns_, &HousekeepingStats::rewrite_failures, begun);
    }
    return 0;
  }
  if (chore_ == Chore::none) chore_ = choose(closed, now_ns);
  switch (chore_) {
    case Chore::rewrite:
      return step_rewriter(closed);
    case Chore::snapshot:
      return step_maker(closed);
    case Chore::none:
      break;
  }
  return due_ns(closed, now_ns);
}

Status Housekeeping::begin() {
  sys::File handle(file_system_, file_system_.open(engine_directory_, ".", {.directory = true}));
  if (!handle.valid()) return Status::from_errno(-handle.get(), "open", path_);
  bool direct = false;
  {
    const std::lock_guard lock(mutex_);
    direct = direct_;
  }
  directory_ = std::make_unique<Directory>(file_system_, std::move(handle), path_, direct);
  if (plan_.rewrite) rewriter_ = std::make_unique<DenseRewriter>(*directory_, store_);
  if (plan_.state != nullptr) {
    maker_ = std::make_unique<SnapshotMaker>(*directory_, store_, std::move(plan_.state),
                                             std::move(plan_.newest), std::move(plan_.snapshots));
    const std::lock_guard lock(mutex_);
    stats_.snapshot_segment = maker_->published_segment();
  }
  return {};
}

// A segment is rewritten before its records go into the snapshot, because they are then read from
// the smaller file; unless rewriting is behind, or pauses after a failure.
Housekeeping::Chore Housekeeping::choose(uint32_t closed, uint64_t now_ns) const noexcept {
  const bool rewrite =
      rewriter_ != nullptr && rewriter_->number() <= closed && now_ns >= retry_rewrite_ns_;
  const bool snapshot = maker_ != nullptr && maker_->usable() && maker_->backlog(closed) != 0 &&
                        now_ns >= retry_snapshot_ns_;
  if (snapshot && (!rewrite || maker_->backlog(closed) >= limits::housekeeping_backlog_max)) {
    return Chore::snapshot;
  }
  return rewrite ? Chore::rewrite : Chore::none;
}

uint64_t Housekeeping::due_ns(uint32_t closed, uint64_t now_ns) const noexcept {
  uint64_t due = never_ns;
  if (rewriter_ != nullptr && rewriter_->number() <= closed && now_ns < retry_rewrite_ns_) {
    due = retry_rewrite_ns_;
  }
  if (maker_ != nullptr && maker_->usable() && maker_->backlog(closed) != 0 &&
      now_ns < retry_snapshot_ns_) {
    due = std::min(due, retry_snapshot_ns_);
  }
  return due;
}

void Housekeeping::note(const std::function<void(HousekeepingStats&)>& change) {
  {
    const std::lock_guard lock(mutex_);
    change(stats_);
  }
  if (on_news_) on_news_();
}

uint64_t Housekeeping::step_rewriter(uint32_t closed) {
  const DenseRewriter::Outcome outcome = rewriter_->step();
  if (rewriter_->idle()) chore_ = Chore::none;
  switch (outcome) {
    case DenseRewriter::Outcome::working:
    case DenseRewriter::Outcome::passed:
      break;
    case DenseRewriter::Outcome::rewritten:
      note([this](HousekeepingStats& stats) {
        stats.segments_rewritten++;
        stats.saved_bytes += rewriter_->saved_bytes();
      });
      break;
    case DenseRewriter::Outcome::damaged:
      note([this](HousekeepingStats& stats) {
        stats.segments_damaged++;
        last_failure_ = rewriter_->status().message();
      });
      break;
    case DenseRewriter::Outcome::failed:
      return fail(retry_rewrite_ns_, &HousekeepingStats::rewrite_failures, rewriter_->status());
    case DenseRewriter::Outcome::fatal:
      return fail_for_good(rewriter_->status());
  }
  uint32_t backlog = rewriter_->number() <= closed ? closed - rewriter_->number() + 1 : 0;
  if (maker_ != nullptr && maker_->usable()) backlog = std::max(backlog, maker_->backlog(closed));
  return resume_ns(backlog);
}

uint64_t Housekeeping::step_maker(uint32_t closed) {
  const SnapshotMaker::Outcome outcome = maker_->step(closed);
  if (maker_->idle()) chore_ = Chore::none;
  switch (outcome) {
    case SnapshotMaker::Outcome::working:
    case SnapshotMaker::Outcome::passed:
      break;
    case SnapshotMaker::Outcome::made:
      note([this](HousekeepingStats& stats) {
        stats.snapshots++;
        stats.snapshot_segment = maker_->published_segment();
      });
      break;
    case SnapshotMaker::Outcome::damaged:
      note([this](HousekeepingStats& stats) {
        stats.snapshot_failures++;
        last_failure_ = maker_->status().message();
      });
      break;
    case SnapshotMaker::Outcome::failed:
      return fail(retry_snapshot_ns_, &HousekeepingStats::snapshot_failures, maker_->status());
    case SnapshotMaker::Outcome::fatal:
      return fail_for_good(maker_->status());
  }
  return resume_ns(maker_->backlog(closed));
}

// The full pause while one segment is due, a quarter of it for each further one: segments must not
// pile up if they are written faster than this can follow.
uint64_t Housekeeping::resume_ns(uint32_t backlog) const noexcept {
  if (backlog > limits::housekeeping_backlog_max) return 0;
  const uint32_t further = backlog == 0 ? 0 : backlog - 1;
  return file_system_.monotonic_ns() + (limits::housekeeping_pause_ns >> (2 * further));
}

uint64_t Housekeeping::fail(uint64_t& retry_ns, uint64_t HousekeepingStats::*counter,
                            const Status& status) {
  retry_ns = file_system_.monotonic_ns() + limits::housekeeping_retry_ns;
  note([&](HousekeepingStats& stats) {
    stats.*counter += 1;
    last_failure_ = status.message();
  });
  return 0;
}

uint64_t Housekeeping::fail_for_good(const Status& status) {
  {
    const std::lock_guard lock(mutex_);
    failure_ = status;
    last_failure_ = status.message();
  }
  failed_.store(true, std::memory_order_release);
  if (on_news_) on_news_();
  return never_ns;
}

// Files that cannot be removed are removed when the store is opened next.
void Housekeeping::discard() {
  const bool poisoned = stopped_.exchange(true, std::memory_order_acq_rel) || failed();
  if (!poisoned && rewriter_ != nullptr) rewriter_->abandon();
  if (!poisoned && maker_ != nullptr) maker_->abandon();
  rewriter_.reset();
  maker_.reset();
  directory_.reset();
}

}  // namespace espora::store
