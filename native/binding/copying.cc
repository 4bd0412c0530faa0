// `copyStore`, and `backup` of an open store.

#include <cstdint>
#include <string>
#include <utility>

#include "binding/promise_worker.h"
#include "binding/store_facts.h"
#include "binding/store_tools.h"
#include "binding/values.h"
#include "store/copy.h"

namespace espora::binding {
namespace {

class Copying final : public PromiseWorker {
 public:
  Copying(Napi::Env env, Place from, std::string to, store::OnDamage on_damage,
          uint64_t durable_seq, std::string like = {})
      : PromiseWorker(env, "espora.copy"),
        from_(std::move(from)),
        to_(std::move(to)),
        on_damage_(on_damage),
        durable_seq_(durable_seq),
        like_(std::move(like)) {}

 private:
  sys::Status work() override {
    auto from = open_place(from_);
    if (!from.ok()) return from.status();
    auto report = store::copy_store(std::move(from).value(), to_, on_damage_, durable_seq_, like_);
    if (report.ok()) report_ = std::move(report).value();
    return report.status();
  }

  Napi::Value value(Napi::Env env) override {
    const store::CopyReport& report = report_;
    Napi::Object object = Napi::Object::New(env);
    object.Set("damaged", report.damaged());
    object.Set("source", to_object(env, report.source));
    object.Set("copy", to_object(env, report.copy));
    set(object, "lastSeq", report.last_seq);
    set(object, "records", report.records);
    Napi::Array losses = Napi::Array::New(env, report.losses.size());
    uint64_t lost = 0;
    for (size_t i = 0; i < report.losses.size(); ++i) {
      const store::Loss& loss = report.losses[i];
      Napi::Object each = Napi::Object::New(env);
      set(each, "firstSeq", loss.first_seq);
      set(each, "lastSeq", loss.last_seq);
      set(each, "segment", loss.segment);
      set(each, "block", loss.block);
      each.Set("reason", loss.what);
      losses.Set(static_cast<uint32_t>(i), each);
      lost += loss.last_seq - loss.first_seq + 1;
    }
    set(object, "lost", lost);
    object.Set("losses", losses);
    object.Set("findings", to_array(env, report.findings));
    return object;
  }

  Place from_;
  std::string to_;
  store::OnDamage on_damage_;
  uint64_t durable_seq_;
  std::string like_;
  store::CopyReport report_;
};

}  // namespace

Napi::Value copy_store(const Napi::CallbackInfo& info) {
  if (info.Length() < 3 || !info[0].IsString() || !info[1].IsString() || !info[2].IsBoolean()) {
    throw Napi::TypeError::New(info.Env(), "copyStore(from, to, giveUp, like?)");
  }
  const bool give_up = info[2].As<Napi::Boolean>().Value();
  std::string like;
  if (info.Length() > 3 && info[3].IsString()) like = to_path(info.Env(), info[3]);
  return PromiseWorker::queue<Copying>(
      info.Env(), to_path(info.Env(), info[0]), to_path(info.Env(), info[1]),
      give_up ? store::OnDamage::give_up : store::OnDamage::refuse, 0u, std::move(like));
}

Napi::Value back_up_directory(Napi::Env env, store::Directory from, std::string to,
                              uint64_t durable_seq) {
  return PromiseWorker::queue<Copying>(env, std::move(from), std::move(to), store::OnDamage::refuse,
                                       durable_seq);
}

}  // namespace espora::binding
