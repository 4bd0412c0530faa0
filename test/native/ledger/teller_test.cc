// The teller between a simulated disk and clients that only write down what they are told: who is
// answered when, and what the store then holds. Random histories are the simulation's
// (sim/teller_desk.cc).
#include "ledger/teller.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/errors.h"
#include "ledger/ledger_state.h"
#include "sim/weather.h"
#include "sys/limits.h"

namespace espora::ledger {
namespace {

class LedgerVisitor final : public store::RecordVisitor {
 public:
  explicit LedgerVisitor(Ledger& ledger) : ledger_(ledger) {}
  sys::Status record(const store::RecordView& record) override {
    return replay_record(ledger_, record);
  }

 private:
  Ledger& ledger_;
};

class TellerTest : public testing::Test, protected TellerClients {
 protected:
  struct Told {
    int times = 0;  // answered
    int status = 0;
    uint64_t gate = 0;
    bool deferred = false;
    std::string body;
    std::string_view refusal;  // the code of its error
  };

  void SetUp() override {
    options_.directory = "store";
    options_.create = true;
    options_.segment_bytes = limits::segment_bytes_min;
    options_.kind = "ledger";
    options_.lock_retry_ms = 0;
    open();
  }
  void open() {
    ledger_ = std::make_unique<Ledger>(AccountTable::contest());
    LedgerVisitor visitor(*ledger_);
    auto opened = store::Engine::open(disk_, options_, visitor);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    engine_ = std::move(opened).value();
    TellerClients& clients = *this;
    teller_ = std::make_unique<Teller>(*ledger_, clients, stats_);
    teller_->open(*engine_);
  }
  // What a power cut leaves.
  int64_t balance_after_cut(uint32_t account) {
    engine_.reset();
    weather_.clear_up();
    disk_.stop(true);
    disk_.restart([] { return false; });
    open();
    return ledger_->find(account)->balance();
  }

  class Exchange final : public http::Exchange {
   public:
    Exchange(TellerTest& test, uint64_t request) : test_(test), request_(request) {}
    void answer(const http::Answer& answer) override { test_.write_down(request_, answer); }
    http::Ticket defer() override {
      test_.told_[request_].deferred = true;
      return {1, request_};
    }

   private:
    TellerTest& test_;
    uint64_t request_;
  };

  Told& ask(uint64_t request, char kind, int64_t amount, uint32_t account = 1) {
    const std::string body =
        "{\"valor\":" + std::to_string(amount) + ",\"tipo\":\"" + kind + "\",\"descricao\":\"a\"}";
    Exchange exchange(*this, request);
    made_of_[request] = make_tag(Resource::transactions, account);
    teller_->on_request(Resource::transactions, account, body, exchange);
    return told_[request];
  }
  Told& ask_statement(uint64_t request, uint32_t account = 1) {
    Exchange exchange(*this, request);
    made_of_[request] = make_tag(Resource::statement, account);
    teller_->on_request(Resource::statement, account, {}, exchange);
    return told_[request];
  }
  void write_down(uint64_t request, const http::Answer& answer) {
    Told& told = told_[request];
    told.times++;
    told.status = answer.status();
    told.gate = answer.gate;
    told.body = answer.body;
    if (answer.error != nullptr) told.refusal = answer.error->code;
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
    while (!engine_->spare_preparer().ready() && engine_->spare_preparer().failure().ok()) {
      (void)engine_->spare_preparer().step();
      disk_.pass_ns(limits::spare_pause_ns);
    }
  }

  void answer(http::Ticket ticket, const http::Answer& answer) override {
    EXPECT_EQ(ticket.connection, 1u);
    write_down(ticket.request, answer);
    if (after_answer_) after_answer_(ticket.request);
  }
  void open_gate(http::Gate gate) override {
    EXPECT_GE(gate, gate_);
    gate_ = gate;
    if (after_gate_) std::exchange(after_gate_, {})();
  }
  void fail_held(const http::Error& error) override { held_failed_ = error.status; }
  void take_back(const http::Remake& remake) override {
    for (auto& [request, told] : told_) {
      if (told.times == 0 || told.gate <= gate_) continue;
      const http::Answer answer = remake(made_of_.at(request));
      told.status = answer.status();
      told.gate = answer.gate;
      told.body = answer.body;
    }
  }
  void on_committed() override { EXPECT_FALSE(engine_->has_open_batch()); }
  void on_store_failed(const sys::Status&) override { failures_++; }

  sim::FaultCounts counts_{};
  sim::Weather weather_{counts_, false};
  sim::SimulatedDisk disk_{1, weather_};
  store::Options options_;
  ServiceStats stats_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<store::Engine> engine_;
  std::unique_ptr<Teller> teller_;
  std::map<uint64_t, Told> told_;
  std::map<uint64_t, uint64_t> made_of_;  // their tags
  std::vector<uint64_t> order_;           // in which requests were answered
  std::function<void(uint64_t)> after_answer_;
  std::function<void()> after_gate_;
  uint64_t gate_ = 0;
  int held_failed_ = 0;
  int failures_ = 0;
};

TEST_F(TellerTest, AnAnswerWaitsForTheFlushOfWhatItReveals) {
  EXPECT_EQ(ask(1, 'd', 600).gate, 1u);
  EXPECT_EQ(ask(2, 'd', 100'000).status, 422);
  EXPECT_EQ(told_[2].gate, 1u);
  EXPECT_EQ(ask_statement(3).gate, 1u);
  EXPECT_EQ(ask_statement(4, 2).gate, 0u);  // nothing happened there
  EXPECT_EQ(gate_, 0u);
  EXPECT_FALSE(teller_->turn_over());
  EXPECT_EQ(gate_, 1u);
  EXPECT_EQ(balance_after_cut(1), -600);
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
  EXPECT_EQ(told_[3].status, 200);
  EXPECT_EQ(told_[4].status, 422);
  EXPECT_EQ(stats_.parked, 5u);  // with the filler
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
  EXPECT_EQ(told_[1].status, 507);
  EXPECT_EQ(told_[2].status, 507);
  EXPECT_EQ(ask(3, 'c', 7).status, 507);
  EXPECT_EQ(ask_statement(4).status, 200);
  EXPECT_EQ(stats_.store_full, 4u);  // with the filler
  EXPECT_EQ(balance_after_cut(1), 0);
}

// A file system that copies on write had no room for a batch that had its place.
TEST_F(TellerTest, ARefusedBatchIsTakenBackBeforeAnybodyHearsOfIt) {
  EXPECT_EQ(ask(1, 'c', 10).status, 200);
  EXPECT_FALSE(teller_->turn_over());
  weather_.no_overwrite = true;
  for (int64_t i = 0; i < 12; i++) ask(10 + i, 'd', i + 1);
  EXPECT_EQ(ask(2, 'd', 99'950).status, 422) << "would be allowed without the refused ones";
  ask_statement(3);
  ask_statement(4, 2);
  EXPECT_FALSE(teller_->turn_over());
  for (uint64_t request = 10; request < 22; request++) EXPECT_EQ(told_[request].status, 507);
  EXPECT_EQ(told_[2].status, 507);
  EXPECT_EQ(told_[3].status, 200);
  EXPECT_NE(told_[3].body.find("\"total\":10"), std::string::npos) << told_[3].body;
  EXPECT_EQ(told_[3].body.find("\"tipo\":\"d\""), std::string::npos) << told_[3].body;
  EXPECT_EQ(told_[4].status, 200);
  EXPECT_EQ(failures_, 0);
  EXPECT_EQ(held_failed_, 0);
  EXPECT_EQ(stats_.store_full, 13u);
  EXPECT_EQ(ask(5, 'c', 1).status, 507);
  EXPECT_EQ(told_[5].gate, 1u) << "at once, as what it rests on is durable";
  weather_.no_overwrite = false;
  disk_.pass_ns(limits::spare_retry_ns);
  EXPECT_EQ(ask(6, 'd', 99'950).status, 200);
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
  const uint64_t commits = stats_.commits;
  while (teller_->turn_over()) {
  }
  EXPECT_EQ(stats_.commits, commits) << "one that failed is none";
  EXPECT_EQ(held_failed_, 503);
  EXPECT_EQ(failures_, 1);
  EXPECT_EQ(ask(2, 'c', 1).status, 503);
  EXPECT_EQ(ask_statement(3).status, 503);
  EXPECT_FALSE(teller_->turn_over());
  for (const uint64_t request : {1U, 2U, 3U, 11U}) EXPECT_EQ(told_[request].times, 1) << request;
}

TEST_F(TellerTest, AClosedStoreIsOneThatFailed) {
  EXPECT_EQ(ask(1, 'c', 10).status, 200);
  EXPECT_FALSE(teller_->turn_over());
  ASSERT_TRUE(engine_->close().ok());
  EXPECT_EQ(ask(2, 'c', 10).refusal, errors::store_failed.code);
  EXPECT_EQ(told_[2].gate, 0u) << "no commit will open one";
  EXPECT_EQ(balance_after_cut(1), 10);
}

TEST_F(TellerTest, AFailureWhileRequestsWaitAnswersThem) {
  fill_segment();
  ask(1, 'c', 1);
  ask(2, 'c', 1);
  teller_->fail({sys::Code::io, "as the seal of an idle moment may"});
  EXPECT_EQ(told_[1].status, 503);
  EXPECT_EQ(told_[2].status, 503);
  EXPECT_EQ(failures_, 1);
  prepare_spare();
  EXPECT_FALSE(teller_->turn_over());
  EXPECT_EQ(told_[1].times, 1);
  EXPECT_EQ(balance_after_cut(1), 0);
}

}  // namespace
}  // namespace espora::ledger
