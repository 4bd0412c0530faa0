// The teller between a simulated disk and clients that only write down what they are told: who is
// answered when, and what the store then holds. Random histories are the simulation's
// (sim/teller_desk.cc).
#include "ledger/teller.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/weather.h"
#include "sys/limits.h"

namespace espora::ledger {
namespace {

using engine::AccountRef;
using engine::Result;

class TellerTest : public testing::Test, protected engine::Answers {
 protected:
  struct Told {
    int times = 0;  // answered
    Result result = Result::later;
    uint64_t gate = 0;
    bool deferred = false;
    int64_t balance = 0;
    size_t debits = 0;  // that the statement lists
  };

  void SetUp() override {
    options_.store.directory = "store";
    options_.store.create = true;
    options_.store.segment_bytes = limits::segment_bytes_min;
    options_.store.lock_retry_ms = 0;
    open();
  }
  void open() {
    teller_.reset();
    books_ = std::make_unique<Books>(disk_, options_);
    const sys::Status opened = books_->open();
    ASSERT_TRUE(opened.ok()) << opened.message();
    teller_ = std::make_unique<Teller>(*books_);
    gate_ = 0;
    engine::Answers& answers = *this;
    teller_->open(answers);
  }
  // What a power cut leaves.
  int64_t balance_after_cut(uint32_t account) {
    books_.reset();
    weather_.clear_up();
    disk_.stop(true);
    disk_.restart([] { return false; });
    open();
    return books_->ledger().find(account)->balance();
  }

  Told& ask(uint64_t request, char kind, int64_t amount, uint32_t account = 1) {
    const Transaction transaction{amount, static_cast<Kind>(kind), Description("a")};
    asked_[request] = {};
    write_down(request, teller_->post(teller_->find(account), transaction, {1, request}));
    return told_[request];
  }
  Told& ask_statement(uint64_t request, uint32_t account = 1) {
    asked_[request] = teller_->find(account);
    write_down(request, teller_->statement(asked_[request], {1, request}));
    return told_[request];
  }
  void note(Told& told, const engine::Outcome& outcome) {
    told.result = outcome.result;
    told.gate = outcome.gate;
    told.balance = outcome.account.balance;
    told.debits = 0;
    for (const auto part : {outcome.account.older, outcome.account.newer}) {
      for (const PastTransaction& past : part) told.debits += past.transaction.kind == Kind::debit;
    }
  }
  void write_down(uint64_t request, const engine::Outcome& outcome) {
    Told& told = told_[request];
    if (outcome.result == Result::later) {
      told.deferred = true;
      return;
    }
    told.times++;
    note(told, outcome);
    order_.push_back(request);
  }
  // Until the segment in use is full: what comes then must wait for the next.
  void fill_segment() {
    uint64_t filler = 1'000'000;
    while (ask(filler, 'c', 1, 5).times == 1) {
      filler++;
      while (teller_->turn_over()) {
      }
    }
    told_[filler] = {};  // it waits, too, at the head of the queue
    order_.clear();
  }
  void prepare_spare() {
    while (!books_->store().spare_preparer().ready() &&
           books_->store().spare_preparer().failure().ok()) {
      (void)books_->store().spare_preparer().step();
      disk_.pass_ns(limits::spare_pause_ns);
    }
  }

  void answer(engine::Ticket ticket, const engine::Outcome& outcome) override {
    EXPECT_EQ(ticket.connection, 1u);
    write_down(ticket.request, outcome);
    if (after_answer_) after_answer_(ticket.request);
  }
  void open_gate(engine::Gate gate) override {
    EXPECT_GE(gate, gate_);
    gate_ = gate;
    if (after_gate_) std::exchange(after_gate_, {})();
  }
  void fail_held() override { held_failed_++; }
  void take_back() override {
    EXPECT_FALSE(books_->store().has_open_batch());
    for (auto& [request, told] : told_) {
      if (told.times == 0 || told.gate <= gate_) continue;
      const AccountRef account = asked_.at(request);
      note(told, account == AccountRef::none ? engine::Outcome{Result::store_full}
                                             : teller_->statement(account, {}));
    }
  }

  sim::FaultCounts counts_{};
  sim::Weather weather_{counts_, false};
  sim::SimulatedDisk disk_{1, weather_};
  BooksOptions options_;
  std::unique_ptr<Books> books_;
  std::unique_ptr<Teller> teller_;
  std::map<uint64_t, Told> told_;
  std::map<uint64_t, AccountRef> asked_;  // whose statement; none for a transaction
  std::vector<uint64_t> order_;           // in which requests were answered
  std::function<void(uint64_t)> after_answer_;
  std::function<void()> after_gate_;
  uint64_t gate_ = 0;
  int held_failed_ = 0;
};

TEST_F(TellerTest, AnAnswerWaitsForTheFlushOfWhatItReveals) {
  EXPECT_EQ(ask(1, 'd', 600).gate, 1u);
  EXPECT_EQ(ask(2, 'd', 100'000).result, Result::limit_insufficient);
  EXPECT_EQ(told_[2].gate, 1u);
  EXPECT_EQ(ask_statement(3).gate, 1u);
  EXPECT_EQ(ask_statement(4, 2).gate, 0u);  // nothing happened there
  EXPECT_EQ(gate_, 0u);
  EXPECT_EQ(teller_->stats().acknowledged_seq.get(), 0u);
  EXPECT_FALSE(teller_->turn_over());
  EXPECT_EQ(gate_, 1u);
  EXPECT_EQ(teller_->stats().acknowledged_seq.get(), 1u);
  EXPECT_EQ(balance_after_cut(1), -600);
}

TEST_F(TellerTest, AStoreKeepsItsLimitsAndSaysWhichOthersWereGiven) {
  const auto warned = [&](std::vector<AccountLimit> accounts) {
    books_.reset();
    options_.accounts = AccountTable::create(std::move(accounts)).value();
    open();
    return books_->warnings();
  };
  const std::string kept =
      "the store keeps its own limits, whatever table of accounts is given: account ";
  EXPECT_TRUE(warned({{1, 100'000}, {9, 5}}).empty());
  EXPECT_EQ(warned({{1, 7}}), std::vector<std::string>{kept + "1 has 100000 and not 7"});
  EXPECT_EQ(warned({{1, 7}, {2, 80'000}, {9, 6}}),
            std::vector<std::string>{kept + "1 has 100000 and not 7, account 9 has 5 and not 6"});
  EXPECT_EQ(books_->ledger().find(1)->limit(), 100'000);
}

TEST_F(TellerTest, WhoWaitsForASegmentIsAnsweredInItsOrder) {
  fill_segment();
  for (uint64_t request = 1; request <= 3; request++) {
    EXPECT_TRUE(ask(request, 'd', 30'000).deferred);
  }
  EXPECT_FALSE(teller_->turn_over());
  EXPECT_TRUE(order_.empty());
  // The segment is there before the end of the turn: who comes now comes last all the same.
  prepare_spare();
  EXPECT_TRUE(ask(4, 'd', 30'000).deferred);
  EXPECT_TRUE(ask_statement(5).times == 1);
  order_.clear();
  EXPECT_TRUE(teller_->turn_over());
  EXPECT_FALSE(teller_->turn_over());
  order_.erase(order_.begin());  // the filler
  EXPECT_EQ(order_, (std::vector<uint64_t>{1, 2, 3, 4}));
  EXPECT_EQ(told_[3].result, Result::applied);
  EXPECT_EQ(told_[4].result, Result::limit_insufficient);
  EXPECT_EQ(teller_->stats().parked, 5u);  // with the filler
  EXPECT_EQ(balance_after_cut(1), -90'000);
}

TEST_F(TellerTest, WhatAnAnswerLetsAClientAskComesLast) {
  fill_segment();
  ask(1, 'c', 1);
  ask(2, 'c', 1);
  after_answer_ = [this](uint64_t request) {
    if (request == 1) ask(11, 'c', 1);
  };
  prepare_spare();
  while (teller_->turn_over()) {
  }
  order_.erase(order_.begin());
  EXPECT_EQ(order_, (std::vector<uint64_t>{1, 2, 11}));
  EXPECT_EQ(told_[11].times, 1);
}

TEST_F(TellerTest, ABatchBegunByTheOpeningGateIsCommitted) {
  ask(1, 'c', 1);
  after_gate_ = [this] { ask(2, 'c', 2); };
  EXPECT_TRUE(teller_->turn_over());
  EXPECT_EQ(gate_, 1u);
  EXPECT_FALSE(teller_->turn_over());
  EXPECT_EQ(gate_, 2u);
  EXPECT_EQ(balance_after_cut(1), 3);
}

TEST_F(TellerTest, OnAFullDiskWhoWaitsIsRefusedAndNothingChanges) {
  fill_segment();
  ask(1, 'c', 7);
  ask(2, 'd', 7);
  weather_.full = true;
  prepare_spare();
  EXPECT_FALSE(teller_->turn_over());
  EXPECT_EQ(told_[1].result, Result::store_full);
  EXPECT_EQ(told_[2].result, Result::store_full);
  EXPECT_EQ(ask(3, 'c', 7).result, Result::store_full);
  EXPECT_EQ(ask_statement(4).result, Result::shown);
  EXPECT_EQ(balance_after_cut(1), 0);
}

// A file system that copies on write had no room for a batch that had its place.
TEST_F(TellerTest, ARefusedBatchIsTakenBackBeforeAnybodyHearsOfIt) {
  EXPECT_EQ(ask(1, 'c', 10).result, Result::applied);
  EXPECT_FALSE(teller_->turn_over());
  weather_.no_overwrite = true;
  for (int64_t i = 0; i < 12; i++) ask(10 + i, 'd', i + 1);
  EXPECT_EQ(ask(2, 'd', 99'950).result, Result::limit_insufficient)
      << "would be allowed without the refused ones";
  ask_statement(3);
  ask_statement(4, 2);
  EXPECT_FALSE(teller_->turn_over());
  for (uint64_t request = 10; request < 22; request++)
    EXPECT_EQ(told_[request].result, Result::store_full);
  EXPECT_EQ(told_[2].result, Result::store_full);
  EXPECT_EQ(told_[3].result, Result::shown);
  EXPECT_EQ(told_[3].balance, 10);
  EXPECT_EQ(told_[3].debits, 0u);
  EXPECT_EQ(told_[4].result, Result::shown);
  EXPECT_FALSE(teller_->failed());
  EXPECT_EQ(held_failed_, 0);
  EXPECT_EQ(ask(5, 'c', 1).result, Result::store_full);
  EXPECT_EQ(told_[5].gate, 1u) << "at once, as what it rests on is durable";
  weather_.no_overwrite = false;
  disk_.pass_ns(limits::spare_retry_ns);
  EXPECT_EQ(ask(6, 'd', 99'950).result, Result::applied);
  EXPECT_FALSE(teller_->turn_over());
  EXPECT_EQ(gate_, 2u);
  EXPECT_EQ(balance_after_cut(1), 10 - 99'950);
}

TEST_F(TellerTest, AFailureAnswersEverybodyOnce) {
  fill_segment();
  weather_.flushes_left = 0;
  ask(1, 'c', 1);
  prepare_spare();
  after_answer_ = [this](uint64_t request) {
    if (request == 1) ask(11, 'c', 1);
  };
  const uint64_t commits = teller_->stats().commits;
  while (teller_->turn_over()) {
  }
  EXPECT_EQ(teller_->stats().commits, commits) << "one that failed is none";
  EXPECT_EQ(held_failed_, 1);
  EXPECT_TRUE(teller_->failed());
  EXPECT_EQ(ask(2, 'c', 1).result, Result::store_failed);
  EXPECT_EQ(ask_statement(3).result, Result::store_failed);
  EXPECT_FALSE(teller_->turn_over());
  for (const uint64_t request : {1U, 2U, 3U, 11U}) EXPECT_EQ(told_[request].times, 1) << request;
}

TEST_F(TellerTest, AClosedStoreIsOneThatFailed) {
  EXPECT_EQ(ask(1, 'c', 10).result, Result::applied);
  EXPECT_FALSE(teller_->turn_over());
  ASSERT_TRUE(books_->close().ok());
  EXPECT_EQ(ask(2, 'c', 10).result, Result::store_failed);
  EXPECT_EQ(told_[2].gate, 0u) << "no commit will open one";
  EXPECT_EQ(balance_after_cut(1), 10);
}

TEST_F(TellerTest, AFailureWhileRequestsWaitAnswersThem) {
  fill_segment();
  ask(1, 'c', 1);
  ask(2, 'c', 1);
  weather_.flushes_left = 0;
  disk_.pass_ns(limits::seal_idle_ns);
  teller_->maintain();  // the seal of an idle moment
  EXPECT_EQ(told_[1].result, Result::store_failed);
  EXPECT_EQ(told_[2].result, Result::store_failed);
  EXPECT_TRUE(teller_->failed());
  prepare_spare();
  EXPECT_FALSE(teller_->turn_over());
  EXPECT_EQ(told_[1].times, 1);
  EXPECT_EQ(balance_after_cut(1), 0);
}

}  // namespace
}  // namespace espora::ledger
