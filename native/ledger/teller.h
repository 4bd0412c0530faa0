// The engine whose books are on this machine: decides, appends what was accepted, keeps what must
// wait for the store in its order, and commits all of a turn once. Without sockets, threads and
// timers: the event loop drives it, and so does the simulation.
#pragma once

#include <cstdint>
#include <deque>

#include "engine/engine.h"
#include "ledger/books.h"
#include "ledger/stats.h"

namespace espora::ledger {

// All calls on one thread, the one of the books.
class Teller final : public engine::Engine {
 public:
  explicit Teller(Books& books) : books_(books) {}

  // Before the first request: the books are open, and what they hold may be shown.
  void open(engine::Answers& answers);

  [[nodiscard]] engine::AccountRef find(uint32_t id) const noexcept override;
  [[nodiscard]] std::optional<engine::Result> refusal() const noexcept override;
  // None is decided while an earlier one waits.
  [[nodiscard]] engine::Outcome post(engine::AccountRef account, const Transaction& transaction,
                                     engine::Ticket ticket) override;
  // Is not decided, so it waits for nobody.
  [[nodiscard]] engine::Outcome statement(engine::AccountRef account, engine::Ticket) override;

  // After all requests of a turn: commits, lets answers leave, and decides what waited. True: there
  // is more to commit, so the next turn must come without an event.
  [[nodiscard]] bool turn_over();
  // Between turns, when the store is due or has a segment ready.
  void maintain();
  // The store failed, and says why: what waited was answered with that, and so is everything from
  // now on. The process has to end soon: state that is not durable must not be used again.
  [[nodiscard]] bool failed() const noexcept { return failed_; }
  [[nodiscard]] const Stats& stats() const noexcept { return stats_; }

 private:
  // A transaction that is not decided yet.
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
  std::deque<Waiting> waiting_;  // in the order in which they came
  bool failed_ = false;
};

}  // namespace espora::ledger
