#include "binding/store.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "binding/js_channel.h"
#include "binding/promise_worker.h"
#include "binding/store_tools.h"
#include "binding/values.h"
#include "store/committer.h"
#include "store/record_reader.h"
#include "sys/file_system.h"
#include "sys/limits.h"

namespace espora::binding {

namespace {

constexpr uint64_t exact_max = (uint64_t{1} << 53) - 1;

store::Sync to_sync(const Napi::Object& options) {
  const std::string name = get_string(options, "sync");
  if (name == "always") return store::Sync::always;
  if (name == "interval") return store::Sync::interval;
  if (name == "never") return store::Sync::never;
  throw Napi::TypeError::New(options.Env(),
                             "option \"sync\" must be \"always\", \"interval\" or \"never\"");
}

store::Options to_store_options(const Napi::Object& given) {
  store::Options options;
  options.directory = get_path(given, "directory");
  options.create = get_boolean_or(given, "create", true);
  options.segment_bytes = get_unsigned_or(given, "segmentBytes", uint64_t{1} << 40, 0);
  options.sync = to_sync(given);
  options.flush_interval_ms =
      static_cast<uint32_t>(get_unsigned_or(given, "syncIntervalMs", milliseconds_max, 10));
  options.kind = get_string(given, "kind");
  const std::string schema = get_string_or(given, "schema", "");
  const auto bytes = std::as_bytes(std::span(schema));
  options.schema.assign(bytes.begin(), bytes.end());
  return options;
}

// --- reading -------------------------------------------------------------------------------------

// Shared with reads that are still running when their store is closed.
struct ReaderShare {
  explicit ReaderShare(store::Directory opened) : directory(std::move(opened)) {}
  const store::Directory directory;
  std::mutex mutex;
  std::unique_ptr<store::RecordReader> reader;  // guarded by mutex
};

// The header of a record in the bytes that JavaScript gets; its data follows, padded to 8.
struct DeliveredRecord {
  double seq;
  double time_us;
  uint32_t length;
  uint32_t zero;
};
static_assert(sizeof(DeliveredRecord) == 24);

class PortionReading final : public PromiseWorker, private store::RecordSink {
 public:
  PortionReading(Napi::Env env, std::shared_ptr<ReaderShare> share, store::ReadPortion portion)
      : PromiseWorker(env, "espora.read"), share_(std::move(share)), portion_(portion) {}

 private:
  sys::Status work() override {
    const std::lock_guard lock(share_->mutex);
    if (share_->reader == nullptr) {
      auto directory = share_->directory.again();
      if (!directory.ok()) return directory.status();
      auto opened = store::RecordReader::open(std::move(directory).value());
      if (!opened.ok()) return opened.status();
      share_->reader = std::move(opened).value();
    }
    sys::Status status = share_->reader->read(portion_, *this);
    // What it remembers may be wrong.
    if (!status.ok()) share_->reader.reset();
    return status;
  }

  void record(const store::RecordView& record) override {
    last_seq_ = record.seq;
    if (record.type != store::library_record_type) return;
    const DeliveredRecord head{static_cast<double>(record.seq), static_cast<double>(record.time_us),
                               static_cast<uint32_t>(record.bytes.size()), 0};
    const size_t at = bytes_.size();
    bytes_.resize(at + sizeof head + store::round_up(record.bytes.size(), 8));
    std::memcpy(bytes_.data() + at, &head, sizeof head);
    if (!record.bytes.empty()) {
      std::memcpy(bytes_.data() + at + sizeof head, record.bytes.data(), record.bytes.size());
    }
  }

  Napi::Value value(Napi::Env env) override {
    Napi::Object result = Napi::Object::New(env);
    Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, bytes_.size());
    if (!bytes_.empty()) std::memcpy(buffer.Data(), bytes_.data(), bytes_.size());
    result.Set("bytes", buffer);
    set(result, "lastSeq", last_seq_);
    return result;
  }

  std::shared_ptr<ReaderShare> share_;
  const store::ReadPortion portion_;
  std::vector<std::byte> bytes_;
  uint64_t last_seq_ = 0;
};

// --- the class -----------------------------------------------------------------------------------

class Store final : public Napi::ObjectWrap<Store>, private store::CommitterEvents {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Store",
        {InstanceMethod<&Store::open>("open"), InstanceMethod<&Store::submit>("submit"),
         InstanceMethod<&Store::flush>("flush"), InstanceMethod<&Store::read>("read"),
         InstanceMethod<&Store::verify>("verify"), InstanceMethod<&Store::backup>("backup"),
         InstanceMethod<&Store::hold>("hold"), InstanceMethod<&Store::let_go>("letGo"),
         InstanceMethod<&Store::close>("close"), InstanceMethod<&Store::close_now>("closeNow"),
         InstanceMethod<&Store::stats>("stats"), InstanceAccessor<&Store::directory>("directory"),
         InstanceAccessor<&Store::durable_seq>("durableSeq")});
  }

  explicit Store(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<Store>(info), channel_(JsChannel::of(info.Env())) {
    if (info.Length() < 1 || !info[0].IsObject()) {
      throw Napi::TypeError::New(info.Env(), "new Store(options)");
    }
    store::Options options = to_store_options(info[0].As<Napi::Object>());
    path_ = options.directory;
    store::CommitterEvents& events = *this;
    committer_ =
        std::make_unique<store::Committer>(sys::posix_file_system(), std::move(options), events);
  }

  // An environment that ends leaves no thread behind: what was submitted is committed.
  ~Store() override {
    *alive_ = false;
    if (committer_ != nullptr) committer_->stop();
  }

 private:
  enum class State : uint8_t { created, opening, open, closing, closed };

  // --- JavaScript's thread ---
  Napi::Value open(const Napi::CallbackInfo& info) {
    auto deferred = Napi::Promise::Deferred::New(info.Env());
    if (state_ != State::created) {
      deferred.Reject(closed_error(info.Env()).Value());
      return deferred.Promise();
    }
    if (info.Length() < 1 || !info[0].IsFunction()) {
      throw Napi::TypeError::New(info.Env(), "open(onProgress)");
    }
    if (const sys::Status status = committer_->start(); !status.ok()) {
      state_ = State::closed;
      deferred.Reject(to_error(info.Env(), status).Value());
      return deferred.Promise();
    }
    // Messages of the thread arrive on this thread, so not before all of this is set.
    state_ = State::opening;
    open_promise_ = deferred;
    on_progress_ = Napi::Persistent(info[0].As<Napi::Function>());
    Ref();
    channel_->hold();
    return deferred.Promise();
  }

  void submit(const Napi::CallbackInfo& info) {
    if (state_ != State::open) throw closed_error(info.Env());
    if (info.Length() < 2 || !info[0].IsTypedArray() || !info[1].IsNumber()) {
      throw Napi::TypeError::New(info.Env(), "submit(bytes, count)");
    }
    const auto staged = info[0].As<Napi::Uint8Array>();
    const uint32_t count = info[1].As<Napi::Number>().Uint32Value();
    if (count == 0 || count > staged.ByteLength()) {
      throw Napi::TypeError::New(info.Env(), "submit: more bytes than there are");
    }
    const auto* bytes = reinterpret_cast<const std::byte*>(staged.Data());
    if (!store::whole_units({bytes, count})) {
      throw Napi::TypeError::New(info.Env(), "submit: no whole units");
    }
    committer_->submit(std::vector<std::byte>(bytes, bytes + count));
  }

  void flush(const Napi::CallbackInfo& info) {
    if (state_ != State::open) throw closed_error(info.Env());
    committer_->flush();
  }

  Napi::Value read(const Napi::CallbackInfo& info) {
    if (state_ != State::open) throw closed_error(info.Env());
    if (info.Length() < 1 || !info[0].IsObject()) {
      throw Napi::TypeError::New(info.Env(), "read(portion)");
    }
    const auto given = info[0].As<Napi::Object>();
    store::ReadPortion portion;
    portion.first = get_unsigned(given, "first", exact_max);
    portion.last = std::min(get_unsigned(given, "last", exact_max), committer_->durable_seq());
    portion.reverse = get_boolean_or(given, "reverse", false);
    portion.records_max =
        static_cast<uint32_t>(get_unsigned(given, "recordsMax", limits::read_portion_records_max));
    portion.bytes_max = limits::read_portion_bytes_max;
    return PromiseWorker::queue<PortionReading>(info.Env(), reader_, portion);
  }

  // What was durable at the call, in this very directory, whatever its path now refers to.
  Napi::Value verify(const Napi::CallbackInfo& info) {
    // This comes first: if the store is closed there is no committer to ask.
    store::Directory directory = open_again(info.Env());
    return verify_directory(info.Env(), std::move(directory), committer_->durable_seq());
  }

  Napi::Value backup(const Napi::CallbackInfo& info) {
    if (info.Length() < 1 || !info[0].IsString()) {
      throw Napi::TypeError::New(info.Env(), "backup(directory)");
    }
    store::Directory from = open_again(info.Env());
    return back_up_directory(info.Env(), std::move(from), to_path(info.Env(), info[0]),
                             committer_->durable_seq());
  }

  store::Directory open_again(Napi::Env env) const {
    if (state_ != State::open) throw closed_error(env);
    auto directory = reader_->directory.again();
    if (!directory.ok()) throw to_error(env, directory.status());
    return std::move(directory).value();
  }

  void hold(const Napi::CallbackInfo&) { channel_->hold(); }
  void let_go(const Napi::CallbackInfo&) { channel_->let_go(); }

  Napi::Value close(const Napi::CallbackInfo& info) {
    auto deferred = Napi::Promise::Deferred::New(info.Env());
    if (state_ != State::open) {
      deferred.Reject(closed_error(info.Env()).Value());
      return deferred.Promise();
    }
    state_ = State::closing;
    close_promise_ = deferred;
    channel_->hold();
    committer_->close();
    return deferred.Promise();
  }

  // For process.on('exit'): nothing can be reported any more, but submitted records are committed.
  void close_now(const Napi::CallbackInfo&) {
    if (state_ == State::open) {
      state_ = State::closing;
      channel_->hold();
    }
    if (committer_ != nullptr) committer_->stop();
  }

  Napi::Value directory(const Napi::CallbackInfo& info) {
    return Napi::String::New(info.Env(), path_);
  }

  Napi::Value durable_seq(const Napi::CallbackInfo& info) {
    const uint64_t now = committer_ == nullptr ? durable_seq_at_end_ : committer_->durable_seq();
    return Napi::Number::New(info.Env(), static_cast<double>(now));
  }

  Napi::Value stats(const Napi::CallbackInfo& info) {
    if (committer_ == nullptr) throw closed_error(info.Env());
    return to_object(info.Env(), committer_->facts());
  }

  static Napi::Object to_object(Napi::Env env, const store::CommitterFacts& facts) {
    const store::Stats& stats = facts.stats;
    Napi::Object object = Napi::Object::New(env);
    set(object, "lastSeq", facts.last_seq);
    set(object, "durableSeq", facts.durable_seq);
    object.Set("appendable", facts.appendable);
    set(object, "unitBytesMax", facts.unit_bytes_max);
    set(object, "records", stats.records);
    set(object, "batches", stats.batches);
    set(object, "flushes", stats.flushes);
    set(object, "bytesWritten", stats.bytes_written);
    set(object, "seals", stats.seals);
    set(object, "segment", stats.segment);
    set(object, "segmentBytes", stats.segment_bytes);
    set(object, "unprovenRecords", stats.unproven_records);
    set(object, "segmentsRewritten", stats.housekeeping.segments_rewritten);
    object.Set("directIo", stats.direct_io);
    object.Set("fileSystem", sys::file_system_name(stats.file_system));
    object.Set("volatile", sys::file_system_volatile(stats.file_system));
    return object;
  }

  static Napi::Error closed_error(Napi::Env env) {
    return to_error(env, sys::Status(sys::Code::closed, "the store is closed"));
  }

  void opened(Napi::Env env, const sys::Status& status) {
    channel_->let_go();
    if (!status.ok()) {
      open_promise_->Reject(to_error(env, status).Value());
      end();
      return;
    }
    state_ = State::open;
    reader_ = std::make_shared<ReaderShare>(committer_->take_directory());
    open_promise_->Resolve(to_object(env, committer_->facts()));
  }

  // One call for all available outcomes.
  void progressed(Napi::Env env) {
    if (committer_ == nullptr) return;
    committer_->take(outcomes_);
    Napi::Array array = Napi::Array::New(env, outcomes_.size());
    for (uint32_t i = 0; i < outcomes_.size(); i++) {
      const store::Outcome& outcome = outcomes_[i];
      Napi::Object object = Napi::Object::New(env);
      set(object, "units", outcome.units);
      set(object, "firstSeq", outcome.first_seq);
      set(object, "timeUs", outcome.time_us);
      set(object, "durableSeq", outcome.durable_seq);
      if (!outcome.status.ok()) object.Set("error", to_error(env, outcome.status).Value());
      array.Set(i, object);
    }
    on_progress_.Call({array});
  }

  void closed(Napi::Env env, const sys::Status& status) {
    channel_->let_go();
    if (close_promise_ && status.ok()) close_promise_->Resolve(env.Undefined());
    if (close_promise_ && !status.ok()) close_promise_->Reject(to_error(env, status).Value());
    end();
  }

  // Releases everything: what is left is an object that reports that it is closed. Running reads
  // keep their reader until they are done.
  void end() {
    state_ = State::closed;
    durable_seq_at_end_ = committer_->durable_seq();
    committer_.reset();
    reader_.reset();
    outcomes_ = {};
    on_progress_.Reset();
    Unref();
  }

  // --- the committer's thread ---
  template <typename Work>
  void tell(Work work) {
    channel_->post([alive = alive_, work = std::move(work)](Napi::Env env) {
      if (*alive) work(env);
    });
  }
  void on_opened(const sys::Status& status) override {
    tell([this, status](Napi::Env env) { opened(env, status); });
  }
  void on_progress() override {
    tell([this](Napi::Env env) { progressed(env); });
  }
  void on_closed(const sys::Status& status) override {
    tell([this, status](Napi::Env env) { closed(env, status); });
  }

  std::shared_ptr<JsChannel> channel_;
  // Tells messages that outlive this object; read on JavaScript's thread only.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::string path_;
  Napi::FunctionReference on_progress_;
  State state_ = State::created;
  std::optional<Napi::Promise::Deferred> open_promise_;
  std::optional<Napi::Promise::Deferred> close_promise_;
  std::vector<store::Outcome> outcomes_;
  uint64_t durable_seq_at_end_ = 0;
  std::shared_ptr<ReaderShare> reader_;          // once the store is open
  std::unique_ptr<store::Committer> committer_;  // last: it must be destroyed before what it uses
};

}  // namespace

Napi::Function define_store(Napi::Env env) { return Store::define(env); }

}  // namespace espora::binding
