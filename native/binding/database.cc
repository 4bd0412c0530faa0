#include "binding/database.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "binding/loop_thread.h"
#include "binding/store_facts.h"
#include "binding/values.h"
#include "face/face.h"
#include "http/server.h"
#include "ledger/teller.h"
#include "store/housekeeping_thread.h"
#include "sys/clock.h"
#include "sys/file_system.h"
#include "sys/process.h"

namespace espora::binding {

namespace {

// After the store failed: time to send the 503s and to log, before the process ends.
constexpr uint64_t failure_grace_ms = 300;

ledger::AccountTable to_accounts(const Napi::Object& options) {
  const Napi::Array given = get_array(options, "accounts");
  std::vector<ledger::AccountLimit> accounts;
  for (uint32_t i = 0; i < given.Length(); ++i) {
    const Napi::Value each = given.Get(i);
    if (!each.IsObject()) throw Napi::TypeError::New(options.Env(), "an account is an object");
    const auto account = each.As<Napi::Object>();
    accounts.push_back({static_cast<uint32_t>(get_unsigned(account, "id", UINT32_MAX)),
                        static_cast<int64_t>(get_unsigned(account, "limit", limits::amount_max))});
  }
  auto table = ledger::AccountTable::create(std::move(accounts));
  if (!table.ok()) throw to_error(options.Env(), table.status());
  return std::move(table).value();
}

// The numeric settings, by their names in the table of options.
template <typename Settings, typename Options>
void for_each_setting(const Settings& settings, Options& options) {
  settings.count("connectionsMax", options.connections_max);
  settings.number("bodyBytesMax", options.body_bytes_max, limits::http_body_bytes_max);
  settings.milliseconds("headerTimeout", options.header_timeout_ms);
  settings.milliseconds("bodyTimeout", options.body_timeout_ms);
  settings.milliseconds("keepAliveTimeout", options.keep_alive_timeout_ms);
}

struct Settings {
  ledger::BooksOptions books;
  http::ServerOptions http;
};

Settings read_settings(const Napi::Object& given) {
  Settings options;
  store::Options& store = options.books.store;
  store.directory = get_path(given, "data");
  store.create = true;
  store.segment_bytes = get_unsigned_or(given, "segmentBytes", limits::segment_bytes_max, 0);
  const uint64_t interval_ms = get_unsigned(given, "fsyncInterval", milliseconds_max);
  store.sync = interval_ms == 0 ? store::Sync::always : store::Sync::interval;
  store.flush_interval_ms = static_cast<uint32_t>(interval_ms);
  if (!absent(given, "accounts")) options.books.accounts = to_accounts(given);
  options.http.listen = read_listening(given);
  for_each_setting(SettingsReader(given), options.http);
  return options;
}

Napi::Object show_settings(Napi::Env env, const Settings& options) {
  Napi::Object shown = Napi::Object::New(env);
  const store::Options& store = options.books.store;
  shown.Set("data", store.directory);
  set(shown, "segmentBytes", store.segment_bytes);
  set(shown, "fsyncInterval", store.sync == store::Sync::always ? 0 : store.flush_interval_ms);
  const auto& accounts = options.books.accounts;
  shown.Set("accounts", accounts ? to_array(env, *accounts) : Napi::Array::New(env));
  show_listening(shown, options.http.listen);
  for_each_setting(SettingsWriter(shown), options.http);
  return shown;
}

// Books, teller, face and server on an event loop, which commits at the end of each turn and
// maintains the store when that is due. All calls on the loop's thread.
class Service final : private sys::TurnHook {
 public:
  using Emit = std::function<void(const char* name, const std::string& message)>;

  Service(sys::EventLoop& loop, sys::FileSystem& file_system, const Settings& settings, Emit emit)
      : books(file_system, settings.books),
        server(loop, face, settings.http),
        loop_(loop),
        file_system_(file_system),
        emit_(std::move(emit)) {
    face.serve(server);
  }
  ~Service() {
    loop_.set_turn_hook(nullptr);
    loop_.timers().disarm(maintenance_);
    loop_.timers().disarm(failure_timer_);
  }

  // Recovers the store, which may take long, then listens: no connection is accepted before.
  sys::Status start() {
    if (sys::Status opened = books.open(); !opened.ok()) return opened;
    store::Engine& store = books.store();
    // Its hook fires on its own thread, when a segment is ready or preparing one failed.
    housekeeping_ = std::make_unique<store::HousekeepingThread>(
        file_system_, store.spare_preparer(), [this] { loop_.post([this] { maintain(); }); },
        &store.housekeeping());
    if (!housekeeping_->started().ok()) return housekeeping_->started();
    teller.open(face);
    if (sys::Status listens = server.listen(); !listens.ok()) return listens;
    loop_.set_turn_hook(this);
    plan_maintenance();
    return server.start();
  }
  sys::Status close() {
    server.close_all();
    housekeeping_.reset();
    return books.close();
  }

  ledger::Books books;
  ledger::Teller teller{books};
  face::Face face{teller};
  http::Server server;

 private:
  void on_turn_end() override {
    const bool commits = books.store().has_open_batch();
    if (teller.turn_over()) loop_.run_again();
    if (commits) plan_maintenance();
    if (teller.failed()) tell_of_failure();
  }
  void maintain() {
    if (teller.failed()) return;
    teller.maintain();
    plan_maintenance();
    if (teller.failed()) return tell_of_failure();
    // The operator should know of it, but no request depends on it.
    std::string failure = books.store().housekeeping().last_failure();
    if (failure.empty() || failure == housekeeping_told_) return;
    housekeeping_told_ = std::move(failure);
    emit_("warning", housekeeping_told_);
  }
  // Never again after the store failed.
  void plan_maintenance() {
    const uint64_t due_ns = books.store().maintenance_due_ns();
    if (due_ns == UINT64_MAX) return loop_.timers().disarm(maintenance_);
    loop_.timers().arm(maintenance_, due_ns / 1'000'000 + 1);
  }
  void tell_of_failure() {
    if (failure_timer_.armed()) return;
    emit_("failed", books.store().failure().message());
    loop_.timers().arm(failure_timer_, loop_.now_ms() + failure_grace_ms);
  }

  sys::EventLoop& loop_;
  sys::FileSystem& file_system_;
  const Emit emit_;
  sys::Timer maintenance_{[](sys::Timer&, void* self) { static_cast<Service*>(self)->maintain(); },
                          this};
  sys::Timer failure_timer_{[](sys::Timer&, void*) { sys::exit_now(1); }, nullptr};
  std::string housekeeping_told_;  // its last failure that was reported
  std::unique_ptr<store::HousekeepingThread> housekeeping_;
};

// The results of start(), for its promise.
struct Opened {
  uint16_t port = 0;
  std::vector<std::string> addresses;
  uint64_t open_ns = 0;
  uint64_t last_seq = 0;
  bool appendable = true;
  bool whole = true;
  store::Stats store;
  std::vector<std::string> warnings;
};

class Database final : public Napi::ObjectWrap<Database>, private LoopService {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Database",
        {InstanceMethod<&Database::start>("start"), InstanceMethod<&Database::stop>("stop"),
         InstanceMethod<&Database::stats>("stats"),
         InstanceMethod<&Database::settings>("settings")});
  }

  explicit Database(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<Database>(info), thread_(info.Env(), "espora-db", *this, *this) {
    if (info.Length() < 1 || !info[0].IsObject()) {
      throw Napi::TypeError::New(info.Env(), "new Database(options)");
    }
    options_ = read_settings(info[0].As<Napi::Object>());
  }

 private:
  // --- JavaScript's thread ---
  Napi::Value start(const Napi::CallbackInfo& info) { return thread_.start(info); }
  Napi::Value stop(const Napi::CallbackInfo& info) { return thread_.stop(info); }

  Napi::Value started(Napi::Env env) override {
    Napi::Object result = Napi::Object::New(env);
    set_listening(result, options_.http.listen, opened_.port, opened_.addresses);
    const store::Stats& store = opened_.store;
    set(result, "records", opened_.last_seq);
    set(result, "unprovenRecords", store.unproven_records);
    set(result, "lastSeq", opened_.last_seq);
    result.Set("openMs", Napi::Number::New(env, static_cast<double>(opened_.open_ns) / 1e6));
    result.Set("directIo", store.direct_io);
    result.Set("fileSystem", std::string(sys::file_system_name(store.file_system)));
    result.Set("tail", store.unproven_records == 0 ? "clean" : "copied");
    result.Set("readOnly", !opened_.appendable);
    result.Set("whole", opened_.whole);
    Napi::Array warnings = Napi::Array::New(env);
    for (const std::string& each : opened_.warnings) warnings.Set(warnings.Length(), each);
    result.Set("warnings", warnings);
    return result;
  }

  // The effective options, as passed to the service.
  Napi::Value settings(const Napi::CallbackInfo& info) {
    return show_settings(info.Env(), options_);
  }

  Napi::Value stats(const Napi::CallbackInfo& info) {
    Napi::Object result = Napi::Object::New(info.Env());
    if (!thread_.running()) return result;
    for_each_counter(service_->server.stats(), counters_into(result));
    for_each_counter(service_->server.handoff_counters(), counters_into(result));
    for_each_counter(service_->face.stats(), counters_into(result));
    for_each_counter(service_->teller.stats(), counters_into(result));
    return result;
  }

  // --- the loop's thread ---
  sys::Status start(sys::EventLoop& loop) override {
    const uint64_t begin_ns = sys::monotonic_ns();
    service_ = std::make_unique<Service>(
        loop, file_system_, options_, [this](const char* name, const std::string& message) {
          thread_.emit(name, [message](Napi::Object& detail) { detail.Set("message", message); });
        });
    if (sys::Status status = service_->start(); !status.ok()) return status;
    const ledger::Books& books = service_->books;
    opened_ = {.port = service_->server.port(),
               .addresses = service_->server.addresses(),
               .open_ns = sys::monotonic_ns() - begin_ns,
               .last_seq = books.store().last_seq(),
               .appendable = books.store().appendable(),
               .whole = books.store().whole(),
               .store = books.store().stats(),
               .warnings = books.warnings()};
    return {};
  }

  void drain(sys::EventLoop& loop, uint64_t patience_ms, std::function<void()> done) override {
    service_->server.drain(loop.now_ms() + patience_ms, std::move(done));
  }

  sys::Status finish() override {
    sys::Status status = service_->close();
    service_.reset();
    return status;
  }

  void abandon() override { service_.reset(); }

  Settings options_;
  sys::PosixFileSystem file_system_;
  Opened opened_;
  // Created and freed on the loop's thread; JavaScript's thread reads its atomics meanwhile.
  std::unique_ptr<Service> service_;
  LoopThread thread_;  // last: it must be destroyed before everything that it uses
};

}  // namespace

Napi::Function define_database(Napi::Env env) { return Database::define(env); }

}  // namespace espora::binding
