#include "face/answers.h"

#include <charconv>
#include <cstring>

#include "http/date.h"

namespace espora::face {

namespace {

char* write(char* out, std::string_view text) noexcept {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

char* write(char* out, int64_t value) noexcept { return std::to_chars(out, out + 20, value).ptr; }

// RFC 8259 7: quotation mark, reverse solidus and U+0000 to U+001F must be escaped; the rest is
// already well-formed UTF-8.
char* write_escaped(char* out, std::string_view text) noexcept {
  constexpr char digits[] = "0123456789abcdef";
  for (const char byte : text) {
    const auto value = static_cast<uint8_t>(byte);
    if (value >= 0x20 && byte != '"' && byte != '\\') [[likely]] {
      *out++ = byte;
      continue;
    }
    *out++ = '\\';
    switch (byte) {
      case '"':
      case '\\':
        *out++ = byte;
        break;
      case '\b':
        *out++ = 'b';
        break;
      case '\f':
        *out++ = 'f';
        break;
      case '\n':
        *out++ = 'n';
        break;
      case '\r':
        *out++ = 'r';
        break;
      case '\t':
        *out++ = 't';
        break;
      default:
        out = write(out, "u00");
        *out++ = digits[value >> 4];
        *out++ = digits[value & 0x0F];
    }
  }
  return out;
}

// The longest texts, to bound a statement: -9007199254740991 has 17 characters.
constexpr size_t integer_bytes_max = 17;
constexpr std::string_view past_members =
    R"({"valor":,"tipo":"c","descricao":"","realizada_em":""},)";
constexpr size_t past_bytes_max = past_members.size() + integer_bytes_max +
                                  6 * limits::description_characters_max + http::rfc3339_bytes;
constexpr std::string_view statement_members =
    R"({"saldo":{"total":,"data_extrato":"","limite":},"ultimas_transacoes":[]})";
static_assert(limits::description_bytes_max <= 6 * limits::description_characters_max);
static_assert(statement_members.size() + 2 * integer_bytes_max + http::rfc3339_bytes +
                  limits::statement_transactions_max * past_bytes_max <=
              limits::answer_body_bytes_max);

}  // namespace

void AnswerBody::write_balance(int64_t limit, int64_t balance) noexcept {
  char* at = bytes_;
  at = write(at, "{\"limite\":");
  at = write(at, limit);
  at = write(at, ",\"saldo\":");
  at = write(at, balance);
  *at++ = '}';
  size_ = static_cast<size_t>(at - bytes_);
}

void AnswerBody::write_statement(const engine::Statement& statement) noexcept {
  char* at = bytes_;
  at = write(at, "{\"saldo\":{\"total\":");
  at = write(at, statement.balance);
  at = write(at, ",\"data_extrato\":\"");
  at = http::write_rfc3339(at, statement.time_us);
  at = write(at, "\",\"limite\":");
  at = write(at, statement.limit);
  at = write(at, "},\"ultimas_transacoes\":[");
  std::string_view before = "{\"valor\":";
  for (const auto part : {statement.newer, statement.older}) {
    for (size_t i = part.size(); i-- > 0; before = ",{\"valor\":") {
      at = write(at, before);
      at = write(at, part[i].transaction.amount);
      at = write(at, ",\"tipo\":\"");
      *at++ = static_cast<char>(part[i].transaction.kind);
      at = write(at, "\",\"descricao\":\"");
      at = write_escaped(at, part[i].transaction.description.view());
      at = write(at, "\",\"realizada_em\":\"");
      at = http::write_rfc3339(at, part[i].time_us);
      at = write(at, "\"}");
    }
  }
  at = write(at, "]}");
  size_ = static_cast<size_t>(at - bytes_);
}

}  // namespace espora::face
