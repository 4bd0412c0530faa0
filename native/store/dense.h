// Dense segments, pure: building them, and finding a record by the index. See FORMAT.md 6.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "store/format.h"
#include "store/record.h"
#include "store/recovery.h"

namespace espora::store {

// Encodes records into dense frames, and an index of them. A frame's bytes are available as soon as
// it is full, so that a segment is never in memory as a whole.
class DenseEncoder {
 public:
  // `header`: number, epoch, first_seq, previous_frame_crc and the new file's nonce.
  explicit DenseEncoder(const format::SegmentHeader& header);

  // Adds the next record; `run_begins`: it is from another batch than the record before it.
  void put(const RecordView& record, bool run_begins);
  // Call after the last record.
  void finish();
  // Upper bound of end_block() with one more record of `extent` bytes, see record_extent().
  [[nodiscard]] uint32_t end_block_with(size_t extent) const noexcept;

  // Whole blocks that are ready to be written at block(); valid until the next call.
  [[nodiscard]] Bytes ready() const noexcept { return ready_; }
  [[nodiscard]] uint32_t block() const noexcept { return block_; }
  // The first `blocks` blocks of ready() were written.
  void taken(uint32_t blocks);

  [[nodiscard]] std::span<const format::IndexEntry> entries() const noexcept { return entries_; }
  // The block after the last frame, where the index goes. After finish().
  [[nodiscard]] uint32_t end_block() const noexcept { return next_block_; }

 private:
  void finish_run() noexcept;
  void finish_frame();

  format::SegmentHeader header_;
  uint32_t seed_;
  uint32_t frame_crc_;
  std::vector<std::byte> frame_;  // the frame being filled; empty before its first record
  size_t run_at_ = 0;             // offset of the current run's header in it, 0 for none
  format::RunHeader run_{};
  uint64_t first_seq_ = 0;
  uint32_t record_count_ = 0;
  uint64_t time_us_ = 0;
  std::vector<std::byte> ready_;
  uint32_t block_ = 1;       // of ready_
  uint32_t next_block_ = 1;  // of the next frame
  std::vector<format::IndexEntry> entries_;
};

// The index's blocks, which follow the frames of a segment with the nonce of `header`.
std::vector<std::byte> encode_index(const format::SegmentHeader& header,
                                    std::span<const format::IndexEntry> entries);

// The position of each frame of a dense segment.
class DenseIndex {
 public:
  DenseIndex() = default;
  // `bytes` is the file from dense_index_block on. Nothing unless the index is whole, free of gaps,
  // and consistent with `header`, which check_header() must have accepted.
  static std::optional<DenseIndex> decode(const format::SegmentHeader& header, Bytes bytes);

  [[nodiscard]] std::span<const format::IndexEntry> entries() const noexcept { return entries_; }
  // The frame that holds `seq`; nullptr if the segment does not hold it.
  [[nodiscard]] const format::IndexEntry* find(uint64_t seq) const noexcept;
  // The last sequence in the frame of `entry`.
  [[nodiscard]] uint64_t last_seq(const format::IndexEntry& entry) const noexcept;

  // Reads one frame by itself: `bytes` are the blocks of `entry`. False unless header, place,
  // fields, payload and padding are right; only its link to the previous frame is not checked.
  [[nodiscard]] bool frame(const format::IndexEntry& entry, Bytes bytes,
                           FrameView& frame) const noexcept;

 private:
  format::SegmentHeader header_{};
  std::vector<format::IndexEntry> entries_;
};

}  // namespace espora::store
