// `inspectStore`: a walk through a store, whose items JavaScript takes in portions.

#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "binding/js_channel.h"
#include "binding/store_facts.h"
#include "binding/store_tools.h"
#include "binding/values.h"
#include "ledger/entry_codec.h"
#include "store/reader.h"
#include "sys/file_system.h"
#include "sys/limits.h"
#include "sys/thread.h"

namespace espora::binding {
namespace {

// Items passed to JavaScript in one call: enough to make the call cheap, few enough to take little
// memory and to keep JavaScript's thread responsive.
constexpr size_t items_per_call = 512;

// A result of the walk, kept until JavaScript's thread turns it into an object.
struct RecordItem {
  uint64_t seq;
  uint64_t time_us;
  uint16_t type;
  uint16_t flags;
  std::string bytes;
};
using Item = std::variant<store::SegmentFacts, store::SnapshotFacts, store::format::FrameHeader,
                          RecordItem, store::Finding>;

struct InspectOptions {
  std::string directory;
  uint64_t from = 0;
  uint64_t limit = UINT64_MAX;
  bool frames = true;
  bool records = true;
};

Napi::Object with_kind(Napi::Env env, const char* kind) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("kind", kind);
  return object;
}

std::string hexadecimal(const std::string& bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

Napi::Object record_to_object(Napi::Env env, const RecordItem& record, bool ledger) {
  const bool lost = record.type == store::lost_record_type;
  Napi::Object object = with_kind(env, lost ? "lost" : "record");
  set(object, "seq", record.seq);
  set(object, "timeUs", record.time_us);
  if (lost) return object;
  set(object, "type", record.type);
  set(object, "flags", record.flags);
  if (ledger && record.type == ledger::entry_record_type) {
    const auto entry =
        ledger::decode_entry(std::as_bytes(std::span(record.bytes.data(), record.bytes.size())));
    if (entry.ok()) {
      const ledger::Entry& transaction = entry.value();
      set(object, "account", transaction.account_id);
      set(object, "valor", static_cast<uint64_t>(transaction.transaction.amount));
      object.Set("tipo", transaction.transaction.kind == ledger::Kind::credit ? "c" : "d");
      object.Set("descricao", std::string(transaction.transaction.description.view()));
      object.Set("saldo", Napi::Number::New(env, static_cast<double>(transaction.balance_after)));
      set(object, "realizadaEmUs", transaction.time_us);
      return object;
    }
  }
  object.Set("bytes", hexadecimal(record.bytes));
  return object;
}

Napi::Object item_to_object(Napi::Env env, const Item& item, bool ledger) {
  if (const auto* segment = std::get_if<store::SegmentFacts>(&item)) {
    Napi::Object object = with_kind(env, "segment");
    set(object, "number", segment->number);
    if (!segment->whole_header) return object;
    const store::format::SegmentHeader& header = segment->header;
    set(object, "epoch", header.epoch);
    set(object, "firstSeq", header.first_seq);
    set(object, "durableSeq", header.durable_seq);
    set(object, "previousNumber", header.previous_number);
    set(object, "previousEndBlock", header.previous_end_block);
    set(object, "previousLastSeq", header.previous_last_seq);
    object.Set("dense", store::is_dense(header));
    if (store::is_dense(header)) {
      set(object, "lastSeq", header.dense_last_seq);
      set(object, "endBlock", header.dense_end_block);
      set(object, "indexBlock", header.dense_index_block);
      set(object, "frames", header.dense_frame_count);
    }
    set(object, "fileBytes", segment->file_bytes);
    return object;
  }
  if (const auto* snapshot = std::get_if<store::SnapshotFacts>(&item)) {
    Napi::Object object = with_kind(env, "snapshot");
    set(object, "seq", snapshot->seq);
    if (!snapshot->whole) return object;
    set(object, "segment", snapshot->header.segment);
    set(object, "stateBytes", snapshot->header.state_bytes);
    set(object, "timeUs", snapshot->header.time_us);
    set(object, "fileBytes", snapshot->file_bytes);
    return object;
  }
  if (const auto* frame = std::get_if<store::format::FrameHeader>(&item)) {
    const bool dense = frame->type == static_cast<uint16_t>(store::format::FrameType::dense);
    const char* kind = frame->record_count == 0 ? "seal" : dense ? "dense" : "batch";
    Napi::Object object = with_kind(env, kind);
    set(object, "segment", frame->segment);
    set(object, "block", frame->block);
    set(object, "epoch", frame->epoch);
    set(object, "firstSeq", frame->first_seq);
    set(object, "records", frame->record_count);
    set(object, "payloadBytes", frame->payload_bytes);
    set(object, "durableSeq", frame->durable_seq);
    set(object, "timeUs", frame->time_us);
    return object;
  }
  if (const auto* finding = std::get_if<store::Finding>(&item)) {
    Napi::Object object = to_object(env, *finding);
    object.Set("kind", "finding");
    return object;
  }
  return record_to_object(env, std::get<RecordItem>(item), ledger);
}

// One call of inspectStore, from its promise to its end. The thread walks; after every
// `items_per_call` items or so it waits until JavaScript has taken them.
class Inspection final : private store::ReadVisitor {
 public:
  Inspection(Napi::Env env, InspectOptions options, const Napi::Function& on_items)
      : options_(std::move(options)),
        channel_(JsChannel::of(env)),
        deferred_(Napi::Promise::Deferred::New(env)),
        on_items_(Napi::Persistent(on_items)) {}

  static Napi::Promise begin(Napi::Env env, std::unique_ptr<Inspection> inspection) {
    const Napi::Promise promise = inspection->deferred_.Promise();
    inspection->channel_->hold();
    Inspection* running = inspection.get();
    // The thread's end is reported on this thread, so not before `thread_` is set.
    auto thread = sys::start_thread("espora-inspect", [running] { running->run(); });
    if (!thread.ok()) {
      inspection->channel_->let_go();
      inspection->deferred_.Reject(to_error(env, thread.status()).Value());
      return promise;
    }
    running->thread_ = std::move(thread).value();
    (void)inspection.release();
    return promise;
  }

 private:
  void run() {
    sys::Status status = walk();
    if (status.ok()) deliver();
    // Deletes itself there; if the environment has ended it is never freed.
    channel_->post([this, status = std::move(status)](Napi::Env env) { end(env, status); });
  }

  sys::Status walk() {
    auto reader = store::Reader::open(sys::posix_file_system(), options_.directory);
    if (!reader.ok()) return reader.status();
    facts_ = reader.value()->store();
    proven_seq_ = reader.value()->proven_seq();
    last_seq_ = reader.value()->last_seq();
    return reader.value()->walk(*this);
  }

  void segment(const store::SegmentFacts& facts) override {
    if (options_.frames) add(facts);
  }

  void snapshot(const store::SnapshotFacts& facts) override {
    if (options_.frames) add(facts);
  }

  bool frame(const store::FrameView& frame) override {
    const bool before = !frame.seal() && frame.last_seq() < options_.from;
    if (options_.frames && !before) add(frame.header);
    if (options_.records && !before) {
      store::RecordCursor cursor(frame.header, frame.payload);
      store::RecordView record;
      while (cursor.next(record)) {
        if (record.seq < options_.from) continue;
        if (shown_ == options_.limit) return false;
        ++shown_;
        held_bytes_ += record.bytes.size();
        add(RecordItem{
            record.seq, record.time_us, record.type, record.flags,
            std::string(reinterpret_cast<const char*>(record.bytes.data()), record.bytes.size())});
      }
    }
    return !failed_;
  }

  void finding(const store::Finding& finding) override { add(finding); }

  void add(Item item) {
    items_.push_back(std::move(item));
    if (items_.size() == items_per_call || held_bytes_ >= limits::read_portion_bytes_max) deliver();
  }

  // Waits until JavaScript has taken the items, or never will.
  void deliver() {
    auto taken = std::make_shared<std::promise<void>>();
    std::future<void> done = taken->get_future();
    channel_->post([this, taken,
                    items = std::make_shared<std::vector<Item>>(std::move(items_))](Napi::Env env) {
      const bool first = !std::exchange(delivered_, true);
      Napi::Array array = Napi::Array::New(env);
      uint32_t at = 0;
      if (first) {
        Napi::Object store = to_object(env, facts_);
        store.Set("kind", "store");
        set(store, "provenSeq", proven_seq_);
        set(store, "lastSeq", last_seq_);
        array.Set(at++, store);
      }
      const bool ledger = facts_.kind == ledger_kind;
      for (const Item& item : *items) array.Set(at++, item_to_object(env, item, ledger));
      try {
        on_items_.Call({array});
      } catch (const Napi::Error& error) {
        failed_ = true;
        error_ = error;
      }
    });
    taken.reset();
    done.wait();  // also if the work is dropped: then its promise is broken
    items_.clear();
    held_bytes_ = 0;
  }

  void end(Napi::Env env, const sys::Status& status) {
    const std::unique_ptr<Inspection> self(this);
    thread_.join();
    channel_->let_go();
    if (failed_) {
      deferred_.Reject(error_->Value());
    } else if (!status.ok()) {
      deferred_.Reject(to_error(env, status).Value());
    } else {
      deferred_.Resolve(env.Undefined());
    }
  }

  const InspectOptions options_;
  std::shared_ptr<JsChannel> channel_;
  Napi::Promise::Deferred deferred_;
  Napi::FunctionReference on_items_;
  std::optional<Napi::Error> error_;  // thrown by the callback
  sys::Thread thread_;
  // The thread's; JavaScript's thread accesses them only while the thread waits for it.
  store::StoreFacts facts_;
  uint64_t proven_seq_ = 0;
  uint64_t last_seq_ = 0;
  uint64_t shown_ = 0;
  std::vector<Item> items_;
  size_t held_bytes_ = 0;  // size of the records among them
  bool delivered_ = false;
  bool failed_ = false;
};

}  // namespace

Napi::Value inspect_store(const Napi::CallbackInfo& info) {
  if (info.Length() < 3 || !info[0].IsString() || !info[1].IsObject() || !info[2].IsFunction()) {
    throw Napi::TypeError::New(info.Env(), "inspectStore(directory, options, onItems)");
  }
  constexpr uint64_t any = uint64_t{1} << 53;
  const auto given = info[1].As<Napi::Object>();
  InspectOptions options;
  options.directory = to_path(info.Env(), info[0]);
  options.from = get_unsigned_or(given, "from", any, options.from);
  options.limit = get_unsigned_or(given, "limit", any, options.limit);
  options.frames = get_boolean_or(given, "frames", options.frames);
  options.records = get_boolean_or(given, "records", options.records);
  return Inspection::begin(info.Env(), std::make_unique<Inspection>(info.Env(), std::move(options),
                                                                    info[2].As<Napi::Function>()));
}

}  // namespace espora::binding
