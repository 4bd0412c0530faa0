// A strict JSON reader of its own (RFC 8259), slow and simple: reads fixtures and answers, and is
// the second opinion on the reader under test. It shares no code with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace espora::test {

struct JsonMember;

struct JsonValue {
  enum class Type { null, boolean, number, string, array, object };

  Type type = Type::null;
  bool boolean = false;
  std::string number;     // as spelled
  std::u32string string;  // a lone surrogate stands for itself
  std::vector<JsonValue> elements;
  std::vector<JsonMember> members;  // repeated ones too, in order

  // The first member of that name, or nullptr.
  inline const JsonValue* find(std::u32string_view name) const;
  const JsonValue& at(std::u32string_view name) const { return *find(name); }
  long long integer() const { return std::stoll(number); }
};

struct JsonMember {
  std::u32string name;
  JsonValue value;
};

const JsonValue* JsonValue::find(std::u32string_view name) const {
  for (const JsonMember& member : members) {
    if (member.name == name) return &member.value;
  }
  return nullptr;
}

// Appends a code point as UTF-8; U+DC80 to U+DCFF, as in fixtures, stand for the raw bytes 0x80 to
// 0xFF.
inline void append_fixture_character(std::string& out, char32_t c) {
  const auto put = [&out](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c >= 0xDC80 && c <= 0xDCFF) {
    put(c - 0xDC00);
  } else if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

inline std::string to_bytes(std::u32string_view text) {
  std::string bytes;
  for (const char32_t c : text) append_fixture_character(bytes, c);
  return bytes;
}

class JsonReader {
 public:
  // nullopt if `text` is not JSON, or nested deeper than `depth_max`.
  static std::optional<JsonValue> read(std::string_view text, int depth_max = 1'000'000) {
    JsonReader reader(text, depth_max);
    JsonValue value;
    if (!reader.decode_utf8(text)) return std::nullopt;
    if (!reader.value(value, 0)) return std::nullopt;
    reader.space();
    if (reader.at_ != reader.text_.size()) return std::nullopt;
    return value;
  }

 private:
  JsonReader(std::string_view, int depth_max) : depth_max_(depth_max) {}

  bool decode_utf8(std::string_view bytes) {
    for (size_t i = 0; i < bytes.size();) {
      const auto lead = static_cast<unsigned char>(bytes[i]);
      const size_t length = lead < 0x80   ? 1
                            : lead < 0xC0 ? 0
                            : lead < 0xE0 ? 2
                            : lead < 0xF0 ? 3
                            : lead < 0xF8 ? 4
                                          : 0;
      if (length == 0 || i + length > bytes.size()) return false;
      char32_t c = length == 1 ? lead : lead & (0xFFu >> (length + 1));
      for (size_t k = 1; k < length; ++k) {
        const auto next = static_cast<unsigned char>(bytes[i + k]);
        if (next >> 6 != 2) return false;
        c = c << 6 | (next & 0x3F);
      }
      constexpr char32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
      if (c < smallest[length] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return false;
      text_.push_back(c);
      i += length;
    }
    return true;
  }

  char32_t peek() const { return at_ < text_.size() ? text_[at_] : char32_t{0xFFFFFFFF}; }
  bool take(char32_t c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  bool word(std::u32string_view literal) {
    if (std::u32string_view(text_).substr(at_, literal.size()) != literal) return false;
    at_ += literal.size();
    return true;
  }
  void space() {
    while (peek() == U' ' || peek() == U'\t' || peek() == U'\n' || peek() == U'\r') ++at_;
  }
  bool digits() {
    const size_t first = at_;
    while (peek() >= U'0' && peek() <= U'9') ++at_;
    return at_ > first;
  }

  bool value(JsonValue& out, int depth) {
    space();
    switch (peek()) {
      case U'{':
      case U'[':
        return container(out, depth + 1);
      case U'"':
        out.type = JsonValue::Type::string;
        return string(out.string);
      case U't':
        out.type = JsonValue::Type::boolean;
        out.boolean = true;
        return word(U"true");
      case U'f':
        out.type = JsonValue::Type::boolean;
        return word(U"false");
      case U'n':
        return word(U"null");
      default:
        return number(out);
    }
  }

  bool number(JsonValue& out) {
    out.type = JsonValue::Type::number;
    const size_t first = at_;
    take(U'-');
    if (!take(U'0') && !digits()) return false;
    if (take(U'.') && !digits()) return false;
    if (take(U'e') || take(U'E')) {
      if (!take(U'+')) take(U'-');
      if (!digits()) return false;
    }
    out.number = to_bytes(std::u32string_view(text_).substr(first, at_ - first));
    return true;
  }

  bool container(JsonValue& out, int depth) {
    if (depth > depth_max_) return false;
    const bool object = text_[at_++] == U'{';
    out.type = object ? JsonValue::Type::object : JsonValue::Type::array;
    const char32_t close = object ? U'}' : U']';
    space();
    if (take(close)) return true;
    for (;;) {
      std::u32string name;
      if (object) {
        space();
        if (!string(name)) return false;
        space();
        if (!take(U':')) return false;
      }
      JsonValue element;
      if (!value(element, depth)) return false;
      if (object) {
        out.members.push_back({std::move(name), std::move(element)});
      } else {
        out.elements.push_back(std::move(element));
      }
      space();
      if (take(close)) return true;
      if (!take(U',')) return false;
    }
  }

  bool string(std::u32string& out) {
    if (!take(U'"')) return false;
    while (at_ < text_.size()) {
      const char32_t c = text_[at_++];
      if (c == U'"') {
        out = join_surrogates(out);
        return true;
      }
      if (c < 0x20) return false;
      if (c != U'\\') {
        out.push_back(c);
        continue;
      }
      constexpr std::u32string_view letters = U"\"\\/bfnrt";
      constexpr std::u32string_view meanings = U"\"\\/\b\f\n\r\t";
      const char32_t letter = peek();
      ++at_;
      if (const size_t i = letters.find(letter); i != letters.npos) {
        out.push_back(meanings[i]);
        continue;
      }
      if (letter != U'u' || at_ + 4 > text_.size()) return false;
      char32_t unit = 0;
      for (int i = 0; i < 4; ++i) {
        const char32_t digit = text_[at_++];
        const size_t worth = std::u32string_view(U"0123456789abcdefABCDEF").find(digit);
        if (worth == std::u32string_view::npos) return false;
        unit = unit * 16 + static_cast<char32_t>(worth < 16 ? worth : worth - 6);
      }
      out.push_back(unit);
    }
    return false;
  }

  // Raw text never holds surrogates, so all that are here came from escapes.
  static std::u32string join_surrogates(const std::u32string& units) {
    std::u32string joined;
    for (const char32_t c : units) {
      if (c >= 0xDC00 && c <= 0xDFFF && !joined.empty() && joined.back() >= 0xD800 &&
          joined.back() <= 0xDBFF) {
        joined.back() = 0x10000 + ((joined.back() - 0xD800) << 10) + (c - 0xDC00);
      } else {
        joined.push_back(c);
      }
    }
    return joined;
  }

  std::u32string text_;
  size_t at_ = 0;
  int depth_max_;
};

}  // namespace espora::test
