#include "sys/scheduling.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <functional>
#include <thread>

#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/limits.h"
#include "sys/thread.h"

namespace espora::sys {
namespace {

using Window = BatchDecision::Window;

constexpr Window little{limits::batch_units_per_second / 10, 400, 1000};
constexpr Window much{limits::batch_units_per_second, limits::batch_units_per_second, 1000};
constexpr Window of_use{limits::batch_units_per_sleep * 100, 100, 1000};
constexpr Window of_no_use{limits::batch_units_per_sleep * 100 - 1, 100, 1000};

TEST(BatchDecision, TriesWhereThereIsMuchToDo) {
  BatchDecision decision;
  EXPECT_FALSE(decision.decide(little, 1));
  EXPECT_EQ(decision.turns(), limits::batch_window_turns);
  EXPECT_TRUE(decision.decide(much, 2));
  EXPECT_EQ(decision.turns(), limits::batch_trial_turns);
}

TEST(BatchDecision, TriesWhereNoTimePassed) {
  BatchDecision decision;
  EXPECT_TRUE(decision.decide({1, 0, 0}, 1));
}

TEST(BatchDecision, KeepsWhatIsOfUse) {
  BatchDecision decision;
  EXPECT_TRUE(decision.decide(much, 1));
  EXPECT_TRUE(decision.decide(of_use, 2));
  EXPECT_EQ(decision.turns(), limits::batch_window_turns);
  EXPECT_TRUE(decision.decide({1, 0, 100}, 3));  // never slept
  EXPECT_FALSE(decision.decide(of_no_use, 4));
  EXPECT_EQ(decision.turns(), limits::batch_window_turns);
}

TEST(BatchDecision, WaitsLongerAfterEachTrialOfNoUse) {
  BatchDecision decision;
  uint64_t now_ms = 1;
  uint64_t pause_ms = limits::batch_pause_ms;
  for (int trial = 0; trial < 10; ++trial) {
    ASSERT_TRUE(decision.decide(much, now_ms)) << trial;
    ASSERT_FALSE(decision.decide(of_no_use, now_ms)) << trial;
    ASSERT_FALSE(decision.decide(much, now_ms + pause_ms - 1)) << trial;
    now_ms += pause_ms;
    pause_ms = std::min(2 * pause_ms, limits::batch_pause_ms_max);
  }
  EXPECT_EQ(pause_ms, limits::batch_pause_ms_max);
}

TEST(BatchDecision, TriesSoonAgainWhatWasOfUse) {
  BatchDecision decision;
  for (uint64_t now_ms : {0, 10'000}) {
    ASSERT_TRUE(decision.decide(much, now_ms));
    ASSERT_FALSE(decision.decide(of_no_use, now_ms));
  }
  ASSERT_TRUE(decision.decide(much, 20'000));
  ASSERT_TRUE(decision.decide(of_use, 20'000));
  ASSERT_FALSE(decision.decide(of_no_use, 20'000));
  EXPECT_FALSE(decision.decide(much, 20'000 + limits::batch_pause_ms - 1));
  EXPECT_TRUE(decision.decide(much, 20'000 + limits::batch_pause_ms));
}

// As a sandbox does: from now on sched_setscheduler(2) fails in this thread with EPERM, seccomp(2).
void refuse_to_schedule() {
  std::array<sock_filter, 4> filter{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_setscheduler, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program{filter.size(), filter.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) std::abort();
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) std::abort();
}

int policy() { return ::sched_getscheduler(0); }

struct Turn final : EventHandler {
  std::function<void()> body;
  void on_events(uint32_t) override { body(); }
};

// A loop on a thread that has `initially` as its policy, and an eventfd that wakes it.
class SchedulingTest : public ::testing::Test {
 protected:
  void run(int initially, bool sandboxed) {
    ASSERT_TRUE(loop_.init().ok());
    ASSERT_TRUE(loop_.add(event_.get(), Events::readable, handler_).ok());
    thread_ = start_thread("scheduling", [this, initially, sandboxed] {
                const sched_param none{};
                if (::sched_setscheduler(0, initially, &none) != 0) std::abort();
                if (sandboxed) refuse_to_schedule();
                loop_.run();
                policy_at_end_ = policy();
              }).value();
  }
  void end() {
    loop_.stop();
    thread_.join();
  }
  void wake() { ASSERT_EQ(::eventfd_write(event_.get(), 1), 0); }

  // A loop that always has something to do: in how many of its turns the policy was another.
  int turns_unlike(int initially, bool sandboxed) {
    std::atomic<int> turns{0};
    std::atomic<int> unlike{0};
    handler_.body = [&] {
      ++turns;
      if (policy() != initially) ++unlike;
    };
    run(initially, sandboxed);
    wake();
    while (turns < 1000) std::this_thread::yield();
    end();
    return unlike;
  }

  // Level-triggered and not read: there is always something, until it was of use for a while.
  void run_until_batch() {
    handler_.body = [this, turns_as_batch = 0, slowly = false]() mutable {
      if (!slowly) {
        if (policy() == SCHED_BATCH) ++turns_as_batch;
        if (turns_as_batch < 1000) return;
        slowly = true;
      }
      eventfd_t value;
      ::eventfd_read(event_.get(), &value);
      last_policy_ = policy();
      ++seen_;
    };
    run(SCHED_OTHER, false);
    wake();
    while (seen_ == 0) std::this_thread::yield();
    ASSERT_EQ(last_policy_, SCHED_BATCH);
  }
  // One thing to do after a rest.
  void work_after(std::chrono::milliseconds rest) {
    const int before = seen_;
    std::this_thread::sleep_for(rest);
    wake();
    while (seen_ == before) std::this_thread::yield();
  }

  EventLoop loop_;
  std::atomic<int> seen_{0};
  std::atomic<int> last_policy_{-1};
  Fd event_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  Turn handler_;
  Thread thread_;
  int policy_at_end_ = -1;
};

TEST_F(SchedulingTest, IsBatchWhileThereIsMuchToDoAndOnlyThen) {
  run_until_batch();
  // One thing after each sleep, from now on.
  const auto give_up_at = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (last_policy_ != SCHED_OTHER && std::chrono::steady_clock::now() < give_up_at) {
    work_after(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(last_policy_, SCHED_OTHER);
  end();
}

TEST_F(SchedulingTest, WhatComesNowAndThenIsSoonAsBefore) {
  run_until_batch();
  // The first may end a window with much in it, the second one without.
  constexpr std::chrono::milliseconds window(limits::batch_window_ms);
  for (int i = 0; i < 3; ++i) work_after(2 * window);
  EXPECT_EQ(last_policy_, SCHED_OTHER);
  end();
}

TEST_F(SchedulingTest, LeavesTheThreadAsItWas) {
  EXPECT_GT(turns_unlike(SCHED_OTHER, false), 0);
  EXPECT_EQ(policy_at_end_, SCHED_OTHER);
}

TEST_F(SchedulingTest, GoesOnWhereASandboxRefuses) {
  EXPECT_EQ(turns_unlike(SCHED_OTHER, true), 0);
  EXPECT_EQ(policy_at_end_, SCHED_OTHER);
}

TEST_F(SchedulingTest, LeavesAnotherPolicyAlone) {
  EXPECT_EQ(turns_unlike(SCHED_IDLE, false), 0);
  EXPECT_EQ(policy_at_end_, SCHED_IDLE);
}

}  // namespace
}  // namespace espora::sys
