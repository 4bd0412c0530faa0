// The library's driver of the engine: a thread that commits what others submit, as one batch per
// flush, and that never makes them wait. Knows no JavaScript.
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

// The type that the library's records have on disk; readers skip others.
inline constexpr uint16_t library_record_type = 1;

// In front of each submitted record; its bytes follow, padded to 8.
struct SubmittedRecord {
  uint32_t length = 0;
  // With the first record of a unit, the count of its records; 0 with the others of it.
  uint32_t unit_records = 0;
};
static_assert(sizeof(SubmittedRecord) == 8);

// Whether these bytes are whole units, each of one record or more: what submit() takes for granted.
bool whole_units(std::span<const std::byte> units) noexcept;

// What became of units, in the order in which they were submitted; of a flush where units is 0.
struct Outcome {
  sys::Status status;
  uint32_t units = 0;
  uint64_t first_seq = 0;  // of the first unit's first record; the others follow without a gap
  uint64_t time_us = 0;
  uint64_t durable_seq = 0;  // when it was known
};

struct CommitterFacts {
  uint64_t last_seq = 0;
  uint64_t durable_seq = 0;
  bool appendable = true;
  size_t unit_bytes_max = 0;  // as Engine::reservation_bytes counts
  Stats stats;
};

// All of it is called on the committer's thread.
class CommitterEvents {
 public:
  virtual void on_opened(const sys::Status& status) = 0;
  // Outcomes are there to be taken, or durable_seq() moved. Not again before the next take().
  virtual void on_progress() = 0;
  // The last call; not after a failed opening.
  virtual void on_closed(const sys::Status& status) = 0;

 protected:
  ~CommitterEvents() = default;
};

class Committer final : private RecordVisitor {
 public:
  Committer(sys::FileSystem& file_system, Options options, CommitterEvents& events)
      : file_system_(file_system), options_(std::move(options)), events_(events) {}
  // close() and join().
  ~Committer() { stop(); }
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;

  // Opens the store on a new thread; without one on_opened() is not called.
  sys::Status start();
  // Whole units, laid out as SubmittedRecord says.
  void submit(std::vector<std::byte> units);
  // Its outcome comes behind those of all units submitted before, when they are on the device.
  void flush();
  // Commits what was submitted, seals, unlocks; nothing may be submitted afterwards.
  void close();
  // Waits until the thread is gone.
  void stop();

  // ---- what the thread does, for who drives it in place of start() and stop() ----
  // open(), then turn() whenever ready() until it returns false, then finish(); all on one thread.
  // Meanwhile engine()'s spare preparer and housekeeping are to be stepped, with wake() as their
  // hook. on_opened() and on_closed() are not called.
  sys::Status open();
  // Whether there is something to do: units or a flush, a wish to close, news, or what is due.
  [[nodiscard]] bool ready() const;
  // Does all of it that can be done now. False: nothing is left, and it is to be closed.
  [[nodiscard]] bool turn();
  sys::Status finish();
  // Any thread.
  void wake();
  [[nodiscard]] Engine& engine() noexcept { return *engine_; }

  // Moves what there is into `outcomes`.
  void take(std::vector<Outcome>& outcomes);
  [[nodiscard]] uint64_t durable_seq() const noexcept {
    return durable_seq_.load(std::memory_order_acquire);
  }
  [[nodiscard]] CommitterFacts facts() const;
  // Once after on_opened(): the store's directory, wherever it is by then, for whoever reads beside
  // the committer.
  [[nodiscard]] Directory take_directory();

 private:
  // Units as they were submitted, or a flush where there are none.
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
