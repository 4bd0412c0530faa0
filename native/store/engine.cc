#include "store/engine.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "sys/check.h"
#include "sys/limits.h"

namespace espora::store {

using format::block_bytes;
using sys::Code;
using sys::Status;

sys::Result<std::vector<std::byte>> RecordVisitor::schema_changed(Bytes stored, Bytes given) {
  const auto quoted = [](Bytes bytes) {
    return "\"" + std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) + "\"";
  };
  return Status(Code::invalid, "the store was made with the schema " + quoted(stored) +
                                   ", it cannot be opened with " + quoted(given));
}

Status RecordVisitor::restore(Bytes, uint64_t seq) {
  return Status(Code::invalid, "the store has a snapshot at sequence " + std::to_string(seq) +
                                   ", which this owner cannot use");
}

Engine::~Engine() = default;

namespace {

bool is_full(int64_t result) noexcept { return result == -ENOSPC || result == -EDQUOT; }

Status check_length(const char* what, size_t bytes, size_t bytes_max) {
  if (bytes <= bytes_max) return {};
  return Status(Code::invalid, "a " + std::string(what) + " of " + std::to_string(bytes) +
                                   " bytes, at most " + std::to_string(bytes_max) +
                                   " are possible");
}

Status check_options(const Options& options) {
  const uint64_t size = options.segment_bytes;
  if (size != 0 && (size < limits::segment_bytes_min || size > limits::segment_bytes_max ||
                    size % limits::segment_bytes_step != 0)) {
    return Status(Code::invalid, "a segment of " + std::to_string(size) +
                                     " bytes: give a multiple of 256 KiB from 1 MiB to 256 MiB");
  }
  if (Status fits = check_length("kind", options.kind.size(), limits::store_kind_bytes_max);
      !fits.ok()) {
    return fits;
  }
  return check_length("schema", options.schema.size(), limits::store_schema_bytes_max);
}

}  // namespace

// ---- opening ----------------------------------------------------------------------------------

Engine::Engine(sys::FileSystem& file_system, const Options& options, Directory directory,
               StoreLock lock)
    : file_system_(file_system),
      options_(options),
      directory_(std::move(directory)),
      lock_(std::move(lock)),
      header_block_(block_bytes) {}

sys::Result<std::unique_ptr<Engine>> Engine::open(sys::FileSystem& file_system,
                                                  const Options& options, RecordVisitor& visitor) {
  if (Status checked = check_options(options); !checked.ok()) return checked;
  auto directory =
      Directory::open(file_system, options.directory, options.create, options.direct_io);
  if (!directory.ok()) return directory.status();
  auto lock = directory.value().lock(options.lock_retry_ms);
  if (!lock.ok()) return lock.status();
  std::unique_ptr<Engine> engine(
      new Engine(file_system, options, std::move(directory).value(), std::move(lock).value()));
  Status started = engine->start(visitor);
  if (!started.ok()) {
    if (engine->housekeeping_) engine->housekeeping_->discard();
    if (engine->spares_) engine->spares_->discard();
    return started;
  }
  return engine;
}

Status Engine::start(RecordVisitor& visitor) {
  stats_.file_system = std::max<int64_t>(0, file_system_.type(directory_.handle()));
  opening_ = std::make_unique<Opening>(file_system_, options_, visitor, directory_);
  if (Status read = opening_->read(); !read.ok()) return read;
  if (Status prepared = prepare(); !prepared.ok()) return prepared;
  const Status installed = opening_->install(*spares_, work_.buffer.span());
  return adopt(installed.ok() ? opening_->settle(*spares_) : installed);
}

Status Engine::prepare() {
  const StoreFacts& store = opening_->store();
  batch_bytes_max_ = batch_bytes_max_of(store.segment_bytes);
  segment_blocks_ = blocks_of(store.segment_bytes);
  // A batch of an earlier version, which kept no block for a seal, may be one block longer.
  open_.buffer = BlockBuffer(batch_bytes_max_ + block_bytes);
  work_.buffer = BlockBuffer(batch_bytes_max_ + block_bytes);
  spares_ = std::make_unique<SparePreparer>(file_system_, directory_.handle(), directory_.path(),
                                            store.segment_bytes, directory_.direct());
  housekeeping_ = std::make_unique<Housekeeping>(
      file_system_, directory_.handle(), directory_.path(), store, opening_->plan_housekeeping());
  const Status prepared = spares_->prepare_now();
  return prepared.code() == Code::no_space ? Status() : prepared;
}

// Takes over the result of an attempt to open.
Status Engine::adopt(const Status& installed) {
  if (!installed.ok()) {
    failure_ = installed;
    housekeeping_->stop();
    return installed;
  }
  Opened& opened = opening_->opened();
  last_seq_ = acknowledged_seq_ = durable_seq_ = opened.last_seq;
  last_time_us_ = opened.last_time_us;
  stats_.recovered_records = opened.recovered_records;
  stats_.unproven_records = opened.unproven_records;
  stats_.snapshot_seq = opened.snapshot_seq;
  stats_.segment = opened.segment;
  stats_.epoch = opened.epoch;
  stats_.direct_io = opened.direct_io;
  if (!opening_->done()) return {};
  next_block_ = opened.current.end_block;
  current_ = std::move(opened.current);
  housekeeping_->closed(current_.header.number, stats_.direct_io);
  opening_.reset();
  return {};
}

// ---- append side ------------------------------------------------------------------------------

Status Engine::poison(Code code) const { return Status(code, failure_.message()); }

// Whether housekeeping made the store unusable; copies its failure.
bool Engine::housekeeping_failed() {
  if (!housekeeping_->failed()) [[likely]]
    return false;
  if (failure_.ok()) failure_ = housekeeping_->failure();
  return true;
}

// Why there is no next segment. The obstacle is not a failure of the store: nothing was changed,
// and the segment is prepared again each second.
Status Engine::no_segment(const Status& why) const {
  Code code = why.code();
  switch (code) {
    case Code::no_space:
    case Code::resources:
    case Code::permission:
    case Code::unsupported:
      break;
    default:
      code = Code::failed;
  }
  ESPORA_DEFECT(any_failure_is_full) code = Code::no_space;
  return Status(code, directory_.path() + ": there is no next segment: " + why.message());
}

// Why nothing of any size can be appended.
Status Engine::refusal() const {
  if (closed_) return Status(Code::closed, directory_.path() + ": the store is closed");
  if (poisoned()) return poison(Code::failed);
  if (!appendable()) {
    const Status spare = spares_->failure();
    if (!spare.ok()) return no_segment(spare);
    if (!opening_->failure().ok()) return no_segment(opening_->failure());
    return Status(Code::no_space, directory_.path() + ": there was no space for a segment");
  }
  return {};
}

Status Engine::unsecured() const {
  const Status refused = refusal();
  return Status(refused.code(),
                refused.message() +
                    "; the newest records can't be secured without it: " + opening_->unsecured());
}

Status Engine::reserve(size_t payload_bytes, uint32_t records) {
  if (closed_ || poisoned() || !appendable() || housekeeping_failed()) [[unlikely]]
    return refusal();
  if (full_until_ns_ != 0) [[unlikely]] {
    if (file_system_.monotonic_ns() < full_until_ns_) return full_;
    full_until_ns_ = 0;
  }
  const size_t bytes = reservation_bytes(payload_bytes, records);
  if (bytes > batch_payload_bytes_max()) [[unlikely]] {
    return Status(Code::too_large, "a batch of " + std::to_string(bytes) + " bytes, at most " +
                                       std::to_string(batch_payload_bytes_max()) + " are possible");
  }
  const size_t end = open_.used + bytes;
  if (end > batch_bytes_max_) [[unlikely]] {
    return Status(Code::overloaded, "the open batch is full");
  }
  if (next_block_ + blocks_of(end) > batches_end() && !reserved_spare_.file.valid() &&
      !spares_->take(reserved_spare_)) [[unlikely]] {
    if (const Status failed = spares_->failure(); !failed.ok()) return no_segment(failed);
    spares_->hurry();
    return Status(Code::unavailable, "the next segment is not ready yet");
  }
  open_.reserved = end;
  return {};
}

uint64_t Engine::batch_time_us() noexcept {
  if (!open_.timed) {
    open_.timed = true;
    open_.time_us = std::max(last_time_us_, file_system_.realtime_us());
  }
  return open_.time_us;
}

std::span<std::byte> Engine::append_in_place(uint16_t type, uint16_t flags, size_t size) noexcept {
  const size_t extent = record_extent(size);
  ESPORA_CHECK(open_.used + extent <= open_.reserved);
  if (open_.records == 0) {
    last_time_us_ = batch_time_us();
    open_.first_seq = last_seq_ + 1;
  }
  std::byte* bytes = put_record(open_.buffer.data() + open_.used, type, flags, size);
  open_.used += extent;
  open_.records++;
  last_seq_++;
  return {bytes, size};
}

uint64_t Engine::append(uint16_t type, uint16_t flags, Bytes bytes) noexcept {
  const std::span<std::byte> place = append_in_place(type, flags, bytes.size());
  if (!bytes.empty()) std::memcpy(place.data(), bytes.data(), bytes.size());
  return last_seq_;
}

// ---- beginning and completing -----------------------------------------------------------------

void Engine::begin(WorkKind kind, Phase phase) noexcept {
  work_.kind = kind;
  work_.phase = phase;
  work_.encoded = false;
  work_.roll = false;
  work_.bytes = 0;
  work_.written = 0;
  work_.flushes = 0;
  work_.block_before = next_block_;
  work_.refused_in = Phase::idle;
  work_.looked = 0;
}

bool Engine::begin_commit() noexcept {
  if (work_.kind != WorkKind::none || poisoned() || housekeeping_failed()) return false;
  if (open_.records == 0) {
    open_.reserved = 0;
    open_.timed = false;
    return false;
  }
  ESPORA_DEFECT(rewrite_partial_block) absorb_last_frame();
  begin(WorkKind::batch, torn_ ? Phase::erase : Phase::write);
  const uint32_t blocks = blocks_of(open_.used);
  if (next_block_ + blocks > batches_end() || half_rolled_) {
    ESPORA_CHECK(reserved_spare_.file.valid());
    work_.roll = true;
    work_.spare = std::move(reserved_spare_);
    work_.phase = half_rolled_ ? Phase::rename : Phase::flush_before;
    half_rolled_ = false;
    next_block_ = 1;
  }
  work_.frame = {};
  work_.frame.type = static_cast<uint16_t>(format::FrameType::batch);
  work_.frame.block = next_block_;
  work_.frame.first_seq = open_.first_seq;
  work_.frame.time_us = open_.time_us;
  work_.frame.record_count = open_.records;
  work_.frame.payload_bytes = static_cast<uint32_t>(open_.used - sizeof(format::FrameHeader));
  work_.bytes = size_t{blocks} * block_bytes;
  next_block_ += blocks;
  spares_->set_used(uint64_t{next_block_} * block_bytes);
  std::swap(work_.buffer, open_.buffer);
  BlockBuffer buffer = std::move(open_.buffer);
  open_ = {};
  open_.buffer = std::move(buffer);
  return true;
}

#ifdef ESPORA_SIMULATION
// Defect::rewrite_partial_block: merges the open batch into the last frame, in the place of that
// frame, if both fit into its last block.
void Engine::absorb_last_frame() noexcept {
  const format::FrameHeader& last = work_.frame;
  const size_t last_bytes = last.payload_bytes;
  const size_t open_bytes = open_.used - sizeof last;
  const uint32_t blocks = blocks_of(sizeof last + last_bytes);
  if (last.record_count == 0 || last.time_us != open_.time_us ||
      last.segment != current_.header.number || last.epoch != current_.header.epoch ||
      last.block + blocks != next_block_ ||
      blocks_of(sizeof last + last_bytes + open_bytes) != blocks ||
      last.header_crc != current_.frame_crc) {
    return;
  }
  std::byte* payload = open_.buffer.data() + sizeof last;
  std::memmove(payload + last_bytes, payload, open_bytes);
  std::memcpy(payload, work_.buffer.data() + sizeof last, last_bytes);
  open_.used += last_bytes;
  open_.records += last.record_count;
  open_.first_seq = last.first_seq;
  next_block_ = last.block;
  current_.frame_crc = last.previous_frame_crc;
  current_.durable_seq = last.first_seq - 1;
}
#endif

bool Engine::begin_flush() noexcept {
  if (work_.kind != WorkKind::none || poisoned() || housekeeping_failed() ||
      durable_seq_ == acknowledged_seq_) {
    return false;
  }
  begin(WorkKind::flush, Phase::flush);
  return true;
}

bool Engine::can_seal() const noexcept {
  return unsealed_ && appendable() && !half_rolled_ && !poisoned() && next_block_ < segment_blocks_;
}

bool Engine::begin_seal() noexcept {
  if (work_.kind != WorkKind::none || open_.records != 0 || housekeeping_failed() || !can_seal()) {
    return false;
  }
  open_.reserved = 0;  // the reserved block may be the one that the seal takes
  begin(WorkKind::seal, Phase::flush_before);
  work_.frame = {};
  work_.frame.type = static_cast<uint16_t>(format::FrameType::seal);
  work_.frame.block = next_block_++;
  work_.frame.first_seq = last_seq_ + 1;
  work_.frame.time_us = last_time_us_;
  work_.bytes = block_bytes;
  return true;
}

Status Engine::complete() {
  ESPORA_CHECK(work_.kind != WorkKind::none && work_.phase == Phase::idle);
  const WorkKind kind = work_.kind;
  work_.kind = WorkKind::none;
  stats_.flushes += work_.flushes;
  if (work_.refused_in != Phase::idle) [[unlikely]]
    return complete_refused(kind);
  if (work_.error != 0) {
    // The failed call may have taken effect: nothing in memory above durable_seq counts any more.
    housekeeping_->stop();
    failure_ = Status::from_errno(Code::io, work_.error, work_.call, work_.file);
    return Status::from_errno(Code::indeterminate, work_.error, work_.call, work_.file);
  }
  stats_.bytes_written += work_.bytes;
  stats_.segment = current_.header.number;
  if (work_.roll) {
    stats_.rolls++;
    housekeeping_->closed(current_.header.number, stats_.direct_io);
  }
  if (kind == WorkKind::batch) {
    const uint64_t now_ns = file_system_.monotonic_ns();
    const uint64_t before = acknowledged_seq_;
    if (durable_seq_ == before) unflushed_since_ns_ = now_ns;
    acknowledged_seq_ = current_.end_seq;
    idle_since_ns_ = now_ns;
    unsealed_ = true;
    stats_.batches++;
    stats_.records += acknowledged_seq_ - before;
    // A roll flushed everything before this batch.
    if (work_.roll && current_.durable_seq != acknowledged_seq_) unflushed_since_ns_ = now_ns;
  } else if (kind == WorkKind::seal) {
    unsealed_ = false;
    stats_.seals++;
  }
  durable_seq_ = current_.durable_seq;
  if (kind != WorkKind::flush) torn_ = false;
  return {};
}

// Drops the refused work: nothing of it counts, and its place is free again.
Status Engine::complete_refused(WorkKind kind) {
  const int error = std::exchange(work_.error, 0);
  next_block_ = work_.block_before;
  if (work_.roll) {
    settle_refused_roll();
  } else if (work_.refused_in != Phase::erase) {
    torn_ = work_.torn;
  }
  spares_->set_used(uint64_t{next_block_} * block_bytes);
  durable_seq_ = current_.durable_seq;
  const uint64_t now_ns = file_system_.monotonic_ns();
  // A missing seal does no harm: what it states is true without it.
  if (kind == WorkKind::seal) {
    idle_since_ns_ = now_ns;
    return {};
  }
  last_seq_ = current_.end_seq;
  BlockBuffer buffer = std::move(open_.buffer);
  open_ = {};
  open_.buffer = std::move(buffer);
  full_until_ns_ = now_ns + limits::spare_retry_ns;
  full_ = Status::from_errno(Code::no_space, error, work_.call, work_.file);
  return full_;
}

// Decides where the next batch goes after one that should have gone into a new segment.
void Engine::settle_refused_roll() {
  switch (work_.refused_in) {
    case Phase::rename:
      // The successor's header states where the current segment ends, and the rename may still take
      // effect. So nothing more is written here; every further batch first tries the rename again.
      half_rolled_ = true;
      [[fallthrough]];
    case Phase::header:
      if (reserved_spare_.file.valid()) {
        reserved_spare_.file.reset();
        (void)directory_.remove(reserved_spare_.name);
      }
      reserved_spare_ = std::move(work_.spare);
      return;
    case Phase::header_flush:
      // A second flush of the file may report success for data that the first one dropped.
      work_.spare.file.reset();
      (void)directory_.remove(work_.spare.name);
      return;
    default:
      // The new segment is published, without this batch.
      next_block_ = 1;
      torn_ = work_.torn;
      stats_.rolls++;
      stats_.segment = current_.header.number;
      housekeeping_->closed(current_.header.number, stats_.direct_io);
      return;
  }
}

// ---- steps ------------------------------------------------------------------------------------

void Engine::fail(int result, const char* call, std::string file) noexcept {
  work_.error = -result;
  work_.call = call;
  work_.file = directory_.path() + "/" + std::move(file);
  work_.phase = Phase::idle;
}

// Refuses the current work for lack of space: nothing of it counts.
void Engine::refuse(int result, const char* call, std::string file) noexcept {
  work_.torn = false;
  work_.refused_in = work_.phase;
  fail(result, call, std::move(file));
}

namespace {

int flush_file(sys::FileSystem& file_system, int file) noexcept {
  ESPORA_DEFECT(skip_flush) return 0;
  const int result = file_system.fdatasync(file);
  ESPORA_DEFECT(retry_failed_flush) return result < 0 ? file_system.fdatasync(file) : result;
  return result;
}

}  // namespace

bool Engine::flush_current() noexcept {
  const int result = flush_file(file_system_, current_.file.get());
  if (result < 0) {
    fail(result, "fdatasync", segment_name(current_.header.number));
    return false;
  }
  work_.flushes++;
  current_.dirty = false;
  current_.durable_seq = current_.end_seq;
  return true;
}

void Engine::step() noexcept {
  switch (work_.phase) {
    case Phase::idle:
      return;
    case Phase::flush_before: {
      const Phase then = work_.roll ? Phase::header : torn_ ? Phase::erase : Phase::write;
      ESPORA_DEFECT(roll_without_flush) if (work_.roll) current_.dirty = false;
      if (!current_.dirty) {
        next_phase(then);
        return step();
      }
      if (flush_current()) next_phase(then);
      return;
    }
    case Phase::header:
      return write_header();
    case Phase::header_flush: {
      const int result = file_system_.fsync(work_.spare.file.get());
      if (is_full(result)) return refuse(result, "fsync", work_.spare.name);
      if (result < 0) return fail(result, "fsync", work_.spare.name);
      return next_phase(Phase::rename);
    }
    case Phase::rename: {
      const std::string name = segment_name(current_.header.number + 1);
      const int result =
          file_system_.rename(directory_.handle(), work_.spare.name.c_str(), name.c_str());
      ESPORA_DEFECT(ignore_failed_rename) return next_phase(Phase::directory_flush);
      if (is_full(result)) return refuse(result, "rename", name);
      if (result < 0) return fail(result, "rename", name);
      return next_phase(Phase::directory_flush);
    }
    case Phase::directory_flush: {
      if (Status synced = directory_.sync(); !synced.ok())
        return fail(-synced.error(), "fsync", ".");
      // The flush of the directory that failed in housekeeping may have covered this rename, too.
      if (housekeeping_->failed()) return fail(-EIO, "fsync", ".");
      adopt_spare();
      return next_phase(Phase::write);
    }
    case Phase::erase:
      return erase();
    case Phase::erase_flush:
      if (flush_current()) next_phase(Phase::write);
      return;
    case Phase::write:
      return write_frame();
    case Phase::look_back:
      return look_back();
    case Phase::flush:
      if (flush_current()) next_phase(Phase::idle);
      return;
  }
}

void Engine::write_header() noexcept {
  if (!work_.encoded) {
    format::SegmentHeader header = current_.header;
    header.number++;
    header.first_seq = current_.end_seq + 1;
    header.durable_seq = current_.end_seq;
    header.previous_number = current_.header.number;
    header.previous_end_block = current_.end_block;
    header.previous_last_seq = current_.end_seq;
    header.previous_frame_crc = current_.end_frame_crc;
    header.previous_time_us = current_.end_time_us;
    const int result = file_system_.random(std::as_writable_bytes(std::span(&header.nonce, 1)));
    if (result < 0) return fail(result, "getrandom", work_.spare.name);
    encode_segment_header(header, header_block_.span());
    work_.encoded = true;
  }
  const int64_t wrote =
      file_system_.pwrite(work_.spare.file.get(), header_block_.data(), block_bytes, 0);
  if (wrote == -EINTR || (wrote > 0 && static_cast<size_t>(wrote) < block_bytes)) return;
  if (is_full(wrote)) return refuse(static_cast<int>(wrote), "pwrite", work_.spare.name);
  if (wrote <= 0) {
    return fail(wrote == 0 ? -EIO : static_cast<int>(wrote), "pwrite", work_.spare.name);
  }
  work_.encoded = false;
  next_phase(Phase::header_flush);
}

void Engine::adopt_spare() noexcept {
  format::SegmentHeader header;
  ESPORA_CHECK(decode_segment_header(header_block_.span(), header) == HeaderState::valid);
  current_.file = std::move(work_.spare.file);
  current_.header = header;
  current_.seed = frame_seed(header.nonce);
  current_.frame_crc = header.previous_frame_crc;
  current_.end_block = 1;
  current_.end_frame_crc = header.previous_frame_crc;
  current_.dirty = false;
}

void Engine::encode_frame() noexcept {
  format::FrameHeader& frame = work_.frame;
  frame.segment = current_.header.number;
  frame.epoch = current_.header.epoch;
  frame.durable_seq = current_.durable_seq;
  ESPORA_DEFECT(drop_durable_seq) frame.durable_seq = 0;
  frame.previous_frame_crc = current_.frame_crc;
  const size_t used = sizeof frame + frame.payload_bytes;
  std::memset(work_.buffer.data() + used, 0, work_.bytes - used);
  frame.header_crc = finish_frame(frame, {work_.buffer.data(), used}, current_.seed);
  work_.encoded = true;
}

void Engine::write_frame() noexcept {
  if (!work_.encoded) encode_frame();
  current_.dirty = true;
  const format::FrameHeader& frame = work_.frame;
  const int64_t wrote = file_system_.pwrite(
      current_.file.get(), work_.buffer.data() + work_.written, work_.bytes - work_.written,
      uint64_t{frame.block} * block_bytes + work_.written);
  if (wrote == -EINTR) return;
  if (wrote <= 0) {
    const int result = wrote == 0 ? -EIO : static_cast<int>(wrote);
    const std::string file = segment_name(current_.header.number);
    // A seal can be refused without harm: what it states is true without it.
    if (is_full(wrote) && frame.record_count == 0) return refuse(result, "pwrite", file);
    fail(result, "pwrite", file);
    if (is_full(wrote)) next_phase(Phase::look_back);
    return;
  }
  // A partly written block is written again: it is not durable yet.
  work_.written += static_cast<size_t>(wrote) / block_bytes * block_bytes;
  if (work_.written < work_.bytes) return;
  current_.frame_crc = frame.header_crc;
  if (frame.record_count != 0) {
    current_.end_block = frame.block + blocks_of(work_.bytes);
    current_.end_frame_crc = frame.header_crc;
    current_.end_seq = frame.first_seq + frame.record_count - 1;
    current_.end_time_us = frame.time_us;
  }
  const bool flushes = options_.sync == Sync::always || work_.kind == WorkKind::seal;
  next_phase(flushes ? Phase::flush : Phase::idle);
}

// A write found no space, although the batch's place was allocated. Reads the place back to find
// out whether the batch was written nevertheless. If all of it was, its fate is unknown, and the
// error stands. Otherwise the batch is refused. It never becomes whole later, because the next
// frame has another header in the same place. If its header was written, that header must be erased
// first: if the next frame were torn, the old header could otherwise complete the refused batch.
void Engine::look_back() noexcept {
  const std::byte* meant = work_.buffer.data() + work_.looked;
  const int64_t got = file_system_.pread(current_.file.get(), header_block_.data(), block_bytes,
                                         uint64_t{work_.frame.block} * block_bytes + work_.looked);
  if (got == -EINTR) return;
  const bool read = got == static_cast<int64_t>(block_bytes);
  bool there = read && std::memcmp(header_block_.data(), meant, block_bytes) == 0;
  ESPORA_DEFECT(refuse_without_looking) there = false;
  if (there) {
    work_.looked += block_bytes;
    if (work_.looked == work_.bytes) next_phase(Phase::idle);
    return;
  }
  if (read) {
    work_.refused_in = Phase::look_back;
    work_.torn = work_.looked != 0 ||
                 std::memcmp(header_block_.data(), meant, sizeof(format::FrameHeader)) == 0;
  }
  next_phase(Phase::idle);
}

// Erases the header of a refused batch before its place is overwritten.
void Engine::erase() noexcept {
  std::memset(header_block_.data(), 0, block_bytes);
  current_.dirty = true;
  const int64_t wrote = file_system_.pwrite(current_.file.get(), header_block_.data(), block_bytes,
                                            uint64_t{work_.frame.block} * block_bytes);
  if (wrote == -EINTR || (wrote > 0 && static_cast<size_t>(wrote) < block_bytes)) return;
  const std::string file = segment_name(current_.header.number);
  if (is_full(wrote)) return refuse(static_cast<int>(wrote), "pwrite", file);
  if (wrote <= 0) return fail(wrote == 0 ? -EIO : static_cast<int>(wrote), "pwrite", file);
  next_phase(Phase::erase_flush);
}

// ---- the inline driver ------------------------------------------------------------------------

Status Engine::run() noexcept {
  while (working()) step();
  return complete();
}

Status Engine::commit() {
  if (poisoned() || housekeeping_failed()) return poison(Code::failed);
  return begin_commit() ? run() : Status();
}

Status Engine::flush() {
  if (poisoned()) return poison(Code::failed);
  if (begin_flush()) {
    if (Status flushed = run(); !flushed.ok()) return flushed;
  }
  return options_.sync == Sync::always ? Status() : seal();
}

Status Engine::seal() {
  if (poisoned()) return poison(Code::failed);
  return begin_seal() ? run() : Status();
}

Status Engine::maintain() {
  ESPORA_CHECK(work_.kind == WorkKind::none);
  if (closed_) return refusal();
  if (poisoned() || housekeeping_failed()) return poison(Code::failed);
  if (!appendable()) return adopt(opening_->install(*spares_, work_.buffer.span()));
  const uint64_t now_ns = file_system_.monotonic_ns();
  if (options_.sync == Sync::interval && durable_seq_ != acknowledged_seq_ &&
      now_ns - unflushed_since_ns_ >= uint64_t{options_.flush_interval_ms} * 1'000'000) {
    if (Status flushed = begin_flush() ? run() : Status(); !flushed.ok()) return flushed;
  }
  if (options_.sync != Sync::never && now_ns - idle_since_ns_ >= limits::seal_idle_ns) {
    return seal();
  }
  return {};
}

uint64_t Engine::maintenance_due_ns() const noexcept {
  uint64_t due_ns = UINT64_MAX;
  if (closed_ || poisoned()) return due_ns;
  if (!appendable()) return opening_->retry_ns();
  if (options_.sync == Sync::interval && durable_seq_ != acknowledged_seq_) {
    due_ns = unflushed_since_ns_ + uint64_t{options_.flush_interval_ms} * 1'000'000;
  }
  if (options_.sync != Sync::never && can_seal()) {
    due_ns = std::min(due_ns, idle_since_ns_ + limits::seal_idle_ns);
  }
  return due_ns;
}

Status Engine::close() {
  ESPORA_CHECK(work_.kind == WorkKind::none);
  if (closed_) return {};
  Status status = commit();
  // A refusal for lack of space does not affect the rest.
  const bool goes_on = status.ok() || status.code() == Code::no_space;
  if (Status flushed = goes_on ? flush() : Status(); !flushed.ok()) status = std::move(flushed);
  if (Status sealed = goes_on ? seal() : Status(); !sealed.ok()) status = std::move(sealed);
  closed_ = true;
  if (poisoned()) housekeeping_->stop();
  housekeeping_->discard();
  spares_->discard();
  // Everything is proven durable, so no reserve is needed.
  if (status.ok() && appendable() && !unsealed_) (void)directory_.remove(reserve_name);
  if (reserved_spare_.file.valid()) {
    reserved_spare_.file.reset();
    (void)directory_.remove(reserved_spare_.name);
  }
  current_.file.reset();
  lock_.release();
  return status;
}

Stats Engine::stats() const noexcept {
  Stats stats = stats_;
  stats.segment_bytes = uint64_t{segment_blocks_} * block_bytes;
  stats.blocks_free = appendable() ? segment_blocks_ - next_block_ : 0;
  stats.spare_ready = spares_->ready();
  stats.housekeeping = housekeeping_->stats();
  return stats;
}

}  // namespace espora::store
