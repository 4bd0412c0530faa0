// The ledger as stored in snapshots.
//
//   magic "LEDG" | version u16 | reserved u16 | count u32 | reserved u32 | last change u64 |
//   in version 2: last lost record u64 |
//   count x { id u32 | transactions u8 | reserved u8 x 3 | balance i64 | last change u64 | last
//   time u64 |
//             transactions x { time u64 | amount u64 | kind u8 | description: bytes u8 |
//                              description, zeros up to a multiple of 8 bytes of the whole } }
//
// Little-endian. Version 1, or 2 if a record was lost. Only accounts with history, by ascending id;
// transactions oldest first.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ledger/account_table.h"
#include "ledger/ledger.h"
#include "store/snapshot.h"
#include "sys/status.h"

namespace espora::ledger {

// Applies one record of the store to a ledger: entries are replayed, lost records leave the
// balances uncertain, other types are skipped.
[[nodiscard]] sys::Status replay_record(Ledger& ledger, const store::RecordView& record);

// A ledger that sees only closed segments. Its table must have every account with history.
class LedgerState final : public store::SnapshotState {
 public:
  explicit LedgerState(const AccountTable& table) : ledger_(table) {}

  sys::Status restore(store::Bytes state) override { return ledger_.restore_state(state); }
  sys::Status apply(const store::RecordView& record) override {
    return replay_record(ledger_, record);
  }
  [[nodiscard]] std::vector<std::byte> encode() const override { return ledger_.encode_state(); }
  [[nodiscard]] std::string remark(const store::RecordView& applied) const override;
  [[nodiscard]] std::vector<std::string> doubts() const override;

 private:
  Ledger ledger_;
};

}  // namespace espora::ledger
