// Counts of values in log-linear buckets, each at most a sixteenth of its value wide. One thread
// adds, any thread may read. Has no clock and no unit.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "sys/counter.h"

namespace espora::sys {

namespace histogram {

// Linear steps within each power of two; itself a power of two.
inline constexpr unsigned step_bits = 4;
inline constexpr uint64_t steps = uint64_t{1} << step_bits;
// Values of 2^40 and more (12 days in microseconds) count as the largest value below it.
inline constexpr unsigned value_bits_max = 40;
inline constexpr size_t bucket_count = (value_bits_max - step_bits + 1) * steps;

// Values below `steps` have a bucket each; above, the bucket is the highest bit and the next four.
constexpr size_t bucket_of(uint64_t value) noexcept {
  if (value < steps) return static_cast<size_t>(value);
  if (value >> value_bits_max != 0) return bucket_count - 1;
  const auto shift = static_cast<unsigned>(std::bit_width(value)) - 1 - step_bits;
  return static_cast<size_t>((shift + 1) * steps + (value >> shift) - steps);
}

// The largest value of a bucket.
constexpr uint64_t upper_bound_of(size_t bucket) noexcept {
  if (bucket < steps) return bucket;
  const auto shift = static_cast<unsigned>(bucket / steps) - 1;
  return ((bucket % steps + steps + 1) << shift) - 1;
}

}  // namespace histogram

// The counts at one moment, or several such snapshots merged.
class HistogramSnapshot {
 public:
  // Adds the values of `other`.
  void merge(const HistogramSnapshot& other) noexcept {
    for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
      counts_[bucket] += other.counts_[bucket];
    }
    count_ += other.count_;
    sum_ += other.sum_;
  }
  [[nodiscard]] uint64_t count() const noexcept { return count_; }
  [[nodiscard]] uint64_t sum() const noexcept { return sum_; }
  // The smallest bucket bound that at least `per_mille` of 1000 values do not exceed: at most a
  // sixteenth above the exact value. 0 without values.
  [[nodiscard]] uint64_t percentile(unsigned per_mille) const noexcept {
    if (count_ == 0) return 0;
    const uint64_t exact = count_ * per_mille;
    const uint64_t rank = exact / 1000 + (exact % 1000 != 0 ? 1 : 0);
    uint64_t seen = 0;
    for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
      seen += counts_[bucket];
      if (seen != 0 && seen >= rank) return histogram::upper_bound_of(bucket);
    }
    return histogram::upper_bound_of(histogram::bucket_count - 1);
  }

 private:
  friend class Histogram;
  std::array<uint64_t, histogram::bucket_count> counts_{};
  uint64_t count_ = 0;  // sum of `counts_`
  uint64_t sum_ = 0;
};

class Histogram {
 public:
  // The owning thread.
  void add(uint64_t value) noexcept {
    ++counts_[histogram::bucket_of(value)];
    sum_.add(value);
  }
  // Any thread.
  [[nodiscard]] HistogramSnapshot snapshot() const noexcept {
    HistogramSnapshot taken;
    for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
      taken.counts_[bucket] = counts_[bucket];
      taken.count_ += taken.counts_[bucket];
    }
    taken.sum_ = sum_;
    return taken;
  }

 private:
  std::array<Counter, histogram::bucket_count> counts_;
  Counter sum_;
};

}  // namespace espora::sys
