// The service without sockets, disk or clock: parser, routes, JSON, ledger and response writer put
// together as a connection puts them, so that whole conversations run in memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "http/date.h"
#include "http/request_parser.h"
#include "http/response_writer.h"
#include "ledger/answers.h"
#include "ledger/errors.h"
#include "ledger/json_transaction.h"
#include "ledger/ledger.h"
#include "ledger/route.h"
#include "support/options.h"

namespace espora::test {

// One client's connection to a store of its own. Everything is durable at once.
class PureService {
 public:
  // Takes what the client sends next; nothing after the connection closed.
  void receive(std::string_view bytes) {
    while (!bytes.empty() && !closed_) {
      if (size_ == buffer_.size()) size_ = parser_.close_gap({buffer_.data(), size_});
      const size_t count = std::min(bytes.size(), buffer_.size() - size_);
      std::memcpy(buffer_.data() + size_, bytes.data(), count);
      size_ += count;
      bytes.remove_prefix(count);
      run();
    }
  }

  // Final answers in full, one after the other; interim ones are only counted.
  std::string_view output() const { return out_.view(); }
  // 100 included, in order.
  const std::vector<int>& statuses() const { return statuses_; }
  bool closed() const { return closed_; }
  const ledger::Ledger& ledger() const { return ledger_; }

  // Answers, state and close: all that a client and the store can see, interim answers aside
  // (whether one is due depends on what has arrived).
  std::string outcome() const {
    std::string text(output());
    for (const ledger::Account& account : ledger_.accounts()) {
      text += "\n" + std::to_string(account.id()) + ": " + std::to_string(account.balance()) +
              ", " + std::to_string(account.past_count());
    }
    return text + (closed_ ? "\nclosed" : "\nopen");
  }

  // Takes `stream` in pieces: `cuts` are ascending positions in it.
  void receive(std::string_view stream, const std::vector<size_t>& cuts) {
    size_t from = 0;
    for (const size_t cut : cuts) {
      receive(stream.substr(from, cut - from));
      from = cut;
    }
    receive(stream.substr(from));
  }

 private:
  using Outcome = http::RequestParser::Outcome;

  void run() {
    for (;;) {
      switch (parser_.parse({buffer_.data(), size_})) {
        case Outcome::need_more:
          return;
        case Outcome::head:
          decide_on_head();
          break;
        case Outcome::complete:
          answer();
          size_ -= parser_.consumed();
          std::memmove(buffer_.data(), buffer_.data() + parser_.consumed(), size_);
          parser_.next();
          refusal_ = nullptr;
          if (closed_ || size_ == 0) return;
          break;
        case Outcome::error: {
          const bool body_refused =
              refusal_ != nullptr && &parser_.error() == &http::errors::body_too_large;
          refuse(body_refused ? *refusal_ : parser_.error(), http::Persistence::close);
          return;
        }
      }
    }
  }

  // CONTRACT: path, method, account; then, with none of these wrong, perhaps an interim answer.
  void decide_on_head() {
    const http::Request& request = parser_.request();
    route_ = ledger::route(request.method, request.path);
    if (route_.resource == ledger::Resource::unknown) {
      refusal_ = &ledger::errors::path_unknown;
    } else if (route_.resource == ledger::Resource::method_not_allowed) {
      refusal_ = &ledger::errors::method_not_allowed;
    } else if (ledger_.find(route_.account_id) == nullptr) {
      refusal_ = &ledger::errors::account_unknown;
    } else if (parser_.awaits_continue(size_)) {
      statuses_.push_back(100);
    }
  }

  void answer() {
    const http::Request& request = parser_.request();
    const http::Persistence persistence = !request.keep_alive ? http::Persistence::close
                                          : request.says_keep_alive
                                              ? http::Persistence::say_keep_alive
                                              : http::Persistence::keep;
    if (refusal_ != nullptr) return refuse(*refusal_, persistence);
    ledger::Account& account = *ledger_.find(route_.account_id);
    ledger::AnswerBody body;
    if (route_.resource == ledger::Resource::statement) {
      body.write_statement(account, now_us);
      return accept(persistence, body.view());
    }
    ledger::Transaction transaction;
    if (const http::Error* error = ledger::read_transaction(request.body, transaction)) {
      return refuse(*error, persistence);
    }
    const ledger::Decision decision = ledger::decide(account, transaction);
    switch (decision.verdict) {
      case ledger::Verdict::limit_insufficient:
        return refuse(ledger::errors::limit_insufficient, persistence);
      case ledger::Verdict::balance_too_large:
        return refuse(ledger::errors::balance_too_large, persistence);
      case ledger::Verdict::accepted:
        break;
    }
    (void)ledger_.apply(account, transaction, decision.balance_after, now_us,
                        ledger_.last_change_seq() + 1);
    body.write_balance(account.limit(), account.balance());
    accept(persistence, body.view());
  }

  http::ResponseHead head(uint16_t status, http::Persistence persistence) {
    closed_ = persistence == http::Persistence::close;
    statuses_.push_back(status);
    return {.status = status,
            .persistence = persistence,
            .without_body = parser_.is_head(),
            .allow = {}};
  }
  void accept(http::Persistence persistence, std::string_view body) {
    http::append_response(out_, head(200, persistence), dates_.at(now_us), body);
  }
  void refuse(const http::Error& error, http::Persistence persistence) {
    http::ResponseHead with = head(error.status, persistence);
    if (&error == &ledger::errors::method_not_allowed) with.allow = route_.allow;
    http::append_error_response(out_, with, dates_.at(now_us), error);
  }

  static constexpr uint64_t now_us = 1'705'458'881'217'753;

  http::RequestParser parser_{test::request_body_bytes_max};
  ledger::Ledger ledger_{ledger::AccountTable::contest()};
  http::OutputBuffer out_;
  http::DateCache dates_;
  std::vector<char> buffer_ =
      std::vector<char>(http::RequestParser::receive_bytes_max(test::request_body_bytes_max));
  size_t size_ = 0;
  ledger::Route route_;
  const http::Error* refusal_ = nullptr;  // decided from the head alone
  std::vector<int> statuses_;
  bool closed_ = false;
};

}  // namespace espora::test
