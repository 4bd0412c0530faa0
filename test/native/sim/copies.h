// Copies of a store at rest, a sound one's and a damaged one's: what was reported is on the device,
// what was not is no store, and a repair loses nothing that can be read.
#pragma once

#include <cstdint>

#include "sim/checks.h"
#include "sim/disk.h"
#include "sim/model.h"
#include "store/engine.h"

namespace espora::sim {

// Plays on copies of `disk`, which has no open files and is not touched. `proven`: records that
// must be in a repair's result, read or marked as lost. `seed` decides where the power is cut.
void check_copies(const SimulatedDisk& disk, const store::Options& options, const Model& model,
                  Findings& findings, uint64_t proven, uint64_t seed);

}  // namespace espora::sim
