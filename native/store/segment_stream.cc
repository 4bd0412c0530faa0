#include "store/segment_stream.h"

#include <cstring>

#include "sys/check.h"

namespace espora::store {

using sys::Code;
using sys::Status;

Status SegmentStream::open(uint32_t number, const StoreFacts& store) {
  auto opened = directory_.open_segment(number, store, nullptr, header_);
  if (!opened.ok()) return opened.status();
  file_ = std::move(opened).value();
  const auto next = directory_.open_segment(number + 1, store, &header_, successor_);
  if (!next.ok()) return next.status();
  begin();
  return {};
}

Status SegmentStream::open(const format::SegmentHeader& header,
                           const format::SegmentHeader& successor) {
  auto opened = directory_.open_segment(header.number, header.segment_bytes);
  if (!opened.ok()) return opened.status();
  file_ = std::move(opened).value();
  header_ = header;
  successor_ = successor;
  begin();
  return {};
}

Status SegmentStream::open_as(const std::string& name, const format::SegmentHeader& header,
                              const format::SegmentHeader& successor, const StoreFacts& store) {
  auto opened = directory_.open_segment_as(name, store.segment_bytes);
  if (!opened.ok()) return opened.status();
  file_ = std::move(opened).value();
  const auto read = directory_.read_header(file_);
  if (!read.ok()) return read.status();
  header_ = read.value();
  successor_ = successor;
  if (std::memcmp(&header_, &header, sizeof header) != 0) {
    return Status(Code::corrupt,
                  directory_.path() + "/" + name + " has another header than was written");
  }
  begin();
  return {};
}

void SegmentStream::begin() {
  status_ = {};
  window_.look_at(file_, frames_end(header_, successor_));
  walk_.emplace(header_, successor_, window_.image());
}

void SegmentStream::close() {
  walk_.reset();
  file_ = {};
  window_.close();
}

SegmentStream::Next SegmentStream::next(FrameView& frame) {
  ESPORA_CHECK(walk_.has_value());
  const uint32_t at = walk_->block();
  if (!window_.holds(at, frame_blocks_max)) {
    status_ = window_.read(at, frame_blocks_max);
    return status_.ok() ? Next::read : Next::failed;
  }
  walk_->move_to(window_.image());
  if (walk_->next(frame)) return Next::frame;
  if (!walk_->damage()) return Next::end;
  status_ = directory_.status_of(*walk_->damage());
  return Next::failed;
}

}  // namespace espora::store
