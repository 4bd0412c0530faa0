// Pipes to splice(2) through: bytes go from socket to socket without a visit to this process. Kept
// in a bounded pool, lent while a stream flows. All calls belong to one thread.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "sys/counter.h"
#include "sys/fd.h"
#include "sys/sockets.h"

namespace espora::sys {

class PipePool;

// One pipe on loan, with the bytes in it; or none. One that still holds bytes is closed when it is
// given back, or they would come out in another stream.
class LentPipe {
 public:
  LentPipe() noexcept = default;
  LentPipe(LentPipe&& other) noexcept;
  LentPipe& operator=(LentPipe&& other) noexcept;
  ~LentPipe() { give_back(); }

  // Whether there is a pipe at all.
  [[nodiscard]] bool valid() const noexcept { return read_end_.valid(); }
  // Bytes in it.
  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  // Takes what the socket has, up to what the pipe has room for. `again` has two meanings: while
  // the pipe holds bytes it may be full (its 16 slots hold one fragment each, however small), else
  // the socket is empty.
  IoResult fill_from(int socket) noexcept;
  // Hands what the pipe holds to the socket; `again`: it takes nothing now. No MSG_MORE is ever
  // implied, because no more is asked for than is there.
  IoResult empty_into(int socket) noexcept;
  // Copies out of the pipe, for a socket that cannot be spliced into.
  IoResult read(void* buffer, size_t bytes) noexcept;

  void give_back() noexcept;

 private:
  friend class PipePool;
  LentPipe(PipePool* pool, Fd read_end, Fd write_end) noexcept
      : pool_(pool), read_end_(std::move(read_end)), write_end_(std::move(write_end)) {}

  PipePool* pool_ = nullptr;
  Fd read_end_;
  Fd write_end_;
  size_t size_ = 0;
};

// Whether a failed splice means that this kernel, sandbox or socket has none: ENOSYS, EINVAL, and
// what a seccomp filter may say instead.
bool is_splice_unsupported(int error) noexcept;

// Its counters may be read from any thread. Must outlive what it lends.
class PipePool {
 public:
  explicit PipePool(size_t lent_max) noexcept : lent_max_(lent_max) {}
  ~PipePool();
  PipePool(const PipePool&) = delete;
  PipePool& operator=(const PipePool&) = delete;

  // An empty pipe; none when all are lent, when no descriptor is left, or after disable().
  // splice(2) raises SIGPIPE and has no flag against it: the first loan blocks it for this thread.
  LentPipe lend() noexcept;
  // Closes what is kept, so that others get the descriptors.
  void trim() noexcept { kept_.clear(); }
  // splice does not work here: nothing is lent any more.
  void disable() noexcept;
  [[nodiscard]] bool enabled() const noexcept { return lent_max_ > 0; }

  [[nodiscard]] const Counter& in_use() const noexcept { return in_use_; }
  [[nodiscard]] const Counter& peak() const noexcept { return peak_; }

 private:
  friend class LentPipe;
  struct Pipe {
    Fd read_end;
    Fd write_end;
  };
  void take_back(Fd read_end, Fd write_end, bool empty) noexcept;

  size_t lent_max_;
  bool signal_blocked_ = false;
  Counter in_use_;
  Counter peak_;
  std::vector<Pipe> kept_;
};

}  // namespace espora::sys
