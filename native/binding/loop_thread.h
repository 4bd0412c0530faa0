// The life of one service behind a JavaScript object: an event loop on a thread of its own, started
// and stopped by promises. JavaScript's thread calls in; the loop's thread does the work.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "binding/js_channel.h"
#include "sys/event_loop.h"
#include "sys/status.h"
#include "sys/thread.h"

namespace espora::binding {

// What runs on the loop. All of it is called on the loop's thread.
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

 protected:
  ~LoopService() = default;
};

// Promises settle, and `started` and `ended` are called, on JavaScript's thread.
class LoopThread {
 public:
  LoopThread(Napi::Env env, const char* name, LoopService& service);
  // What a start needs of the object around it.
  struct Hooks {
    // The thread is there: from now on the object has to stay.
    std::function<void()> began;
    // Makes the promise's value.
    std::function<Napi::Value(Napi::Env)> started;
    // Called once after `began`, when the thread is gone.
    std::function<void()> ended;
  };

  // Stops at once and waits for the thread: an environment that ends leaves no thread behind.
  ~LoopThread();

  Napi::Promise start(Napi::Env env, Hooks hooks);
  Napi::Promise stop(Napi::Env env, uint64_t patience_ms);

  [[nodiscard]] JsChannel& channel() noexcept { return *channel_; }
  // Between a successful start and the end. JavaScript's thread.
  [[nodiscard]] bool running() const noexcept { return state_ == State::running; }

 private:
  enum class State : uint8_t { created, starting, running, stopping, ended };

  void run();
  void on_started(Napi::Env env, const sys::Status& status);
  void on_finished(Napi::Env env, const sys::Status& status);

  const char* name_;
  LoopService& service_;
  std::shared_ptr<JsChannel> channel_;
  // Lets messages that outlive this object find that out; read on JavaScript's thread only.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<sys::EventLoop> loop_;
  sys::Thread thread_;
  State state_ = State::created;
  std::optional<Napi::Promise::Deferred> start_promise_;
  Hooks hooks_;
  std::vector<Napi::Promise::Deferred> stop_promises_;
};

}  // namespace espora::binding
