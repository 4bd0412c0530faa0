// The upstreams of a forwarder at work: which one takes a connection, how each does, active checks,
// names that resolve anew, and changes while connections are open. What to conclude is decided by
// UpstreamChooser and Health; this brings them clock, sockets and timers.
//
// Whatever holds a connection calls choose() when it looks for an upstream, then what the class
// lists under "connections" as it happens, and leave() when it is no longer there.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "forward/health.h"
#include "forward/health_check.h"
#include "forward/upstream.h"
#include "forward/upstream_chooser.h"
#include "sys/event_loop.h"
#include "sys/histogram.h"
#include "sys/resolver.h"
#include "sys/sockets.h"
#include "sys/status.h"

namespace espora::forward {

struct UpstreamsOptions {
  Balance balance = Balance::round_robin;
  uint32_t connections_max_each = 0;  // at once; 0: any number
  HealthOptions health;
  CheckOptions check;
  uint64_t resolve_interval_ms = 0;           // names are asked for again; 0: only where it fails
  sys::Resolver::Ask resolve = sys::resolve;  // of names; on other threads
};

// Where an upstream is, and how much it is to get.
struct UpstreamAddress {
  sys::Address address;
  uint32_t weight = 1;
};

enum class UpstreamHealth : uint8_t { fit, probation, ejected, failed, unresolved };
std::string_view name_of(UpstreamHealth health) noexcept;
std::string_view name_of(UpstreamState state) noexcept;
std::optional<UpstreamState> upstream_state_of(std::string_view name) noexcept;

// invalid, told by `name`, for a weight that no upstream can have.
sys::Status check_weight(const std::string& name, uint32_t weight);

// How long something took, over all times it was done, in microseconds. Percentiles are at most a
// sixteenth too high.
struct Durations {
  uint64_t count = 0;
  uint64_t sum_us = 0;
  uint64_t p50_us = 0;
  uint64_t p90_us = 0;
  uint64_t p99_us = 0;
  uint64_t p999_us = 0;

  Durations() = default;
  explicit Durations(const sys::HistogramSnapshot& taken) noexcept;
};

struct UpstreamStats : UpstreamCounts {
  std::string address;
  UpstreamState state = UpstreamState::up;  // as the operator wants it
  UpstreamHealth health = UpstreamHealth::fit;
  bool up = false;  // gets connections: state up, and neither ejected, failed nor unresolved
  uint32_t weight = 1;
  Durations connect;
  Durations session;
};

// All upstreams together, those that were removed included.
struct UpstreamTotals {
  uint64_t bytes_to = 0;
  uint64_t bytes_from = 0;
  sys::HistogramSnapshot connect_us;
  sys::HistogramSnapshot session_us;

  void add(const UpstreamCounters& counters);
};

struct UpstreamChange {
  size_t upstream;
  std::string address;
  UpstreamState state;
  UpstreamHealth health;
  std::string reason;  // one clause; may be empty
};

// On the loop's thread, in the middle of other work: nothing may be removed from within.
class UpstreamsOwner {
 public:
  // The first connect that failed after a success, or the first at all; and the reverse.
  virtual void on_upstream_unreachable(size_t upstream, const sys::Status& reason) = 0;
  virtual void on_upstream_reachable(size_t upstream) = 0;
  virtual void on_upstream_change(const UpstreamChange& change) = 0;
  // Somebody may have room again.
  virtual void on_upstream_room() = 0;

 protected:
  ~UpstreamsOwner() = default;
};

// All on the loop's thread, or before it runs, unless said otherwise.
class Upstreams {
 public:
  // `name` begins messages. Everything must outlive this.
  Upstreams(sys::EventLoop& loop, std::string name, UpstreamsOptions options,
            UpstreamsOwner& owner);
  ~Upstreams();
  Upstreams(const Upstreams&) = delete;
  Upstreams& operator=(const Upstreams&) = delete;

  // Asks for names and waits for none: connections wait for them, see choose(). One that cannot be
  // resolved is asked for again later; a path that no socket can have is an error.
  sys::Status start(const std::vector<UpstreamAddress>& upstreams);

  // --- connections ---
  // Who takes this connection; it counts there from here until leave().
  UpstreamChooser::Choice choose(const UpstreamChooser::Tried& tried) noexcept;
  [[nodiscard]] bool needs_exact_counts(size_t index) const noexcept {
    return chooser_.needs_exact_counts(index);
  }
  void leave(size_t upstream);
  // Whether a connection that is accepted now would find room (or nobody at all).
  [[nodiscard]] bool has_room() const noexcept { return chooser_.has_room(); }
  // Stays where it is until the last connection has left.
  [[nodiscard]] Upstream& at(size_t upstream) noexcept;
  // `elapsed_us`: since the connect began. Between this and the last leave() it is active.
  void on_connected(size_t upstream, uint64_t elapsed_us);
  // The address of it that a connection tries next; nothing if it tried all of them. `tried` is of
  // one connection and one upstream.
  struct TriedAddresses {
    AddressList::Tried indexes;
    uint64_t version = 0;
    size_t current = 0;  // the last that next_address() named
  };
  const sys::ResolvedAddress* next_address(size_t upstream, TriedAddresses& tried);
  // What became of it.
  void on_address_failed(size_t upstream, const TriedAddresses& tried);
  void on_address_connected(size_t upstream, const TriedAddresses& tried);
  // It could not be reached, for a reason that is its own.
  void on_connect_failed(size_t upstream, int error);
  // The first byte of a connection came from it.
  void on_first_byte(size_t upstream, const TriedAddresses& tried);
  // It was asked on a connection, and said nothing for too long; the connection goes on.
  void on_silence(size_t upstream, const TriedAddresses& tried);
  // A connection that on_connected() told of is over; leave() follows.
  void on_session_end(size_t upstream, const TriedAddresses& tried, const SessionFacts& facts,
                      uint64_t elapsed_us);

  // --- changes ---
  // The upstream at that address, however it is spelled; `not_found` if there is none, and `exists`
  // for one more at the same. Connections that are open stay.
  sys::Status set_state(const std::string& address, UpstreamState state);
  sys::Status set_weight(const std::string& address, uint32_t weight);
  sys::Status add(const UpstreamAddress& upstream);
  // It gets no further connections, and goes with its last.
  sys::Status remove(const std::string& address);

  // --- from any thread ---
  [[nodiscard]] std::vector<UpstreamStats> stats() const;
  [[nodiscard]] UpstreamTotals totals() const;

 private:
  struct Entry;

  std::shared_ptr<UpstreamCounters> counters_of(const std::string& key);
  [[nodiscard]] Entry* find(const std::string& key) noexcept;
  [[nodiscard]] bool has_successor(const Entry& gone) const;
  sys::Result<size_t> insert(const UpstreamAddress& upstream);
  void locate(Entry& entry);
  void resolve(Entry& entry);
  void on_resolved(size_t index, uint64_t id, sys::Result<std::vector<sys::ResolvedAddress>> found);
  void on_timer(Entry& entry);
  void begin_check(Entry& entry, Check check);
  void on_checked(Entry& entry, Check check, HealthCheck::Outcome outcome, const std::string& why);
  [[nodiscard]] Check wanted_check(const Entry& entry) const noexcept;
  [[nodiscard]] bool looks_due(const Entry& entry) const noexcept;
  [[nodiscard]] uint64_t next_check_ms(const Entry& entry) const noexcept;
  [[nodiscard]] uint64_t next_question_ms(const Entry& entry) const noexcept;
  void update(Entry& entry, const std::string& reason);
  void schedule(Entry& entry);
  void free_if_unused(size_t index);
  template <typename Change>
  sys::Status change(const std::string& address, const char* reason, const Change& apply);

  sys::EventLoop& loop_;
  std::string name_;
  UpstreamsOptions options_;
  UpstreamsOwner& owner_;
  UpstreamChooser chooser_;
  sys::Resolver resolver_;
  uint64_t next_id_ = 1;
  // The loop's thread changes which entries there are, under the lock; others read under the lock.
  mutable std::mutex entries_mutex_;
  std::array<std::unique_ptr<Entry>, limits::upstreams_max> entries_;
  std::map<std::string, std::shared_ptr<UpstreamCounters>> counters_;  // under the lock, too
  UpstreamTotals removed_;  // of those that were forgotten
};

}  // namespace espora::forward
