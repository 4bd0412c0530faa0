#include "store/segment_stream.h"

#include <algorithm>
#include <cstring>

#include "sys/check.h"
#include "sys/limits.h"

namespace espora::store {

using format::block_bytes;
using sys::Code;
using sys::Status;

namespace {

constexpr uint32_t frame_blocks_max = blocks_of(limits::dense_frame_bytes_max);
constexpr uint32_t step_blocks = blocks_of(limits::housekeeping_step_bytes);
// Room for the largest frame and a portion behind it, twice: moved to the front now and then.
constexpr uint32_t window_blocks_max = 2 * (frame_blocks_max + step_blocks);

}  // namespace

Status SegmentStream::look(ReadFile& file, uint32_t number, const StoreFacts& store,
                           const format::SegmentHeader* before, format::SegmentHeader& header) {
  auto read = directory_.read_header(file);
  if (!read.ok()) return read.status();
  header = read.value();
  if (const auto damage = check_header(header, number, store, before)) {
    return Status(Code::corrupt, directory_.path() + ": " + damage->text());
  }
  return {};
}

Status SegmentStream::open(uint32_t number, const StoreFacts& store) {
  auto opened = directory_.open_segment(number, store.segment_bytes);
  if (!opened.ok()) return opened.status();
  file_ = std::move(opened).value();
  if (Status looked = look(file_, number, store, nullptr, header_); !looked.ok()) return looked;
  auto next = directory_.open_segment(number + 1, store.segment_bytes);
  if (!next.ok()) return next.status();
  if (Status looked = look(next.value(), number + 1, store, &header_, successor_); !looked.ok()) {
    return looked;
  }
  begin();
  return {};
}

Status SegmentStream::open_as(const std::string& name, const format::SegmentHeader& header,
                              const format::SegmentHeader& successor, const StoreFacts& store) {
  auto opened = directory_.open_segment_as(name, store.segment_bytes);
  if (!opened.ok()) return opened.status();
  file_ = std::move(opened).value();
  if (Status looked = look(file_, header.number, store, nullptr, header_); !looked.ok()) {
    return looked;
  }
  successor_ = successor;
  if (std::memcmp(&header_, &header, sizeof header) != 0) {
    return Status(Code::corrupt,
                  directory_.path() + "/" + name + " has another header than was written");
  }
  begin();
  return {};
}

void SegmentStream::begin() {
  if (window_.size() == 0) window_ = BlockBuffer(size_t{window_blocks_max} * block_bytes);
  window_block_ = 1;
  window_blocks_ = 0;
  status_ = {};
  walk_.emplace(header_, successor_, SegmentImage{window_.span().first(0), {}, window_block_});
}

void SegmentStream::close() {
  walk_.reset();
  file_ = {};
  window_ = {};
}

SegmentStream::Next SegmentStream::next(FrameView& frame) {
  ESPORA_CHECK(walk_.has_value());
  const uint32_t at = walk_->block();
  const uint32_t left = at < walk_->end_block() ? walk_->end_block() - at : 0;
  const uint32_t needed = std::min(left, frame_blocks_max);
  if (window_block_ + window_blocks_ < at + needed) return read(needed);
  walk_->move_to({window_.span().first(size_t{window_blocks_} * block_bytes), {}, window_block_});
  if (walk_->next(frame)) return Next::frame;
  if (!walk_->damage()) return Next::end;
  status_ = Status(Code::corrupt, directory_.path() + ": " + walk_->damage()->text());
  return Next::failed;
}

SegmentStream::Next SegmentStream::read(uint32_t needed_blocks) {
  const uint32_t at = walk_->block();
  const auto place = [&](uint32_t block) {
    return window_.data() + size_t{block - window_block_} * block_bytes;
  };
  uint32_t filled_to = window_block_ + window_blocks_;
  if (at + needed_blocks + step_blocks > window_block_ + window_blocks_max) {
    std::memmove(window_.data(), place(at), size_t{filled_to - at} * block_bytes);
    window_block_ = at;
    window_blocks_ = filled_to - at;
  }
  const uint32_t blocks = std::min(step_blocks, walk_->end_block() - filled_to);
  status_ =
      directory_.read_blocks(file_, filled_to, {place(filled_to), size_t{blocks} * block_bytes});
  if (!status_.ok()) return Next::failed;
  window_blocks_ += blocks;
  return Next::read;
}

}  // namespace espora::store
