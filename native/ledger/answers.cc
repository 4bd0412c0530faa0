#include "ledger/answers.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "http/date.h"

namespace espora::ledger {

namespace {

char* write(char* out, std::string_view text) noexcept {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

char* write(char* out, int64_t value) noexcept { return std::to_chars(out, out + 20, value).ptr; }

// RFC 8259 7: quotation mark, reverse solidus and U+0000 to U+001F must be escaped; the rest is
// well-formed UTF-8 already.
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

void AnswerBody::write_statement(const Account& account, uint64_t now_us) noexcept {
  char* at = bytes_;
  at = write(at, "{\"saldo\":{\"total\":");
  at = write(at, account.balance());
  at = write(at, ",\"data_extrato\":\"");
  at = http::write_rfc3339(at, std::max(now_us, account.last_time_us()));
  at = write(at, "\",\"limite\":");
  at = write(at, account.limit());
  at = write(at, "},\"ultimas_transacoes\":[");
  for (size_t age = 0; age < account.past_count(); ++age) {
    const PastTransaction& past = account.past(age);
    at = write(at, age == 0 ? "{\"valor\":" : ",{\"valor\":");
    at = write(at, past.transaction.amount);
    at = write(at, ",\"tipo\":\"");
    *at++ = static_cast<char>(past.transaction.kind);
    at = write(at, "\",\"descricao\":\"");
    at = write_escaped(at, past.transaction.description.view());
    at = write(at, "\",\"realizada_em\":\"");
    at = http::write_rfc3339(at, past.time_us);
    at = write(at, "\"}");
  }
  at = write(at, "]}");
  size_ = static_cast<size_t>(at - bytes_);
}

}  // namespace espora::ledger
