// A count that one thread keeps and any thread may read.
#pragma once

#include <atomic>
#include <cstdint>

namespace espora::sys {

// A change is a plain load and store, not a locked instruction: only the owner may make it.
class Counter {
 public:
  Counter() noexcept = default;
  Counter(const Counter& other) noexcept : value_(other.get()) {}
  Counter& operator=(const Counter& other) noexcept {
    set(other.get());
    return *this;
  }
  void add(uint64_t amount) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  void subtract(uint64_t amount) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) - amount, std::memory_order_relaxed);
  }
  void set(uint64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
  void raise_to(uint64_t value) noexcept {
    if (value > get()) set(value);
  }
  Counter& operator++() noexcept {
    add(1);
    return *this;
  }
  Counter& operator--() noexcept {
    subtract(1);
    return *this;
  }
  [[nodiscard]] uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }
  operator uint64_t() const noexcept { return get(); }

 private:
  std::atomic<uint64_t> value_{0};
};

}  // namespace espora::sys
