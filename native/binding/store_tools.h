// JavaScript functions that read a store without opening it: `inspectStore`, `verifyStore`,
// `copyStore`. All work alongside a running service, on a thread of their own.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>

#include "store/directory.h"

namespace espora::binding {

// inspectStore(directory, { from?, limit?, frames?, records? }, onItems): Promise<void>
Napi::Value inspect_store(const Napi::CallbackInfo& info);
// verifyStore(directory): Promise<report>
Napi::Value verify_store(const Napi::CallbackInfo& info);

// copyStore(from, to, giveUp, like?): Promise<report>
Napi::Value copy_store(const Napi::CallbackInfo& info);

// The same for a store that is open in this process: its own directory, and the sequence that its
// engine knows to be durable.
Napi::Value verify_directory(Napi::Env env, store::Directory directory, uint64_t durable_seq);
Napi::Value back_up_directory(Napi::Env env, store::Directory from, std::string to,
                              uint64_t durable_seq);

}  // namespace espora::binding
