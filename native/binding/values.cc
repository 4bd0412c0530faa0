#include "binding/values.h"

#include <cmath>

#include "sys/process.h"

namespace espora::binding {

namespace {

[[noreturn]] void refuse(const Napi::Object& object, const char* name, const char* expected) {
  throw Napi::TypeError::New(object.Env(),
                             "option \"" + std::string(name) + "\" must be " + expected);
}

bool absent(const Napi::Value& value) { return value.IsUndefined() || value.IsNull(); }

}  // namespace

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
  return absent(object.Get(name)) ? otherwise : get_string(object, name);
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
  return absent(object.Get(name)) ? otherwise : get_unsigned(object, name, max);
}

bool get_boolean_or(const Napi::Object& object, const char* name, bool otherwise) {
  const Napi::Value value = object.Get(name);
  if (absent(value)) return otherwise;
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

sys::ListenOptions to_listen_options(const Napi::Object& listen) {
  sys::ListenOptions options;
  if (!absent(listen.Get("port"))) {
    options.port = static_cast<uint16_t>(get_unsigned(listen, "port", UINT16_MAX));
    options.host = get_string_or(listen, "host", "0.0.0.0");
  }
  options.unix_path = get_string_or(listen, "unixSocket", "");
  if (!absent(listen.Get("inherited"))) {
    const Napi::Array inherited = get_array(listen, "inherited");
    for (uint32_t i = 0; i < inherited.Length(); ++i) {
      const Napi::Value each = inherited.Get(i);
      if (!each.IsNumber()) refuse(listen, "inherited", "an array of descriptors");
      options.inherited.push_back(each.As<Napi::Number>().Int32Value());
    }
  }
  if (!absent(listen.Get("handoffUsers"))) {
    const Napi::Array users = get_array(listen, "handoffUsers");
    for (uint32_t i = 0; i < users.Length(); ++i) {
      const Napi::Value each = users.Get(i);
      if (!each.IsNumber()) refuse(listen, "handoffUsers", "an array of user ids");
      options.handoff_users.push_back(each.As<Napi::Number>().Uint32Value());
    }
  }
  options.unix_mode =
      static_cast<uint32_t>(get_unsigned_or(listen, "unixSocketMode", 0777, options.unix_mode));
  return options;
}

void set(Napi::Object object, const char* name, uint64_t value) {
  // Exact up to 2^53: counters of bytes reach that after centuries.
  object.Set(name, Napi::Number::New(object.Env(), static_cast<double>(value)));
}

void set_listening(Napi::Object object, const sys::ListenOptions& listen, uint16_t port,
                   const std::vector<std::string>& addresses) {
  if (port != 0) set(object, "port", port);
  if (!listen.unix_path.empty()) object.Set("unixSocket", listen.unix_path);
  Napi::Array all = Napi::Array::New(object.Env());
  for (const std::string& address : addresses) all.Set(all.Length(), address);
  object.Set("addresses", all);
}

Napi::Object listen_settings(Napi::Env env, const sys::ListenOptions& listen) {
  Napi::Object result = Napi::Object::New(env);
  if (listen.port.has_value()) {
    set(result, "port", *listen.port);
    result.Set("host", listen.host);
  }
  result.Set("unixSocket", listen.unix_path);
  set(result, "unixSocketMode", listen.unix_mode);
  Napi::Array inherited = Napi::Array::New(env);
  for (const int fd : listen.inherited) inherited.Set(inherited.Length(), fd);
  result.Set("inherited", inherited);
  Napi::Array users = Napi::Array::New(env);
  for (const uint32_t user : listen.handoff_users) users.Set(users.Length(), user);
  result.Set("handoffUsers", users);
  return result;
}

}  // namespace espora::binding
