// Which upstream a connection goes to: exact round robin per connection over those that are up.
// Pure: no clock, no socket.
#pragma once

#include <bitset>
#include <cstddef>
#include <optional>

#include "sys/limits.h"

namespace espora::forward {

class UpstreamSet {
 public:
  // The upstreams that one connection has already tried.
  using Tried = std::bitset<limits::upstreams_max>;

  // 1 to limits::upstreams_max, all up.
  explicit UpstreamSet(size_t count);

  // The next upstream that is up and not in `tried`; nothing if there is none. Each answer moves
  // the turn on, so a connection that needed a second choice does not give the upstream behind a
  // dead one a double share.
  std::optional<size_t> next(const Tried& tried) noexcept;

  void set_up(size_t upstream, bool up) noexcept;
  [[nodiscard]] bool up(size_t upstream) const noexcept { return up_[upstream]; }
  [[nodiscard]] size_t size() const noexcept { return count_; }

 private:
  size_t count_;
  size_t turn_ = 0;  // who is next
  std::bitset<limits::upstreams_max> up_;
};

}  // namespace espora::forward
