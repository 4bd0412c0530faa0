// Records as stored in a batch's payload, and as callers see them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "store/format.h"

namespace espora::store {

// Replaces a record that repair had to give up, so that sequences keep their meaning.
inline constexpr uint16_t lost_record_type = 0xffff;

struct RecordView {
  uint64_t seq = 0;      // 1, 2, 3, … without gaps
  uint64_t time_us = 0;  // of its batch, since 1970, never decreasing
  uint16_t type = 0;
  uint16_t flags = 0;
  Bytes bytes;  // valid as long as the bytes they were read from
};

// Writes header and zero padding at `at`, which has record_extent(size) bytes; returns the place
// for the record's `size` bytes.
inline std::byte* put_record(std::byte* at, uint16_t type, uint16_t flags, size_t size) noexcept {
  const format::RecordHeader header{static_cast<uint32_t>(size), type, flags};
  const uint64_t zero = 0;
  // The padding is within the last eight bytes; the record's own bytes are written afterwards.
  if (size != 0) std::memcpy(at + record_extent(size) - sizeof zero, &zero, sizeof zero);
  std::memcpy(at, &header, sizeof header);
  return at + sizeof header;
}

// Walks a frame's payload, including a dense frame's runs.
class RecordCursor {
 public:
  RecordCursor(const format::FrameHeader& frame, Bytes payload) noexcept
      : payload_(payload),
        seq_(frame.first_seq),
        time_us_(frame.time_us),
        dense_(frame.type == static_cast<uint16_t>(format::FrameType::dense)) {}

  // False at the end, and if the next record does not fit: then damaged().
  bool next(RecordView& record) noexcept {
    if (dense_ && run_records_ == 0 && !next_run()) return false;
    if (payload_.empty()) return false;
    format::RecordHeader header;
    damaged_ = payload_.size() < sizeof header;
    if (damaged_) return false;
    std::memcpy(&header, payload_.data(), sizeof header);
    const size_t extent = record_extent(header.length);
    damaged_ = payload_.size() < extent || (dense_ && !take_of_run(extent));
    if (damaged_) return false;
    record = {seq_++, time_us_, header.type, header.flags,
              payload_.subspan(sizeof header, header.length)};
    payload_ = payload_.subspan(extent);
    return true;
  }

  [[nodiscard]] bool damaged() const noexcept { return damaged_; }
  // Remaining records of the current run; always 0 in a frame that is not dense.
  [[nodiscard]] uint32_t run_records() const noexcept { return run_records_; }

 private:
  bool next_run() noexcept {
    if (payload_.empty()) return false;
    format::RunHeader run;
    damaged_ = payload_.size() < sizeof run;
    if (damaged_) return false;
    std::memcpy(&run, payload_.data(), sizeof run);
    payload_ = payload_.subspan(sizeof run);
    damaged_ = run.record_count == 0 || run.record_bytes > payload_.size();
    run_records_ = run.record_count;
    run_bytes_ = run.record_bytes;
    time_us_ = run.time_us;
    return !damaged_;
  }
  // The last record of a run must end it, and no other may.
  bool take_of_run(size_t extent) noexcept {
    if (extent > run_bytes_) return false;
    run_bytes_ -= static_cast<uint32_t>(extent);
    run_records_--;
    return (run_records_ == 0) == (run_bytes_ == 0);
  }

  Bytes payload_;
  uint64_t seq_;
  uint64_t time_us_;
  uint32_t run_records_ = 0;
  uint32_t run_bytes_ = 0;
  bool dense_;
  bool damaged_ = false;
};

}  // namespace espora::store
