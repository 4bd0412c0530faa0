// CRC-32C against published vectors, and its two implementations against each other.
#include "sys/crc32c.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string_view>
#include <vector>

namespace espora::sys {
namespace {

using Bytes = std::span<const std::byte>;

Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::vector<std::byte> random_bytes(size_t count) {
  std::mt19937_64 random(count);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

struct Vector {
  std::vector<std::byte> bytes;
  uint32_t crc;
};

// RFC 3720 appendix B.4, and the check value of the algorithm's definition.
std::vector<Vector> vectors() {
  std::vector<Vector> all;
  all.push_back({{}, 0});
  const Bytes check = bytes_of("123456789");
  all.push_back({{check.begin(), check.end()}, 0xE3069283});
  all.push_back({std::vector<std::byte>(32, std::byte{0}), 0x8A9136AA});
  all.push_back({std::vector<std::byte>(32, std::byte{0xFF}), 0x62A8AB43});
  std::vector<std::byte> up(32);
  std::vector<std::byte> down(32);
  for (size_t i = 0; i < 32; i++) {
    up[i] = static_cast<std::byte>(i);
    down[i] = static_cast<std::byte>(31 - i);
  }
  all.push_back({up, 0x46DD794E});
  all.push_back({down, 0x113FDB5C});
  constexpr std::array<uint8_t, 48> read_command = {
      0x01, 0xC0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0,
      0,    0,    0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0,    0};
  const Bytes command = std::as_bytes(std::span(read_command));
  all.push_back({{command.begin(), command.end()}, 0xD9963A56});
  return all;
}

TEST(Crc32c, MatchesPublishedVectors) {
  for (const Vector& vector : vectors()) {
    EXPECT_EQ(crc32c(vector.bytes), vector.crc) << vector.bytes.size() << " bytes";
    EXPECT_EQ(crc32c_by_table(vector.bytes, 0), vector.crc) << vector.bytes.size() << " bytes";
    if (crc32c_has_instruction()) {
      EXPECT_EQ(crc32c_by_instruction(vector.bytes, 0), vector.crc);
    }
  }
}

TEST(Crc32c, BothWaysAgreeAtEveryLengthAndAlignment) {
  if (!crc32c_has_instruction()) GTEST_SKIP() << "no such instruction here";
  const std::vector<std::byte> bytes = random_bytes(70'000);
  for (size_t count = 0; count < 8'000; count++) {
    const Bytes part(bytes.data() + count % 8, count);
    ASSERT_EQ(crc32c_by_table(part, 0), crc32c_by_instruction(part, 0)) << count;
    const uint32_t seed = static_cast<uint32_t>(count * 2654435761u);
    ASSERT_EQ(crc32c_by_table(part, seed), crc32c_by_instruction(part, seed)) << count;
  }
  for (size_t count = 8'000; count < bytes.size(); count += 997) {
    const Bytes part(bytes.data(), count);
    ASSERT_EQ(crc32c_by_table(part, 1), crc32c_by_instruction(part, 1)) << count;
  }
}

TEST(Crc32c, ContinuesFromTheCrcOfWhatCameBefore) {
  const std::vector<std::byte> bytes = random_bytes(5'000);
  const uint32_t whole = crc32c(bytes);
  for (size_t cut = 0; cut <= bytes.size(); cut += 7) {
    const Bytes all(bytes);
    ASSERT_EQ(crc32c(all.subspan(cut), crc32c(all.first(cut))), whole) << cut;
  }
}

TEST(Crc32c, EverySingleBitCounts) {
  std::vector<std::byte> bytes = random_bytes(4'096);
  const uint32_t whole = crc32c(bytes);
  for (size_t bit = 0; bit < bytes.size() * 8; bit++) {
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    ASSERT_NE(crc32c(bytes), whole) << bit;
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
  }
}

TEST(Crc32c, AnotherSeedGivesAnotherCrc) {
  const std::vector<std::byte> bytes = random_bytes(200);
  for (uint32_t bit = 0; bit < 32; bit++) {
    EXPECT_NE(crc32c(bytes, uint32_t{1} << bit), crc32c(bytes, 0));
  }
}

}  // namespace
}  // namespace espora::sys
