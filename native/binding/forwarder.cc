#include "binding/forwarder.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "binding/loop_thread.h"
#include "binding/values.h"
#include "forward/forwarder.h"

namespace espora::binding {

namespace {

constexpr uint64_t milliseconds_max = 24 * 60 * 60 * 1000;

uint32_t get_count(const Napi::Object& object, const char* name) {
  return static_cast<uint32_t>(get_unsigned(object, name, UINT32_MAX));
}

// { address, weight }
forward::UpstreamAddress to_upstream(const Napi::Object& given) {
  auto address = sys::Address::parse(get_string(given, "address"));
  if (!address.ok()) throw to_error(given.Env(), address.status());
  return {std::move(address).value(), get_count(given, "weight")};
}

void read_health(const Napi::Object& given, forward::ForwarderOptions& options) {
  forward::HealthOptions& health = options.health;
  health.eject_after = get_count(given, "ejectAfter");
  health.eject_window_ms = get_unsigned(given, "ejectWindowMs", milliseconds_max);
  options.answer_timeout_ms = get_unsigned(given, "ejectSilenceMs", milliseconds_max);
  health.eject_ms = get_unsigned(given, "ejectTimeMs", milliseconds_max);
  health.eject_ms_max = get_unsigned(given, "ejectTimeMaxMs", milliseconds_max);
  health.readmit_after = get_count(given, "readmitAfter");
  health.fall = get_count(given, "fall");
  health.rise = get_count(given, "rise");
  forward::CheckOptions& check = options.check;
  const std::string kind = get_string(given, "check");
  if (kind == "connect") check.check = forward::Check::connect;
  if (kind == "http") check.check = forward::Check::http;
  check.interval_ms = get_unsigned(given, "intervalMs", milliseconds_max);
  check.timeout_ms = get_unsigned(given, "timeoutMs", milliseconds_max);
  check.path = get_string(given, "path");
  check.host = get_string_or(given, "host", "");
  check.status_min = get_count(given, "statusMin");
  check.status_max = get_count(given, "statusMax");
}

Napi::Object health_settings(Napi::Env env, const forward::ForwarderOptions& options) {
  Napi::Object result = Napi::Object::New(env);
  const forward::HealthOptions& health = options.health;
  set(result, "ejectAfter", health.eject_after);
  set(result, "ejectWindowMs", health.eject_window_ms);
  set(result, "ejectSilenceMs", options.answer_timeout_ms);
  set(result, "ejectTimeMs", health.eject_ms);
  set(result, "ejectTimeMaxMs", health.eject_ms_max);
  set(result, "readmitAfter", health.readmit_after);
  set(result, "fall", health.fall);
  set(result, "rise", health.rise);
  const forward::CheckOptions& check = options.check;
  const bool http = check.check == forward::Check::http;
  result.Set("check", http ? "http" : check.check == forward::Check::connect ? "connect" : "off");
  set(result, "intervalMs", check.interval_ms);
  set(result, "timeoutMs", check.timeout_ms);
  result.Set("path", check.path);
  result.Set("host", check.host);
  set(result, "statusMin", check.status_min);
  set(result, "statusMax", check.status_max);
  return result;
}

// { from: ["10.0.0.0/8", "unix"], send }
void read_proxy(const Napi::Object& given, forward::ForwarderOptions& options) {
  const Napi::Array from = get_array(given, "from");
  for (uint32_t i = 0; i < from.Length(); ++i) {
    const std::string text = from.Get(i).ToString().Utf8Value();
    if (text == "unix") {
      options.proxy.from_unix = true;
      continue;
    }
    auto network = sys::IpNetwork::parse(text);
    if (!network.ok()) throw to_error(given.Env(), network.status());
    options.proxy.from.push_back(network.value());
  }
  options.proxy.send = get_boolean_or(given, "send", false);
  options.check.send_proxy = options.proxy.send;
}

void set_durations(Napi::Object object, const char* name, const forward::Durations& durations) {
  Napi::Object each = Napi::Object::New(object.Env());
  set(each, "count", durations.count);
  set(each, "sumUs", durations.sum_us);
  set(each, "p50Us", durations.p50_us);
  set(each, "p90Us", durations.p90_us);
  set(each, "p99Us", durations.p99_us);
  set(each, "p999Us", durations.p999_us);
  object.Set(name, each);
}

// What a promise of JavaScript waits for. Rejects with `closed` if it goes without an answer: work
// that was posted is dropped with the loop.
class PendingChange {
 public:
  PendingChange(Napi::Env env, std::shared_ptr<JsChannel> channel)
      : deferred_(Napi::Promise::Deferred::New(env)), channel_(std::move(channel)) {
    channel_->hold();
  }
  ~PendingChange() {
    if (!settled_) settle(sys::Status(sys::Code::closed, "the service was stopped"));
  }
  PendingChange(const PendingChange&) = delete;
  PendingChange& operator=(const PendingChange&) = delete;

  [[nodiscard]] Napi::Promise promise() const { return deferred_.Promise(); }
  // Any thread.
  void settle(const sys::Status& status) {
    settled_ = true;
    channel_->post([deferred = deferred_, channel = channel_, status](Napi::Env env) {
      channel->let_go();
      if (status.ok()) {
        deferred.Resolve(env.Undefined());
      } else {
        deferred.Reject(to_error(env, status).Value());
      }
    });
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::shared_ptr<JsChannel> channel_;
  bool settled_ = false;
};

forward::ForwarderOptions to_options(const Napi::Object& given) {
  forward::ForwarderOptions options;
  options.name = get_string(given, "name");
  options.listen = to_listen_options(get_object(given, "listen"));
  const Napi::Array upstreams = get_array(given, "upstreams");
  for (uint32_t i = 0; i < upstreams.Length(); ++i) {
    const Napi::Value each = upstreams.Get(i);
    if (!each.IsObject()) throw Napi::TypeError::New(given.Env(), "an upstream is an object");
    forward::UpstreamAddress upstream = to_upstream(each.As<Napi::Object>());
    options.upstreams.push_back(std::move(upstream.address));
    options.weights.push_back(upstream.weight);
  }
  options.balance = get_string(given, "balance") == "least-connections"
                        ? forward::Balance::least_connections
                        : forward::Balance::round_robin;
  options.upstream_connections_max =
      static_cast<uint32_t>(get_unsigned(given, "upstreamConnectionsMax", UINT32_MAX));
  options.session_timeout_ms = get_unsigned(given, "sessionTimeoutMs", milliseconds_max);
  read_health(get_object(given, "health"), options);
  read_proxy(get_object(given, "proxyProtocol"), options);
  const std::string mode = get_string_or(given, "mode", "relay");
  if (mode == "handoff") {
    options.mode = forward::ForwardMode::handoff;
  } else if (mode != "relay") {
    throw Napi::TypeError::New(given.Env(), "option \"mode\" must be \"relay\" or \"handoff\"");
  }
  options.connect_timeout_ms = get_unsigned(given, "connectTimeoutMs", milliseconds_max);
  options.idle_timeout_ms = get_unsigned(given, "idleTimeoutMs", milliseconds_max);
  options.half_close_timeout_ms = get_unsigned(given, "halfCloseTimeoutMs", milliseconds_max);
  options.resolve_interval_ms = get_unsigned(given, "resolveIntervalMs", milliseconds_max);
  options.connections_max =
      static_cast<uint32_t>(get_unsigned(given, "connectionsMax", UINT32_MAX));
  return options;
}

class Forwarder final : public Napi::ObjectWrap<Forwarder>,
                        private LoopService,
                        private forward::ForwarderEvents {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Forwarder",
        {InstanceMethod<&Forwarder::start>("start"), InstanceMethod<&Forwarder::stop>("stop"),
         InstanceMethod<&Forwarder::stats>("stats"),
         InstanceMethod<&Forwarder::settings>("settings"),
         InstanceMethod<&Forwarder::owes_header>("owesHeader"),
         InstanceMethod<&Forwarder::set_upstream>("setUpstream"),
         InstanceMethod<&Forwarder::add_upstream>("addUpstream"),
         InstanceMethod<&Forwarder::remove_upstream>("removeUpstream")});
  }

  explicit Forwarder(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<Forwarder>(info), thread_(info.Env(), "espora-forward", *this, *this) {
    if (info.Length() < 1 || !info[0].IsObject()) {
      throw Napi::TypeError::New(info.Env(), "new Forwarder(options)");
    }
    options_ = to_options(info[0].As<Napi::Object>());
  }

 private:
  // --- JavaScript's thread ---
  Napi::Value start(const Napi::CallbackInfo& info) { return thread_.start(info); }
  Napi::Value stop(const Napi::CallbackInfo& info) { return thread_.stop(info); }

  Napi::Value started(Napi::Env env) override {
    Napi::Object result = Napi::Object::New(env);
    set_listening(result, options_.listen, port_, addresses_);
    return result;
  }

  // Whether a client that comes from the address of the argument (one without a '/' and an IP
  // address, or else a unix socket's) has to begin with a PROXY header.
  Napi::Value owes_header(const Napi::CallbackInfo& info) {
    const auto from = sys::Address::parse(std::string(info[0].ToString()));
    const auto ip = from.ok() ? sys::IpAddress::parse(from.value().host) : std::nullopt;
    const auto peer = ip.has_value() ? std::optional(sys::Endpoint{*ip, 0}) : std::nullopt;
    return Napi::Boolean::New(info.Env(), options_.proxy.owed_by(ip.has_value(), peer));
  }

  // What it runs with: the options as they were understood, which the forwarder is made with.
  Napi::Value settings(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Napi::Object result = Napi::Object::New(env);
    result.Set("name", options_.name);
    result.Set("listen", listen_settings(env, options_.listen));
    Napi::Array upstreams = Napi::Array::New(env);
    for (size_t i = 0; i < options_.upstreams.size(); ++i) {
      Napi::Object upstream = Napi::Object::New(env);
      upstream.Set("address", options_.upstreams[i].to_string());
      set(upstream, "weight", options_.weights[i]);
      upstreams.Set(upstreams.Length(), upstream);
    }
    result.Set("upstreams", upstreams);
    const bool least = options_.balance == forward::Balance::least_connections;
    result.Set("balance", least ? "least-connections" : "round-robin");
    const bool handoff = options_.mode == forward::ForwardMode::handoff;
    result.Set("mode", handoff ? "handoff" : "relay");
    set(result, "connectTimeoutMs", options_.connect_timeout_ms);
    set(result, "idleTimeoutMs", options_.idle_timeout_ms);
    set(result, "halfCloseTimeoutMs", options_.half_close_timeout_ms);
    set(result, "resolveIntervalMs", options_.resolve_interval_ms);
    set(result, "sessionTimeoutMs", options_.session_timeout_ms);
    set(result, "connectionsMax", options_.connections_max);
    set(result, "upstreamConnectionsMax", options_.upstream_connections_max);
    result.Set("health", health_settings(env, options_));
    Napi::Object proxy = Napi::Object::New(env);
    Napi::Array from = Napi::Array::New(env);
    for (const sys::IpNetwork& network : options_.proxy.from) {
      from.Set(from.Length(), network.base.to_string() + "/" + std::to_string(network.prefix_bits));
    }
    if (options_.proxy.from_unix) from.Set(from.Length(), "unix");
    proxy.Set("from", from);
    proxy.Set("send", options_.proxy.send);
    result.Set("proxyProtocol", proxy);
    return result;
  }

  Napi::Value stats(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Napi::Object result = Napi::Object::New(env);
    if (!thread_.running()) return result;
    const forward::ForwarderStats stats = forwarder_->stats();
    for_each_counter(stats, counters_into(result));
    set_durations(result, "connect", stats.connect);
    set_durations(result, "session", stats.session);
    Napi::Array upstreams = Napi::Array::New(env, stats.upstreams.size());
    for (size_t i = 0; i < stats.upstreams.size(); ++i) {
      const forward::UpstreamStats& upstream = stats.upstreams[i];
      Napi::Object each = Napi::Object::New(env);
      each.Set("address", upstream.address);
      each.Set("state", std::string(forward::name_of(upstream.state)));
      each.Set("health", std::string(forward::name_of(upstream.health)));
      each.Set("up", upstream.up);
      set(each, "weight", upstream.weight);
      for_each_counter(upstream, counters_into(each));
      set_durations(each, "connect", upstream.connect);
      set_durations(each, "session", upstream.session);
      upstreams.Set(static_cast<uint32_t>(i), each);
    }
    result.Set("upstreams", upstreams);
    return result;
  }

  // setUpstream(address, { state?, weight? }): a promise
  Napi::Value set_upstream(const Napi::CallbackInfo& info) {
    const Napi::Object change = info[1].As<Napi::Object>();
    const std::string state_name = get_string_or(change, "state", "");
    const auto state = forward::upstream_state_of(state_name);
    if (!state_name.empty() && !state.has_value()) {
      throw Napi::TypeError::New(info.Env(), "no such state: " + state_name);
    }
    std::optional<uint32_t> weight;
    if (change.Has("weight")) weight = get_count(change, "weight");
    return apply(info, [&](auto done) {
      forwarder_->set_upstream(info[0].ToString().Utf8Value(), state, weight, std::move(done));
    });
  }

  // addUpstream({ address, weight }): a promise
  Napi::Value add_upstream(const Napi::CallbackInfo& info) {
    forward::UpstreamAddress upstream = to_upstream(info[0].As<Napi::Object>());
    return apply(
        info, [&](auto done) { forwarder_->add_upstream(std::move(upstream), std::move(done)); });
  }

  // removeUpstream(address): a promise
  Napi::Value remove_upstream(const Napi::CallbackInfo& info) {
    return apply(info, [&](auto done) {
      forwarder_->remove_upstream(info[0].ToString().Utf8Value(), std::move(done));
    });
  }

  template <typename Change>
  Napi::Value apply(const Napi::CallbackInfo& info, const Change& change) {
    auto pending = std::make_shared<PendingChange>(info.Env(), JsChannel::of(info.Env()));
    const Napi::Promise promise = pending->promise();
    if (!thread_.running()) return promise;  // which the end of `pending` rejects
    change([pending = std::move(pending)](const sys::Status& status) { pending->settle(status); });
    return promise;
  }

  // --- the loop's thread ---
  sys::Status start(sys::EventLoop& loop) override {
    auto forwarder = forward::Forwarder::start(loop, options_, this);
    if (!forwarder.ok()) return forwarder.status();
    forwarder_ = std::move(forwarder).value();
    port_ = forwarder_->port();
    addresses_ = forwarder_->addresses();
    return {};
  }

  void drain(sys::EventLoop&, uint64_t patience_ms, std::function<void()> done) override {
    forwarder_->drain(patience_ms, std::move(done));
  }

  sys::Status finish() override {
    forwarder_.reset();
    return {};
  }

  void abandon() override { forwarder_.reset(); }

  void on_upstream_unreachable(size_t, const std::string& address,
                               const sys::Status& reason) override {
    thread_.emit("upstream-unreachable", [address, reason](Napi::Object& detail) {
      detail.Set("upstream", address);
      detail.Set("message", reason.message());
    });
  }
  void on_upstream_reachable(size_t, const std::string& address) override {
    thread_.emit("upstream-reachable",
                 [address](Napi::Object& detail) { detail.Set("upstream", address); });
  }
  void on_upstream_change(const forward::UpstreamChange& change) override {
    thread_.emit("upstream", [change](Napi::Object& detail) {
      detail.Set("upstream", change.address);
      detail.Set("state", std::string(forward::name_of(change.state)));
      detail.Set("health", std::string(forward::name_of(change.health)));
      detail.Set("message", change.reason);
    });
  }
  void on_accept_paused(const sys::Status& reason) override {
    emit("accept-paused", reason.message());
  }
  void on_header_refused(const std::string& message) override { emit("warning", message); }

  void emit(const char* name, const std::string& message) {
    thread_.emit(name, [message](Napi::Object& detail) { detail.Set("message", message); });
  }

  forward::ForwarderOptions options_;
  uint16_t port_ = 0;
  std::vector<std::string> addresses_;
  // Made and freed on the loop's thread; JavaScript's thread reads its counters while it runs.
  std::unique_ptr<forward::Forwarder> forwarder_;
  LoopThread thread_;  // last: its end must come before that of what it uses
};

}  // namespace

Napi::Function define_forwarder(Napi::Env env) { return Forwarder::define(env); }

}  // namespace espora::binding
