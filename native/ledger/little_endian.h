// Integers as little-endian bytes at any address.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace espora::ledger {

static_assert(std::endian::native == std::endian::little,
              "values are copied as they are: the formats are little-endian");

inline void store_u16(std::byte* at, uint16_t value) noexcept { std::memcpy(at, &value, 2); }
inline void store_u32(std::byte* at, uint32_t value) noexcept { std::memcpy(at, &value, 4); }
inline void store_u64(std::byte* at, uint64_t value) noexcept { std::memcpy(at, &value, 8); }

[[nodiscard]] inline uint16_t load_u16(const std::byte* at) noexcept {
  uint16_t value;
  std::memcpy(&value, at, 2);
  return value;
}
[[nodiscard]] inline uint32_t load_u32(const std::byte* at) noexcept {
  uint32_t value;
  std::memcpy(&value, at, 4);
  return value;
}
[[nodiscard]] inline uint64_t load_u64(const std::byte* at) noexcept {
  uint64_t value;
  std::memcpy(&value, at, 8);
  return value;
}

}  // namespace espora::ledger
