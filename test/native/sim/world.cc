#include "sim/world.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <tuple>

#include "ledger/entry_codec.h"
#include "sim/copies.h"
#include "sim/tools.h"
#include "store/format.h"
#include "sys/check.h"
#include "sys/limits.h"

namespace espora::sim {

using store::NameKind;
using sys::Code;
using sys::Status;

namespace {

constexpr size_t lives_max = 7;

bool published(std::string_view name) {
  const NameKind kind = store::parse_name(name).kind;
  return kind == NameKind::segment || kind == NameKind::store;
}
bool is_segment(std::string_view name) { return store::parse_name(name).kind == NameKind::segment; }
bool is_lock(std::string_view name) { return name == store::lock_name; }

// Records whose bytes tell which one they are.
std::string filler(Random& random, size_t size) {
  std::string text(size, ' ');
  uint64_t word = random.next();
  for (size_t i = 0; i < size; i++) {
    if (i % 8 == 0) word = mix(word);
    text[i] = static_cast<char>('a' + (word >> (i % 8 * 8)) % 26);
  }
  return text;
}

ledger::AccountTable first_table() {
  return std::move(ledger::AccountTable::create({{1, 1'000}, {2, 2'000}, {9, 3'000}})).value();
}

class BesideVisitor final : public store::ReadVisitor {
 public:
  BesideVisitor(const Model& model, Findings& findings, const Storage& storage, bool checks_end)
      : model_(model), findings_(findings), storage_(storage), checks_end_(checks_end) {}

  bool frame(const store::FrameView& frame) override {
    store::RecordCursor cursor(frame.header, frame.payload);
    store::RecordView record;
    while (cursor.next(record)) {
      if (record.seq == rows_ + 1) rows_++;
      if (std::string wrong = model_.mismatch(record); !wrong.empty()) {
        findings_.add(nothing_invented, "a reader beside the service: " + wrong);
      }
      if (checks_end_ && record.seq > model_.floor() &&
          !device_holds(storage_, record.seq - 1, record.seq)) {
        findings_.add(only_durable_visible, "a reader beside the service saw record " +
                                                std::to_string(record.seq) +
                                                ", which the device does not hold");
      }
    }
    return true;
  }
  void finding(const store::Finding& finding) override {
    if (finding.severity == store::Severity::damage && finding_.empty()) finding_ = finding.text();
  }
  [[nodiscard]] const std::string& first_finding() const noexcept { return finding_; }
  // Records from the first one on, without a gap.
  [[nodiscard]] uint64_t rows() const noexcept { return rows_; }

 private:
  const Model& model_;
  Findings& findings_;
  const Storage& storage_;
  const bool checks_end_;
  std::string finding_;
  uint64_t rows_ = 0;
};

}  // namespace

World::World(uint64_t seed, FaultCounts& counts, bool trace)
    : seed_(seed),
      counts_(counts),
      trace_(trace),
      random_(seed),
      disk_(mix(seed ^ 0xD15C), *this),
      accounts_(first_table()) {
  plan();
}

bool World::hit(Fault fault) noexcept {
  counts_[static_cast<size_t>(fault)]++;
  faults_in_open_++;
  note(fault_names[static_cast<size_t>(fault)].data());
  return true;
}

void World::note(const char* what, uint64_t value) {
  for (const char* at = what; *at != 0; at++) {
    result_.trace_hash = mix(result_.trace_hash ^ static_cast<unsigned char>(*at));
  }
  result_.trace_hash = mix(result_.trace_hash ^ value);
  if (trace_) std::printf("  -- %s %llu\n", what, static_cast<unsigned long long>(value));
}

// ---- what a seed turns on ---------------------------------------------------------------------

void World::plan() {
  damages_ = random_.chance(1, 5);
  errors_ = !damages_ && random_.chance(3, 4);
  store::Sync sync = store::Sync::always;
  if (random_.chance(1, 4)) sync = store::Sync::interval;
  if (random_.chance(1, 12)) sync = store::Sync::never;
  const uint64_t step = limits::segment_bytes_step;
  const uint64_t segment = limits::segment_bytes_min + random_.below(5) * step;
  options_ = store_options(accounts_, sync, segment);
  if (sync == store::Sync::interval) hit(Fault::interval_mode);
  if (sync == store::Sync::never) hit(Fault::never_mode);
  disk_.refuse_direct_at_open = random_.chance(1, 10);
  disk_.refuse_direct_at_transfer = random_.chance(1, 10);
  disk_.ghosts_in_device = random_.chance(1, 2);
  disk_.honours_drop_cache = random_.chance(1, 2);
  disk_.clock_grain_us = random_.chance(1, 3) ? 1'000 : 1;
  static constexpr std::array sync_names = {"always", "interval", "never"};
  result_.options =
      std::string("sync ") + sync_names[static_cast<size_t>(sync)] + ", segments of " +
      std::to_string(segment) + " bytes" + (damages_ ? ", damage" : "") +
      (errors_ ? ", errors" : "") +
      (disk_.refuse_direct_at_open || disk_.refuse_direct_at_transfer ? ", no O_DIRECT" : "") +
      (disk_.ghosts_in_device ? ", dropped pages in the device's cache" : "");
}

void World::plan_life() {
  rates_ = {};
  no_space_ = NoSpace::never;
  space_was_short_ = false;
  if (errors_) {
    const auto rate = [&] { return random_.pick(std::array{0U, 0U, 20U, 100U, 400U}); };
    rates_.write = rate();
    rates_.flush = rate();
    rates_.rename = rate() * 2;
    rates_.directory = rate();
    rates_.allocate = rate();
    rates_.read = random_.chance(1, 3) ? rate() : 0;
    if (random_.chance(1, provoked_ == 1 ? 2 : 4))
      no_space_ = static_cast<NoSpace>(random_.between(1, 6));
  }
  bad_inode_ = 0;
  bad_page_planned_ = errors_ && random_.chance(1, 8);
  cut_in_calls_ = UINT64_MAX;
  drop_next_flush_ = false;
  if (provoked_ == 1) rates_ = {};
  if (provoked_ != 1 && random_.chance(1, 2)) {
    cut_in_calls_ = random_.below(random_.pick(std::array<uint64_t, 3>{30, 60, 300}));
    cut_is_kill_ = random_.chance(1, 3);
  }
  keep_ = random_.pick(std::array{0U, 64U, 128U, 230U, 256U});
}

SeedResult World::run() {
  const size_t lives = random_.between(2, lives_max);
  for (size_t i = 0; i < lives && !over(); i++) {
    if (damages_ && i + 1 == lives && random_.chance(1, 3)) {
      rates_.lie = random_.pick(std::array{400U, 2'000U});
    }
    life(random_.pick(std::array<size_t, 4>{10, 50, 150, 250}));
    rates_.lie = 0;
  }
  if (!over()) {
    if (damages_) {
      judge_damage();
    } else {
      settle_down();
    }
  }
  result_.violation = findings_.first();
  result_.records = model_.last();
  result_.calls = disk_.calls();
  note("end", disk_.calls());
  replay_.reset();
  return result_;
}

void World::life(size_t steps) {
  const unsigned lie = rates_.lie;
  plan_life();
  rates_.lie = lie;
  result_.lives++;
  note("life", result_.lives);
  leave_files();
  if (random_.chance(1, 12) && model_.last() != 0) {
    give_other_accounts();
  }
  if (open()) {
    for (size_t i = 0; i < steps && !over() && !disk_.stopped(); i++) {
      act();
      if (engine_->poisoned() && random_.chance(1, 4)) break;
    }
  }
  if (errors_ && provoked_ == 0 && random_.chance(1, 4) && !over()) fail_a_seal();
  if (!over()) end_life();
}

// Any table: limits that the store must not take over, accounts that it has to make, and not those
// that it has to keep.
void World::give_other_accounts() {
  std::vector<ledger::AccountLimit> given = {{20, static_cast<int64_t>(random_.below(900))}};
  for (const uint32_t id : {1U, 2U, 9U, 10U, 11U, 12U}) {
    if (random_.chance(1, 2)) given.push_back({id, static_cast<int64_t>(random_.below(5'000))});
  }
  accounts_ = std::move(ledger::AccountTable::create(std::move(given))).value();
  options_.schema = accounts_.encode();
  hit(Fault::accounts_given);
}

// An account that was there once is there for ever, with the limit that it was made with.
void World::check_accounts() {
  const ledger::Ledger& ledger = replay_->ledger();
  for (const auto& [id, limit] : limits_) {
    const ledger::Account* account = ledger.find(id);
    if (account == nullptr || account->limit() != limit) {
      findings_.add(ledger_is_model,
                    "account " + std::to_string(id) + " had the limit " + std::to_string(limit) +
                        (account == nullptr ? ", and is gone" : ", and has another"));
    }
  }
  for (const ledger::AccountLimit& given : accounts_.accounts()) {
    if (ledger.find(given.id) == nullptr) {
      findings_.add(ledger_is_model, "account " + std::to_string(given.id) + " was not made");
    }
  }
  for (const ledger::Account& account : ledger.accounts()) {
    limits_.emplace(account.id(), account.limit());
  }
}

// ---- opening ----------------------------------------------------------------------------------

bool World::open() {
  replay_ = std::make_unique<Replay>(
      disk_, options_, model_, findings_, accounts_, strict() && trusting_ && !quiet_ && !damages_,
      random_.chance(1, 3) ? store::History::all : store::History::snapshot);
  failed_ = failing_ = false;
  faults_in_open_ = read_faults_ = 0;
  const uint64_t changes_before = disk_.changes();
  opening_ = true;
  const Status opened = replay_->open();
  opening_ = false;
  note("open", static_cast<uint64_t>(opened.code()));
  if (trace_ && !opened.ok()) std::printf("  -- %s\n", opened.message().c_str());
  if (opened.ok()) engine_ = &replay_->store();
  if (disk_.stopped() || over()) return false;
  if (engine_ && engine_->stats().snapshot_seq != 0) hit(Fault::opened_from_snapshot);
  if (!engine_) {
    judge_refusal(opened, changes_before);
    return false;
  }
  was_appendable_ = engine_->appendable();
  if (was_appendable_) {
    check_recovered();
  } else if (engine_->whole() && replay_->rows() < model_.floor()) {
    findings_.add(full_start_is_no_older_state,
                  "record " + std::to_string(model_.floor()) +
                      " was acknowledged, a store without space ends with " +
                      std::to_string(replay_->rows()));
  } else if (!model_.whole_batches(replay_->rows())) {
    findings_.add(exact_prefix, "the proven part of the log ends inside a batch");
  } else if (faults_in_open_ == 0) {
    findings_.add(progress_resumes, "the store opened without room, and there was room");
  }
  return !over();
}

void World::judge_refusal(const Status& status, uint64_t changes_before) {
  const Code code = status.code();
  if (code == Code::unreadable && read_faults_ == 0) {
    findings_.add(faults_never_corrupt, "unreadable without a read error: " + status.message());
  }
  if (code == Code::corrupt || code == Code::version || code == Code::invalid ||
      code == Code::not_found) {
    findings_.add(faults_never_corrupt, status.message());
  }
  if ((code == Code::unreadable || code == Code::corrupt) && disk_.changes() != changes_before) {
    findings_.add(damage_never_silent, "refused, but changed something: " + status.message());
  }
  if (faults_in_open_ == 0) {
    findings_.add(progress_resumes, "refused without any fault: " + status.message());
  }
}

// The engine took the store over: what the replay saw is the log from now on.
void World::check_recovered() {
  const uint64_t rows = replay_->rows();
  cut_in_recovery_ = false;
  if (repeated_ != UINT64_MAX && rows != repeated_) {
    findings_.add(recovery_repeats, "the log ended with record " + std::to_string(repeated_) +
                                        ", recovered again with " + std::to_string(rows));
  }
  if (rows < model_.floor()) {
    findings_.add(acknowledged_is_there, "record " + std::to_string(model_.floor()) +
                                             " was acknowledged, the log ends with " +
                                             std::to_string(rows));
  }
  if (!model_.whole_batches(rows)) {
    findings_.add(exact_prefix,
                  "the log ends with record " + std::to_string(rows) + ", inside a batch");
  }
  if (over()) return;
  model_.recovered(rows);
  repeated_ = rows;
  check_accounts();
  if (std::string wrong = model_.ledger_mismatch(replay_->ledger(), rows); !wrong.empty()) {
    findings_.add(ledger_is_model, wrong);
  }
  std::map<uint32_t, int64_t> balances;
  for (uint64_t seq = 1; seq <= rows; seq++) {
    const Submitted& record = model_.at(seq);
    if (record.account == 0) continue;
    const int64_t balance = balances[record.account] += record.change;
    const ledger::Account* account = replay_->ledger().find(record.account);
    if (account == nullptr || balance < -account->limit()) {
      findings_.add(ledger_is_model, "after record " + std::to_string(seq) + " account " +
                                         std::to_string(record.account) + " is below its limit");
    }
  }
}

// Opened without room for the fresh segment: the engine tries again.
void World::install() {
  disk_.pass_ns(limits::spare_retry_ns);
  (void)engine_->spare_preparer().step();
  const Status status = replay_->maintain();
  note("install", static_cast<uint64_t>(status.code()));
  if (disk_.stopped() || over()) return;
  if (engine_->appendable() && !was_appendable_) {
    was_appendable_ = true;
    check_recovered();
  }
}

// ---- what the service does --------------------------------------------------------------------

void World::act() {
  if (!was_appendable_ && random_.chance(1, 3)) install();
  if (over() || disk_.stopped()) return;
  const uint64_t choice = random_.below(100);
  if (choice < 40) {
    append();
  } else if (choice < 78) {
    if (engine_->working()) {
      step();
    } else {
      begin();
    }
  } else if (choice < 84) {
    step_spare();
  } else if (choice < 90) {
    keep_house();
  } else if (choice < 94) {
    maintain();
  } else if (choice < 96) {
    read_beside();
  } else if (choice == 96) {
    open_second();
  } else if (choice == 97) {
    const bool back = random_.chance(1, 2);
    hit(back ? Fault::clock_back : Fault::clock_forward);
    const int64_t by = static_cast<int64_t>(random_.below(3'600'000'000));
    disk_.jump_realtime_us(back ? -by : by);
  } else if (choice == 98) {
    disk_.pass_ns(random_.below(2 * limits::spare_retry_ns));
    if (random_.chance(1, 2)) move_directory();
  } else if (no_space_ != NoSpace::never && faults_in_open_ != 0) {
    hit(Fault::space_again);
    no_space_ = NoSpace::never;
  }
  poll();
}

void World::append() {
  if (!engine_ || !was_appendable_) return;
  if (random_.chance(3, 5)) {
    post();
  } else {
    fill();
  }
}

void World::post() {
  ledger::Ledger& ledger = replay_->ledger();
  const uint64_t which = random_.below(ledger.accounts().size());
  ledger::Account& account = *ledger.find(ledger.accounts()[which].id());
  ledger::Transaction transaction;
  transaction.amount = static_cast<int64_t>(random_.between(1, 900));
  transaction.kind = random_.chance(3, 5) ? ledger::Kind::debit : ledger::Kind::credit;
  transaction.description = ledger::Description(filler(random_, random_.between(1, 10)));
  const int64_t change =
      transaction.kind == ledger::Kind::credit ? transaction.amount : -transaction.amount;
  const int64_t before = account.balance();
  const uint64_t last = engine_->last_seq();
  const engine::Result result = replay_->post(account, transaction);
  note("post", static_cast<uint64_t>(result));
  const bool accepted = result == engine::Result::applied;
  if (account.balance() != before + (accepted ? change : 0)) {
    findings_.add(ledger_is_model, "account " + std::to_string(account.id()) + " has " +
                                       std::to_string(account.balance()) + " after " +
                                       (accepted ? "a transaction" : "a refusal") + " of " +
                                       std::to_string(change) + ", and had " +
                                       std::to_string(before));
    return;
  }
  if (engine_->last_seq() != last + (accepted ? 1 : 0)) {
    findings_.add(exact_prefix, "a refused transaction took a sequence number");
    return;
  }
  if ((result == engine::Result::limit_insufficient) !=
      (change < 0 && before + change < -account.limit() && !engine_->poisoned())) {
    if (!engine_->poisoned()) findings_.add(ledger_is_model, "the limit was judged wrongly");
    return;
  }
  if (result == engine::Result::store_failed && !engine_->poisoned()) {
    findings_.add(progress_resumes, "a transaction failed in a store that did not");
  }
  if (!accepted) return;
  const ledger::Entry entry{
      account.id(), account.balance(), account.last_time_us(), transaction, {}};
  Submitted record;
  record.type = ledger::entry_record_type;
  record.bytes.resize(ledger::encoded_entry_bytes(entry));
  (void)ledger::encode_entry(entry, std::as_writable_bytes(std::span(record.bytes)));
  record.time_us = engine_->last_time_us();
  record.batch = batch_;
  record.account = account.id();
  record.change = change;
  model_.submit(std::move(record));
  repeated_ = UINT64_MAX;
}

// One to four records of another kind, which belong together; large ones fill segments.
void World::fill() {
  const size_t largest = engine_->batch_payload_bytes_max();
  const size_t count = random_.chance(1, 3) ? random_.between(2, 4) : 1;
  size_t size = random_.below(200);
  if (random_.chance(2, 5)) size = random_.below(largest / count);
  if (random_.chance(1, 5)) size = 3'000 + random_.below(2'000);
  submit_filler(count, size);
}

void World::submit_filler(size_t count, size_t size) {
  const size_t largest = engine_->batch_payload_bytes_max();
  const Status reserved = engine_->reserve(count * size, static_cast<uint32_t>(count));
  note("reserve", static_cast<uint64_t>(reserved.code()));
  switch (reserved.code()) {
    case Code::ok:
      break;
    case Code::unavailable:
    case Code::overloaded:
      return;
    case Code::no_space:
      if (!space_was_short_) {
        findings_.add(progress_resumes, "full, and no call said so: " + reserved.message());
      }
      return;
    case Code::resources:
    case Code::failed:
      if (faults_in_open_ == 0) findings_.add(progress_resumes, reserved.message());
      return;
    case Code::too_large:
      if (count * (size + 16) <= largest) {
        findings_.add(progress_resumes, "too large: " + reserved.message());
      }
      return;
    default:
      if (!engine_->poisoned()) findings_.add(progress_resumes, reserved.message());
      return;
  }
  for (size_t i = 0; i < count; i++) {
    Submitted record;
    record.type = filler_type;
    record.flags = static_cast<uint16_t>(random_.below(4));
    record.bytes = filler(random_, size);
    const uint64_t seq =
        engine_->append(record.type, record.flags, std::as_bytes(std::span(record.bytes)));
    record.time_us = engine_->last_time_us();
    record.batch = batch_;
    model_.submit(std::move(record));
    if (seq != model_.last()) {
      findings_.add(exact_prefix, "an append got the sequence " + std::to_string(seq) +
                                      " instead of " + std::to_string(model_.last()));
      return;
    }
  }
  repeated_ = UINT64_MAX;
}

// A segment that is nearly full, and a seal behind it whose flush fails: rare by chance alone.
void World::fail_a_seal() {
  if (!engine_ || disk_.stopped() || engine_->poisoned() || !was_appendable_) return;
  const auto finish = [this] {
    while (engine_->working() && !over() && !disk_.stopped()) step();
  };
  finish();
  for (int i = 0; i < 12 && engine_->stats().blocks_free > 2; i++) {
    step_spare();
    submit_filler(1, 2 * page_bytes - 200);
    if (over() || disk_.stopped() || engine_->poisoned()) return;
    if (engine_->begin_commit()) batch_++;
    finish();
  }
  if (over() || disk_.stopped() || engine_->poisoned() || !engine_->begin_seal()) return;
  drop_next_flush_ = sealing_ = true;
  finish();
}

void World::begin() {
  const store::Stats stats = engine_->stats();
  const bool late = stats.blocks_free * page_bytes * 2 < stats.segment_bytes;
  if (engine_->begin_commit()) {
    batch_++;
    note("begin commit");
  } else if (random_.chance(1, 4) && engine_->begin_flush()) {
    note("begin flush");
  } else if (random_.chance(late ? 3 : 1, 4) && engine_->begin_seal()) {
    note("begin seal");
    sealing_ = true;
  }
  if (engine_->working() && random_.chance(1, 2)) step();
}

void World::step() {
  stepping_ = true;
  engine_->step();
  stepping_ = false;
  poll();
  if (!engine_->working() && !over()) complete();
}

void World::complete() {
  if (disk_.stopped()) return;
  sealing_ = false;
  const Status status = replay_->complete();
  if (failing_ && !failed_) {
    failed_ = true;
    floor_at_failure_ = std::max(model_.floor(), engine_->durable_seq());
    if (strict()) floor_at_failure_ = std::max(floor_at_failure_, engine_->acknowledged_seq());
  }
  note("complete", static_cast<uint64_t>(status.code()));
  if (status.code() == Code::no_space) return refused();
  if (!status.ok() && (status.code() != Code::indeterminate || !engine_->poisoned())) {
    findings_.add(nothing_after_failure, "a failed commit says: " + status.message());
  }
  poll();
}

// A batch was refused for lack of space, and with it all that was appended since.
void World::refused() {
  if (failed_ || engine_->poisoned()) {
    findings_.add(nothing_after_failure, "a failed store refuses for lack of space");
    return;
  }
  const uint64_t last = engine_->last_seq();
  if (last != engine_->acknowledged_seq() || last < model_.floor()) {
    findings_.add(exact_prefix,
                  "after a refused batch the log ends with record " + std::to_string(last));
    return;
  }
  model_.refused(last);
  batch_++;
  repeated_ = UINT64_MAX;
  if (std::string wrong = model_.ledger_mismatch(replay_->ledger(), last); !wrong.empty()) {
    findings_.add(ledger_is_model, "after a refused batch: " + wrong);
  }
}

void World::step_spare() {
  if (!engine_) return;
  const size_t steps = random_.between(1, 8);
  for (size_t i = 0; i < steps && !disk_.stopped(); i++) {
    const uint64_t due = engine_->spare_preparer().step();
    if (due == store::SparePreparer::never_ns) return;
    if (due != 0 && random_.chance(1, 3)) disk_.pass_ns(limits::spare_pause_ns);
  }
}

// Rewriting and snapshots, as their thread runs them.
void World::keep_house() {
  // What was provoked must not be cured by a copy.
  if (!engine_ || !was_appendable_ || provoked_ != 0) return;
  keeping_ = true;
  const size_t steps = random_.between(1, 30);
  for (size_t i = 0; i < steps && !disk_.stopped() && !over(); i++) {
    const uint64_t due = engine_->housekeeping().step();
    if (due == store::Housekeeping::never_ns) break;
    if (due != 0) disk_.pass_ns(limits::housekeeping_pause_ns);
  }
  keeping_ = false;
}

void World::maintain() {
  if (engine_->working() || !was_appendable_) return;
  disk_.pass_ns(random_.below(2 * limits::seal_idle_ns));
  const Status status = replay_->maintain();
  note("maintain", static_cast<uint64_t>(status.code()));
}

// What is promised moves: from now on it must be there.
void World::poll() {
  if (!engine_ || disk_.stopped() || over()) return;
  const uint64_t promised = strict() ? engine_->acknowledged_seq() : engine_->durable_seq();
  if (promised <= model_.floor() || !was_appendable_) return;
  if (failed_ && promised > floor_at_failure_) {
    findings_.add(nothing_after_failure, "record " + std::to_string(promised) +
                                             " was acknowledged after a failed write or flush");
  }
  if (trusting_ && !device_holds(disk_.storage(), model_.floor(), promised)) {
    findings_.add(acknowledged_is_there, "record " + std::to_string(promised) +
                                             " is acknowledged, and a power cut now takes it");
  }
  model_.raise_floor(promised);
}

void World::read_beside() {
  hit(Fault::reader_beside);
  reading_ = true;
  const uint64_t faults_before = faults_in_open_;
  auto directory = directory_beside();
  sys::Result<std::unique_ptr<store::Reader>> reader = directory.status();
  if (directory.ok()) reader = store::Reader::open(std::move(directory).value());
  std::string wrong;
  if (reader.ok()) {
    BesideVisitor visitor(model_, findings_, disk_.storage(), trusting_);
    const Status walked = reader.value()->walk(visitor);
    wrong = walked.ok() ? visitor.first_finding() : walked.message();
    if (wrong.empty() && visitor.rows() < reader.value()->proven_seq()) {
      findings_.add(
          damages_ ? damage_never_silent : acknowledged_is_there,
          "a reader finds no damage, but lacks record " + std::to_string(visitor.rows() + 1));
    }
  } else {
    wrong = reader.status().message();
  }
  if (wrong.empty() && was_appendable_ && model_.floor() != 0) wrong = read_records_beside();
  reading_ = false;
  if (!wrong.empty() && faults_in_open_ == faults_before && !disk_.stopped() && trusting_) {
    findings_.add(faults_never_corrupt, "a reader beside the service: " + wrong);
  }
}

// What an open store reads beside itself goes through its own directory, tools go by the path.
sys::Result<store::Directory> World::directory_beside() {
  if (engine_ && random_.chance(3, 4)) return engine_->directory().again();
  return store::Directory::open(disk_, path(), false, true);
}

namespace {

class RecordCheck final : public store::RecordSink {
 public:
  RecordCheck(const Model& model, Findings& findings) : model_(model), findings_(findings) {}
  void record(const store::RecordView& record) override {
    if (std::string wrong = model_.mismatch(record); !wrong.empty()) {
      findings_.add(nothing_invented, "a record read by its sequence: " + wrong);
    }
  }

 private:
  const Model& model_;
  Findings& findings_;
};

}  // namespace

// What the library reads: records that are promised, by their sequence.
std::string World::read_records_beside() {
  auto directory = directory_beside();
  if (!directory.ok()) return directory.status().message();
  auto reader = store::RecordReader::open(std::move(directory).value());
  if (!reader.ok()) return reader.status().message();
  RecordCheck check(model_, findings_);
  const uint64_t last = model_.floor();
  const uint64_t first = random_.between(1, last);
  return reader.value()->read({first, last, false, 8, 1 << 20}, check).message();
}

// Somebody renames the open store's directory, and another one may take its name; or gives it its
// name back. What is pending in the directory above is left alone.
void World::move_directory() {
  if (!engine_ || disk_.stopped()) return;
  if (moved_) return move_back();
  Storage& storage = disk_.storage();
  const int above = storage.find(Storage::root, "data", true);
  if (above == 0 || !storage.at(above).changes.empty()) return;
  hit(Fault::directory_moved);
  storage.rename_entry(above, "store", "moved");
  moved_ = true;
  if (random_.chance(1, 2)) return;
  storage.add_entry(above, "store", storage.make(true, above));
  storage.end_flush(above);
}

void World::move_back() {
  if (!moved_) return;
  Storage& storage = disk_.storage();
  storage.rename_entry(storage.find(Storage::root, "data", true), "moved", "store");
  moved_ = false;
}

void World::open_second() {
  hit(Fault::second_opener);
  store::Options options = options_;
  options.directory = path();
  const int directory = store_directory(disk_.storage(), false);
  if (directory != 0 && random_.chance(1, 2) &&
      disk_.storage().find(directory, store::lock_name, false) != 0) {
    hit(Fault::lock_removed);
    disk_.storage().remove_entry(directory, std::string(store::lock_name));
  }
  Findings ignored;
  Replay second_books(disk_, options, model_, ignored, accounts_, false);
  const uint64_t changes = disk_.changes();
  const Status second = second_books.open();
  if (disk_.stopped()) return;
  if (second.ok() || disk_.changes() != changes) {
    findings_.add(nothing_invented, "a second opener was let in");
  }
}

void World::during_flush(const Call& call) {
  if (!stepping_ || !is_segment(call.name) || !random_.chance(1, 4)) return;
  hit(Fault::slow_flush);
  stepping_ = false;
  const size_t actions = random_.between(1, 4);
  for (size_t i = 0; i < actions && !disk_.stopped() && !over(); i++) {
    if (random_.chance(2, 3)) {
      append();
    } else if (random_.chance(1, 2)) {
      step_spare();
    } else if (random_.chance(2, 3)) {
      keep_house();
    } else {
      read_beside();
    }
  }
  stepping_ = true;
}

// ---- the end of a life ------------------------------------------------------------------------

void World::end_life() {
  if (!disk_.stopped()) {
    uint64_t choice = random_.below(10);
    // What a failed flush left behind is shown to the next life, and lost behind it.
    if (provoked_ != 0) choice = provoked_-- == 2 ? 5 : 9;
    if (provoked_ == 0 && choice == 9 && random_.chance(1, 2)) keep_ = 0;
    if (engine_ && choice < 4) close();
    if (over()) return;
    if (!disk_.stopped() && choice < 7) {
      if (engine_ && choice >= 4) hit(Fault::kill);
    } else if (!disk_.stopped()) {
      hit(Fault::power_cut);
      disk_.stop(true);
    }
  }
  restart();
}

void World::close() {
  closing_ = true;
  while (engine_->working() && !disk_.stopped() && !over()) step();
  if (!over() && !disk_.stopped()) {
    batch_++;
    const bool poisoned = engine_->poisoned();
    const Status status = replay_->close();
    note("close", static_cast<uint64_t>(status.code()));
    if (status.code() == Code::no_space && !disk_.stopped()) model_.refused(engine_->last_seq());
    if (!over() && !disk_.stopped() && status.ok() && was_appendable_) {
      if (poisoned) findings_.add(nothing_after_failure, "a failed store closed well");
      if (trusting_ && !device_holds(disk_.storage(), model_.floor(), model_.last())) {
        findings_.add(acknowledged_is_there,
                      "the store is closed, and a power cut now takes record " +
                          std::to_string(model_.last()));
      }
      model_.raise_floor(model_.last());
    }
  }
  closing_ = false;
}

void World::restart() {
  if (engine_) {
    const store::HousekeepingStats stats = engine_->stats().housekeeping;
    counts_[static_cast<size_t>(Fault::segment_rewritten)] += stats.segments_rewritten;
    counts_[static_cast<size_t>(Fault::snapshot_made)] += stats.snapshots;
    note("rewritten", stats.segments_rewritten);
    note("snapshots", stats.snapshots);
  }
  engine_ = nullptr;
  replay_.reset();
  move_back();
  was_appendable_ = sealing_ = false;
  bad_inode_ = 0;
  if (disk_.open_files() != 0) {
    findings_.add(progress_resumes, std::to_string(disk_.open_files()) + " files were left open");
    return;
  }
  disk_.restart([this] { return random_.chance(keep_, 256); });
  note("restart", disk_.storage().undecided());
  // Not each time: what an opening would show by itself is to be seen there, too.
  if (!over() && random_.chance(1, 2) && store_directory(disk_.storage(), false) != 0) {
    counts_[static_cast<size_t>(Fault::tools_at_rest)]++;
    check_at_rest(disk_, options_, model_, accounts_, trusting_, findings_);
    const uint64_t chance = mix(seed_ ^ disk_.calls());
    if (chance % 4 == 0 && !over()) {
      check_copies(disk_, options_, model_, findings_, 0, chance);
    }
  }
  if (damages_ && random_.chance(1, 2)) old_ = disk_.storage();
  batch_++;
}

// Unpublished files of an earlier life, or of nobody: whole, torn, or of nonsense.
void World::leave_files() {
  const int directory = store_directory(disk_.storage(), false);
  if (directory == 0 || !random_.chance(1, 4)) return;
  static constexpr std::array names = {"spare-1.tmp", "spare-77.tmp", "STORE.tmp", "SNAP-3.tmp"};
  const std::string name = random_.pick(names);
  Storage& storage = disk_.storage();
  if (storage.find(directory, name, false) != 0) return;
  hit(Fault::leftover_file);
  const int inode = storage.make(false, directory);
  const std::string text = filler(random_, random_.below(9'000));
  storage.write(inode, 0, reinterpret_cast<const std::byte*>(text.data()), text.size());
  storage.add_entry(directory, name, inode);
}

// When faults stop, the store opens, takes appends, closes, and gives the same log from then on.
void World::settle_down() {
  note("settle down");
  quiet_ = true;
  rates_ = {};
  no_space_ = NoSpace::never;
  cut_in_calls_ = UINT64_MAX;
  keep_ = 0;
  if (!open()) return;
  const uint64_t wanted = model_.last() + 3;
  for (size_t i = 0; i < 10'000 && model_.floor() < wanted && !over(); i++) {
    if (model_.last() < wanted) fill();
    begin();
    while (engine_->working() && !over()) step();
    if (!strict()) {
      disk_.pass_ns(limits::seal_idle_ns);
      (void)engine_->flush();
      poll();
    }
    step_spare();
  }
  // Five seconds after a failure it tries again.
  disk_.pass_ns(limits::housekeeping_retry_ns);
  for (int i = 0; i < 100; i++) keep_house();
  if (over()) return;
  if (model_.floor() < wanted) {
    findings_.add(progress_resumes, "faults stopped, and appends still do not");
    return;
  }
  close();
  for (int again = 0; again < 2 && !over(); again++) {
    repeated_ = model_.last();
    if (again != 0) disk_.stop(true);
    restart();
    if (over() || !open()) return;
  }
  read_beside();
}

// ---- damage -----------------------------------------------------------------------------------

// A lower bound, from what this simulation saw being written: the sectors that prove something and
// still lie where they belong.
uint64_t World::proven_by_evidence() const {
  const Storage& storage = disk_.storage();
  const int directory = store_directory(storage, true);
  if (directory == 0) return 0;
  std::map<int, uint64_t> numbers;
  uint64_t newest = 0;
  for (const auto& [name, inode] : storage.at(directory).device_entries) {
    const store::Name parsed = store::parse_name(name);
    if (parsed.kind != NameKind::segment) continue;
    numbers[inode] = parsed.number;
    newest = std::max(newest, parsed.number);
  }
  uint64_t proven = 0;
  for (const Evidence& each : evidence_) {
    const auto number = numbers.find(each.inode);
    if (number == numbers.end() || (each.offset != 0 && number->second != newest)) continue;
    // What a file was cut to says nothing of what lay behind.
    if (each.offset + each.count > storage.at(each.inode).device_size) continue;
    std::array<std::byte, sizeof(store::format::SegmentHeader)> bytes{};
    storage.read(each.inode, each.offset, bytes.data(), each.count, View::device);
    if (std::memcmp(bytes.data(), each.bytes.data(), each.count) == 0) {
      proven = std::max(proven, each.durable);
    }
  }
  return proven;
}

bool World::damage_snapshot() {
  Storage& storage = disk_.storage();
  const int directory = store_directory(storage, false);
  for (const auto& [name, inode] : storage.at(directory).entries) {
    if (store::parse_name(name).kind != NameKind::snapshot || random_.chance(1, 3)) continue;
    if (random_.chance(1, 3)) {
      hit(Fault::snapshot_deleted);
      storage.remove_entry(directory, std::string(name));
      storage.end_flush(directory);
      return true;
    }
    hit(Fault::snapshot_damaged);
    const uint64_t at = random_.below(random_.chance(1, 2) ? 300 : storage.at(inode).size);
    std::byte byte{};
    storage.read(inode, at, &byte, 1, View::cached);
    byte ^= static_cast<std::byte>(1U << random_.below(8));
    storage.write(inode, at, &byte, 1);
    storage.begin_flush(inode);
    storage.end_flush(inode);
    return true;
  }
  return false;
}

// Once: one wrong byte can be put right.
void World::damage_store() {
  Storage& storage = disk_.storage();
  const int inode = storage.find(store_directory(storage, false), store::store_name, false);
  if (inode == 0) return;
  store_damaged_ = true;
  hit(Fault::store_damaged);
  const uint64_t at = random_.below(random_.chance(3, 4) ? 160 : page_bytes);
  std::byte byte{};
  storage.read(inode, at, &byte, 1, View::cached);
  byte ^= static_cast<std::byte>(random_.between(1, 255));
  storage.write(inode, at, &byte, 1);
  storage.begin_flush(inode);
  storage.end_flush(inode);
}

void World::damage() {
  Storage& storage = disk_.storage();
  const int directory = store_directory(storage, false);
  if (directory == 0) return;
  Victim victim{.directory = directory};
  for (const auto& [name, inode] : storage.at(directory).entries) {
    if (is_segment(name)) victim.segments.emplace_back(name, inode);
  }
  const auto& segments = victim.segments;
  if (segments.empty()) return;
  if (!store_damaged_ && random_.chance(1, 10)) return damage_store();
  if (random_.chance(1, 5) && damage_snapshot()) return;
  const bool newest = random_.chance(2, 3);
  std::tie(victim.name, victim.inode) =
      newest ? segments.back() : segments[random_.below(segments.size())];
  for (size_t i = 0; i < storage.at(victim.inode).pages.size(); i++) {
    if (storage.at(victim.inode).pages[i]) victim.pages.push_back(i);
  }
  for (const Evidence& each : evidence_) {
    if (each.inode == victim.inode && each.offset != 0) {
      victim.frames.push_back(each.offset / page_bytes);
    }
  }
  if (victim.pages.empty()) return;
  const uint64_t at = any_page(victim);
  const size_t sector = random_.chance(1, 2) ? 0 : random_.below(sectors_per_page);
  const uint64_t what = random_.below(11);
  if (what < 8) return damage_page(what, victim, at, sector);
  damage_segment(what, victim);
}

uint64_t World::any_page(const Victim& victim) {
  const bool frame = !victim.frames.empty() && random_.chance(2, 3);
  const std::vector<uint64_t>& pages = frame ? victim.frames : victim.pages;
  return pages[random_.below(pages.size())];
}

int World::any_segment(const Victim& victim) {
  return victim.segments[random_.below(victim.segments.size())].second;
}

void World::damage_page(uint64_t what, const Victim& victim, uint64_t at, size_t sector) {
  Storage& storage = disk_.storage();
  const int inode = victim.inode;
  Page page{};
  storage.read(inode, at * page_bytes, page.data(), page_bytes, View::cached);
  const auto put = [&](int file, uint64_t to, const Page& bytes) {
    storage.write(file, to * page_bytes, bytes.data(), page_bytes);
    storage.begin_flush(file);
    storage.end_flush(file);
  };
  switch (what) {
    case 0:
    case 1:
    case 2: {
      hit(Fault::bit_flip);
      // Most of all in what decides what the rest means: the header of a frame or a segment.
      const size_t within = random_.chance(3, 4) ? random_.below(64) : random_.below(page_bytes);
      page[within] ^= static_cast<std::byte>(1U << random_.below(8));
      return put(inode, at, page);
    }
    case 3:
    case 4:
      hit(Fault::sector_zeroed);
      std::memset(page.data() + sector * sector_bytes, 0, sector_bytes);
      return put(inode, at, page);
    case 5: {
      if (!old_.has(inode)) return;
      hit(Fault::sector_of_old);
      std::byte* into = page.data() + sector * sector_bytes;
      old_.read(inode, at * page_bytes + sector * sector_bytes, into, sector_bytes, View::device);
      return put(inode, at, page);
    }
    case 6: {
      hit(Fault::frame_copied);
      const int other = any_segment(victim);
      return put(other, any_page(victim), page);
    }
    default: {
      hit(Fault::frames_swapped);
      const uint64_t to = any_page(victim);
      Page second{};
      storage.read(inode, to * page_bytes, second.data(), page_bytes, View::cached);
      put(inode, to, page);
      return put(inode, at, second);
    }
  }
}

void World::damage_segment(uint64_t what, const Victim& victim) {
  Storage& storage = disk_.storage();
  switch (what) {
    case 8:
      hit(Fault::segment_deleted);
      storage.remove_entry(victim.directory, victim.name);
      return storage.end_flush(victim.directory);
    case 9:
      hit(Fault::segment_truncated);
      storage.resize(victim.inode, random_.below(storage.at(victim.inode).size));
      storage.at(victim.inode).device_size = storage.at(victim.inode).size;
      return;
    default: {
      hit(Fault::segment_replaced);
      const int other = any_segment(victim);
      const int made = storage.make(false, victim.directory);
      Page page{};
      for (size_t i = 0; i * page_bytes < storage.at(other).size; i++) {
        storage.read(other, i * page_bytes, page.data(), page_bytes, View::cached);
        if (random_.chance(1, 40)) page[random_.below(page_bytes)] ^= std::byte{4};
        storage.write(made, i * page_bytes, page.data(), page_bytes);
      }
      storage.begin_flush(made);
      storage.end_flush(made);
      storage.add_entry(victim.directory, victim.name, made);
      return storage.end_flush(victim.directory);
    }
  }
}

// The store refuses, or gives a log that is as long as what still proves its length; never another.
void World::judge_damage() {
  const bool lied = !trusting_;
  disk_.stop(true);
  restart();
  if (over()) return;
  if (!lied || random_.chance(1, 4)) {
    const size_t damages = random_.between(1, 2);
    for (size_t i = 0; i < damages; i++) damage();
  }
  quiet_ = true;
  rates_ = {};
  trusting_ = false;
  cut_in_calls_ = UINT64_MAX;
  repeated_ = UINT64_MAX;
  const uint64_t proven = proven_by_evidence();
  note("proven", proven);
  if (!over()) {
    check_copies(disk_, options_, model_, findings_, proven, mix(seed_ ^ proven));
  }
  read_beside();
  uint64_t rows = UINT64_MAX;
  for (int again = 0; again < 2 && !over(); again++) {
    Replay replay(disk_, options_, model_, findings_, accounts_, false);
    const uint64_t changes_before = disk_.changes();
    const Status opened = replay.open();
    note("open", static_cast<uint64_t>(opened.code()));
    if (trace_) {
      std::printf("  -- %s, %llu records, %llu proven\n", opened.message().c_str(),
                  static_cast<unsigned long long>(replay.rows()),
                  static_cast<unsigned long long>(proven));
    }
    if (!opened.ok()) {
      if (disk_.changes() != changes_before) {
        findings_.add(damage_never_silent, "refused, but changed something");
      }
      if (rows != UINT64_MAX) findings_.add(recovery_repeats, opened.message());
      return;
    }
    if (replay.rows() < proven) {
      findings_.add(damage_never_silent, "record " + std::to_string(proven) +
                                             " is proven, the log ends with " +
                                             std::to_string(replay.rows()) + " in silence");
    }
    if (!model_.whole_batches(replay.rows())) {
      findings_.add(exact_prefix, "the damaged log ends inside a batch");
    }
    if (rows != UINT64_MAX && rows != replay.rows()) {
      findings_.add(recovery_repeats, "a damaged log has another length the second time");
    }
    rows = replay.rows();
  }
}

// ---- the disk asks ----------------------------------------------------------------------------

Outcome World::before(const Call& call) {
  if (quiet_) return {};
  if (call.kind == CallKind::pwrite && !is_lock(call.name)) take_evidence(call);
  if (cut_in_calls_ != UINT64_MAX && cut_in_calls_-- == 0) {
    cut_in_calls_ = UINT64_MAX;
    const bool after = random_.chance(1, 2);
    if (cut_is_kill_) {
      hit(opening_ ? Fault::kill_in_recovery : Fault::kill);
      return {after ? Outcome::Kind::kill_after : Outcome::Kind::kill_before};
    }
    if (opening_ && cut_in_recovery_) hit(Fault::power_cut_in_recovery_again);
    hit(opening_ ? Fault::power_cut_in_recovery : Fault::power_cut);
    cut_in_recovery_ = opening_;
    return {after ? Outcome::Kind::cut_after : Outcome::Kind::cut_before};
  }
  if (call.direct && (disk_.refuse_direct_at_open || disk_.refuse_direct_at_transfer)) {
    if (call.kind == CallKind::open && disk_.refuse_direct_at_open) {
      counts_[static_cast<size_t>(Fault::direct_refused_at_open)]++;
    } else if (call.kind != CallKind::open && disk_.refuse_direct_at_transfer) {
      counts_[static_cast<size_t>(Fault::direct_refused_at_transfer)]++;
    }
  }
  if (failed_ && !reading_) {
    const bool writes = call.kind == CallKind::pwrite || call.kind == CallKind::fdatasync ||
                        call.kind == CallKind::fsync || call.kind == CallKind::rename;
    if (writes && (published(call.name) || call.name == ".")) {
      findings_.add(nothing_after_failure, std::string(call_name(call.kind)) + " of " +
                                               std::string(call.name) +
                                               " after a failed write or flush");
    }
  }
  const Outcome outcome = fault_of(call);
  if (outcome.error == ENOSPC || outcome.error == EDQUOT) space_was_short_ = true;
  note_failure(call, outcome);
  return outcome;
}

Outcome World::fault_of(const Call& call) {
  using Kind = Outcome::Kind;
  const bool temporary = !published(call.name) && call.name != "." && !is_lock(call.name);
  const int full = random_.chance(1, 4) ? EDQUOT : ENOSPC;
  switch (call.kind) {
    case CallKind::open:
      if (call.creates && temporary && no_space_ == NoSpace::create) {
        hit(Fault::no_space_to_create);
        return {Kind::fail, full};
      }
      return {};
    case CallKind::allocate:
      if (no_space_ == NoSpace::allocate) {
        hit(Fault::no_space_to_allocate);
        return {Kind::fail, full};
      }
      if (dice(rates_.allocate)) {
        const bool unsupported = random_.chance(1, 2);
        hit(unsupported ? Fault::allocation_unsupported : Fault::allocation_error);
        return {Kind::fail, unsupported ? EOPNOTSUPP : random_.chance(1, 2) ? EIO : EINTR};
      }
      return {};
    case CallKind::pwrite:
      if (temporary && no_space_ == NoSpace::write && random_.chance(1, 2)) {
        hit(Fault::no_space_to_write);
        return {Kind::fail, full};
      }
      // Copied on write: also what is there already takes space to be written over. A part of it
      // may be written before, and the error may come though all of it was.
      if (no_space_ == NoSpace::overwrite && !is_lock(call.name) &&
          random_.chance(1, opening_ ? 24 : 3)) {
        if (is_segment(call.name) && random_.chance(1, 3)) {
          hit(Fault::no_space_to_overwrite_with_effect);
          return {Kind::fail_with_effect, full};
        }
        hit(Fault::no_space_to_overwrite);
        const size_t pages = call.count / page_bytes;
        if (pages > 1 && random_.chance(1, 3)) {
          return {Kind::transfer, 0, random_.between(1, pages - 1) * page_bytes};
        }
        return {Kind::fail, full};
      }
      return write_fault(call);
    case CallKind::fdatasync:
    case CallKind::fsync:
      if (temporary && no_space_ == NoSpace::flush) {
        hit(Fault::no_space_to_flush);
        return {Kind::drop, full};
      }
      return flush_fault(call);
    case CallKind::rename:
      if (no_space_ == NoSpace::rename && random_.chance(1, 2)) {
        hit(Fault::no_space_to_rename);
        return {Kind::fail, full};
      }
      if (dice(rates_.rename)) {
        const bool effect = random_.chance(1, 2);
        hit(effect ? Fault::rename_error_with_effect : Fault::rename_error);
        return {effect ? Kind::fail_with_effect : Kind::fail, EIO};
      }
      return {};
    case CallKind::pread:
      return read_fault(call);
    default:
      return {};
  }
}

Outcome World::write_fault(const Call& call) {
  using Kind = Outcome::Kind;
  if (is_lock(call.name) || !dice(rates_.write)) return {};
  switch (random_.below(5)) {
    case 0:
      hit(Fault::write_error);
      return {Kind::fail, EIO};
    case 1:
      hit(Fault::write_error_with_effect);
      return {Kind::fail_with_effect, EIO};
    case 2:
      hit(Fault::write_short);
      return {Kind::transfer, 0, random_.between(1, call.count / sector_bytes) * sector_bytes};
    case 3:
      hit(Fault::write_of_nothing);
      return {Kind::transfer, 0, 0};
    default:
      hit(Fault::write_interrupted);
      return {Kind::fail, EINTR};
  }
}

Outcome World::flush_fault(const Call& call) {
  using Kind = Outcome::Kind;
  if (call.name == ".") {
    if (!dice(rates_.directory)) return {};
    // Nothing could ever give a directory its name again that lost it after it was used.
    const bool own = call.inode == store_directory(disk_.storage(), false);
    const bool dropped = own && random_.chance(1, 2);
    hit(dropped ? Fault::directory_flush_error_dropped : Fault::directory_flush_error);
    return {dropped ? Kind::drop : Kind::fail, EIO};
  }
  if (is_segment(call.name) && dice(rates_.lie)) {
    hit(trusting_ ? Fault::flush_lied : Fault::flush_late);
    trusting_ = false;
    return {Kind::lie};
  }
  if (drop_next_flush_ && is_segment(call.name)) {
    drop_next_flush_ = false;
    provoked_ = 2;
    hit(Fault::flush_error_dropped);
    return {Kind::drop, EIO};
  }
  const bool seals = sealing_ && errors_ && is_segment(call.name);
  if (!dice(seals ? std::max(10 * rates_.flush, 200U) : rates_.flush)) return {};
  const bool reverts = random_.chance(1, 2);
  hit(reverts ? Fault::flush_error_reverted : Fault::flush_error_dropped);
  if (is_segment(call.name) && !reverts && !opening_ && (sealing_ || random_.chance(1, 2))) {
    provoked_ = 2;
  }
  return {reverts ? Kind::revert : Kind::drop, EIO};
}

Outcome World::read_fault(const Call& call) {
  using Kind = Outcome::Kind;
  if (bad_page_planned_ && opening_ && is_segment(call.name) && call.count > page_bytes) {
    // A page that holds something, the last one in half of the cases.
    std::vector<uint64_t> pages;
    const Inode& inode = disk_.storage().at(call.inode);
    for (size_t i = 1; i < inode.pages.size(); i++) {
      if (inode.pages[i]) pages.push_back(i);
    }
    if (!pages.empty() && random_.chance(1, 2)) {
      bad_page_planned_ = false;
      bad_inode_ = call.inode;
      bad_page_ = random_.chance(1, 2) ? pages.back() : pages[random_.below(pages.size())];
    }
  }
  if (bad_inode_ != 0 && call.inode == bad_inode_ && call.offset < (bad_page_ + 1) * page_bytes &&
      call.offset + call.count > bad_page_ * page_bytes) {
    hit(Fault::read_error_in_recovery);
    read_faults_++;
    return {Kind::fail, EIO};
  }
  if (is_lock(call.name) || !dice(rates_.read)) return {};
  switch (random_.below(3)) {
    case 0:
      hit(Fault::read_error_in_recovery);
      read_faults_++;
      return {Kind::fail, EIO};
    case 1:
      hit(Fault::read_interrupted);
      return {Kind::fail, EINTR};
    default:
      if (call.count < 2 * page_bytes) return {};
      hit(Fault::read_short);
      return {Kind::transfer, 0, random_.between(1, call.count / page_bytes - 1) * page_bytes};
  }
}

// From here on this process may write and flush nothing published any more.
void World::note_failure(const Call& call, const Outcome& outcome) {
  using Kind = Outcome::Kind;
  if (failed_ || reading_) return;
  const bool error = outcome.error != 0 && outcome.error != EINTR;
  const bool nothing = outcome.kind == Kind::transfer && outcome.count == 0;
  // No space is no failure, unless all of it is there: that is for the engine to find out.
  const bool full = (outcome.error == ENOSPC || outcome.error == EDQUOT) && !opening_ && !keeping_;
  const bool writes =
      call.kind == CallKind::pwrite && is_segment(call.name) && (error || nothing) && !full;
  const bool flushes = (call.kind == CallKind::fdatasync || call.kind == CallKind::fsync) &&
                       (is_segment(call.name) || call.name == ".") && error;
  const bool renames =
      call.kind == CallKind::rename && is_segment(call.name) && error && !keeping_ && !full;
  if (!writes && !flushes && !renames) return;
  if (keeping_ && engine_->working()) {
    failing_ = true;
    return;
  }
  failed_ = true;
  floor_at_failure_ =
      engine_ && was_appendable_ ? std::max(model_.floor(), engine_->durable_seq()) : UINT64_MAX;
}

void World::take_evidence(const Call& call) {
  if (!damages_) return;
  const auto keep = [&](size_t at, size_t count, uint64_t durable) {
    Evidence each{call.inode, call.offset + at, {}, count, durable};
    std::memcpy(each.bytes.data(), call.bytes + at, count);
    evidence_.push_back(each);
  };
  for (size_t at = 0; at + page_bytes <= call.count; at += page_bytes) {
    store::format::SegmentHeader segment;
    store::format::FrameHeader frame;
    std::memcpy(&segment, call.bytes + at, sizeof segment);
    std::memcpy(&frame, call.bytes + at, sizeof frame);
    if (segment.magic == store::format::segment_magic && call.offset + at == 0) {
      // What was rewritten proves no more than what it was made of.
      if ((segment.flags & store::format::segment_flag_dense) != 0) continue;
      keep(at, sizeof segment, model_.floor());
    } else if (frame.magic == store::format::frame_magic) {
      keep(at, sizeof frame, std::min(model_.floor(), frame.first_seq - 1));
    }
  }
}

void World::after(const Call& call, int64_t result) {
  uint64_t hash = result_.trace_hash;
  hash = mix(hash ^ static_cast<uint64_t>(call.kind) ^ (uint64_t(call.inode) << 8));
  hash = mix(hash ^ call.offset ^ (uint64_t{call.count} << 32));
  result_.trace_hash = mix(hash ^ static_cast<uint64_t>(result));
  if (trace_) {
    std::printf("  %s %.*s %llu+%zu = %lld\n", call_name(call.kind),
                static_cast<int>(call.name.size()), call.name.data(),
                static_cast<unsigned long long>(call.offset), call.count,
                static_cast<long long>(result));
  }
}

}  // namespace espora::sim
