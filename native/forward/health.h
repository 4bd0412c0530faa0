// Whether an upstream is fit to be used, by what sessions met at it and what checks of it found.
// Pure: time comes in as a number, what follows goes out as a state.
//
//   sessions   failures in a row ──▶ ejected for a time that grows ──▶ on probation ──▶ fit
//                                          ▲                              │ one failure
//                                          └──────────────────────────────┘
//   checks     `fall` failures in a row ──▶ failed ──▶ `rise` successes in a row ──▶ fit
//
// What counts is what the upstream did: it refused, closed first, or said nothing for a time of
// ours. Shortages of our own never count, and neither does what a client does: one that asks and
// leaves says nothing about the upstream. The last fit upstream is not ejected: the caller says
// whether another is fit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "sys/limits.h"

namespace espora::forward {

// What a session met.
enum class Failure : uint8_t {
  refused,  // no connection came about: refused, unreachable, or not in time
  silent,   // a connection, and not one byte of an answer: a stopped process still accepts
};

// How an upstream is asked whether it is fit.
enum class Check : uint8_t {
  none,
  connect,  // it takes a connection
  http,     // it answers GET with the expected status
};

// Defaults are in the table of options (ts/options/table.ts); without any, nothing is ejected and
// nothing fails.
struct HealthOptions {
  // Failures of sessions in a row, all within `eject_window_ms`, that eject it; 0: never. At most
  // limits::eject_after_max.
  uint32_t eject_after = 0;
  uint64_t eject_window_ms = 0;
  // The first ejection; each further one that follows without a recovery is twice as long.
  uint64_t eject_time_ms = 0;
  uint64_t eject_time_max_ms = 0;
  // Successes in a row that end the probation after an ejection; at least 1.
  uint32_t readmit_after = 0;
  // Checks in a row that fail, or heal, it; fall 0: checks never fail it.
  uint32_t fall = 0;
  uint32_t rise = 0;
};

// Of one upstream. The calls that take a time want it to never go back.
class Health {
 public:
  enum class State : uint8_t { fit, probation, ejected, failed };
  static constexpr uint64_t never_ms = UINT64_MAX;

  explicit Health(const HealthOptions& options) noexcept : options_(options) {}

  // Ejected or failed: to be used only where nobody else is left.
  [[nodiscard]] bool usable() const noexcept { return !ejected_ && !failed_; }
  [[nodiscard]] State state() const noexcept;

  // A session met a failure. `others_usable`: whether anybody else is fit. True if it was ejected.
  bool on_failure(Failure failure, uint64_t now_ms, bool others_usable) noexcept;
  // A session got a first byte: proof of life, which ends an ejection as well.
  void on_success() noexcept;
  // A check came to its end. A good one ends an ejection at once, unless it only connected and the
  // ejection was for silence: a stopped process takes connections too.
  void on_check(Check check, bool good) noexcept;
  // To be called at next_ms() or later.
  void on_time(uint64_t now_ms) noexcept;
  // When an ejection ends; never_ms if none does.
  [[nodiscard]] uint64_t next_ms() const noexcept {
    return ejected_ ? ejected_until_ms_ : never_ms;
  }
  // What the ejection is for. Only while ejected.
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
  uint64_t failures_ = 0;                                         // of sessions, in a row
  std::array<uint64_t, limits::eject_after_max> failed_at_ms_{};  // the last of them, a ring
  uint32_t checks_failed_ = 0;                                    // in a row
  uint32_t checks_good_ = 0;
};

// How a session ended, as far as it says something about its upstream.
struct SessionFacts {
  bool upstream_spoke = false;        // at least one byte came from it
  bool client_spoke = false;          // at least one byte reached it
  bool upstream_ended_first = false;  // its stream ended or broke before the client's
  bool early = false;                 // within limits::early_end_ms of the connect
  bool silent_too_long = false;       // ended because nothing moved for a time of ours
  bool by_us = false;                 // cut by a stop or by a shortage of our own
};

// Whether the upstream failed the session: it said nothing, and closed first or let our time pass.
// One that closes on a client that says nothing, either, has only lost patience, unless it did so
// at once.
constexpr bool is_failure(const SessionFacts& facts) noexcept {
  if (facts.upstream_spoke || facts.by_us) return false;
  if (facts.silent_too_long) return facts.client_spoke;
  return facts.upstream_ended_first && (facts.client_spoke || facts.early);
}

}  // namespace espora::forward
