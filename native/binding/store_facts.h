// What the tools that read a store have in common: the place where they work, and how the facts and
// findings of a store look in JavaScript.
#pragma once

#include <napi.h>

#include <string>
#include <variant>
#include <vector>

#include "ledger/account_table.h"
#include "store/directory.h"
#include "store/reader.h"
#include "sys/status.h"

namespace espora::binding {

constexpr const char* ledger_kind = "ledger";

// Where a tool works: a path that this process has not opened, or an open store's directory.
using Place = std::variant<std::string, store::Directory>;

sys::Result<store::Directory> open_place(Place& place);

Napi::Object to_object(Napi::Env env, const store::StoreFacts& facts);
Napi::Object to_object(Napi::Env env, const store::Finding& finding);
Napi::Array to_array(Napi::Env env, const std::vector<store::Finding>& findings);
Napi::Array to_array(Napi::Env env, const ledger::AccountTable& table);

}  // namespace espora::binding
