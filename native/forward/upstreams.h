// The upstreams of a forwarder in operation: which one takes a connection, their health, active
// checks, repeated name resolution, and changes while connections are open. UpstreamChooser and
// Health make the decisions; this class provides them with clock, sockets and timers.
//
// The owner of a connection calls choose() to get an upstream, then the functions listed under
// "connections" as things happen, and leave() when the connection is no longer there.
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
  uint32_t connections_max_each = 0;  // at once; 0: unlimited
  HealthOptions health;
  CheckOptions check;
  uint64_t resolve_interval_ms = 0;           // names are resolved again; 0: only on failure
  sys::Resolver::Ask resolve = sys::resolve;  // of names; on other threads
};

// The address of an upstream, and its share.
struct UpstreamAddress {
  sys::Address address;
  uint32_t weight = 1;
};

enum class UpstreamHealth : uint8_t { fit, probation, ejected, failed, unresolved };
std::string_view name_of(UpstreamHealth health) noexcept;
std::string_view name_of(UpstreamState state) noexcept;
std::optional<UpstreamState> upstream_state_of(std::string_view name) noexcept;

// invalid, with `name` in the message, for a weight that no upstream can have.
sys::Status check_weight(const std::string& name, uint32_t weight);

// Durations of all occurrences, in microseconds. Percentiles are at most a sixteenth too high.
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
  UpstreamState state = UpstreamState::up;  // as set by the operator
  UpstreamHealth health = UpstreamHealth::fit;
  bool up = false;  // gets connections: state up, and neither ejected, failed nor unresolved
  uint32_t weight = 1;
  Durations connect;
  Durations session;
};

// All upstreams together, including removed ones.
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

// On the loop's thread, in the middle of other work: do not remove anything in these calls.
class UpstreamsOwner {
 public:
  // The first failed connect ever or after a success; and the reverse.
  virtual void on_upstream_unreachable(size_t upstream, const sys::Status& reason) = 0;
  virtual void on_upstream_reachable(size_t upstream) = 0;
  virtual void on_upstream_change(const UpstreamChange& change) = 0;
  // An upstream may have room again.
  virtual void on_upstream_room() = 0;

 protected:
  ~UpstreamsOwner() = default;
};

// All on the loop's thread, or before it runs, unless stated otherwise.
class Upstreams {
 public:
  // `name` begins messages. All references must outlive this.
  Upstreams(sys::EventLoop& loop, std::string name, UpstreamsOptions options,
            UpstreamsOwner& owner);
  ~Upstreams();
  Upstreams(const Upstreams&) = delete;
  Upstreams& operator=(const Upstreams&) = delete;

  // Starts resolving names without waiting: connections wait for them, see choose(). A name that
  // cannot be resolved is tried again later; a path that no socket can have is an error.
  sys::Status start(const std::vector<UpstreamAddress>& upstreams);

  // --- connections ---
  // The upstream of this connection, which is counted there from here until leave().
  UpstreamChooser::Choice choose(const UpstreamChooser::Tried& tried) noexcept;
  [[nodiscard]] bool needs_exact_counts(size_t index) const noexcept {
    return chooser_.needs_exact_counts(index);
  }
  void leave(size_t upstream);
  // Whether a connection that is accepted now would find room (or no upstream at all).
  [[nodiscard]] bool has_room() const noexcept { return chooser_.has_room(); }
  // The reference is valid until the last connection has left.
  [[nodiscard]] Upstream& at(size_t upstream) noexcept;
  // `elapsed_us`: since the connect began. From this call to the last leave() it is active.
  void on_connected(size_t upstream, uint64_t elapsed_us);
  // The address that a connection tries next; nothing if it tried all of them. `tried` belongs to
  // one connection and one upstream.
  struct TriedAddresses {
    AddressList::Tried indexes;
    uint64_t version = 0;
    size_t current = 0;  // the last that next_address() returned
  };
  const sys::ResolvedAddress* next_address(size_t upstream, TriedAddresses& tried);
  // The result of trying it.
  void on_address_failed(size_t upstream, const TriedAddresses& tried);
  void on_address_connected(size_t upstream, const TriedAddresses& tried);
  // It could not be reached, for a reason of its own.
  void on_connect_failed(size_t upstream, int error);
  // The first byte of a connection came from it.
  void on_first_byte(size_t upstream, const TriedAddresses& tried);
  // It was sent something, and was silent for too long; the connection goes on.
  void on_silence(size_t upstream, const TriedAddresses& tried);
  // A connection reported by on_connected() has ended; leave() follows.
  void on_session_end(size_t upstream, const TriedAddresses& tried, const SessionFacts& facts,
                      uint64_t elapsed_us);

  // --- changes ---
  // The upstream at that address, in any spelling; `not_found` if there is none, and `exists` for
  // adding one twice. Open connections stay.
  sys::Status set_state(const std::string& address, UpstreamState state);
  sys::Status set_weight(const std::string& address, uint32_t weight);
  sys::Status add(const UpstreamAddress& upstream);
  // It gets no further connections, and is deleted after its last one.
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
  // The loop's thread changes the set of entries under the lock; others read it under the lock.
  mutable std::mutex entries_mutex_;
  std::array<std::unique_ptr<Entry>, limits::upstreams_max> entries_;
  std::map<std::string, std::shared_ptr<UpstreamCounters>> counters_;  // under the lock, too
  UpstreamTotals removed_;  // of those that were forgotten
};

}  // namespace espora::forward
