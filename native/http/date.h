// Calendar time from seconds since 1970, and the Date header's value, formatted once per second.
#pragma once

#include <cstdint>
#include <string_view>

namespace espora::http {

// A UTC date and time in the Gregorian calendar.
struct CivilTime {
  unsigned year;     // 1970..9999
  unsigned month;    // 1..12
  unsigned day;      // 1..31
  unsigned hour;     // 0..23
  unsigned minute;   // 0..59
  unsigned second;   // 0..59: POSIX time has no leap seconds
  unsigned weekday;  // 0..6, Sunday is 0
};

// Times after 9999-12-31T23:59:59Z, which neither format can express, count as that second.
[[nodiscard]] CivilTime civil_time(uint64_t seconds_since_1970) noexcept;

// Writes "2024-01-17T02:34:41.217753Z" (RFC 3339) to `out`, which has room for 27 bytes; returns
// its end. `time_us` is microseconds since 1970.
inline constexpr unsigned rfc3339_bytes = 27;
char* write_rfc3339(char* out, uint64_t time_us) noexcept;

// Caches the IMF-fixdate (RFC 9110 5.6.7) of the last requested second. One per thread.
class DateCache {
 public:
  // "Sun, 06 Nov 1994 08:49:37 GMT"; valid until the next call. `time_us`: since 1970.
  [[nodiscard]] std::string_view at(uint64_t time_us) noexcept {
    const uint64_t second = time_us / 1'000'000;
    if (second != second_) [[unlikely]]
      format(second);
    return {text_, sizeof(text_)};
  }

 private:
  void format(uint64_t second) noexcept;

  uint64_t second_ = ~uint64_t{0};
  char text_[29] = {};
};

}  // namespace espora::http
