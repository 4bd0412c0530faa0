#include "binding/values.h"

#include <cmath>

#include "sys/process.h"

namespace espora::binding {

namespace {

// The first descriptor that a service manager opened, sd_listen_fds(3).
constexpr int first_inherited = 3;

}  // namespace

void refuse(const Napi::Object& object, const char* name, const char* expected) {
  throw Napi::TypeError::New(object.Env(),
                             "option \"" + std::string(name) + "\" must be " + expected);
}

bool absent(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return value.IsUndefined() || value.IsNull();
}

Napi::Error to_error(Napi::Env env, const sys::Status& status) {
  Napi::Error error = Napi::Error::New(env, status.message());
  std::string code = "ERR_ESPORA_";
  for (const char c : sys::code_name(status.code())) {
    code += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  error.Set("code", Napi::String::New(env, code));
  return error;
}

std::string get_string(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsString()) refuse(object, name, "a string");
  return value.As<Napi::String>().Utf8Value();
}

std::string to_path(Napi::Env env, const Napi::Value& value) {
  auto path = sys::absolute_path(value.As<Napi::String>().Utf8Value());
  if (!path.ok()) throw to_error(env, path.status());
  return std::move(path).value();
}

std::string get_path(const Napi::Object& object, const char* name) {
  (void)get_string(object, name);
  return to_path(object.Env(), object.Get(name));
}

std::string get_string_or(const Napi::Object& object, const char* name, const char* otherwise) {
  return absent(object, name) ? otherwise : get_string(object, name);
}

uint64_t get_unsigned(const Napi::Object& object, const char* name, uint64_t max) {
  const Napi::Value value = object.Get(name);
  if (!value.IsNumber()) refuse(object, name, "a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0) || number > static_cast<double>(max) || number != std::floor(number)) {
    const std::string expected = "an integer from 0 to " + std::to_string(max);
    refuse(object, name, expected.c_str());
  }
  return static_cast<uint64_t>(number);
}

uint64_t get_unsigned_or(const Napi::Object& object, const char* name, uint64_t max,
                         uint64_t otherwise) {
  return absent(object, name) ? otherwise : get_unsigned(object, name, max);
}

bool get_boolean_or(const Napi::Object& object, const char* name, bool otherwise) {
  if (absent(object, name)) return otherwise;
  const Napi::Value value = object.Get(name);
  if (!value.IsBoolean()) refuse(object, name, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

Napi::Object get_object(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsObject()) refuse(object, name, "an object");
  return value.As<Napi::Object>();
}

Napi::Array get_array(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsArray()) refuse(object, name, "an array");
  return value.As<Napi::Array>();
}

void set(Napi::Object object, const char* name, uint64_t value) {
  // Exact up to 2^53, which byte counters reach after centuries.
  object.Set(name, Napi::Number::New(object.Env(), static_cast<double>(value)));
}

void set_listening(Napi::Object object, const intake::ListenOptions& listen, uint16_t port,
                   const std::vector<std::string>& addresses) {
  if (port != 0) set(object, "port", port);
  if (!listen.unix_path.empty()) object.Set("unixSocket", listen.unix_path);
  Napi::Array all = Napi::Array::New(object.Env());
  for (const std::string& address : addresses) all.Set(all.Length(), address);
  object.Set("addresses", all);
}

void SettingsReader::range(const char* name, uint32_t& min, uint32_t& max) const {
  const Napi::Object given = get_object(given_, name);
  min = static_cast<uint32_t>(get_unsigned(given, "min", UINT32_MAX));
  max = static_cast<uint32_t>(get_unsigned(given, "max", UINT32_MAX));
}

void SettingsWriter::range(const char* name, uint32_t min, uint32_t max) const {
  Napi::Object range = Napi::Object::New(shown_.Env());
  set(range, "min", min);
  set(range, "max", max);
  shown_.Set(name, range);
}

intake::ListenOptions read_listening(const Napi::Object& given) {
  intake::ListenOptions listen;
  if (!absent(given, "port")) {
    listen.port = static_cast<uint16_t>(get_unsigned(given, "port", UINT16_MAX));
    listen.host = get_string(given, "host");
  }
  listen.unix_path = get_string_or(given, "unixSocket", "");
  listen.unix_mode = static_cast<uint32_t>(get_unsigned(given, "unixSocketMode", 0777));
  const uint64_t inherited = get_unsigned_or(given, "listenFds", UINT16_MAX, 0);
  for (uint64_t i = 0; i < inherited; ++i) {
    listen.inherited.push_back(first_inherited + static_cast<int>(i));
  }
  if (absent(given, "handoffUsers")) return listen;
  const Napi::Array users = get_array(given, "handoffUsers");
  for (uint32_t i = 0; i < users.Length(); ++i) {
    const Napi::Value each = users.Get(i);
    if (!each.IsNumber()) refuse(given, "handoffUsers", "an array of user ids");
    listen.handoff_users.push_back(each.As<Napi::Number>().Uint32Value());
  }
  return listen;
}

void show_listening(Napi::Object shown, const intake::ListenOptions& listen) {
  if (listen.port.has_value()) {
    set(shown, "port", *listen.port);
    shown.Set("host", listen.host);
  }
  shown.Set("unixSocket", listen.unix_path);
  set(shown, "unixSocketMode", listen.unix_mode);
  set(shown, "listenFds", listen.inherited.size());
  Napi::Array users = Napi::Array::New(shown.Env());
  for (const uint32_t user : listen.handoff_users) users.Set(users.Length(), user);
  shown.Set("handoffUsers", users);
}

}  // namespace espora::binding
