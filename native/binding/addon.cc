// The interface between JavaScript and the rooms: registers everything that the addon exports. Each
// service's class is in a file of its own in this folder.

#include <napi.h>

#include "binding/database.h"
#include "binding/forwarder.h"
#include "binding/store.h"
#include "binding/store_tools.h"

namespace espora::binding {
namespace {

// The version that this binary was built from. The loader compares it with package.json, so that a
// binary of another version causes a clear error and not a crash later.
Napi::Value version(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), ESPORA_VERSION);
}

}  // namespace
}  // namespace espora::binding

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("version", Napi::Function::New<espora::binding::version>(env, "version"));
  exports.Set("Database", espora::binding::define_database(env));
  exports.Set("Forwarder", espora::binding::define_forwarder(env));
  exports.Set("copyStore", Napi::Function::New<espora::binding::copy_store>(env, "copyStore"));
  exports.Set("Store", espora::binding::define_store(env));
  exports.Set("inspectStore",
              Napi::Function::New<espora::binding::inspect_store>(env, "inspectStore"));
  exports.Set("verifyStore",
              Napi::Function::New<espora::binding::verify_store>(env, "verifyStore"));
  return exports;
}

NODE_API_MODULE(espora, init)
