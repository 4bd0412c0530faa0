// The books: the ledger and the store that holds it. Opened, posted to, committed and maintained
// without HTTP, threads and timers: the teller drives them, and so does the simulation.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "ledger/account_table.h"
#include "ledger/ledger.h"
#include "store/engine.h"

namespace espora::ledger {

struct BooksOptions {
  store::Options store;  // kind and schema are set by the books
  // Accounts that are made where they are not there yet; those of the store stay as they are.
  // Without a table a store has its own, and a new one the contest's.
  std::optional<AccountTable> accounts;
};

// All calls on one thread, the one of the store's append side.
class Books : public store::RecordVisitor {
 public:
  Books(sys::FileSystem& file_system, BooksOptions options);

  // Recovers, once; this takes as long as it takes. Codes: those of store::Engine::open, and
  // invalid for more accounts than are possible. Without close() before its end this is a crash.
  sys::Status open();
  sys::Status close() { return store_->close(); }

  // A transaction's way into ledger and store. Space is reserved before anything is changed: a
  // refusal is definite. Result::later, with nothing changed: the next segment is late, or the open
  // batch must be committed first. If applied, its record is Account::last_change_seq().
  [[nodiscard]] engine::Result post(Account& account, const Transaction& transaction);
  // The store's commit(), or its complete() of what was begun there. Code::no_space: the batch was
  // refused, and the ledger is as if nothing of it had been posted.
  [[nodiscard]] sys::Status commit() { return settle(store_->commit()); }
  [[nodiscard]] sys::Status complete() { return settle(store_->complete()); }
  // The store's, and accounts are made that had to wait for space.
  [[nodiscard]] sys::Status maintain();

  [[nodiscard]] Ledger& ledger() noexcept { return ledger_; }
  [[nodiscard]] store::Engine& store() noexcept { return *store_; }
  [[nodiscard]] const store::Engine& store() const noexcept { return *store_; }
  // What a person should know about how the store was opened, a sentence each.
  [[nodiscard]] const std::vector<std::string>& warnings() const noexcept { return warnings_; }

 protected:
  sys::Result<std::vector<std::byte>> schema_changed(store::Bytes stored,
                                                     store::Bytes given) override;
  [[nodiscard]] store::History history() const override { return store::History::snapshot; }
  sys::Status restore(store::Bytes state, uint64_t seq) override;
  std::unique_ptr<store::SnapshotState> make_state() override;
  sys::Status record(const store::RecordView& record) override;

 private:
  void make_accounts();
  sys::Status settle(sys::Status status);

  sys::FileSystem& file_system_;
  BooksOptions options_;
  AccountTable accounts_;  // the store's, once it is open, with those that are to be made
  Ledger ledger_;
  std::vector<std::string> warnings_;
  std::unique_ptr<store::Engine> store_;
};

}  // namespace espora::ledger
