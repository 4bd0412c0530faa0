// What the HTTP face asks of an engine, which keeps the accounts. An outcome is given at once,
// perhaps to be held back until a gate opens (the flush that makes it true), or later.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/transaction.h"

namespace espora::engine {

// An outcome may be told when the engine's gate has reached this number; 0: at once.
using Gate = uint64_t;

// An account in the engine's own terms: found once per request, valid as long as the engine.
enum class AccountRef : uint64_t { none = 0 };

// Names a request for an outcome that comes later. The engine gives it back as it is.
struct Ticket {
  uint64_t connection = 0;
  uint64_t request = 0;
};

enum class Result : uint8_t {
  applied,  // the transaction took effect
  shown,    // the statement
  later,    // not decided yet: Answers::answer() follows
  // Refusals; nothing was changed by the request.
  account_unknown,
  limit_insufficient,     // a debit would leave the balance below -limit
  balance_too_large,      // a credit would leave it above amount_max
  store_full,             // no space
  store_refuses,          // likewise, for want of something else than space
  store_waits_for_space,  // what was stored before the start is not all secured yet
  store_failed,           // or maybe changed: what was not durable is indeterminate
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
  // What every request gets just now, whatever it asks for; empty while requests are served. What
  // the engine holds, its accounts included, must not be shown meanwhile.
  [[nodiscard]] virtual std::optional<Result> refusal() const noexcept = 0;
  // Requests take effect in the order in which they come. A refusal() goes first in both.
  [[nodiscard]] virtual Outcome post(AccountRef account, const Transaction& transaction,
                                     Ticket ticket) = 0;
  [[nodiscard]] virtual Outcome statement(AccountRef account, Ticket ticket) = 0;

 protected:
  ~Engine() = default;
};

// Where an engine tells what it did not say at once. Called on the event loop's thread, never from
// inside a call of Engine; each may lead to further requests before it returns.
class Answers {
 public:
  virtual void answer(Ticket ticket, const Outcome& outcome) = 0;
  // Whatever waits for `gate`, which never goes back, may be told.
  virtual void open_gate(Gate gate) = 0;
  // Whatever waits for the gate is Result::store_failed.
  virtual void fail_held() = 0;
  // What the gate was to open for was not stored and has no effect. Of what waits for it, a
  // transaction is Result::store_full and a statement is asked for again.
  virtual void take_back() = 0;

 protected:
  ~Answers() = default;
};

}  // namespace espora::engine
