#include "store/spare_preparer.h"

#include <cerrno>
#include <cstring>

#include "store/defects.h"
#include "sys/limits.h"

namespace espora::store {

using sys::Status;

namespace {

BlockBuffer make_zeros() {
  BlockBuffer zeros(limits::spare_step_bytes);
  std::memset(zeros.data(), 0, zeros.size());
  return zeros;
}

}  // namespace

SparePreparer::SparePreparer(sys::FileSystem& file_system, int directory, std::string path,
                             uint64_t segment_bytes, bool direct)
    : file_system_(file_system),
      directory_(directory),
      path_(std::move(path)),
      segment_bytes_(segment_bytes),
      zeros_(make_zeros()),
      direct_(direct) {}

// ---- the engine's side ------------------------------------------------------------------------

bool SparePreparer::take(Spare& spare) {
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::ready) return false;
    spare = std::move(spare_);
    spare_ = {};
    state_ = State::create;
  }
  if (on_wanted_) on_wanted_();
  return true;
}

bool SparePreparer::ready() const {
  const std::lock_guard lock(mutex_);
  return state_ == State::ready;
}

Status SparePreparer::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void SparePreparer::hurry() {
  {
    const std::lock_guard lock(mutex_);
    if (hurried_ || state_ == State::ready) return;
    hurried_ = true;
  }
  if (on_wanted_) on_wanted_();
}

// ---- the driver's side ------------------------------------------------------------------------

// state_ is written under the mutex, because take() reads it; in all states but `ready` only the
// driver changes it, so the driver may read it without.
uint64_t SparePreparer::step() {
  State before;
  {
    const std::lock_guard lock(mutex_);
    before = state_;
  }
  switch (before) {
    case State::create:
      return create();
    case State::allocate:
      return allocate();
    case State::fill:
      return fill();
    case State::sync:
      return sync();
    case State::remove:
      return remove();
    case State::rest:
      return rest();
    case State::ready:
    case State::stopped:
      return never_ns;
  }
  return never_ns;
}

uint64_t SparePreparer::enter(State state) {
  const std::lock_guard lock(mutex_);
  state_ = state;
  return 0;
}

uint64_t SparePreparer::create() {
  spare_.name = spare_name(++count_);
  spare_.direct = direct_;
  filled_bytes_ = 0;
  const int file = file_system_.open(
      directory_, spare_.name.c_str(),
      {.write = true, .create = true, .exclusive = true, .direct = direct_, .in_place = true});
  if (file == -EINVAL && direct_) {
    // open(2) may have created the file before it refused O_DIRECT.
    direct_ = false;
    return enter(State::remove);
  }
  if (file < 0) return fail(file, "open");
  spare_.file = sys::File(file_system_, file);
  return enter(State::allocate);
}

uint64_t SparePreparer::allocate() {
  const int result = file_system_.allocate(spare_.file.get(), segment_bytes_);
  if (result == -EINTR) return 0;
  // Filling allocates, too; this only finds out earlier whether there is room.
  if (result == 0 || result == -EOPNOTSUPP || result == -ENOSYS) return enter(State::fill);
  return fail(result, "fallocate");
}

uint64_t SparePreparer::fill() {
  const uint64_t left = segment_bytes_ - filled_bytes_;
  const size_t count = left < zeros_.size() ? static_cast<size_t>(left) : zeros_.size();
  const int64_t wrote = file_system_.pwrite(spare_.file.get(), zeros_.data(), count, filled_bytes_);
  if (wrote == -EINTR) return 0;
  if (wrote == -EINVAL && direct_) {
    // Some file systems accept O_DIRECT at open(2) and refuse it here.
    direct_ = false;
    return enter(State::remove);
  }
  if (wrote <= 0) return fail(wrote == 0 ? -EIO : static_cast<int>(wrote), "pwrite");
  filled_bytes_ += static_cast<uint64_t>(wrote) / format::block_bytes * format::block_bytes;
  const std::lock_guard lock(mutex_);
  if (filled_bytes_ >= segment_bytes_) {
    state_ = State::sync;
    return 0;
  }
  const bool behind = filled_bytes_ < 2 * used_bytes_.load(std::memory_order_relaxed);
  return hurried_ || behind ? 0 : file_system_.monotonic_ns() + limits::spare_pause_ns;
}

uint64_t SparePreparer::sync() {
  int result = file_system_.fsync(spare_.file.get());
  ESPORA_DEFECT(continue_failed_spare) if (result < 0) {
    result = file_system_.fsync(spare_.file.get());
  }
  if (result < 0) return fail(result, "fsync");
  {
    const std::lock_guard lock(mutex_);
    state_ = State::ready;
    hurried_ = false;
    failure_ = {};
  }
  if (on_ready_) on_ready_();
  return never_ns;
}

Status SparePreparer::failure_of_call(int result, const char* call) const {
  return failure_of(result, call, path_ + "/" + spare_.name);
}

// A file that had an error is never continued: a second flush of it may report success for pages
// that the first one dropped.
uint64_t SparePreparer::fail(int result, const char* call) {
  retry_ns_ = file_system_.monotonic_ns() + limits::spare_retry_ns;
  {
    const std::lock_guard lock(mutex_);
    state_ = State::remove;
    failure_ = failure_of_call(result, call);
  }
  if (on_ready_) on_ready_();
  return 0;
}

// No new file before this one is removed, or a full disk would fill further.
uint64_t SparePreparer::remove() {
  spare_.file.reset();
  const int result = file_system_.unlink(directory_, spare_.name.c_str());
  if (result == 0 || result == -ENOENT) {
    enter(State::rest);
    return retry_ns_;
  }
  retry_ns_ = file_system_.monotonic_ns() + limits::spare_retry_ns;
  // Being removed because of O_DIRECT was not a failure.
  const std::lock_guard lock(mutex_);
  if (failure_.ok()) failure_ = failure_of_call(result, "unlink");
  return retry_ns_;
}

uint64_t SparePreparer::rest() {
  const uint64_t now_ns = file_system_.monotonic_ns();
  if (now_ns < retry_ns_) return retry_ns_;
  return enter(State::create);
}

Status SparePreparer::prepare_now() {
  hurry();
  for (;;) {
    step();
    if (ready()) return {};
    if (Status failed = failure(); !failed.ok()) return failed;
  }
}

void SparePreparer::discard() {
  Spare spare;
  {
    const std::lock_guard lock(mutex_);
    state_ = State::stopped;
    spare = std::move(spare_);
    spare_ = {};
  }
  if (!spare.file.valid()) return;
  spare.file.reset();
  // If it cannot be removed it is removed when the store is opened next.
  (void)file_system_.unlink(directory_, spare.name.c_str());
}

}  // namespace espora::store
