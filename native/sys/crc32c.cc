#include "sys/crc32c.h"

#include <array>
#include <cstring>
#include <vector>

#include "sys/check.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace espora::sys {

namespace {

constexpr uint32_t polynomial = 0x82F63B78;  // reflected

// Slicing by 8: table[k][b] is what byte b does to the CRC k bytes later.
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
    tables[0][byte] = crc;
  }
  for (uint32_t byte = 0; byte < 256; byte++) {
    for (size_t k = 1; k < 8; k++) {
      const uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xFF];
    }
  }
  return tables;
}

constexpr Tables tables = make_tables();

// A CRC step can be undone: the high byte of a table's entry identifies the entry.
constexpr std::array<uint8_t, 256> make_by_high_byte() {
  std::array<uint8_t, 256> by_high_byte{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    by_high_byte[tables[0][byte] >> 24] = static_cast<uint8_t>(byte);
  }
  return by_high_byte;
}

constexpr std::array<uint8_t, 256> by_high_byte = make_by_high_byte();

uint32_t step(uint32_t crc, std::byte byte) noexcept {
  return (crc >> 8) ^ tables[0][(crc ^ static_cast<uint32_t>(byte)) & 0xFF];
}

uint32_t step_back(uint32_t crc, std::byte byte) noexcept {
  const uint32_t entry = by_high_byte[crc >> 24];
  return ((crc ^ tables[0][entry]) << 8) | (entry ^ static_cast<uint32_t>(byte));
}

uint64_t load64(const std::byte* at) noexcept {
  uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

#if defined(__x86_64__)

// The instruction has a latency of three cycles and a throughput of one: three independent streams
// keep it busy. To join them, one stream's CRC is shifted over as many zero bytes as the next
// stream is long, a linear map of 32 bits, kept as four tables of 256.
constexpr size_t stream_bytes_long = 1024;
constexpr size_t stream_bytes_short = 128;

using Matrix = std::array<uint32_t, 32>;  // column i: the image of bit i
using ShiftTables = std::array<std::array<uint32_t, 256>, 4>;

constexpr uint32_t times(const Matrix& matrix, uint32_t vector) {
  uint32_t sum = 0;
  for (size_t i = 0; vector != 0; i++, vector >>= 1) {
    if ((vector & 1) != 0) sum ^= matrix[i];
  }
  return sum;
}

constexpr ShiftTables make_shift_tables(size_t zero_bytes) {
  Matrix matrix{};  // one zero bit
  matrix[0] = polynomial;
  for (size_t i = 1; i < 32; i++) matrix[i] = uint32_t{1} << (i - 1);
  // zero_bytes is a power of two: square until the matrix shifts by that many bits.
  for (size_t bits = 1; bits < zero_bytes * 8; bits *= 2) {
    Matrix square{};
    for (size_t i = 0; i < 32; i++) square[i] = times(matrix, matrix[i]);
    matrix = square;
  }
  ShiftTables shift{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    for (size_t k = 0; k < 4; k++) shift[k][byte] = times(matrix, byte << (8 * k));
  }
  return shift;
}

constexpr ShiftTables shift_long = make_shift_tables(stream_bytes_long);
constexpr ShiftTables shift_short = make_shift_tables(stream_bytes_short);

uint32_t shifted(const ShiftTables& shift, uint32_t crc) noexcept {
  return shift[0][crc & 0xFF] ^ shift[1][(crc >> 8) & 0xFF] ^ shift[2][(crc >> 16) & 0xFF] ^
         shift[3][crc >> 24];
}

template <size_t stream_bytes>
__attribute__((target("sse4.2"))) void three_streams(uint64_t& crc, const std::byte*& at,
                                                     size_t& left,
                                                     const ShiftTables& shift) noexcept {
  while (left >= 3 * stream_bytes) {
    uint64_t second = 0;
    uint64_t third = 0;
    for (const std::byte* end = at + stream_bytes; at < end; at += 8) {
      crc = _mm_crc32_u64(crc, load64(at));
      second = _mm_crc32_u64(second, load64(at + stream_bytes));
      third = _mm_crc32_u64(third, load64(at + 2 * stream_bytes));
    }
    crc = shifted(shift, static_cast<uint32_t>(crc)) ^ second;
    crc = shifted(shift, static_cast<uint32_t>(crc)) ^ third;
    at += 2 * stream_bytes;
    left -= 3 * stream_bytes;
  }
}

__attribute__((target("sse4.2"))) uint32_t by_instruction(const std::byte* at, size_t left,
                                                          uint32_t seed) noexcept {
  uint64_t crc = ~seed;
  if (left >= 3 * stream_bytes_short) {
    three_streams<stream_bytes_long>(crc, at, left, shift_long);
    three_streams<stream_bytes_short>(crc, at, left, shift_short);
  }
  for (; left >= 8; left -= 8, at += 8) crc = _mm_crc32_u64(crc, load64(at));
  uint32_t narrow = static_cast<uint32_t>(crc);
  for (; left > 0; left--, at++) narrow = _mm_crc32_u8(narrow, static_cast<uint8_t>(*at));
  return ~narrow;
}

bool detect() noexcept { return __builtin_cpu_supports("sse4.2") != 0; }

#endif

}  // namespace

bool crc32c_has_instruction() noexcept {
#if defined(__x86_64__)
  static const bool has = detect();
  return has;
#else
  return false;
#endif
}

uint32_t crc32c_by_table(std::span<const std::byte> bytes, uint32_t seed) noexcept {
  uint32_t crc = ~seed;
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, at += 8) {
    const uint64_t word = load64(at) ^ crc;
    crc = 0;
    for (size_t k = 0; k < 8; k++) crc ^= tables[7 - k][(word >> (8 * k)) & 0xFF];
  }
  for (; left > 0; left--, at++) {
    crc = (crc >> 8) ^ tables[0][(crc ^ static_cast<uint32_t>(*at)) & 0xFF];
  }
  return ~crc;
}

uint32_t crc32c_by_instruction(std::span<const std::byte> bytes, uint32_t seed) noexcept {
#if defined(__x86_64__)
  return by_instruction(bytes.data(), bytes.size(), seed);
#else
  (void)bytes;
  (void)seed;
  ESPORA_CHECK(false);
#endif
}

uint32_t crc32c_seed_of(std::span<const std::byte> bytes, uint32_t crc) noexcept {
  crc = ~crc;
  for (size_t at = bytes.size(); at-- > 0;) crc = step_back(crc, bytes[at]);
  return ~crc;
}

// The bytes before and the bytes after a position together allow one value for it, or none.
std::optional<WrongByte> crc32c_wrong_byte(std::span<const std::byte> bytes, uint32_t crc) {
  std::vector<uint32_t> before(bytes.size());
  uint32_t ahead = ~uint32_t{0};
  for (size_t at = 0; at < bytes.size(); at++) {
    before[at] = ahead;
    ahead = step(ahead, bytes[at]);
  }
  std::optional<WrongByte> found;
  uint32_t behind = ~crc;
  for (size_t at = bytes.size(); at-- > 0; behind = step_back(behind, bytes[at])) {
    const uint32_t entry = by_high_byte[behind >> 24];
    if ((behind ^ tables[0][entry]) != before[at] >> 8) continue;
    const auto right = static_cast<std::byte>(entry ^ (before[at] & 0xFF));
    if (found || right == bytes[at]) return std::nullopt;
    found = WrongByte{at, right};
  }
  return found;
}

uint32_t crc32c(std::span<const std::byte> bytes, uint32_t seed) noexcept {
  return crc32c_has_instruction() ? crc32c_by_instruction(bytes, seed)
                                  : crc32c_by_table(bytes, seed);
}

}  // namespace espora::sys
