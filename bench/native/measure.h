// How a loop inside the addon is timed, and how the compiler is kept from leaving its work out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>

namespace espora::bench {

// The compiler has to have made `value`, and has to take all memory for changed.
template <typename T>
inline void keep(const T& value) noexcept {
  asm volatile("" : : "r,m"(value) : "memory");
}

// CPU time of this process: unlike the time that passes, it does not grow while another process has
// the CPU.
inline uint64_t cpu_ns() noexcept {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

// Does `work` so often; nanoseconds of CPU time for all of it.
template <typename Work>
inline double time_ns(uint64_t iterations, Work&& work) {
  const uint64_t begin = cpu_ns();
  for (uint64_t i = 0; i < iterations; i++) work();
  return static_cast<double>(cpu_ns() - begin);
}

// Repeats its inputs in order, without a division in the loop.
class Cycle {
 public:
  explicit Cycle(size_t size) noexcept : size_(size) {}
  size_t next() noexcept {
    const size_t at = at_;
    at_ = at + 1 == size_ ? 0 : at + 1;
    return at;
  }

 private:
  size_t size_;
  size_t at_ = 0;
};

}  // namespace espora::bench
