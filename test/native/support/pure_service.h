// The service without sockets, disk or clock: parser, face and response writer put together as a
// connection puts them, before an engine in memory, so that whole conversations run there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "face/errors.h"
#include "face/face.h"
#include "http/date.h"
#include "http/request_parser.h"
#include "http/response_writer.h"
#include "ledger/ledger.h"
#include "support/options.h"
#include "sys/check.h"

namespace espora::test {

// Accounts in memory and nothing else: everything is durable at once, and it is always the same
// time.
class MemoryEngine final : public engine::Engine {
 public:
  static constexpr uint64_t now_us = 1'705'458'881'217'753;

  engine::AccountRef find(uint32_t id) const noexcept override {
    return ledger.find(id) != nullptr ? engine::AccountRef{id} : engine::AccountRef::none;
  }
  std::optional<engine::Result> refusal() const noexcept override { return refused; }
  engine::Outcome post(engine::AccountRef ref, const engine::Transaction& transaction,
                       engine::Ticket) override {
    if (refused) return {*refused};
    ledger::Account& account = *ledger.find(static_cast<uint32_t>(ref));
    const ledger::Decision decision = ledger::decide(account, transaction);
    if (decision.result != engine::Result::applied) return {decision.result};
    (void)ledger.apply(account, transaction, decision.balance_after, now_us,
                       ledger.last_change_seq() + 1);
    return {engine::Result::applied, 0, account.statement(now_us)};
  }
  engine::Outcome statement(engine::AccountRef ref, engine::Ticket) override {
    if (refused) return {*refused};
    return {engine::Result::shown, 0, ledger.find(static_cast<uint32_t>(ref))->statement(now_us)};
  }

  ledger::Ledger ledger{ledger::AccountTable::contest()};
  std::optional<engine::Result> refused;
};

// One client's connection to a store of its own.
class PureService final : private http::Exchange {
 public:
  PureService() = default;
  PureService(std::string_view stream, const std::vector<size_t>& cuts) { receive(stream, cuts); }

  // What every request is refused with from now on.
  void refuse_all(engine::Result result) { engine_.refused = result; }
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
  const ledger::Ledger& ledger() const { return engine_.ledger; }

  // Answers, state and close: all that a client and the store can see, interim answers aside
  // (whether one is due depends on what has arrived).
  std::string outcome() const {
    std::string text(output());
    for (const ledger::Account& account : ledger().accounts()) {
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
          on_complete();
          size_ -= parser_.consumed();
          std::memmove(buffer_.data(), buffer_.data() + parser_.consumed(), size_);
          parser_.next();
          verdict_ = {};
          if (closed_ || size_ == 0) return;
          break;
        case Outcome::error: {
          const bool body_refused =
              verdict_.refusal != nullptr && &parser_.error() == &http::errors::body_too_large;
          persistence_ = http::Persistence::close;
          answer({.error = body_refused ? verdict_.refusal : &parser_.error(),
                  .allow = body_refused ? verdict_.allow : std::string_view{}});
          return;
        }
      }
    }
  }

  void decide_on_head() {
    verdict_ = face_.on_head(parser_.request());
    if (verdict_.refusal == nullptr && parser_.awaits_continue(size_)) statuses_.push_back(100);
  }

  void on_complete() {
    const http::Request& request = parser_.request();
    persistence_ = !request.keep_alive       ? http::Persistence::close
                   : request.says_keep_alive ? http::Persistence::say_keep_alive
                                             : http::Persistence::keep;
    if (verdict_.refusal != nullptr) {
      answer({.error = verdict_.refusal, .allow = verdict_.allow});
    } else {
      face_.on_request(request, verdict_.tag, *this);
    }
  }

  void answer(const http::Answer& answer) override {
    closed_ = persistence_ == http::Persistence::close;
    statuses_.push_back(answer.status());
    const http::ResponseHead head{.status = 200,
                                  .persistence = persistence_,
                                  .without_body = parser_.is_head(),
                                  .allow = answer.allow};
    const std::string_view date = dates_.at(MemoryEngine::now_us);
    if (answer.error != nullptr) {
      http::append_error_response(out_, head, date, *answer.error);
    } else {
      http::append_response(out_, head, date, answer.body);
    }
  }
  void defer() override { ESPORA_CHECK(false); }
  http::Ticket ticket() const override { return {}; }

  http::RequestParser parser_{test::request_body_bytes_max};
  MemoryEngine engine_;
  face::Face face_{engine_};
  http::OutputBuffer out_;
  http::DateCache dates_;
  std::vector<char> buffer_ =
      std::vector<char>(http::RequestParser::receive_bytes_max(test::request_body_bytes_max));
  size_t size_ = 0;
  http::HeadVerdict verdict_;
  http::Persistence persistence_ = http::Persistence::keep;  // of the answer to come
  std::vector<int> statuses_;
  bool closed_ = false;
};

}  // namespace espora::test
