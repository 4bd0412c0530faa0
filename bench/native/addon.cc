// The door of the benchmarks' addon: registers the classes of trials.h.

#include <napi.h>

#include "trials.h"

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  using namespace espora::bench;
  exports.Set("version", Napi::String::New(env, ESPORA_VERSION));
  define_calls(env, exports);
  exports.Set("EncodeTrial", define_encode_trial(env));
  exports.Set("ChecksumTrial", define_checksum_trial(env));
  exports.Set("ParseTrial", define_parse_trial(env));
  exports.Set("ApplyTrial", define_apply_trial(env));
  exports.Set("AppendTrial", define_append_trial(env));
  exports.Set("BareLoop", define_bare_loop(env));
  exports.Set("HistoryTrial", define_history_trial(env));
  return exports;
}

NODE_API_MODULE(espora_bench, init)
