#include "sys/clock.h"

#include <ctime>

namespace espora::sys {

uint64_t monotonic_ns() noexcept {
  timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);  // these two clocks always exist
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t realtime_us() noexcept {
  timespec now;
  (void)clock_gettime(CLOCK_REALTIME, &now);
  // A clock that was never set can be before 1970; no time recorded here is.
  if (now.tv_sec < 0) return 0;
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace espora::sys
