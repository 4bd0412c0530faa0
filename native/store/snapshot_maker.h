// Makes snapshots: replays closed segments on top of the newest one, and publishes the result. A
// step machine, driven by Housekeeping.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "store/directory.h"
#include "store/segment_stream.h"
#include "store/snapshot.h"
#include "sys/status.h"

namespace espora::store {

// Belongs to the driver's thread. `directory` and `store` must outlive it.
class SnapshotMaker {
 public:
  enum class Outcome : uint8_t {
    working,
    made,     // renamed, and the directory flushed
    passed,   // nothing is left to do
    damaged,  // a segment or its records contradict themselves: no more snapshots
    failed,   // abandoned without harm; tried again later
    fatal,    // the directory's flush failed: it can no longer be relied upon
  };

  // `newest` (may be null) is the one that the store was opened from; `published` all existing
  // ones, ascending. `state` is empty.
  SnapshotMaker(Directory& directory, const StoreFacts& store, std::unique_ptr<SnapshotState> state,
                std::unique_ptr<Snapshot> newest, std::vector<uint64_t> published);

  // How many closed segments, up to number `closed`, the newest snapshot does not cover yet.
  [[nodiscard]] uint32_t backlog(uint32_t closed) const noexcept;
  [[nodiscard]] uint32_t published_segment() const noexcept { return published_segment_; }
  [[nodiscard]] bool idle() const noexcept { return state_ == State::choose; }
  // False once a segment was damaged: every later state would be wrong.
  [[nodiscard]] bool usable() const noexcept { return usable_; }
  // At most one system call that changes anything, or one portion that is read.
  Outcome step(uint32_t closed);
  void abandon();

  [[nodiscard]] const sys::Status& status() const noexcept { return status_; }

 private:
  enum class State : uint8_t {
    choose,
    replay,
    remove_before,
    create,
    write,
    sync,
    compare,
    rename,
    sync_directory,
    remove_after,
    prune,
  };

  Outcome enter(State state) noexcept;
  Outcome choose(uint32_t closed);
  Outcome replay();
  Outcome remove();
  Outcome create();
  Outcome write();
  Outcome sync();
  Outcome compare();
  Outcome rename();
  Outcome sync_directory();
  Outcome prune();
  Outcome give_up(sys::Status status);
  Outcome give_up(int result, const char* call);
  Outcome damaged(sys::Status status);
  [[nodiscard]] std::string name() const { return snapshot_temporary_name(header_.seq); }

  Directory& directory_;
  const StoreFacts& store_;
  std::unique_ptr<SnapshotState> made_of_;
  std::unique_ptr<Snapshot> newest_;  // until it is restored
  std::vector<uint64_t> published_;
  State state_ = State::choose;
  bool usable_ = true;
  bool direct_ = true;
  SegmentStream source_;
  uint32_t replayed_ = 0;            // the last segment that made_of_ contains
  uint32_t published_segment_ = 0;   // the last one that a snapshot covers
  format::SnapshotHeader header_{};  // of the current state
  sys::File file_;
  std::vector<std::byte> bytes_;  // of the file being made
  BlockBuffer buffer_;
  size_t written_ = 0;
  sys::Status status_;
};

}  // namespace espora::store
