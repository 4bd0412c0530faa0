// What becomes of a request between HTTP and the store, without sockets, threads and timers: the
// ledger decides, what it accepts is appended, what must wait for the store waits in its order,
// and once per turn all of it is committed. The service drives it, and so does the simulation.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "http/handler.h"
#include "ledger/answers.h"
#include "ledger/ledger.h"
#include "ledger/route.h"
#include "ledger/service_stats.h"
#include "store/engine.h"

namespace espora::ledger {

// What the head of a request is about, packed into the tag that the server keeps for its end.
constexpr uint64_t make_tag(Resource resource, uint32_t account_id) {
  return static_cast<uint64_t>(resource) << 32 | account_id;
}
constexpr Resource resource_of(uint64_t tag) { return static_cast<Resource>(tag >> 32); }
constexpr uint32_t account_of(uint64_t tag) { return static_cast<uint32_t>(tag); }

// Where the answers go. The first four are http::Server's.
class TellerClients {
 public:
  // To a request that was deferred; its connection may have asked the next before this returns.
  virtual void answer(http::Ticket ticket, const http::Answer& answer) = 0;
  // Likewise.
  virtual void open_gate(http::Gate gate) = 0;
  virtual void fail_held(const http::Error& error) = 0;
  // Likewise, with the tags of requests made by make_tag().
  virtual void take_back(const http::Remake& remake) = 0;
  // A commit is done; called before the answers leave that waited for it.
  virtual void on_committed() = 0;
  // Called once, after everything that waited was answered 503.
  virtual void on_store_failed(const sys::Status& failure) = 0;

 protected:
  ~TellerClients() = default;
};

// All calls on one thread, the one of the engine's append side.
class Teller {
 public:
  Teller(Ledger& ledger, TellerClients& clients, ServiceStats& stats)
      : ledger_(ledger), clients_(clients), stats_(stats) {}

  // Before the first request. `engine` must outlive this.
  void open(store::Engine& engine) noexcept { engine_ = &engine; }

  // What every request is answered with just now, whatever it asks for; null where requests are
  // served. What the ledger holds, its accounts included, is not to be shown meanwhile.
  [[nodiscard]] const http::Error* refusal() const noexcept;
  // A whole request of an account that there is: answers it, or defers it. Requests get into the
  // store in the order in which they came: none is decided while an earlier one waits. A statement
  // is not decided, so it waits for nobody.
  void on_request(Resource resource, uint32_t account_id, std::string_view body,
                  http::Exchange& exchange);
  // After all requests of a turn: commits, lets answers leave, and decides what waited. True: there
  // is more to commit, so the next turn must come without an event.
  [[nodiscard]] bool turn_over();
  // After the engine's maintain(): what it acknowledged may leave.
  void let_answers_leave() { clients_.open_gate(engine_->acknowledged_seq()); }
  // What was not durable is indeterminate, and the state that it made is never shown again.
  void fail(const sys::Status& failure);
  // From then on every request is answered 503.
  [[nodiscard]] bool failed() const noexcept { return failed_; }

 private:
  // A transaction that is not decided yet; its connection waits.
  struct Waiting {
    http::Ticket ticket;
    uint32_t account_id;
    Transaction transaction;
  };
  // Empty: it has to wait.
  using MaybeAnswer = std::optional<http::Answer>;

  [[nodiscard]] http::Answer statement(const Account& account);
  [[nodiscard]] http::Answer answer_again(uint64_t tag);
  [[nodiscard]] MaybeAnswer transact(Account& account, const Transaction& transaction);
  void commit();
  void refuse_batch();
  void decide_waiting();

  Ledger& ledger_;
  TellerClients& clients_;
  ServiceStats& stats_;
  store::Engine* engine_ = nullptr;
  std::deque<Waiting> waiting_;  // in the order in which they came
  AnswerBody body_;              // of the answer being made
  bool failed_ = false;
};

}  // namespace espora::ledger
