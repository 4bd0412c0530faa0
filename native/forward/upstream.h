// One upstream of a forwarder: where it is, how it does, and its counters.
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

// They only grow: one that is removed and added again goes on counting where it was.
struct UpstreamCounters {
  sys::Counter connections;
  sys::Counter active;
  sys::Counter connect_failures;
  sys::Counter silent_sessions;
  sys::Counter ejections;
  sys::Counter checks;
  sys::Counter checks_failed;
  sys::Counter bytes_to;
  sys::Counter bytes_from;
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
  std::string name;  // its address, as it was given
  std::string key;   // the same for all spellings of it
  bool tcp;
  AddressList addresses;  // none while the name cannot be resolved
  bool failing = false;   // the last connect to it failed
  Health health;

  std::shared_ptr<UpstreamCounters> counters;
};

}  // namespace espora::forward
