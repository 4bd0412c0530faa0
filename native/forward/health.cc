#include "forward/health.h"

#include <algorithm>

#include "sys/check.h"

namespace espora::forward {

Health::State Health::state() const noexcept {
  if (failed_) return State::failed;
  if (ejected_) return State::ejected;
  return probation_ ? State::probation : State::fit;
}

bool Health::enough_failures(uint64_t now_ms) const noexcept {
  if (failures_ < options_.eject_after) return false;
  const uint64_t first_ms =
      failed_at_ms_[(failures_ - options_.eject_after) % failed_at_ms_.size()];
  return now_ms - first_ms <= options_.eject_window_ms;
}

bool Health::on_failure(Failure failure, uint64_t now_ms, bool others_usable) noexcept {
  if (options_.eject_after == 0) return false;
  failed_at_ms_[failures_ % failed_at_ms_.size()] = now_ms;
  ++failures_;
  successes_ = 0;
  if (ejected_ || !others_usable) return false;
  if (!probation_ && !enough_failures(now_ms)) return false;
  eject(failure, now_ms);
  return true;
}

void Health::eject(Failure failure, uint64_t now_ms) noexcept {
  uint64_t length_ms = options_.eject_time_ms;
  for (uint32_t i = 0; i < ejections_in_row_ && length_ms < options_.eject_time_max_ms; ++i) {
    length_ms *= 2;
  }
  ejected_ = true;
  ejected_for_ = failure;
  ejected_until_ms_ = now_ms + std::min(length_ms, options_.eject_time_max_ms);
  ++ejections_in_row_;
  probation_ = false;
}

void Health::end_ejection() noexcept {
  ejected_ = false;
  probation_ = true;
  successes_ = 0;
  failures_ = 0;
}

void Health::on_success() noexcept {
  failures_ = 0;
  if (ejected_) end_ejection();
  if (!probation_ || ++successes_ < options_.readmit_after) return;
  probation_ = false;
  ejections_in_row_ = 0;
}

void Health::on_check(Check check, bool good) noexcept {
  ESPORA_CHECK(check != Check::none);
  if (!good) {
    checks_good_ = 0;
    ++checks_failed_;
    if (options_.fall != 0 && checks_failed_ >= options_.fall) failed_ = true;
    return;
  }
  checks_failed_ = 0;
  ++checks_good_;
  if (failed_ && checks_good_ >= options_.rise) failed_ = false;
  if (ejected_ && (check == Check::http || ejected_for_ == Failure::refused)) end_ejection();
}

void Health::on_time(uint64_t now_ms) noexcept {
  if (ejected_ && now_ms >= ejected_until_ms_) end_ejection();
}

}  // namespace espora::forward
