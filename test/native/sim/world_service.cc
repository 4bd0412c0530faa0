// What the service does in a life, and what goes on beside it.
#include "sim/world.h"

#include <algorithm>
#include <cstring>

#include "sys/check.h"
#include "sys/limits.h"

namespace espora::sim {

using sys::Code;
using sys::Status;

namespace {

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
  model_.submit(account, transaction, engine_->last_time_us(), batch_);
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

}  // namespace espora::sim
