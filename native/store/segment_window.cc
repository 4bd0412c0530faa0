#include "store/segment_window.h"

#include <algorithm>
#include <cstring>

#include "sys/check.h"

namespace espora::store {

using format::block_bytes;
using sys::Status;

void SegmentWindow::look_at(ReadFile& file, uint32_t end_block, Missing missing) noexcept {
  file_ = &file;
  end_block_ = end_block;
  missing_ = missing;
  forget();
}

void SegmentWindow::forget() noexcept {
  first_ = blocks_ = 0;
  refused_ = {};
}

void SegmentWindow::close() noexcept {
  forget();
  file_ = nullptr;
  end_block_ = 0;
  buffer_ = {};
}

Status SegmentWindow::readable(uint32_t block, uint32_t count) const {
  const auto bad = std::lower_bound(refused_.blocks.begin(), refused_.blocks.end(), block);
  if (bad == refused_.blocks.end() || *bad >= block + count) return {};
  return directory_.unreadable(*file_, *bad, refused_.error);
}

uint32_t SegmentWindow::end_of(uint32_t block, uint32_t count) const noexcept {
  return block + std::min(count, end_block_ - std::min(block, end_block_));
}

bool SegmentWindow::holds(uint32_t block, uint32_t count) const noexcept {
  return block >= end_block_ || (block >= first_ && end_of(block, count) <= first_ + blocks_);
}

Status SegmentWindow::show(uint32_t block, uint32_t count, SegmentImage& shown) {
  if (block >= end_block_) {
    shown = {{}, refused_.blocks, block};
    return {};
  }
  while (!holds(block, count)) {
    if (Status done = read(block, count); !done.ok()) return done;
  }
  shown = image();
  return {};
}

Status SegmentWindow::look_through(uint32_t block) {
  SegmentImage image;
  for (; block < end_block_; block += portion_blocks_) {
    if (Status shown = show(block, portion_blocks_, image); !shown.ok()) return shown;
  }
  return {};
}

Status SegmentWindow::read(uint32_t block, uint32_t count) {
  ESPORA_CHECK(count <= std::max(frame_blocks_max, portion_blocks_) && !holds(block, count));
  // Room for the request and a portion after it, twice; moved to the front when it is full.
  const uint32_t room = 2 * (std::max(frame_blocks_max, portion_blocks_) + portion_blocks_);
  if (buffer_.size() == 0) buffer_ = BlockBuffer(size_t{room} * block_bytes);
  const bool onward = blocks_ != 0 && block >= first_;
  if (!onward || block > first_ + blocks_) {
    first_ = block;
    blocks_ = 0;
  } else if (first_ + blocks_ + portion_blocks_ > first_ + room) {
    const uint32_t kept = first_ + blocks_ - block;
    std::memmove(buffer_.data(), place(block), size_t{kept} * block_bytes);
    first_ = block;
    blocks_ = kept;
  }
  const uint32_t from = first_ + blocks_;
  const uint32_t ahead = onward ? portion_blocks_ : end_of(block, count) - from;
  const uint32_t blocks = std::min({ahead, portion_blocks_, end_block_ - from});
  const Status done = directory_.read_blocks(
      *file_, from, {place(from), size_t{blocks} * block_bytes}, missing_, refused_);
  if (done.ok()) blocks_ += blocks;
  return done;
}

}  // namespace espora::store
