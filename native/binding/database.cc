#include "binding/database.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "binding/loop_thread.h"
#include "binding/values.h"
#include "ledger/service.h"
#include "sys/clock.h"
#include "sys/file_system.h"
#include "sys/process.h"

namespace espora::binding {

namespace {

// After the store failed: for the 503s to leave and for the log, before the process ends.
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

// The settings that are numbers, by their names in the table of options.
template <typename Settings, typename Options>
void for_each_setting(const Settings& settings, Options& options) {
  settings.count("connectionsMax", options.connections_max);
  settings.number("bodyBytesMax", options.body_bytes_max, limits::http_body_bytes_max);
  settings.milliseconds("headerTimeout", options.header_timeout_ms);
  settings.milliseconds("bodyTimeout", options.body_timeout_ms);
  settings.milliseconds("keepAliveTimeout", options.keep_alive_timeout_ms);
}

ledger::ServiceOptions read_settings(const Napi::Object& given) {
  ledger::ServiceOptions options;
  options.store.directory = get_path(given, "data");
  options.store.create = true;
  options.store.segment_bytes =
      get_unsigned_or(given, "segmentBytes", limits::segment_bytes_max, 0);
  const uint64_t interval_ms = get_unsigned(given, "fsyncInterval", milliseconds_max);
  options.store.sync = interval_ms == 0 ? store::Sync::always : store::Sync::interval;
  options.store.flush_interval_ms = static_cast<uint32_t>(interval_ms);
  if (!absent(given, "accounts")) options.accounts = to_accounts(given);
  options.http.listen = read_listening(given);
  for_each_setting(SettingsReader(given), options.http);
  return options;
}

Napi::Object show_settings(Napi::Env env, const ledger::ServiceOptions& options) {
  Napi::Object shown = Napi::Object::New(env);
  const store::Options& store = options.store;
  shown.Set("data", store.directory);
  set(shown, "segmentBytes", store.segment_bytes);
  set(shown, "fsyncInterval", store.sync == store::Sync::always ? 0 : store.flush_interval_ms);
  Napi::Array accounts = Napi::Array::New(env);
  if (options.accounts.has_value()) {
    for (const ledger::AccountLimit& each : options.accounts->accounts()) {
      Napi::Object account = Napi::Object::New(env);
      set(account, "id", each.id);
      set(account, "limit", static_cast<uint64_t>(each.limit));
      accounts.Set(accounts.Length(), account);
    }
  }
  shown.Set("accounts", accounts);
  show_listening(shown, options.http.listen);
  for_each_setting(SettingsWriter(shown), options.http);
  return shown;
}

// What start() found, for its promise.
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

class Database final : public Napi::ObjectWrap<Database>,
                       private LoopService,
                       private ledger::ServiceEvents {
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

  // What it runs with: the options as they were understood, which the service is made with.
  Napi::Value settings(const Napi::CallbackInfo& info) {
    return show_settings(info.Env(), options_);
  }

  Napi::Value stats(const Napi::CallbackInfo& info) {
    Napi::Object result = Napi::Object::New(info.Env());
    if (!thread_.running()) return result;
    for_each_counter(service_->http_stats(), counters_into(result));
    for_each_counter(service_->handoff_counters(), counters_into(result));
    for_each_counter(service_->stats(), counters_into(result));
    return result;
  }

  // --- the loop's thread ---
  sys::Status start(sys::EventLoop& loop) override {
    loop_ = &loop;
    const uint64_t begin_ns = sys::monotonic_ns();
    ledger::ServiceEvents& events = *this;
    service_ = std::make_unique<ledger::Service>(loop, file_system_, options_, events);
    sys::Status status = service_->start();
    if (!status.ok()) return status;
    const store::Engine& engine = service_->engine();
    opened_ = {.port = service_->port(),
               .addresses = service_->addresses(),
               .open_ns = sys::monotonic_ns() - begin_ns,
               .last_seq = engine.last_seq(),
               .appendable = engine.appendable(),
               .whole = engine.whole(),
               .store = engine.stats(),
               .warnings = service_->warnings()};
    return {};
  }

  void drain(sys::EventLoop& loop, uint64_t patience_ms, std::function<void()> done) override {
    service_->drain(loop.now_ms() + patience_ms, std::move(done));
  }

  sys::Status finish() override {
    loop_->timers().disarm(failure_timer_);
    sys::Status status = service_->close();
    service_.reset();
    return status;
  }

  void abandon() override { service_.reset(); }

  void on_store_failed(const sys::Status& failure) override {
    emit("failed", failure.message());
    loop_->timers().arm(failure_timer_, loop_->now_ms() + failure_grace_ms);
  }

  void on_store_warning(const std::string& message) override { emit("warning", message); }

  void emit(const char* name, const std::string& message) {
    thread_.emit(name, [message](Napi::Object& detail) { detail.Set("message", message); });
  }

  ledger::ServiceOptions options_;
  sys::PosixFileSystem file_system_;
  sys::EventLoop* loop_ = nullptr;
  sys::Timer failure_timer_{[](sys::Timer&, void*) { sys::exit_now(1); }, nullptr};
  Opened opened_;
  // Made and freed on the loop's thread; JavaScript's thread reads its atomics while it runs.
  std::unique_ptr<ledger::Service> service_;
  LoopThread thread_;  // last: its end must come before that of what it uses
};

}  // namespace

Napi::Function define_database(Napi::Env env) { return Database::define(env); }

}  // namespace espora::binding
