#include "sys/scheduling.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>

namespace espora::sys {

namespace {

// The number of voluntary context switches of this thread, getrusage(2).
uint64_t sleeps_so_far() noexcept {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return static_cast<uint64_t>(usage.ru_nvcsw);
}

}  // namespace

uint32_t BatchDecision::turns() const noexcept {
  return batch_ && !proved_ ? limits::batch_trial_turns : limits::batch_window_turns;
}

bool BatchDecision::decide(const Window& window, uint64_t now_ms) noexcept {
  if (batch_) {
    if (window.units >= limits::batch_units_per_sleep * window.sleeps) {
      proved_ = true;
      pause_ms_ = 0;
      return true;
    }
    batch_ = false;
    pause_ms_ = std::clamp(2 * pause_ms_, limits::batch_pause_ms, limits::batch_pause_ms_max);
    next_try_ms_ = now_ms + pause_ms_;
    return false;
  }
  const bool much = window.units * 1000 >= limits::batch_units_per_second * window.ms;
  batch_ = much && now_ms >= next_try_ms_;
  proved_ = false;
  return batch_;
}

void Scheduling::begin(uint64_t now_ms) noexcept {
  decision_ = {};
  adapts_ = ::sched_getscheduler(0) == SCHED_OTHER;
  begin_window(sleeps_so_far(), now_ms);
}

void Scheduling::begin_window(uint64_t sleeps, uint64_t now_ms) noexcept {
  turns_left_ = decision_.turns();
  units_ = 0;
  sleeps_before_ = sleeps;
  since_ms_ = now_ms;
}

void Scheduling::decide(uint64_t now_ms) noexcept {
  const uint64_t sleeps = sleeps_so_far();
  const bool before = decision_.batch();
  const bool batch =
      decision_.decide({units_, sleeps - sleeps_before_, now_ms - since_ms_}, now_ms);
  if (batch != before) set(batch);
  begin_window(sleeps, now_ms);
}

// Keeps the nice value. Needs no privilege; if it is refused nothing changes from then on.
void Scheduling::set(bool batch) noexcept {
  const sched_param none{};
  if (::sched_setscheduler(0, batch ? SCHED_BATCH : SCHED_OTHER, &none) != 0) adapts_ = false;
}

void Scheduling::end() noexcept {
  if (adapts_ && decision_.batch()) set(false);
  adapts_ = false;
}

}  // namespace espora::sys
