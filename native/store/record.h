// Records as they lie in a batch's payload, and as callers see them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "store/format.h"

namespace espora::store {

struct RecordView {
  uint64_t seq = 0;      // 1, 2, 3, … without gaps
  uint64_t time_us = 0;  // of its batch, since 1970, never decreasing
  uint16_t type = 0;
  uint16_t flags = 0;
  Bytes bytes;  // valid as long as what they were read from
};

// Writes header and zero padding at `at`, which has record_extent(size) bytes; returns the place of
// the record's `size` bytes.
inline std::byte* put_record(std::byte* at, uint16_t type, uint16_t flags, size_t size) noexcept {
  const format::RecordHeader header{static_cast<uint32_t>(size), type, flags};
  const uint64_t zero = 0;
  // The padding is within the last eight bytes; the record's own bytes come after it.
  if (size != 0) std::memcpy(at + record_extent(size) - sizeof zero, &zero, sizeof zero);
  std::memcpy(at, &header, sizeof header);
  return at + sizeof header;
}

// Walks a payload.
class RecordCursor {
 public:
  RecordCursor(const format::FrameHeader& frame, Bytes payload) noexcept
      : payload_(payload), seq_(frame.first_seq), time_us_(frame.time_us) {}

  // False at the end, and where the next record does not fit: then damaged().
  bool next(RecordView& record) noexcept {
    if (payload_.empty()) return false;
    format::RecordHeader header;
    damaged_ = payload_.size() < sizeof header;
    if (damaged_) return false;
    std::memcpy(&header, payload_.data(), sizeof header);
    const size_t extent = record_extent(header.length);
    damaged_ = payload_.size() < extent;
    if (damaged_) return false;
    record = {seq_++, time_us_, header.type, header.flags,
              payload_.subspan(sizeof header, header.length)};
    payload_ = payload_.subspan(extent);
    return true;
  }

  [[nodiscard]] bool damaged() const noexcept { return damaged_; }

 private:
  Bytes payload_;
  uint64_t seq_;
  uint64_t time_us_;
  bool damaged_ = false;
};

}  // namespace espora::store
