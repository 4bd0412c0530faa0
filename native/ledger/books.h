// The books: the ledger and the store that holds it. They are opened, posted to, committed and
// maintained without HTTP, threads and timers: driven by the teller or by the simulation.
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
  store::Options store;  // the books set kind and schema
  // Accounts to create if they do not exist yet; existing ones do not change. Without a table a
  // store keeps its own, and a new store gets the contest's.
  std::optional<AccountTable> accounts;
};

// All calls on one thread, that of the store's append side.
class Books : public store::RecordVisitor {
 public:
  Books(sys::FileSystem& file_system, BooksOptions options);

  // Recovers the store, once; may take long. Codes: those of store::Engine::open, and invalid for
  // more accounts than possible. Destruction without close() is equivalent to a crash.
  sys::Status open();
  sys::Status close() { return store_->close(); }

  // Posts a transaction to ledger and store. Space is reserved before anything is changed: a
  // refusal is definite. Result::later, with nothing changed: the next segment is late, or the open
  // batch must be committed first. If applied, Account::last_change_seq() is its record.
  [[nodiscard]] engine::Result post(Account& account, const Transaction& transaction);
  // The store's commit(), or its complete() of what was begun there. Code::no_space: the batch was
  // refused, and the ledger is as if nothing of it had been posted.
  [[nodiscard]] sys::Status commit() { return settle(store_->commit()); }
  [[nodiscard]] sys::Status complete() { return settle(store_->complete()); }
  // The store's maintain(); also creates the accounts that had to wait for space.
  [[nodiscard]] sys::Status maintain();

  [[nodiscard]] Ledger& ledger() noexcept { return ledger_; }
  [[nodiscard]] store::Engine& store() noexcept { return *store_; }
  [[nodiscard]] const store::Engine& store() const noexcept { return *store_; }
  // What an operator should know about how the store was opened, one sentence each.
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
  AccountTable accounts_;  // the store's once open, plus those to be created
  Ledger ledger_;
  std::vector<std::string> warnings_;
  std::unique_ptr<store::Engine> store_;
};

}  // namespace espora::ledger
