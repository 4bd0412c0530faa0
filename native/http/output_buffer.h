// The bytes of answers to be sent: a growable buffer that formatters write into directly.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

#include "sys/check.h"

namespace espora::http {

// Not a container: bytes are appended at the end and taken from the front. Not thread-safe.
class OutputBuffer {
 public:
  OutputBuffer() noexcept = default;
  ~OutputBuffer() = default;
  OutputBuffer(const OutputBuffer&) = delete;
  OutputBuffer& operator=(const OutputBuffer&) = delete;
  OutputBuffer(OutputBuffer&& other) noexcept { swap(other); }
  OutputBuffer& operator=(OutputBuffer&& other) noexcept {
    swap(other);
    return *this;
  }

  [[nodiscard]] const char* data() const noexcept { return bytes_.get() + begin_; }
  [[nodiscard]] size_t size() const noexcept { return end_ - begin_; }
  [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
  [[nodiscard]] size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::string_view view() const noexcept { return {data(), size()}; }

  // Room for `bytes_max` more bytes; valid until the next call of any other member. Bytes written
  // there count after commit() with their end.
  [[nodiscard]] char* prepare(size_t bytes_max) {
    if (capacity_ - end_ < bytes_max) [[unlikely]]
      make_room(bytes_max);
    return bytes_.get() + end_;
  }
  void commit(const char* end) noexcept {
    const size_t position = static_cast<size_t>(end - bytes_.get());
    ESPORA_CHECK(position >= end_ && position <= capacity_);
    end_ = position;
  }

  void append(std::string_view text) {
    if (text.empty()) return;  // memcpy(3) takes no null pointer, not even for no bytes
    char* at = prepare(text.size());
    std::memcpy(at, text.data(), text.size());
    commit(at + text.size());
  }

  // Drops the first `bytes`, which were sent.
  void consume(size_t bytes) noexcept {
    ESPORA_CHECK(bytes <= size());
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  // Drops everything, keeps the memory.
  void clear() noexcept { begin_ = end_ = 0; }
  // Drops everything and frees the memory, so that an idle connection costs nothing.
  void release() noexcept {
    bytes_.reset();
    begin_ = end_ = capacity_ = 0;
  }

  void swap(OutputBuffer& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  void make_room(size_t bytes);

  std::unique_ptr<char[]> bytes_;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t capacity_ = 0;
};

}  // namespace espora::http
