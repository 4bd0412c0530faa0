// The ledger's rules: against a plain model at random, at the edges, in replay, and when the table
// of accounts changes.
#include "ledger/ledger.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace espora::ledger {
namespace {

using engine::Result;

Transaction credit(int64_t amount, std::string_view description = "x") {
  return {.amount = amount, .kind = Kind::credit, .description = Description(description)};
}
Transaction debit(int64_t amount, std::string_view description = "x") {
  return {.amount = amount, .kind = Kind::debit, .description = Description(description)};
}

AccountTable table(std::vector<AccountLimit> accounts) {
  return AccountTable::create(std::move(accounts)).value();
}

// Decides, applies, and keeps what would be stored.
class Book {
 public:
  explicit Book(const AccountTable& table = AccountTable::contest()) : ledger(table) {}

  Result post(uint32_t id, const Transaction& transaction, uint64_t now_us = 1000) {
    Account& account = *ledger.find(id);
    const Decision decision = decide(account, transaction);
    if (decision.result == Result::applied) {
      entries.push_back(
          ledger.apply(account, transaction, decision.balance_after, now_us, entries.size() + 1));
    }
    return decision.result;
  }
  const Account& account(uint32_t id) const { return *ledger.find(id); }

  Ledger ledger;
  std::vector<Entry> entries;
};

void expect_same_state(const Ledger& a, const Ledger& b) {
  ASSERT_EQ(a.accounts().size(), b.accounts().size());
  EXPECT_EQ(a.last_change_seq(), b.last_change_seq());
  for (size_t i = 0; i < a.accounts().size(); ++i) {
    const Account& x = a.accounts()[i];
    const Account& y = b.accounts()[i];
    EXPECT_EQ(x.id(), y.id());
    EXPECT_EQ(x.limit(), y.limit());
    EXPECT_EQ(x.balance(), y.balance());
    EXPECT_EQ(x.last_change_seq(), y.last_change_seq());
    EXPECT_EQ(x.last_time_us(), y.last_time_us());
    ASSERT_EQ(x.past_count(), y.past_count());
    for (size_t age = 0; age < x.past_count(); ++age) {
      EXPECT_EQ(x.past(age).time_us, y.past(age).time_us);
      EXPECT_EQ(x.past(age).transaction.amount, y.past(age).transaction.amount);
      EXPECT_EQ(x.past(age).transaction.kind, y.past(age).transaction.kind);
      EXPECT_EQ(x.past(age).transaction.description.view(),
                y.past(age).transaction.description.view());
    }
  }
}

TEST(Ledger, StartsWithEmptyAccounts) {
  const Ledger ledger(AccountTable::contest());
  for (uint32_t id = 1; id <= 5; ++id) {
    const Account* account = ledger.find(id);
    ASSERT_NE(account, nullptr);
    EXPECT_EQ(account->id(), id);
    EXPECT_EQ(account->balance(), 0);
    EXPECT_EQ(account->past_count(), 0u);
    EXPECT_EQ(account->last_change_seq(), 0u);
  }
  for (const uint32_t id : {0u, 6u, 7u, UINT32_MAX}) EXPECT_EQ(ledger.find(id), nullptr) << id;
}

TEST(Ledger, FindsSparseIds) {
  Ledger ledger(table({{2, 0}, {5, 0}, {6, 0}, {4'000'000'000, 7}, {UINT32_MAX, 0}}));
  for (const uint32_t id : {2u, 5u, 6u, 4'000'000'000u, UINT32_MAX}) {
    ASSERT_NE(ledger.find(id), nullptr) << id;
    EXPECT_EQ(ledger.find(id)->id(), id);
  }
  for (const uint32_t id : {0u, 1u, 3u, 4u, 7u, 3'999'999'999u, UINT32_MAX - 1}) {
    EXPECT_EQ(ledger.find(id), nullptr) << id;
  }
}

TEST(Ledger, DebitsStopAtTheLimitToTheCent) {
  Book book;
  EXPECT_EQ(book.post(2, debit(80'001)), Result::limit_insufficient);
  EXPECT_EQ(book.account(2).balance(), 0);
  EXPECT_EQ(book.post(2, debit(80'000)), Result::applied);
  EXPECT_EQ(book.account(2).balance(), -80'000);
  EXPECT_EQ(book.post(2, debit(1)), Result::limit_insufficient);
  EXPECT_EQ(book.post(2, debit(limits::amount_max)), Result::limit_insufficient);
  EXPECT_EQ(book.account(2).balance(), -80'000);
  EXPECT_EQ(book.account(2).past_count(), 1u);
  EXPECT_EQ(book.entries.size(), 1u);
  EXPECT_EQ(book.post(2, credit(1)), Result::applied);
  EXPECT_EQ(book.post(2, debit(1)), Result::applied);
  EXPECT_EQ(book.post(2, debit(1)), Result::limit_insufficient);
}

TEST(Ledger, CreditsStopAt2To53) {
  Book book(table({{1, limits::amount_max}}));
  EXPECT_EQ(book.post(1, credit(limits::amount_max)), Result::applied);
  EXPECT_EQ(book.post(1, credit(1)), Result::balance_too_large);
  EXPECT_EQ(book.post(1, credit(limits::amount_max)), Result::balance_too_large);
  EXPECT_EQ(book.account(1).balance(), limits::amount_max);
  EXPECT_EQ(book.post(1, debit(limits::amount_max)), Result::applied);
  EXPECT_EQ(book.post(1, debit(limits::amount_max)), Result::applied);
  EXPECT_EQ(book.account(1).balance(), -limits::amount_max);
  EXPECT_EQ(book.post(1, debit(1)), Result::limit_insufficient);
}

TEST(Ledger, ARefusalChangesNothing) {
  Book book;
  book.post(1, debit(100'000, "a"), 5);
  const Ledger before = book.ledger;
  EXPECT_EQ(book.post(1, debit(1, "b"), 9), Result::limit_insufficient);
  expect_same_state(book.ledger, before);
}

TEST(Ledger, KeepsTheLastTenNewestFirst) {
  Book book;
  for (int i = 1; i <= 25; ++i) {
    book.post(1, credit(i, std::to_string(i)), static_cast<uint64_t>(i));
    const size_t expected = std::min(i, 10);
    ASSERT_EQ(book.account(1).past_count(), expected);
    for (size_t age = 0; age < expected; ++age) {
      const PastTransaction& past = book.account(1).past(age);
      EXPECT_EQ(past.transaction.amount, i - static_cast<int>(age));
      EXPECT_EQ(past.transaction.description.view(), std::to_string(i - static_cast<int>(age)));
      EXPECT_EQ(past.time_us, static_cast<uint64_t>(i) - age);
    }
  }
}

TEST(Ledger, AStatementShowsThePastAsItIsWhereverItsRingBegins) {
  Book book;
  for (int64_t count = 0; count <= 3 * int64_t{limits::statement_transactions_max}; ++count) {
    const Account& account = book.account(1);
    const engine::Statement statement = account.statement(7);
    EXPECT_EQ(statement.limit, account.limit());
    EXPECT_EQ(statement.balance, account.balance());
    EXPECT_EQ(statement.time_us, count == 0 ? 7u : account.last_time_us());
    std::vector<int64_t> shown;  // oldest first
    for (const auto part : {statement.older, statement.newer}) {
      for (const PastTransaction& past : part) shown.push_back(past.transaction.amount);
    }
    std::vector<int64_t> last;
    for (size_t age = account.past_count(); age-- > 0;) {
      last.push_back(account.past(age).transaction.amount);
    }
    EXPECT_EQ(shown, last) << "after " << count;
    ASSERT_EQ(book.post(1, credit(count + 1)), Result::applied);
  }
}

TEST(Ledger, TimeOfAnAccountNeverGoesBack) {
  Book book;
  book.post(1, credit(1), 1000);
  book.post(1, credit(1), 400);
  EXPECT_EQ(book.entries[1].time_us, 1000u);
  EXPECT_EQ(book.account(1).past(0).time_us, 1000u);
  book.post(2, credit(1), 400);  // another account has its own
  EXPECT_EQ(book.entries[2].time_us, 400u);
  book.post(1, credit(1), 1001);
  EXPECT_EQ(book.account(1).last_time_us(), 1001u);
}

TEST(Ledger, KnowsWhichRecordLastChangedEachAccount) {
  Book book;
  book.post(1, credit(1));
  book.post(2, credit(1));
  book.post(2, debit(1'000'000));  // refused
  book.post(1, credit(1));
  EXPECT_EQ(book.account(1).last_change_seq(), 3u);
  EXPECT_EQ(book.account(2).last_change_seq(), 2u);
  EXPECT_EQ(book.account(3).last_change_seq(), 0u);
  EXPECT_EQ(book.ledger.last_change_seq(), 3u);
}

TEST(Ledger, AgreesWithAPlainModelAndWithItsOwnReplay) {
  struct Model {
    int64_t limit = 0;
    int64_t balance = 0;
    std::deque<int64_t> last;  // newest first, debits negative
  };
  std::mt19937_64 random(2024);
  for (int round = 0; round < 50; ++round) {
    std::vector<AccountLimit> accounts;
    std::map<uint32_t, Model> models;
    for (uint32_t id = 1; id <= 1 + random() % 6; ++id) {
      const int64_t limit =
          random() % 4 == 0 ? limits::amount_max : static_cast<int64_t>(random() % 10'000);
      accounts.push_back({id * 3, limit});
      models[id * 3].limit = limit;
    }
    Book book(table(accounts));
    for (int i = 0; i < 400; ++i) {
      const uint32_t id = accounts[random() % accounts.size()].id;
      const int64_t amount = random() % 8 == 0
                                 ? limits::amount_max - static_cast<int64_t>(random() % 3)
                                 : 1 + static_cast<int64_t>(random() % 5000);
      const bool is_credit = random() % 2 == 0;
      Model& model = models[id];
      const __int128 after = static_cast<__int128>(model.balance) + (is_credit ? amount : -amount);
      Result expected = Result::applied;
      if (!is_credit && after < -model.limit) expected = Result::limit_insufficient;
      if (is_credit && after > limits::amount_max) expected = Result::balance_too_large;
      ASSERT_EQ(book.post(id, is_credit ? credit(amount) : debit(amount), random() % 1000),
                expected);
      if (expected != Result::applied) continue;
      model.balance = static_cast<int64_t>(after);
      model.last.push_front(is_credit ? amount : -amount);
      if (model.last.size() > 10) model.last.pop_back();
    }
    for (const auto& [id, model] : models) {
      const Account& account = book.account(id);
      EXPECT_EQ(account.balance(), model.balance);
      EXPECT_GE(account.balance(), -account.limit());
      ASSERT_EQ(account.past_count(), model.last.size());
      for (size_t age = 0; age < model.last.size(); ++age) {
        const Transaction& past = account.past(age).transaction;
        EXPECT_EQ(past.kind == Kind::credit ? past.amount : -past.amount, model.last[age]);
        if (age > 0) {
          EXPECT_GE(account.past(age - 1).time_us, account.past(age).time_us);
        }
      }
    }
    Ledger replayed(table(accounts));
    for (size_t i = 0; i < book.entries.size(); ++i) {
      std::vector<std::byte> bytes(encoded_entry_bytes(book.entries[i]));
      encode_entry(book.entries[i], bytes);
      const auto decoded = decode_entry(bytes);
      ASSERT_TRUE(decoded.ok());
      ASSERT_TRUE(replayed.replay(decoded.value(), i + 1).ok());
    }
    expect_same_state(replayed, book.ledger);
  }
}

TEST(LedgerReplay, WhatDoesNotFollowIsCorruptAndChangesNothing) {
  Book book;
  book.post(1, credit(500), 100);
  book.post(1, debit(200), 200);
  Ledger ledger(AccountTable::contest());
  ASSERT_TRUE(ledger.replay(book.entries[0], 10).ok());
  const Ledger before = ledger;
  const auto refused = [&](Entry entry, uint64_t sequence, const std::string& because) {
    const sys::Status status = ledger.replay(entry, sequence);
    EXPECT_EQ(status.code(), sys::Code::corrupt);
    EXPECT_NE(status.message().find(because), std::string::npos) << status.message();
    EXPECT_NE(status.message().find("record " + std::to_string(sequence)), std::string::npos);
    expect_same_state(ledger, before);
  };
  const Entry good = book.entries[1];
  Entry bad = good;
  bad.account_id = 6;
  refused(bad, 11, "account 6: there is no such account");
  bad = good;
  bad.balance_after = 301;
  refused(bad, 11, "the balance after it is 300, the record says 301");
  bad = good;
  bad.transaction.amount = 201;
  refused(bad, 11, "the balance after it is 299");
  bad = good;
  bad.transaction.kind = Kind::credit;
  refused(bad, 11, "the balance after it is 700");
  bad = good;
  bad.time_us = 99;
  refused(bad, 11, "time");
  refused(good, 10, "follows record 10");
  refused(good, 3, "follows record 10");
  refused(book.entries[0], 11, "the balance after it is 1000");  // the same once more
  ASSERT_TRUE(ledger.replay(good, 12).ok());                     // other records may lie between
  EXPECT_EQ(ledger.find(1)->last_change_seq(), 12u);
}

TEST(LedgerReplay, LimitsOfTodayAreNotAsked) {
  Book book;
  book.post(2, debit(80'000));
  book.post(2, credit(79'950));
  Ledger ledger(table({{2, 50}}));
  EXPECT_TRUE(ledger.replay(book.entries[0], 1).ok());
  EXPECT_TRUE(ledger.replay(book.entries[1], 2).ok());
  EXPECT_EQ(ledger.find(2)->balance(), -50);
}

TEST(LedgerRevert, WhatWasNotSettledIsTakenBackWholly) {
  Book book;
  uint64_t sequence = 0;
  const auto remember_and_post = [&](uint32_t id, const Transaction& transaction) {
    sequence = book.ledger.last_change_seq() + 1;
    book.ledger.remember(book.account(id), sequence);
    ASSERT_EQ(book.post(id, transaction), Result::applied);
  };
  // More than a statement shows, so that entries of it were written over.
  for (int i = 0; i < 13; i++) remember_and_post(1, credit(i + 1));
  remember_and_post(2, debit(7));
  book.ledger.settle(book.ledger.last_change_seq());
  const Ledger settled = book.ledger;
  for (int i = 0; i < 25; i++) remember_and_post(1, debit(100 + i));
  remember_and_post(3, credit(5));
  remember_and_post(2, credit(6));
  book.ledger.revert();
  expect_same_state(book.ledger, settled);
  book.ledger.revert();
  expect_same_state(book.ledger, settled);

  // Of two batches the first one is there.
  remember_and_post(1, credit(1'000));
  remember_and_post(3, credit(3));
  const Ledger first = book.ledger;
  const uint64_t acknowledged = book.ledger.last_change_seq();
  remember_and_post(1, credit(2'000));
  remember_and_post(4, debit(1));
  book.ledger.settle(acknowledged);
  book.ledger.revert();
  expect_same_state(book.ledger, first);
}

TEST(LedgerTable, AccountsAreMadeAndThoseThatAreThereStayAsTheyAre) {
  Book book(table({{1, 1000}, {4, 10}}));
  book.post(1, debit(1000));
  const Account before = book.account(1);
  const size_t place = book.ledger.place(book.account(4));
  book.ledger.extend(table({{1, 5000}, {2, 5}, {9, 7}}));
  ASSERT_EQ(book.ledger.accounts().size(), 4u);
  EXPECT_EQ(book.account(1).limit(), 1000);
  EXPECT_EQ(book.account(1).balance(), before.balance());
  EXPECT_EQ(book.account(1).past_count(), 1u);
  EXPECT_EQ(book.account(1).last_change_seq(), 1u);
  EXPECT_EQ(book.account(2).limit(), 5);
  EXPECT_EQ(book.account(4).limit(), 10);  // not named, and there
  EXPECT_EQ(&book.ledger.at(place), book.ledger.find(4));
  EXPECT_EQ(book.account(9).limit(), 7);
  EXPECT_EQ(book.ledger.find(3), nullptr);
  EXPECT_EQ(book.post(1, debit(1)), Result::limit_insufficient);
  EXPECT_EQ(book.post(9, debit(7)), Result::applied);

  const Ledger all = book.ledger;
  book.ledger.extend(table({{9, 1'000'000}}));
  expect_same_state(book.ledger, all);
  EXPECT_EQ(book.account(9).limit(), 7);
}

}  // namespace
}  // namespace espora::ledger
