#include "ledger/teller.h"

#include <algorithm>
#include <utility>

#include "store/defects.h"
#include "sys/clock.h"

namespace espora::ledger {

using engine::AccountRef;
using engine::Outcome;
using engine::Result;

void Teller::open(engine::Answers& answers) {
  answers_ = &answers;
  let_answers_leave();
  publish_stats();
}

AccountRef Teller::find(uint32_t id) const noexcept {
  const Account* account = books_.ledger().find(id);
  return account == nullptr ? AccountRef::none : AccountRef{books_.ledger().place(*account) + 1};
}

std::optional<Result> Teller::refusal() const noexcept {
  if (failed_) return Result::store_failed;
  // The ledger may be older than what was answered before the start.
  if (!books_.store().whole()) return Result::store_waits_for_space;
  return {};
}

Outcome Teller::post(AccountRef account, const Transaction& transaction, engine::Ticket ticket) {
  if (const auto refused = refusal()) return {*refused};
  bool in_turn = waiting_.empty();
  ESPORA_DEFECT(overtake_who_waits) in_turn = true;
  Outcome outcome{Result::later};
  if (in_turn) outcome = transact(account, transaction);
  if (outcome.result == Result::later) {
    ++stats_.parked;
    waiting_.push_back({ticket, account, transaction});
  }
  return outcome;
}

Outcome Teller::statement(AccountRef ref, engine::Ticket) {
  if (const auto refused = refusal()) return {*refused};
  const Account& account = at(ref);
  Outcome outcome{Result::shown, account.last_change_seq(), account.statement(sys::realtime_us())};
  ESPORA_DEFECT(show_before_flush) outcome.gate = 0;
  return outcome;
}

// A refusal reveals the balance, so it waits for the records that made it.
Outcome Teller::transact(AccountRef ref, const Transaction& transaction) {
  Account& account = at(ref);
  const Result result = books_.post(account, transaction);
  if (result == Result::store_failed || result == Result::later) return {result};
  return {
      result, account.last_change_seq(), {.limit = account.limit(), .balance = account.balance()}};
}

bool Teller::turn_over() {
  if (failed_) return false;
  if (books_.store().has_open_batch()) commit();
  if (!failed_) decide_waiting();
  ESPORA_DEFECT(leave_batch_open) return false;
  // Opening the gate, or deciding a waiting request, may have begun the next batch.
  return !failed_ && books_.store().has_open_batch();
}

void Teller::commit() {
  const uint64_t begin_ns = sys::monotonic_ns();
  const sys::Status status = books_.commit();
  const uint64_t took_ns = sys::monotonic_ns() - begin_ns;
  if (status.code() == sys::Code::no_space) [[unlikely]] {
    publish_stats();
    return answers_->take_back();
  }
  if (!status.ok()) return fail();
  ++stats_.commits;
  stats_.commit_ns.add(took_ns);
  stats_.commit_ns_max.raise_to(took_ns);
  publish_stats();
  let_answers_leave();
}

// As many as possible. Requests that an answer triggers queue behind those already waiting.
void Teller::decide_waiting() {
  while (!waiting_.empty()) {
    const Waiting& first = waiting_.front();
    const Outcome outcome = transact(first.account, first.transaction);
    if (outcome.result == Result::later) return;
    const engine::Ticket ticket = first.ticket;
    waiting_.pop_front();
    answers_->answer(ticket, outcome);
  }
}

void Teller::maintain() {
  if (failed_) return;
  (void)books_.maintain();
  if (books_.store().poisoned()) return fail();
  publish_stats();
  let_answers_leave();
}

// What was not durable is indeterminate, and its state is never shown again.
void Teller::fail() {
  failed_ = true;
  answers_->fail_held();
  const std::deque<Waiting> waiting = std::exchange(waiting_, {});
  ESPORA_DEFECT(forget_who_waits) return;
  for (const Waiting& each : waiting) answers_->answer(each.ticket, {Result::store_failed});
}

void Teller::publish_stats() noexcept {
  const store::Engine& store = books_.store();
  const store::Stats stats = store.stats();
  stats_.transactions.set(stats.records);
  stats_.acknowledged_seq.set(store.acknowledged_seq());
  stats_.durable_seq.set(store.durable_seq());
  stats_.flushes.set(stats.flushes);
  stats_.bytes_written.set(stats.bytes_written);
  const store::HousekeepingStats& house = stats.housekeeping;
  stats_.segments_rewritten.set(house.segments_rewritten);
  stats_.rewrite_saved_bytes.set(static_cast<uint64_t>(std::max<int64_t>(0, house.saved_bytes)));
  stats_.rewrite_failures.set(house.rewrite_failures);
  stats_.segments_damaged.set(house.segments_damaged);
  stats_.snapshots.set(house.snapshots);
  stats_.snapshot_failures.set(house.snapshot_failures);
}

}  // namespace espora::ledger
