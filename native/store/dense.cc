#include "store/dense.h"

#include <algorithm>
#include <cstring>

#include "sys/check.h"
#include "sys/crc32c.h"

namespace espora::store {

using format::block_bytes;

// ---- building ---------------------------------------------------------------------------------

DenseEncoder::DenseEncoder(const format::SegmentHeader& header)
    : header_(header), seed_(frame_seed(header.nonce)), frame_crc_(header.previous_frame_crc) {
  frame_.reserve(limits::dense_frame_bytes);
}

void DenseEncoder::put(const RecordView& record, bool run_begins) {
  const size_t extent = record_extent(record.bytes.size());
  run_begins = run_begins || run_at_ == 0;
  const size_t needed = extent + (run_begins ? sizeof(format::RunHeader) : 0);
  if (!frame_.empty() && frame_.size() + needed > limits::dense_frame_bytes) finish_frame();
  if (frame_.empty()) {
    frame_.resize(sizeof(format::FrameHeader));
    first_seq_ = record.seq;
    run_begins = true;
  }
  ESPORA_CHECK(record.seq == first_seq_ + record_count_ && record.time_us >= time_us_);
  if (run_begins) {
    finish_run();
    run_at_ = frame_.size();
    run_ = {record.time_us, 0, 0};
    frame_.resize(frame_.size() + sizeof run_);
  }
  ESPORA_CHECK(record.time_us == run_.time_us);
  const size_t at = frame_.size();
  frame_.resize(at + extent);
  std::byte* place = put_record(&frame_[at], record.type, record.flags, record.bytes.size());
  if (!record.bytes.empty()) std::memcpy(place, record.bytes.data(), record.bytes.size());
  run_.record_count++;
  run_.record_bytes += static_cast<uint32_t>(extent);
  record_count_++;
  time_us_ = record.time_us;
}

void DenseEncoder::finish_run() noexcept {
  if (run_at_ != 0) std::memcpy(&frame_[run_at_], &run_, sizeof run_);
  run_at_ = 0;
}

void DenseEncoder::finish_frame() {
  finish_run();
  const size_t bytes = frame_.size();
  const uint32_t blocks = blocks_of(bytes);
  ESPORA_CHECK(bytes <= limits::dense_frame_bytes_max);
  format::FrameHeader header{};
  header.type = static_cast<uint16_t>(format::FrameType::dense);
  header.segment = header_.number;
  header.block = next_block_;
  header.epoch = header_.epoch;
  header.first_seq = first_seq_;
  header.durable_seq = first_seq_ - 1;
  header.time_us = time_us_;
  header.record_count = record_count_;
  header.payload_bytes = static_cast<uint32_t>(bytes - sizeof header);
  header.previous_frame_crc = frame_crc_;
  frame_crc_ = store::finish_frame(header, frame_, seed_);
  ready_.insert(ready_.end(), frame_.begin(), frame_.end());
  ready_.resize(ready_.size() + size_t{blocks} * block_bytes - bytes);
  entries_.push_back({first_seq_, next_block_, blocks});
  next_block_ += blocks;
  frame_.clear();
  record_count_ = 0;
}

uint32_t DenseEncoder::end_block_with(size_t extent) const noexcept {
  const uint32_t open = frame_.empty() ? 0 : blocks_of(frame_.size());
  return next_block_ + open +
         blocks_of(sizeof(format::FrameHeader) + sizeof(format::RunHeader) + extent);
}

void DenseEncoder::finish() {
  if (!frame_.empty()) finish_frame();
}

void DenseEncoder::taken(uint32_t blocks) {
  const size_t bytes = size_t{blocks} * block_bytes;
  ESPORA_CHECK(bytes <= ready_.size());
  ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(bytes));
  block_ += blocks;
}

std::vector<std::byte> encode_index(const format::SegmentHeader& header,
                                    std::span<const format::IndexEntry> entries) {
  format::IndexHeader index{};
  index.magic = format::index_magic;
  index.entry_count = static_cast<uint32_t>(entries.size());
  std::vector<std::byte> bytes(round_up(sizeof index + entries.size_bytes(), block_bytes));
  std::memcpy(bytes.data(), &index, sizeof index);
  if (!entries.empty()) {
    std::memcpy(bytes.data() + sizeof index, entries.data(), entries.size_bytes());
  }
  index.crc = sys::crc32c(Bytes(bytes).subspan(8), frame_seed(header.nonce));
  std::memcpy(bytes.data(), &index, sizeof index);
  return bytes;
}

// ---- reading ----------------------------------------------------------------------------------

std::optional<DenseIndex> DenseIndex::decode(const format::SegmentHeader& header, Bytes bytes) {
  format::IndexHeader index;
  const size_t entries_bytes = size_t{header.dense_frame_count} * sizeof(format::IndexEntry);
  if (bytes.size() != round_up(sizeof index + entries_bytes, block_bytes)) return std::nullopt;
  std::memcpy(&index, bytes.data(), sizeof index);
  if (index.magic != format::index_magic || index.zero != 0 ||
      index.entry_count != header.dense_frame_count ||
      index.crc != sys::crc32c(bytes.subspan(8), frame_seed(header.nonce))) {
    return std::nullopt;
  }
  DenseIndex decoded;
  decoded.header_ = header;
  decoded.entries_.resize(index.entry_count);
  if (entries_bytes != 0) {
    std::memcpy(decoded.entries_.data(), bytes.data() + sizeof index, entries_bytes);
  }
  uint32_t block = 1;
  uint64_t seq = header.first_seq;
  for (const format::IndexEntry& entry : decoded.entries_) {
    const bool first = &entry == decoded.entries_.data();
    if (entry.block != block || entry.blocks == 0 ||
        entry.blocks > blocks_of(limits::dense_frame_bytes_max) ||
        (first ? entry.first_seq != seq : entry.first_seq <= seq) ||
        entry.first_seq > header.dense_last_seq) {
      return std::nullopt;
    }
    block += entry.blocks;
    seq = entry.first_seq;
  }
  if (block != header.dense_index_block) return std::nullopt;
  return decoded;
}

const format::IndexEntry* DenseIndex::find(uint64_t seq) const noexcept {
  if (seq > header_.dense_last_seq) return nullptr;
  const auto after = std::upper_bound(
      entries_.begin(), entries_.end(), seq,
      [](uint64_t wanted, const format::IndexEntry& entry) { return wanted < entry.first_seq; });
  return after == entries_.begin() ? nullptr : &*(after - 1);
}

uint64_t DenseIndex::last_seq(const format::IndexEntry& entry) const noexcept {
  const format::IndexEntry* next = &entry + 1;
  return next == entries_.data() + entries_.size() ? header_.dense_last_seq : next->first_seq - 1;
}

bool DenseIndex::frame(const format::IndexEntry& entry, Bytes bytes,
                       FrameView& frame) const noexcept {
  ESPORA_CHECK(bytes.size() == size_t{entry.blocks} * block_bytes);
  format::FrameHeader header;
  if (!decode_frame_header(bytes, frame_seed(header_.nonce), header)) return false;
  // The facts of its neighbours are in the index and in its own header.
  Chain expected{entry.block, entry.first_seq, header.previous_frame_crc, header_.previous_time_us};
  FrameWalk walk(header_, {bytes, {}, entry.block}, expected);
  return walk.next(frame) == FrameVerdict::accept && frame.blocks == entry.blocks &&
         frame.last_seq() == last_seq(entry);
}

}  // namespace espora::store
