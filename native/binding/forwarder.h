// The JavaScript class `Forwarder`: the data plane of `balancer` and `api`, on its own thread.
#pragma once

#include <napi.h>

namespace espora::binding {

Napi::Function define_forwarder(Napi::Env env);

}  // namespace espora::binding
