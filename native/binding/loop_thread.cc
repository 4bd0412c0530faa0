#include "binding/loop_thread.h"

#include <algorithm>
#include <utility>

#include "binding/values.h"
#include "sys/thread.h"

namespace espora::binding {

LoopThread::LoopThread(Napi::Env env, const char* name, LoopService& service,
                       Napi::Reference<Napi::Object>& object)
    : name_(name), service_(service), object_(object), channel_(JsChannel::of(env)) {}

LoopThread::~LoopThread() {
  *alive_ = false;
  if (!thread_.joinable()) return;
  loop_->post([this] { service_.drain(*loop_, 0, [this] { loop_->stop(); }); });
  thread_.join();
}

Napi::Value LoopThread::start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsFunction()) {
    throw Napi::TypeError::New(env, "start(onEvent)");
  }
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
  auto on_event = Napi::Persistent(info[0].As<Napi::Function>());
  loop_ = std::move(loop);
  auto thread = sys::start_thread(name_, [this] { run(); });
  if (!thread.ok()) {
    loop_.reset();
    return refuse(thread.status());
  }
  // Messages of the thread arrive on this thread, so not before all of this is set.
  thread_ = std::move(thread).value();
  state_ = State::starting;
  start_promise_ = deferred;
  on_event_ = std::move(on_event);
  object_.Ref();
  channel_->hold();
  return deferred.Promise();
}

Napi::Value LoopThread::stop(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const uint64_t patience_ms =
      info.Length() > 0 && info[0].IsNumber()
          ? static_cast<uint64_t>(std::max<int64_t>(0, info[0].As<Napi::Number>().Int64Value()))
          : 0;
  auto deferred = Napi::Promise::Deferred::New(env);
  if (state_ == State::created || state_ == State::ended) {
    state_ = State::ended;
    deferred.Resolve(env.Undefined());
    return deferred.Promise();
  }
  stop_promises_.push_back(deferred);
  if (state_ == State::running) state_ = State::stopping;
  // If it is still starting, this waits in the loop's queue.
  loop_->post(
      [this, patience_ms] { service_.drain(*loop_, patience_ms, [this] { loop_->stop(); }); });
  return deferred.Promise();
}

// Runs on the thread.
void LoopThread::run() {
  const sys::Status started = service_.start(*loop_);
  if (!started.ok()) {
    service_.abandon();
    tell([this, started](Napi::Env env) { on_started(env, started); });
    return;
  }
  tell([this](Napi::Env env) { on_started(env, {}); });
  loop_->run();
  tell([this, status = service_.finish()](Napi::Env env) { on_finished(env, status); });
}

void LoopThread::tell(std::function<void(Napi::Env)> work) {
  channel_->post([alive = alive_, work = std::move(work)](Napi::Env env) {
    if (*alive) work(env);
  });
}

void LoopThread::emit(std::string name, std::function<void(Napi::Object&)> fill) {
  tell([this, name = std::move(name), fill = std::move(fill)](Napi::Env env) {
    Napi::Object detail = Napi::Object::New(env);
    fill(detail);
    on_event_.Call({Napi::String::New(env, name), detail});
  });
}

void LoopThread::on_started(Napi::Env env, const sys::Status& status) {
  if (status.ok()) {
    state_ = stop_promises_.empty() ? State::running : State::stopping;
    start_promise_->Resolve(service_.started(env));
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
  on_event_.Reset();
  // Last: it releases the JavaScript object, and so this one.
  object_.Unref();
}

}  // namespace espora::binding
