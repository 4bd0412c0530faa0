// A ledger entry becomes a record in a batch's payload: header, entry, padding, one behind the
// other, from the front again when the batch is full.

#include <cstdint>
#include <vector>

#include "ledger/entry_codec.h"
#include "measure.h"
#include "store/record.h"
#include "trials.h"
#include "values.h"

namespace espora::bench {
namespace {

class EncodeTrial final : public Napi::ObjectWrap<EncodeTrial> {
 public:
  // new EncodeTrial(batch, entries): writes into `batch`
  explicit EncodeTrial(const Napi::CallbackInfo& info)
      : ObjectWrap(info),
        batch_(bytes_of(info[0])),
        buffer_(Napi::Persistent(info[0].ToObject())),
        entries_(entries_of(info[1])),
        cycle_(entries_.size()) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "EncodeTrial",
        {InstanceMethod<&EncodeTrial::one>("one"), InstanceMethod<&EncodeTrial::loop>("loop")});
  }

 private:
  void append(const ledger::Entry& entry) {
    const size_t bytes = ledger::encoded_entry_bytes(entry);
    const size_t extent = store::record_extent(bytes);
    if (batch_.size() - used_ < extent) used_ = 0;
    std::byte* at = store::put_record(batch_.data() + used_, ledger::entry_record_type, 0, bytes);
    keep(ledger::encode_entry(entry, {at, bytes}));
    used_ += extent;
  }

  // one(account, credit, amount, balance, time, description): bytes of the batch used so far
  Napi::Value one(const Napi::CallbackInfo& info) {
    const auto integer = [&info](size_t index) {
      return info[index].As<Napi::Number>().Int64Value();
    };
    ledger::Entry entry;
    entry.account_id = info[0].As<Napi::Number>().Uint32Value();
    entry.transaction.kind =
        info[1].As<Napi::Boolean>().Value() ? ledger::Kind::credit : ledger::Kind::debit;
    entry.transaction.amount = integer(2);
    entry.balance_after = integer(3);
    entry.time_us = static_cast<uint64_t>(integer(4));
    entry.transaction.description = description_of(info.Env(), info[5]);
    append(entry);
    return Napi::Number::New(info.Env(), static_cast<double>(used_));
  }

  // loop(iterations): nanoseconds
  Napi::Value loop(const Napi::CallbackInfo& info) {
    return Napi::Number::New(
        info.Env(), time_ns(iterations_of(info, 0), [this] { append(entries_[cycle_.next()]); }));
  }

  std::span<std::byte> batch_;
  Napi::ObjectReference buffer_;  // what batch_ points into
  std::vector<ledger::Entry> entries_;
  Cycle cycle_;
  size_t used_ = 0;
};

}  // namespace

Napi::Function define_encode_trial(Napi::Env env) { return EncodeTrial::define(env); }

}  // namespace espora::bench
