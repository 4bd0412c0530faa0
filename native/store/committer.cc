#include "store/committer.h"

#include <chrono>
#include <cstring>
#include <utility>

#include "store/housekeeping_thread.h"
#include "sys/check.h"

namespace espora::store {

using sys::Code;
using sys::Status;

bool whole_units(std::span<const std::byte> units) noexcept {
  uint32_t records_left = 0;
  size_t at = 0;
  while (at < units.size()) {
    SubmittedRecord header;
    if (units.size() - at < sizeof header) return false;
    std::memcpy(&header, units.data() + at, sizeof header);
    if ((records_left == 0) != (header.unit_records != 0)) return false;
    if (records_left == 0) records_left = header.unit_records;
    const size_t extent = record_extent(header.length);
    if (extent > units.size() - at) return false;
    at += extent;
    records_left -= 1;
  }
  return records_left == 0;
}

Status Committer::start() {
  auto thread = sys::start_thread("espora-commit", [this] { run(); });
  if (!thread.ok()) return thread.status();
  thread_ = std::move(thread).value();
  return {};
}

void Committer::submit(std::vector<std::byte> units) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({std::move(units)});
  }
  changed_.notify_one();
}

void Committer::flush() { submit({}); }

void Committer::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_one();
}

void Committer::stop() {
  if (!thread_.joinable()) return;
  close();
  thread_.join();
}

void Committer::wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_one();
}

void Committer::take(std::vector<Outcome>& outcomes) {
  const std::lock_guard lock(mutex_);
  told_ = false;
  outcomes.clear();
  std::swap(outcomes, outcomes_);
}

CommitterFacts Committer::facts() const {
  const std::lock_guard lock(mutex_);
  return facts_;
}

Directory Committer::take_directory() {
  const std::lock_guard lock(mutex_);
  Directory directory = std::move(directory_).value();
  directory_.reset();
  return directory;
}

void Committer::run() {
  const Status opened = open();
  if (!opened.ok()) {
    events_.on_opened(opened);
    return;
  }
  HousekeepingThread housekeeping(
      file_system_, engine_->spare_preparer(), [this] { wake(); }, &engine_->housekeeping());
  if (!housekeeping.started().ok()) {
    (void)finish();
    events_.on_opened(housekeeping.started());
    return;
  }
  events_.on_opened({});
  do {
    wait();
  } while (turn());
  housekeeping.stop();
  events_.on_closed(finish());
}

Status Committer::open() {
  auto opened = Engine::open(file_system_, options_, *this);
  if (!opened.ok()) return opened.status();
  // Otherwise readers would see an older state than they were told of before.
  if (!opened.value()->whole()) {
    Status refused = opened.value()->unsecured();
    (void)opened.value()->close();
    return refused;
  }
  auto directory = opened.value()->directory().again();
  if (!directory.ok()) {
    (void)opened.value()->close();
    return directory.status();
  }
  engine_ = std::move(opened).value();
  {
    const std::lock_guard lock(mutex_);
    directory_.emplace(std::move(directory).value());
  }
  publish();
  return {};
}

Status Committer::finish() {
  Status closed = engine_->close();
  publish();
  engine_.reset();
  return closed;
}

// Call with the lock held.
bool Committer::told_to_work() const noexcept {
  return woken_ || !queue_.empty() || (closing_ && backlog_.empty());
}

bool Committer::ready() const {
  const std::lock_guard lock(mutex_);
  return told_to_work() || engine_->maintenance_due_ns() <= file_system_.monotonic_ns();
}

void Committer::wait() {
  std::unique_lock lock(mutex_);
  const auto told = [this] { return told_to_work(); };
  const uint64_t due_ns = engine_->maintenance_due_ns();
  if (due_ns == UINT64_MAX) {
    changed_.wait(lock, told);
    return;
  }
  const uint64_t now_ns = file_system_.monotonic_ns();
  if (due_ns > now_ns) changed_.wait_for(lock, std::chrono::nanoseconds(due_ns - now_ns), told);
}

bool Committer::turn() {
  bool closing;
  {
    const std::lock_guard lock(mutex_);
    woken_ = false;
    while (!queue_.empty()) {
      backlog_.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    closing = closing_;
  }
  work_off();
  ESPORA_DEFECT(close_with_backlog) return !closing;
  return !closing || !backlog_.empty();
}

// Processes everything that waits, as far as possible; then does what is due.
void Committer::work_off() {
  delayed_ = false;
  while (!backlog_.empty() && !delayed_) {
    Work& work = backlog_.front();
    if (work.units.empty()) {
      flush_now();
      backlog_.pop_front();
    } else if (!append_unit(work)) {
      backlog_.pop_front();
    }
  }
  commit();
  // A failure poisons the engine; its refusals then report it to every caller of submit().
  if (!engine_->poisoned()) (void)engine_->maintain().ok();
  publish();
}

// Appends, refuses or delays the next unit of `work`; false after its last unit.
bool Committer::append_unit(Work& work) {
  const auto header_at = [&](size_t at) {
    SubmittedRecord header;
    ESPORA_CHECK(at + sizeof header <= work.units.size());
    std::memcpy(&header, work.units.data() + at, sizeof header);
    return header;
  };
  const uint32_t records = header_at(work.at).unit_records;
  size_t payload_bytes = 0;
  size_t end = work.at;
  for (uint32_t i = 0; i < records; i++) {
    const SubmittedRecord header = header_at(end);
    ESPORA_CHECK(header.length <= work.units.size() - end - sizeof header);
    payload_bytes += header.length;
    end += record_extent(header.length);
  }
  ESPORA_CHECK(records > 0 && end <= work.units.size());

  Status reserved = engine_->reserve(payload_bytes, records);
  if (reserved.code() == Code::overloaded || reserved.code() == Code::unavailable) {
    commit();
    reserved = engine_->reserve(payload_bytes, records);
    delayed_ = reserved.code() == Code::unavailable;
    if (delayed_) return true;
  }
  if (!reserved.ok()) {
    // Outcomes come in the order of their units: commit the units accepted before this one first.
    ESPORA_DEFECT(refuse_before_commit) {
      refuse(std::move(reserved));
      work.at = end;
      return end < work.units.size();
    }
    commit();
    refuse(std::move(reserved));
  } else {
    if (open_units_++ == 0) open_first_seq_ = engine_->last_seq() + 1;
    for (size_t at = work.at; at < end;) {
      const SubmittedRecord header = header_at(at);
      (void)engine_->append(library_record_type, 0,
                            {work.units.data() + at + sizeof header, header.length});
      at += record_extent(header.length);
    }
  }
  work.at = end;
  return end < work.units.size();
}

void Committer::commit() {
  if (open_units_ == 0) return;
  Outcome outcome;
  outcome.units = std::exchange(open_units_, 0);
  outcome.first_seq = open_first_seq_;
  outcome.time_us = engine_->batch_time_us();
  outcome.status = engine_->commit();
  // The store failed before any of this was written; but the failure may be in what it relied on.
  if (outcome.status.code() == Code::failed) {
    outcome.status = Status(Code::indeterminate, outcome.status.message());
  }
  tell(std::move(outcome));
}

void Committer::flush_now() {
  commit();
  Outcome outcome;
  outcome.status = engine_->flush();
  tell(std::move(outcome));
}

void Committer::refuse(Status status) {
  Outcome outcome;
  outcome.status = std::move(status);
  outcome.units = 1;
  tell(std::move(outcome));
}

void Committer::tell(Outcome outcome) {
  const uint64_t durable_seq = engine_->durable_seq();
  outcome.durable_seq = durable_seq;
  durable_seq_.store(durable_seq, std::memory_order_release);
  bool first;
  {
    const std::lock_guard lock(mutex_);
    Outcome* last = outcomes_.empty() ? nullptr : &outcomes_.back();
    const bool again = last != nullptr && !outcome.status.ok() && outcome.units != 0 &&
                       last->units != 0 && last->status.code() == outcome.status.code();
    if (again) {
      last->units += outcome.units;
    } else {
      outcomes_.push_back(std::move(outcome));
    }
    first = !std::exchange(told_, true);
  }
  if (first) events_.on_progress();
}

void Committer::publish() {
  const uint64_t durable_seq = engine_->durable_seq();
  const bool moved = durable_seq_.exchange(durable_seq, std::memory_order_acq_rel) != durable_seq;
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    facts_.last_seq = engine_->last_seq();
    facts_.durable_seq = durable_seq;
    facts_.appendable = engine_->appendable();
    facts_.unit_bytes_max = engine_->batch_payload_bytes_max();
    facts_.stats = engine_->stats();
    if (moved) first = !std::exchange(told_, true);
  }
  if (first) events_.on_progress();
}

}  // namespace espora::store
