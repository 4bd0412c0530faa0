// The chunked coding decoded a second time, from a whole text and line by line: slow, simple, and
// independent of the incremental decoder.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace espora::test {

struct ChunkVerdict {
  int status = 0;  // 200, 400, 413; 0: the text ends too early to tell
  std::string body;
  size_t consumed = 0;
};

class ChunkOracle {
 public:
  // `text` begins behind the head. Limits on lines and trailers are not looked at: give it less.
  static ChunkVerdict judge(std::string_view text, size_t body_bytes_max) {
    ChunkOracle oracle(text);
    ChunkVerdict verdict;
    verdict.status = oracle.chunks(verdict.body, body_bytes_max);
    if (verdict.status == 200) verdict.status = oracle.trailers();
    verdict.consumed = text.size() - oracle.rest_.size();
    return verdict;
  }

 private:
  explicit ChunkOracle(std::string_view text) : rest_(text) {}

  int chunks(std::string& body, size_t body_bytes_max) {
    for (;;) {
      // A chunk line ends at its first CR; a LF has to follow.
      const size_t end = rest_.find('\r');
      if (end == std::string_view::npos || end + 1 == rest_.size()) return 0;
      std::string_view line = rest_.substr(0, end);
      if (rest_[end + 1] != '\n') return 400;
      rest_.remove_prefix(end + 2);

      const size_t digits = std::min(line.find_first_not_of("0123456789abcdefABCDEF"), line.size());
      if (digits == 0) return 400;
      std::string_view significant = line.substr(0, digits);
      while (significant.size() > 1 && significant[0] == '0') significant.remove_prefix(1);
      if (significant.size() > 16) return 400;
      const uint64_t size = std::stoull(std::string(significant), nullptr, 16);
      if (!extensions(line.substr(digits))) return 400;
      if (size == 0) return 200;
      if (size > body_bytes_max - body.size()) return 413;
      const std::string_view data = rest_.substr(0, size);
      rest_.remove_prefix(data.size());
      body += data;
      if (data.size() < size) return 0;
      const std::string_view line_end = rest_.substr(0, 2);
      if (line_end != std::string_view("\r\n").substr(0, line_end.size())) return 400;
      if (line_end.size() < 2) return 0;
      rest_.remove_prefix(2);
    }
  }

  static bool extensions(std::string_view text) {
    while (!text.empty()) {
      if (text[0] != ';') return false;
      text.remove_prefix(1);
      if (!take_token(text)) return false;
      if (text.empty() || text[0] != '=') continue;
      text.remove_prefix(1);
      if (text.empty()) return false;
      if (!(text[0] == '"' ? take_quoted(text) : take_token(text))) return false;
    }
    return true;
  }

  static bool take_token(std::string_view& text) {
    const size_t bytes = std::min(text.find_first_not_of("!#$%&'*+-.^_`|~0123456789"
                                                         "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                         "abcdefghijklmnopqrstuvwxyz"),
                                  text.size());
    text.remove_prefix(bytes);
    return bytes > 0;
  }

  static bool is_control(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c != '\t' && (byte < 0x20 || byte == 0x7F);
  }

  static bool take_quoted(std::string_view& text) {
    for (size_t i = 1; i < text.size(); ++i) {
      if (text[i] == '"') {
        text.remove_prefix(i + 1);
        return true;
      }
      if (text[i] == '\\') ++i;
      if (i < text.size() && is_control(text[i])) return false;
    }
    return false;
  }

  int trailers() {
    for (;;) {
      const size_t end = rest_.find("\r\n");
      if (end == std::string_view::npos) return 0;
      std::string_view line = rest_.substr(0, end);
      rest_.remove_prefix(end + 2);
      if (line.empty()) return 200;
      const std::string_view whole = line;
      if (!take_token(line) || line.empty() || line[0] != ':') return 400;
      std::string name(whole.substr(0, whole.size() - line.size()));
      std::transform(name.begin(), name.end(), name.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      });
      if (name == "host" || name == "content-length" || name == "transfer-encoding") return 400;
      if (std::any_of(line.begin(), line.end(), is_control)) return 400;
    }
  }

  std::string_view rest_;
};

}  // namespace espora::test
