// How many times to read from a level-triggered descriptor before other descriptors get their turn:
// about as many as there was something to read recently, and the maximum after a long turn, in
// which much may have arrived. A read that finds nothing costs as much as one that finds something;
// what is left is reported again in the next turn. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace espora::intake {

class Burst {
 public:
  // `most`: at least 1.
  explicit Burst(int most) noexcept : most_(most) {}

  // How many to take now. `after_long`: see EventLoop::after_long_turn.
  [[nodiscard]] int limit(bool after_long) const noexcept { return after_long ? most_ : limit_; }
  // `taken` were found, then nothing more.
  void emptied(int taken) noexcept { limit_ = std::clamp(taken, 1, most_); }
  // The limit was reached in this turn of the loop. In two consecutive turns: much is waiting.
  void full(uint64_t turn) noexcept {
    if (turn - std::exchange(full_in_turn_, turn) == 1) limit_ = std::min(2 * limit_, most_);
  }

 private:
  int most_;
  int limit_ = 1;
  uint64_t full_in_turn_ = 0;
};

}  // namespace espora::intake
