// Every rule of health as a table of steps: what happens to an upstream, and what it is after that.
#include "forward/health.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace espora::forward {
namespace {

std::string letter(Health::State state) {
  switch (state) {
    case Health::State::fit:
      return "fit";
    case Health::State::probation:
      return "probation";
    case Health::State::ejected:
      return "ejected";
    case Health::State::failed:
      return "failed";
  }
  return "";
}

// A step is one word: what happens, and after a colon what must be true then.
//   refused, silent        a session fails while others are fit; `alone-…`: while nobody else is
//   answered               a session got a first byte
//   +N                     N milliseconds pass
//   connects, misses       a check by connecting ends well, or not; `gets`, `fails`: one by GET
class Story {
 public:
  explicit Story(const HealthOptions& options) : health_(options) {}
  void tell(const std::vector<std::string>& steps) {
    for (const std::string& step : steps) {
      const size_t colon = step.find(':');
      happen(step.substr(0, colon));
      if (colon != std::string::npos) {
        ASSERT_EQ(letter(health_.state()), step.substr(colon + 1)) << step << " at " << now_ms_;
      }
      ASSERT_EQ(health_.usable(), health_.state() == Health::State::fit ||
                                      health_.state() == Health::State::probation);
    }
  }

 private:
  void happen(const std::string& what) {
    if (what == "refused") health_.on_failure(Failure::refused, now_ms_, true);
    if (what == "silent") health_.on_failure(Failure::silent, now_ms_, true);
    if (what == "alone-refused") health_.on_failure(Failure::refused, now_ms_, false);
    if (what == "answered") health_.on_success();
    if (what == "connects") health_.on_check(Check::connect, true);
    if (what == "misses") health_.on_check(Check::connect, false);
    if (what == "gets") health_.on_check(Check::http, true);
    if (what == "fails") health_.on_check(Check::http, false);
    if (what[0] != '+') return;
    now_ms_ += std::stoull(what.substr(1));
    health_.on_time(now_ms_);
  }
  Health health_;
  uint64_t now_ms_ = 1'000'000;
};

HealthOptions ejecting_after(uint32_t failures) {
  HealthOptions options;
  options.eject_after = failures;
  options.eject_window_ms = 1'000;
  options.eject_time_ms = 100;
  options.eject_time_max_ms = 350;
  options.readmit_after = 2;
  options.fall = 3;
  options.rise = 2;
  return options;
}

struct Case {
  const char* name;
  uint32_t eject_after;
  std::vector<std::string> steps;
};

class HealthRules : public ::testing::TestWithParam<Case> {};

TEST_P(HealthRules, Hold) {
  Story story(ejecting_after(GetParam().eject_after));
  story.tell(GetParam().steps);
}

INSTANTIATE_TEST_SUITE_P(
    Stories, HealthRules,
    ::testing::Values(
        Case{"EnoughFailuresInARowEject", 3, {"refused", "refused:fit", "refused:ejected"}},
        Case{"KindsOfFailuresCountTogether", 3, {"silent", "refused", "silent:ejected"}},
        Case{"AnAnswerBetweenThemStartsAnew",
             3,
             {"refused", "refused", "answered", "refused", "refused:fit", "refused:ejected"}},
        Case{"FailuresAtTheEdgeOfTheWindowCount",
             3,
             {"refused", "+500", "refused", "+500", "refused:ejected"}},
        Case{"OlderOnesDoNot",
             3,
             {"refused", "+500", "refused", "+501", "refused:fit", "refused:ejected"}},
        Case{"TheWindowSlides",
             3,
             {"refused", "+900", "refused", "+900", "refused:fit", "+50", "refused:ejected"}},
        Case{"OneIsEnoughWhereOneIsAskedFor", 1, {"silent:ejected"}},
        Case{"NeverMeansNever", 0, {"refused", "refused", "silent", "silent:fit", "answered:fit"}},
        Case{"TheLastOneIsNeverEjected",
             2,
             {"alone-refused", "alone-refused", "alone-refused:fit", "refused:ejected"}},
        Case{"AnEjectionEndsWithItsTime", 1, {"refused:ejected", "+99:ejected", "+1:probation"}},
        Case{"OnProbationOneFailureIsEnough",
             3,
             {"refused", "refused", "refused:ejected", "+100:probation", "refused:ejected"}},
        Case{
            "EjectionsGrowUpToALimit",
            1,
            {"refused:ejected", "+100:probation", "refused", "+199:ejected", "+1:probation",
             "refused", "+349:ejected", "+1:probation", "refused", "+349:ejected", "+1:probation"}},
        Case{"SuccessesEndTheProbation",
             3,
             {"refused", "refused", "refused", "+100:probation", "answered:probation",
              "answered:fit", "refused", "refused:fit", "refused:ejected", "+100:probation"}},
        Case{"AFailureBetweenThemDoesNotCountThem",
             1,
             {"refused", "+100", "answered:probation", "refused:ejected", "+200:probation",
              "answered:probation", "answered:fit"}},
        Case{"AnAnswerEndsAnEjection", 1, {"silent:ejected", "answered:probation", "answered:fit"}},
        Case{"FailuresWhileEjectedDoNotProlongIt",
             1,
             {"refused", "+50", "refused", "alone-refused", "+50:probation"}},
        Case{"SuccessesOnProbationHaveToBeInARow",
             1,
             {"refused:ejected", "+100:probation", "answered:probation", "alone-refused:probation",
              "answered:probation", "answered:fit"}},
        Case{"AnEjectionForgetsTheSuccessesBeforeIt",
             1,
             {"refused:ejected", "+100:probation", "answered:probation", "refused:ejected",
              "+200:probation", "answered:probation", "answered:fit"}},
        Case{"AGoodCheckEndsAnEjectionAtOnce", 1, {"refused:ejected", "connects:probation"}},
        Case{"AlsoOneByGet", 1, {"silent:ejected", "gets:probation"}},
        Case{"ButAConnectIsNoAnswer", 1, {"silent:ejected", "connects:ejected", "+100:probation"}},
        Case{"ChecksFailItAndHealIt",
             5,
             {"fails", "fails:fit", "fails:failed", "fails:failed", "gets:failed", "gets:fit"}},
        Case{"ChecksHaveToFailInARow", 5, {"fails", "fails", "gets", "fails", "fails:fit"}},
        Case{"ChecksHaveToHealInARow",
             5,
             {"misses", "misses", "misses:failed", "connects", "misses", "connects:failed",
              "connects:fit"}},
        Case{"AnAnswerDoesNotHealWhatChecksFailed",
             5,
             {"fails", "fails", "fails:failed", "answered:failed"}},
        Case{"FailedAndEjectedIsFailed",
             1,
             {"silent", "fails", "fails", "fails:failed", "+100:failed", "gets:failed",
              "gets:probation"}}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST(Health, WithoutFallChecksFailNobody) {
  HealthOptions options = ejecting_after(1);
  options.fall = 0;
  Story story(options);
  story.tell({"misses", "misses", "misses", "misses:fit", "refused:ejected", "misses:ejected",
              "connects:probation"});
}

TEST(Health, SaysWhenItsEjectionEnds) {
  Health health(ejecting_after(1));
  EXPECT_EQ(health.next_ms(), Health::never_ms);
  EXPECT_TRUE(health.on_failure(Failure::silent, 5'000, true));
  EXPECT_EQ(health.next_ms(), 5'100u);
  EXPECT_EQ(health.ejected_for(), Failure::silent);
  EXPECT_FALSE(health.on_failure(Failure::refused, 5'010, true));
  health.on_time(5'100);
  EXPECT_EQ(health.next_ms(), Health::never_ms);
}

// All combinations of what is known of a session.
TEST(Health, WhichSessionsAreFailures) {
  for (int bits = 0; bits < 64; ++bits) {
    const SessionFacts facts{.upstream_spoke = (bits & 1) != 0,
                             .client_spoke = (bits & 2) != 0,
                             .upstream_ended_first = (bits & 4) != 0,
                             .early = (bits & 8) != 0,
                             .silent_too_long = (bits & 16) != 0,
                             .by_us = (bits & 32) != 0};
    bool expected = false;
    if ((bits & (1 | 32)) == 0) {
      const bool let_time_pass = (bits & 16) != 0;
      if (let_time_pass) expected = (bits & 2) != 0;
      if (!let_time_pass && (bits & 4) != 0) expected = (bits & (2 | 8)) != 0;
    }
    EXPECT_EQ(is_failure(facts), expected) << bits;
  }
  // A client that asked and left says nothing, however soon it did.
  EXPECT_FALSE(is_failure({.client_spoke = true, .early = true}));
}

}  // namespace
}  // namespace espora::forward
