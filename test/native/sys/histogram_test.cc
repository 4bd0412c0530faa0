#include "sys/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace espora::sys {
namespace {

using histogram::bucket_count;
using histogram::bucket_of;
using histogram::upper_bound_of;

TEST(Histogram, BucketsFollowEachOtherWithoutGaps) {
  for (size_t bucket = 0; bucket + 1 < bucket_count; ++bucket) {
    const uint64_t last = upper_bound_of(bucket);
    ASSERT_EQ(bucket_of(last), bucket);
    ASSERT_EQ(bucket_of(last + 1), bucket + 1);
  }
  EXPECT_EQ(upper_bound_of(bucket_count - 1), (uint64_t{1} << 40) - 1);
}

TEST(Histogram, ABucketIsAtMostASixteenthWide) {
  for (size_t bucket = 1; bucket < bucket_count; ++bucket) {
    const uint64_t first = upper_bound_of(bucket - 1) + 1;
    ASSERT_LE(upper_bound_of(bucket) - first, first / 16);
  }
}

TEST(Histogram, WhatIsTooLargeCountsAsTheLargest) {
  EXPECT_EQ(bucket_of(uint64_t{1} << 40), bucket_count - 1);
  EXPECT_EQ(bucket_of(UINT64_MAX), bucket_count - 1);
}

TEST(Histogram, PercentilesOfNothingAreZero) {
  const HistogramSnapshot empty = Histogram().snapshot();
  EXPECT_EQ(empty.count(), 0u);
  EXPECT_EQ(empty.percentile(0), 0u);
  EXPECT_EQ(empty.percentile(1000), 0u);
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram all;
  for (uint64_t value = 1; value <= 10; ++value) all.add(value);
  const HistogramSnapshot taken = all.snapshot();
  EXPECT_EQ(taken.count(), 10u);
  EXPECT_EQ(taken.sum(), 55u);
  EXPECT_EQ(taken.percentile(0), 1u);
  EXPECT_EQ(taken.percentile(100), 1u);
  EXPECT_EQ(taken.percentile(101), 2u);
  EXPECT_EQ(taken.percentile(500), 5u);
  EXPECT_EQ(taken.percentile(999), 10u);
  EXPECT_EQ(taken.percentile(1000), 10u);
}

// Beside a sorted list of the same values, over every scale.
TEST(Histogram, PercentilesAreAtMostASixteenthTooHigh) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 20; ++round) {
    Histogram all;
    std::vector<uint64_t> values;
    for (int i = 0; i < 2'000; ++i) {
      values.push_back(random() >> (24 + random() % 40));
      all.add(values.back());
    }
    std::sort(values.begin(), values.end());
    const HistogramSnapshot taken = all.snapshot();
    for (const unsigned per_mille : {1u, 10u, 250u, 500u, 900u, 990u, 999u, 1000u}) {
      const uint64_t exact = values[std::max<size_t>(1, (2'000 * per_mille + 999) / 1000) - 1];
      ASSERT_GE(taken.percentile(per_mille), exact);
      ASSERT_LE(taken.percentile(per_mille), exact + exact / 16);
    }
  }
}

TEST(Histogram, TwoTogetherAreAsIfTheyWereOne) {
  Histogram low;
  Histogram high;
  for (int i = 0; i < 90; ++i) low.add(10);
  for (int i = 0; i < 10; ++i) high.add(1'000);
  HistogramSnapshot both = low.snapshot();
  both.merge(high.snapshot());
  EXPECT_EQ(both.count(), 100u);
  EXPECT_EQ(both.sum(), 10'900u);
  EXPECT_EQ(both.percentile(900), 10u);
  EXPECT_GE(both.percentile(901), 1'000u);
}

}  // namespace
}  // namespace espora::sys
