// Requests of the contest through the HTTP parser, and their bodies through the JSON reader.

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "face/json_transaction.h"
#include "http/request_parser.h"
#include "measure.h"
#include "trials.h"
#include "values.h"

namespace espora::bench {
namespace {

using Outcome = http::RequestParser::Outcome;

constexpr uint32_t body_bytes_max = 4 * 1024;

class ParseTrial final : public Napi::ObjectWrap<ParseTrial> {
 public:
  // new ParseTrial(messages, fields): `messages` is an array of buffers, `fields` a Float64Array of
  // at least 8 numbers that single calls fill in.
  explicit ParseTrial(const Napi::CallbackInfo& info)
      : ObjectWrap(info), fields_(info[1].As<Napi::Float64Array>().Data()) {
    const auto fields = info[1].As<Napi::Float64Array>();
    if (fields.ElementLength() < 8) throw Napi::TypeError::New(info.Env(), "too few fields");
    fields_reference_ = Napi::Persistent(info[1].ToObject());
    const auto messages = info[0].As<Napi::Array>();
    for (uint32_t i = 0; i < messages.Length(); i++) {
      const std::span<std::byte> bytes = bytes_of(messages.Get(i));
      messages_.emplace_back(reinterpret_cast<char*>(bytes.data()),
                             reinterpret_cast<char*>(bytes.data()) + bytes.size());
    }
    cycle_ = Cycle(messages_.size());
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "ParseTrial",
        {InstanceMethod<&ParseTrial::one>("one"), InstanceMethod<&ParseTrial::loop>("loop"),
         InstanceMethod<&ParseTrial::body_one>("bodyOne"),
         InstanceMethod<&ParseTrial::body_loop>("bodyLoop")});
  }

 private:
  // A whole request, as the server does it: up to its head, then to its end.
  bool parse(std::span<char> message) {
    return parser_.parse(message) == Outcome::head && parser_.parse(message) == Outcome::complete;
  }

  // one(message): whether it is one whole request. `fields`: begin and end of method, path and body
  // in it, keep-alive, bytes consumed.
  Napi::Value one(const Napi::CallbackInfo& info) {
    const std::span<std::byte> bytes = bytes_of(info[0]);
    const std::span<char> message(reinterpret_cast<char*>(bytes.data()), bytes.size());
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
      fields_[7] = static_cast<double>(parser_.consumed());
      parser_.next();
    } else {
      parser_ = http::RequestParser(body_bytes_max);
    }
    return Napi::Boolean::New(info.Env(), whole);
  }

  // loop(iterations): nanoseconds
  Napi::Value loop(const Napi::CallbackInfo& info) {
    bool whole = true;
    const double ns = time_ns(iterations_of(info, 0), [&] {
      whole &= parse(messages_[cycle_.next()]);
      keep(parser_.request());
      parser_.next();
    });
    if (!whole) throw Napi::Error::New(info.Env(), "a message is not one whole request");
    return Napi::Number::New(info.Env(), ns);
  }

  // bodyOne(body): the description, or null for a body that is refused. `fields`: amount, and 1 for
  // a credit or 0 for a debit.
  Napi::Value body_one(const Napi::CallbackInfo& info) {
    const std::span<std::byte> bytes = bytes_of(info[0]);
    engine::Transaction transaction;
    if (face::read_transaction({reinterpret_cast<char*>(bytes.data()), bytes.size()},
                               transaction) != nullptr) {
      return info.Env().Null();
    }
    fields_[0] = static_cast<double>(transaction.amount);
    fields_[1] = transaction.kind == engine::Kind::credit ? 1 : 0;
    const std::string_view description = transaction.description.view();
    return Napi::String::New(info.Env(), description.data(), description.size());
  }

  Napi::Value body_loop(const Napi::CallbackInfo& info) {
    bool accepted = true;
    engine::Transaction transaction;
    const double ns = time_ns(iterations_of(info, 0), [&] {
      const std::vector<char>& body = messages_[cycle_.next()];
      accepted &= face::read_transaction({body.data(), body.size()}, transaction) == nullptr;
      keep(transaction);
    });
    if (!accepted) throw Napi::Error::New(info.Env(), "a body is refused");
    return Napi::Number::New(info.Env(), ns);
  }

  http::RequestParser parser_{body_bytes_max};
  std::vector<std::vector<char>> messages_;
  Cycle cycle_{1};
  double* fields_;
  Napi::ObjectReference fields_reference_;  // what fields_ points into
};

}  // namespace

Napi::Function define_parse_trial(Napi::Env env) { return ParseTrial::define(env); }

}  // namespace espora::bench
