// Whether an upstream is fit to be used, as decided from its sessions and health checks. Pure: the
// time is an argument, the result is a state.
//
//   sessions   consecutive failures ──▶ ejected for a growing time ──▶ on probation ──▶ fit
//                                           ▲                              │ one failure
//                                           └──────────────────────────────┘
//   checks     `fall` consecutive failures ──▶ failed ──▶ `rise` consecutive successes ──▶ fit
//
// Only what the upstream did counts: it refused, closed first, or was silent for one of our
// timeouts. Shortages of our own never count, nor does what a client does: one that sends a request
// and leaves says nothing about the upstream. The last fit upstream is not ejected: the caller
// tells whether another is fit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "sys/limits.h"

namespace espora::forward {

// The failure of a session.
enum class Failure : uint8_t {
  refused,  // no connection: refused, unreachable, or not in time
  silent,   // connected, but no byte of an answer: a stopped process still accepts
};

// How an upstream is checked.
enum class Check : uint8_t {
  none,
  connect,  // it accepts a connection
  http,     // it answers GET with the expected status
};

// Settings have their defaults in the table of options (ts/options/table.ts); with none set,
// nothing is ejected and nothing fails.
struct HealthOptions {
  // Consecutive failed sessions within `eject_window_ms` (at most eject_after_max) that eject it;
  // 0: never.
  uint32_t eject_after = 0;
  uint64_t eject_window_ms = 0;
  // The first ejection; each further one without a recovery in between is twice as long.
  uint64_t eject_time_ms = 0;
  uint64_t eject_time_max_ms = 0;
  // Consecutive successes that end the probation after an ejection; at least 1.
  uint32_t readmit_after = 0;
  // Consecutive checks that make it fail, or recover; fall 0: checks never make it fail.
  uint32_t fall = 0;
  uint32_t rise = 0;
};

// Of one upstream. Times passed to its calls must never decrease.
class Health {
 public:
  enum class State : uint8_t { fit, probation, ejected, failed };
  static constexpr uint64_t never_ms = UINT64_MAX;

  explicit Health(const HealthOptions& options) noexcept : options_(options) {}

  // False if ejected or failed: then it is used only if no other is left.
  [[nodiscard]] bool usable() const noexcept { return !ejected_ && !failed_; }
  [[nodiscard]] State state() const noexcept;

  // A session failed. `others_usable`: whether another upstream is fit. True if it was ejected.
  bool on_failure(Failure failure, uint64_t now_ms, bool others_usable) noexcept;
  // A session received a first byte: a proof of life, which also ends an ejection.
  void on_success() noexcept;
  // A check completed. A good one ends an ejection at once, unless it only connected and the
  // ejection was for silence: a stopped process accepts connections, too.
  void on_check(Check check, bool good) noexcept;
  // Call at next_ms() or later.
  void on_time(uint64_t now_ms) noexcept;
  // When an ejection ends; never_ms if none does.
  [[nodiscard]] uint64_t next_ms() const noexcept {
    return ejected_ ? ejected_until_ms_ : never_ms;
  }
  // The reason of the ejection. Only while ejected.
  [[nodiscard]] Failure ejected_for() const noexcept { return ejected_for_; }

 private:
  void eject(Failure failure, uint64_t now_ms) noexcept;
  void end_ejection() noexcept;
  [[nodiscard]] bool enough_failures(uint64_t now_ms) const noexcept;

  HealthOptions options_;
  bool ejected_ = false;
  bool failed_ = false;
  bool probation_ = false;
  Failure ejected_for_ = Failure::refused;
  uint64_t ejected_until_ms_ = 0;
  uint32_t ejections_in_row_ = 0;
  uint32_t successes_ = 0;                                        // on probation
  uint64_t failures_ = 0;                                         // of sessions, consecutive
  std::array<uint64_t, limits::eject_after_max> failed_at_ms_{};  // of the last failures, a ring
  uint32_t checks_failed_ = 0;                                    // consecutive
  uint32_t checks_good_ = 0;
};

// How a session ended, as far as it concerns its upstream.
struct SessionFacts {
  bool upstream_spoke = false;        // at least one byte came from it
  bool client_spoke = false;          // at least one byte reached it
  bool upstream_ended_first = false;  // its stream ended or broke before the client's
  bool early = false;                 // within limits::early_end_ms of the connect
  bool silent_too_long = false;       // ended because nothing moved for one of our timeouts
  bool by_us = false;                 // cut off by a stop or by a shortage of our own
};

// Whether the upstream failed the session: it sent nothing, and closed first or let our timeout
// pass. One that closes on a silent client only timed out that client, unless it closed at once.
constexpr bool is_failure(const SessionFacts& facts) noexcept {
  if (facts.upstream_spoke || facts.by_us) return false;
  if (facts.silent_too_long) return facts.client_spoke;
  return facts.upstream_ended_first && (facts.client_spoke || facts.early);
}

}  // namespace espora::forward
