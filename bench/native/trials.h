// What the addon exports: one class per trial, each with single calls ("from JavaScript, one by
// one") and a loop ("inside the data plane") over the same code of the rooms.
#pragma once

#include <napi.h>

namespace espora::bench {

// Functions that do nothing: what crossing between JavaScript and native code costs by itself.
void define_calls(Napi::Env env, Napi::Object exports);

Napi::Function define_encode_trial(Napi::Env env);
Napi::Function define_checksum_trial(Napi::Env env);
Napi::Function define_parse_trial(Napi::Env env);
Napi::Function define_apply_trial(Napi::Env env);
Napi::Function define_append_trial(Napi::Env env);
Napi::Function define_bare_loop(Napi::Env env);
Napi::Function define_history_trial(Napi::Env env);

}  // namespace espora::bench
