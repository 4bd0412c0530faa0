#include "ledger/service.h"

#include <algorithm>

#include "ledger/errors.h"
#include "ledger/json_transaction.h"
#include "ledger/ledger_state.h"
#include "ledger/posting.h"
#include "ledger/route.h"
#include "sys/clock.h"

namespace espora::ledger {

namespace {

// What the head of a request is about, packed into the tag that the server keeps for its end.
constexpr uint64_t make_tag(Resource resource, uint32_t account_id) {
  return static_cast<uint64_t>(resource) << 32 | account_id;
}
constexpr Resource resource_of(uint64_t tag) { return static_cast<Resource>(tag >> 32); }
constexpr uint32_t account_of(uint64_t tag) { return static_cast<uint32_t>(tag); }

void set(std::atomic<uint64_t>& counter, uint64_t value) noexcept {
  counter.store(value, std::memory_order_relaxed);
}

}  // namespace

Service::Service(sys::EventLoop& loop, sys::FileSystem& file_system, ServiceOptions options,
                 ServiceEvents& events)
    : loop_(loop),
      file_system_(file_system),
      options_(std::move(options)),
      events_(events),
      ledger_(options_.accounts),
      server_(loop, *this, options_.http),
      maintenance_([](sys::Timer&, void* self) { static_cast<Service*>(self)->maintain(); }, this) {
}

Service::~Service() {
  loop_.set_turn_hook(nullptr);
  loop_.timers().disarm(maintenance_);
  housekeeping_.reset();
}

sys::Status Service::start() {
  options_.store.kind = "ledger";
  options_.store.schema = options_.accounts.encode();
  auto engine = store::Engine::open(file_system_, options_.store, *this);
  if (!engine.ok()) return engine.status();
  engine_ = std::move(engine).value();
  if (sys::Status adopted = adopt_accounts(); !adopted.ok()) return adopted;
  // Its hook fires on its own thread, when a segment is ready or a try for one failed.
  housekeeping_ = std::make_unique<store::HousekeepingThread>(
      file_system_, engine_->spare_preparer(), [this] { loop_.post([this] { maintain(); }); },
      &engine_->housekeeping());
  server_.open_gate(engine_->acknowledged_seq());
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

sys::Status Service::schema_changed(store::Bytes stored, store::Bytes) {
  auto table = AccountTable::decode(stored);
  if (!table.ok()) return table.status();
  // The history was written under the stored table: it is replayed with that one first.
  ledger_ = Ledger(table.value());
  return {};
}

sys::Status Service::restore(store::Bytes state, uint64_t) { return ledger_.restore_state(state); }

// Every account with history is in the configured table by now, or opening was refused.
std::unique_ptr<store::SnapshotState> Service::make_state() {
  return std::make_unique<LedgerState>(options_.accounts);
}

sys::Status Service::record(const store::RecordView& record) {
  return replay_record(ledger_, record);
}

sys::Status Service::end() { return ledger_.may_adopt(options_.accounts); }

// Not before the last record was replayed: one of the tail may be of an account that the configured
// table no longer has, and then that table is refused.
sys::Status Service::adopt_accounts() {
  if (adopted_ || !engine_->appendable()) return {};
  adopted_ = true;
  return ledger_.adopt(options_.accounts);
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
    verdict.refusal = &errors::account_unknown;
    return verdict;
  }
  verdict.tag = make_tag(found.resource, found.account_id);
  return verdict;
}

void Service::on_request(const http::Request& request, uint64_t tag, http::Exchange& exchange) {
  if (failed_) {
    exchange.answer({.error = &errors::store_failed});
    return;
  }
  Account& account = *ledger_.find(account_of(tag));
  if (resource_of(tag) == Resource::statement) {
    exchange.answer(statement(account));
    return;
  }
  Transaction transaction;
  if (const http::Error* error = read_transaction(request.body, transaction)) {
    exchange.answer({.error = error});
    return;
  }
  if (const MaybeAnswer answer = transact(account, transaction)) {
    exchange.answer(*answer);
    return;
  }
  http::add(stats_.parked, 1);
  parked_.push_back({exchange.defer(), account.id(), transaction});
}

http::Answer Service::statement(const Account& account) {
  body_.write_statement(account, sys::realtime_us());
  return {.body = body_.view(), .gate = account.last_change_seq()};
}

Service::MaybeAnswer Service::transact(Account& account, const Transaction& transaction) {
  const http::Error* error = nullptr;
  switch (post(*engine_, ledger_, account, transaction)) {
    case Posting::accepted:
      body_.write_balance(account.limit(), account.balance());
      return http::Answer{.body = body_.view(), .gate = account.last_change_seq()};
    case Posting::must_wait:
      return {};
    case Posting::limit_insufficient:
      error = &errors::limit_insufficient;
      break;
    case Posting::balance_too_large:
      error = &errors::balance_too_large;
      break;
    case Posting::store_full:
      http::add(stats_.store_full, 1);
      error = &errors::store_full;
      break;
    case Posting::store_failed:
      return http::Answer{.error = &errors::store_failed};
  }
  // It tells something about the balance, so it waits for what made the balance.
  return http::Answer{.error = error, .gate = account.last_change_seq()};
}

// --- The turn ------------------------------------------------------------------------------------

void Service::on_turn_end() {
  if (failed_) return;
  if (engine_->has_open_batch()) commit();
  if (!failed_ && !parked_.empty()) retry_parked();
  // Opening the gate, or a request that was parked, may have begun the next batch.
  if (!failed_ && engine_->has_open_batch()) loop_.run_again();
}

void Service::commit() {
  const uint64_t begin_ns = sys::monotonic_ns();
  const sys::Status status = engine_->commit();
  const uint64_t took_ns = sys::monotonic_ns() - begin_ns;
  if (!status.ok()) {
    fail(status);
    return;
  }
  http::add(stats_.commits, 1);
  http::add(stats_.commit_ns, took_ns);
  if (took_ns > stats_.commit_ns_max.load(std::memory_order_relaxed)) {
    set(stats_.commit_ns_max, took_ns);
  }
  publish_stats();
  server_.open_gate(engine_->acknowledged_seq());
  plan_maintenance();
}

void Service::retry_parked() {
  std::vector<Parked> parked;
  parked.swap(parked_);
  for (size_t i = 0; i < parked.size(); ++i) {
    const Parked& each = parked[i];
    const MaybeAnswer answer = transact(*ledger_.find(each.account_id), each.transaction);
    if (!answer.has_value()) {
      // In the order in which they came; those behind this one may have become parked meanwhile.
      parked_.insert(parked_.begin(), parked.begin() + static_cast<std::ptrdiff_t>(i),
                     parked.end());
      return;
    }
    server_.answer(each.ticket, *answer);
  }
}

void Service::maintain() {
  if (failed_) return;
  sys::Status status = engine_->maintain();
  if (status.ok()) status = adopt_accounts();
  if (engine_->poisoned()) {
    fail(status);
    return;
  }
  publish_stats();
  tell_of_housekeeping();
  server_.open_gate(engine_->acknowledged_seq());
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
  set(stats_.transactions, stats.records);
  set(stats_.acknowledged_seq, engine_->acknowledged_seq());
  set(stats_.durable_seq, engine_->durable_seq());
  set(stats_.flushes, stats.flushes);
  set(stats_.bytes_written, stats.bytes_written);
  const store::HousekeepingStats& house = stats.housekeeping;
  set(stats_.segments_rewritten, house.segments_rewritten);
  set(stats_.rewrite_saved_bytes, static_cast<uint64_t>(std::max<int64_t>(0, house.saved_bytes)));
  set(stats_.rewrite_failures, house.rewrite_failures);
  set(stats_.segments_damaged, house.segments_damaged);
  set(stats_.snapshots, house.snapshots);
  set(stats_.snapshot_failures, house.snapshot_failures);
}

// What was not durable is indeterminate, and the state that it made is never shown again.
void Service::fail(const sys::Status& failure) {
  failed_ = true;
  loop_.timers().disarm(maintenance_);
  server_.fail_held(errors::store_failed);
  for (const Parked& each : parked_) server_.answer(each.ticket, {.error = &errors::store_failed});
  parked_.clear();
  events_.on_store_failed(failure);
}

}  // namespace espora::ledger
