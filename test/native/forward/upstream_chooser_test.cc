#include "forward/upstream_chooser.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace espora::forward {
namespace {

using Tried = UpstreamChooser::Tried;
using ChoiceKind = UpstreamChooser::Choice::Kind;

struct Set : UpstreamChooser {
  explicit Set(const std::vector<uint32_t>& weights, Balance balance = Balance::round_robin,
               uint32_t connections_max = 0)
      : UpstreamChooser(balance, connections_max) {
    for (const uint32_t weight : weights) EXPECT_TRUE(add(weight).has_value());
  }
  // Who takes the next `count` connections, by letters; '-' for nobody, '=' for full.
  std::string turns(int count, const Tried& tried = {}) {
    std::string all;
    for (int i = 0; i < count; ++i) {
      const Choice choice = next(tried);
      all += choice.kind == ChoiceKind::chosen ? static_cast<char>('a' + choice.upstream)
                                               : (choice.kind == ChoiceKind::full ? '=' : '-');
    }
    return all;
  }
  // The same, and each stays.
  std::string stays(int count) {
    std::string all;
    for (int i = 0; i < count; ++i) {
      all += turns(1);
      if (all.back() >= 'a') begin(static_cast<size_t>(all.back() - 'a'));
    }
    return all;
  }
};

TEST(UpstreamChooser, TurnsAreExact) {
  EXPECT_EQ(Set({1, 1, 1}).turns(7), "abcabca");
  EXPECT_EQ(Set({7, 7, 7}).turns(7), "abcabca");
}

TEST(UpstreamChooser, OneUpstreamIsAlwaysTheNext) {
  Set set({1});
  EXPECT_EQ(set.turns(2), "aa");
  EXPECT_EQ(set.turns(1, Tried("1")), "-");
}

TEST(UpstreamChooser, NoneIsNobody) { EXPECT_EQ(Set({}).turns(2), "--"); }

// Exact over each cycle, and nobody gets its share in one burst.
TEST(UpstreamChooser, WeightsAreExactAndSmooth) {
  EXPECT_EQ(Set({5, 1, 1}).turns(14), "aabacaaaabacaa");
  EXPECT_EQ(Set({2, 1}).turns(6), "abaaba");
  EXPECT_EQ(Set({1, 3}).turns(8), "babbbabb");
  Set many({1, 10, 100, 1000});
  std::vector<int> served(4);
  for (int i = 0; i < 1111; ++i) ++served[many.next({}).upstream];
  EXPECT_EQ(served, (std::vector<int>{1, 10, 100, 1000}));
}

TEST(UpstreamChooser, AWeightChangesWithoutADebtOfBefore) {
  Set set({1000, 1});
  set.turns(500);
  set.set_weight(0, 1);
  const std::string turns = set.turns(4);
  EXPECT_TRUE(turns == "abab" || turns == "baba") << turns;
}

TEST(UpstreamChooser, EachIsTriedOnceAndThenNoneIsLeft) {
  Set set({1, 1, 1, 1});
  Tried tried;
  for (size_t expected : {0u, 1u, 2u, 3u}) {
    const auto choice = set.next(tried);
    ASSERT_EQ(choice.kind, ChoiceKind::chosen);
    ASSERT_EQ(choice.upstream, expected);
    tried.set(choice.upstream);
  }
  EXPECT_EQ(set.turns(1, tried), "-");
}

// The upstream behind a dead one must not get the dead one's share on top of its own.
TEST(UpstreamChooser, SharesStayEvenWhenOneAlwaysFails) {
  Set set({1, 1, 1, 1});
  std::vector<int> served(4);
  for (int connection = 0; connection < 300; ++connection) {
    Tried tried;
    size_t choice = set.next(tried).upstream;
    while (choice == 1) {
      tried.set(choice);
      choice = set.next(tried).upstream;
    }
    ++served[choice];
  }
  EXPECT_EQ(served, (std::vector<int>{100, 0, 100, 100}));
}

// --- who is out of the question --------------------------------------------------------------

TEST(UpstreamChooser, OnlyThoseThatAreUpAndReachableAreEverChosen) {
  Set set({1, 1, 1, 1});
  set.set_state(0, UpstreamState::down);
  set.set_state(1, UpstreamState::draining);
  set.set_reachable(2, false);
  EXPECT_EQ(set.turns(3), "ddd");
  set.set_state(3, UpstreamState::draining);
  EXPECT_EQ(set.turns(2), "--");
  EXPECT_TRUE(set.has_room());  // to be told that nobody is there
  set.set_state(0, UpstreamState::up);
  set.set_reachable(2, true);
  EXPECT_EQ(set.turns(4), "acac");
}

// Whoever is unhealthy gets nothing while a healthy one is left to try, and all of it after that.
TEST(UpstreamChooser, UnhealthyOnesAreTheLastResort) {
  struct Row {
    const char* healthy;  // one digit for each of a, b, c
    const char* tried;
    const char* turns;
  };
  for (const Row& each : std::vector<Row>{{"111", "000", "abca"},
                                          {"101", "000", "acac"},
                                          {"101", "100", "cccc"},
                                          {"101", "101", "bbbb"},
                                          {"000", "000", "abca"},
                                          {"000", "010", "acac"},
                                          {"010", "111", "----"}}) {
    Set set({1, 1, 1});
    Tried tried;
    for (size_t i = 0; i < 3; ++i) {
      set.set_healthy(i, each.healthy[i] == '1');
      tried.set(i, each.tried[i] == '1');
    }
    EXPECT_EQ(set.turns(4, tried), each.turns) << each.healthy << " " << each.tried;
  }
}

TEST(UpstreamChooser, OthersAreHealthyOnlyWhereTheyGetConnections) {
  Set set({1, 1});
  EXPECT_TRUE(set.others_healthy(0));
  set.set_state(1, UpstreamState::down);
  EXPECT_FALSE(set.others_healthy(0));
  EXPECT_TRUE(set.others_healthy(1));
  set.set_state(1, UpstreamState::up);
  set.set_healthy(1, false);
  EXPECT_FALSE(set.others_healthy(0));
  set.set_healthy(1, true);
  set.set_reachable(1, false);
  EXPECT_FALSE(set.others_healthy(0));
  EXPECT_FALSE(Set({1}).others_healthy(0));
}

// --- connections -----------------------------------------------------------------------------

TEST(UpstreamChooser, FewestConnectionsForItsWeight) {
  Set set({1, 1, 2}, Balance::least_connections);
  EXPECT_EQ(set.stays(8), "cabcbacc");
  for (int i = 0; i < 2; ++i) set.end(1);
  EXPECT_EQ(set.stays(2), "bb");
}

TEST(UpstreamChooser, IdleOnesTakeTurns) {
  Set set({1, 1, 1}, Balance::least_connections);
  EXPECT_EQ(set.turns(6), "abcabc");
  set.begin(0);
  EXPECT_EQ(set.turns(4), "bcbc");
}

TEST(UpstreamChooser, AtItsLimitAnUpstreamIsPassedOver) {
  for (const Balance balance : {Balance::round_robin, Balance::least_connections}) {
    Set set({1, 1}, balance, 2);
    EXPECT_EQ(set.stays(4), balance == Balance::round_robin ? "abab" : "abba");
    EXPECT_FALSE(set.has_room());
    EXPECT_EQ(set.turns(2), "==");
    set.end(1);
    EXPECT_TRUE(set.has_room());
    EXPECT_EQ(set.stays(2), "b=");
    // Full is not gone: the unhealthy do not get what the healthy cannot take now.
    set.set_healthy(0, false);
    EXPECT_EQ(set.turns(1), "=");
    EXPECT_EQ(set.turns(1, Tried("10")), "=");
    set.end(0);
    EXPECT_EQ(set.turns(1, Tried("10")), "a");
    EXPECT_EQ(set.turns(1), "=");
  }
}

// --- coming and going ------------------------------------------------------------------------

TEST(UpstreamChooser, OneThatIsRemovedGetsNothingAndItsPlaceIsUsedAgain) {
  Set set({1, 1, 1});
  EXPECT_EQ(set.stays(4), "abca");
  set.remove(0);
  EXPECT_FALSE(set.exists(0));
  EXPECT_EQ(set.turns(4), "bcbc");
  EXPECT_EQ(set.add(1), 3u);  // its connections still count at 0
  set.end(0);
  set.end(0);
  EXPECT_EQ(set.add(1), 0u);
  EXPECT_EQ(set.connections(0), 0u);
  std::string turns = set.turns(400);
  for (char upstream : std::string("abcd")) {
    EXPECT_EQ(std::count(turns.begin(), turns.end(), upstream), 100) << upstream;
  }
}

TEST(UpstreamChooser, TheMostThatArePossible) {
  UpstreamChooser set;
  for (size_t i = 0; i < limits::upstreams_max; ++i) EXPECT_EQ(set.add(1), i);
  EXPECT_EQ(set.add(1), std::nullopt);
  Tried tried;
  for (size_t i = 0; i < limits::upstreams_max; ++i) tried.set(set.next(tried).upstream);
  EXPECT_TRUE(tried.all());
  EXPECT_EQ(set.next(tried).kind, ChoiceKind::none);
}

TEST(UpstreamSetDeathTest, WhatIsNotThereIsOurBug) {
  Set set({1});
  EXPECT_DEATH(set.begin(1), "exists");
  EXPECT_DEATH(set.end(0), "connections > 0");
  EXPECT_DEATH(set.set_weight(0, 0), "weight >= 1");
}

}  // namespace
}  // namespace espora::forward
