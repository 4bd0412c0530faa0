#include "forward/upstream_chooser.h"

#include <algorithm>

#include "sys/check.h"

namespace espora::forward {

UpstreamChooser::Slot& UpstreamChooser::at(size_t upstream) noexcept {
  ESPORA_CHECK(upstream < end_ && slots_[upstream].exists);
  return slots_[upstream];
}

const UpstreamChooser::Slot& UpstreamChooser::at(size_t upstream) const noexcept {
  ESPORA_CHECK(upstream < end_ && slots_[upstream].exists);
  return slots_[upstream];
}

std::optional<size_t> UpstreamChooser::add(uint32_t weight) noexcept {
  for (size_t index = 0; index < slots_.size(); ++index) {
    Slot& slot = slots_[index];
    if (slot.exists || slot.connections != 0) continue;
    slot = Slot{};
    slot.exists = true;
    end_ = std::max(end_, index + 1);
    set_weight(index, weight);
    return index;
  }
  return std::nullopt;
}

void UpstreamChooser::remove(size_t upstream) noexcept {
  at(upstream).exists = false;
  forget_credits();
}

// Credits must add up to 0 and belong to one constellation: after a change turns start over.
void UpstreamChooser::forget_credits() noexcept {
  for (Slot& slot : slots_) slot.credit = 0;
}

UpstreamChooser::Tier UpstreamChooser::tier(bool healthy, const Tried& tried) const noexcept {
  Tier found;
  for (size_t index = 0; index < end_; ++index) {
    const Slot& slot = slots_[index];
    if (!slot.exists || slot.state != UpstreamState::up || !slot.reachable || tried[index] ||
        slot.healthy != healthy) {
      continue;
    }
    found.any = true;
    if (connections_max_ == 0 || slot.connections < connections_max_) found.candidates.set(index);
  }
  return found;
}

UpstreamChooser::Tier UpstreamChooser::best_tier(const Tried& tried) const noexcept {
  const Tier healthy = tier(true, tried);
  return healthy.any ? healthy : tier(false, tried);
}

UpstreamChooser::Choice UpstreamChooser::next(const Tried& tried) noexcept {
  const Tier found = best_tier(tried);
  if (!found.any) return {any_awaited() ? Choice::Kind::full : Choice::Kind::none, 0};
  if (found.candidates.none()) return {Choice::Kind::full, 0};
  const bool fewest = balance_ == Balance::least_connections;
  return {Choice::Kind::chosen,
          take_turn(fewest ? fewest_connections(found.candidates) : found.candidates)};
}

bool UpstreamChooser::any_awaited() const noexcept {
  return std::any_of(slots_.begin(), slots_.begin() + static_cast<ptrdiff_t>(end_),
                     [](const Slot& slot) {
                       return slot.exists && slot.awaited && slot.state == UpstreamState::up;
                     });
}

bool UpstreamChooser::has_room() const noexcept {
  if (connections_max_ == 0) return true;
  const Tier found = best_tier({});
  return !found.any || found.candidates.any();
}

// The upstreams with the smallest connections / weight, compared without dividing.
UpstreamChooser::Tried UpstreamChooser::fewest_connections(const Tried& candidates) const noexcept {
  Tried fewest;
  const Slot* best = nullptr;
  for (size_t index = 0; index < end_; ++index) {
    if (!candidates[index]) continue;
    const Slot& slot = slots_[index];
    if (best != nullptr) {
      const uint64_t here = slot.connections * best->weight;
      const uint64_t there = best->connections * slot.weight;
      if (here > there) continue;
      if (here < there) fewest.reset();
    }
    best = &slot;
    fewest.set(index);
  }
  return fewest;
}

// Smooth weighted round robin: each candidate gets its weight as credit; the one with the most is
// chosen and pays the sum of what was given. Exact over each cycle, never in bursts, and plain
// turns if weights are equal.
size_t UpstreamChooser::take_turn(const Tried& candidates) noexcept {
  int64_t handed_out = 0;
  Slot* richest = nullptr;
  for (size_t index = 0; index < end_; ++index) {
    if (!candidates[index]) continue;
    Slot& slot = slots_[index];
    slot.credit += slot.weight;
    handed_out += slot.weight;
    if (richest == nullptr || slot.credit > richest->credit) richest = &slot;
  }
  ESPORA_CHECK(richest != nullptr);
  richest->credit -= handed_out;
  return static_cast<size_t>(richest - slots_.data());
}

void UpstreamChooser::begin(size_t upstream) noexcept { ++at(upstream).connections; }

void UpstreamChooser::end(size_t upstream) noexcept {
  ESPORA_CHECK(upstream < end_ && slots_[upstream].connections > 0);
  --slots_[upstream].connections;
}

void UpstreamChooser::set_weight(size_t upstream, uint32_t weight) noexcept {
  ESPORA_CHECK(weight >= 1 && weight <= limits::upstream_weight_max);
  if (at(upstream).weight == weight) return;
  at(upstream).weight = weight;
  forget_credits();
}

bool UpstreamChooser::others_healthy(size_t upstream) const noexcept {
  for (size_t index = 0; index < end_; ++index) {
    const Slot& slot = slots_[index];
    if (index != upstream && slot.exists && slot.healthy && slot.reachable &&
        slot.state == UpstreamState::up) {
      return true;
    }
  }
  return false;
}

}  // namespace espora::forward
