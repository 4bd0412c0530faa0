// Buffers that are lent while a socket does not take what was read for it. The number lent at once,
// over all sessions, is limited: this bounds a forwarder's memory.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "sys/counter.h"

namespace espora::forward {

class BufferPool;

// A lent buffer with the bytes in it that are still to be sent, or none. Gives the buffer back when
// its last byte was sent, and on destruction.
class LentBuffer {
 public:
  LentBuffer() noexcept = default;
  LentBuffer(LentBuffer&& other) noexcept;
  LentBuffer& operator=(LentBuffer&& other) noexcept;
  ~LentBuffer() { give_back(); }

  [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
  [[nodiscard]] const std::byte* data() const noexcept { return bytes_.get() + begin_; }
  [[nodiscard]] size_t size() const noexcept { return end_ - begin_; }
  // The first `count` bytes were sent.
  void take(size_t count) noexcept;
  void give_back() noexcept;

 private:
  friend class BufferPool;
  LentBuffer(BufferPool* pool, std::unique_ptr<std::byte[]> bytes, size_t size) noexcept
      : pool_(pool), bytes_(std::move(bytes)), end_(size) {}

  BufferPool* pool_ = nullptr;
  std::unique_ptr<std::byte[]> bytes_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

// Belongs to one thread; its counters may be read from any. Must outlive the buffers it lends.
class BufferPool {
 public:
  // `lent_max` buffers of `buffer_bytes` each, allocated when first needed.
  BufferPool(size_t buffer_bytes, size_t lent_max) noexcept
      : buffer_bytes_(buffer_bytes), lent_max_(lent_max) {}
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  [[nodiscard]] bool can_lend() const noexcept { return in_use_.get() < lent_max_; }
  // A buffer with a copy of these bytes: 1 to buffer_bytes of them. Only while can_lend().
  LentBuffer lend(const std::byte* bytes, size_t count);

  [[nodiscard]] const sys::Counter& in_use() const noexcept { return in_use_; }
  [[nodiscard]] const sys::Counter& peak() const noexcept { return peak_; }

 private:
  friend class LentBuffer;
  void take_back(std::unique_ptr<std::byte[]> bytes) noexcept;

  size_t buffer_bytes_;
  size_t lent_max_;
  sys::Counter in_use_;
  sys::Counter peak_;
  std::vector<std::unique_ptr<std::byte[]>> kept_;
};

}  // namespace espora::forward
