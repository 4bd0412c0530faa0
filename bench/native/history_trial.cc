// Stores, through the engine as the database drives it: a long history is built from batches of 1
// to 16 transactions, or opened, and commits are timed, alone and beside the rewriting of what lies
// behind them.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ledger/entry_codec.h"
#include "ledger/ledger.h"
#include "ledger/ledger_state.h"
#include "measure.h"
#include "store/engine.h"
#include "store/housekeeping_thread.h"
#include "store/reader.h"
#include "sys/clock.h"
#include "sys/file_system.h"
#include "trials.h"
#include "values.h"

namespace espora::bench {
namespace {

class Recovering final : public store::RecordVisitor {
 public:
  explicit Recovering(store::History wanted) : wanted_(wanted) {}

  [[nodiscard]] store::History history() const override { return wanted_; }
  sys::Status restore(store::Bytes state, uint64_t) override { return ledger.restore_state(state); }
  std::unique_ptr<store::SnapshotState> make_state() override {
    return std::make_unique<ledger::LedgerState>(ledger::AccountTable::contest());
  }
  sys::Status record(const store::RecordView& record) override {
    return ledger::replay_record(ledger, record);
  }

  ledger::Ledger ledger{ledger::AccountTable::contest()};

 private:
  store::History wanted_;
};

store::Options options_of(const Napi::Object& given) {
  store::Options options;
  options.directory = given.Get("directory").As<Napi::String>();
  options.create = true;
  options.kind = "ledger";
  options.schema = ledger::AccountTable::contest().encode();
  const double segment_bytes = given.Get("segmentBytes").ToNumber().DoubleValue();
  options.segment_bytes = static_cast<uint64_t>(segment_bytes);
  const bool flush = given.Get("flush").ToBoolean();
  options.sync = flush ? store::Sync::always : store::Sync::never;
  options.rewrite_segments = given.Get("rewrite").ToBoolean();
  // Building waits for the disk at each roll, not at each batch.
  options.direct_io = flush;
  return options;
}

class HistoryTrial final : public Napi::ObjectWrap<HistoryTrial> {
 public:
  // new HistoryTrial({ directory, segmentBytes (0: as it is), flush, replay, rewrite }): `replay`
  // opens from the first record and not from a snapshot; without `rewrite` there are only snapshots
  explicit HistoryTrial(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    const auto given = info[0].As<Napi::Object>();
    const bool replay = given.Get("replay").ToBoolean();
    recovering_ =
        std::make_unique<Recovering>(replay ? store::History::all : store::History::snapshot);
    const uint64_t begin = sys::monotonic_ns();
    auto engine = store::Engine::open(file_system_, options_of(given), *recovering_);
    open_ns_ = sys::monotonic_ns() - begin;
    if (!engine.ok()) throw to_error(info.Env(), engine.status());
    engine_ = std::move(engine).value();
  }
  ~HistoryTrial() override { thread_.reset(); }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "HistoryTrial",
                       {InstanceMethod<&HistoryTrial::build>("build"),
                        InstanceMethod<&HistoryTrial::keep_house>("keepHouse"),
                        InstanceMethod<&HistoryTrial::round>("round"),
                        InstanceMethod<&HistoryTrial::append_round>("appendRound"),
                        InstanceMethod<&HistoryTrial::settle>("settle"),
                        InstanceMethod<&HistoryTrial::stats>("stats"),
                        InstanceMethod<&HistoryTrial::close>("close"),
                        StaticMethod<&HistoryTrial::verify>("verify")});
  }

 private:
  static constexpr uint64_t pause_ns = 100'000;

  static void check(const Napi::CallbackInfo& info, const sys::Status& status) {
    if (!status.ok()) throw to_error(info.Env(), status);
  }

  // Waits for the next segment where it is late.
  sys::Status reserve(size_t bytes) {
    sys::Status reserved = engine_->reserve(bytes, 1);
    while (reserved.code() == sys::Code::unavailable) {
      if (thread_ == nullptr) {
        (void)engine_->spare_preparer().prepare_now();
      } else {
        file_system_.sleep_ns(pause_ns);
      }
      reserved = engine_->reserve(bytes, 1);
    }
    return reserved;
  }

  // A transaction that takes effect: what it does is not the point, its size is.
  sys::Status append(uint64_t number) {
    ledger::Transaction transaction;
    transaction.amount = static_cast<int64_t>(1 + number % 100);
    // Balances wander around zero.
    transaction.kind = number / 1'000 % 2 == 0 ? ledger::Kind::credit : ledger::Kind::debit;
    transaction.description = ledger::Description("0123456789");
    ledger::Ledger& state = recovering_->ledger;
    ledger::Account& account = *state.find(static_cast<uint32_t>(1 + number % 5));
    ledger::Decision decision = ledger::decide(account, transaction);
    if (decision.result != engine::Result::applied) {
      transaction.kind = ledger::Kind::credit;
      decision = ledger::decide(account, transaction);
    }
    ledger::Entry probe;
    probe.transaction = transaction;
    const size_t bytes = ledger::encoded_entry_bytes(probe);
    if (sys::Status failed = reserve(bytes); !failed.ok()) return failed;
    const ledger::Entry entry = state.apply(account, transaction, decision.balance_after,
                                            engine_->batch_time_us(), engine_->last_seq() + 1);
    ledger::encode_entry(entry, engine_->append_in_place(ledger::entry_record_type, 0, bytes));
    return {};
  }

  // build(transactions): so many more, in batches of 1 to 16
  Napi::Value build(const Napi::CallbackInfo& info) {
    const uint64_t until = engine_->last_seq() + iterations_of(info, 0);
    uint64_t random = 88'172'645'463'325'252;
    while (engine_->last_seq() < until) {
      random ^= random << 13;
      random ^= random >> 7;
      random ^= random << 17;
      const uint64_t records = std::min(1 + random % 16, until - engine_->last_seq());
      for (uint64_t i = 0; i < records; i++) {
        check(info, append(engine_->last_seq()));
      }
      check(info, engine_->commit());
    }
    return info.Env().Undefined();
  }

  // keepHouse(on, onlySpares): starts or ends the housekeeping thread, which may prepare segments
  // only
  Napi::Value keep_house(const Napi::CallbackInfo& info) {
    thread_.reset();
    if (info[0].ToBoolean()) {
      thread_ = std::make_unique<store::HousekeepingThread>(
          file_system_, engine_->spare_preparer(), [] {},
          info[1].ToBoolean() ? nullptr : &engine_->housekeeping());
    }
    return info.Env().Undefined();
  }

  // round(milliseconds): the time of each commit of one transaction, in nanoseconds
  Napi::Value round(const Napi::CallbackInfo& info) {
    const uint64_t duration_ns = iterations_of(info, 0) * 1'000'000;
    std::vector<double> times;
    const uint64_t begin = sys::monotonic_ns();
    uint64_t now = begin;
    do {
      // Waiting for a segment is no part of a commit here.
      check(info, append(engine_->last_seq()));
      const uint64_t before = sys::monotonic_ns();
      check(info, engine_->commit());
      now = sys::monotonic_ns();
      times.push_back(static_cast<double>(now - before));
    } while (now - begin < duration_ns);
    return to_array(info.Env(), times);
  }

  // appendRound(milliseconds, inFlight): n records are reserved and encoded into the open batch,
  // without a ledger, then committed; the time of each commit with its appends, in nanoseconds
  Napi::Value append_round(const Napi::CallbackInfo& info) {
    const uint64_t in_flight = iterations_of(info, 1);
    ledger::Entry entry;
    entry.account_id = 1;
    entry.transaction.amount = 1;
    entry.transaction.description = ledger::Description("0123456789");
    const size_t bytes = ledger::encoded_entry_bytes(entry);
    return to_array(info.Env(), times_ns(iterations_of(info, 0), [&] {
                      for (uint64_t i = 0; i < in_flight; i++) {
                        check(info, reserve(bytes));
                        entry.time_us = engine_->batch_time_us();
                        keep(ledger::encode_entry(
                            entry, engine_->append_in_place(ledger::entry_record_type, 0, bytes)));
                      }
                      check(info, engine_->commit());
                    }));
  }

  // settle(): returns when the next segment is prepared, so that nothing else writes to the disk
  Napi::Value settle(const Napi::CallbackInfo& info) {
    while (!engine_->stats().spare_ready) {
      check(info, engine_->spare_preparer().failure());
      file_system_.sleep_ns(pause_ns);
    }
    return info.Env().Undefined();
  }

  Napi::Value stats(const Napi::CallbackInfo& info) {
    const store::Stats stats = engine_->stats();
    auto object = Napi::Object::New(info.Env());
    const auto set = [&object](const char* name, double value) { object.Set(name, value); };
    set("openMs", static_cast<double>(open_ns_) / 1e6);
    set("records", static_cast<double>(engine_->last_seq()));
    set("replayed", static_cast<double>(stats.recovered_records));
    set("snapshotSeq", static_cast<double>(stats.snapshot_seq));
    set("segment", stats.segment);
    set("rewritten", static_cast<double>(stats.housekeeping.segments_rewritten));
    set("snapshots", static_cast<double>(stats.housekeeping.snapshots));
    set("snapshotSegment", stats.housekeeping.snapshot_segment);
    object.Set("directIo", stats.direct_io);
    object.Set("spareReady", stats.spare_ready);
    object.Set("failure", engine_->housekeeping().last_failure());
    const std::vector<std::byte> state = recovering_->ledger.encode_state();
    object.Set("state", std::to_string(store::digest(state)));
    auto balances = Napi::Array::New(info.Env());
    for (const ledger::Account& account : recovering_->ledger.accounts()) {
      balances.Set(balances.Length(), static_cast<double>(account.balance()));
    }
    object.Set("balances", balances);
    return object;
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    thread_.reset();
    check(info, engine_->close());
    return info.Env().Undefined();
  }

  // verify(directory): reads all of it
  static Napi::Value verify(const Napi::CallbackInfo& info) {
    sys::PosixFileSystem file_system;
    auto directory = store::Directory::open(file_system, info[0].As<Napi::String>(), false, true);
    if (!directory.ok()) throw to_error(info.Env(), directory.status());
    const auto report = store::verify(std::move(directory).value());
    if (!report.ok()) throw to_error(info.Env(), report.status());
    auto object = Napi::Object::New(info.Env());
    object.Set("damaged", report.value().damaged());
    object.Set("records", static_cast<double>(report.value().records));
    object.Set("segments", static_cast<double>(report.value().segments));
    object.Set("denseSegments", static_cast<double>(report.value().dense_segments));
    return object;
  }

  sys::PosixFileSystem file_system_;
  std::unique_ptr<Recovering> recovering_;
  std::unique_ptr<store::Engine> engine_;
  std::unique_ptr<store::HousekeepingThread> thread_;
  uint64_t open_ns_ = 0;
};

}  // namespace

Napi::Function define_history_trial(Napi::Env env) { return HistoryTrial::define(env); }

}  // namespace espora::bench
