// The JavaScript class Store: one open store, its committer and its reader.
#pragma once

#include <napi.h>

namespace espora::binding {

Napi::Function define_store(Napi::Env env);

}  // namespace espora::binding
