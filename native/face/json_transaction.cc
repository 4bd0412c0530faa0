#include "face/json_transaction.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/utf8.h"
#include "face/errors.h"
#include "sys/limits.h"

namespace espora::face {

namespace {

using engine::Description;
using engine::Kind;
using engine::Transaction;

// Bytes that need no decoding inside a string: printable ASCII except '"' and '\'.
constexpr std::array<bool, 256> plain = [] {
  std::array<bool, 256> bytes{};
  for (size_t byte = 0x20; byte < 0x80; ++byte) bytes[byte] = byte != '"' && byte != '\\';
  return bytes;
}();

// A string with its escapes decoded, up to the length that the three members can need.
struct Text {
  static constexpr size_t characters_max = limits::description_characters_max;
  static_assert(characters_max >= std::string_view("descricao").size());

  char bytes[limits::description_bytes_max];
  size_t size = 0;
  size_t characters = 0;
  bool too_long = false;
  bool lone_surrogate = false;

  [[nodiscard]] bool takes(size_t count) noexcept {
    characters += count;
    too_long = too_long || characters > characters_max;
    return !too_long;
  }
  [[nodiscard]] bool is(std::string_view other) const noexcept {
    return !too_long && !lone_surrogate && std::string_view(bytes, size) == other;
  }
};

// Walks over a JSON text (RFC 8259). Every read_… and skip_… returns false where the text is not
// JSON; the walk then ends. Comments name the grammar's rules.
class Reader {
 public:
  explicit Reader(std::string_view text) noexcept
      : at_(text.data()), end_(text.data() + text.size()) {}

  [[nodiscard]] bool at_end() const noexcept { return at_ == end_; }
  [[nodiscard]] bool next_is(char byte) const noexcept { return at_ < end_ && *at_ == byte; }

  void skip_space() noexcept {
    while (at_ < end_ && static_cast<uint8_t>(*at_) <= ' ' &&
           (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) {
      ++at_;
    }
  }
  [[nodiscard]] bool take(char byte) noexcept {
    if (!next_is(byte)) return false;
    ++at_;
    return true;
  }
  [[nodiscard]] bool take_separator(char byte) noexcept {
    skip_space();
    if (!take(byte)) return false;
    skip_space();
    return true;
  }

  bool read_string(Text* text) noexcept;
  bool read_number(std::string_view& number) noexcept;
  bool skip_value(unsigned depth) noexcept;

 private:
  bool read_escape(Text* text) noexcept;
  bool read_hex4(uint32_t& value) noexcept;
  bool skip_scalar() noexcept;
  bool skip_literal(std::string_view literal) noexcept;
  bool skip_digits() noexcept;

  const char* at_;
  const char* end_;
};

// string = quotation-mark *char quotation-mark. `text` may be null.
bool Reader::read_string(Text* text) noexcept {
  if (!take('"')) return false;
  for (;;) {
    const char* run = at_;
    while (at_ < end_ && plain[static_cast<uint8_t>(*at_)]) ++at_;
    if (at_ == end_) return false;
    const size_t run_bytes = static_cast<size_t>(at_ - run);
    if (text != nullptr && run_bytes > 0 && text->takes(run_bytes)) {
      std::memcpy(text->bytes + text->size, run, run_bytes);
      text->size += run_bytes;
    }
    if (*at_ == '"') {
      ++at_;
      return true;
    }
    if (*at_ == '\\') {
      ++at_;
      if (!read_escape(text)) return false;
      continue;
    }
    if (static_cast<uint8_t>(*at_) < 0x20) return false;
    const unsigned bytes = engine::utf8_sequence_bytes(at_, end_);
    if (bytes == 0) return false;
    if (text != nullptr && text->takes(1)) {
      std::memcpy(text->bytes + text->size, at_, bytes);
      text->size += bytes;
    }
    at_ += bytes;
  }
}

// Reads what follows a reverse solidus. Two escapes that form a surrogate pair are one character.
bool Reader::read_escape(Text* text) noexcept {
  if (at_ == end_) return false;
  uint32_t code_point = 0;
  const char letter = *at_++;
  switch (letter) {
    case '"':
    case '\\':
    case '/':
      code_point = static_cast<uint8_t>(letter);
      break;
    case 'b':
      code_point = '\b';
      break;
    case 'f':
      code_point = '\f';
      break;
    case 'n':
      code_point = '\n';
      break;
    case 'r':
      code_point = '\r';
      break;
    case 't':
      code_point = '\t';
      break;
    case 'u':
      if (!read_hex4(code_point)) return false;
      break;
    default:
      return false;
  }
  if (code_point >= 0xD800 && code_point <= 0xDBFF && end_ - at_ >= 6 && at_[0] == '\\' &&
      at_[1] == 'u') {
    uint32_t low = 0;
    at_ += 2;
    if (!read_hex4(low)) return false;
    // Otherwise the first surrogate is unpaired, and the text is useless whatever follows.
    if (low >= 0xDC00 && low <= 0xDFFF) {
      code_point = 0x10000 + ((code_point - 0xD800) << 10) + (low - 0xDC00);
    }
  }
  if (text == nullptr) return true;
  if (code_point >= 0xD800 && code_point <= 0xDFFF) {
    text->lone_surrogate = true;
  } else if (text->takes(1)) {
    text->size += engine::write_utf8(text->bytes + text->size, code_point);
  }
  return true;
}

bool Reader::read_hex4(uint32_t& value) noexcept {
  if (end_ - at_ < 4) return false;
  value = 0;
  for (int i = 0; i < 4; ++i) {
    const char digit = *at_++;
    if (digit >= '0' && digit <= '9') {
      value = value << 4 | static_cast<uint32_t>(digit - '0');
    } else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f') {
      value = value << 4 | static_cast<uint32_t>((digit | 0x20) - 'a' + 10);
    } else {
      return false;
    }
  }
  return true;
}

bool Reader::skip_digits() noexcept {
  const char* first = at_;
  while (at_ < end_ && *at_ >= '0' && *at_ <= '9') ++at_;
  return at_ != first;
}

// number = [ "-" ] ( "0" / digit1-9 *DIGIT ) [ "." 1*DIGIT ] [ ("e" / "E") [ "+" / "-" ] 1*DIGIT ].
// `number` is its spelling.
bool Reader::read_number(std::string_view& number) noexcept {
  const char* first = at_;
  if (next_is('-')) ++at_;
  if (!take('0') && !skip_digits()) return false;
  if (take('.') && !skip_digits()) return false;
  if (next_is('e') || next_is('E')) {
    ++at_;
    if (next_is('+') || next_is('-')) ++at_;
    if (!skip_digits()) return false;
  }
  number = {first, static_cast<size_t>(at_ - first)};
  return true;
}

bool Reader::skip_literal(std::string_view literal) noexcept {
  if (static_cast<size_t>(end_ - at_) < literal.size() ||
      std::memcmp(at_, literal.data(), literal.size()) != 0) {
    return false;
  }
  at_ += literal.size();
  return true;
}

bool Reader::skip_scalar() noexcept {
  std::string_view number;
  switch (at_ == end_ ? '\0' : *at_) {
    case '"':
      return read_string(nullptr);
    case 't':
      return skip_literal("true");
    case 'f':
      return skip_literal("false");
    case 'n':
      return skip_literal("null");
    default:
      return read_number(number);
  }
}

// Any value, inside `depth` open containers. Nested ones are kept as one bit each: no recursion.
bool Reader::skip_value(unsigned depth) noexcept {
  static_assert(limits::json_depth_max <= 64);
  const unsigned depth_outside = depth;
  uint64_t objects = 0;  // bit 0: whether the innermost container is an object
  for (;;) {
    if (next_is('{') || next_is('[')) {
      const bool object = *at_++ == '{';
      if (++depth > limits::json_depth_max) return false;
      objects = objects << 1 | (object ? 1 : 0);
      skip_space();
      if (!next_is(object ? '}' : ']')) {
        if (object && (!read_string(nullptr) || !take_separator(':'))) return false;
        continue;
      }
    } else if (!skip_scalar()) {
      return false;
    }
    // After a value, or at the end of an empty container: close what closes here.
    for (;;) {
      if (depth == depth_outside) return true;
      const bool object = (objects & 1) != 0;
      skip_space();
      if (take(object ? '}' : ']')) {
        --depth;
        objects >>= 1;
        continue;
      }
      if (!take_separator(',')) return false;
      if (object && (!read_string(nullptr) || !take_separator(':'))) return false;
      break;
    }
  }
}

// The three members of the top-level object, and their first error.
class Members {
 public:
  explicit Members(Transaction& transaction) noexcept : transaction_(transaction) {}

  // Reads the value of the member `name`; false where the text is not JSON.
  bool read(const Text& name, Reader& reader) noexcept {
    if (name.is("valor")) return meet(has_amount_) && read_amount(reader);
    if (name.is("tipo")) return meet(has_kind_) && read_kind(reader);
    if (name.is("descricao")) return meet(has_description_) && read_description(reader);
    return reader.skip_value(1);
  }

  [[nodiscard]] const http::Error* error() const noexcept {
    if (first_error_ != nullptr) return first_error_;
    return has_amount_ && has_kind_ && has_description_ ? nullptr : &errors::member_missing;
  }

 private:
  bool meet(bool& met) noexcept {
    if (met) refuse(errors::member_repeated);
    met = true;
    return true;
  }

  void refuse(const http::Error& error) noexcept {
    if (first_error_ == nullptr) first_error_ = &error;
  }

  bool read_amount(Reader& reader) noexcept {
    if (reader.next_is('"') || reader.next_is('{') || reader.next_is('[') || reader.next_is('n') ||
        reader.next_is('t') || reader.next_is('f')) {
      refuse(errors::amount_invalid);
      return reader.skip_value(1);
    }
    std::string_view number;
    if (!reader.read_number(number)) return false;
    int64_t amount = 0;
    for (const char digit : number) {
      // A sign, a fraction or an exponent is no integer literal, even if its value is an integer.
      if (digit < '0' || digit > '9' || amount > limits::amount_max) {
        amount = 0;
        break;
      }
      amount = amount * 10 + (digit - '0');
    }
    if (amount < 1 || amount > limits::amount_max) refuse(errors::amount_invalid);
    transaction_.amount = amount;
    return true;
  }

  bool read_kind(Reader& reader) noexcept {
    if (!reader.next_is('"')) {
      refuse(errors::kind_invalid);
      return reader.skip_value(1);
    }
    Text text;
    if (!reader.read_string(&text)) return false;
    if (text.is("c")) {
      transaction_.kind = Kind::credit;
    } else if (text.is("d")) {
      transaction_.kind = Kind::debit;
    } else {
      refuse(errors::kind_invalid);
    }
    return true;
  }

  bool read_description(Reader& reader) noexcept {
    if (!reader.next_is('"')) {
      refuse(errors::description_invalid);
      return reader.skip_value(1);
    }
    Text text;
    if (!reader.read_string(&text)) return false;
    if (text.too_long || text.lone_surrogate || text.size == 0) {
      refuse(errors::description_invalid);
    } else {
      transaction_.description = Description({text.bytes, text.size});
    }
    return true;
  }

  Transaction& transaction_;
  const http::Error* first_error_ = nullptr;
  bool has_amount_ = false;
  bool has_kind_ = false;
  bool has_description_ = false;
};

bool read_object(Reader& reader, Members& members) noexcept {
  if (!reader.take_separator('{')) return false;
  if (reader.take('}')) return true;
  for (;;) {
    Text name;
    if (!reader.read_string(&name) || !reader.take_separator(':')) return false;
    if (!members.read(name, reader)) return false;
    reader.skip_space();
    if (reader.take('}')) return true;
    if (!reader.take_separator(',')) return false;
  }
}

}  // namespace

const http::Error* read_transaction(std::string_view body, Transaction& transaction) noexcept {
  Reader reader(body);
  Members members(transaction);
  reader.skip_space();
  const bool object = reader.next_is('{');
  if (!(object ? read_object(reader, members) : reader.skip_value(0))) {
    return &errors::body_not_json;
  }
  reader.skip_space();
  if (!reader.at_end()) return &errors::body_not_json;
  return object ? members.error() : &errors::body_not_object;
}

}  // namespace espora::face
