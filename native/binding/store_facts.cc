#include "binding/store_facts.h"

#include <span>
#include <utility>

#include "binding/values.h"
#include "sys/file_system.h"

namespace espora::binding {

// The library's typed records, whose schema is JSON.
constexpr const char* records_kind = "records";

sys::Result<store::Directory> open_place(Place& place) {
  if (auto* directory = std::get_if<store::Directory>(&place)) return std::move(*directory);
  return store::Directory::open(sys::posix_file_system(), std::get<std::string>(place), false,
                                true);
}

Napi::Object to_object(Napi::Env env, const store::StoreFacts& facts) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("uuid", store::uuid_text(facts.uuid));
  set(object, "version", facts.version);
  object.Set("storeKind", facts.kind);
  set(object, "segmentBytes", facts.segment_bytes);
  if (facts.kind == records_kind) object.Set("schema", facts.schema);
  if (facts.kind != ledger_kind) return object;
  const auto table = ledger::AccountTable::decode(
      std::as_bytes(std::span(facts.schema.data(), facts.schema.size())));
  if (table.ok()) object.Set("accounts", to_array(env, table.value()));
  return object;
}

Napi::Array to_array(Napi::Env env, const ledger::AccountTable& table) {
  Napi::Array array = Napi::Array::New(env);
  for (const ledger::AccountLimit& each : table.accounts()) {
    Napi::Object account = Napi::Object::New(env);
    set(account, "id", each.id);
    set(account, "limit", static_cast<uint64_t>(each.limit));
    array.Set(array.Length(), account);
  }
  return array;
}

Napi::Object to_object(Napi::Env env, const store::Finding& finding) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("severity", finding.severity == store::Severity::damage ? "damage" : "note");
  set(object, "segment", finding.place.segment);
  set(object, "block", finding.place.block);
  set(object, "seq", finding.place.seq);
  object.Set("text", finding.text());
  return object;
}

Napi::Array to_array(Napi::Env env, const std::vector<store::Finding>& findings) {
  Napi::Array array = Napi::Array::New(env, findings.size());
  for (size_t i = 0; i < findings.size(); ++i) {
    array.Set(static_cast<uint32_t>(i), to_object(env, findings[i]));
  }
  return array;
}

}  // namespace espora::binding
