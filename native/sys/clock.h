// The two clocks that the data plane reads.
#pragma once

#include <cstdint>

namespace espora::sys {

// CLOCK_MONOTONIC in nanoseconds: for durations and deadlines.
uint64_t monotonic_ns() noexcept;
// CLOCK_REALTIME in microseconds since 1970-01-01T00:00:00Z: for records and answers; may jump.
uint64_t realtime_us() noexcept;

}  // namespace espora::sys
