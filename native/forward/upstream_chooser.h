// Chooses the upstream of a connection: weighted round robin, exact per connection, or the fewest
// connections. Pure: no clock, no socket. The caller reports when a connection begins and ends at
// an upstream, even if another process holds it meanwhile.
//
// Two tiers: while a healthy upstream has not been tried, only healthy ones are chosen; after that
// the others, because a connection that no upstream takes is certainly lost. So checks that fail
// everywhere (a slow database behind all of them) take nothing out of service.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "sys/limits.h"

namespace espora::forward {

enum class Balance : uint8_t {
  round_robin,        // in turn, in proportion to weights
  least_connections,  // the fewest connections for its weight; in turn if equal
};

// The state that an operator sets. Existing connections are not affected.
enum class UpstreamState : uint8_t {
  up,
  draining,  // gets no new connections, because it is about to be removed
  down,      // gets no new connections
};

class UpstreamChooser {
 public:
  // The upstreams that one connection has already tried.
  using Tried = std::bitset<limits::upstreams_max>;

  struct Choice {
    enum class Kind : uint8_t {
      chosen,
      full,  // all that could take it are at their limit of connections, or one that could has a
             // name that is not resolved yet: try again later
      none,  // no upstream is left
    };
    Kind kind = Kind::none;
    size_t upstream = 0;  // chosen
  };

  // `connections_max`: of each upstream at once; 0: unlimited.
  explicit UpstreamChooser(Balance balance = Balance::round_robin,
                           uint32_t connections_max = 0) noexcept
      : balance_(balance), connections_max_(connections_max) {}

  // A new upstream, up, healthy and reachable: its index, or nothing if there is no room for more.
  // An index is reused once its upstream was removed and has no connections.
  std::optional<size_t> add(uint32_t weight) noexcept;
  // It is never chosen again.
  void remove(size_t upstream) noexcept;

  // The upstream of the next connection. Each choice advances the turn, so a connection that needs
  // a second choice does not give the upstream after a dead one a double share.
  Choice next(const Tried& tried) noexcept;
  // Whether a new connection would find an upstream with room, or no usable one at all.
  [[nodiscard]] bool has_room() const noexcept;

  // A connection is at this upstream from the attempt on, until end().
  void begin(size_t upstream) noexcept;
  void end(size_t upstream) noexcept;

  void set_state(size_t upstream, UpstreamState state) noexcept { at(upstream).state = state; }
  // 1 to limits::upstream_weight_max.
  void set_weight(size_t upstream, uint32_t weight) noexcept;
  void set_healthy(size_t upstream, bool healthy) noexcept { at(upstream).healthy = healthy; }
  // False while its address is unknown: then it is not even in the second tier.
  void set_reachable(size_t upstream, bool reachable) noexcept {
    at(upstream).reachable = reachable;
  }

  // Whether its name is being resolved for the first time: it may turn out to be reachable.
  void set_awaited(size_t upstream, bool awaited) noexcept { at(upstream).awaited = awaited; }

  [[nodiscard]] bool exists(size_t upstream) const noexcept { return slots_[upstream].exists; }
  [[nodiscard]] UpstreamState state(size_t upstream) const noexcept { return at(upstream).state; }
  [[nodiscard]] uint32_t weight(size_t upstream) const noexcept { return at(upstream).weight; }
  [[nodiscard]] uint64_t connections(size_t upstream) const noexcept {
    return slots_[upstream].connections;
  }
  // Whether the end of one of its connections may soon decide about another: balancing counts
  // connections, or it has at least half of its limit.
  [[nodiscard]] bool needs_exact_counts(size_t upstream) const noexcept {
    return balance_ == Balance::least_connections ||
           (connections_max_ != 0 && 2 * connections(upstream) >= connections_max_);
  }
  // Whether an upstream other than `upstream` is up, reachable and healthy.
  [[nodiscard]] bool others_healthy(size_t upstream) const noexcept;

 private:
  struct Slot {
    bool exists = false;
    bool healthy = true;
    bool reachable = true;
    bool awaited = false;
    UpstreamState state = UpstreamState::up;
    uint32_t weight = 1;
    uint64_t connections = 0;
    int64_t credit = 0;  // of the round robin: all of them add up to 0
  };
  struct Tier {
    Tried candidates;  // with room
    bool any = false;  // with or without room
  };

  [[nodiscard]] Slot& at(size_t upstream) noexcept;
  [[nodiscard]] const Slot& at(size_t upstream) const noexcept;
  [[nodiscard]] Tier tier(bool healthy, const Tried& tried) const noexcept;
  [[nodiscard]] bool any_awaited() const noexcept;
  [[nodiscard]] Tier best_tier(const Tried& tried) const noexcept;
  [[nodiscard]] Tried fewest_connections(const Tried& candidates) const noexcept;
  size_t take_turn(const Tried& candidates) noexcept;
  void forget_credits() noexcept;

  Balance balance_;
  uint32_t connections_max_;
  size_t end_ = 0;  // slots from here on were never used
  std::array<Slot, limits::upstreams_max> slots_;
};

}  // namespace espora::forward
