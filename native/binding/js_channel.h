// From any thread to the JavaScript thread of one environment: work posted here runs there, in
// order. There is one channel per environment (main thread or worker), and no global state.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>

namespace espora::binding {

class JsChannel {
 public:
  using Work = std::function<void(Napi::Env)>;

  // The channel of this environment, created by the first call. JavaScript's thread.
  static std::shared_ptr<JsChannel> of(Napi::Env env);
  ~JsChannel() = default;
  JsChannel(const JsChannel&) = delete;
  JsChannel& operator=(const JsChannel&) = delete;

  // Any thread. The work is silently dropped once the environment ends.
  void post(Work work);

  // JavaScript's thread. While it is held the event loop of the environment stays alive.
  void hold();
  void let_go();

 private:
  JsChannel() = default;
  static void call_js(napi_env env, napi_value callback, void* context, void* data);
  static void on_cleanup(void* self);

  std::mutex mutex_;
  napi_threadsafe_function function_ = nullptr;  // guarded by mutex_; null after the end
  napi_env env_ = nullptr;
  int holders_ = 0;
};

}  // namespace espora::binding
