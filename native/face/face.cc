#include "face/face.h"

#include "face/errors.h"
#include "face/json_transaction.h"
#include "face/route.h"
#include "sys/check.h"

namespace espora::face {

using engine::AccountRef;
using engine::Outcome;
using engine::Result;

http::HeadVerdict Face::on_head(const http::Request& request) {
  const Route found = route(request.method, request.path);
  if (found.resource == Resource::unknown) return {.refusal = &errors::path_unknown};
  if (found.resource == Resource::method_not_allowed) {
    return {.refusal = &errors::method_not_allowed, .allow = found.allow};
  }
  const AccountRef account = engine_.find(found.account_id);
  if (account == AccountRef::none) {
    return {.refusal = errors::of(engine_.refusal().value_or(Result::account_unknown))};
  }
  return {.tag = {static_cast<uint64_t>(account), static_cast<uint8_t>(found.resource)}};
}

void Face::on_request(const http::Request& request, const http::Tag& tag,
                      http::Exchange& exchange) {
  const auto account = static_cast<AccountRef>(tag.subject);
  const http::Ticket name = exchange.ticket();
  const engine::Ticket ticket{name.connection, name.request};
  Outcome outcome;
  if (static_cast<Resource>(tag.kind) == Resource::statement) {
    outcome = engine_.statement(account, ticket);
  } else {
    engine::Transaction transaction;
    if (const http::Error* error = read_transaction(request.body, transaction)) {
      const auto refusal = engine_.refusal();
      return exchange.answer({.error = refusal ? errors::of(*refusal) : error});
    }
    outcome = engine_.post(account, transaction, ticket);
  }
  if (outcome.result == Result::later) return exchange.defer();
  exchange.answer(to_answer(outcome));
}

// An undecided outcome has no answer.
http::Answer Face::to_answer(const Outcome& outcome) {
  ESPORA_CHECK(outcome.result != Result::later);
  http::Answer answer{.error = errors::of(outcome.result), .gate = outcome.gate};
  if (outcome.result == Result::applied) {
    body_.write_balance(outcome.account.limit, outcome.account.balance);
    answer.body = body_.view();
  } else if (outcome.result == Result::shown) {
    body_.write_statement(outcome.account);
    answer.body = body_.view();
  } else if (outcome.result == Result::store_full) {
    ++stats_.store_full;
  }
  return answer;
}

void Face::answer(engine::Ticket ticket, const Outcome& outcome) {
  server_->answer({ticket.connection, ticket.request}, to_answer(outcome));
}

void Face::fail_held() { server_->fail_held(errors::store_failed); }

void Face::take_back() {
  server_->take_back([this](const http::Tag& tag) {
    const bool statement = static_cast<Resource>(tag.kind) == Resource::statement;
    return to_answer(statement ? engine_.statement(static_cast<AccountRef>(tag.subject), {})
                               : Outcome{Result::store_full});
  });
}

}  // namespace espora::face
