// The ledger in snapshots: a state goes to bytes and back, nothing else passes for one, and a store
// that is opened from a snapshot has the balances and statements that a full replay gives.
#include "ledger/ledger_state.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "../store/faulty_file_system.h"
#include "../store/store_rig.h"
#include "ledger/books.h"
#include "ledger/entry_codec.h"
#include "ledger/ledger.h"
#include "store/engine.h"
#include "store/reader.h"
#include "support/by_path.h"

namespace espora::ledger {
namespace {

using engine::Result;
using test::FaultyFileSystem;
using test::TemporaryDirectory;

Transaction some_transaction(std::mt19937_64& random) {
  static const std::vector<std::string> descriptions = {"toma", "devolve",    "danada",
                                                        "x",    "0123456789", "é€𝄞é€𝄞é€𝄞é"};
  Transaction transaction;
  transaction.amount = static_cast<int64_t>(1 + random() % 10'000);
  transaction.kind = random() % 2 == 0 ? Kind::credit : Kind::debit;
  transaction.description = Description(descriptions[random() % descriptions.size()]);
  return transaction;
}

// Some history on some of the accounts; sequences with gaps.
Ledger some_ledger(uint64_t seed, int transactions) {
  std::mt19937_64 random(seed);
  Ledger ledger(AccountTable::contest());
  uint64_t seq = 0;
  for (int i = 0; i < transactions; i++) {
    Account& account = *ledger.find(static_cast<uint32_t>(1 + random() % 4));  // never the fifth
    const Transaction transaction = some_transaction(random);
    const Decision decision = decide(account, transaction);
    if (decision.result != Result::applied) continue;
    seq += 1 + random() % 3;
    (void)ledger.apply(account, transaction, decision.balance_after, 1'000 + seq, seq);
  }
  return ledger;
}

void expect_same(const Ledger& a, const Ledger& b) {
  ASSERT_EQ(a.accounts().size(), b.accounts().size());
  EXPECT_EQ(a.last_change_seq(), b.last_change_seq());
  for (size_t i = 0; i < a.accounts().size(); i++) {
    const Account& one = a.accounts()[i];
    const Account& other = b.accounts()[i];
    EXPECT_EQ(one.id(), other.id());
    EXPECT_EQ(one.balance(), other.balance());
    EXPECT_EQ(one.last_change_seq(), other.last_change_seq());
    EXPECT_EQ(one.last_time_us(), other.last_time_us());
    ASSERT_EQ(one.past_count(), other.past_count());
    for (size_t age = 0; age < one.past_count(); age++) {
      EXPECT_EQ(one.past(age).time_us, other.past(age).time_us);
      EXPECT_EQ(one.past(age).transaction.amount, other.past(age).transaction.amount);
      EXPECT_EQ(one.past(age).transaction.kind, other.past(age).transaction.kind);
      EXPECT_EQ(one.past(age).transaction.description.view(),
                other.past(age).transaction.description.view());
    }
  }
}

store::RecordView lost_record(uint64_t seq) { return {seq, 0, store::lost_record_type, 0, {}}; }

// What a repair leaves of a ledger's records, any of them lost: the others are believed, and the
// balances at the end are the true ones for every account that changed after the last loss.
TEST(LedgerState, RecordsThatWereLostAreMadeUpForByThoseBehindThem) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; round++) {
    Ledger truth(AccountTable::contest());
    LedgerState state(AccountTable::contest());
    uint64_t last_lost = 0;
    for (uint64_t seq = 1; seq <= 60; seq++) {
      Account& account = *truth.find(static_cast<uint32_t>(1 + random() % 5));
      Transaction transaction = some_transaction(random);
      if (decide(account, transaction).result != Result::applied) {
        transaction.kind = Kind::credit;
      }
      const Decision decision = decide(account, transaction);
      const Entry entry = truth.apply(account, transaction, decision.balance_after, seq, seq);
      std::vector<std::byte> bytes(encoded_entry_bytes(entry));
      (void)encode_entry(entry, bytes);
      if (random() % 6 == 0) {
        last_lost = seq;
        ASSERT_TRUE(state.apply(lost_record(seq)).ok());
        EXPECT_EQ(state.remark(lost_record(seq)), "");
        continue;
      }
      const store::RecordView record{seq, seq, entry_record_type, 0, bytes};
      const sys::Status applied = state.apply(record);
      ASSERT_TRUE(applied.ok()) << applied.message();
      const std::string remark = state.remark(record);
      EXPECT_TRUE(remark.empty() || remark.find("corrects the balance") != std::string::npos);
      if (last_lost == 0) {
        EXPECT_EQ(remark, "");
      }
      // Through a snapshot and back, at any moment.
      if (random() % 8 == 0) {
        LedgerState again(AccountTable::contest());
        const auto encoded = state.encode();
        const sys::Status restored = again.restore(encoded);
        ASSERT_TRUE(restored.ok()) << restored.message();
        EXPECT_EQ(again.encode(), encoded);
        state = std::move(again);
      }
    }
    Ledger found(AccountTable::contest());
    ASSERT_TRUE(found.restore_state(state.encode()).ok());
    size_t doubtful = 0;
    for (const Account& account : truth.accounts()) {
      const Account& other = *found.find(account.id());
      if (other.last_change_seq() < last_lost) {
        doubtful++;
        EXPECT_TRUE(found.doubtful(other));
      } else {
        EXPECT_FALSE(found.doubtful(other));
        EXPECT_EQ(other.balance(), account.balance());
      }
    }
    EXPECT_EQ(state.doubts().size(), doubtful);
  }
}

TEST(LedgerState, OnlyTheFirstEntryBehindALostRecordIsBelieved) {
  const auto bytes_of = [](int64_t amount, int64_t balance) {
    const Entry entry{1, balance, 5, {amount, Kind::credit, Description("x")}, {}};
    std::vector<std::byte> bytes(encoded_entry_bytes(entry));
    (void)encode_entry(entry, bytes);
    return bytes;
  };
  LedgerState state(AccountTable::contest());
  const auto apply = [&](uint64_t seq, const std::vector<std::byte>& bytes) {
    return state.apply({seq, 5, entry_record_type, 0, bytes});
  };
  EXPECT_EQ(apply(1, bytes_of(10, 11)).code(), sys::Code::corrupt);
  ASSERT_TRUE(state.apply(lost_record(1)).ok());
  const auto first = bytes_of(10, 110);
  ASSERT_TRUE(apply(2, first).ok());
  EXPECT_EQ(state.remark({2, 5, entry_record_type, 0, first}),
            "record 2 corrects the balance of account 1 by +100, for records that were lost before "
            "it");
  EXPECT_EQ(apply(3, bytes_of(10, 121)).code(), sys::Code::corrupt);
  const auto second = bytes_of(10, 120);
  ASSERT_TRUE(apply(3, second).ok());
  EXPECT_EQ(state.remark({3, 5, entry_record_type, 0, second}), "");
  for (const int64_t by : {1, -1}) {
    const auto seq = static_cast<uint64_t>(by == 1 ? 5 : 7);
    ASSERT_TRUE(state.apply(lost_record(seq - 1)).ok());
    const auto corrected = bytes_of(10, by == 1 ? 131 : 140);
    ASSERT_TRUE(apply(seq, corrected).ok());
    EXPECT_NE(state.remark({seq, 5, entry_record_type, 0, corrected})
                  .find(by == 1 ? " by +1, " : " by -1, "),
              std::string::npos);
  }
}

TEST(LedgerState, GoesToBytesAndBack) {
  for (const int transactions : {0, 1, 3, 9, 10, 11, 37, 500}) {
    const Ledger ledger = some_ledger(static_cast<uint64_t>(transactions) + 1, transactions);
    const std::vector<std::byte> bytes = ledger.encode_state();
    Ledger again(AccountTable::contest());
    const sys::Status restored = again.restore_state(bytes);
    ASSERT_TRUE(restored.ok()) << restored.message();
    expect_same(ledger, again);
    EXPECT_EQ(again.encode_state(), bytes);
  }
}

TEST(LedgerState, NothingElsePassesForOne) {
  const Ledger ledger = some_ledger(5, 60);
  const std::vector<std::byte> whole = ledger.encode_state();
  const auto refused = [](const std::vector<std::byte>& bytes) {
    Ledger again(AccountTable::contest());
    const sys::Status status = again.restore_state(bytes);
    return status.code() == sys::Code::corrupt || status.code() == sys::Code::version;
  };
  for (size_t size = 0; size < whole.size(); size++) {
    EXPECT_TRUE(refused({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)}))
        << size;
  }
  std::vector<std::byte> longer = whole;
  longer.resize(longer.size() + 8);
  EXPECT_TRUE(refused(longer));
  // Reserved bytes, the count, an unknown account, a number of transactions, a kind.
  for (const size_t at : {size_t{0}, size_t{4}, size_t{6}, size_t{8}, size_t{12}, size_t{25},
                          size_t{28}, size_t{29}, size_t{24 + 32 + 16}}) {
    for (const std::byte bit : {std::byte{0x08}, std::byte{0x40}}) {
      std::vector<std::byte> changed = whole;
      changed[at] ^= bit;
      EXPECT_TRUE(refused(changed)) << at;
    }
  }
  // The same account twice.
  std::vector<std::byte> twice = Ledger(some_ledger(5, 1)).encode_state();
  twice.insert(twice.end(), twice.begin() + 24, twice.end());
  twice[8] = std::byte{2};
  EXPECT_TRUE(refused(twice));
}

TEST(LedgerState, AnotherTableMustHaveEveryAccountWithHistory) {
  const std::vector<std::byte> bytes = some_ledger(5, 60).encode_state();
  auto larger = AccountTable::create({{1, 7}, {2, 7}, {3, 7}, {4, 7}, {9, 7}});
  ASSERT_TRUE(larger.ok());
  Ledger other(larger.value());
  EXPECT_TRUE(other.restore_state(bytes).ok());
  EXPECT_EQ(other.find(1)->limit(), 7);
  auto smaller = AccountTable::create({{1, 7}, {2, 7}, {3, 7}});
  ASSERT_TRUE(smaller.ok());
  const sys::Status refused = Ledger(smaller.value()).restore_state(bytes);
  EXPECT_EQ(refused.code(), sys::Code::corrupt);
  EXPECT_NE(refused.message().find("account 4"), std::string::npos);
}

// ---- on a store -------------------------------------------------------------------------------

class Recovering final : public store::RecordVisitor {
 public:
  explicit Recovering(store::History wanted) : wanted_(wanted) {}
  [[nodiscard]] store::History history() const override { return wanted_; }
  sys::Status restore(store::Bytes state, uint64_t seq) override {
    restored_seq = seq;
    return ledger.restore_state(state);
  }
  std::unique_ptr<store::SnapshotState> make_state() override {
    return std::make_unique<LedgerState>(AccountTable::contest());
  }
  sys::Status record(const store::RecordView& record) override {
    records++;
    return replay_record(ledger, record);
  }

  Ledger ledger{AccountTable::contest()};
  uint64_t restored_seq = 0;
  uint64_t records = 0;

 private:
  store::History wanted_;
};

TEST(LedgerState, OpenedFromASnapshotAStoreHasTheBalancesOfAFullReplay) {
  const TemporaryDirectory directory;
  const store::Options options = test::options_for(directory.store());
  std::mt19937_64 random(11);
  uint64_t sequences = 0;
  for (int life = 0; life < 5; life++) {
    FaultyFileSystem fs;
    {
      Recovering visitor(store::History::snapshot);
      auto opened = store::Engine::open(fs, options, visitor);
      ASSERT_TRUE(opened.ok()) << opened.status().message();
      store::Engine& engine = *opened.value();
      ASSERT_EQ(engine.last_seq(), sequences);
      for (int batch = 0; batch < 400; batch++) {
        for (uint64_t k = 1 + random() % 16; k > 0; k--) {
          Account& account = *visitor.ledger.find(static_cast<uint32_t>(1 + random() % 5));
          const Transaction transaction = some_transaction(random);
          const Decision decision = decide(account, transaction);
          if (decision.result != Result::applied) continue;
          Entry probe;
          probe.transaction = transaction;
          const size_t bytes = encoded_entry_bytes(probe);
          while (engine.reserve(bytes, 1).code() == sys::Code::unavailable) {
            (void)engine.spare_preparer().prepare_now();
          }
          const Entry entry = visitor.ledger.apply(account, transaction, decision.balance_after,
                                                   engine.batch_time_us(), engine.last_seq() + 1);
          encode_entry(entry, engine.append_in_place(entry_record_type, 0, bytes));
        }
        ASSERT_TRUE(engine.commit().ok());
      }
      sequences = engine.last_seq();
      for (int step = 0; step < 5'000; step++) {
        const uint64_t due_ns = engine.housekeeping().step();
        if (due_ns == store::Housekeeping::never_ns) break;
        if (due_ns > fs.monotonic_ns()) fs.advance_monotonic_ns(due_ns - fs.monotonic_ns());
      }
      EXPECT_GE(engine.stats().housekeeping.snapshots, 1u);
      // No close: killed.
    }
    Recovering from_snapshot(store::History::snapshot);
    Recovering from_start(store::History::all);
    {
      auto opened = store::Engine::open(fs, options, from_snapshot);
      ASSERT_TRUE(opened.ok()) << opened.status().message();
    }
    {
      auto opened = store::Engine::open(fs, options, from_start);
      ASSERT_TRUE(opened.ok()) << opened.status().message();
    }
    EXPECT_NE(from_snapshot.restored_seq, 0u);
    EXPECT_EQ(from_snapshot.restored_seq + from_snapshot.records, sequences);
    EXPECT_EQ(from_start.records, sequences);
    expect_same(from_snapshot.ledger, from_start.ledger);
  }
}

// A store of 600 batches that housekeeping has gone over.
void keep_books(FaultyFileSystem& fs, const store::Options& options) {
  Books books(fs, {options, {}});
  const sys::Status opened = books.open();
  ASSERT_TRUE(opened.ok()) << opened.message();
  store::Engine& engine = books.store();
  std::mt19937_64 random(3);
  for (int batch = 0; batch < 600; batch++) {
    Account& account = *books.ledger().find(static_cast<uint32_t>(1 + random() % 5));
    Transaction transaction = some_transaction(random);
    transaction.kind = Kind::credit;
    while (books.post(account, transaction) == Result::later) {
      (void)engine.spare_preparer().prepare_now();
    }
    ASSERT_TRUE(books.commit().ok());
  }
  for (int step = 0; step < 5'000; step++) {
    const uint64_t due_ns = engine.housekeeping().step();
    if (due_ns == store::Housekeeping::never_ns) break;
    if (due_ns > fs.monotonic_ns()) fs.advance_monotonic_ns(due_ns - fs.monotonic_ns());
  }
  ASSERT_TRUE(books.close().ok());
  EXPECT_GE(engine.stats().housekeeping.snapshots, 1u);
}

TEST(LedgerState, VerifyReplaysTheLedgerAndComparesItsSnapshots) {
  const TemporaryDirectory directory;
  const store::Options options = test::options_for(directory.store());
  FaultyFileSystem fs;
  ASSERT_NO_FATAL_FAILURE(keep_books(fs, options));
  const auto findings = [&](const AccountTable& table) {
    const auto report = store::verify(fs, directory.store(), true, [&](const store::StoreFacts&) {
      return std::make_unique<LedgerState>(table);
    });
    EXPECT_TRUE(report.ok()) << report.status().message();
    std::vector<std::string> texts;
    if (report.ok()) {
      for (const store::Finding& finding : report.value().findings) {
        texts.push_back(finding.text());
      }
      EXPECT_GE(report.value().dense_segments, 2u);
      EXPECT_GE(report.value().snapshots, 1u);
      EXPECT_GT(report.value().disk_bytes, uint64_t{1} << 20);
      EXPECT_EQ(report.value().batches, 600u);
    }
    return texts;
  };
  EXPECT_TRUE(findings(AccountTable::contest()).empty());

  // A record that the rules do not allow, whole as bytes.
  const auto without_five = AccountTable::create({{1, 1}, {2, 1}, {3, 1}, {4, 1}});
  const auto refused = findings(without_five.value());
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_NE(refused[0].find("account 5: there is no such account"), std::string::npos);

  // A snapshot whose CRCs and place are right, and whose state is another one.
  std::string name;
  for (const std::string& each : test::names_in(directory.store())) {
    if (each.starts_with("SNAP-")) name = each;
  }
  const test::fs::path path = test::fs::path(directory.store()) / name;
  const std::string bytes = test::read_file(path);
  store::format::SnapshotHeader header{};
  store::Bytes state;
  ASSERT_EQ(store::decode_snapshot(test::bytes_of(bytes), header, state),
            store::HeaderState::valid);
  std::vector<std::byte> other(state.begin(), state.end());
  other[24 + 8] ^= std::byte{1};  // a balance
  const std::vector<std::byte> forged = store::encode_snapshot(header, other);
  test::write_file(path, {reinterpret_cast<const char*>(forged.data()), forged.size()});
  const auto differs = findings(AccountTable::contest());
  ASSERT_EQ(differs.size(), 1u);
  EXPECT_NE(differs[0].find(name + " holds another state"), std::string::npos);
}

}  // namespace
}  // namespace espora::ledger
