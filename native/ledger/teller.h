// The engine with its books on this machine: decides, appends what was accepted, keeps in order
// what must wait for the store, and commits once per turn. Without sockets, threads and timers:
// driven by the event loop or by the simulation.
#pragma once

#include <cstdint>
#include <deque>

#include "engine/engine.h"
#include "ledger/books.h"
#include "ledger/stats.h"

namespace espora::ledger {

// All calls on one thread, that of the books.
class Teller final : public engine::Engine {
 public:
  explicit Teller(Books& books) : books_(books) {}

  // Call before the first request: the books are open, and their state may be shown.
  void open(engine::Answers& answers);

  [[nodiscard]] engine::AccountRef find(uint32_t id) const noexcept override;
  [[nodiscard]] std::optional<engine::Result> refusal() const noexcept override;
  // No transaction is decided while an earlier one waits.
  [[nodiscard]] engine::Outcome post(engine::AccountRef account, const Transaction& transaction,
                                     engine::Ticket ticket) override;
  // Needs no decision, so it does not wait for others.
  [[nodiscard]] engine::Outcome statement(engine::AccountRef account, engine::Ticket) override;

  // Call after all requests of a turn: commits, lets answers leave, and decides what waited. True:
  // there is more to commit, so the next turn must not wait for an event.
  [[nodiscard]] bool turn_over();
  // Call between turns when the store has work due or a segment ready.
  void maintain();
  // The store failed: waiting requests were answered with that, and so is everything from now on.
  // The process must end soon: state that is not durable must not be used again.
  [[nodiscard]] bool failed() const noexcept { return failed_; }
  [[nodiscard]] const Stats& stats() const noexcept { return stats_; }

 private:
  // An undecided transaction.
  struct Waiting {
    engine::Ticket ticket;
    engine::AccountRef account;
    Transaction transaction;
  };

  [[nodiscard]] Account& at(engine::AccountRef account) noexcept {
    return books_.ledger().at(static_cast<size_t>(account) - 1);
  }
  [[nodiscard]] engine::Outcome transact(engine::AccountRef ref, const Transaction& transaction);
  void commit();
  void decide_waiting();
  void let_answers_leave() { answers_->open_gate(books_.store().acknowledged_seq()); }
  void fail();
  void publish_stats() noexcept;

  Books& books_;
  engine::Answers* answers_ = nullptr;
  Stats stats_;
  std::deque<Waiting> waiting_;  // in order of arrival
  bool failed_ = false;
};

}  // namespace espora::ledger
