// Between JavaScript values and ours. TypeScript has validated what arrives here with messages for
// people; these checks only keep a wrong caller from undefined behaviour.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "sys/acceptor.h"
#include "sys/status.h"

namespace espora::binding {

// An Error with `code` "ERR_ESPORA_<CODE>" and the status's message.
Napi::Error to_error(Napi::Env env, const sys::Status& status);

// Each throws a TypeError that names the property.
std::string get_string(const Napi::Object& object, const char* name);
// A path that stays what it is when the program changes its working directory.
std::string get_path(const Napi::Object& object, const char* name);
std::string to_path(Napi::Env env, const Napi::Value& value);
std::string get_string_or(const Napi::Object& object, const char* name, const char* absent);
uint64_t get_unsigned(const Napi::Object& object, const char* name, uint64_t max);
uint64_t get_unsigned_or(const Napi::Object& object, const char* name, uint64_t max,
                         uint64_t absent);
bool get_boolean_or(const Napi::Object& object, const char* name, bool absent);
Napi::Object get_object(const Napi::Object& object, const char* name);
Napi::Array get_array(const Napi::Object& object, const char* name);

// { port?, unixSocket?, addresses }: where a service listens that was started with `listen`.
void set_listening(Napi::Object object, const sys::ListenOptions& listen, uint16_t port,
                   const std::vector<std::string>& addresses);
// { host?, port?, unixSocket?, unixSocketMode?, inherited?, handoffUsers? }
sys::ListenOptions to_listen_options(const Napi::Object& listen);

void set(Napi::Object object, const char* name, uint64_t value);
// For for_each_counter() of whatever counts: sets each counter under its name.
inline auto counters_into(Napi::Object object) {
  return [object](const char* name, uint64_t value) { set(object, name, value); };
}

// Where a service listens, under the names that to_listen_options() reads.
Napi::Object listen_settings(Napi::Env env, const sys::ListenOptions& listen);

}  // namespace espora::binding
