// One upstream of a forwarder: where it is, whether it was last reachable, and its counters.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "sys/counter.h"
#include "sys/sockets.h"

namespace espora::forward {

struct Upstream {
  std::string name;  // its address, as it was given
  bool tcp = false;
  std::vector<sys::ResolvedAddress> addresses;  // none while the name cannot be resolved
  size_t preferred = 0;                         // the address that took the last connection
  bool failing = false;                         // the last connect to it failed

  sys::Counter connections;
  sys::Counter active;
  sys::Counter connect_failures;
  sys::Counter bytes_to;
  sys::Counter bytes_from;
};

}  // namespace espora::forward
