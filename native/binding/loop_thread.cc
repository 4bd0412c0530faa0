#include "binding/loop_thread.h"

#include "binding/values.h"
#include "sys/thread.h"

namespace espora::binding {

LoopThread::LoopThread(Napi::Env env, const char* name, LoopService& service)
    : name_(name), service_(service), channel_(JsChannel::of(env)) {}

LoopThread::~LoopThread() {
  *alive_ = false;
  if (!thread_.joinable()) return;
  loop_->post([this] { service_.drain(*loop_, 0, [this] { loop_->stop(); }); });
  thread_.join();
}

Napi::Promise LoopThread::start(Napi::Env env, Hooks hooks) {
  auto deferred = Napi::Promise::Deferred::New(env);
  const auto refuse = [&](const sys::Status& status) {
    deferred.Reject(to_error(env, status).Value());
    return deferred.Promise();
  };
  if (state_ != State::created) {
    return refuse(sys::Status(sys::Code::closed, "start() was already called: make a new object"));
  }
  auto loop = std::make_unique<sys::EventLoop>();
  if (const sys::Status status = loop->init(); !status.ok()) return refuse(status);
  loop_ = std::move(loop);
  auto thread = sys::start_thread(name_, [this] { run(); });
  if (!thread.ok()) {
    loop_.reset();
    return refuse(thread.status());
  }
  // What the thread tells comes to this thread, and so not before all of this is there.
  thread_ = std::move(thread).value();
  state_ = State::starting;
  start_promise_ = deferred;
  hooks_ = std::move(hooks);
  hooks_.began();
  channel_->hold();
  return deferred.Promise();
}

Napi::Promise LoopThread::stop(Napi::Env env, uint64_t patience_ms) {
  auto deferred = Napi::Promise::Deferred::New(env);
  if (state_ == State::created || state_ == State::ended) {
    state_ = State::ended;
    deferred.Resolve(env.Undefined());
    return deferred.Promise();
  }
  stop_promises_.push_back(deferred);
  if (state_ == State::running) state_ = State::stopping;
  // While it still starts this waits in the loop's queue.
  loop_->post(
      [this, patience_ms] { service_.drain(*loop_, patience_ms, [this] { loop_->stop(); }); });
  return deferred.Promise();
}

// The thread.
void LoopThread::run() {
  const auto tell = [this](auto method, sys::Status status) {
    channel_->post([this, alive = alive_, method, status = std::move(status)](Napi::Env env) {
      if (*alive) (this->*method)(env, status);
    });
  };
  const sys::Status started = service_.start(*loop_);
  if (!started.ok()) {
    service_.abandon();
    tell(&LoopThread::on_started, started);
    return;
  }
  tell(&LoopThread::on_started, started);
  loop_->run();
  tell(&LoopThread::on_finished, service_.finish());
}

void LoopThread::on_started(Napi::Env env, const sys::Status& status) {
  if (status.ok()) {
    state_ = stop_promises_.empty() ? State::running : State::stopping;
    start_promise_->Resolve(hooks_.started(env));
    return;
  }
  start_promise_->Reject(to_error(env, status).Value());
  on_finished(env, {});
}

void LoopThread::on_finished(Napi::Env env, const sys::Status& status) {
  thread_.join();
  loop_.reset();
  state_ = State::ended;
  channel_->let_go();
  for (const auto& promise : stop_promises_) {
    if (status.ok()) {
      promise.Resolve(env.Undefined());
    } else {
      promise.Reject(to_error(env, status).Value());
    }
  }
  stop_promises_.clear();
  // Last: it may let go of the JavaScript object, and so of this one.
  const Hooks hooks = std::move(hooks_);
  hooks.ended();
}

}  // namespace espora::binding
