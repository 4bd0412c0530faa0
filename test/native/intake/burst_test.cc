#include "intake/burst.h"

#include <gtest/gtest.h>

namespace espora::intake {
namespace {

TEST(Burst, GrowsWhileTurnAfterTurnIsFullUpToItsMost) {
  Burst burst(5);
  EXPECT_EQ(burst.limit(false), 1);
  burst.full(10);
  EXPECT_EQ(burst.limit(false), 1);  // once says little
  burst.full(11);
  EXPECT_EQ(burst.limit(false), 2);
  burst.full(12);
  EXPECT_EQ(burst.limit(false), 4);
  burst.full(13);
  EXPECT_EQ(burst.limit(false), 5);
}

TEST(Burst, StaysWhereOthersHadATurnBetween) {
  Burst burst(64);
  for (uint64_t turn = 2; turn < 100; turn += 2) burst.full(turn);
  EXPECT_EQ(burst.limit(false), 1);
}

TEST(Burst, FollowsWhatWasThere) {
  Burst burst(64);
  for (uint64_t turn = 1; turn < 10; ++turn) burst.full(turn);
  EXPECT_EQ(burst.limit(false), 64);
  burst.emptied(7);
  EXPECT_EQ(burst.limit(false), 7);
  burst.emptied(0);
  EXPECT_EQ(burst.limit(false), 1);
  burst.emptied(1000);
  EXPECT_EQ(burst.limit(false), 64);
}

TEST(Burst, TakesItsMostAfterALongTurn) {
  Burst burst(64);
  EXPECT_EQ(burst.limit(true), 64);
  EXPECT_EQ(burst.limit(false), 1);
}

}  // namespace
}  // namespace espora::intake
