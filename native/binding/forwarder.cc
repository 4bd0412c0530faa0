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

uint32_t get_count(const Napi::Object& object, const char* name) {
  return static_cast<uint32_t>(get_unsigned(object, name, UINT32_MAX));
}

// { address, weight }
forward::UpstreamAddress to_upstream(const Napi::Object& given) {
  auto address = sys::Address::parse(get_string(given, "address"));
  if (!address.ok()) throw to_error(given.Env(), address.status());
  return {std::move(address).value(), get_count(given, "weight")};
}

// The settings of every forwarder, by their names in the table of options.
template <typename Settings, typename Options>
void for_each_setting(const Settings& settings, Options& options) {
  using forward::ForwardMode;
  settings.text("name", options.name);
  settings.choice("mode", options.mode,
                  {{"relay", ForwardMode::relay}, {"handoff", ForwardMode::handoff}});
  settings.milliseconds("connectTimeout", options.connect_timeout_ms);
  settings.milliseconds("idleTimeout", options.idle_timeout_ms);
  settings.milliseconds("halfCloseTimeout", options.half_close_timeout_ms);
  settings.milliseconds("sessionTimeout", options.session_timeout_ms);
  settings.milliseconds("resolveInterval", options.resolve_interval_ms);
  settings.count("connectionsMax", options.connections_max);
  settings.choice("proxyProtocolSend", options.proxy.send, {{"off", false}, {"v2", true}});
}

// The settings of a balancer alone: they need more than one upstream.
template <typename Settings, typename Options>
void for_each_balancer_setting(const Settings& settings, Options& options) {
  using forward::Balance;
  using forward::Check;
  settings.choice(
      "balance", options.balance,
      {{"round-robin", Balance::round_robin}, {"least-connections", Balance::least_connections}});
  settings.count("upstreamConnectionsMax", options.upstream_connections_max);
  settings.count("ejectAfter", options.health.eject_after);
  settings.milliseconds("ejectWindow", options.health.eject_window_ms);
  settings.milliseconds("ejectSilence", options.eject_silence_ms);
  settings.milliseconds("ejectTime", options.health.eject_time_ms);
  settings.milliseconds("ejectTimeMax", options.health.eject_time_max_ms);
  settings.count("readmitAfter", options.health.readmit_after);
  settings.choice("healthCheck", options.check.check,
                  {{"off", Check::none}, {"connect", Check::connect}, {"http", Check::http}});
  settings.milliseconds("healthInterval", options.check.interval_ms);
  settings.milliseconds("healthTimeout", options.check.timeout_ms);
  settings.text("healthPath", options.check.path);
  settings.text("healthHost", options.check.host);
  settings.range("healthStatus", options.check.status_min, options.check.status_max);
  settings.count("healthFall", options.health.fall);
  settings.count("healthRise", options.health.rise);
}

// ["10.0.0.0/8", "unix"]
void read_proxy_clients(const Napi::Object& given, forward::ProxyOptions& proxy) {
  if (absent(given, "proxyProtocolFrom")) return;
  const Napi::Array from = get_array(given, "proxyProtocolFrom");
  for (uint32_t i = 0; i < from.Length(); ++i) {
    const std::string text = from.Get(i).ToString().Utf8Value();
    if (text == "unix") {
      proxy.from_unix = true;
      continue;
    }
    auto network = sys::IpNetwork::parse(text);
    if (!network.ok()) throw to_error(given.Env(), network.status());
    proxy.from.push_back(network.value());
  }
}

forward::ForwarderOptions read_settings(const Napi::Object& given) {
  forward::ForwarderOptions options;
  options.listen = read_listening(given);
  const Napi::Array upstreams = get_array(given, "upstreams");
  for (uint32_t i = 0; i < upstreams.Length(); ++i) {
    const Napi::Value each = upstreams.Get(i);
    if (!each.IsObject()) throw Napi::TypeError::New(given.Env(), "an upstream is an object");
    forward::UpstreamAddress upstream = to_upstream(each.As<Napi::Object>());
    options.upstreams.push_back(std::move(upstream.address));
    options.weights.push_back(upstream.weight);
  }
  for_each_setting(SettingsReader(given), options);
  if (!absent(given, "balance")) for_each_balancer_setting(SettingsReader(given), options);
  read_proxy_clients(given, options.proxy);
  options.check.send_proxy = options.proxy.send;
  return options;
}

Napi::Object show_settings(Napi::Env env, const forward::ForwarderOptions& options) {
  Napi::Object shown = Napi::Object::New(env);
  show_listening(shown, options.listen);
  Napi::Array upstreams = Napi::Array::New(env);
  for (size_t i = 0; i < options.upstreams.size(); ++i) {
    Napi::Object upstream = Napi::Object::New(env);
    upstream.Set("address", options.upstreams[i].to_string());
    set(upstream, "weight", options.weights[i]);
    upstreams.Set(upstreams.Length(), upstream);
  }
  shown.Set("upstreams", upstreams);
  for_each_setting(SettingsWriter(shown), options);
  for_each_balancer_setting(SettingsWriter(shown), options);
  Napi::Array from = Napi::Array::New(env);
  for (const sys::IpNetwork& network : options.proxy.from) {
    from.Set(from.Length(), network.base.to_string() + "/" + std::to_string(network.prefix_bits));
  }
  if (options.proxy.from_unix) from.Set(from.Length(), "unix");
  shown.Set("proxyProtocolFrom", from);
  return shown;
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

// A pending JavaScript promise. Rejects with `closed` if it is destroyed unanswered, because posted
// work is dropped with the loop.
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
    options_ = read_settings(info[0].As<Napi::Object>());
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

  // Whether a client from the address in the argument (an IP address, or a unix socket's) must
  // begin with a PROXY header.
  Napi::Value owes_header(const Napi::CallbackInfo& info) {
    const auto from = sys::Address::parse(std::string(info[0].ToString()));
    const auto ip = from.ok() ? sys::IpAddress::parse(from.value().host) : std::nullopt;
    const auto peer = ip.has_value() ? std::optional(sys::Endpoint{*ip, 0}) : std::nullopt;
    return Napi::Boolean::New(info.Env(), options_.proxy.owed_by(ip.has_value(), peer));
  }

  // The effective options, as passed to the forwarder.
  Napi::Value settings(const Napi::CallbackInfo& info) {
    return show_settings(info.Env(), options_);
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
    if (!thread_.running()) return promise;  // destroying `pending` rejects it
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
  // Created and freed on the loop's thread; JavaScript's thread reads its counters meanwhile.
  std::unique_ptr<forward::Forwarder> forwarder_;
  LoopThread thread_;  // last: it must be destroyed before everything that it uses
};

}  // namespace

Napi::Function define_forwarder(Napi::Env env) { return Forwarder::define(env); }

}  // namespace espora::binding
