// A store at rest, nobody has it open: whatever reads it must show exactly what opening it takes.
#pragma once

#include "ledger/account_table.h"
#include "sim/checks.h"
#include "sim/disk.h"
#include "sim/model.h"
#include "store/engine.h"

namespace espora::sim {

// Plays on copies of `disk`, which has no open files: a reader, verify and a copy, then opening.
// The disk itself is not touched. `trusting`: its flushes did what they said.
void check_at_rest(const SimulatedDisk& disk, const store::Options& options, const Model& model,
                   const ledger::AccountTable& accounts, bool trusting, Findings& findings);

}  // namespace espora::sim
