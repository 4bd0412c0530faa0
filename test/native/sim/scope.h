// Small scope, exhaustively: every workload of a few operations, a crash behind each call that
// changes anything, and every subset of what no flush covered as what survived it.
#pragma once

#include <cstdint>
#include <string>

#include "sim/model.h"

namespace espora::sim {

struct ScopeResult {
  Violation violation;
  std::string where;  // workload, call and subset
  uint64_t workloads = 0;
  uint64_t crash_points = 0;
  uint64_t states = 0;   // recovered and checked, each twice
  uint64_t sampled = 0;  // crash points with too many subsets to take them all
};

// Workloads of up to `operations` operations, of which only those with a number that leaves `shard`
// when divided by `shards`; stops at the first violation. `seed` chooses the samples.
ScopeResult explore(unsigned operations, uint64_t seed, unsigned shard, unsigned shards);

}  // namespace espora::sim
