#include "store/dense_rewriter.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "sys/check.h"
#include "sys/limits.h"

namespace espora::store {

using format::block_bytes;
using sys::Code;
using sys::Status;

namespace {

// Adds everything about a record that a reader is shown to a digest of the records.
uint64_t add_record(uint64_t sum, const RecordView& record) noexcept {
  const struct {
    uint64_t seq;
    uint64_t time_us;
    uint32_t size;
    uint16_t type;
    uint16_t flags;
  } facts{record.seq, record.time_us, static_cast<uint32_t>(record.bytes.size()), record.type,
          record.flags};
  static_assert(sizeof facts == 24);
  return digest(record.bytes, digest(std::as_bytes(std::span(&facts, 1)), sum));
}

uint64_t add_frame(uint64_t sum, const FrameView& frame) noexcept {
  RecordCursor cursor(frame.header, frame.payload);
  RecordView record;
  while (cursor.next(record)) sum = add_record(sum, record);
  return sum;
}

bool same_entries(std::span<const format::IndexEntry> a,
                  std::span<const format::IndexEntry> b) noexcept {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

}  // namespace

DenseRewriter::Outcome DenseRewriter::step() {
  switch (state_) {
    case State::look:
      return look();
    case State::remove_before:
    case State::remove_after:
      return remove();
    case State::create:
      return create();
    case State::copy:
      return copy();
    case State::index:
      return write_tail(State::header);
    case State::header:
      return write_tail(State::sync);
    case State::sync:
      return sync();
    case State::reopen:
      return reopen();
    case State::compare:
      return compare();
    case State::rename:
      return rename();
    case State::sync_directory:
      return sync_directory();
  }
  return Outcome::working;
}

DenseRewriter::Outcome DenseRewriter::enter(State state) noexcept {
  state_ = state;
  return Outcome::working;
}

// ---- endings ----------------------------------------------------------------------------------

void DenseRewriter::forget() {
  source_.close();
  check_.close();
  encoder_.reset();
  file_.reset();
  buffer_ = {};
  tail_ = {};
}

void DenseRewriter::abandon() {
  forget();
  if (state_ != State::look && state_ != State::sync_directory) (void)directory_.remove(name());
  state_ = State::look;
}

DenseRewriter::Outcome DenseRewriter::leave(Outcome outcome, Status status) {
  leaving_ = outcome;
  status_ = std::move(status);
  forget();
  if (state_ != State::look && state_ != State::remove_before) return enter(State::remove_after);
  state_ = State::look;
  if (outcome == Outcome::damaged) number_++;
  return outcome;
}

DenseRewriter::Outcome DenseRewriter::give_up(Status status) {
  return leave(Outcome::failed, std::move(status));
}

DenseRewriter::Outcome DenseRewriter::give_up(int result, const char* call) {
  return give_up(failure_of(result, call, directory_.path() + "/" + name()));
}

DenseRewriter::Outcome DenseRewriter::give_up_source(Status status) {
  switch (status.code()) {
    case Code::corrupt:
    case Code::unreadable:
    case Code::version:
    case Code::not_found:
      return leave(Outcome::damaged, std::move(status));
    default:
      return give_up(std::move(status));
  }
}

// ---- the source -------------------------------------------------------------------------------

DenseRewriter::Outcome DenseRewriter::look() {
  if (Status opened = source_.open(number_, store_); !opened.ok()) {
    return give_up_source(std::move(opened));
  }
  if (is_dense(source_.header())) {
    source_.close();
    number_++;
    return Outcome::passed;
  }
  return enter(State::remove_before);
}

// Removes what an earlier attempt left behind, and afterwards what this one did.
DenseRewriter::Outcome DenseRewriter::remove() {
  const Status removed = directory_.remove(name());
  if (state_ == State::remove_before) {
    return removed.ok() ? enter(State::create) : give_up(removed);
  }
  // If it remains it is removed before the next attempt, or when the store is opened.
  state_ = State::look;
  if (leaving_ == Outcome::damaged) number_++;
  return leaving_;
}

DenseRewriter::Outcome DenseRewriter::create() {
  sys::FileSystem& fs = directory_.file_system();
  direct_ = direct_ && directory_.direct();
  const int file = fs.open(directory_.handle(), name().c_str(),
                           {.write = true, .create = true, .exclusive = true, .direct = direct_});
  if (file == -EINVAL && direct_) {
    // open(2) may have created the file before it refused O_DIRECT.
    direct_ = false;
    return enter(State::remove_before);
  }
  if (file < 0) return give_up(file, "open");
  file_ = sys::File(fs, file);
  successor_ = source_.successor();
  header_ = source_.header();
  header_.flags |= format::segment_flag_dense;
  header_.dense_last_seq = successor_.previous_last_seq;
  header_.dense_end_block = successor_.previous_end_block;
  header_.dense_frame_crc = successor_.previous_frame_crc;
  header_.dense_time_us = successor_.previous_time_us;
  const int filled = fs.random(std::as_writable_bytes(std::span(&header_.nonce, 1)));
  if (filled < 0) return give_up(filled, "getrandom");
  encoder_.emplace(header_);
  buffer_ = BlockBuffer(limits::housekeeping_step_bytes);
  source_ended_ = false;
  source_digest_ = check_digest_ = 0;
  return enter(State::copy);
}

void DenseRewriter::put(const FrameView& frame) {
  RecordCursor cursor(frame.header, frame.payload);
  RecordView record;
  bool begins = true;
  while (cursor.next(record)) {
    encoder_->put(record, begins);
    begins = false;
  }
  source_digest_ = add_frame(source_digest_, frame);
}

DenseRewriter::Outcome DenseRewriter::copy() {
  FrameView frame;
  while (!source_ended_ && encoder_->ready().size() < buffer_.size()) {
    switch (source_.next(frame)) {
      case SegmentStream::Next::frame:
        put(frame);
        break;
      case SegmentStream::Next::read:
        return Outcome::working;
      case SegmentStream::Next::failed:
        return give_up_source(source_.status());
      case SegmentStream::Next::end:
        encoder_->finish();
        source_ended_ = true;
        break;
    }
  }
  if (!encoder_->ready().empty()) return write_ready();
  header_.dense_index_block = encoder_->end_block();
  header_.dense_frame_count = static_cast<uint32_t>(encoder_->entries().size());
  tail_ = encode_index(header_, encoder_->entries());
  tail_at_ = uint64_t{header_.dense_index_block} * block_bytes;
  header_.dense_file_bytes = tail_at_ + tail_.size();
  return enter(State::index);
}

// ---- the new file -----------------------------------------------------------------------------

namespace {

// One write of as much as fits `buffer`: number of whole blocks, or -errno; 0 for EINTR.
int64_t write_some(sys::FileSystem& fs, const sys::File& file, const BlockBuffer& buffer,
                   Bytes bytes, uint64_t offset) noexcept {
  const size_t count = std::min(bytes.size(), buffer.size());
  std::memcpy(buffer.data(), bytes.data(), count);
  const int64_t wrote = fs.pwrite(file.get(), buffer.data(), count, offset);
  if (wrote == -EINTR) return 0;
  if (wrote == 0) return -EIO;
  return wrote < 0 ? wrote : wrote / int64_t{block_bytes};
}

}  // namespace

DenseRewriter::Outcome DenseRewriter::write_ready() {
  const int64_t blocks = write_some(directory_.file_system(), file_, buffer_, encoder_->ready(),
                                    uint64_t{encoder_->block()} * block_bytes);
  if (blocks == -EINVAL && direct_) {
    // Some file systems accept O_DIRECT at open(2) and refuse it here.
    direct_ = false;
    return give_up(-EINVAL, "pwrite");
  }
  if (blocks < 0) return give_up(static_cast<int>(blocks), "pwrite");
  encoder_->taken(static_cast<uint32_t>(blocks));
  return Outcome::working;
}

// Writes the index, and last of all the header: an incomplete file has none.
DenseRewriter::Outcome DenseRewriter::write_tail(State then) {
  const int64_t blocks = write_some(directory_.file_system(), file_, buffer_, tail_, tail_at_);
  if (blocks < 0) return give_up(static_cast<int>(blocks), "pwrite");
  tail_at_ += static_cast<uint64_t>(blocks) * block_bytes;
  tail_.erase(tail_.begin(), tail_.begin() + blocks * int64_t{block_bytes});
  if (!tail_.empty()) return Outcome::working;
  if (then == State::header) {
    tail_.resize(block_bytes);
    tail_at_ = 0;
    encode_segment_header(header_, tail_);
    ESPORA_CHECK(decode_segment_header(tail_, header_) == HeaderState::valid);
  }
  return enter(then);
}

DenseRewriter::Outcome DenseRewriter::sync() {
  const int result = directory_.file_system().fsync(file_.get());
  if (result < 0) return give_up(result, "fsync");
  return enter(State::reopen);
}

// Reads back as every reader does: through another descriptor, with O_DIRECT or a dropped cache.
DenseRewriter::Outcome DenseRewriter::reopen() {
  saved_bytes_ =
      static_cast<int64_t>(source_.bytes()) - static_cast<int64_t>(header_.dense_file_bytes);
  source_.close();
  file_.reset();
  if (Status opened = check_.open_as(name(), header_, successor_, store_); !opened.ok()) {
    return give_up(std::move(opened));
  }
  return enter(State::compare);
}

DenseRewriter::Outcome DenseRewriter::compare() {
  FrameView frame;
  for (;;) {
    switch (check_.next(frame)) {
      case SegmentStream::Next::frame:
        check_digest_ = add_frame(check_digest_, frame);
        continue;
      case SegmentStream::Next::read:
        return Outcome::working;
      case SegmentStream::Next::failed:
        return give_up(check_.status());
      case SegmentStream::Next::end:
        break;
    }
    break;
  }
  const auto index = check_.read_index();
  if (!index.ok()) return give_up(index.status());
  if (check_digest_ != source_digest_ ||
      !same_entries(index.value().entries(), encoder_->entries())) {
    return give_up(Status(
        Code::io, directory_.path() + "/" + name() + " does not read back as it was written"));
  }
  check_.close();
  return enter(State::rename);
}

DenseRewriter::Outcome DenseRewriter::rename() {
  const int result = directory_.file_system().rename(directory_.handle(), name().c_str(),
                                                     segment_name(number_).c_str());
  // Whichever of the two files now has the name, it holds the same records.
  if (result < 0) return give_up(result, "rename");
  return enter(State::sync_directory);
}

DenseRewriter::Outcome DenseRewriter::sync_directory() {
  forget();
  state_ = State::look;
  status_ = directory_.sync();
  if (!status_.ok()) return Outcome::fatal;
  number_++;
  return Outcome::rewritten;
}

}  // namespace espora::store
