// One operation each: classes with single calls ("from JavaScript, one by one") and a loop ("inside
// the data plane") over the same code of the rooms. Loops return nanoseconds for all iterations.

#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "face/json_transaction.h"
#include "http/request_parser.h"
#include "ledger/entry_codec.h"
#include "ledger/ledger.h"
#include "measure.h"
#include "store/record.h"
#include "sys/crc32c.h"
#include "trials.h"
#include "values.h"

namespace espora::bench {
namespace {

using Info = Napi::CallbackInfo;

template <typename T>
Napi::Value number(const Info& info, T value) {
  return Napi::Number::New(info.Env(), static_cast<double>(value));
}

// Functions that take arguments and do nothing with them: what crossing between JavaScript and
// native code costs by itself.
Napi::Value call_empty(const Info& info) { return info.Env().Undefined(); }
Napi::Value call_number(const Info& info) {
  return number(info, info[0].As<Napi::Number>().DoubleValue());
}
Napi::Value call_bytes(const Info& info) {
  const std::span<std::byte> bytes = bytes_of(info[0]);
  keep(bytes.data());
  return number(info, bytes.size());
}
Napi::Value call_string(const Info& info) {
  return number(info, description_of(info.Env(), info[0]).view().size());
}

// Repeats its entries in order, without a division in the loop.
class Entries {
 public:
  explicit Entries(const Napi::Value& given) : entries_(entries_of(given)) {}
  const ledger::Entry& next() noexcept {
    const size_t at = at_;
    at_ = at + 1 == entries_.size() ? 0 : at + 1;
    return entries_[at];
  }

 private:
  std::vector<ledger::Entry> entries_;
  size_t at_ = 0;
};

// The arguments of a single call: account, credit, amount, time, description, balance or none.
ledger::Entry entry_of(const Info& info) {
  const auto integer = [&info](size_t index) {
    return info[index].As<Napi::Number>().Int64Value();
  };
  ledger::Entry entry;
  entry.account_id = info[0].As<Napi::Number>().Uint32Value();
  entry.transaction.kind =
      info[1].As<Napi::Boolean>().Value() ? ledger::Kind::credit : ledger::Kind::debit;
  entry.transaction.amount = integer(2);
  entry.time_us = static_cast<uint64_t>(integer(3));
  entry.transaction.description = description_of(info.Env(), info[4]);
  if (info.Length() > 5) entry.balance_after = integer(5);
  return entry;
}

// CRC-32C of the same bytes again and again, each seeded with the one before, so that none can
// begin before the last one ended.
class ChecksumTrial final : public Napi::ObjectWrap<ChecksumTrial> {
 public:
  // new ChecksumTrial(bytes)
  explicit ChecksumTrial(const Info& info)
      : ObjectWrap(info),
        bytes_(bytes_of(info[0])),
        buffer_(Napi::Persistent(info[0].ToObject())) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "ChecksumTrial",
        {StaticMethod<&ChecksumTrial::one>("one"), InstanceMethod<&ChecksumTrial::loop>("loop"),
         InstanceMethod<&ChecksumTrial::table_loop>("tableLoop"),
         InstanceAccessor<&ChecksumTrial::last>("last")});
  }

 private:
  // one(bytes, seed): the checksum
  static Napi::Value one(const Info& info) {
    return number(info, sys::crc32c(bytes_of(info[0]), info[1].As<Napi::Number>().Uint32Value()));
  }
  Napi::Value loop(const Info& info) {
    return repeat(info, [this](uint32_t seed) { return sys::crc32c(bytes_, seed); });
  }
  Napi::Value table_loop(const Info& info) {
    return repeat(info, [this](uint32_t seed) { return sys::crc32c_by_table(bytes_, seed); });
  }
  // The checksum that came out of the last loop.
  Napi::Value last(const Info& info) { return number(info, last_); }

  template <typename Checksum>
  Napi::Value repeat(const Info& info, Checksum&& checksum) {
    uint32_t crc = 0;
    const double ns = time_ns(iterations_of(info, 0), [&] {
      crc = checksum(crc);
      keep(crc);
    });
    last_ = crc;
    return number(info, ns);
  }

  std::span<std::byte> bytes_;
  Napi::ObjectReference buffer_;  // what bytes_ points into
  uint32_t last_ = 0;
};

// A ledger entry becomes a record in a batch's payload: header, entry, padding, one behind the
// other, from the front again when the batch is full.
class EncodeTrial final : public Napi::ObjectWrap<EncodeTrial> {
 public:
  // new EncodeTrial(batch, entries): writes into `batch`
  explicit EncodeTrial(const Info& info)
      : ObjectWrap(info),
        batch_(bytes_of(info[0])),
        buffer_(Napi::Persistent(info[0].ToObject())),
        entries_(info[1]) {}

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

  // one(entry…): bytes of the batch used so far
  Napi::Value one(const Info& info) {
    append(entry_of(info));
    return number(info, used_);
  }
  Napi::Value loop(const Info& info) {
    return number(info, time_ns(iterations_of(info, 0), [this] { append(entries_.next()); }));
  }

  std::span<std::byte> batch_;
  Napi::ObjectReference buffer_;  // what batch_ points into
  Entries entries_;
  size_t used_ = 0;
};

// The ledger decides about a transaction and lets it take effect: the accounts of the contest.
class ApplyTrial final : public Napi::ObjectWrap<ApplyTrial> {
 public:
  // new ApplyTrial(entries)
  explicit ApplyTrial(const Info& info)
      : ObjectWrap(info), ledger_(ledger::AccountTable::contest()), entries_(info[0]) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "ApplyTrial",
        {InstanceMethod<&ApplyTrial::one>("one"), InstanceMethod<&ApplyTrial::loop>("loop"),
         InstanceMethod<&ApplyTrial::state>("state")});
  }

 private:
  // Whether the transaction was accepted; `applied` is then what to write.
  bool apply(const ledger::Entry& wanted, ledger::Entry& applied) {
    ledger::Account* account = ledger_.find(wanted.account_id);
    if (account == nullptr) return false;
    const ledger::Decision decision = ledger::decide(*account, wanted.transaction);
    if (decision.result != engine::Result::applied) return false;
    applied = ledger_.apply(*account, wanted.transaction, decision.balance_after, wanted.time_us,
                            ++sequence_);
    return true;
  }

  // one(entry…): the balance after it, or NaN for a refusal
  Napi::Value one(const Info& info) {
    ledger::Entry applied;
    const bool accepted = apply(entry_of(info), applied);
    return number(info, accepted ? static_cast<double>(applied.balance_after)
                                 : std::numeric_limits<double>::quiet_NaN());
  }
  Napi::Value loop(const Info& info) {
    ledger::Entry applied;
    return number(info, time_ns(iterations_of(info, 0), [&] {
                    keep(apply(entries_.next(), applied));
                    keep(applied);
                  }));
  }
  // state(): per account its balance, and how many transactions changed it or all before it
  Napi::Value state(const Info& info) {
    auto balances = Napi::Array::New(info.Env());
    for (const ledger::Account& account : ledger_.accounts()) {
      balances.Set(balances.Length(), number(info, account.balance()));
      balances.Set(balances.Length(), number(info, account.last_change_seq()));
    }
    return balances;
  }

  ledger::Ledger ledger_;
  Entries entries_;
  uint64_t sequence_ = 0;
};

std::span<char> text_of(const Napi::Value& value) {
  const std::span<std::byte> bytes = bytes_of(value);
  return {reinterpret_cast<char*>(bytes.data()), bytes.size()};
}

// Requests of the contest through the HTTP parser, and their bodies through the JSON reader.
class ParseTrial final : public Napi::ObjectWrap<ParseTrial> {
 public:
  // new ParseTrial(messages, fields): `messages` is an array of buffers, `fields` a Float64Array of
  // at least 8 numbers that single calls fill in.
  explicit ParseTrial(const Info& info)
      : ObjectWrap(info), fields_(info[1].As<Napi::Float64Array>().Data()) {
    const auto fields = info[1].As<Napi::Float64Array>();
    if (fields.ElementLength() < 8) throw Napi::TypeError::New(info.Env(), "too few fields");
    fields_reference_ = Napi::Persistent(info[1].ToObject());
    const auto messages = info[0].As<Napi::Array>();
    for (uint32_t i = 0; i < messages.Length(); i++) {
      const std::span<char> message = text_of(messages.Get(i));
      messages_.emplace_back(message.begin(), message.end());
    }
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "ParseTrial",
        {InstanceMethod<&ParseTrial::one>("one"), InstanceMethod<&ParseTrial::loop>("loop"),
         InstanceMethod<&ParseTrial::body_one>("bodyOne"),
         InstanceMethod<&ParseTrial::body_loop>("bodyLoop")});
  }

 private:
  static constexpr uint32_t body_bytes_max = 4 * 1024;
  using Outcome = http::RequestParser::Outcome;

  // A whole request, as the server does it: up to its head, then to its end.
  bool parse(std::span<char> message) {
    return parser_.parse(message) == Outcome::head && parser_.parse(message) == Outcome::complete;
  }

  // one(message): whether it is one whole request. `fields`: begin and end of method, path and body
  // in it, keep-alive.
  Napi::Value one(const Info& info) {
    const std::span<char> message = text_of(info[0]);
    const bool whole = parse(message);
    if (whole) {
      const http::Request& request = parser_.request();
      const auto at = [&](std::string_view part, size_t field) {
        fields_[field] = static_cast<double>(part.data() - message.data());
        fields_[field + 1] = fields_[field] + static_cast<double>(part.size());
      };
      at(request.method, 0);
      at(request.path, 2);
      at(request.body, 4);
      fields_[6] = request.keep_alive ? 1 : 0;
      parser_.next();
    } else {
      parser_ = http::RequestParser(body_bytes_max);
    }
    return Napi::Boolean::New(info.Env(), whole);
  }
  Napi::Value loop(const Info& info) {
    return repeat(info, [this](std::vector<char>& message) {
      const bool whole = parse(message);
      keep(parser_.request());
      parser_.next();
      return whole;
    });
  }

  // bodyOne(body): the description, or null for a body that is refused. `fields`: amount, and 1 for
  // a credit or 0 for a debit.
  Napi::Value body_one(const Info& info) {
    const std::span<char> body = text_of(info[0]);
    engine::Transaction transaction;
    if (face::read_transaction({body.data(), body.size()}, transaction) != nullptr) {
      return info.Env().Null();
    }
    fields_[0] = static_cast<double>(transaction.amount);
    fields_[1] = transaction.kind == engine::Kind::credit ? 1 : 0;
    const std::string_view description = transaction.description.view();
    return Napi::String::New(info.Env(), description.data(), description.size());
  }
  Napi::Value body_loop(const Info& info) {
    engine::Transaction transaction;
    return repeat(info, [&transaction](const std::vector<char>& body) {
      const auto* refusal = face::read_transaction({body.data(), body.size()}, transaction);
      keep(transaction);
      return refusal == nullptr;
    });
  }

  template <typename Read>
  Napi::Value repeat(const Info& info, Read&& read) {
    bool accepted = true;
    const double ns = time_ns(iterations_of(info, 0), [&] {
      accepted &= read(messages_[at_]);
      at_ = at_ + 1 == messages_.size() ? 0 : at_ + 1;
    });
    if (!accepted) throw Napi::Error::New(info.Env(), "a message is refused");
    return number(info, ns);
  }

  http::RequestParser parser_{body_bytes_max};
  std::vector<std::vector<char>> messages_;
  size_t at_ = 0;
  double* fields_;
  Napi::ObjectReference fields_reference_;  // what fields_ points into
};

}  // namespace

void define_operations(Napi::Env env, Napi::Object exports) {
  exports.Set("callEmpty", Napi::Function::New<call_empty>(env, "callEmpty"));
  exports.Set("callNumber", Napi::Function::New<call_number>(env, "callNumber"));
  exports.Set("callBytes", Napi::Function::New<call_bytes>(env, "callBytes"));
  exports.Set("callString", Napi::Function::New<call_string>(env, "callString"));
  exports.Set("ChecksumTrial", ChecksumTrial::define(env));
  exports.Set("EncodeTrial", EncodeTrial::define(env));
  exports.Set("ApplyTrial", ApplyTrial::define(env));
  exports.Set("ParseTrial", ParseTrial::define(env));
}

}  // namespace espora::bench
