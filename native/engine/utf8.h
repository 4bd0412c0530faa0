// UTF-8 (RFC 3629), one sequence at a time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace espora::engine {

// Size (1..4) in bytes of the well-formed sequence at `at`, or 0 if there is none before `end`: no
// overlong forms, no surrogates, nothing above U+10FFFF (RFC 3629 4). `at` < `end`.
[[nodiscard]] inline unsigned utf8_sequence_bytes(const char* at, const char* end) noexcept {
  const auto byte = [at](int i) { return static_cast<uint8_t>(at[i]); };
  const auto continues = [byte](int i) { return (byte(i) & 0xC0) == 0x80; };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;
  if (lead < 0xE0) return end - at >= 2 && continues(1) ? 2 : 0;
  if (lead < 0xF0) {
    if (end - at < 3 || !continues(1) || !continues(2)) return 0;
    if (lead == 0xE0 && byte(1) < 0xA0) return 0;
    if (lead == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (lead > 0xF4 || end - at < 4 || !continues(1) || !continues(2) || !continues(3)) return 0;
  if (lead == 0xF0 && byte(1) < 0x90) return 0;
  if (lead == 0xF4 && byte(1) > 0x8F) return 0;
  return 4;
}

// Writes a code point (no surrogate) as UTF-8; returns the bytes written, at most 4.
inline unsigned write_utf8(char* out, uint32_t code_point) noexcept {
  const auto put = [out](int i, uint32_t value) { out[i] = static_cast<char>(value); };
  if (code_point < 0x80) {
    put(0, code_point);
    return 1;
  }
  if (code_point < 0x800) {
    put(0, 0xC0 | code_point >> 6);
    put(1, 0x80 | (code_point & 0x3F));
    return 2;
  }
  if (code_point < 0x10000) {
    put(0, 0xE0 | code_point >> 12);
    put(1, 0x80 | (code_point >> 6 & 0x3F));
    put(2, 0x80 | (code_point & 0x3F));
    return 3;
  }
  put(0, 0xF0 | code_point >> 18);
  put(1, 0x80 | (code_point >> 12 & 0x3F));
  put(2, 0x80 | (code_point >> 6 & 0x3F));
  put(3, 0x80 | (code_point & 0x3F));
  return 4;
}

}  // namespace espora::engine
