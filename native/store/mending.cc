#include "store/mending.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <vector>

#include "sys/crc32c.h"

namespace espora::store {

namespace {

uint32_t stored_crc(std::span<const std::byte> bytes) noexcept {
  uint32_t crc;
  std::memcpy(&crc, bytes.data() + format::header_crc_offset, sizeof crc);
  return crc;
}

uint32_t actual_crc(std::span<const std::byte> bytes) noexcept {
  return sys::crc32c(bytes.subspan(format::header_crc_from));
}

// Whether two words differ in exactly one byte.
bool differ_in_a_byte(uint32_t a, uint32_t b) noexcept {
  const uint32_t difference = a ^ b;
  if (difference == 0) return false;
  const int low = std::countr_zero(difference) / 8;
  const int high = (31 - std::countl_zero(difference)) / 8;
  return low == high;
}

}  // namespace

bool mend_header(std::span<std::byte> bytes, const std::array<char, 8>& magic, size_t used) {
  if (bytes.size() < format::block_bytes || used < format::header_crc_from) return false;
  std::vector<std::byte> mended(bytes.begin(), bytes.end());
  const auto take = [&] {
    std::memcpy(mended.data(), magic.data(), magic.size());
    std::copy(mended.begin(), mended.end(), bytes.begin());
    return true;
  };
  const bool magic_whole = std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
  const uint32_t crc = stored_crc(bytes);
  if (crc == actual_crc(bytes)) return !magic_whole && take();
  if (used < mended.size()) {
    std::fill(mended.begin() + static_cast<std::ptrdiff_t>(used), mended.end(), std::byte{0});
    if (crc == actual_crc(mended)) return take();
    std::copy(bytes.begin(), bytes.end(), mended.begin());
  }
  // More than one place is damaged.
  if (!magic_whole) return false;
  if (const uint32_t actual = actual_crc(bytes); differ_in_a_byte(crc, actual)) {
    std::memcpy(mended.data() + format::header_crc_offset, &actual, sizeof actual);
    return take();
  }
  const auto wrong = sys::crc32c_wrong_byte(bytes.subspan(format::header_crc_from), crc);
  // The bytes from `used` on are zero, and making them so did not help.
  if (!wrong || format::header_crc_from + wrong->at >= used) return false;
  mended[format::header_crc_from + wrong->at] = wrong->right;
  return take();
}

bool mend_store(std::span<std::byte> file) {
  if (file.size() < format::block_bytes) return false;
  format::StoreHeader header;
  std::memcpy(&header, file.data(), sizeof header);
  const uint64_t used = uint64_t{sizeof header} + header.kind_bytes + header.schema_bytes;
  return mend_header(file, format::store_magic,
                     static_cast<size_t>(std::min<uint64_t>(used, file.size())));
}

}  // namespace espora::store
