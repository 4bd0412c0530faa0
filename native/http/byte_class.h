// Which bytes are allowed where in a request (RFC 9110, RFC 3986), as one table of bit sets, and
// the scans over runs of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace espora::http {

namespace byte_class {

inline constexpr uint8_t token = 1;   // tchar, RFC 9110 5.6.2
inline constexpr uint8_t target = 2;  // 0x21..0x7E without '#': the bytes of a request target
inline constexpr uint8_t value = 4;   // field-vchar, SP, HTAB, obs-text: RFC 9110 5.5
inline constexpr uint8_t hexadecimal = 8;
inline constexpr uint8_t digit = 16;
inline constexpr uint8_t reg_name = 32;  // unreserved and sub-delims, RFC 3986 3.2.2; not '%'
inline constexpr uint8_t quoted = 64;    // qdtext, RFC 9110 5.6.4

inline constexpr std::array<uint8_t, 256> table = [] {
  std::array<uint8_t, 256> classes{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool is_digit = byte >= '0' && byte <= '9';
    const bool alpha = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    const bool visible = byte >= 0x21 && byte <= 0x7E;
    const bool obs_text = byte >= 0x80;
    const bool sub_delim = std::string_view("!$&'()*+,;=").find(c) != std::string_view::npos;
    uint8_t bits = 0;
    if (is_digit || alpha ||
        (visible && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos)) {
      bits |= token;
    }
    if (visible && c != '#') bits |= target;
    if (visible || obs_text || c == ' ' || c == '\t') bits |= value;
    if (is_digit || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F')) {
      bits |= hexadecimal;
    }
    if (is_digit) bits |= digit;
    if (is_digit || alpha || sub_delim ||
        std::string_view("-._~").find(c) != std::string_view::npos) {
      bits |= reg_name;
    }
    if (((visible && c != '"' && c != '\\') || obs_text || c == ' ' || c == '\t')) bits |= quoted;
    classes[byte] = bits;
  }
  return classes;
}();

}  // namespace byte_class

[[nodiscard]] inline bool is_class(char byte, uint8_t bits) noexcept {
  return (byte_class::table[static_cast<uint8_t>(byte)] & bits) != 0;
}

// Value of a hexadecimal digit.
[[nodiscard]] inline unsigned hex_value(char digit) noexcept {
  const unsigned byte = static_cast<uint8_t>(digit);
  return (byte & 0x0F) + ((byte & 0x40) != 0 ? 9 : 0);
}

// First position in [from, end) whose byte is not of the class, or `end`.
[[nodiscard]] inline size_t scan_class(const char* bytes, size_t from, size_t end,
                                       uint8_t bits) noexcept {
  while (from < end && is_class(bytes[from], bits)) ++from;
  return from;
}

#if defined(__SSE2__)
// SSE2 is part of x86-64. Each returns a bit for each of 16 bytes at which its scan must stop.
[[nodiscard]] inline unsigned stops_of_value(const char* bytes) noexcept {
  const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1F)), block);
  const __m128i tab = _mm_cmpeq_epi8(block, _mm_set1_epi8('\t'));
  const __m128i del = _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7F));
  return static_cast<unsigned>(
      _mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, control), del)));
}
[[nodiscard]] inline unsigned stops_of_target(const char* bytes) noexcept {
  const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  // Signed comparison: bytes from 0x80 on are below 0x21.
  const __m128i visible = _mm_and_si128(_mm_cmpgt_epi8(block, _mm_set1_epi8(0x20)),
                                        _mm_cmplt_epi8(block, _mm_set1_epi8(0x7F)));
  const __m128i fragment = _mm_cmpeq_epi8(block, _mm_set1_epi8('#'));
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_andnot_si128(fragment, visible))) ^ 0xFFFF;
}
// Names consist mostly of letters and '-'; any other byte may still be of the class.
[[nodiscard]] inline unsigned stops_of_token(const char* bytes) noexcept {
  const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  const __m128i lower = _mm_or_si128(block, _mm_set1_epi8(0x20));
  const __m128i letter = _mm_and_si128(_mm_cmpgt_epi8(lower, _mm_set1_epi8('a' - 1)),
                                       _mm_cmplt_epi8(lower, _mm_set1_epi8('z' + 1)));
  const __m128i hyphen = _mm_cmpeq_epi8(block, _mm_set1_epi8('-'));
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(letter, hyphen))) ^ 0xFFFF;
}
#endif

// As scan_class, for the long runs of a request: 16 bytes at a time if the machine can.
template <uint8_t Class>
[[nodiscard]] inline size_t scan_run(const char* bytes, size_t from, size_t end) noexcept {
#if defined(__SSE2__)
  while (end - from >= 16) {
    unsigned stops;
    if constexpr (Class == byte_class::value) {
      stops = stops_of_value(bytes + from);
    } else if constexpr (Class == byte_class::target) {
      stops = stops_of_target(bytes + from);
    } else {
      static_assert(Class == byte_class::token);
      stops = stops_of_token(bytes + from);
    }
    if (stops != 0) {
      from += static_cast<size_t>(__builtin_ctz(stops));
      break;
    }
    from += 16;
  }
#endif
  return scan_class(bytes, from, end, Class);
}

}  // namespace espora::http
