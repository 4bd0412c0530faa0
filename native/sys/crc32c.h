// CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the processor's instruction where it has one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace espora::sys {

// The CRC of `bytes` behind whatever `seed` is the CRC of: crc32c(b, crc32c(a)) == crc32c(ab).
// Another seed gives another CRC for the same bytes, always.
[[nodiscard]] uint32_t crc32c(std::span<const std::byte> bytes, uint32_t seed = 0) noexcept;

// The two ways behind it, for tests and benchmarks. The instruction must be there for the second.
[[nodiscard]] uint32_t crc32c_by_table(std::span<const std::byte> bytes, uint32_t seed) noexcept;
[[nodiscard]] uint32_t crc32c_by_instruction(std::span<const std::byte> bytes,
                                             uint32_t seed) noexcept;
[[nodiscard]] bool crc32c_has_instruction() noexcept;

}  // namespace espora::sys
