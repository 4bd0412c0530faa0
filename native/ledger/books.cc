#include "ledger/books.h"

#include "ledger/entry_codec.h"
#include "ledger/ledger_state.h"
#include "store/defects.h"
#include "sys/check.h"

namespace espora::ledger {

using engine::Result;

namespace {

// The given limits that differ from the store's, as one sentence; empty if there are none.
std::string other_limits(const AccountTable& stored, const AccountTable& given) {
  std::string text;
  size_t count = 0;
  for (const AccountLimit& account : given.accounts()) {
    const AccountLimit* kept = stored.find(account.id);
    if (kept == nullptr || kept->limit == account.limit) continue;
    if (++count > limits::accounts_named_max) continue;
    text += (count == 1 ? "account " : ", account ") + std::to_string(account.id) + " has " +
            std::to_string(kept->limit) + " and not " + std::to_string(account.limit);
  }
  if (count == 0) return {};
  if (count > limits::accounts_named_max) {
    text += ", and " + std::to_string(count - limits::accounts_named_max) + " more";
  }
  return "the store keeps its own limits, whatever table of accounts is given: " + text;
}

}  // namespace

Books::Books(sys::FileSystem& file_system, BooksOptions options)
    : file_system_(file_system),
      options_(std::move(options)),
      accounts_(options_.accounts.value_or(AccountTable::contest())),
      ledger_(accounts_) {}

sys::Status Books::open() {
  options_.store.kind = "ledger";
  options_.store.schema = accounts_.encode();
  auto opened = store::Engine::open(file_system_, options_.store, *this);
  if (!opened.ok()) return opened.status();
  store_ = std::move(opened).value();
  if (!store_->whole()) warnings_.push_back(store_->unsecured().message());
  make_accounts();
  return {};
}

// --- Recovery ------------------------------------------------------------------------------------

// A store keeps its own table: a missing or different flag changes no existing account.
sys::Result<std::vector<std::byte>> Books::schema_changed(store::Bytes stored, store::Bytes) {
  auto table = AccountTable::decode(stored);
  if (!table.ok()) return table.status();
  accounts_ = std::move(table).value();
  // The history was written under the stored table, so it is replayed with that one.
  ledger_ = Ledger(accounts_);
  if (options_.accounts.has_value()) {
    if (std::string other = other_limits(accounts_, *options_.accounts); !other.empty()) {
      warnings_.push_back(std::move(other));
    }
    auto extended = accounts_.with(*options_.accounts);
    if (!extended.ok()) return extended.status();
    accounts_ = std::move(extended).value();
  }
  return accounts_.encode();
}

sys::Status Books::restore(store::Bytes state, uint64_t) { return ledger_.restore_state(state); }

std::unique_ptr<store::SnapshotState> Books::make_state() {
  return std::make_unique<LedgerState>(accounts_);
}

sys::Status Books::record(const store::RecordView& record) {
  return replay_record(ledger_, record);
}

// Only after the table that names them is on disk, and the last record was replayed.
void Books::make_accounts() {
  if (store_->appendable() && ledger_.accounts().size() != accounts_.accounts().size()) {
    ledger_.extend(accounts_);
  }
}

// --- Transactions --------------------------------------------------------------------------------

Result Books::post(Account& account, const Transaction& transaction) {
  const Decision decision = decide(account, transaction);
  if (decision.result != Result::applied) return decision.result;
  Entry probe;
  probe.transaction = transaction;
  const size_t bytes = encoded_entry_bytes(probe);
  const uint64_t seq = store_->last_seq() + 1;
  if (const sys::Status reserved = store_->reserve(bytes, 1); !reserved.ok()) {
    ESPORA_DEFECT(refuse_after_applying)
    if (reserved.code() == sys::Code::no_space && ledger_.last_change_seq() < seq) {
      (void)ledger_.apply(account, transaction, decision.balance_after, store_->last_time_us(),
                          seq);
    }
    switch (reserved.code()) {
      case sys::Code::unavailable:
      case sys::Code::overloaded:
        return Result::later;
      case sys::Code::no_space:
        return Result::store_full;
      default:
        const bool failed = store_->poisoned() || reserved.code() == sys::Code::closed;
        return failed ? Result::store_failed : Result::store_refuses;
    }
  }
  ledger_.remember(account, seq);
  const Entry entry =
      ledger_.apply(account, transaction, decision.balance_after, store_->batch_time_us(), seq);
  encode_entry(entry, store_->append_in_place(entry_record_type, 0, bytes));
  ESPORA_CHECK(store_->last_seq() == seq);
  return Result::applied;
}

// The file system may have had no room even for an allocated place: then nothing is stored.
sys::Status Books::settle(sys::Status status) {
  if (status.code() == sys::Code::no_space) {
    ledger_.revert();
  } else if (status.ok()) {
    ledger_.settle(store_->acknowledged_seq());
  }
  return status;
}

sys::Status Books::maintain() {
  sys::Status status = store_->maintain();
  make_accounts();
  return status;
}

}  // namespace espora::ledger
