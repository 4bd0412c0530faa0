// The library's driver of the engine: a thread that commits what other threads submit, one batch
// per flush, and never makes them wait. It has no dependency on JavaScript.
//
//   submit() ──▶ queue ──▶ reserve, append, commit, …  ──▶ outcomes ──▶ take()
//   any thread              the committer's thread            after on_progress()
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/engine.h"
#include "sys/file_system.h"
#include "sys/status.h"
#include "sys/thread.h"

namespace espora::store {

// The type of the library's records on disk; readers skip others.
inline constexpr uint16_t library_record_type = 1;

// In front of each submitted record; its bytes follow, padded to 8.
struct SubmittedRecord {
  uint32_t length = 0;
  // In the first record of a unit, the number of its records; 0 in the others.
  uint32_t unit_records = 0;
};
static_assert(sizeof(SubmittedRecord) == 8);

// Whether `units` are complete units of one record or more each, as submit() requires.
bool whole_units(std::span<const std::byte> units) noexcept;

// The result of units, in the order in which they were submitted; of a flush if units is 0.
struct Outcome {
  sys::Status status;
  uint32_t units = 0;
  uint64_t first_seq = 0;  // of the first unit's first record; the others follow without a gap
  uint64_t time_us = 0;
  uint64_t durable_seq = 0;  // at the time of this outcome
};

struct CommitterFacts {
  uint64_t last_seq = 0;
  uint64_t durable_seq = 0;
  bool appendable = true;
  size_t unit_bytes_max = 0;  // in terms of Engine::reservation_bytes
  Stats stats;
};

// All of it is called on the committer's thread.
class CommitterEvents {
 public:
  virtual void on_opened(const sys::Status& status) = 0;
  // Outcomes can be taken, or durable_seq() moved. Called only once between two calls of take().
  virtual void on_progress() = 0;
  // The last call; not made after a failed opening.
  virtual void on_closed(const sys::Status& status) = 0;

 protected:
  ~CommitterEvents() = default;
};

class Committer final : private RecordVisitor {
 public:
  Committer(sys::FileSystem& file_system, Options options, CommitterEvents& events)
      : file_system_(file_system), options_(std::move(options)), events_(events) {}
  ~Committer() { stop(); }
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;

  // Opens the store on a new thread; if none can be started, on_opened() is not called.
  sys::Status start();
  // Whole units, in the layout of SubmittedRecord.
  void submit(std::vector<std::byte> units);
  // Its outcome follows those of all units submitted before, once they are on the device.
  void flush();
  // Commits what was submitted, seals and unlocks; nothing may be submitted afterwards.
  void close();
  // Waits until the thread has ended.
  void stop();

  // ---- what the thread does, for a driver that replaces start() and stop() ----
  // Call open(), then turn() whenever ready() until it returns false, then finish(); all on one
  // thread. Meanwhile engine()'s spare preparer and housekeeping must be stepped, with wake() as
  // their hook. on_opened() and on_closed() are not called.
  sys::Status open();
  // Whether there is work: units, a flush, a request to close, a wake-up, or something due.
  [[nodiscard]] bool ready() const;
  // Does everything that can be done now. False: nothing is left, and it must be closed.
  [[nodiscard]] bool turn();
  sys::Status finish();
  // Any thread.
  void wake();
  [[nodiscard]] Engine& engine() noexcept { return *engine_; }

  // Moves all available outcomes into `outcomes`.
  void take(std::vector<Outcome>& outcomes);
  [[nodiscard]] uint64_t durable_seq() const noexcept {
    return durable_seq_.load(std::memory_order_acquire);
  }
  [[nodiscard]] CommitterFacts facts() const;
  // Once after on_opened(): the store's directory, even if moved, to read from meanwhile.
  [[nodiscard]] Directory take_directory();

 private:
  // Units as submitted, or a flush if there are none.
  struct Work {
    std::vector<std::byte> units;
    size_t at = 0;
  };

  History history() const override { return History::tail; }
  sys::Status record(const RecordView&) override { return {}; }

  void run();
  void wait();
  [[nodiscard]] bool told_to_work() const noexcept;
  void work_off();
  bool append_unit(Work& work);
  void commit();
  void flush_now();
  void refuse(sys::Status status);
  void tell(Outcome outcome);
  void publish();

  sys::FileSystem& file_system_;
  const Options options_;
  CommitterEvents& events_;
  sys::Thread thread_;

  // ---- the committer's thread ----
  std::unique_ptr<Engine> engine_;
  std::deque<Work> backlog_;
  uint32_t open_units_ = 0;
  uint64_t open_first_seq_ = 0;
  bool delayed_ = false;  // the first unit of the backlog waits for a segment

  // ---- handed over ----
  std::atomic<uint64_t> durable_seq_{0};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> queue_;
  bool woken_ = false;
  bool closing_ = false;
  bool told_ = false;  // on_progress() was called since the last take()
  std::vector<Outcome> outcomes_;
  CommitterFacts facts_;
  std::optional<Directory> directory_;
};

}  // namespace espora::store
