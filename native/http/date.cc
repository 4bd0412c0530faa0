#include "http/date.h"

#include <algorithm>
#include <cstring>

namespace espora::http {

namespace {

constexpr uint64_t last_second = 253'402'300'799;  // 9999-12-31T23:59:59Z

constexpr char weekday_names[] = "SunMonTueWedThuFriSat";
constexpr char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

// "00" to "99" side by side: two digits in one copy.
struct DigitPairs {
  char text[200];
  constexpr DigitPairs() : text() {
    for (size_t i = 0; i < 100; ++i) {
      text[2 * i] = static_cast<char>('0' + i / 10);
      text[2 * i + 1] = static_cast<char>('0' + i % 10);
    }
  }
};
constexpr DigitPairs digit_pairs;

char* write_two(char* out, size_t value) noexcept {
  std::memcpy(out, digit_pairs.text + 2 * value, 2);
  return out + 2;
}

char* write_year(char* out, const CivilTime& time) noexcept {
  return write_two(write_two(out, time.year / 100), time.year % 100);
}

// "hh:mm:ss"
char* write_clock(char* out, const CivilTime& time) noexcept {
  out = write_two(out, time.hour);
  *out++ = ':';
  out = write_two(out, time.minute);
  *out++ = ':';
  return write_two(out, time.second);
}

char* write_text(char* out, const char* text, size_t bytes) noexcept {
  std::memcpy(out, text, bytes);
  return out + bytes;
}

}  // namespace

// Days are counted in years that start on March 1st, so that the leap day is the last of its year:
// H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
CivilTime civil_time(uint64_t seconds_since_1970) noexcept {
  const uint64_t seconds = std::min(seconds_since_1970, last_second);
  const unsigned days = static_cast<unsigned>(seconds / 86400);
  const unsigned second = static_cast<unsigned>(seconds % 86400);
  const unsigned shifted = days + 719468;  // days since 0000-03-01
  const unsigned era = shifted / 146097;   // of 400 years
  const unsigned day_of_era = shifted % 146097;
  const unsigned year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const unsigned day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned month_from_march = (5 * day_of_year + 2) / 153;
  const unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  return {
      .year = year_of_era + era * 400 + (month <= 2 ? 1 : 0),
      .month = month,
      .day = day_of_year - (153 * month_from_march + 2) / 5 + 1,
      .hour = second / 3600,
      .minute = second / 60 % 60,
      .second = second % 60,
      .weekday = (days + 4) % 7,  // 1970-01-01 was a Thursday
  };
}

char* write_rfc3339(char* out, uint64_t time_us) noexcept {
  const uint64_t second = time_us / 1'000'000;
  const unsigned fraction =
      second > last_second ? 999'999 : static_cast<unsigned>(time_us % 1'000'000);
  const CivilTime time = civil_time(second);
  out = write_year(out, time);
  *out++ = '-';
  out = write_two(out, time.month);
  *out++ = '-';
  out = write_two(out, time.day);
  *out++ = 'T';
  out = write_clock(out, time);
  *out++ = '.';
  out = write_two(out, fraction / 10'000);
  out = write_two(out, fraction / 100 % 100);
  out = write_two(out, fraction % 100);
  *out++ = 'Z';
  return out;
}

void DateCache::format(uint64_t second) noexcept {
  const CivilTime time = civil_time(second);
  char* out = text_;
  out = write_text(out, weekday_names + size_t{3} * time.weekday, 3);
  out = write_text(out, ", ", 2);
  out = write_two(out, time.day);
  *out++ = ' ';
  out = write_text(out, month_names + size_t{3} * (time.month - 1), 3);
  *out++ = ' ';
  out = write_year(out, time);
  *out++ = ' ';
  out = write_clock(out, time);
  write_text(out, " GMT", 4);
  second_ = second;
}

}  // namespace espora::http
