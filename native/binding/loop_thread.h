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

// The service that runs on the loop. All but started() is called on the loop's thread.
class LoopService {
 public:
  // Opens and listens. After a failed start only abandon() is called, and the thread ends.
  virtual sys::Status start(sys::EventLoop& loop) = 0;
  // Takes no new work; calls `done` when the old work is done, at the latest after `patience_ms`.
  // May be called again, with less patience.
  virtual void drain(sys::EventLoop& loop, uint64_t patience_ms, std::function<void()> done) = 0;
  // Called after the loop's last turn; frees everything.
  virtual sys::Status finish() = 0;
  // Frees what remains of a failed start.
  virtual void abandon() = 0;
  // JavaScript's thread: the value that the promise of a successful start resolves with.
  virtual Napi::Value started(Napi::Env env) = 0;

 protected:
  ~LoopService() = default;
};

// Promises settle, and events arrive, on JavaScript's thread. From the creation of the thread to
// its end the surrounding object, and with it its callback, is kept alive; an object that was never
// started, or was stopped, can be collected.
class LoopThread {
 public:
  LoopThread(Napi::Env env, const char* name, LoopService& service,
             Napi::Reference<Napi::Object>& object);
  // Stops at once and waits for the thread, so that an environment that ends leaves none behind.
  ~LoopThread();

  // start(onEvent): a promise
  Napi::Value start(const Napi::CallbackInfo& info);
  // stop(patienceMs): a promise
  Napi::Value stop(const Napi::CallbackInfo& info);

  // The loop's thread: calls onEvent(name, detail), with members set by `fill`.
  void emit(std::string name, std::function<void(Napi::Object& detail)> fill);

  // Between a successful start and the end. JavaScript's thread.
  [[nodiscard]] bool running() const noexcept { return state_ == State::running; }

 private:
  enum class State : uint8_t { created, starting, running, stopping, ended };

  void run();
  void on_started(Napi::Env env, const sys::Status& status);
  void on_finished(Napi::Env env, const sys::Status& status);

  // Runs `work` on JavaScript's thread, unless this was destroyed by then.
  void tell(std::function<void(Napi::Env)> work);

  const char* name_;
  LoopService& service_;
  Napi::Reference<Napi::Object>& object_;
  std::shared_ptr<JsChannel> channel_;
  // Tells messages that outlive this object; read on JavaScript's thread only.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<sys::EventLoop> loop_;
  sys::Thread thread_;
  State state_ = State::created;
  std::optional<Napi::Promise::Deferred> start_promise_;
  Napi::FunctionReference on_event_;
  std::vector<Napi::Promise::Deferred> stop_promises_;
};

}  // namespace espora::binding
