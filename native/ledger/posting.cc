#include "ledger/posting.h"

#include "ledger/entry_codec.h"
#include "store/defects.h"
#include "sys/check.h"

namespace espora::ledger {

Posting post(store::Engine& engine, Ledger& ledger, Account& account,
             const Transaction& transaction) {
  const Decision decision = decide(account, transaction);
  if (decision.verdict != Verdict::accepted) {
    return decision.verdict == Verdict::limit_insufficient ? Posting::limit_insufficient
                                                           : Posting::balance_too_large;
  }
  Entry probe;
  probe.transaction = transaction;
  const size_t bytes = encoded_entry_bytes(probe);
  const uint64_t seq = engine.last_seq() + 1;
  const sys::Status reserved = engine.reserve(bytes, 1);
  switch (reserved.code()) {
    case sys::Code::ok:
      break;
    case sys::Code::unavailable:
    case sys::Code::overloaded:
      return Posting::must_wait;
    case sys::Code::no_space:
      ESPORA_DEFECT(refuse_after_applying) if (ledger.last_change_seq() < seq) {
        (void)ledger.apply(account, transaction, decision.balance_after, engine.last_time_us(),
                           seq);
      }
      return Posting::store_full;
    case sys::Code::closed:
      return Posting::store_failed;
    default:
      return engine.poisoned() ? Posting::store_failed : Posting::store_refuses;
  }
  ledger.remember(account, seq);
  const Entry entry =
      ledger.apply(account, transaction, decision.balance_after, engine.batch_time_us(), seq);
  encode_entry(entry, engine.append_in_place(entry_record_type, 0, bytes));
  ESPORA_CHECK(engine.last_seq() == seq);
  return Posting::accepted;
}

}  // namespace espora::ledger
