// The JavaScript class `Database`: the ledger's service on a thread of its own.
#pragma once

#include <napi.h>

namespace espora::binding {

Napi::Function define_database(Napi::Env env);

}  // namespace espora::binding
