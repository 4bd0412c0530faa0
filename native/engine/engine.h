// What the HTTP face asks of an engine, which keeps the accounts. An outcome is given at once, held
// back until a gate opens (after the flush that makes it true), or given later.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/transaction.h"

namespace espora::engine {

// An outcome may be sent when the engine's gate has reached this number; 0: at once.
using Gate = uint64_t;

// An account in the engine's own terms: looked up once per request, valid as long as the engine.
enum class AccountRef : uint64_t { none = 0 };

// Identifies a request whose outcome comes later. The engine returns it unchanged.
struct Ticket {
  uint64_t connection = 0;
  uint64_t request = 0;
};

enum class Result : uint8_t {
  applied,  // the transaction took effect
  shown,    // the statement
  later,    // undecided yet: Answers::answer() follows
  // Refusals; the request changed nothing.
  account_unknown,
  limit_insufficient,     // a debit would leave the balance below -limit
  balance_too_large,      // a credit would leave it above amount_max
  store_full,             // no space
  store_refuses,          // likewise, for another reason than space
  store_waits_for_space,  // what was stored before the start is not fully durable yet
  store_failed,           // it may have changed something: what was not durable is indeterminate
};

struct Outcome {
  Result result = Result::applied;
  Gate gate = 0;
  Statement account;  // shown: all of it; applied: limit and balance, after the transaction
};

// Called on the event loop's thread only.
class Engine {
 public:
  // AccountRef::none if there is no such account.
  [[nodiscard]] virtual AccountRef find(uint32_t id) const noexcept = 0;
  // The current answer to every request, whatever it asks for; empty while requests are served.
  // Meanwhile nothing that the engine holds, including its accounts, may be shown.
  [[nodiscard]] virtual std::optional<Result> refusal() const noexcept = 0;
  // Requests take effect in the order in which they arrive. A refusal() takes precedence in both.
  [[nodiscard]] virtual Outcome post(AccountRef account, const Transaction& transaction,
                                     Ticket ticket) = 0;
  [[nodiscard]] virtual Outcome statement(AccountRef account, Ticket ticket) = 0;

 protected:
  ~Engine() = default;
};

// Where an engine delivers later outcomes. Called on the event loop's thread, never from inside a
// call of Engine; each call may lead to further requests before it returns.
class Answers {
 public:
  virtual void answer(Ticket ticket, const Outcome& outcome) = 0;
  // Everything that waits for `gate`, which never decreases, may be sent.
  virtual void open_gate(Gate gate) = 0;
  // Everything that waits for the gate is Result::store_failed.
  virtual void fail_held() = 0;
  // What the gate waited for was not stored and has no effect. Of the held outcomes, a transaction
  // is Result::store_full and a statement is asked for again.
  virtual void take_back() = 0;

 protected:
  ~Answers() = default;
};

}  // namespace espora::engine
