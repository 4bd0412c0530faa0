// The simulation's only source of chance: the same numbers from the same seed with every compiler
// and library (std:: distributions differ between them).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace espora::sim {

constexpr uint64_t mix(uint64_t value) noexcept {  // SplitMix64's step
  value += 0x9E3779B97F4A7C15;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
  return value ^ (value >> 31);
}

class Random {  // xoshiro256**
 public:
  explicit Random(uint64_t seed) noexcept {
    for (uint64_t& word : state_) word = seed = mix(seed);
  }

  uint64_t next() noexcept {
    const uint64_t result = rotate(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = rotate(state_[3], 45);
    return result;
  }
  // 0 … bound-1; bound > 0.
  uint64_t below(uint64_t bound) noexcept { return next() % bound; }
  // Both ends included.
  uint64_t between(uint64_t low, uint64_t high) noexcept { return low + below(high - low + 1); }
  // True in `part` of `whole` cases.
  bool chance(uint64_t part, uint64_t whole) noexcept { return below(whole) < part; }
  template <typename T, size_t size>
  const T& pick(const std::array<T, size>& from) noexcept {
    return from[below(size)];
  }

 private:
  static constexpr uint64_t rotate(uint64_t value, int by) noexcept {
    return (value << by) | (value >> (64 - by));
  }
  std::array<uint64_t, 4> state_{};
};

// Records whose bytes tell which one they are.
inline std::string filler(Random& random, size_t size) {
  std::string text(size, ' ');
  uint64_t word = random.next();
  for (size_t i = 0; i < size; i++) {
    if (i % 8 == 0) word = mix(word);
    text[i] = static_cast<char>('a' + (word >> (i % 8 * 8)) % 26);
  }
  return text;
}

}  // namespace espora::sim
