// JavaScript class `Forwarder`: the data plane of `balancer` and `api`, on a thread of its own.
#pragma once

#include <napi.h>

namespace espora::binding {

Napi::Function define_forwarder(Napi::Env env);

}  // namespace espora::binding
