// CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the processor's instruction if it has one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace espora::sys {

// The CRC of `bytes` following the bytes that `seed` is the CRC of: crc32c(b, crc32c(a)) ==
// crc32c(ab). Different seeds always give different CRCs for the same bytes.
[[nodiscard]] uint32_t crc32c(std::span<const std::byte> bytes, uint32_t seed = 0) noexcept;

// The only seed with which `bytes` have this CRC: for bytes whose seed was lost.
[[nodiscard]] uint32_t crc32c_seed_of(std::span<const std::byte> bytes, uint32_t crc) noexcept;

// A wrong byte's position, and its right value.
struct WrongByte {
  size_t at = 0;
  std::byte right{};
};

// The one byte of `bytes` that explains why they do not have this CRC, with seed 0; nothing if no
// byte does, or several could. If more than one byte is damaged, a byte is named by chance once in
// 2^24 / size: the caller must check by other means that the corrected bytes are plausible.
[[nodiscard]] std::optional<WrongByte> crc32c_wrong_byte(std::span<const std::byte> bytes,
                                                         uint32_t crc);

// The two implementations, for tests and benchmarks. The second needs the instruction.
[[nodiscard]] uint32_t crc32c_by_table(std::span<const std::byte> bytes, uint32_t seed) noexcept;
[[nodiscard]] uint32_t crc32c_by_instruction(std::span<const std::byte> bytes,
                                             uint32_t seed) noexcept;
[[nodiscard]] bool crc32c_has_instruction() noexcept;

}  // namespace espora::sys
