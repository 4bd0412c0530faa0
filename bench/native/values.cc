#include "values.h"

#include <algorithm>

#include "sys/limits.h"

namespace espora::bench {

std::span<std::byte> bytes_of(const Napi::Value& value) {
  if (!value.IsTypedArray()) throw Napi::TypeError::New(value.Env(), "a Uint8Array is expected");
  auto bytes = value.As<Napi::Uint8Array>();
  return {reinterpret_cast<std::byte*>(bytes.Data()), bytes.ByteLength()};
}

uint64_t iterations_of(const Napi::CallbackInfo& info, size_t index) {
  const int64_t iterations = info[index].As<Napi::Number>().Int64Value();
  if (iterations < 1) throw Napi::TypeError::New(info.Env(), "at least one iteration is expected");
  return static_cast<uint64_t>(iterations);
}

ledger::Description description_of(napi_env env, const Napi::Value& value) {
  char text[limits::description_bytes_max + 1];  // Node-API terminates what it copies
  size_t size = 0;
  const napi_status status = napi_get_value_string_utf8(env, value, text, sizeof text, &size);
  if (status != napi_ok) throw Napi::TypeError::New(env, "a description is expected");
  return ledger::Description({text, size});
}

std::vector<ledger::Entry> entries_of(const Napi::Value& value) {
  const auto array = value.As<Napi::Array>();
  if (array.Length() == 0) throw Napi::TypeError::New(value.Env(), "entries are expected");
  std::vector<ledger::Entry> entries;
  for (uint32_t i = 0; i < array.Length(); i++) {
    const auto given = array.Get(i).As<Napi::Object>();
    const auto integer = [&given](const char* name) {
      return given.Get(name).As<Napi::Number>().Int64Value();
    };
    ledger::Entry entry;
    entry.account_id = static_cast<uint32_t>(integer("account"));
    entry.balance_after = integer("balance");
    entry.time_us = static_cast<uint64_t>(integer("time"));
    entry.transaction.amount = integer("amount");
    entry.transaction.kind =
        given.Get("credit").ToBoolean() ? ledger::Kind::credit : ledger::Kind::debit;
    entry.transaction.description = description_of(value.Env(), given.Get("description"));
    entries.push_back(entry);
  }
  return entries;
}

Napi::Float64Array to_array(Napi::Env env, const std::vector<double>& values) {
  auto array = Napi::Float64Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

Napi::Error to_error(Napi::Env env, const sys::Status& status) {
  return Napi::Error::New(env, status.message());
}

}  // namespace espora::bench
