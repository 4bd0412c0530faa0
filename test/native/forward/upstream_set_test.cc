#include "forward/upstream_set.h"

#include <gtest/gtest.h>

#include <vector>

namespace espora::forward {
namespace {

using Tried = UpstreamSet::Tried;

TEST(UpstreamSet, TurnsAreExact) {
  UpstreamSet set(3);
  std::vector<size_t> order;
  for (int i = 0; i < 7; ++i) order.push_back(*set.next({}));
  EXPECT_EQ(order, (std::vector<size_t>{0, 1, 2, 0, 1, 2, 0}));
}

TEST(UpstreamSet, OneUpstreamIsAlwaysTheNext) {
  UpstreamSet set(1);
  EXPECT_EQ(set.next({}), 0u);
  EXPECT_EQ(set.next({}), 0u);
  EXPECT_EQ(set.next(Tried("1")), std::nullopt);
}

TEST(UpstreamSet, EachIsTriedOnceAndThenNoneIsLeft) {
  UpstreamSet set(4);
  Tried tried;
  for (size_t expected : {0u, 1u, 2u, 3u}) {
    const auto choice = set.next(tried);
    ASSERT_EQ(choice, expected);
    tried.set(*choice);
  }
  EXPECT_EQ(set.next(tried), std::nullopt);
}

// The upstream behind a dead one must not get the dead one's share on top of its own.
TEST(UpstreamSet, SharesStayEvenWhenOneAlwaysFails) {
  UpstreamSet set(4);
  std::vector<int> served(4);
  for (int connection = 0; connection < 300; ++connection) {
    Tried tried;
    size_t choice = *set.next(tried);
    while (choice == 1) {
      tried.set(choice);
      choice = *set.next(tried);
    }
    ++served[choice];
  }
  EXPECT_EQ(served, (std::vector<int>{100, 0, 100, 100}));
}

TEST(UpstreamSet, ThoseThatAreDownAreLeftOut) {
  UpstreamSet set(3);
  set.set_up(1, false);
  std::vector<int> served(3);
  for (int i = 0; i < 100; ++i) ++served[*set.next({})];
  EXPECT_EQ(served, (std::vector<int>{50, 0, 50}));
  set.set_up(0, false);
  set.set_up(2, false);
  EXPECT_EQ(set.next({}), std::nullopt);
  set.set_up(1, true);
  EXPECT_EQ(set.next({}), 1u);
}

TEST(UpstreamSet, TheMostThatArePossible) {
  UpstreamSet set(limits::upstreams_max);
  Tried tried;
  for (size_t i = 0; i < limits::upstreams_max; ++i) tried.set(*set.next(tried));
  EXPECT_TRUE(tried.all());
  EXPECT_EQ(set.next(tried), std::nullopt);
}

TEST(UpstreamSetDeathTest, NoneOrTooManyIsOurBug) {
  EXPECT_DEATH(UpstreamSet(0), "count >= 1");
  EXPECT_DEATH(UpstreamSet(limits::upstreams_max + 1), "upstreams_max");
}

}  // namespace
}  // namespace espora::forward
