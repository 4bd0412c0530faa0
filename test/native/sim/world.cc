// What a seed plans and turns on, and its lives from their opening to their end.
#include "sim/world.h"

#include <algorithm>
#include <cstdio>
#include <tuple>

#include "sim/copies.h"
#include "sim/tools.h"
#include "sys/limits.h"

namespace espora::sim {

using sys::Code;
using sys::Status;

namespace {

constexpr size_t lives_max = 7;

ledger::AccountTable first_table() {
  return std::move(ledger::AccountTable::create({{1, 1'000}, {2, 2'000}, {9, 3'000}})).value();
}

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

}  // namespace espora::sim
