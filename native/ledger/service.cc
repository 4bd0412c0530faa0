#include "ledger/service.h"

#include <algorithm>

#include "ledger/errors.h"
#include "ledger/ledger_state.h"
#include "ledger/route.h"

namespace espora::ledger {

namespace {

// The limits that were given and are not the store's, as one sentence; empty if there are none.
std::string other_limits(const AccountTable& stored, const AccountTable& given) {
  std::string text;
  size_t count = 0;
  for (const AccountLimit& account : given.accounts()) {
    const AccountLimit* kept = stored.find(account.id);
    if (kept == nullptr || kept->limit == account.limit) continue;
    if (++count > limits::accounts_named_max) continue;
    text += (count == 1 ? "account " : ", account ") + std::to_string(account.id) + " has " +
            std::to_string(kept->limit) + " and not " + std::to_string(account.limit);
  }
  if (count == 0) return {};
  if (count > limits::accounts_named_max) {
    text += ", and " + std::to_string(count - limits::accounts_named_max) + " more";
  }
  return "the store keeps its own limits, whatever table of accounts is given: " + text;
}

}  // namespace

Service::Service(sys::EventLoop& loop, sys::FileSystem& file_system, ServiceOptions options,
                 ServiceEvents& events)
    : loop_(loop),
      file_system_(file_system),
      options_(std::move(options)),
      events_(events),
      accounts_(options_.accounts.value_or(AccountTable::contest())),
      ledger_(accounts_),
      server_(loop, *this, options_.http),
      teller_(ledger_, *this, stats_),
      maintenance_([](sys::Timer&, void* self) { static_cast<Service*>(self)->maintain(); }, this) {
}

Service::~Service() {
  loop_.set_turn_hook(nullptr);
  loop_.timers().disarm(maintenance_);
  housekeeping_.reset();
}

sys::Status Service::start() {
  options_.store.kind = "ledger";
  options_.store.schema = accounts_.encode();
  auto engine = store::Engine::open(file_system_, options_.store, *this);
  if (!engine.ok()) return engine.status();
  engine_ = std::move(engine).value();
  if (!engine_->whole()) warnings_.push_back(engine_->unsecured().message());
  make_accounts();
  // Its hook fires on its own thread, when a segment is ready or a try for one failed.
  housekeeping_ = std::make_unique<store::HousekeepingThread>(
      file_system_, engine_->spare_preparer(), [this] { loop_.post([this] { maintain(); }); },
      &engine_->housekeeping());
  if (!housekeeping_->started().ok()) return housekeeping_->started();
  teller_.open(*engine_);
  teller_.let_answers_leave();
  publish_stats();
  sys::Status status = server_.listen();
  if (!status.ok()) return status;
  loop_.set_turn_hook(this);
  plan_maintenance();
  return server_.start();
}

void Service::drain(uint64_t deadline_ms, std::function<void()> done) {
  server_.drain(deadline_ms, std::move(done));
}

sys::Status Service::close() {
  server_.close_all();
  housekeeping_.reset();
  return engine_->close();
}

// --- Recovery ------------------------------------------------------------------------------------

// A store keeps its own table: a flag that was forgotten, or another limit in it, changes nothing
// that is there.
sys::Result<std::vector<std::byte>> Service::schema_changed(store::Bytes stored, store::Bytes) {
  auto table = AccountTable::decode(stored);
  if (!table.ok()) return table.status();
  accounts_ = std::move(table).value();
  // The history was written under the stored table: it is replayed with that one.
  ledger_ = Ledger(accounts_);
  if (options_.accounts.has_value()) {
    if (std::string other = other_limits(accounts_, *options_.accounts); !other.empty()) {
      warnings_.push_back(std::move(other));
    }
    auto extended = accounts_.with(*options_.accounts);
    if (!extended.ok()) return extended.status();
    accounts_ = std::move(extended).value();
  }
  return accounts_.encode();
}

sys::Status Service::restore(store::Bytes state, uint64_t) { return ledger_.restore_state(state); }

std::unique_ptr<store::SnapshotState> Service::make_state() {
  return std::make_unique<LedgerState>(accounts_);
}

sys::Status Service::record(const store::RecordView& record) {
  return replay_record(ledger_, record);
}

// Not before the table that names them is on disk, and the last record was replayed.
void Service::make_accounts() {
  if (engine_->appendable() && ledger_.accounts().size() != accounts_.accounts().size()) {
    ledger_.extend(accounts_);
  }
}

// --- Requests ------------------------------------------------------------------------------------

http::HeadVerdict Service::on_head(const http::Request& request) {
  const Route found = route(request.method, request.path);
  http::HeadVerdict verdict;
  switch (found.resource) {
    case Resource::unknown:
      verdict.refusal = &errors::path_unknown;
      return verdict;
    case Resource::method_not_allowed:
      verdict.refusal = &errors::method_not_allowed;
      verdict.allow = found.allow;
      return verdict;
    case Resource::transactions:
    case Resource::statement:
      break;
  }
  if (ledger_.find(found.account_id) == nullptr) {
    const http::Error* not_now = teller_.refusal();
    verdict.refusal = not_now != nullptr ? not_now : &errors::account_unknown;
    return verdict;
  }
  verdict.tag = make_tag(found.resource, found.account_id);
  return verdict;
}

void Service::on_request(const http::Request& request, uint64_t tag, http::Exchange& exchange) {
  teller_.on_request(resource_of(tag), account_of(tag), request.body, exchange);
}

void Service::on_turn_end() {
  if (teller_.turn_over()) loop_.run_again();
}

// --- What the teller says ------------------------------------------------------------------------

void Service::answer(http::Ticket ticket, const http::Answer& answer) {
  server_.answer(ticket, answer);
}

void Service::open_gate(http::Gate gate) { server_.open_gate(gate); }

void Service::fail_held(const http::Error& error) { server_.fail_held(error); }

void Service::take_back(const http::Remake& remake) { server_.take_back(remake); }

void Service::on_committed() {
  publish_stats();
  plan_maintenance();
}

void Service::on_store_failed(const sys::Status& failure) {
  loop_.timers().disarm(maintenance_);
  events_.on_store_failed(failure);
}

// --- Between turns -------------------------------------------------------------------------------

void Service::maintain() {
  if (teller_.failed()) return;
  const sys::Status status = engine_->maintain();
  make_accounts();
  if (engine_->poisoned()) {
    teller_.fail(status);
    return;
  }
  publish_stats();
  tell_of_housekeeping();
  teller_.let_answers_leave();
  plan_maintenance();
}

void Service::tell_of_housekeeping() {
  std::string failure = engine_->housekeeping().last_failure();
  if (failure.empty() || failure == housekeeping_told_) return;
  housekeeping_told_ = std::move(failure);
  events_.on_store_warning(housekeeping_told_);
}

void Service::plan_maintenance() {
  const uint64_t due_ns = engine_->maintenance_due_ns();
  if (due_ns == UINT64_MAX) {
    loop_.timers().disarm(maintenance_);
  } else {
    loop_.timers().arm(maintenance_, due_ns / 1'000'000 + 1);
  }
}

void Service::publish_stats() noexcept {
  const store::Stats stats = engine_->stats();
  stats_.transactions.set(stats.records);
  stats_.acknowledged_seq.set(engine_->acknowledged_seq());
  stats_.durable_seq.set(engine_->durable_seq());
  stats_.flushes.set(stats.flushes);
  stats_.bytes_written.set(stats.bytes_written);
  const store::HousekeepingStats& house = stats.housekeeping;
  stats_.segments_rewritten.set(house.segments_rewritten);
  stats_.rewrite_saved_bytes.set(static_cast<uint64_t>(std::max<int64_t>(0, house.saved_bytes)));
  stats_.rewrite_failures.set(house.rewrite_failures);
  stats_.segments_damaged.set(house.segments_damaged);
  stats_.snapshots.set(house.snapshots);
  stats_.snapshot_failures.set(house.snapshot_failures);
}

}  // namespace espora::ledger
