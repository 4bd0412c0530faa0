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

constexpr uint64_t milliseconds_max = 24 * 60 * 60 * 1000;

store::Sync to_sync(const Napi::Object& options) {
  const std::string name = get_string(options, "sync");
  if (name == "always") return store::Sync::always;
  if (name == "interval") return store::Sync::interval;
  if (name == "never") return store::Sync::never;
  throw Napi::TypeError::New(options.Env(),
                             "option \"sync\" must be \"always\", \"interval\" or \"never\"");
}

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

ledger::ServiceOptions to_service_options(const Napi::Object& options) {
  ledger::ServiceOptions service;
  service.store.directory = get_path(options, "directory");
  service.store.create = true;
  service.store.segment_bytes = get_unsigned_or(options, "segmentBytes", uint64_t{1} << 40, 0);
  service.store.sync = to_sync(options);
  service.store.flush_interval_ms =
      static_cast<uint32_t>(get_unsigned_or(options, "syncIntervalMs", milliseconds_max, 10));
  if (options.Has("accounts")) service.accounts = to_accounts(options);
  service.http.listen = to_listen_options(get_object(options, "listen"));
  service.http.connections_max =
      static_cast<uint32_t>(get_unsigned(options, "connectionsMax", UINT32_MAX));
  service.http.body_bytes_max =
      static_cast<uint32_t>(get_unsigned(options, "bodyBytesMax", limits::http_body_bytes_max));
  service.http.header_timeout_ms = get_unsigned(options, "headerTimeoutMs", milliseconds_max);
  service.http.body_timeout_ms = get_unsigned(options, "bodyTimeoutMs", milliseconds_max);
  service.http.idle_timeout_ms = get_unsigned(options, "idleTimeoutMs", milliseconds_max);
  return service;
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
    const auto options = info[0].As<Napi::Object>();
    options_ = to_service_options(options);
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
    const Napi::Env env = info.Env();
    Napi::Object result = Napi::Object::New(env);
    const store::Options& store = options_.store;
    result.Set("directory", store.directory);
    const bool always = store.sync == store::Sync::always;
    result.Set("sync", always ? "always" : store.sync == store::Sync::never ? "never" : "interval");
    set(result, "syncIntervalMs", store.flush_interval_ms);
    set(result, "segmentBytes", store.segment_bytes);
    Napi::Array accounts = Napi::Array::New(env);
    if (options_.accounts.has_value()) {
      for (const ledger::AccountLimit& each : options_.accounts->accounts()) {
        Napi::Object account = Napi::Object::New(env);
        set(account, "id", each.id);
        set(account, "limit", static_cast<uint64_t>(each.limit));
        accounts.Set(accounts.Length(), account);
      }
    }
    result.Set("accounts", accounts);
    const http::ServerOptions& http = options_.http;
    result.Set("listen", listen_settings(env, http.listen));
    set(result, "connectionsMax", http.connections_max);
    set(result, "bodyBytesMax", http.body_bytes_max);
    set(result, "headerTimeoutMs", http.header_timeout_ms);
    set(result, "bodyTimeoutMs", http.body_timeout_ms);
    set(result, "idleTimeoutMs", http.idle_timeout_ms);
    return result;
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
