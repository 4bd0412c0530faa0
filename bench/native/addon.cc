// The door of the benchmarks' addon.

#include "trials.h"

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  using namespace espora::bench;
  define_operations(env, exports);
  exports.Set("BareLoop", define_bare_loop(env));
  exports.Set("HistoryTrial", define_history_trial(env));
  return exports;
}

NODE_API_MODULE(espora_bench, init)
