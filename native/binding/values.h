// Converts between JavaScript values and C++ values. TypeScript has already validated them, with
// messages for people; these checks only keep an incorrect caller from undefined behaviour.
#pragma once

#include <napi.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "intake/acceptor.h"
#include "sys/status.h"

namespace espora::binding {

// An Error with `code` "ERR_ESPORA_<CODE>" and the status's message.
Napi::Error to_error(Napi::Env env, const sys::Status& status);

// Each throws a TypeError that names the property.
[[noreturn]] void refuse(const Napi::Object& object, const char* name, const char* expected);
// Whether the property is undefined or null.
bool absent(const Napi::Object& object, const char* name);
std::string get_string(const Napi::Object& object, const char* name);
// A path made independent of later changes of the working directory.
std::string get_path(const Napi::Object& object, const char* name);
std::string to_path(Napi::Env env, const Napi::Value& value);
std::string get_string_or(const Napi::Object& object, const char* name, const char* absent);
uint64_t get_unsigned(const Napi::Object& object, const char* name, uint64_t max);
uint64_t get_unsigned_or(const Napi::Object& object, const char* name, uint64_t max,
                         uint64_t absent);
bool get_boolean_or(const Napi::Object& object, const char* name, bool absent);
Napi::Object get_object(const Napi::Object& object, const char* name);
Napi::Array get_array(const Napi::Object& object, const char* name);

// { port?, unixSocket?, addresses }: where a service started with `listen` can be reached.
void set_listening(Napi::Object object, const intake::ListenOptions& listen, uint16_t port,
                   const std::vector<std::string>& addresses);
void set(Napi::Object object, const char* name, uint64_t value);
// For any for_each_counter(): sets each counter under its name.
inline auto counters_into(Napi::Object object) {
  return [object](const char* name, uint64_t value) { set(object, name, value); };
}

// --- settings ------------------------------------------------------------------------------------
// A service's settings keep their names from the table of options (ts/options/table.ts) across this
// border, durations in milliseconds. Each service has one list of them, which a SettingsReader
// fills from JavaScript's object and a SettingsWriter shows as they are in force.

// The longest duration: a day, as in the table.
constexpr uint64_t milliseconds_max = 24 * 60 * 60 * 1000;

// The names of a setting's possible values.
template <typename Value>
using Choices = std::initializer_list<std::pair<const char*, std::type_identity_t<Value>>>;

class SettingsReader {
 public:
  explicit SettingsReader(const Napi::Object& given) : given_(given) {}

  template <typename Number>
  void number(const char* name, Number& value, uint64_t max) const {
    value = static_cast<Number>(get_unsigned(given_, name, max));
  }
  void count(const char* name, uint32_t& value) const { number(name, value, UINT32_MAX); }
  void milliseconds(const char* name, uint64_t& value) const {
    number(name, value, milliseconds_max);
  }
  // If absent: empty.
  void text(const char* name, std::string& value) const { value = get_string_or(given_, name, ""); }
  template <typename Value>
  void choice(const char* name, Value& value, Choices<Value> choices) const {
    const std::string given = get_string(given_, name);
    for (const auto& [spelling, meaning] : choices) {
      if (given == spelling) {
        value = meaning;
        return;
      }
    }
    refuse(given_, name, "one of its choices");
  }
  // { min, max }
  void range(const char* name, uint32_t& min, uint32_t& max) const;

 private:
  Napi::Object given_;
};

class SettingsWriter {
 public:
  explicit SettingsWriter(const Napi::Object& shown) : shown_(shown) {}

  void number(const char* name, uint64_t value, uint64_t) const { set(shown_, name, value); }
  void count(const char* name, uint32_t value) const { set(shown_, name, value); }
  void milliseconds(const char* name, uint64_t value) const { set(shown_, name, value); }
  void text(const char* name, const std::string& value) const { shown_.Set(name, value); }
  template <typename Value>
  void choice(const char* name, Value value, Choices<Value> choices) const {
    for (const auto& [spelling, meaning] : choices) {
      if (value == meaning) shown_.Set(name, spelling);
    }
  }
  void range(const char* name, uint32_t min, uint32_t max) const;

 private:
  mutable Napi::Object shown_;
};

// Where to listen: host and port, unixSocket and unixSocketMode, listenFds, handoffUsers.
intake::ListenOptions read_listening(const Napi::Object& given);
void show_listening(Napi::Object shown, const intake::ListenOptions& listen);

}  // namespace espora::binding
