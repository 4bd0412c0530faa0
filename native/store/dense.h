// Dense segments, pure: building one from records, and finding a record in one by its index. See
// FORMAT.md 6.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "store/format.h"
#include "store/record.h"
#include "store/recovery.h"

namespace espora::store {

// Turns records into dense frames, and these into an index. Frames become bytes as they fill up, so
// that a segment is never whole in memory.
class DenseEncoder {
 public:
  // `header`: number, epoch, first_seq, previous_frame_crc and the new file's nonce.
  explicit DenseEncoder(const format::SegmentHeader& header);

  // The next record; `run_begins`: another batch than the one before it.
  void put(const RecordView& record, bool run_begins);
  // After the last record.
  void finish();
  // At the most, end_block() with one more record of `extent` bytes, see record_extent().
  [[nodiscard]] uint32_t end_block_with(size_t extent) const noexcept;

  // Whole blocks that are ready to be written at block(); valid until the next call of anything.
  [[nodiscard]] Bytes ready() const noexcept { return ready_; }
  [[nodiscard]] uint32_t block() const noexcept { return block_; }
  // The first `blocks` blocks of ready() were taken.
  void taken(uint32_t blocks);

  [[nodiscard]] std::span<const format::IndexEntry> entries() const noexcept { return entries_; }
  // Behind the last frame: where the index goes. After finish().
  [[nodiscard]] uint32_t end_block() const noexcept { return next_block_; }

 private:
  void finish_run() noexcept;
  void finish_frame();

  format::SegmentHeader header_;
  uint32_t seed_;
  uint32_t frame_crc_;
  std::vector<std::byte> frame_;  // the one that is being filled; empty before its first record
  size_t run_at_ = 0;             // where the current run's header lies in it, 0 for none
  format::RunHeader run_{};
  uint64_t first_seq_ = 0;
  uint32_t record_count_ = 0;
  uint64_t time_us_ = 0;
  std::vector<std::byte> ready_;
  uint32_t block_ = 1;       // of ready_
  uint32_t next_block_ = 1;  // of the next frame
  std::vector<format::IndexEntry> entries_;
};

// The index's blocks, behind the frames of a segment with the nonce of `header`.
std::vector<std::byte> encode_index(const format::SegmentHeader& header,
                                    std::span<const format::IndexEntry> entries);

// Where each frame of a dense segment is.
class DenseIndex {
 public:
  DenseIndex() = default;
  // `bytes` is the file from dense_index_block on. Nothing unless it is whole and agrees with
  // `header`, which check_header() has found possible: entries follow each other without a gap.
  static std::optional<DenseIndex> decode(const format::SegmentHeader& header, Bytes bytes);

  [[nodiscard]] std::span<const format::IndexEntry> entries() const noexcept { return entries_; }
  // The frame that holds `seq`; nullptr for one that the segment does not hold.
  [[nodiscard]] const format::IndexEntry* find(uint64_t seq) const noexcept;
  // The last record of the frame of `entry`.
  [[nodiscard]] uint64_t last_seq(const format::IndexEntry& entry) const noexcept;

  // Reads one frame by itself: `bytes` are the blocks of `entry`. False unless header, place,
  // fields, payload and padding are right; only its link to the frame before it is not looked at.
  [[nodiscard]] bool frame(const format::IndexEntry& entry, Bytes bytes,
                           FrameView& frame) const noexcept;

 private:
  format::SegmentHeader header_{};
  std::vector<format::IndexEntry> entries_;
};

}  // namespace espora::store
