// How a loop inside the addon is timed, and how the compiler is kept from leaving its work out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <vector>

#include "sys/clock.h"

namespace espora::bench {

// The compiler must have made `value`, and must take all memory for changed.
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

// Does `work` for so long, at least once; how many nanoseconds passed each time.
template <typename Work>
inline std::vector<double> times_ns(uint64_t milliseconds, Work&& work) {
  std::vector<double> times;
  const uint64_t begin = sys::monotonic_ns();
  uint64_t before = begin;
  do {
    work();
    const uint64_t now = sys::monotonic_ns();
    times.push_back(static_cast<double>(now - before));
    before = now;
  } while (before - begin < milliseconds * 1'000'000);
  return times;
}

}  // namespace espora::bench
