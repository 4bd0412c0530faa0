#include "sys/event_loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "support/call_on.h"
#include "sys/limits.h"
#include "sys/thread.h"

namespace espora::sys {
namespace {

struct Handler final : EventHandler {
  explicit Handler(std::function<void(uint32_t)> body_in = {}) : body(std::move(body_in)) {}
  void on_events(uint32_t events) override {
    ++calls;
    last = events;
    if (body) body(events);
  }
  std::function<void(uint32_t)> body;
  int calls = 0;
  uint32_t last = 0;
};

struct Pair {
  Pair() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
      std::abort();
    }
    ours.reset(ends[0]);
    theirs.reset(ends[1]);
  }
  void write() const { ASSERT_EQ(::write(theirs.get(), "x", 1), 1); }
  void drain() const {
    char byte;
    while (::read(ours.get(), &byte, 1) == 1) {
    }
  }
  Fd ours;
  Fd theirs;
};

class EventLoopTest : public ::testing::Test {
 protected:
  EventLoopTest() { EXPECT_TRUE(loop.init().ok()); }
  EventLoop loop;
};

TEST_F(EventLoopTest, TellsOfWhatIsReady) {
  Pair pair;
  Handler handler([&](uint32_t) { loop.stop(); });
  ASSERT_TRUE(loop.add(pair.ours.get(), Events::readable, handler).ok());
  pair.write();
  loop.run();
  EXPECT_EQ(handler.calls, 1);
  EXPECT_EQ(handler.last, Events::readable);
}

// Both are ready in one wait; whichever comes first removes the other, whose event is already
// fetched and must be dropped.
TEST_F(EventLoopTest, AnEventOfARemovedDescriptorIsDropped) {
  Pair pairs[2];
  EventLoop::Token tokens[2] = {};
  Handler handlers[2];
  for (int i = 0; i < 2; ++i) {
    handlers[i].body = [&, i](uint32_t) {
      loop.remove(tokens[1 - i], pairs[1 - i].ours.get());
      loop.remove(tokens[i], pairs[i].ours.get());
      loop.stop();
    };
    auto token = loop.add(pairs[i].ours.get(), Events::readable, handlers[i]);
    ASSERT_TRUE(token.ok());
    tokens[i] = token.value();
    pairs[i].write();
  }
  loop.run();
  EXPECT_EQ(handlers[0].calls + handlers[1].calls, 1);
}

// The slot of a removed descriptor is used again in the same turn: the old event must not reach the
// new handler.
TEST_F(EventLoopTest, AStaleEventDoesNotReachTheNextOwnerOfItsSlot) {
  Pair one;
  Pair two;
  Pair fresh;
  Pair* pairs[2] = {&one, &two};
  EventLoop::Token tokens[2] = {};
  Handler handlers[2];
  Handler newcomer;
  for (int i = 0; i < 2; ++i) {
    handlers[i].body = [&, i](uint32_t) {
      const int other = 1 - i;
      loop.forget(tokens[other]);
      pairs[other]->ours.reset();
      auto token = loop.add(fresh.ours.get(), Events::readable, newcomer);
      ASSERT_TRUE(token.ok());
      EXPECT_EQ(static_cast<uint32_t>(token.value()), static_cast<uint32_t>(tokens[other]));
      EXPECT_NE(token.value(), tokens[other]);
      pairs[i]->drain();
      loop.stop();
    };
    auto token = loop.add(pairs[i]->ours.get(), Events::readable, handlers[i]);
    ASSERT_TRUE(token.ok());
    tokens[i] = token.value();
  }
  one.write();
  two.write();
  loop.run();
  EXPECT_EQ(handlers[0].calls + handlers[1].calls, 1);
  EXPECT_EQ(newcomer.calls, 0);
}

TEST_F(EventLoopTest, AForgottenDescriptorIsGoneOnceItIsClosed) {
  Handler handler;
  {
    Pair pair;
    auto token = loop.add(pair.ours.get(), Events::readable, handler);
    ASSERT_TRUE(token.ok());
    pair.write();
    loop.forget(token.value());
  }
  // The same number, most likely, for another socket.
  Pair other;
  Handler other_handler([&](uint32_t) { loop.stop(); });
  ASSERT_TRUE(loop.add(other.ours.get(), Events::readable, other_handler).ok());
  other.write();
  loop.run();
  EXPECT_EQ(handler.calls, 0);
  EXPECT_EQ(other_handler.calls, 1);
}

TEST_F(EventLoopTest, RedispatchComesInTheNextTurnWithoutWaiting) {
  Pair pair;
  std::vector<uint32_t> seen;
  int turns = 0;
  struct Hook final : TurnHook {
    explicit Hook(int& turns_in) : turns(turns_in) {}
    void on_turn_end() override { ++turns; }
    int& turns;
  } hook(turns);
  loop.set_turn_hook(&hook);
  EventLoop::Token token = 0;
  std::vector<int> at_turn;
  Handler handler([&](uint32_t events) {
    seen.push_back(events);
    at_turn.push_back(turns);
    if (seen.size() == 3) {
      loop.stop();
      return;
    }
    loop.redispatch(token, Events::readable);
    loop.redispatch(token, Events::urgent);  // merged: one call
  });
  auto added = loop.add(pair.ours.get(), Events::readable | Events::edge, handler);
  ASSERT_TRUE(added.ok());
  token = added.value();
  pair.write();  // one edge, never read
  loop.run();
  EXPECT_EQ(seen, (std::vector<uint32_t>{Events::readable, Events::readable | Events::urgent,
                                         Events::readable | Events::urgent}));
  EXPECT_EQ(at_turn[1], at_turn[0] + 1);
  EXPECT_EQ(at_turn[2], at_turn[1] + 1);
}

TEST_F(EventLoopTest, ARedispatchOfARemovedDescriptorIsDropped) {
  Pair pair;
  Pair next;
  Handler handler;
  Handler newcomer;
  auto token = loop.add(pair.ours.get(), Events::readable, handler);
  ASSERT_TRUE(token.ok());
  loop.redispatch(token.value(), Events::readable);
  loop.remove(token.value(), pair.ours.get());
  auto reused = loop.add(next.ours.get(), Events::readable, newcomer);
  ASSERT_TRUE(reused.ok());
  loop.stop();
  loop.run();
  EXPECT_EQ(handler.calls, 0);
  EXPECT_EQ(newcomer.calls, 0);
}

TEST_F(EventLoopTest, ADescriptorInAReusedSlotIsRedispatchedForItself) {
  Pair pair;
  Pair next;
  Handler handler;
  Handler newcomer;
  auto token = loop.add(pair.ours.get(), Events::readable, handler);
  ASSERT_TRUE(token.ok());
  loop.redispatch(token.value(), Events::readable);
  loop.remove(token.value(), pair.ours.get());
  auto reused = loop.add(next.ours.get(), Events::readable, newcomer);
  ASSERT_TRUE(reused.ok());
  loop.redispatch(reused.value(), Events::urgent);
  loop.stop();
  loop.run();
  EXPECT_EQ(handler.calls, 0);
  EXPECT_EQ(newcomer.calls, 1);
  EXPECT_EQ(newcomer.last, Events::urgent);
}

TEST_F(EventLoopTest, WhatIsPostedRunsOnceAndInOrderOfEachThread) {
  constexpr int threads = 8;
  constexpr int each = 2'000;
  std::vector<std::vector<int>> seen(threads);
  std::thread looping([&] { loop.run(); });
  std::vector<std::thread> posting;
  for (int thread = 0; thread < threads; ++thread) {
    posting.emplace_back([&, thread] {
      for (int i = 0; i < each; ++i) {
        loop.post([&seen, thread, i] { seen[static_cast<size_t>(thread)].push_back(i); });
      }
    });
  }
  for (std::thread& thread : posting) thread.join();
  loop.stop();
  looping.join();
  for (const std::vector<int>& one : seen) {
    ASSERT_EQ(one.size(), static_cast<size_t>(each));
    for (int i = 0; i < each; ++i) ASSERT_EQ(one[static_cast<size_t>(i)], i);
  }
}

TEST_F(EventLoopTest, WorkMayPostWork) {
  int depth = 0;
  std::function<void()> again = [&] {
    if (++depth == 100) {
      loop.stop();
    } else {
      loop.post(again);
    }
  };
  loop.post(again);
  loop.run();
  EXPECT_EQ(depth, 100);
}

TEST_F(EventLoopTest, RetiredObjectsGoAfterTheTurn) {
  struct Flagged final : Retired {
    explicit Flagged(bool& gone_in) : gone(gone_in) {}
    ~Flagged() override { gone = true; }
    bool& gone;
  };
  bool gone = false;
  bool gone_when_retired = true;
  bool gone_at_turn_end = true;
  struct Hook final : TurnHook {
    void on_turn_end() override { body(); }
    std::function<void()> body;
  } hook;
  hook.body = [&] { gone_at_turn_end = gone; };
  loop.set_turn_hook(&hook);
  loop.post([&] {
    loop.retire(std::make_unique<Flagged>(gone));
    gone_when_retired = gone;
  });
  loop.stop();
  loop.run();
  EXPECT_FALSE(gone_when_retired);
  EXPECT_FALSE(gone_at_turn_end);
  EXPECT_TRUE(gone);
}

TEST_F(EventLoopTest, TimersFire) {
  struct World {
    EventLoop& loop;
    uint64_t fired_at = 0;
  } world{loop};
  Timer timer(
      [](Timer&, void* context) {
        auto* here = static_cast<World*>(context);
        here->fired_at = here->loop.now_ms();
        here->loop.stop();
      },
      &world);
  const uint64_t due = loop.now_ms() + 20;
  loop.timers().arm(timer, due);
  loop.run();
  EXPECT_GE(world.fired_at, due);  // never early
}

TEST_F(EventLoopTest, AHookMayAskForAnotherTurn) {
  struct Hook final : TurnHook {
    explicit Hook(EventLoop& loop_in) : loop(loop_in) {}
    void on_turn_end() override {
      if (++turns < 5) {
        loop.run_again();
      } else {
        loop.stop();
      }
    }
    EventLoop& loop;
    int turns = 0;
  } hook(loop);
  loop.set_turn_hook(&hook);
  loop.run_again();
  loop.run();
  EXPECT_GE(hook.turns, 5);
}

TEST_F(EventLoopTest, TellsWhetherTheTurnBeforeWasLong) {
  struct Hook final : TurnHook {
    explicit Hook(EventLoop& loop_in) : loop(loop_in) {}
    void on_turn_end() override {
      after_long.push_back(loop.after_long_turn());
      if (after_long.size() == 1) {
        std::this_thread::sleep_for(std::chrono::nanoseconds(limits::long_turn_ns));
      }
      if (after_long.size() >= 2) {
        loop.stop();
      } else {
        loop.run_again();
      }
    }
    EventLoop& loop;
    std::vector<bool> after_long;
  } hook(loop);
  loop.set_turn_hook(&hook);
  loop.run_again();
  loop.run();
  EXPECT_FALSE(hook.after_long.at(0));
  EXPECT_TRUE(hook.after_long.at(1));
}

TEST_F(EventLoopTest, ManyDescriptorsComeAndGo) {
  constexpr int rounds = 50;
  constexpr int many = 400;  // more than one wait fetches
  int woken = 0;
  std::thread looping([&] { loop.run(); });
  for (int round = 0; round < rounds; ++round) {
    std::vector<Pair> pairs(many);
    std::vector<EventLoop::Token> tokens(many);
    Handler handler([&](uint32_t) { ++woken; });
    test::call_on(loop, [&] {
      for (size_t i = 0; i < many; ++i) {
        tokens[i] = loop.add(pairs[i].ours.get(), Events::readable | Events::edge, handler).value();
      }
      for (const Pair& pair : pairs) pair.write();
    });
    // Two turns fetch them all.
    for (int turn = 0; turn < 3; ++turn) test::call_on(loop, [] {});
    test::call_on(loop, [&] {
      EXPECT_EQ(handler.calls, many);
      for (size_t i = 0; i < many; ++i) {
        if (i % 2 == 0) {
          loop.remove(tokens[i], pairs[i].ours.get());
        } else {
          loop.forget(tokens[i]);
          pairs[i].ours.reset();
        }
      }
    });
  }
  loop.stop();
  looping.join();
  EXPECT_EQ(woken, rounds * many);
}

TEST(EventLoopDeathTest, AStaleTokenIsOurBug) {
  EventLoop loop;
  ASSERT_TRUE(loop.init().ok());
  Pair pair;
  Handler handler;
  auto token = loop.add(pair.ours.get(), Events::readable, handler);
  ASSERT_TRUE(token.ok());
  loop.remove(token.value(), pair.ours.get());
  EXPECT_DEATH(loop.forget(token.value()), "generation");
  EXPECT_DEATH(loop.redispatch(token.value(), Events::readable), "generation");
  EXPECT_DEATH(loop.modify(token.value(), pair.ours.get(), 0), "generation");
}

}  // namespace
}  // namespace espora::sys
