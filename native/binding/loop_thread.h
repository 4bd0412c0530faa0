// The life of one service behind a JavaScript object: an event loop on a thread of its own, started
// and stopped by promises. JavaScript's thread calls in; the loop's thread does the work.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "binding/js_channel.h"
#include "sys/event_loop.h"
#include "sys/status.h"
#include "sys/thread.h"

namespace espora::binding {

// What runs on the loop. All but started() is called on the loop's thread.
class LoopService {
 public:
  // Opens and listens. A failed start is followed by nothing but the end of the thread.
  virtual sys::Status start(sys::EventLoop& loop) = 0;
  // No new work; `done` when the old is done, at the latest after `patience_ms`. May come again,
  // with less patience.
  virtual void drain(sys::EventLoop& loop, uint64_t patience_ms, std::function<void()> done) = 0;
  // After the loop's last turn; frees everything.
  virtual sys::Status finish() = 0;
  // Frees what a failed start left.
  virtual void abandon() = 0;
  // JavaScript's thread: what the promise of a start that succeeded resolves with.
  virtual Napi::Value started(Napi::Env env) = 0;

 protected:
  ~LoopService() = default;
};

// Promises settle, and events arrive, on JavaScript's thread. From a start that found a thread to
// the end of it the object around this is kept, and so is what it calls back; no longer: an object
// that is never started, or was stopped, is nobody's.
class LoopThread {
 public:
  LoopThread(Napi::Env env, const char* name, LoopService& service,
             Napi::Reference<Napi::Object>& object);
  // Stops at once and waits for the thread: an environment that ends leaves no thread behind.
  ~LoopThread();

  // start(onEvent): a promise
  Napi::Value start(const Napi::CallbackInfo& info);
  // stop(patienceMs): a promise
  Napi::Value stop(const Napi::CallbackInfo& info);

  // The loop's thread: onEvent(name, detail), where `fill` gives the detail its members.
  void emit(std::string name, std::function<void(Napi::Object& detail)> fill);

  // Between a successful start and the end. JavaScript's thread.
  [[nodiscard]] bool running() const noexcept { return state_ == State::running; }

 private:
  enum class State : uint8_t { created, starting, running, stopping, ended };

  void run();
  void on_started(Napi::Env env, const sys::Status& status);
  void on_finished(Napi::Env env, const sys::Status& status);

  // `work` on JavaScript's thread, where this is still there by then.
  void tell(std::function<void(Napi::Env)> work);

  const char* name_;
  LoopService& service_;
  Napi::Reference<Napi::Object>& object_;
  std::shared_ptr<JsChannel> channel_;
  // Lets messages that outlive this object find that out; read on JavaScript's thread only.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<sys::EventLoop> loop_;
  sys::Thread thread_;
  State state_ = State::created;
  std::optional<Napi::Promise::Deferred> start_promise_;
  Napi::FunctionReference on_event_;
  std::vector<Napi::Promise::Deferred> stop_promises_;
};

}  // namespace espora::binding
