// One upstream of a forwarder: where it is, how it does, and its counters.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "forward/health.h"
#include "sys/counter.h"
#include "sys/histogram.h"
#include "sys/sockets.h"

namespace espora::forward {

struct Upstream {
  explicit Upstream(sys::Address address_in, const HealthOptions& options)
      : address(std::move(address_in)),
        name(address.to_string()),
        tcp(address.kind == sys::Address::Kind::tcp),
        health(options) {}

  sys::Address address;
  std::string name;  // its address, as it was given
  bool tcp;
  std::vector<sys::ResolvedAddress> addresses;  // none while the name cannot be resolved
  size_t preferred = 0;                         // the address that took the last connection
  bool failing = false;                         // the last connect to it failed
  Health health;

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

}  // namespace espora::forward
