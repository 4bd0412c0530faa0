// Two more simulations of one seed each, of who stands between a program and the engine: the
// service's teller with its connections, and the library's committer. Both are driven without
// threads on the simulated disk, through full disks, errors, kills and cuts.
#pragma once

#include <cstdint>

#include "sim/faults.h"
#include "sim/model.h"

namespace espora::sim {

struct DeskResult {
  Violation violation;
  uint64_t trace_hash = 0;
};

DeskResult run_teller(uint64_t seed, FaultCounts& counts, bool trace);
DeskResult run_committer(uint64_t seed, FaultCounts& counts, bool trace);

}  // namespace espora::sim
