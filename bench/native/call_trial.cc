// Functions that take arguments and do nothing with them.

#include <span>

#include "measure.h"
#include "trials.h"
#include "values.h"

namespace espora::bench {
namespace {

Napi::Value call_empty(const Napi::CallbackInfo& info) { return info.Env().Undefined(); }

Napi::Value call_number(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), info[0].As<Napi::Number>().DoubleValue());
}

Napi::Value call_bytes(const Napi::CallbackInfo& info) {
  const std::span<std::byte> bytes = bytes_of(info[0]);
  keep(bytes.data());
  return Napi::Number::New(info.Env(), static_cast<double>(bytes.size()));
}

Napi::Value call_string(const Napi::CallbackInfo& info) {
  const ledger::Description description = description_of(info.Env(), info[0]);
  return Napi::Number::New(info.Env(), static_cast<double>(description.view().size()));
}

}  // namespace

void define_calls(Napi::Env env, Napi::Object exports) {
  exports.Set("callEmpty", Napi::Function::New<call_empty>(env, "callEmpty"));
  exports.Set("callNumber", Napi::Function::New<call_number>(env, "callNumber"));
  exports.Set("callBytes", Napi::Function::New<call_bytes>(env, "callBytes"));
  exports.Set("callString", Napi::Function::New<call_string>(env, "callString"));
}

}  // namespace espora::bench
