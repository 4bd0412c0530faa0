#include "store/snapshot_maker.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "store/defects.h"
#include "sys/check.h"
#include "sys/limits.h"

namespace espora::store {

using format::block_bytes;
using sys::Code;
using sys::Status;

SnapshotMaker::SnapshotMaker(Directory& directory, const StoreFacts& store,
                             std::unique_ptr<SnapshotState> state, std::unique_ptr<Snapshot> newest,
                             std::vector<uint64_t> published)
    : directory_(directory),
      store_(store),
      made_of_(std::move(state)),
      newest_(std::move(newest)),
      published_(std::move(published)),
      source_(directory, limits::housekeeping_step_bytes) {
  if (newest_ != nullptr) {
    header_ = newest_->header;
    replayed_ = published_segment_ = header_.segment;
  }
}

uint32_t SnapshotMaker::backlog(uint32_t closed) const noexcept {
  return closed > published_segment_ ? closed - published_segment_ : 0;
}

SnapshotMaker::Outcome SnapshotMaker::step(uint32_t closed) {
  switch (state_) {
    case State::choose:
      return choose(closed);
    case State::replay:
      return replay();
    case State::remove_before:
    case State::remove_after:
      return remove();
    case State::create:
      return create();
    case State::write:
      return write();
    case State::sync:
      return sync();
    case State::compare:
      return compare();
    case State::rename:
      return rename();
    case State::sync_directory:
      return sync_directory();
    case State::prune:
      return prune();
  }
  return Outcome::working;
}

SnapshotMaker::Outcome SnapshotMaker::enter(State state) noexcept {
  state_ = state;
  return Outcome::working;
}

// ---- endings ----------------------------------------------------------------------------------

void SnapshotMaker::abandon() {
  source_.close();
  file_.reset();
  buffer_ = {};
  bytes_ = {};
  if (state_ == State::create || state_ == State::write || state_ == State::sync ||
      state_ == State::compare || state_ == State::rename || state_ == State::remove_after) {
    (void)directory_.remove(name());
  }
  state_ = State::choose;
}

SnapshotMaker::Outcome SnapshotMaker::give_up(Status status) {
  status_ = std::move(status);
  file_.reset();
  buffer_ = {};
  bytes_ = {};
  return enter(State::remove_after);
}

SnapshotMaker::Outcome SnapshotMaker::give_up(int result, const char* call) {
  return give_up(failure_of(result, call, directory_.path() + "/" + name()));
}

// The state may already contain a part of the segment.
SnapshotMaker::Outcome SnapshotMaker::damaged(Status status) {
  status_ = std::move(status);
  source_.close();
  usable_ = false;
  state_ = State::choose;
  return Outcome::damaged;
}

// ---- the state --------------------------------------------------------------------------------

SnapshotMaker::Outcome SnapshotMaker::choose(uint32_t closed) {
  ESPORA_CHECK(usable_);
  if (newest_ != nullptr) {
    if (Status restored = made_of_->restore(newest_->state); !restored.ok()) {
      return damaged(std::move(restored));
    }
    newest_.reset();
  }
  if (replayed_ >= closed) {
    // The last attempt to publish the current state failed.
    return published_segment_ < replayed_ ? enter(State::remove_before) : Outcome::passed;
  }
  if (Status opened = source_.open(replayed_ + 1, store_); !opened.ok()) {
    if (ends_for_good(opened.code())) return damaged(std::move(opened));
    status_ = std::move(opened);
    return Outcome::failed;  // nothing was applied yet
  }
  return enter(State::replay);
}

SnapshotMaker::Outcome SnapshotMaker::replay() {
  FrameView frame;
  for (;;) {
    switch (source_.next(frame)) {
      case SegmentStream::Next::frame: {
        RecordCursor cursor(frame.header, frame.payload);
        RecordView record;
        while (cursor.next(record)) {
          if (Status seen = made_of_->apply(record); !seen.ok()) return damaged(std::move(seen));
        }
        continue;
      }
      case SegmentStream::Next::read:
        return Outcome::working;
      case SegmentStream::Next::failed:
        return damaged(source_.status());
      case SegmentStream::Next::end:
        break;
    }
    break;
  }
  const format::SegmentHeader& successor = source_.successor();
  replayed_++;
  const bool more = header_.seq != successor.previous_last_seq;
  header_.uuid = store_.uuid;
  header_.seq = successor.previous_last_seq;
  header_.time_us = successor.previous_time_us;
  header_.segment = successor.previous_number;
  header_.frame_crc = successor.previous_frame_crc;
  source_.close();
  // A segment without records changes neither the state nor its name.
  if (!more) {
    published_segment_ = replayed_;
    return enter(State::choose);
  }
  return enter(State::remove_before);
}

// ---- the file ---------------------------------------------------------------------------------

// Removes what an earlier attempt left behind, and afterwards what this one did.
SnapshotMaker::Outcome SnapshotMaker::remove() {
  const Status removed = directory_.remove(name());
  if (state_ == State::remove_before && removed.ok()) return enter(State::create);
  if (state_ == State::remove_before) status_ = removed;
  state_ = State::choose;
  return Outcome::failed;
}

SnapshotMaker::Outcome SnapshotMaker::create() {
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
  bytes_ = encode_snapshot(header_, made_of_->encode());
  written_ = 0;
  if (bytes_.size() > limits::snapshot_bytes_max) {
    return give_up(Status(Code::too_large, directory_.path() + "/" + name() + " would have " +
                                               std::to_string(bytes_.size()) + " bytes, at most " +
                                               std::to_string(limits::snapshot_bytes_max) +
                                               " are possible"));
  }
  buffer_ = BlockBuffer(limits::housekeeping_step_bytes);
  return enter(State::write);
}

SnapshotMaker::Outcome SnapshotMaker::write() {
  const size_t count = std::min(buffer_.size(), bytes_.size() - written_);
  std::memcpy(buffer_.data(), bytes_.data() + written_, count);
  const int64_t wrote =
      directory_.file_system().pwrite(file_.get(), buffer_.data(), count, written_);
  if (wrote == -EINTR) return Outcome::working;
  if (wrote == -EINVAL && direct_) direct_ = false;  // for the next attempt
  if (wrote <= 0) return give_up(wrote == 0 ? -EIO : static_cast<int>(wrote), "pwrite");
  written_ += static_cast<size_t>(wrote) / block_bytes * block_bytes;
  return written_ < bytes_.size() ? Outcome::working : enter(State::sync);
}

SnapshotMaker::Outcome SnapshotMaker::sync() {
  ESPORA_DEFECT(publish_snapshot_unflushed) return enter(State::compare);
  const int result = directory_.file_system().fsync(file_.get());
  if (result < 0) return give_up(result, "fsync");
  file_.reset();
  return enter(State::compare);
}

SnapshotMaker::Outcome SnapshotMaker::compare() {
  std::vector<std::byte> read;
  Bytes state;
  const auto header = directory_.read_snapshot_as(name(), read, state);
  if (!header.ok()) return give_up(header.status());
  if (read != bytes_) {
    return give_up(Status(
        Code::io, directory_.path() + "/" + name() + " does not read back as it was written"));
  }
  return enter(State::rename);
}

SnapshotMaker::Outcome SnapshotMaker::rename() {
  const int result = directory_.file_system().rename(directory_.handle(), name().c_str(),
                                                     snapshot_name(header_.seq).c_str());
  // The name may exist now or not: in either case it is complete and true.
  if (result < 0) return give_up(result, "rename");
  return enter(State::sync_directory);
}

SnapshotMaker::Outcome SnapshotMaker::sync_directory() {
  bytes_ = {};
  buffer_ = {};
  state_ = State::choose;
  status_ = directory_.sync();
  if (!status_.ok()) return Outcome::fatal;
  published_segment_ = header_.segment;
  if (published_.empty() || published_.back() != header_.seq) published_.push_back(header_.seq);
  state_ = State::prune;
  return Outcome::made;
}

// Never removes one of the newest; whether the removal succeeds does not matter.
SnapshotMaker::Outcome SnapshotMaker::prune() {
  if (published_.size() <= limits::snapshots_kept) {
    state_ = State::choose;
    return Outcome::passed;
  }
  (void)directory_.remove(snapshot_name(published_.front()));
  published_.erase(published_.begin());
  return Outcome::working;
}

}  // namespace espora::store
