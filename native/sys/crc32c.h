// CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the processor's instruction where it has one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace espora::sys {

// The CRC of `bytes` behind whatever `seed` is the CRC of: crc32c(b, crc32c(a)) == crc32c(ab).
// Another seed gives another CRC for the same bytes, always.
[[nodiscard]] uint32_t crc32c(std::span<const std::byte> bytes, uint32_t seed = 0) noexcept;

// The one seed with which `bytes` have this CRC: for bytes whose seed was lost.
[[nodiscard]] uint32_t crc32c_seed_of(std::span<const std::byte> bytes, uint32_t crc) noexcept;

// A byte that is wrong, and what it was.
struct WrongByte {
  size_t at = 0;
  std::byte right{};
};

// The one byte of `bytes` that explains why they do not have this CRC, seed 0; nothing where none
// does, or several could. Where more was damaged one is named by chance, once in 2^24 / size: what
// it makes of the bytes has to be possible by other marks.
[[nodiscard]] std::optional<WrongByte> crc32c_wrong_byte(std::span<const std::byte> bytes,
                                                         uint32_t crc);

// The two ways behind it, for tests and benchmarks. The instruction must be there for the second.
[[nodiscard]] uint32_t crc32c_by_table(std::span<const std::byte> bytes, uint32_t seed) noexcept;
[[nodiscard]] uint32_t crc32c_by_instruction(std::span<const std::byte> bytes,
                                             uint32_t seed) noexcept;
[[nodiscard]] bool crc32c_has_instruction() noexcept;

}  // namespace espora::sys
