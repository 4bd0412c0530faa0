// The teller with connections that ask, pipeline and ask again when they are answered.
#include <array>
#include <charconv>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ledger/books.h"
#include "ledger/entry_codec.h"
#include "ledger/teller.h"
#include "sim/checks.h"
#include "sim/desks.h"
#include "sim/weather.h"
#include "sys/limits.h"

namespace espora::sim {

namespace {

using engine::Result;

constexpr std::array<uint32_t, 3> account_ids = {1, 2, 9};

ledger::AccountTable table() {
  return std::move(ledger::AccountTable::create({{1, 500}, {2, 1'000}, {9, 2'000}})).value();
}

struct Request {
  uint32_t account = 0;
  bool statement = false;
  bool debit = false;
  int64_t amount = 0;
  size_t connection = 0;
  Result result = Result::later;  // later: not answered
  uint64_t gate = 0;              // of the answer; of an accepted transaction its own sequence
  int64_t balance = 0;            // that the answer tells
  std::vector<size_t> listed{};   // the requests whose transactions the statement lists
  bool left = false;              // the client has the answer
  bool promised = false;          // it is a transaction, and durable
  bool settled = false;           // a recovery showed it
};

// What a recovery shows.
struct Stored {
  size_t request;
  ledger::Entry entry;
};

// The request that a transaction was made for: its description says it.
size_t request_of(const engine::Transaction& transaction) {
  size_t request = 0;
  const std::string_view text = transaction.description.view();
  std::from_chars(text.data(), text.data() + text.size(), request);
  return request;
}

class WatchedBooks final : public ledger::Books {
 public:
  using Books::Books;

  std::vector<Stored> stored;

 private:
  sys::Status record(const store::RecordView& record) override {
    auto entry = ledger::decode_entry(record.bytes);
    if (!entry.ok()) return entry.status();
    stored.push_back({request_of(entry.value().transaction), entry.value()});
    return Books::record(record);
  }
  [[nodiscard]] store::History history() const override { return store::History::all; }
};

class TellerDesk final : private engine::Answers {
 public:
  TellerDesk(uint64_t seed, FaultCounts& counts, bool trace)
      : random_(mix(seed ^ 0x7E11)), weather_(counts, trace), disk_(mix(seed ^ 0xDE5C), weather_) {}

  DeskResult run() {
    const size_t lives = random_.between(1, 3);
    for (size_t i = 0; i < lives && !findings_.any(); i++) life();
    if (!findings_.any()) recover();
    weather_.note("end", disk_.calls());
    return {findings_.first(), weather_.trace_hash()};
  }

 private:
  struct Connection {
    size_t waiting = 0;  // requests that arrived behind one that is not answered
    bool deferred = false;
    size_t current = 0;         // the request that is deferred
    std::deque<size_t> held{};  // answers behind the gate
  };

  void wrong(int invariant, const std::string& what) {
    findings_.add(invariant, "teller: " + what);
  }
  static bool served(const Request& request) {
    return request.result == Result::applied || request.result == Result::shown;
  }
  static std::string named(size_t request) { return "request " + std::to_string(request); }

  // ---- a life ----

  void life() {
    weather_.note("life");
    weather_.clear_up();
    connections_.assign(random_.between(1, 8), {});
    gate_ = 0;
    first_of_life_ = requests_.size();
    options_ =
        store_options(table(), random_.chance(3, 4) ? store::Sync::always : store::Sync::interval,
                      limits::segment_bytes_min);
    if (!open()) return;
    plan();
    const size_t steps = random_.pick(std::array<size_t, 3>{20, 100, 250});
    for (size_t i = 0; i < steps && going(); i++) step();
    end();
  }

  [[nodiscard]] bool going() const { return !findings_.any() && !disk_.stopped(); }

  bool open_books() {
    books_ = std::make_unique<WatchedBooks>(disk_, ledger::BooksOptions{options_, table()});
    if (const sys::Status opened = books_->open(); !opened.ok()) {
      wrong(progress_resumes, "the store does not open: " + opened.message());
      return false;
    }
    check(books_->stored);
    return true;
  }

  bool open() {
    if (!open_books()) return false;
    store().spare_preparer().set_on_ready([this] { hooked_ = true; });
    store().housekeeping().set_on_news([this] { hooked_ = true; });
    engine::Answers& answers = *this;
    teller_ = std::make_unique<ledger::Teller>(*books_);
    teller_->open(answers);
    return going();
  }

  [[nodiscard]] store::Engine& store() { return books_->store(); }

  void plan() {
    if (random_.chance(1, 5)) weather_.writes_left = random_.below(60);
    if (random_.chance(1, 5)) weather_.flushes_left = random_.below(60);
    if (random_.chance(1, 3)) {
      weather_.calls_left = random_.below(600);
      weather_.power = random_.chance(1, 2);
    }
    may_be_full_ = random_.chance(1, 2);
    may_copy_ = random_.chance(1, 3);
    // A disk that hardly keeps up: what must wait for a segment waits long.
    spare_steps_ = random_.pick(std::array<uint64_t, 3>{1, 3, 30});
  }

  void step() {
    const size_t asking = random_.below(4);
    for (size_t i = 0; i < asking && going(); i++) {
      const size_t connection = random_.below(connections_.size());
      // Now and then so many that a batch cannot hold them.
      connections_[connection].waiting +=
          random_.chance(1, 40) ? random_.between(50, 300) : random_.between(1, 3);
      serve(connection);
      // The thread that prepares segments does not wait for the end of a turn.
      if (random_.chance(1, 4)) step_beside();
    }
    if (random_.chance(2, 3)) step_beside();
    if (may_be_full_ && random_.chance(1, 30)) {
      weather_.full = !weather_.full;
      weather_.note("full", weather_.full ? 1 : 0);
    }
    if (may_copy_ && random_.chance(1, 10)) {
      weather_.no_overwrite = !weather_.no_overwrite;
      weather_.note("no overwrite", weather_.no_overwrite ? 1 : 0);
    }
    if (random_.chance(1, 10)) disk_.pass_ns(random_.below(2 * limits::spare_retry_ns));
    turn();
  }

  void step_beside() {
    for (uint64_t i = random_.below(spare_steps_ + 1); i > 0 && !disk_.stopped(); i--) {
      const uint64_t due = store().spare_preparer().step();
      if (due == store::SparePreparer::never_ns) (void)store().housekeeping().step();
    }
  }

  // As the event loop does it: what is due, the end of the turn, and again while it is wished.
  void turn() {
    if (!going()) return;
    const bool due = store().maintenance_due_ns() <= disk_.monotonic_ns();
    if (std::exchange(hooked_, false) || due) teller_->maintain();
    constexpr int turns_max = 10'000;
    int turns = 0;
    while (teller_->turn_over() && going()) {
      if (++turns == turns_max) return wrong(progress_resumes, "turns without end");
    }
    if (going()) check_turn();
  }

  // Nothing will come by itself now but segments.
  void check_turn() {
    if (teller_->failed() != weather_.failed()) {
      return wrong(nothing_after_failure, "a failed write or flush was not taken for one");
    }
    if (!teller_->failed() && store().has_open_batch()) {
      return wrong(answered_once, "a batch was begun, and nobody will commit it");
    }
    for (size_t i = first_of_life_; i < requests_.size(); i++) {
      const Request& request = requests_[i];
      if (request.result != Result::later && !request.left) {
        return wrong(answered_once, named(i) + " has an answer that nobody will let go");
      }
      if (request.result == Result::later && teller_->failed()) {
        return wrong(answered_once, named(i) + " has no answer, and the store failed");
      }
    }
  }

  // Everybody has to have an answer when nothing happens any more, on a full disk, too.
  void settle() {
    if (random_.chance(1, 2)) weather_.full = false;
    weather_.note("settle", weather_.full ? 1 : 0);
    const auto open_ones = [this] {
      size_t count = 0;
      for (size_t i = first_of_life_; i < requests_.size(); i++) count += !requests_[i].left;
      for (const Connection& each : connections_) count += each.waiting;
      return count;
    };
    quiet_ = true;
    for (int i = 0; i < 20'000 && going() && open_ones() != 0; i++) {
      disk_.pass_ns(limits::spare_retry_ns / 16);
      (void)store().spare_preparer().step();
      turn();
    }
    quiet_ = false;
    if (going() && open_ones() != 0) {
      wrong(answered_once, std::to_string(open_ones()) + " requests are never answered");
    }
  }

  void end() {
    bool closed = false;
    if (going() && random_.chance(3, 4)) {
      settle();
      if (going()) {
        const sys::Status status = books_->close();
        closed = status.ok() && !weather_.failed() && !disk_.stopped();
      }
    }
    if (closed) check_decisions();
    teller_.reset();
    books_.reset();
    if (findings_.any()) return;
    if (!disk_.stopped()) disk_.stop(random_.chance(1, 2));
    disk_.restart([this] { return random_.chance(1, 2); });
  }

  // ---- connections, as the HTTP server keeps them ----

  void serve(size_t index) {
    Connection& connection = connections_[index];
    while (!connection.deferred && connection.waiting > 0 && going()) {
      connection.waiting--;
      ask(index);
    }
  }

  void ask(size_t connection) {
    const size_t index = requests_.size();
    Request request;
    request.account = random_.pick(account_ids);
    request.connection = connection;
    request.statement = random_.chance(1, 5);
    request.debit = random_.chance(3, 5);
    request.amount = static_cast<int64_t>(random_.between(1, 600));
    requests_.push_back(request);
    const engine::AccountRef account = teller_->find(request.account);
    const engine::Ticket ticket{connection, index};
    const engine::Transaction transaction{
        request.amount, request.debit ? engine::Kind::debit : engine::Kind::credit,
        engine::Description(std::to_string(index))};
    const engine::Outcome outcome = request.statement ? teller_->statement(account, ticket)
                                                      : teller_->post(account, transaction, ticket);
    if (outcome.result != Result::later) return take_outcome(index, outcome);
    connections_[connection].deferred = true;
    connections_[connection].current = index;
  }

  static void note(Request& request, const engine::Outcome& outcome) {
    request.result = outcome.result;
    request.gate = outcome.gate;
    request.balance = outcome.account.balance;
    request.listed.clear();
    for (const auto part : {outcome.account.older, outcome.account.newer}) {
      for (const engine::PastTransaction& past : part) {
        request.listed.push_back(request_of(past.transaction));
      }
    }
  }

  void take_outcome(size_t index, const engine::Outcome& outcome) {
    Request& request = requests_[index];
    if (request.result != Result::later) {
      return wrong(answered_once, named(index) + " was answered twice");
    }
    note(request, outcome);
    if (request.result == Result::applied) accepted_[index] = request.gate;
    connections_[request.connection].held.push_back(index);
    release(connections_[request.connection]);
  }

  // Answers leave in order, each when its gate is open.
  bool release(Connection& connection) {
    bool some = false;
    while (!connection.held.empty() && requests_[connection.held.front()].gate <= gate_) {
      leave(connection.held.front());
      connection.held.pop_front();
      some = true;
    }
    return some;
  }

  void leave(size_t index) {
    Request& request = requests_[index];
    request.left = true;
    if (!served(request) || options_.sync != store::Sync::always || disk_.stopped()) return;
    uint64_t reveals = request.statement ? 0 : request.gate;
    request.promised = !request.statement;
    for (const size_t listed : request.listed) {
      const auto seq = accepted_.find(listed);
      if (seq != accepted_.end()) reveals = std::max(reveals, seq->second);
    }
    if (reveals <= floor_) return;
    if (!device_holds(disk_.storage(), floor_, reveals)) {
      return wrong(only_durable_visible, named(index) + " was answered with record " +
                                             std::to_string(reveals) +
                                             ", which the device does not hold");
    }
    floor_ = reveals;
  }

  void answer(engine::Ticket ticket, const engine::Outcome& outcome) override {
    Connection& connection = connections_.at(ticket.connection);
    if (!connection.deferred || connection.current != ticket.request) {
      return wrong(answered_once, named(ticket.request) + " was answered, and does not wait");
    }
    connection.deferred = false;
    take_outcome(ticket.request, outcome);
    serve(ticket.connection);
  }

  void open_gate(engine::Gate gate) override {
    if (gate < gate_) return wrong(answered_once, "the gate goes back");
    gate_ = gate;
    for (size_t i = 0; i < connections_.size(); i++) {
      // Who has its answer asks again, in the same turn.
      if (!release(connections_[i]) || quiet_ || !random_.chance(1, 3)) continue;
      connections_[i].waiting++;
      serve(i);
    }
  }

  void fail_held() override {
    for (Connection& each : connections_) {
      for (const size_t index : std::exchange(each.held, {})) {
        requests_[index].result = Result::store_failed;
        requests_[index].left = true;
      }
    }
  }

  // As face and server do it: what rests on what was taken back is made anew, the rest stays; then
  // all of it leaves.
  void take_back() override {
    for (Connection& each : connections_) {
      for (const size_t index : each.held) {
        Request& request = requests_[index];
        if (request.gate <= gate_) continue;
        accepted_.erase(index);
        note(request, request.statement ? teller_->statement(teller_->find(request.account), {})
                                        : engine::Outcome{Result::store_full});
        if (request.gate > gate_) wrong(answered_once, named(index) + " waits once more");
      }
    }
    open_gate(gate_);
  }

  // ---- what the store holds against what was answered ----

  void recover() {
    weather_.clear_up();
    (void)open_books();
    books_.reset();
  }

  void check(const std::vector<Stored>& stored) {
    std::map<uint32_t, int64_t> balances;
    std::map<size_t, uint64_t> found;
    for (size_t i = 0; i < stored.size(); i++) {
      const auto& [index, entry] = stored[i];
      if (index >= requests_.size()) return wrong(nothing_invented, "nobody asked for a record");
      const Request& request = requests_[index];
      if (i > 0 && index <= stored[i - 1].request) {
        return wrong(answered_once, named(index) + " was overtaken by " +
                                        named(stored[i - 1].request) + ", or is there twice");
      }
      found[index] = i + 1;
      const int64_t change = request.debit ? -request.amount : request.amount;
      const int64_t balance = balances[request.account] += change;
      if (entry.account_id != request.account || entry.balance_after != balance ||
          balance < -books_->ledger().find(request.account)->limit()) {
        return wrong(ledger_is_model, named(index) + " left a balance that cannot be");
      }
      if (request.left && request.result == Result::applied && request.balance != balance) {
        return wrong(answered_once, named(index) + " was told another balance than is stored");
      }
      if (request.left && !served(request) && request.result != Result::store_failed) {
        return wrong(answered_once, named(index) + " was refused with result " +
                                        std::to_string(static_cast<int>(request.result)) +
                                        ", and is stored");
      }
    }
    for (size_t i = 0; i < requests_.size(); i++) {
      Request& request = requests_[i];
      const bool kept = request.left && request.result == Result::applied;
      const auto at = found.find(i);
      const bool promised = request.promised || request.settled;
      if (kept && (at == found.end() ? promised : at->second != request.gate)) {
        return wrong(acknowledged_is_there,
                     named(i) + " was answered, and is not where its answer said");
      }
      request.settled = at != found.end();
    }
    accepted_.clear();
    for (const auto& [index, seq] : found) accepted_[index] = seq;
    floor_ = stored.size();
  }

  // In the order in which they came, each decision follows from those before it.
  void check_decisions() {
    std::map<uint32_t, int64_t> balances;
    for (size_t i = 0; i < requests_.size(); i++) {
      const Request& request = requests_[i];
      const bool counts = i < first_of_life_ ? request.settled : request.result == Result::applied;
      if (request.statement || (i < first_of_life_ && !counts)) continue;
      int64_t& balance = balances[request.account];
      const int64_t after = balance + (request.debit ? -request.amount : request.amount);
      const bool allowed = after >= -books_->ledger().find(request.account)->limit();
      if (counts) {
        balance = after;
      } else if (request.result == Result::limit_insufficient && allowed) {
        return wrong(answered_once, named(i) + " was refused, and its limit allowed it");
      }
    }
  }

  Random random_;
  Weather weather_;
  SimulatedDisk disk_;
  Findings findings_;
  store::Options options_;
  std::unique_ptr<WatchedBooks> books_;
  std::unique_ptr<ledger::Teller> teller_;
  std::vector<Connection> connections_;
  std::vector<Request> requests_;
  std::map<size_t, uint64_t> accepted_;  // transactions by request: their sequences
  size_t first_of_life_ = 0;
  uint64_t gate_ = 0;
  uint64_t floor_ = 0;  // known to be on the device
  uint64_t spare_steps_ = 1;
  bool may_be_full_ = false;
  bool may_copy_ = false;  // on write
  bool hooked_ = false;
  bool quiet_ = false;
};

}  // namespace

DeskResult run_teller(uint64_t seed, FaultCounts& counts, bool trace) {
  return TellerDesk(seed, counts, trace).run();
}

}  // namespace espora::sim
