#include "sys/timers.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

namespace espora::sys {
namespace {

// A timer that notes when it was called.
struct Noted {
  Noted(std::vector<int>& log_in, int name_in)
      : timer(
            [](Timer&, void* self) {
              auto* noted = static_cast<Noted*>(self);
              noted->log.push_back(noted->name);
            },
            this),
        log(log_in),
        name(name_in) {}
  Timer timer;
  std::vector<int>& log;
  int name;
};

TEST(Timers, FireInOrderOfTheirDeadlines) {
  Timers timers;
  std::vector<int> log;
  Noted c(log, 3), a(log, 1), b(log, 2);
  timers.arm(c.timer, 30);
  timers.arm(a.timer, 10);
  timers.arm(b.timer, 20);
  EXPECT_EQ(timers.next_ms(), 10u);
  timers.fire(9);
  EXPECT_TRUE(log.empty());
  timers.fire(20);
  EXPECT_EQ(log, (std::vector<int>{1, 2}));
  EXPECT_FALSE(a.timer.armed());
  EXPECT_TRUE(c.timer.armed());
  timers.fire(1000);
  EXPECT_EQ(log, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(timers.next_ms(), Timers::never_ms);
}

TEST(Timers, APushedDeadlineDoesNotFireEarly) {
  Timers timers;
  std::vector<int> log;
  Noted a(log, 1);
  timers.arm(a.timer, 10);
  for (uint64_t now = 1; now < 100; ++now) {
    timers.arm(a.timer, now + 10);  // as traffic does
    timers.fire(now);
    ASSERT_TRUE(log.empty()) << now;
    ASSERT_LE(timers.next_ms(), now + 10);
  }
  timers.fire(108);
  EXPECT_TRUE(log.empty());
  timers.fire(109);
  EXPECT_EQ(log.size(), 1u);
}

TEST(Timers, AnEarlierDeadlineWins) {
  Timers timers;
  std::vector<int> log;
  Noted a(log, 1), b(log, 2);
  timers.arm(a.timer, 100);
  timers.arm(b.timer, 50);
  timers.arm(a.timer, 20);
  EXPECT_EQ(timers.next_ms(), 20u);
  timers.fire(20);
  EXPECT_EQ(log, std::vector<int>{1});
  timers.fire(50);
  EXPECT_EQ(log, (std::vector<int>{1, 2}));
}

TEST(Timers, DisarmedOnesStaySilent) {
  Timers timers;
  std::vector<int> log;
  Noted a(log, 1), b(log, 2), c(log, 3);
  timers.arm(a.timer, 1);
  timers.arm(b.timer, 2);
  timers.arm(c.timer, 3);
  timers.disarm(b.timer);
  timers.disarm(b.timer);
  timers.fire(10);
  EXPECT_EQ(log, (std::vector<int>{1, 3}));
}

TEST(Timers, ACallbackMayArmItselfAndDisarmOthers) {
  Timers timers;
  struct World {
    Timers& timers;
    int calls = 0;
    Timer* other = nullptr;
  } world{timers};
  Timer self(
      [](Timer& timer, void* context) {
        auto* here = static_cast<World*>(context);
        ++here->calls;
        here->timers.arm(timer, 0);  // due again at once: must not hold up the loop
        if (here->other != nullptr) here->timers.disarm(*here->other);
      },
      &world);
  std::vector<int> log;
  Noted other(log, 1);
  world.other = &other.timer;
  timers.arm(self, 5);
  timers.arm(other.timer, 6);
  timers.fire(10);
  EXPECT_GE(world.calls, 1);
  EXPECT_LE(world.calls, 2);
  EXPECT_TRUE(log.empty());
  EXPECT_TRUE(self.armed());
  timers.disarm(self);
}

TEST(Timers, ACallbackMayDeleteItsTimer) {
  Timers timers;
  std::unique_ptr<Timer> timer;
  timer = std::make_unique<Timer>(
      [](Timer&, void* context) { static_cast<std::unique_ptr<Timer>*>(context)->reset(); },
      &timer);
  timers.arm(*timer, 1);
  timers.fire(1);
  EXPECT_EQ(timer, nullptr);
}

TEST(Timers, OnesThatOutliveTheirTimersAreDisarmed) {
  std::vector<int> log;
  Noted a(log, 1);
  {
    Timers timers;
    timers.arm(a.timer, 1);
  }
  EXPECT_FALSE(a.timer.armed());
}

// Against a model that is too simple to be wrong: an ordered map of deadlines.
TEST(Timers, AgreeWithAModel) {
  constexpr int count = 200;
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    std::vector<int> log;
    std::vector<std::unique_ptr<Noted>> all;
    Timers timers;
    std::map<int, uint64_t> model;
    for (int i = 0; i < count; ++i) all.push_back(std::make_unique<Noted>(log, i));
    uint64_t now = 0;
    for (int step = 0; step < 5'000; ++step) {
      const int which = static_cast<int>(random() % count);
      switch (random() % 8) {
        case 0:
          timers.disarm(all[static_cast<size_t>(which)]->timer);
          model.erase(which);
          break;
        case 1: {
          now += random() % 20;
          log.clear();
          timers.fire(now);
          std::set<int> due;
          for (auto it = model.begin(); it != model.end();) {
            if (it->second <= now) {
              due.insert(it->first);
              it = model.erase(it);
            } else {
              ++it;
            }
          }
          ASSERT_EQ(std::set<int>(log.begin(), log.end()), due);
          ASSERT_EQ(log.size(), due.size());
          break;
        }
        default: {
          const uint64_t deadline = now + random() % 100;
          timers.arm(all[static_cast<size_t>(which)]->timer, deadline);
          model[which] = deadline;
        }
      }
      uint64_t first = Timers::never_ms;
      for (const auto& [name, deadline] : model) first = std::min(first, deadline);
      ASSERT_LE(timers.next_ms(), first);  // early is allowed, late is not
      ASSERT_EQ(timers.next_ms() == Timers::never_ms, model.empty());
    }
    for (auto& each : all) timers.disarm(each->timer);
  }
}

}  // namespace
}  // namespace espora::sys
