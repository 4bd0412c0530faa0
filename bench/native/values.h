// From JavaScript values to those of the rooms. The callers are the benchmarks' own modules: what
// is checked here only keeps a mistake in them from undefined behaviour.
#pragma once

#include <napi.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "engine/transaction.h"
#include "ledger/entry_codec.h"
#include "sys/status.h"

namespace espora::bench {

// Of a Buffer or Uint8Array; valid while it is.
std::span<std::byte> bytes_of(const Napi::Value& value);

// The first `iterations` argument of a loop.
uint64_t iterations_of(const Napi::CallbackInfo& info, size_t index);

// A description as single calls get it: a JavaScript string, copied without allocating.
ledger::Description description_of(napi_env env, const Napi::Value& value);

// An array of { account, amount, credit, balance, time, description }.
std::vector<ledger::Entry> entries_of(const Napi::Value& value);

// A Float64Array of its own.
Napi::Float64Array to_array(Napi::Env env, const std::vector<double>& values);

// An Error with the status's message.
Napi::Error to_error(Napi::Env env, const sys::Status& status);

}  // namespace espora::bench
