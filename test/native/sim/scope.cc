#include "sim/scope.h"

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/books.h"
#include "sim/checks.h"
#include "sim/disk.h"
#include "sys/check.h"
#include "sys/limits.h"

namespace espora::sim {

namespace {

// Above it a crash point's subsets are drawn, as many as this.
constexpr size_t undecided_max = 12;

enum class Operation : uint8_t {
  post,   // a transaction: one sector
  wide,   // a record over four sectors
  pair,   // two records in one batch
  large,  // a batch of three blocks
  seal,
  flush,
  close_and_open,
  kill_and_open,
  cut_and_open,  // nothing that was pending survives
  keep_house,    // rewrite and snapshot whatever is due
  count,
};
constexpr std::array<std::string_view, static_cast<size_t>(Operation::count)> operation_names = {
    "post",  "wide",       "pair",      "large",    "seal",
    "flush", "close+open", "kill+open", "cut+open", "keep house"};

class Quiet final : public Director {
 public:
  Outcome before(const Call&) override { return {}; }
  void after(const Call&, int64_t) override {}
};

struct Start {
  store::Sync sync;
  bool nearly_full;  // the next large batch does not fit into the segment any more
};
constexpr std::array starts = {Start{store::Sync::always, false}, Start{store::Sync::never, false},
                               Start{store::Sync::always, true}, Start{store::Sync::never, true}};

// Runs one workload and explores the crashes of its last operation; those before belong to a
// shorter workload.
class Workload final : private Director {
 public:
  Workload(const Start& start, const std::vector<Operation>& operations, uint64_t seed,
           ScopeResult& result)
      : start_(start),
        operations_(operations),
        result_(result),
        random_(seed),
        disk_(seed, *this),
        accounts_(ledger::AccountTable::contest()),
        options_(store_options(accounts_, start.sync, limits::segment_bytes_min)) {}

  void run();

 private:
  Outcome before(const Call&) override { return {}; }
  void after(const Call& call, int64_t result) override;

  void operate(Operation operation);
  void open();
  void prepare_spare();
  void append(size_t count, size_t size);
  void post();
  void commit();
  void drop(bool power);
  void raise_floor();
  void crash(const std::string& where);
  void check(const Storage& storage, const std::string& where);
  [[nodiscard]] std::string name() const;

  const Start start_;
  const std::vector<Operation>& operations_;
  ScopeResult& result_;
  Random random_;
  SimulatedDisk disk_;
  ledger::AccountTable accounts_;
  store::Options options_;
  Model model_;
  Findings findings_;
  std::unique_ptr<Replay> replay_;
  store::Engine* engine_ = nullptr;  // its store
  uint64_t batch_ = 1;
  bool exploring_ = false;
};

std::string Workload::name() const {
  std::string text = start_.sync == store::Sync::always ? "always" : "never";
  if (start_.nearly_full) text += ", nearly full";
  text += ":";
  for (const Operation each : operations_) {
    text.append(" ").append(operation_names[static_cast<size_t>(each)]);
  }
  return text;
}

void Workload::run() {
  result_.workloads++;
  exploring_ = operations_.empty() && !start_.nearly_full;
  open();
  if (start_.nearly_full) {
    for (int i = 0; i < 2; i++) operate(Operation::large);
    prepare_spare();
  }
  for (size_t i = 0; i < operations_.size() && !findings_.any(); i++) {
    exploring_ = i + 1 == operations_.size();
    operate(operations_[i]);
  }
  replay_.reset();
}

// ---- operations -------------------------------------------------------------------------------

void Workload::operate(Operation operation) {
  switch (operation) {
    case Operation::post:
      post();
      return commit();
    case Operation::wide:
      append(1, 1'700);
      return commit();
    case Operation::pair:
      append(2, 700);
      return commit();
    case Operation::large:
      append(1, 3 * page_bytes - 200);
      return commit();
    case Operation::seal:
      (void)engine_->seal();
      break;
    case Operation::flush:
      (void)engine_->flush();
      break;
    case Operation::close_and_open:
      if (replay_->close().ok()) model_.raise_floor(model_.last());
      drop(false);
      return open();
    case Operation::kill_and_open:
      drop(false);
      return open();
    case Operation::cut_and_open:
      drop(true);
      return open();
    case Operation::keep_house:
      for (uint64_t due = 0; due != store::Housekeeping::never_ns;) {
        due = engine_->housekeeping().step();
        if (due != 0) disk_.pass_ns(limits::housekeeping_pause_ns);
      }
      break;
    case Operation::count:
      break;
  }
  raise_floor();
}

void Workload::drop(bool power) {
  replay_.reset();
  disk_.stop(power);
  disk_.restart([] { return false; });
}

void Workload::open() {
  replay_ = std::make_unique<Replay>(disk_, options_, model_, findings_, accounts_,
                                     start_.sync == store::Sync::always);
  const sys::Status opened = replay_->open();
  if (!opened.ok()) return findings_.add(faults_never_corrupt, opened.message());
  engine_ = &replay_->store();
  const uint64_t rows = replay_->rows();
  if (rows < model_.floor()) findings_.add(acknowledged_is_there, "an append is missing");
  if (!model_.whole_batches(rows)) findings_.add(exact_prefix, "a batch is there in part");
  model_.recovered(rows);
  raise_floor();
}

void Workload::prepare_spare() { (void)engine_->spare_preparer().prepare_now(); }

void Workload::append(size_t count, size_t size) {
  while (engine_->reserve(count * size, static_cast<uint32_t>(count)).code() ==
         sys::Code::unavailable) {
    prepare_spare();
  }
  for (size_t i = 0; i < count; i++) {
    Submitted record;
    record.type = filler_type;
    record.bytes.resize(size);
    for (size_t k = 0; k < size; k++) {
      record.bytes[k] = static_cast<char>('a' + (model_.last() * 7 + k / 100) % 26);
    }
    (void)engine_->append(record.type, 0, std::as_bytes(std::span(record.bytes)));
    record.time_us = engine_->last_time_us();
    record.batch = batch_;
    model_.submit(std::move(record));
  }
}

void Workload::post() {
  ledger::Account& account = *replay_->ledger().find(1);
  ledger::Transaction transaction;
  transaction.amount = static_cast<int64_t>(100 + model_.last());
  transaction.description = ledger::Description("small");
  engine::Result result;
  while ((result = replay_->post(account, transaction)) == engine::Result::later) prepare_spare();
  ESPORA_CHECK(result == engine::Result::applied);
  model_.submit(account, transaction, engine_->last_time_us(), batch_);
}

void Workload::commit() {
  batch_++;
  if (sys::Status status = replay_->commit(); !status.ok()) {
    findings_.add(progress_resumes, status.message());
  }
  raise_floor();
}

void Workload::raise_floor() {
  const bool strict = start_.sync == store::Sync::always;
  model_.raise_floor(strict ? engine_->acknowledged_seq() : engine_->durable_seq());
  if (exploring_) crash("behind the operation");
}

// ---- crashes ----------------------------------------------------------------------------------

void Workload::after(const Call& call, int64_t result) {
  if (!exploring_ || findings_.any() || result < 0) return;
  const bool changes = call.kind == CallKind::pwrite || call.kind == CallKind::fdatasync ||
                       call.kind == CallKind::fsync || call.kind == CallKind::rename ||
                       call.kind == CallKind::unlink || call.kind == CallKind::allocate ||
                       call.kind == CallKind::make_directory || call.creates;
  if (changes) crash(std::string(call_name(call.kind)) + " of " + std::string(call.name));
}

void Workload::crash(const std::string& where) {
  result_.crash_points++;
  const size_t undecided = disk_.storage().undecided();
  const bool all = undecided <= undecided_max;
  if (!all) result_.sampled++;
  const uint64_t subsets = uint64_t{1} << (all ? undecided : undecided_max);
  for (uint64_t subset = 0; subset < subsets && !findings_.any(); subset++) {
    Storage storage = disk_.storage();
    // Of the drawn ones each has a density of its own, the first two none and all.
    const uint64_t keep = subset == 0 ? 0 : subset == 1 ? 256 : random_.below(257);
    uint64_t bits = subset;
    storage.settle([&] {
      if (!all) return random_.chance(keep, 256);
      const bool survives = (bits & 1) != 0;
      bits >>= 1;
      return survives;
    });
    check(storage, where + ", subset " + std::to_string(subset));
  }
}

// Recovers what is left, twice, the second time after a power cut that takes all that is pending.
void Workload::check(const Storage& storage, const std::string& where) {
  result_.states++;
  Quiet quiet;
  SimulatedDisk disk(1, quiet);
  disk.storage() = storage;
  Findings findings;
  uint64_t rows = 0;
  for (int again = 0; again < 2; again++) {
    auto replay = std::make_unique<Replay>(disk, options_, model_, findings, accounts_,
                                           start_.sync == store::Sync::always);
    if (const sys::Status opened = replay->open(); !opened.ok()) {
      findings.add(faults_never_corrupt, opened.message());
      break;
    }
    if (again == 0) rows = replay->rows();
    if (replay->rows() != rows) {
      findings.add(recovery_repeats, std::to_string(rows) + " records, and the second time " +
                                         std::to_string(replay->rows()));
    }
    if (replay->rows() < model_.floor()) {
      findings.add(acknowledged_is_there, "record " + std::to_string(model_.floor()) +
                                              " is missing, the log ends with " +
                                              std::to_string(replay->rows()));
    }
    if (!model_.whole_batches(replay->rows())) {
      findings.add(exact_prefix, "the log ends inside a batch");
    }
    if (std::string wrong = model_.ledger_mismatch(replay->ledger(), replay->rows());
        !wrong.empty()) {
      findings.add(ledger_is_model, wrong);
    }
    if (findings.any()) break;
    replay.reset();
    disk.stop(true);
    disk.restart([] { return false; });
  }
  if (!findings.any()) return;
  findings_.add(findings.first().invariant, findings.first().what);
  if (result_.violation.invariant != 0) return;
  result_.violation = findings.first();
  result_.where = name() + "; a crash behind " + where;
}

void explore_from(const Start& start, std::vector<Operation>& operations, unsigned depth,
                  uint64_t& number, uint64_t seed, unsigned shard, unsigned shards,
                  ScopeResult& result) {
  if (result.violation.invariant != 0) return;
  if (number++ % shards == shard) Workload(start, operations, mix(seed ^ number), result).run();
  if (depth == 0) return;
  for (size_t i = 0; i < static_cast<size_t>(Operation::count); i++) {
    operations.push_back(static_cast<Operation>(i));
    explore_from(start, operations, depth - 1, number, seed, shard, shards, result);
    operations.pop_back();
  }
}

}  // namespace

ScopeResult explore(unsigned operations, uint64_t seed, unsigned shard, unsigned shards) {
  ScopeResult result;
  uint64_t number = 0;
  for (const Start& start : starts) {
    std::vector<Operation> workload;
    explore_from(start, workload, operations, number, seed, shard, shards, result);
  }
  return result;
}

}  // namespace espora::sim
