#include "ledger/ledger.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "sys/check.h"

namespace espora::ledger {

namespace {

// Amounts and balances are within 2^53-1 on either side of zero: the sum of two is exact.
int64_t sum(int64_t balance, const Transaction& transaction) noexcept {
  return transaction.kind == Kind::credit ? balance + transaction.amount
                                          : balance - transaction.amount;
}

}  // namespace

const PastTransaction& Account::past(size_t age) const noexcept {
  ESPORA_CHECK(age < past_count_);
  const size_t newest = past_next_ + past_.size() - 1;
  return past_[(newest - age) % past_.size()];
}

engine::Statement Account::statement(uint64_t now_us) const noexcept {
  // The newest are before the next one's place, the rest of the last round after it.
  const size_t wrapped = past_count_ - std::min(past_count_, past_next_);
  return {.limit = limit_,
          .balance = balance_,
          .time_us = std::max(now_us, last_time_us_),
          .older = {past_.data() + past_next_, wrapped},
          .newer = {past_.data(), past_count_ - wrapped}};
}

void Account::change(const Transaction& transaction, int64_t balance, uint64_t time_us,
                     uint64_t sequence) noexcept {
  balance_ = balance;
  last_time_us_ = time_us;
  last_change_seq_ = sequence;
  past_[past_next_] = {time_us, transaction};
  past_next_ = static_cast<uint8_t>((past_next_ + size_t{1}) % past_.size());
  if (past_count_ < past_.size()) ++past_count_;
}

Decision decide(const Account& account, const Transaction& transaction) noexcept {
  const int64_t balance = sum(account.balance(), transaction);
  if (transaction.kind == Kind::debit && balance < -account.limit()) {
    return {.result = engine::Result::limit_insufficient};
  }
  if (balance > limits::amount_max) return {.result = engine::Result::balance_too_large};
  return {.balance_after = balance};
}

Ledger::Ledger(const AccountTable& table) { extend(table); }

const Account* Ledger::find(uint32_t id) const noexcept {
  // Accounts are usually numbered from 1 on: then this cheap guess is right.
  const size_t guess = id - size_t{1};
  if (guess < accounts_.size() && accounts_[guess].id() == id) return &accounts_[guess];
  const auto at = std::lower_bound(
      by_id_.begin(), by_id_.end(), id,
      [this](uint32_t place, uint32_t wanted) { return accounts_[place].id() < wanted; });
  return at != by_id_.end() && accounts_[*at].id() == id ? &accounts_[*at] : nullptr;
}

Entry Ledger::apply(Account& account, const Transaction& transaction, int64_t balance_after,
                    uint64_t now_us, uint64_t sequence) noexcept {
  ESPORA_CHECK(balance_after == sum(account.balance_, transaction));
  ESPORA_CHECK(sequence > last_change_seq_);
  const uint64_t time_us = std::max(now_us, account.last_time_us_);
  account.change(transaction, balance_after, time_us, sequence);
  last_change_seq_ = sequence;
  return {.account_id = account.id_,
          .balance_after = balance_after,
          .time_us = time_us,
          .transaction = transaction,
          .key = {}};
}

void Ledger::remember(const Account& account, uint64_t sequence) {
  before_.push_back({sequence, account.last_change_seq_, last_change_seq_, account.last_time_us_,
                     account.balance_, account.past_[account.past_next_],
                     static_cast<uint32_t>(place(account)), account.past_next_,
                     account.past_count_});
}

void Ledger::settle(uint64_t sequence) noexcept {
  if (before_.empty()) return;
  if (before_.back().sequence <= sequence) return before_.clear();
  std::erase_if(before_, [&](const Before& each) { return each.sequence <= sequence; });
}

void Ledger::revert() noexcept {
  for (; !before_.empty(); before_.pop_back()) {
    const Before& before = before_.back();
    Account& account = at(before.place);
    account.past_next_ = before.past_next;
    account.past_count_ = before.past_count;
    account.past_[before.past_next] = before.past;
    account.balance_ = before.balance;
    account.last_time_us_ = before.last_time_us;
    account.last_change_seq_ = before.last_change_seq;
    last_change_seq_ = before.ledger_last_change_seq;
  }
}

sys::Status Ledger::replay(const Entry& entry, uint64_t sequence) {
  const auto corrupt = [&](const std::string& what) {
    return sys::Status(sys::Code::corrupt, "record " + std::to_string(sequence) + ", account " +
                                               std::to_string(entry.account_id) + ": " + what);
  };
  Account* account = find(entry.account_id);
  if (account == nullptr) return corrupt("there is no such account");
  if (sequence <= last_change_seq_) {
    return corrupt("it follows record " + std::to_string(last_change_seq_));
  }
  const int64_t balance = sum(account->balance_, entry.transaction);
  if (balance != entry.balance_after && !doubtful(*account)) {
    return corrupt("the balance after it is " + std::to_string(balance) + ", the record says " +
                   std::to_string(entry.balance_after));
  }
  if (entry.time_us < account->last_time_us_) {
    return corrupt("its time is before that of the account's last one");
  }
  correction_ = entry.balance_after - balance;
  account->change(entry.transaction, entry.balance_after, entry.time_us, sequence);
  last_change_seq_ = sequence;
  return {};
}

void Ledger::lose(uint64_t sequence) noexcept {
  last_lost_seq_ = std::max(last_lost_seq_, sequence);
  correction_ = 0;
}

void Ledger::extend(const AccountTable& table) {
  std::vector<Account> more;
  for (const AccountLimit& limit : table.accounts()) {
    if (find(limit.id) == nullptr) more.push_back(Account(limit));
  }
  accounts_.insert(accounts_.end(), more.begin(), more.end());
  by_id_.resize(accounts_.size());
  std::iota(by_id_.begin(), by_id_.end(), 0);
  std::sort(by_id_.begin(), by_id_.end(),
            [this](uint32_t a, uint32_t b) { return accounts_[a].id() < accounts_[b].id(); });
}

}  // namespace espora::ledger
