// Work on libuv's pool behind a promise: disk operations that JavaScript does not wait for.
#pragma once

#include <napi.h>

#include <utility>

#include "binding/values.h"
#include "sys/status.h"

namespace espora::binding {

class PromiseWorker : public Napi::AsyncWorker {
 public:
  // Creates a `Worker`, which deletes itself when it is done, and returns its promise.
  template <typename Worker, typename... Arguments>
  static Napi::Promise queue(Napi::Env env, Arguments&&... arguments) {
    auto* worker = new Worker(env, std::forward<Arguments>(arguments)...);
    PromiseWorker* base = worker;
    const Napi::Promise promise = base->deferred_.Promise();
    base->Queue();
    return promise;
  }

 protected:
  PromiseWorker(Napi::Env env, const char* name)
      : Napi::AsyncWorker(env, name), deferred_(Napi::Promise::Deferred::New(env)) {}

 private:
  // On a thread of the pool.
  virtual sys::Status work() = 0;
  // On JavaScript's thread, after a successful work(): the value that the promise resolves with.
  virtual Napi::Value value(Napi::Env env) = 0;

  void Execute() final { status_ = work(); }

  // Exactly one of these two is called.
  void OnError(const Napi::Error& error) final { deferred_.Reject(error.Value()); }
  void OnOK() final {
    if (!status_.ok()) {
      deferred_.Reject(to_error(Env(), status_).Value());
      return;
    }
    // An exception from here would leave the promise pending forever.
    try {
      deferred_.Resolve(value(Env()));
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
    }
  }

  Napi::Promise::Deferred deferred_;
  sys::Status status_;
};

}  // namespace espora::binding
