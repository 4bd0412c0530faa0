// CRC-32C of the same bytes again and again, each seeded with the one before, so that none can
// begin before the last one ended.

#include <cstdint>
#include <string>

#include "measure.h"
#include "sys/crc32c.h"
#include "trials.h"
#include "values.h"

namespace espora::bench {
namespace {

class ChecksumTrial final : public Napi::ObjectWrap<ChecksumTrial> {
 public:
  // new ChecksumTrial(bytes)
  explicit ChecksumTrial(const Napi::CallbackInfo& info)
      : ObjectWrap(info),
        bytes_(bytes_of(info[0])),
        buffer_(Napi::Persistent(info[0].ToObject())) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "ChecksumTrial",
        {StaticMethod<&ChecksumTrial::one>("one"), InstanceMethod<&ChecksumTrial::loop>("loop"),
         InstanceMethod<&ChecksumTrial::table_loop>("tableLoop"),
         InstanceAccessor<&ChecksumTrial::last>("last"),
         StaticAccessor<&ChecksumTrial::has_instruction>("hasInstruction")});
  }

 private:
  // one(bytes, seed): the checksum
  static Napi::Value one(const Napi::CallbackInfo& info) {
    const uint32_t seed = info[1].As<Napi::Number>().Uint32Value();
    return Napi::Number::New(info.Env(), sys::crc32c(bytes_of(info[0]), seed));
  }

  // loop(iterations): nanoseconds; `last` is the checksum that came out
  Napi::Value loop(const Napi::CallbackInfo& info) {
    uint32_t crc = 0;
    const double ns = time_ns(iterations_of(info, 0), [&] {
      crc = sys::crc32c(bytes_, crc);
      keep(crc);
    });
    last_ = crc;
    return Napi::Number::New(info.Env(), ns);
  }

  Napi::Value table_loop(const Napi::CallbackInfo& info) {
    uint32_t crc = 0;
    const double ns = time_ns(iterations_of(info, 0), [&] {
      crc = sys::crc32c_by_table(bytes_, crc);
      keep(crc);
    });
    last_ = crc;
    return Napi::Number::New(info.Env(), ns);
  }

  Napi::Value last(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), last_); }

  static Napi::Value has_instruction(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), sys::crc32c_has_instruction());
  }

  std::span<std::byte> bytes_;
  Napi::ObjectReference buffer_;  // what bytes_ points into
  uint32_t last_ = 0;
};

}  // namespace

Napi::Function define_checksum_trial(Napi::Env env) { return ChecksumTrial::define(env); }

}  // namespace espora::bench
