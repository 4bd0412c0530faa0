// Pipes for splice(2), which moves bytes from socket to socket without copying them into this
// process. Kept in a bounded pool, lent while a stream flows. All calls belong to one thread.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "sys/counter.h"
#include "sys/fd.h"
#include "sys/sockets.h"

namespace espora::sys {

class PipePool;

// A lent pipe with the bytes in it, or none. A pipe that still holds bytes is closed when it is
// given back; otherwise they would appear in another stream.
class LentPipe {
 public:
  LentPipe() noexcept = default;
  LentPipe(LentPipe&& other) noexcept;
  LentPipe& operator=(LentPipe&& other) noexcept;
  ~LentPipe() { give_back(); }

  [[nodiscard]] bool valid() const noexcept { return read_end_.valid(); }
  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  // Takes what the socket has, up to the pipe's free room. `again` has two meanings: if the pipe
  // holds bytes it may be full (each of its 16 slots holds one fragment, however small); if it is
  // empty, the socket is empty.
  IoResult fill_from(int socket) noexcept;
  // Moves what the pipe holds to the socket; `again`: the socket takes nothing now. MSG_MORE is
  // never implied, because no more is asked for than the pipe holds.
  IoResult empty_into(int socket) noexcept;
  // Copies out of the pipe, for a socket that does not support splice.
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

// Whether a failed splice means that this kernel, sandbox or socket does not support it: ENOSYS,
// EINVAL, and what a seccomp filter may return instead.
bool is_splice_unsupported(int error) noexcept;

// Its counters may be read from any thread. Must outlive the pipes that it lends.
class PipePool {
 public:
  explicit PipePool(size_t lent_max) noexcept : lent_max_(lent_max) {}
  ~PipePool();
  PipePool(const PipePool&) = delete;
  PipePool& operator=(const PipePool&) = delete;

  // An empty pipe; none when all are lent, no descriptor is left, or after disable(). splice(2)
  // raises SIGPIPE without a flag against it: the first loan blocks that signal for this thread.
  LentPipe lend() noexcept;
  // Closes the kept pipes, to free their descriptors.
  void trim() noexcept { kept_.clear(); }
  // splice does not work here: no more pipes are lent.
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
