// `verifyStore`, and `verify` of an open store.

#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "binding/promise_worker.h"
#include "binding/store_facts.h"
#include "binding/store_tools.h"
#include "binding/values.h"
#include "ledger/account_table.h"
#include "ledger/ledger_state.h"
#include "store/reader.h"

namespace espora::binding {
namespace {

// The state that a store's records must give and its snapshots contain, for a ledger.
std::unique_ptr<store::SnapshotState> make_state(const store::StoreFacts& store) {
  if (store.kind != ledger_kind) return nullptr;
  const auto table = ledger::AccountTable::decode(
      std::as_bytes(std::span(store.schema.data(), store.schema.size())));
  if (!table.ok()) return nullptr;
  return std::make_unique<ledger::LedgerState>(table.value());
}

class Verification final : public PromiseWorker {
 public:
  Verification(Napi::Env env, Place place, uint64_t durable_seq)
      : PromiseWorker(env, "espora.verify"), place_(std::move(place)), durable_seq_(durable_seq) {}

 private:
  sys::Status work() override {
    auto directory = open_place(place_);
    if (!directory.ok()) return directory.status();
    auto report = store::verify(std::move(directory).value(), make_state, durable_seq_);
    if (report.ok()) report_ = std::move(report).value();
    return report.status();
  }

  Napi::Value value(Napi::Env env) override {
    const store::VerifyReport& report = report_;
    Napi::Object object = Napi::Object::New(env);
    object.Set("ok", !report.damaged());
    object.Set("store", to_object(env, report.store));
    set(object, "provenSeq", report.proven_seq);
    set(object, "lastSeq", report.last_seq);
    set(object, "segments", report.segments);
    set(object, "denseSegments", report.dense_segments);
    set(object, "snapshots", report.snapshots);
    set(object, "diskBytes", report.disk_bytes);
    set(object, "batches", report.batches);
    set(object, "seals", report.seals);
    set(object, "records", report.records);
    set(object, "lostRecords", report.lost_records);
    set(object, "payloadBytes", report.payload_bytes);
    set(object, "lastTimeUs", report.last_time_us);
    object.Set("findings", to_array(env, report.findings));
    return object;
  }

  Place place_;
  uint64_t durable_seq_;
  store::VerifyReport report_;
};

}  // namespace

Napi::Value verify_store(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsString()) {
    throw Napi::TypeError::New(info.Env(), "verifyStore(directory)");
  }
  return PromiseWorker::queue<Verification>(info.Env(), to_path(info.Env(), info[0]), 0u);
}

Napi::Value verify_directory(Napi::Env env, store::Directory directory, uint64_t durable_seq) {
  return PromiseWorker::queue<Verification>(env, std::move(directory), durable_seq);
}

}  // namespace espora::binding
