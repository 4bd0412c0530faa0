// Rewrites closed segments densely, one after another, each under a temporary name that finally
// replaces the segment's. A step machine, driven by Housekeeping.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "store/dense.h"
#include "store/directory.h"
#include "store/segment_stream.h"
#include "sys/status.h"

namespace espora::store {

// Belongs to the driver's thread. `directory` and `store` must outlive it.
class DenseRewriter {
 public:
  // The result of a step.
  enum class Outcome : uint8_t {
    working,
    rewritten,  // renamed, and the directory flushed
    passed,     // nothing to do for this segment
    damaged,    // the source contradicts itself or cannot be read: reported and kept
    failed,     // abandoned without harm; tried again later
    fatal,      // the directory's flush failed: it can no longer be relied upon
  };

  DenseRewriter(Directory& directory, const StoreFacts& store)
      : directory_(directory),
        store_(store),
        source_(directory, limits::housekeeping_step_bytes),
        check_(directory, limits::housekeeping_step_bytes) {}

  // The segment being rewritten, or the next one to look at.
  [[nodiscard]] uint32_t number() const noexcept { return number_; }
  // Between two segments.
  [[nodiscard]] bool idle() const noexcept { return state_ == State::look; }
  // At most one system call that changes anything, or one portion that is read. Segment number()
  // must have a durable successor.
  Outcome step();
  // Closes and removes the unfinished file.
  void abandon();

  // Of the last outcome damaged, failed or fatal.
  [[nodiscard]] const sys::Status& status() const noexcept { return status_; }
  // How much the last rewritten segment's file shrank; negative if it grew.
  [[nodiscard]] int64_t saved_bytes() const noexcept { return saved_bytes_; }

 private:
  enum class State : uint8_t {
    look,
    remove_before,
    create,
    copy,
    index,
    header,
    sync,
    reopen,
    compare,
    rename,
    sync_directory,
    remove_after,
  };

  Outcome enter(State state) noexcept;
  Outcome look();
  Outcome create();
  Outcome copy();
  Outcome write_ready();
  Outcome write_tail(State then);
  Outcome sync();
  Outcome reopen();
  Outcome compare();
  Outcome rename();
  Outcome sync_directory();
  Outcome remove();
  void put(const FrameView& frame);
  // Gives up because of the source or of the environment, depending on `status`.
  Outcome give_up_source(sys::Status status);
  Outcome give_up(sys::Status status);
  Outcome give_up(int result, const char* call);
  // Returns `outcome` only after the temporary file has been removed.
  Outcome leave(Outcome outcome, sys::Status status);
  void forget();
  [[nodiscard]] std::string name() const { return dense_temporary_name(number_); }

  Directory& directory_;
  const StoreFacts& store_;
  uint32_t number_ = 1;
  State state_ = State::look;
  bool direct_ = true;
  SegmentStream source_;
  SegmentStream check_;
  std::optional<DenseEncoder> encoder_;
  format::SegmentHeader header_{};     // of the new file
  format::SegmentHeader successor_{};  // as in its file
  bool source_ended_ = false;
  uint64_t source_digest_ = 0;
  uint64_t check_digest_ = 0;
  sys::File file_;
  BlockBuffer buffer_;
  std::vector<std::byte> tail_;  // index, then header, without what is already written
  uint64_t tail_at_ = 0;
  Outcome leaving_ = Outcome::working;
  sys::Status status_;
  int64_t saved_bytes_ = 0;
};

}  // namespace espora::store
