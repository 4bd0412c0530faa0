// A layer-4 forwarder: accepts connections on its listeners and relays each to one of its
// upstreams, or hands it over to one, chosen in exact round robin or by fewest connections. It is
// the whole data plane of the services `balancer` and `api`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "forward/handoff.h"
#include "forward/session.h"
#include "forward/upstreams.h"
#include "intake/acceptor.h"
#include "intake/handoff_receiver.h"
#include "sys/event_loop.h"
#include "sys/sockets.h"
#include "sys/status.h"

namespace espora::forward {

enum class ForwardMode : uint8_t {
  relay,    // bytes are copied between two sockets
  handoff,  // the client's socket is passed to the upstream, which must be on this machine
};

// Settings have their defaults in the table of options (ts/options/table.ts); 0 here means not set.
struct ForwarderOptions {
  std::string name;                     // for messages: "balancer", "api 1"
  intake::ListenOptions listen;         // TCP, unix, or both: intake/acceptor.h
  std::vector<sys::Address> upstreams;  // 1 to limits::upstreams_max
  std::vector<uint32_t> weights;        // one for each of them; empty: all have 1
  Balance balance = Balance::round_robin;
  ForwardMode mode = ForwardMode::relay;  // handoff: every upstream is a unix socket's path
  uint64_t connect_timeout_ms = 0;        // per upstream tried; at least 1
  uint64_t idle_timeout_ms = 0;           // no byte in either direction; 0: never
  uint64_t half_close_timeout_ms = 0;     // one side ended and no byte moved; 0: never
  uint64_t session_timeout_ms = 0;        // from connect to end, even if busy; 0: never
  uint64_t eject_silence_ms = 0;          // an upstream's silence that counts as a failure; 0: none
  uint32_t connections_max = 0;           // at once; accepting pauses at it. At least 1
  uint32_t upstream_connections_max = 0;  // the same per upstream; 0: unlimited
  HealthOptions health;
  CheckOptions check;
  uint64_t resolve_interval_ms = 0;           // see UpstreamsOptions
  sys::Resolver::Ask resolve = sys::resolve;  // the same
  ProxyOptions proxy;
  size_t pipes_max = limits::pipes_max;  // 0: streams are copied, too
};

// Counters since start unless stated otherwise. Each is exact, but they may be some ns apart.
struct ForwarderStats : HandoffCounters {
  uint64_t accepted = 0;
  uint64_t active = 0;         // current sessions, including connecting ones
  uint64_t bytes_up = 0;       // from clients, accepted by upstream sockets
  uint64_t bytes_down = 0;     // from upstreams, accepted by client sockets
  uint64_t retries = 0;        // connects to another upstream after one failed
  uint64_t backlog_waits = 0;  // pauses because all usable backlogs were full
  uint64_t local_errors = 0;   // our own shortages: descriptors, memory, ports
  uint64_t accept_pauses = 0;  // pauses of accepting for lack of descriptors or memory
  uint64_t limit_pauses = 0;   // pauses of accepting at a limit on connections
  uint64_t accept_errors = 0;  // connections that ended before they were accepted
  // Ends of sessions by reason; they sum up to accepted - active.
  uint64_t ended_normally = 0;     // both sides ended their streams
  uint64_t ended_by_client = 0;    // the client's socket failed: reset or vanished
  uint64_t ended_by_upstream = 0;  // the upstream's socket failed
  uint64_t ended_unreachable = 0;  // no upstream took the connection
  uint64_t ended_connect_timeout = 0;
  uint64_t ended_idle = 0;
  uint64_t ended_half_closed = 0;   // the second side did not end in time
  uint64_t ended_lifetime = 0;      // reached session_timeout_ms
  uint64_t ended_proxy_header = 0;  // sent no valid PROXY header, though required
  uint64_t ended_by_stop = 0;       // cut off at a drain's deadline
  uint64_t ended_local_error = 0;   // our own shortage made it impossible to continue
  uint64_t ended_at_holder = 0;     // handed over, and ended there (or no longer reported)
  intake::HandoffReceiver::Counters receiving;  // received connections count as accepted, too
  // Memory.
  uint64_t buffers_in_use = 0;  // currently lent
  uint64_t buffers_peak = 0;    // most lent at once
  uint64_t pipes_in_use = 0;    // the same for pipes, for streams
  uint64_t pipes_peak = 0;
  // Time.
  Durations connect;  // connects that succeeded
  Durations session;  // connected sessions, from accept to end
  std::vector<UpstreamStats> upstreams;
};

// Each counter of all upstreams together, under its name in ts/metrics/table.ts.
template <typename Each>
void for_each_counter(const ForwarderStats& stats, const Each& each) {
  each("accepted", stats.accepted);
  each("active", stats.active);
  each("bytesUp", stats.bytes_up);
  each("bytesDown", stats.bytes_down);
  each("retries", stats.retries);
  each("backlogWaits", stats.backlog_waits);
  each("localErrors", stats.local_errors);
  each("acceptPauses", stats.accept_pauses);
  each("limitPauses", stats.limit_pauses);
  each("acceptErrors", stats.accept_errors);
  each("endedNormally", stats.ended_normally);
  each("endedByClient", stats.ended_by_client);
  each("endedByUpstream", stats.ended_by_upstream);
  each("endedUnreachable", stats.ended_unreachable);
  each("endedConnectTimeout", stats.ended_connect_timeout);
  each("endedIdle", stats.ended_idle);
  each("endedHalfClosed", stats.ended_half_closed);
  each("endedLifetime", stats.ended_lifetime);
  each("endedProxyHeader", stats.ended_proxy_header);
  each("endedByStop", stats.ended_by_stop);
  each("endedLocalError", stats.ended_local_error);
  each("endedAtHolder", stats.ended_at_holder);
  each("buffersInUse", stats.buffers_in_use);
  each("buffersPeak", stats.buffers_peak);
  each("pipesInUse", stats.pipes_in_use);
  each("pipesPeak", stats.pipes_peak);
  for_each_counter(stats.receiving, each);
  for_each_counter(static_cast<const HandoffCounters&>(stats), each);
}

// Events that an owner may want to log. Called on the loop's thread, between system calls of the
// data path: return at once.
class ForwarderEvents {
 public:
  // The first failure ever or after a success, with its reason.
  virtual void on_upstream_unreachable(size_t upstream, const std::string& address,
                                       const sys::Status& reason) = 0;
  // The first success after a failure.
  virtual void on_upstream_reachable(size_t upstream, const std::string& address) = 0;
  // Its state or health changed.
  virtual void on_upstream_change(const UpstreamChange& change) = 0;
  // Accepting pauses for lack of descriptors or memory; reported once per shortage.
  virtual void on_accept_paused(const sys::Status& reason) = 0;
  // A client sent no valid PROXY header, though required; reported at most once within
  // limits::refusal_report_ms, with the number of further ones since the last report.
  virtual void on_header_refused(const std::string& message) = 0;

 protected:
  ~ForwarderEvents() = default;
};

class Forwarder {
 public:
  // Starts resolving names (without waiting), opens the listeners and registers them. Call it
  // before the loop runs, or on its thread. `events` may be null; both references must outlive the
  // forwarder. An upstream whose name cannot be resolved is down, not an error. Fails with
  // `invalid` for invalid options, otherwise with the listener's error.
  static sys::Result<std::unique_ptr<Forwarder>> start(sys::EventLoop& loop,
                                                       ForwarderOptions options,
                                                       ForwarderEvents* events);
  // On the loop's thread or after the loop ended; cuts off what is still connected.
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  // --- from any thread ---
  // The TCP port in use; 0 without a TCP listener.
  [[nodiscard]] uint16_t port() const noexcept;
  // The addresses of its listeners for clients, see sys::Listener::address.
  [[nodiscard]] std::vector<std::string> addresses() const;
  [[nodiscard]] ForwarderStats stats() const;
  // Accepts what waits in the listeners' queues, closes them, lets sessions end by themselves for
  // at most `patience_ms` milliseconds, then cuts off the rest. Calls `done` once, on the loop's
  // thread, where it may delete the forwarder. 0 stops at once. A later call can only shorten the
  // patience; its `done` is called as well. None is called after the forwarder was destroyed.
  void drain(uint64_t patience_ms, std::function<void()> done);

  // Changes upstreams without affecting open connections; see Upstreams. Calls `done` on the loop's
  // thread, with `closed` if the forwarder was destroyed; drops it if the loop has ended.
  using Done = std::function<void(const sys::Status&)>;
  void set_upstream(std::string address, std::optional<UpstreamState> state,
                    std::optional<uint32_t> weight, Done done);
  void add_upstream(UpstreamAddress upstream, Done done);
  void remove_upstream(std::string address, Done done);

 private:
  void change(std::function<sys::Status(Upstreams&)> apply, Done done);
  class Impl;
  explicit Forwarder(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;  // shared with posted work only, which has a weak pointer
};

}  // namespace espora::forward
