#include "forward/upstream_set.h"

#include "sys/check.h"

namespace espora::forward {

UpstreamSet::UpstreamSet(size_t count) : count_(count) {
  ESPORA_CHECK(count >= 1 && count <= limits::upstreams_max);
  for (size_t upstream = 0; upstream < count; ++upstream) up_.set(upstream);
}

std::optional<size_t> UpstreamSet::next(const Tried& tried) noexcept {
  for (size_t step = 0; step < count_; ++step) {
    const size_t upstream = turn_;
    turn_ = turn_ + 1 == count_ ? 0 : turn_ + 1;
    if (up_[upstream] && !tried[upstream]) return upstream;
  }
  return std::nullopt;
}

void UpstreamSet::set_up(size_t upstream, bool up) noexcept {
  ESPORA_CHECK(upstream < count_);
  up_.set(upstream, up);
}

}  // namespace espora::forward
