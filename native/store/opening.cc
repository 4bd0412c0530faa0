#include "store/opening.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "store/engine.h"
#include "store/segment_stream.h"
#include "sys/check.h"
#include "sys/limits.h"

namespace espora::store {

using format::block_bytes;
using sys::Code;
using sys::Status;

namespace {

std::string text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Bytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

Opening::Opening(sys::FileSystem& file_system, const Options& options, RecordVisitor& visitor,
                 Directory& directory) noexcept
    : file_system_(file_system), options_(options), visitor_(visitor), directory_(directory) {}

Status Opening::read() {
  if (Status listed = directory_.list(listing_); !listed.ok()) return listed;
  const auto verdict = directory_.judge(listing_);
  if (!verdict.ok()) return verdict.status();
  switch (verdict.value()) {
    case DirectoryVerdict::open:
      break;
    case DirectoryVerdict::nothing:
    case DirectoryVerdict::unfinished:
      is_new_ = true;
      break;
    case DirectoryVerdict::without_store:
      return Status(Code::corrupt, directory_.path() +
                                       ": there are segments or snapshots, but no "
                                       "file STORE");
    case DirectoryVerdict::without_segments:
      return Status(Code::corrupt, directory_.path() + ": there is a file STORE, but no segment");
  }
  if (Status read = is_new_ ? plan_new() : recover(); !read.ok()) return read;
  for (const std::string& name : listing_.temporaries) {
    // The reserve is kept: this opening may need it on a full disk, see make_reserve().
    if (name == reserve_name) continue;
    if (Status removed = directory_.remove(name); !removed.ok()) return removed;
  }
  return {};
}

// ---- a new store ------------------------------------------------------------------------------

Status Opening::plan_new() {
  if (!options_.create) {
    return Status(Code::not_found, directory_.path() + ": there is no store here");
  }
  const int filled = file_system_.random(std::as_writable_bytes(std::span(store_.uuid)));
  if (filled < 0) return Status::from_errno(Code::io, -filled, "getrandom", directory_.path());
  // RFC 9562 5.4: version 4, variant 10.
  store_.uuid[6] = static_cast<uint8_t>((store_.uuid[6] & 0x0F) | 0x40);
  store_.uuid[8] = static_cast<uint8_t>((store_.uuid[8] & 0x3F) | 0x80);
  store_.segment_bytes =
      options_.segment_bytes != 0 ? options_.segment_bytes : limits::segment_bytes_default;
  store_.kind = options_.kind;
  store_.schema = text_of(options_.schema);
  fresh_ = plan_first_segment(store_);
  publish_store_ = true;
  return named(visitor_.end());
}

// ---- an existing one --------------------------------------------------------------------------

Status Opening::recover() {
  if (Status synced = directory_.sync(); !synced.ok()) return synced;
  auto facts = directory_.read_store(true);
  if (!facts.ok()) return facts.status();
  store_ = std::move(facts).value();
  if (Status checked = check_store(options_.schema); !checked.ok()) return checked;

  if (Status snapshot = read_newest_snapshot(); !snapshot.ok()) return snapshot;
  const auto first = first_to_read();
  if (!first.ok()) return first.status();
  auto read = read_headers(first.value());
  if (!read.ok()) return read.status();
  const std::vector<format::SegmentHeader>& headers = read.value();
  uint64_t proven = listing_.snapshots.empty() ? 0 : listing_.snapshots.back();
  for (const format::SegmentHeader& header : headers) proven = std::max(proven, proven_by(header));

  // Reads the end of the log first: the rest can then be shown in one pass, as far as it is proven.
  const format::SegmentHeader& last = headers.back();
  if (Status opened = look_at(last); !opened.ok()) return opened;
  Evidence evidence;
  evidence.proven_seq = proven;
  if (Status looked = look_from_behind(last, source_->window, evidence); !looked.ok()) {
    return looked;
  }

  opened_.last_time_us = headers.front().previous_time_us;
  if (snapshot_ != nullptr) {
    const Status restored = visitor_.restore(snapshot_->state, snapshot_->header.seq);
    if (!restored.ok()) return named(restored);
    opened_.snapshot_seq = snapshot_->header.seq;
  }
  if (visitor_.history() != History::tail) {
    if (Status replayed = replay_closed(headers); !replayed.ok()) return replayed;
  }
  const BatchVisitor show_batch = [&](const FrameView& batch) { return show(batch); };
  Tail tail;
  const Status read_tail = examine_tail(last, source_->window, evidence, show_batch, tail);
  if (!read_tail.ok()) return read_tail;
  if (tail.damage) return directory_.status_of(*tail.damage);
  ESPORA_DEFECT(trust_tail_in_place) {
    const Status shown = walk_again(tail.proven.end, tail.end.last_seq(), show_batch);
    if (!shown.ok()) return shown;
    tail.proven = tail.all;
    tail.proven_seq = tail.end.last_seq();
  }
  shown_ = tail.proven.end;
  if (Status ended = visitor_.end(); !ended.ok()) return named(ended);

  fresh_ = plan_fresh_segment(last, tail);
  whole_ = tail.end.last_seq() <= tail.proven_seq;
  if (!whole_) least_ = plan_fresh_segment(last, tail, true);
  opened_.last_seq = tail.proven_seq;
  // No record was appended since STORE may last have been published. If the directory's flush
  // failed then, its new schema could still be lost, so STORE is published again before a record
  // that needs the schema is written.
  publish_store_ = publish_store_ || tail.end.last_seq() <= last.durable_seq;
  // The flushes of the directories above may have failed when the store was created.
  if (last.number == 1 && tail.proven_seq == 0) {
    publish_store_ = true;
    return directory_.sync_path();
  }
  return {};
}

Status Opening::settle(const SparePreparer& spares) {
  if (is_new_ && done_) return directory_.sync_path();
  if (is_new_) return failure_.ok() ? spares.failure() : failure_;
  ESPORA_DEFECT(serve_tail_without_space) if (!whole_)(void) show_copied();
  // A lack of space is the only obstacle that can be expected to pass.
  return failure_.code() == Code::no_space ? Status() : failure_;
}

// Puts the store's path before a message of the visitor.
Status Opening::named(const Status& status) const {
  if (status.ok()) return status;
  return Status(status.code(), directory_.path() + ": " + status.message());
}

Status Opening::check_store(Bytes given_schema) {
  const std::string where = directory_.path() + ": ";
  if (store_.kind != options_.kind) {
    return Status(Code::invalid, where + "the store holds \"" + store_.kind +
                                     "\", it cannot be opened as \"" + options_.kind + "\"");
  }
  if (options_.segment_bytes != 0 && options_.segment_bytes != store_.segment_bytes) {
    return Status(Code::invalid,
                  where + "the store has segments of " + std::to_string(store_.segment_bytes) +
                      " bytes, it cannot be opened with " + std::to_string(options_.segment_bytes));
  }
  const std::string given = text_of(given_schema);
  if (given == store_.schema) return {};
  auto kept = visitor_.schema_changed(bytes_of(store_.schema), given_schema);
  if (!kept.ok()) return named(kept.status());
  std::string schema = text_of(kept.value());
  ESPORA_DEFECT(take_given_schema) schema = text_of(given_schema);
  if (schema == store_.schema) return {};
  ESPORA_CHECK(schema.size() <= limits::store_schema_bytes_max);
  store_.schema = std::move(schema);
  publish_store_ = true;
  return {};
}

// A damaged newest snapshot is damage of the store, even if there are older ones: what it states
// may already have been relied upon.
Status Opening::read_newest_snapshot() {
  if (visitor_.history() != History::snapshot || listing_.snapshots.empty()) return {};
  const uint64_t seq = listing_.snapshots.back();
  auto snapshot = std::make_unique<Snapshot>();
  auto header = directory_.read_snapshot(seq, snapshot->file, snapshot->state);
  if (!header.ok()) return header.status();
  snapshot->header = header.value();
  if (const auto damage = check_snapshot(snapshot->header, seq, store_)) {
    return Status(Code::corrupt, directory_.path() + ": " + damage->what);
  }
  snapshot_ = std::move(snapshot);
  return {};
}

// The first segment whose header and contents are read.
sys::Result<uint32_t> Opening::first_to_read() const {
  const uint32_t last = listing_.segments.back();
  switch (visitor_.history()) {
    case History::all:
      return 1u;
    case History::tail:
      return last > 1 ? last - 1 : last;
    case History::snapshot:
      break;
  }
  if (snapshot_ == nullptr) return 1u;
  if (snapshot_->header.segment < last) return snapshot_->header.segment + 1;
  return Status(Code::corrupt, directory_.path() + ": " + snapshot_name(snapshot_->header.seq) +
                                   " is the state at the end of segment " +
                                   std::to_string(snapshot_->header.segment) +
                                   ", but the segment after it is missing");
}

sys::Result<std::vector<format::SegmentHeader>> Opening::read_headers(uint32_t first) {
  std::vector<format::SegmentHeader> headers;
  uint32_t expected = 1;
  for (const uint32_t number : listing_.segments) {
    if (number != expected) {
      return Status(Code::corrupt,
                    directory_.path() + ": segment " + std::to_string(expected) + " is missing");
    }
    expected++;
    if (number < first) continue;
    auto file = directory_.open_segment(number, store_.segment_bytes);
    if (!file.ok()) return file.status();
    // All others were flushed before their successors were made.
    if (number == listing_.segments.back()) {
      if (Status synced = directory_.sync_file(file.value()); !synced.ok()) return synced;
    }
    auto header = directory_.read_header(file.value());
    if (!header.ok()) return header.status();
    const format::SegmentHeader* before = headers.empty() ? nullptr : &headers.back();
    if (const auto damage = check_header(header.value(), number, store_, before)) {
      return directory_.status_of(*damage);
    }
    if (headers.empty() && snapshot_ != nullptr) {
      if (const auto damage = check_snapshot_place(snapshot_->header, header.value())) {
        return Status(Code::corrupt, directory_.path() + ": " + damage->what);
      }
    }
    headers.push_back(header.value());
  }
  if (const auto damage = check_last_header(headers.back())) {
    return directory_.status_of(*damage);
  }
  return headers;
}

Status Opening::replay_closed(const std::vector<format::SegmentHeader>& headers) {
  SegmentStream stream(directory_, limits::store_read_bytes);
  for (size_t i = 0; i + 1 < headers.size(); i++) {
    if (Status opened = stream.open(headers[i], headers[i + 1]); !opened.ok()) return opened;
    FrameView batch;
    for (SegmentStream::Next next; (next = stream.next(batch)) != SegmentStream::Next::end;) {
      if (next == SegmentStream::Next::failed) return stream.status();
      if (next == SegmentStream::Next::read) continue;
      if (Status shown = show(batch); !shown.ok()) return shown;
    }
  }
  return {};
}

Status Opening::show(const FrameView& batch) {
  RecordCursor cursor(batch.header, batch.payload);
  RecordView record;
  while (cursor.next(record)) {
    opened_.recovered_records++;
    if (Status seen = visitor_.record(record); !seen.ok()) return named(seen);
  }
  opened_.last_time_us = batch.header.time_us;
  return {};
}

// Takes this segment as the source of copies from now on.
Status Opening::look_at(const format::SegmentHeader& header) {
  auto opened = directory_.open_segment(header.number, store_.segment_bytes);
  if (!opened.ok()) return opened.status();
  source_ = std::make_unique<Source>(directory_);
  source_->file = std::move(opened).value();
  source_->header = header;
  source_->window.look_at(source_->file, blocks_of(store_.segment_bytes));
  return {};
}

Status Opening::walk_again(const Chain& from, uint64_t last_seq, const BatchVisitor& visitor) {
  if (from.last_seq() >= last_seq) return {};
  std::optional<Damage> damage;
  Status walked =
      store::walk_again(source_->header, source_->window, from, last_seq, visitor, damage);
  return damage ? directory_.status_of(*damage) : walked;
}

// ---- the fresh segment ------------------------------------------------------------------------

Housekeeping::Plan Opening::plan_housekeeping() {
  Housekeeping::Plan plan;
  plan.rewrite = options_.rewrite_segments;
  plan.snapshots = std::move(listing_.snapshots);
  if (visitor_.history() == History::snapshot) plan.state = visitor_.make_state();
  if (plan.state != nullptr) plan.newest = std::move(snapshot_);
  snapshot_.reset();
  return plan;
}

Status Opening::install(SparePreparer& spares, std::span<std::byte> buffer) {
  const uint64_t now_ns = file_system_.monotonic_ns();
  if (now_ns < retry_ns_) return {};
  retry_ns_ = now_ns + limits::spare_retry_ns;
  buffer_ = buffer;
  Status status;
  bool waits = !opened_.current.file.valid() && !spares.ready();
  if (!opened_.current.file.valid() && !waits) {
    // A failure here can wait, whatever it is: nothing was changed yet.
    failure_ = make_reserve();
    waits = !failure_.ok();
    if (!waits) status = make_fresh(spares);
  }
  ESPORA_DEFECT(append_before_schema)
  publish_store_ = publish_store_ && opened_.current.header.number == 1;
  if (status.ok() && !waits && publish_store_) status = directory_.publish_store(store_);
  if (status.code() == Code::no_space) {
    failure_ = std::move(status);
    status = {};
    waits = true;
  }
  if (waits) status = secure();
  done_ = status.ok() && !waits;
  return status;
}

Status Opening::make_fresh(SparePreparer& spares) {
  Spare spare;
  ESPORA_CHECK(spares.take(spare));
  if (Status published = publish(std::move(spare)); !published.ok()) return published;
  if (Status shown = show_copied(); !shown.ok()) return shown;
  fresh_ = least_ = {};
  source_.reset();
  return {};
}

// Makes the reserve before the first append: a file with room for a segment's header and for the
// records that a crash leaves unproven, so that an opening on a full disk can make them durable and
// show them. The file gets its name when it is whole and flushed, and is kept from one opening to
// the next. The flush of the directory that publishes the fresh segment makes the name durable.
Status Opening::make_reserve() {
  ESPORA_DEFECT(no_reserve) return {};
  // A link must not be followed: its target is no file of the store, and would be written to.
  const sys::File there(file_system_,
                        file_system_.open(directory_.handle(), reserve_name, {.no_follow = true}));
  if (there.valid()) {
    const int64_t size = file_system_.size(there.get());
    if (size < 0) return reserve_failure(size, "fstat");
    if (static_cast<uint64_t>(size) == store_.segment_bytes) return {};
  }
  // In case an earlier attempt of this opening could not remove it.
  if (Status removed = directory_.remove(reserve_temporary_name); !removed.ok()) return removed;
  Status written = write_reserve();
  // An unfinished file would fill the disk further.
  if (!written.ok()) (void)directory_.remove(reserve_temporary_name);
  return written;
}

Status Opening::reserve_failure(int64_t result, const char* call) const {
  return failure_of(result, call, directory_.path() + "/" + reserve_name);
}

Status Opening::write_reserve() {
  const auto failed = [&](int result, const char* call) { return reserve_failure(result, call); };
  const sys::OpenFlags flags = {.write = true, .create = true, .exclusive = true, .in_place = true};
  const sys::File file(file_system_,
                       file_system_.open(directory_.handle(), reserve_temporary_name, flags));
  if (!file.valid()) return failed(file.get(), "open");
  const uint64_t bytes = reserve_bytes_of(store_.segment_bytes);
  int result;
  while ((result = file_system_.allocate(file.get(), bytes)) == -EINTR) {
  }
  if (result < 0 && result != -EOPNOTSUPP && result != -ENOSYS) return failed(result, "fallocate");
  const std::span<std::byte> zeros = buffer_.first(batch_bytes_max_of(store_.segment_bytes));
  std::memset(zeros.data(), 0, zeros.size());
  for (uint64_t at = 0; at < bytes; at += zeros.size()) {
    const Bytes part = zeros.first(std::min<uint64_t>(zeros.size(), bytes - at));
    result = write_all(file_system_, file.get(), part, at);
    if (result < 0) return failed(result, "pwrite");
  }
  // It has a segment's size, but allocated space only at its beginning.
  result = write_all(file_system_, file.get(), zeros.first(block_bytes),
                     store_.segment_bytes - block_bytes);
  if (result < 0) return failed(result, "pwrite");
  result = file_system_.fsync(file.get());
  if (result < 0) return failed(result, "fsync");
  result = file_system_.rename(directory_.handle(), reserve_temporary_name, reserve_name);
  return result < 0 ? failed(result, "rename") : Status();
}

// There is no space for a segment: copies the unproven records into the reserve and publishes it as
// a segment to which nothing is appended. One with all its room replaces it later. Also returns ok
// if the reserve cannot be used; then whole() stays false.
Status Opening::secure() {
  if (whole_) return {};
  const uint64_t bytes = (1 + least_.copied_blocks) * block_bytes;
  const uint64_t room = reserve_bytes_of(store_.segment_bytes);
  if (bytes > room) {
    unsecured_ = "nothing proves yet that the device has them, and they need " +
                 std::to_string(bytes) + " bytes, " + reserve_name + " has " + std::to_string(room);
    return {};
  }
  const bool direct = directory_.direct();
  Spare reserve{{}, reserve_name, direct};
  reserve.file = sys::File(file_system_,
                           file_system_.open(directory_.handle(), reserve_name,
                                             {.write = true, .direct = direct, .no_follow = true}));
  if (!reserve.file.valid()) {
    unsecured_ = failure_of(reserve.file.get(), "open", reserve_name).message();
    return {};
  }
  if (const int64_t size = file_system_.size(reserve.file.get());
      size != static_cast<int64_t>(store_.segment_bytes)) {
    unsecured_ = std::string(reserve_name) + " is not of a segment's size";
    return {};
  }
  std::swap(fresh_, least_);
  Status status = publish(std::move(reserve));
  if (status.ok()) status = show_copied();
  // Takes later copies from the new segment, so that the replaced one is closed and frees its
  // space.
  if (status.ok()) status = look_at(fresh_.header);
  if (status.ok()) fresh_.copied_from = start_of(fresh_.header);
  opened_.current.file.reset();
  if (!status.ok()) std::swap(fresh_, least_);
  if (status.code() == Code::no_space) {
    unsecured_ = status.message();
    return {};
  }
  return status;
}

Status Opening::publish(Spare spare) {
  const auto give_up = [&](Status status) {
    if (spare.name != reserve_name) {
      (void)file_system_.unlink(directory_.handle(), spare.name.c_str());
    }
    return status;
  };
  int result = file_system_.random(std::as_writable_bytes(std::span(&fresh_.header.nonce, 1)));
  if (result < 0) return give_up(spare_failure(spare, result, "getrandom"));
  bool copies = true;
  ESPORA_DEFECT(copy_after_publication) copies = false;
  ESPORA_DEFECT(reuse_segment) reuse_segment(spare);
  if (Status wrote = write_fresh(spare, copies); !wrote.ok()) return give_up(std::move(wrote));
  result = file_system_.fsync(spare.file.get());
  if (result < 0) return give_up(spare_failure(spare, result, "fsync"));
  // From here on the name may refer to the new file, whatever rename() and fsync() return.
  const std::string name = segment_name(fresh_.header.number);
  result = file_system_.rename(directory_.handle(), spare.name.c_str(), name.c_str());
  if (result < 0) {
    return Status::from_errno(Code::io, -result, "rename", directory_.path() + "/" + name);
  }
  if (Status synced = directory_.sync(); !synced.ok()) return synced;
  ESPORA_DEFECT(copy_after_publication) {
    if (Status wrote = write_fresh(spare, true); !wrote.ok()) return wrote;
    result = file_system_.fsync(spare.file.get());
    if (result < 0) return spare_failure(spare, result, "fsync");
  }
  adopt_fresh(std::move(spare));
  return {};
}

#ifdef ESPORA_SIMULATION
// Defect::reuse_segment: overwrites in place the file that has the name.
void Opening::reuse_segment(Spare& spare) {
  const std::string name = segment_name(fresh_.header.number);
  sys::File file(file_system_, file_system_.open(directory_.handle(), name.c_str(),
                                                 {.write = true, .direct = spare.direct}));
  if (file.valid()) spare = {std::move(file), name, spare.direct};
}
#endif

Status Opening::spare_failure(const Spare& spare, int result, const char* call) const {
  const Code code = sys::code_from_errno(-result);
  return Status::from_errno(code == Code::no_space ? code : Code::io, -result, call,
                            directory_.path() + "/" + spare.name);
}

// Writes the copied batches and then the header, and records in `opened_.current` where they end.
Status Opening::write_fresh(const Spare& spare, bool copies) {
  CurrentSegment& current = opened_.current;
  current = {};
  current.header = fresh_.header;
  current.seed = frame_seed(fresh_.header.nonce);
  current.frame_crc = fresh_.header.previous_frame_crc;
  current.end_frame_crc = current.frame_crc;
  current.end_time_us = fresh_.header.previous_time_us;
  current.end_seq = fresh_.header.previous_last_seq;

  size_t used = 0;
  uint32_t block = 1;  // of the buffer's start
  const auto write_out = [&] {
    const int result = write_all(file_system_, spare.file.get(), buffer_.first(used),
                                 uint64_t{block} * block_bytes);
    block += blocks_of(used);
    used = 0;
    return result < 0 ? spare_failure(spare, result, "pwrite") : Status();
  };
  const auto copy = [&](const FrameView& batch) {
    format::FrameHeader frame{};
    const size_t bytes = sizeof frame + batch.payload.size();
    const size_t extent = round_up(bytes, block_bytes);
    if (used + extent > buffer_.size()) {
      if (Status wrote = write_out(); !wrote.ok()) return wrote;
    }
    frame.type = static_cast<uint16_t>(format::FrameType::batch);
    frame.segment = fresh_.header.number;
    frame.block = block + blocks_of(used);
    frame.epoch = fresh_.header.epoch;
    frame.first_seq = batch.header.first_seq;
    frame.durable_seq = std::min(fresh_.proven_seq, frame.first_seq - 1);
    frame.time_us = batch.header.time_us;
    frame.record_count = batch.header.record_count;
    frame.payload_bytes = static_cast<uint32_t>(batch.payload.size());
    frame.previous_frame_crc = current.frame_crc;
    const std::span<std::byte> place = buffer_.subspan(used, extent);
    std::memset(place.data() + bytes, 0, extent - bytes);
    std::memcpy(place.data() + sizeof frame, batch.payload.data(), batch.payload.size());
    current.frame_crc = finish_frame(frame, place.first(bytes), current.seed);
    current.end_frame_crc = current.frame_crc;
    current.end_block = frame.block + blocks_of(extent);
    current.end_seq = frame.first_seq + frame.record_count - 1;
    current.end_time_us = frame.time_us;
    used += extent;
    return Status();
  };
  if (copies) {
    Status copied = walk_again(fresh_.copied_from, fresh_.header.durable_seq, copy);
    if (!copied.ok()) return copied;
  }
  if (Status wrote = write_out(); !wrote.ok()) return wrote;
  BlockBuffer header(block_bytes);
  encode_segment_header(fresh_.header, header.span());
  const int result = write_all(file_system_, spare.file.get(), header.span(), 0);
  return result < 0 ? spare_failure(spare, result, "pwrite") : Status();
}

void Opening::adopt_fresh(Spare spare) {
  CurrentSegment& current = opened_.current;
  ESPORA_CHECK(current.end_seq == fresh_.header.durable_seq);
  current.file = std::move(spare.file);
  current.durable_seq = current.end_seq;
  opened_.segment = fresh_.header.number;
  opened_.epoch = fresh_.header.epoch;
  opened_.direct_io = spare.direct;
  opened_.last_seq = current.end_seq;
  opened_.last_time_us = std::max(opened_.last_time_us, current.end_time_us);
}

Status Opening::show_copied() {
  bool any = false;
  const auto show_one = [&](const FrameView& batch) {
    any = true;
    opened_.unproven_records += batch.header.record_count;
    return show(batch);
  };
  const uint64_t last_seq = fresh_.header.durable_seq;
  if (Status shown = walk_again(shown_, last_seq, show_one); !shown.ok()) return shown;
  shown_.next_seq = last_seq + 1;
  const Status ended = any ? visitor_.end() : Status();
  whole_ = whole_ || ended.ok();
  return named(ended);
}

}  // namespace espora::store
