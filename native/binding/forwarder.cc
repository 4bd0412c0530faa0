#include "binding/forwarder.h"

#include <algorithm>
#include <memory>
#include <string>

#include "binding/loop_thread.h"
#include "binding/values.h"
#include "forward/forwarder.h"

namespace espora::binding {

namespace {

constexpr uint64_t milliseconds_max = 24 * 60 * 60 * 1000;

forward::ForwarderOptions to_options(const Napi::Object& given) {
  forward::ForwarderOptions options;
  options.name = get_string(given, "name");
  options.listen = to_listen_options(get_object(given, "listen"));
  const Napi::Array upstreams = get_array(given, "upstreams");
  for (uint32_t i = 0; i < upstreams.Length(); ++i) {
    const Napi::Value each = upstreams.Get(i);
    if (!each.IsString()) throw Napi::TypeError::New(given.Env(), "an upstream is a string");
    auto address = sys::Address::parse(each.As<Napi::String>().Utf8Value());
    if (!address.ok()) throw to_error(given.Env(), address.status());
    options.upstreams.push_back(std::move(address).value());
  }
  options.connect_timeout_ms = get_unsigned(given, "connectTimeoutMs", milliseconds_max);
  options.idle_timeout_ms = get_unsigned(given, "idleTimeoutMs", milliseconds_max);
  options.half_close_timeout_ms = get_unsigned(given, "halfCloseTimeoutMs", milliseconds_max);
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
         InstanceMethod<&Forwarder::stats>("stats")});
  }

  explicit Forwarder(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<Forwarder>(info), thread_(info.Env(), "espora-forward", *this) {
    if (info.Length() < 2 || !info[0].IsObject() || !info[1].IsFunction()) {
      throw Napi::TypeError::New(info.Env(), "new Forwarder(options, onEvent)");
    }
    options_ = to_options(info[0].As<Napi::Object>());
    on_event_ = Napi::Persistent(info[1].As<Napi::Function>());
  }

 private:
  // --- JavaScript's thread ---
  Napi::Value start(const Napi::CallbackInfo& info) {
    Ref();
    return thread_.start(
        info.Env(), [this](Napi::Env env) { return started(env); }, [this] { Unref(); });
  }

  Napi::Value stop(const Napi::CallbackInfo& info) {
    const uint64_t patience_ms =
        info.Length() > 0 && info[0].IsNumber()
            ? static_cast<uint64_t>(std::max<int64_t>(0, info[0].As<Napi::Number>().Int64Value()))
            : 0;
    return thread_.stop(info.Env(), patience_ms);
  }

  Napi::Value started(Napi::Env env) {
    Napi::Object result = Napi::Object::New(env);
    if (options_.listen.port.has_value()) set(result, "port", port_);
    if (!options_.listen.unix_path.empty()) result.Set("unixSocket", options_.listen.unix_path);
    return result;
  }

  Napi::Value stats(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Napi::Object result = Napi::Object::New(env);
    if (!thread_.running()) return result;
    const forward::ForwarderStats stats = forwarder_->stats();
    set(result, "accepted", stats.accepted);
    set(result, "active", stats.active);
    set(result, "bytesUp", stats.bytes_up);
    set(result, "bytesDown", stats.bytes_down);
    set(result, "retries", stats.retries);
    set(result, "backlogWaits", stats.backlog_waits);
    set(result, "localErrors", stats.local_errors);
    set(result, "acceptPauses", stats.accept_pauses);
    set(result, "limitPauses", stats.limit_pauses);
    set(result, "acceptErrors", stats.accept_errors);
    set(result, "endedNormally", stats.ended_normally);
    set(result, "endedByClient", stats.ended_by_client);
    set(result, "endedByUpstream", stats.ended_by_upstream);
    set(result, "endedUnreachable", stats.ended_unreachable);
    set(result, "endedConnectTimeout", stats.ended_connect_timeout);
    set(result, "endedIdle", stats.ended_idle);
    set(result, "endedHalfClosed", stats.ended_half_closed);
    set(result, "endedByStop", stats.ended_by_stop);
    set(result, "endedLocalError", stats.ended_local_error);
    set(result, "buffersInUse", stats.buffers_in_use);
    set(result, "buffersPeak", stats.buffers_peak);
    Napi::Array upstreams = Napi::Array::New(env, stats.upstreams.size());
    for (size_t i = 0; i < stats.upstreams.size(); ++i) {
      const forward::UpstreamStats& upstream = stats.upstreams[i];
      Napi::Object each = Napi::Object::New(env);
      each.Set("address", upstream.address);
      each.Set("up", upstream.up);
      set(each, "connections", upstream.connections);
      set(each, "active", upstream.active);
      set(each, "connectFailures", upstream.connect_failures);
      set(each, "bytesTo", upstream.bytes_to);
      set(each, "bytesFrom", upstream.bytes_from);
      upstreams.Set(static_cast<uint32_t>(i), each);
    }
    result.Set("upstreams", upstreams);
    return result;
  }

  void emit(std::string name, std::string upstream, std::string message) {
    thread_.channel().post([this, name = std::move(name), upstream = std::move(upstream),
                            message = std::move(message)](Napi::Env env) {
      Napi::Object detail = Napi::Object::New(env);
      if (!upstream.empty()) detail.Set("upstream", upstream);
      if (!message.empty()) detail.Set("message", message);
      on_event_.Call({Napi::String::New(env, name), detail});
    });
  }

  // --- the loop's thread ---
  sys::Status start(sys::EventLoop& loop) override {
    auto forwarder = forward::Forwarder::start(loop, options_, this);
    if (!forwarder.ok()) return forwarder.status();
    forwarder_ = std::move(forwarder).value();
    port_ = forwarder_->port();
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

  void on_upstream_unreachable(size_t upstream, const sys::Status& reason) override {
    emit("upstream-unreachable", options_.upstreams[upstream].to_string(), reason.message());
  }
  void on_upstream_reachable(size_t upstream) override {
    emit("upstream-reachable", options_.upstreams[upstream].to_string(), {});
  }
  void on_accept_paused(const sys::Status& reason) override {
    emit("accept-paused", {}, reason.message());
  }

  forward::ForwarderOptions options_;
  Napi::FunctionReference on_event_;
  uint16_t port_ = 0;
  // Made and freed on the loop's thread; JavaScript's thread reads its counters while it runs.
  std::unique_ptr<forward::Forwarder> forwarder_;
  LoopThread thread_;  // last: its end must come before that of what it uses
};

}  // namespace

Napi::Function define_forwarder(Napi::Env env) { return Forwarder::define(env); }

}  // namespace espora::binding
