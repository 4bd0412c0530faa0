#include "sys/pipe.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "sys/check.h"
#include "sys/limits.h"

namespace espora::sys {

namespace {

IoResult splice_once(int from, int to, size_t bytes) noexcept {
  constexpr unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
  const ssize_t moved =
      uninterrupted([&] { return ::splice(from, nullptr, to, nullptr, bytes, flags); });
  IoResult result = io_result(moved);
  result.end = moved == 0;
  return result;
}

}  // namespace

LentPipe::LentPipe(LentPipe&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      read_end_(std::move(other.read_end_)),
      write_end_(std::move(other.write_end_)),
      size_(std::exchange(other.size_, 0)) {}

LentPipe& LentPipe::operator=(LentPipe&& other) noexcept {
  if (this != &other) {
    give_back();
    pool_ = std::exchange(other.pool_, nullptr);
    read_end_ = std::move(other.read_end_);
    write_end_ = std::move(other.write_end_);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

IoResult LentPipe::fill_from(int socket) noexcept {
  const IoResult result = splice_once(socket, write_end_.get(), limits::pipe_bytes);
  size_ += result.bytes;
  return result;
}

IoResult LentPipe::empty_into(int socket) noexcept {
  ESPORA_CHECK(size_ > 0);
  const IoResult result = splice_once(read_end_.get(), socket, size_);
  ESPORA_CHECK(result.bytes <= size_);
  size_ -= result.bytes;
  return result;
}

IoResult LentPipe::read(void* buffer, size_t bytes) noexcept {
  const ssize_t returned = uninterrupted([&] { return ::read(read_end_.get(), buffer, bytes); });
  IoResult result;
  if (returned < 0) {
    result.error = errno;
  } else {
    result.bytes = static_cast<size_t>(returned);
    ESPORA_CHECK(result.bytes <= size_);
    size_ -= result.bytes;
  }
  return result;
}

void LentPipe::give_back() noexcept {
  if (pool_ == nullptr) return;
  std::exchange(pool_, nullptr)
      ->take_back(std::move(read_end_), std::move(write_end_), std::exchange(size_, 0) == 0);
}

bool is_splice_unsupported(int error) noexcept {
  return error == ENOSYS || error == EINVAL || error == EPERM || error == EACCES ||
         error == EOPNOTSUPP;
}

PipePool::~PipePool() { ESPORA_CHECK(in_use_.get() == 0); }

LentPipe PipePool::lend() noexcept {
  if (in_use_.get() >= lent_max_) return {};
  if (!std::exchange(signal_blocked_, true)) {
    sigset_t broken_pipe;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    ESPORA_CHECK(pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr) == 0);
  }
  Pipe pipe;
  if (kept_.empty()) {
    kept_.reserve(limits::pipes_kept_max);  // so that giving back never allocates
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return {};
    pipe.read_end.reset(ends[0]);
    pipe.write_end.reset(ends[1]);
  } else {
    pipe = std::move(kept_.back());
    kept_.pop_back();
  }
  ++in_use_;
  peak_.raise_to(in_use_.get());
  return LentPipe(this, std::move(pipe.read_end), std::move(pipe.write_end));
}

void PipePool::disable() noexcept {
  lent_max_ = 0;
  trim();
}

void PipePool::take_back(Fd read_end, Fd write_end, bool empty) noexcept {
  --in_use_;
  if (!empty || !enabled() || kept_.size() >= limits::pipes_kept_max) return;
  kept_.push_back({std::move(read_end), std::move(write_end)});
}

}  // namespace espora::sys
