// JavaScript functions that read a store without opening it: `inspectStore`, `verifyStore`,
// `copyStore`. All work beside a running service, on a thread of their own.
#pragma once

#include <napi.h>

namespace espora::binding {

// inspectStore(directory, { from?, limit?, frames?, records? }, onItems): Promise<void>
Napi::Value inspect_store(const Napi::CallbackInfo& info);
// verifyStore(directory, durableSeq?): Promise<report>
Napi::Value verify_store(const Napi::CallbackInfo& info);

// copyStore(from, to, giveUp, durableSeq?): Promise<report>
Napi::Value copy_store(const Napi::CallbackInfo& info);

}  // namespace espora::binding
