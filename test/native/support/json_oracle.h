// The rules of a transaction's body, written a second time
// over a parsed document instead of in one pass: slow, and independent of the reader under test.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/transaction.h"
#include "support/json_value.h"

namespace espora::test {

struct BodyVerdict {
  int status = 200;  // 200, 400 or 422
  int64_t amount = 0;
  char kind = 0;
  std::string description;
};

inline BodyVerdict judge_body(std::string_view body) {
  using Type = JsonValue::Type;
  const auto document = JsonReader::read(body, 64);
  if (!document) return {400};
  BodyVerdict refused{422};
  if (document->type != Type::object) return refused;
  const auto count = [&](std::u32string_view name) {
    return std::count_if(document->members.begin(), document->members.end(),
                         [&](const JsonMember& member) { return member.name == name; });
  };
  if (count(U"valor") != 1 || count(U"tipo") != 1 || count(U"descricao") != 1) return refused;
  const JsonValue& amount = document->at(U"valor");
  const JsonValue& kind = document->at(U"tipo");
  const JsonValue& description = document->at(U"descricao");

  if (amount.type != Type::number ||
      amount.number.find_first_not_of("0123456789") != std::string::npos) {
    return refused;
  }
  // 2^53-1 has 16 digits; JSON has no leading zeros.
  if (amount.number.size() > 16) return refused;
  const int64_t cents = std::stoll(amount.number);
  if (cents < 1 || cents > 9007199254740991) return refused;
  if (kind.type != Type::string || (kind.string != U"c" && kind.string != U"d")) return refused;
  if (description.type != Type::string || description.string.empty() ||
      description.string.size() > 10 ||
      std::any_of(description.string.begin(), description.string.end(),
                  [](char32_t c) { return c >= 0xD800 && c <= 0xDFFF; })) {
    return refused;
  }
  return {200, cents, static_cast<char>(kind.string[0]), to_bytes(description.string)};
}

}  // namespace espora::test
