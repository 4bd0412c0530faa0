#include "ledger/teller.h"

#include <utility>

#include "ledger/errors.h"
#include "ledger/json_transaction.h"
#include "ledger/posting.h"
#include "store/defects.h"
#include "sys/clock.h"

namespace espora::ledger {

const http::Error* Teller::refusal() const noexcept {
  if (failed_) return &errors::store_failed;
  // What the ledger holds may be older than what was answered before the start.
  if (!engine_->whole()) return &errors::store_waits_for_space;
  return nullptr;
}

void Teller::on_request(Resource resource, uint32_t account_id, std::string_view body,
                        http::Exchange& exchange) {
  if (const http::Error* error = refusal()) {
    exchange.answer({.error = error});
    return;
  }
  Account& account = *ledger_.find(account_id);
  if (resource == Resource::statement) {
    exchange.answer(statement(account));
    return;
  }
  Transaction transaction;
  if (const http::Error* error = read_transaction(body, transaction)) {
    exchange.answer({.error = error});
    return;
  }
  bool in_turn = waiting_.empty();
  ESPORA_DEFECT(overtake_who_waits) in_turn = true;
  if (in_turn) {
    if (const MaybeAnswer answer = transact(account, transaction)) {
      exchange.answer(*answer);
      return;
    }
  }
  ++stats_.parked;
  waiting_.push_back({exchange.defer(), account_id, transaction});
}

http::Answer Teller::statement(const Account& account) {
  body_.write_statement(account, sys::realtime_us());
  http::Answer answer{.body = body_.view(), .gate = account.last_change_seq()};
  ESPORA_DEFECT(show_before_flush) answer.gate = 0;
  return answer;
}

Teller::MaybeAnswer Teller::transact(Account& account, const Transaction& transaction) {
  const http::Error* error = nullptr;
  switch (post(*engine_, ledger_, account, transaction)) {
    case Posting::accepted:
      body_.write_balance(account.limit(), account.balance());
      return http::Answer{.body = body_.view(), .gate = account.last_change_seq()};
    case Posting::must_wait:
      return {};
    case Posting::limit_insufficient:
      error = &errors::limit_insufficient;
      break;
    case Posting::balance_too_large:
      error = &errors::balance_too_large;
      break;
    case Posting::store_full:
      ++stats_.store_full;
      error = &errors::store_full;
      break;
    case Posting::store_refuses:
      error = &errors::store_refuses;
      break;
    case Posting::store_failed:
      return http::Answer{.error = &errors::store_failed};
  }
  // It tells something about the balance, so it waits for what made the balance.
  return http::Answer{.error = error, .gate = account.last_change_seq()};
}

bool Teller::turn_over() {
  if (failed_) return false;
  if (engine_->has_open_batch()) commit();
  if (!failed_) decide_waiting();
  ESPORA_DEFECT(leave_batch_open) return false;
  // Opening the gate, or a request that waited, may have begun the next batch.
  return !failed_ && engine_->has_open_batch();
}

void Teller::commit() {
  const uint64_t begin_ns = sys::monotonic_ns();
  const sys::Status status = engine_->commit();
  const uint64_t took_ns = sys::monotonic_ns() - begin_ns;
  if (status.code() == sys::Code::no_space) [[unlikely]] {
    refuse_batch();
    return;
  }
  if (!status.ok()) {
    fail(status);
    return;
  }
  ledger_.settle(engine_->acknowledged_seq());
  ++stats_.commits;
  stats_.commit_ns.add(took_ns);
  stats_.commit_ns_max.raise_to(took_ns);
  clients_.on_committed();
  let_answers_leave();
}

// The file system had no room for a batch that had its place: nothing of it is stored. All that the
// ledger made of it is taken back, before anybody heard of it.
void Teller::refuse_batch() {
  ledger_.revert();
  clients_.on_committed();
  clients_.take_back([this](uint64_t tag) { return answer_again(tag); });
}

// The answer to a request whose first one rested on what was taken back.
http::Answer Teller::answer_again(uint64_t tag) {
  if (resource_of(tag) == Resource::statement) return statement(*ledger_.find(account_of(tag)));
  ++stats_.store_full;
  return {.error = &errors::store_full};
}

// As far as it goes. What an answer lets a connection ask comes behind those that wait already.
void Teller::decide_waiting() {
  while (!waiting_.empty()) {
    const Waiting& first = waiting_.front();
    const MaybeAnswer answer = transact(*ledger_.find(first.account_id), first.transaction);
    if (!answer.has_value()) return;
    const http::Ticket ticket = first.ticket;
    waiting_.pop_front();
    clients_.answer(ticket, *answer);
  }
}

void Teller::fail(const sys::Status& failure) {
  failed_ = true;
  clients_.fail_held(errors::store_failed);
  const std::deque<Waiting> waiting = std::exchange(waiting_, {});
  ESPORA_DEFECT(forget_who_waits) return clients_.on_store_failed(failure);
  for (const Waiting& each : waiting) {
    clients_.answer(each.ticket, {.error = &errors::store_failed});
  }
  clients_.on_store_failed(failure);
}

}  // namespace espora::ledger
