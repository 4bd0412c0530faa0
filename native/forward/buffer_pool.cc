#include "forward/buffer_pool.h"

#include <cstring>

#include "sys/check.h"
#include "sys/limits.h"

namespace espora::forward {

LentBuffer::LentBuffer(LentBuffer&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      bytes_(std::move(other.bytes_)),
      begin_(std::exchange(other.begin_, 0)),
      end_(std::exchange(other.end_, 0)) {}

LentBuffer& LentBuffer::operator=(LentBuffer&& other) noexcept {
  if (this != &other) {
    give_back();
    pool_ = std::exchange(other.pool_, nullptr);
    bytes_ = std::move(other.bytes_);
    begin_ = std::exchange(other.begin_, 0);
    end_ = std::exchange(other.end_, 0);
  }
  return *this;
}

void LentBuffer::take(size_t count) noexcept {
  ESPORA_CHECK(count <= size());
  begin_ += count;
  if (empty()) give_back();
}

void LentBuffer::give_back() noexcept {
  if (pool_ == nullptr) return;
  std::exchange(pool_, nullptr)->take_back(std::move(bytes_));
  begin_ = end_ = 0;
}

BufferPool::~BufferPool() { ESPORA_CHECK(in_use_.get() == 0); }

LentBuffer BufferPool::lend(const std::byte* bytes, size_t count) {
  ESPORA_CHECK(can_lend() && count > 0 && count <= buffer_bytes_);
  std::unique_ptr<std::byte[]> buffer;
  if (kept_.empty()) {
    kept_.reserve(limits::relay_buffers_kept_max);  // so that giving back never allocates
    buffer = std::make_unique_for_overwrite<std::byte[]>(buffer_bytes_);
  } else {
    buffer = std::move(kept_.back());
    kept_.pop_back();
  }
  std::memcpy(buffer.get(), bytes, count);
  ++in_use_;
  peak_.raise_to(in_use_.get());
  return LentBuffer(this, std::move(buffer), count);
}

void BufferPool::take_back(std::unique_ptr<std::byte[]> bytes) noexcept {
  --in_use_;
  if (kept_.size() < limits::relay_buffers_kept_max) kept_.push_back(std::move(bytes));
}

}  // namespace espora::forward
