#include "binding/js_channel.h"

#include <exception>

#include "sys/check.h"

namespace espora::binding {

namespace {

// Stored with Napi::Env::SetInstanceData: freed with the environment.
struct InstanceData {
  std::shared_ptr<JsChannel> channel;
};

}  // namespace

std::shared_ptr<JsChannel> JsChannel::of(Napi::Env env) {
  auto* data = env.GetInstanceData<InstanceData>();
  if (data == nullptr) {
    data = new InstanceData;
    env.SetInstanceData(data);
  }
  if (data->channel == nullptr) {
    std::shared_ptr<JsChannel> channel(new JsChannel);
    channel->env_ = env;
    // Queue size 0: unbounded, because a post must never block the data plane; there is one message
    // per start, stop or event, not per request.
    const napi_status made = napi_create_threadsafe_function(
        env, nullptr, nullptr, Napi::String::New(env, "espora"), 0, 1, nullptr, nullptr,
        channel.get(), &JsChannel::call_js, &channel->function_);
    if (made != napi_ok) throw Napi::Error::New(env, "cannot create a thread-safe function");
    napi_unref_threadsafe_function(env, channel->function_);
    // Added after the function, so that it runs before Node destroys the function.
    napi_add_env_cleanup_hook(env, &JsChannel::on_cleanup, channel.get());
    data->channel = std::move(channel);
  }
  return data->channel;
}

void JsChannel::post(Work work) {
  const std::lock_guard lock(mutex_);
  if (function_ == nullptr) return;
  auto message = std::make_unique<Work>(std::move(work));
  if (napi_call_threadsafe_function(function_, message.get(), napi_tsfn_nonblocking) == napi_ok) {
    (void)message.release();
  }
}

void JsChannel::hold() {
  if (holders_++ > 0) return;
  const std::lock_guard lock(mutex_);
  if (function_ != nullptr) napi_ref_threadsafe_function(env_, function_);
}

void JsChannel::let_go() {
  ESPORA_CHECK(holders_ > 0);
  if (--holders_ > 0) return;
  const std::lock_guard lock(mutex_);
  if (function_ != nullptr) napi_unref_threadsafe_function(env_, function_);
}

void JsChannel::call_js(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Work> work(static_cast<Work*>(data));
  if (env == nullptr) return;  // the environment ends: only free the memory
  const Napi::Env wrapped(env);
  const Napi::HandleScope scope(wrapped);
  try {
    (*work)(wrapped);
  } catch (const Napi::Error& error) {
    // Thrown by a user's callback: from here it would not reach 'uncaughtException' by itself.
    napi_fatal_exception(env, error.Value());
  } catch (const std::exception& error) {
    napi_fatal_exception(env, Napi::Error::New(wrapped, error.what()).Value());
  }
}

void JsChannel::on_cleanup(void* self) {
  auto* channel = static_cast<JsChannel*>(self);
  const std::lock_guard lock(channel->mutex_);
  napi_release_threadsafe_function(channel->function_, napi_tsfn_abort);
  channel->function_ = nullptr;
}

}  // namespace espora::binding
