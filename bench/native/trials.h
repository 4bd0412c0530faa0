// What the addon exports.
#pragma once

#include <napi.h>

namespace espora::bench {

void define_operations(Napi::Env env, Napi::Object exports);
Napi::Function define_bare_loop(Napi::Env env);
Napi::Function define_history_trial(Napi::Env env);

}  // namespace espora::bench
