// Durable appends through the store's engine as the database drives it: n records are reserved and
// encoded into the open batch, then one commit on the same thread, again and again. Segments are
// prepared by the housekeeping thread, as in the database.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ledger/entry_codec.h"
#include "measure.h"
#include "store/engine.h"
#include "store/housekeeping_thread.h"
#include "sys/clock.h"
#include "sys/file_system.h"
#include "trials.h"
#include "values.h"

namespace espora::bench {
namespace {

class NoRecords final : public store::RecordVisitor {
  sys::Status record(const store::RecordView&) override { return {}; }
};

class AppendTrial final : public Napi::ObjectWrap<AppendTrial> {
 public:
  // new AppendTrial(directory, entries): a new store in `directory`, which has none yet
  explicit AppendTrial(const Napi::CallbackInfo& info)
      : ObjectWrap(info), entries_(entries_of(info[1])), cycle_(entries_.size()) {
    store::Options options;
    options.directory = info[0].As<Napi::String>();
    options.create = true;
    options.kind = "bench";
    auto engine = store::Engine::open(file_system_, options, no_records_);
    if (!engine.ok()) throw to_error(info.Env(), engine.status());
    engine_ = std::move(engine).value();
    housekeeping_ =
        std::make_unique<store::HousekeepingThread>(file_system_, engine_->spare_preparer(), [] {});
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "AppendTrial",
                       {InstanceMethod<&AppendTrial::round>("round"),
                        InstanceMethod<&AppendTrial::settle>("settle"),
                        InstanceMethod<&AppendTrial::stats>("stats"),
                        InstanceMethod<&AppendTrial::close>("close")});
  }

 private:
  static constexpr uint64_t late_segment_pause_ns = 100'000;

  sys::Status append(const ledger::Entry& entry) {
    const size_t bytes = ledger::encoded_entry_bytes(entry);
    sys::Status reserved = engine_->reserve(bytes, 1);
    while (reserved.code() == sys::Code::unavailable) {
      file_system_.sleep_ns(late_segment_pause_ns);
      reserved = engine_->reserve(bytes, 1);
    }
    if (!reserved.ok()) return reserved;
    (void)engine_->batch_time_us();
    keep(
        ledger::encode_entry(entry, engine_->append_in_place(ledger::entry_record_type, 0, bytes)));
    return {};
  }

  sys::Status append_and_commit(uint32_t in_flight) {
    for (uint32_t i = 0; i < in_flight; i++) {
      if (sys::Status failed = append(entries_[cycle_.next()]); !failed.ok()) return failed;
    }
    return engine_->commit();
  }

  // round(milliseconds, inFlight): the time of each commit with its appends, in nanoseconds, one
  // behind the other; at least one
  Napi::Value round(const Napi::CallbackInfo& info) {
    const uint64_t duration_ns = iterations_of(info, 0) * 1'000'000;
    const auto in_flight = static_cast<uint32_t>(iterations_of(info, 1));
    std::vector<double> times;
    const uint64_t begin = sys::monotonic_ns();
    uint64_t before = begin;
    do {
      if (sys::Status failed = append_and_commit(in_flight); !failed.ok()) {
        throw to_error(info.Env(), failed);
      }
      const uint64_t now = sys::monotonic_ns();
      times.push_back(static_cast<double>(now - before));
      before = now;
    } while (before - begin < duration_ns);
    return to_array(info.Env(), times);
  }

  // settle(): returns when the next segment is prepared, so that nothing else writes to the disk
  Napi::Value settle(const Napi::CallbackInfo& info) {
    while (!engine_->stats().spare_ready) {
      if (sys::Status failed = engine_->spare_preparer().failure(); !failed.ok()) {
        throw to_error(info.Env(), failed);
      }
      file_system_.sleep_ns(late_segment_pause_ns);
    }
    return info.Env().Undefined();
  }

  Napi::Value stats(const Napi::CallbackInfo& info) {
    const store::Stats stats = engine_->stats();
    auto object = Napi::Object::New(info.Env());
    const auto set = [&object](const char* name, uint64_t value) {
      object.Set(name, static_cast<double>(value));
    };
    set("records", stats.records);
    set("batches", stats.batches);
    set("flushes", stats.flushes);
    set("bytesWritten", stats.bytes_written);
    set("rolls", stats.rolls);
    object.Set("directIo", stats.direct_io);
    return object;
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    housekeeping_->stop();
    if (sys::Status failed = engine_->close(); !failed.ok()) throw to_error(info.Env(), failed);
    return info.Env().Undefined();
  }

  sys::PosixFileSystem file_system_;
  NoRecords no_records_;
  std::vector<ledger::Entry> entries_;
  Cycle cycle_;
  std::unique_ptr<store::Engine> engine_;
  std::unique_ptr<store::HousekeepingThread> housekeeping_;
};

}  // namespace

Napi::Function define_append_trial(Napi::Env env) { return AppendTrial::define(env); }

}  // namespace espora::bench
