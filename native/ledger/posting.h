// A transaction's way into ledger and store, without HTTP: the service takes it, and so does the
// simulation.
#pragma once

#include <cstdint>

#include "ledger/ledger.h"
#include "ledger/transaction.h"
#include "store/engine.h"

namespace espora::ledger {

enum class Posting : uint8_t {
  accepted,            // applied, and in the store's open batch: account.last_change_seq()
  limit_insufficient,  // as decide() says; nothing changed, like all below
  balance_too_large,
  must_wait,      // for the next segment, or for the open batch to be committed
  store_full,     // definite
  store_refuses,  // likewise, for want of something else than space
  store_failed,   // or closed
};

// Space is reserved before anything is changed: a refusal for want of it is definite. Whoever
// commits tells the ledger what became of it: settle(), or revert() where the batch was refused. On
// the thread of the engine's append side.
[[nodiscard]] Posting post(store::Engine& engine, Ledger& ledger, Account& account,
                           const Transaction& transaction);

}  // namespace espora::ledger
