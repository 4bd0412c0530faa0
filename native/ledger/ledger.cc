#include "ledger/ledger.h"

#include <algorithm>
#include <string>

#include "sys/check.h"

namespace espora::ledger {

namespace {

// Amounts and balances are within 2^53-1 on either side of zero: the sum of two is exact.
int64_t sum(int64_t balance, const Transaction& transaction) noexcept {
  return transaction.kind == Kind::credit ? balance + transaction.amount
                                          : balance - transaction.amount;
}

// Position of `id` in accounts sorted by it, or their number.
size_t index_of(const std::vector<Account>& accounts, uint32_t id) noexcept {
  // The usual table numbers its accounts from 1 on: a guess that is right then, and cheap.
  if (const size_t guess = id - size_t{1}; guess < accounts.size() && accounts[guess].id() == id) {
    return guess;
  }
  const auto at = std::lower_bound(
      accounts.begin(), accounts.end(), id,
      [](const Account& account, uint32_t wanted) { return account.id() < wanted; });
  return at != accounts.end() && at->id() == id ? static_cast<size_t>(at - accounts.begin())
                                                : accounts.size();
}

}  // namespace

const PastTransaction& Account::past(size_t age) const noexcept {
  ESPORA_CHECK(age < past_count_);
  const size_t newest = past_next_ + past_.size() - 1;
  return past_[(newest - age) % past_.size()];
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
    return {.verdict = Verdict::limit_insufficient};
  }
  if (balance > limits::amount_max) return {.verdict = Verdict::balance_too_large};
  return {.verdict = Verdict::accepted, .balance_after = balance};
}

Ledger::Ledger(const AccountTable& table) {
  accounts_.reserve(table.accounts().size());
  for (const AccountLimit& account : table.accounts()) accounts_.push_back(Account(account));
}

Account* Ledger::find(uint32_t id) noexcept {
  const size_t index = index_of(accounts_, id);
  return index < accounts_.size() ? &accounts_[index] : nullptr;
}

const Account* Ledger::find(uint32_t id) const noexcept {
  const size_t index = index_of(accounts_, id);
  return index < accounts_.size() ? &accounts_[index] : nullptr;
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
                     account.balance_, account.past_[account.past_next_], account.id_,
                     account.past_next_, account.past_count_});
}

void Ledger::settle(uint64_t sequence) noexcept {
  if (before_.empty()) return;
  if (before_.back().sequence <= sequence) return before_.clear();
  std::erase_if(before_, [&](const Before& each) { return each.sequence <= sequence; });
}

void Ledger::revert() noexcept {
  for (; !before_.empty(); before_.pop_back()) {
    const Before& before = before_.back();
    Account& account = *find(before.account_id);
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
  const size_t known = accounts_.size();
  for (const AccountLimit& limit : table.accounts()) {
    const auto end = accounts_.begin() + static_cast<std::ptrdiff_t>(known);
    const auto at = std::lower_bound(
        accounts_.begin(), end, limit.id,
        [](const Account& account, uint32_t wanted) { return account.id() < wanted; });
    if (at == end || at->id() != limit.id) accounts_.push_back(Account(limit));
  }
  std::sort(accounts_.begin(), accounts_.end(),
            [](const Account& a, const Account& b) { return a.id() < b.id(); });
}

}  // namespace espora::ledger
