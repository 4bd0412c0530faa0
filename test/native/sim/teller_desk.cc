// The teller with connections that ask, pipeline and ask again when they are answered.
#include <array>
#include <charconv>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ledger/entry_codec.h"
#include "ledger/ledger_state.h"
#include "ledger/teller.h"
#include "sim/checks.h"
#include "sim/desks.h"
#include "sim/weather.h"
#include "sys/limits.h"

namespace espora::sim {

namespace {

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
  int status = 0;         // 0: not answered
  uint64_t gate = 0;      // of the answer; of an accepted transaction its own sequence
  std::string body;       // of the answer
  bool left = false;      // the client has the answer
  bool promised = false;  // it is a transaction, and durable
  bool settled = false;   // a recovery showed it
};

// What a recovery shows.
struct Stored {
  size_t request;
  ledger::Entry entry;
};

class Recovery final : public store::RecordVisitor {
 public:
  explicit Recovery(ledger::Ledger& ledger) : ledger_(ledger) {}
  sys::Status record(const store::RecordView& record) override {
    auto entry = ledger::decode_entry(record.bytes);
    if (!entry.ok()) return entry.status();
    size_t request = 0;
    const std::string_view text = entry.value().transaction.description.view();
    std::from_chars(text.data(), text.data() + text.size(), request);
    stored.push_back({request, entry.value()});
    return ledger::replay_record(ledger_, record);
  }

  std::vector<Stored> stored;

 private:
  ledger::Ledger& ledger_;
};

class TellerDesk final : private ledger::TellerClients {
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

  class Exchange final : public http::Exchange {
   public:
    Exchange(TellerDesk& desk, size_t request) : desk_(desk), request_(request) {}
    void answer(const http::Answer& answer) override {
      times++;
      desk_.take_answer(request_, answer);
    }
    http::Ticket defer() override {
      times++;
      Connection& connection = desk_.connections_[desk_.requests_[request_].connection];
      connection.deferred = true;
      connection.current = request_;
      return {desk_.requests_[request_].connection, request_};
    }
    int times = 0;

   private:
    TellerDesk& desk_;
    const size_t request_;
  };

  void wrong(int invariant, const std::string& what) {
    findings_.add(invariant, "teller: " + what);
  }
  static std::string named(size_t request) { return "request " + std::to_string(request); }

  // ---- a life ----

  void life() {
    weather_.note("life");
    weather_.clear_up();
    ledger_ = std::make_unique<ledger::Ledger>(table());
    stats_ = std::make_unique<ledger::ServiceStats>();
    ledger::TellerClients& clients = *this;
    teller_ = std::make_unique<ledger::Teller>(*ledger_, clients, *stats_);
    connections_.assign(random_.between(1, 8), {});
    gate_ = 0;
    told_of_failure_ = false;
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

  bool open() {
    Recovery visitor(*ledger_);
    auto opened = store::Engine::open(disk_, options_, visitor);
    if (!opened.ok()) {
      wrong(progress_resumes, "the store does not open: " + opened.status().message());
      return false;
    }
    engine_ = std::move(opened).value();
    engine_->spare_preparer().set_on_ready([this] { hooked_ = true; });
    engine_->housekeeping().set_on_news([this] { hooked_ = true; });
    check(visitor.stored);
    teller_->open(*engine_);
    teller_->let_answers_leave();
    return going();
  }

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
      const uint64_t due = engine_->spare_preparer().step();
      if (due == store::SparePreparer::never_ns) (void)engine_->housekeeping().step();
    }
  }

  // As the event loop does it: what is due, the end of the turn, and again while it is wished.
  void turn() {
    if (!going()) return;
    const bool due = engine_->maintenance_due_ns() <= disk_.monotonic_ns();
    if ((std::exchange(hooked_, false) || due) && !teller_->failed()) {
      const sys::Status status = engine_->maintain();
      if (engine_->poisoned()) {
        teller_->fail(status);
      } else {
        teller_->let_answers_leave();
      }
    }
    constexpr int turns_max = 10'000;
    int turns = 0;
    while (teller_->turn_over() && going()) {
      if (++turns == turns_max) return wrong(progress_resumes, "turns without end");
    }
    if (going()) check_turn();
  }

  // Nothing will come by itself now but segments.
  void check_turn() {
    if (teller_->failed() != weather_.failed() || told_of_failure_ != weather_.failed()) {
      return wrong(nothing_after_failure, "a failed write or flush was not taken for one");
    }
    if (!teller_->failed() && engine_->has_open_batch()) {
      return wrong(answered_once, "a batch was begun, and nobody will commit it");
    }
    for (size_t i = first_of_life_; i < requests_.size(); i++) {
      const Request& request = requests_[i];
      if (request.status != 0 && !request.left) {
        return wrong(answered_once, named(i) + " has an answer that nobody will let go");
      }
      if (request.status == 0 && teller_->failed()) {
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
      (void)engine_->spare_preparer().step();
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
        const sys::Status status = engine_->close();
        closed = status.ok() && !weather_.failed() && !disk_.stopped();
      }
    }
    if (findings_.any()) return engine_.reset();
    if (!disk_.stopped()) disk_.stop(random_.chance(1, 2));
    engine_.reset();
    disk_.restart([this] { return random_.chance(1, 2); });
    if (closed) check_decisions();
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
    const std::string body = "{\"valor\":" + std::to_string(request.amount) + ",\"tipo\":\"" +
                             (request.debit ? "d" : "c") + "\",\"descricao\":\"" +
                             std::to_string(index) + "\"}";
    Exchange exchange(*this, index);
    const auto resource =
        request.statement ? ledger::Resource::statement : ledger::Resource::transactions;
    teller_->on_request(resource, request.account, request.statement ? "" : body, exchange);
    if (exchange.times != 1) {
      wrong(answered_once, named(index) + " was answered or deferred " +
                               std::to_string(exchange.times) + " times");
    }
  }

  void take_answer(size_t index, const http::Answer& answer) {
    Request& request = requests_[index];
    if (request.status != 0) return wrong(answered_once, named(index) + " was answered twice");
    request.status = answer.status();
    request.body = answer.body;
    request.gate = answer.gate;
    if (request.status == 200 && !request.statement) accepted_[index] = request.gate;
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
    if (request.status != 200 || options_.sync != store::Sync::always || disk_.stopped()) return;
    uint64_t reveals = request.statement ? 0 : request.gate;
    request.promised = !request.statement;
    // Whatever a statement lists.
    constexpr std::string_view member = "\"descricao\":\"";
    for (size_t at = request.body.find(member); at != std::string::npos;
         at = request.body.find(member, at + 1)) {
      const size_t begin = at + member.size();
      const auto seq = accepted_.find(std::stoul(request.body.substr(begin)));
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

  void answer(http::Ticket ticket, const http::Answer& answer) override {
    Connection& connection = connections_.at(ticket.connection);
    if (!connection.deferred || connection.current != ticket.request) {
      return wrong(answered_once, named(ticket.request) + " was answered, and does not wait");
    }
    connection.deferred = false;
    take_answer(ticket.request, answer);
    serve(ticket.connection);
  }

  void open_gate(http::Gate gate) override {
    if (gate < gate_) return wrong(answered_once, "the gate goes back");
    gate_ = gate;
    for (size_t i = 0; i < connections_.size(); i++) {
      // Who has its answer asks again, in the same turn.
      if (!release(connections_[i]) || quiet_ || !random_.chance(1, 3)) continue;
      connections_[i].waiting++;
      serve(i);
    }
  }

  void fail_held(const http::Error& error) override {
    for (Connection& each : connections_) {
      for (const size_t index : std::exchange(each.held, {})) {
        requests_[index].status = error.status;
        requests_[index].left = true;
      }
    }
  }

  // As the server does it: what rests on what was taken back is made anew, the rest stays; then all
  // of it leaves.
  void take_back(const http::Remake& remake) override {
    for (Connection& each : connections_) {
      for (const size_t index : each.held) {
        Request& request = requests_[index];
        if (request.gate <= gate_) continue;
        accepted_.erase(index);
        const http::Answer answer = remake(ledger::make_tag(
            request.statement ? ledger::Resource::statement : ledger::Resource::transactions,
            request.account));
        request.status = answer.status();
        request.body = answer.body;
        request.gate = answer.gate;
        if (request.gate > gate_) wrong(answered_once, named(index) + " waits once more");
      }
    }
    open_gate(gate_);
  }
  void on_committed() override {}
  void on_store_failed(const sys::Status&) override {
    if (told_of_failure_) wrong(answered_once, "the failure was told twice");
    told_of_failure_ = true;
  }

  // ---- what the store holds against what was answered ----

  void recover() {
    weather_.clear_up();
    ledger_ = std::make_unique<ledger::Ledger>(table());
    Recovery visitor(*ledger_);
    auto opened = store::Engine::open(disk_, options_, visitor);
    if (!opened.ok()) {
      return wrong(progress_resumes, "the store does not open: " + opened.status().message());
    }
    engine_ = std::move(opened).value();
    check(visitor.stored);
    engine_.reset();
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
          balance < -ledger_->find(request.account)->limit()) {
        return wrong(ledger_is_model, named(index) + " left a balance that cannot be");
      }
      const bool known = request.left && request.status == 200;
      if (known &&
          request.body.find("\"saldo\":" + std::to_string(balance) + "}") == std::string::npos) {
        return wrong(answered_once, named(index) + " was told another balance than is stored");
      }
      if (request.left && request.status != 200 && request.status != 503) {
        return wrong(answered_once, named(index) + " was refused with " +
                                        std::to_string(request.status) + ", and is stored");
      }
    }
    for (size_t i = 0; i < requests_.size(); i++) {
      Request& request = requests_[i];
      const bool kept = request.left && request.status == 200 && !request.statement;
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
      const bool counts = i < first_of_life_ ? request.settled : request.status == 200;
      if (request.statement || (i < first_of_life_ && !counts)) continue;
      int64_t& balance = balances[request.account];
      const int64_t after = balance + (request.debit ? -request.amount : request.amount);
      const bool allowed = after >= -ledger_->find(request.account)->limit();
      if (counts) {
        balance = after;
      } else if (request.status == 422 && allowed) {
        return wrong(answered_once, named(i) + " was refused, and its limit allowed it");
      }
    }
  }

  Random random_;
  Weather weather_;
  SimulatedDisk disk_;
  Findings findings_;
  store::Options options_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<ledger::ServiceStats> stats_;
  std::unique_ptr<ledger::Teller> teller_;
  std::unique_ptr<store::Engine> engine_;
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
  bool told_of_failure_ = false;
};

}  // namespace

DeskResult run_teller(uint64_t seed, FaultCounts& counts, bool trace) {
  return TellerDesk(seed, counts, trace).run();
}

}  // namespace espora::sim
