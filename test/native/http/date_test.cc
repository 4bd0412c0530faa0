// Calendar arithmetic and the two spellings of a time, against the C library's.
#include "http/date.h"

#include <gtest/gtest.h>

#include <ctime>
#include <random>
#include <string>
#include <vector>

namespace espora::http {
namespace {

constexpr uint64_t last_second = 253'402'300'799;

std::vector<uint64_t> interesting_seconds() {
  std::vector<uint64_t> seconds = {0,
                                   1,
                                   86'399,
                                   86'400,
                                   951'782'399,
                                   951'782'400,
                                   951'868'800,
                                   1'705'459'161,
                                   4'107'542'399,
                                   4'107'542'400,
                                   last_second - 1,
                                   last_second};
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) seconds.push_back(random() % (last_second + 1));
  // Every day of two centuries, at its first and its last second.
  for (uint64_t day = 0; day < 73'050; ++day) {
    seconds.push_back(day * 86'400);
    seconds.push_back(day * 86'400 + 86'399);
  }
  return seconds;
}

std::string rfc3339(uint64_t time_us) {
  char text[rfc3339_bytes];
  return std::string(text, write_rfc3339(text, time_us));
}

TEST(Date, AgreesWithTheCLibrary) {
  DateCache cache;
  for (const uint64_t second : interesting_seconds()) {
    const time_t time = static_cast<time_t>(second);
    tm expected;
    gmtime_r(&time, &expected);
    char text[64];
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &expected);
    ASSERT_EQ(cache.at(second * 1'000'000 + second % 1'000'000), text) << second;
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.000042Z", &expected);
    ASSERT_EQ(rfc3339(second * 1'000'000 + 42), text) << second;
  }
}

TEST(Date, Rfc3339HasMicroseconds) {
  EXPECT_EQ(rfc3339(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(rfc3339(1'705'458'881'217'753), "2024-01-17T02:34:41.217753Z");
  EXPECT_EQ(rfc3339(1'705'458'881'999'999), "2024-01-17T02:34:41.999999Z");
  EXPECT_EQ(rfc3339(1'705'458'881'000'009), "2024-01-17T02:34:41.000009Z");
}

TEST(Date, TimesThatCannotBeWrittenCountAsTheLast) {
  EXPECT_EQ(rfc3339(last_second * 1'000'000 + 999'999), "9999-12-31T23:59:59.999999Z");
  EXPECT_EQ(rfc3339((last_second + 1) * 1'000'000), "9999-12-31T23:59:59.999999Z");
  EXPECT_EQ(rfc3339(UINT64_MAX), "9999-12-31T23:59:59.999999Z");
  DateCache cache;
  EXPECT_EQ(cache.at(UINT64_MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(Date, CacheFollowsTheClockBothWays) {
  DateCache cache;
  EXPECT_EQ(cache.at(784'111'777'000'000), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(cache.at(784'111'777'999'999), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(cache.at(784'111'778'000'000), "Sun, 06 Nov 1994 08:49:38 GMT");
  EXPECT_EQ(cache.at(784'111'777'000'000), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(cache.at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
}

}  // namespace
}  // namespace espora::http
