// One upstream of a forwarder: its address, its health, and its counters.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "forward/address_list.h"
#include "forward/health.h"
#include "sys/counter.h"
#include "sys/histogram.h"
#include "sys/sockets.h"

namespace espora::forward {

// Counters since the start unless stated otherwise.
struct UpstreamCounts {
  sys::Counter connections;       // connects that succeeded
  sys::Counter active;            // now
  sys::Counter connect_failures;  // refused, unreachable or timed out; never our own shortages
  sys::Counter silent_sessions;   // ended without a byte from it, though it was sent something
  sys::Counter ejections;
  sys::Counter checks;
  sys::Counter checks_failed;
  sys::Counter bytes_to;  // accepted by its socket
  sys::Counter bytes_from;
};

// Each count, under its name in ts/metrics/table.ts.
template <typename Each>
void for_each_counter(const UpstreamCounts& counts, const Each& each) {
  each("connections", counts.connections);
  each("active", counts.active);
  each("connectFailures", counts.connect_failures);
  each("silentSessions", counts.silent_sessions);
  each("ejections", counts.ejections);
  each("checks", counts.checks);
  each("checksFailed", counts.checks_failed);
  each("bytesTo", counts.bytes_to);
  each("bytesFrom", counts.bytes_from);
}

// They only grow: an upstream that is removed and added again continues its counters.
struct UpstreamCounters : UpstreamCounts {
  sys::Histogram connect_us;
  sys::Histogram session_us;
};

struct Upstream {
  Upstream(sys::Address address_in, const HealthOptions& options,
           std::shared_ptr<UpstreamCounters> counters_in)
      : address(std::move(address_in)),
        name(address.to_string()),
        key(address.key()),
        tcp(address.kind == sys::Address::Kind::tcp),
        addresses(options.eject_after),
        health(options),
        counters(std::move(counters_in)) {}

  sys::Address address;
  std::string name;  // its address, as given
  std::string key;   // the same for all spellings of it
  bool tcp;
  AddressList addresses;  // empty while the name cannot be resolved
  bool failing = false;   // the last connect to it failed
  Health health;

  std::shared_ptr<UpstreamCounters> counters;
};

}  // namespace espora::forward
