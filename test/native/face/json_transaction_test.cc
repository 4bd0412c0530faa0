// The reader of transaction bodies: what it takes, what it refuses and how, and that it agrees with
// a slow second opinion on every mutation.
#include "face/json_transaction.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "face/errors.h"
#include "support/json_oracle.h"

namespace espora::face {
namespace {

using namespace std::string_literals;
using engine::Kind;
using engine::Transaction;

// Reads from memory of exactly the body's size, so that a byte read too many is found.
const http::Error* read(std::string_view body, Transaction& transaction) {
  const auto exact = std::make_unique<char[]>(body.size());
  std::memcpy(exact.get(), body.data(), body.size());
  const http::Error* error = read_transaction({exact.get(), body.size()}, transaction);
  const test::BodyVerdict verdict = test::judge_body(body);
  EXPECT_EQ(error == nullptr ? 200 : error->status, verdict.status) << body;
  if (error == nullptr && verdict.status == 200) {
    EXPECT_EQ(transaction.amount, verdict.amount) << body;
    EXPECT_EQ(static_cast<char>(transaction.kind), verdict.kind) << body;
    EXPECT_EQ(transaction.description.view(), verdict.description) << body;
  }
  return error;
}

std::string_view code_of(std::string_view body) {
  Transaction transaction;
  const http::Error* error = read(body, transaction);
  return error == nullptr ? "ok" : error->code;
}

void expect_all(std::string_view code, const std::vector<std::string>& bodies) {
  for (const std::string& body : bodies) EXPECT_EQ(code_of(body), code) << body;
}

std::string with_amount(const std::string& value) {
  return R"({"valor":)" + value + R"(,"tipo":"c","descricao":"x"})";
}
std::string with_kind(const std::string& value) {
  return R"({"valor":1,"tipo":)" + value + R"(,"descricao":"x"})";
}
std::string with_description(const std::string& value) {
  return R"({"valor":1,"tipo":"c","descricao":)" + value + "}";
}
// `value` in a member that nobody asked for.
std::string with_unknown(const std::string& value) {
  return R"({"x":)" + value + R"(,"valor":1,"tipo":"d","descricao":"x"})";
}

std::string description_of(const std::string& literal) {
  Transaction transaction;
  const http::Error* error = read(with_description(literal), transaction);
  if (error != nullptr) return std::string(error->code);
  return std::string(transaction.description.view());
}

TEST(TransactionJson, TypicalBody) {
  Transaction transaction;
  ASSERT_EQ(read(R"({"valor": 1000, "tipo": "d", "descricao": "descricao"})", transaction),
            nullptr);
  EXPECT_EQ(transaction.amount, 1000);
  EXPECT_EQ(transaction.kind, Kind::debit);
  EXPECT_EQ(transaction.description.view(), "descricao");
}

TEST(TransactionJson, AnyOrderAnySpaceUnknownMembersIgnored) {
  expect_all(
      "ok",
      {
          R"({"descricao":"x","tipo":"c","valor":1})",
          "\r\n\t { \"valor\"\t:\r1 ,\n\"tipo\" : \"c\",\"descricao\":\"a b\"\n}\t\n ",
          R"({"":0,"valor":1,"VALOR":"x","tipo":"c","descricao":"x","valores":[]})",
          R"({"x":{"valor":0,"tipo":[],"descricao":null},"valor":1,"tipo":"c","descricao":"x"})",
          R"({"x":1,"x":2,"valor":1,"tipo":"c","descricao":"x"})",
          R"({"valor\u0000":1,"valor":1,"tipo":"c","descricao":"x","tip":1,"tipoo":1})",
          R"({"\ud800":1,"valor\udc00":1,"valor":1,"tipo":"c","descricao":"x"})",
      });
}

TEST(TransactionJson, NamesAreComparedDecoded) {
  expect_all(
      "ok",
      {R"({"v\u0061lor":1,"\u0074\u0069\u0070\u006F":"\u0063","descri\u006300":1,"descricao":"x"})"});
  expect_all("campo_repetido", {R"({"valor":1,"v\u0061lor":1,"tipo":"c","descricao":"x"})",
                                R"({"valor":1,"valor":1,"tipo":"c","descricao":"x"})",
                                R"({"valor":1,"tipo":"c","tipo":"c","descricao":"x"})",
                                R"({"valor":1,"tipo":"c","descricao":"x","descricao":"x"})",
                                R"({"descricao":"x","valor":1,"tipo":"c","\u0064escricao":null})"});
}

TEST(TransactionJson, Amounts) {
  for (const char* value : {"1", "9007199254740991", "10", "1000"}) {
    EXPECT_EQ(code_of(with_amount(value)), "ok") << value;
  }
  for (const char* value : {"0",
                            "-1",
                            "-0",
                            "1.0",
                            "1.2",
                            "1e3",
                            "1E0",
                            "0.1",
                            "1e-1",
                            "9007199254740992",
                            "9223372036854775807",
                            "9223372036854775808",
                            "18446744073709551617",
                            "111111111111111111111111111111111111111111",
                            "\"1\"",
                            "null",
                            "true",
                            "false",
                            "[1]",
                            "{}",
                            "[]",
                            "{\"valor\":1}",
                            "-9007199254740991",
                            "1e999999999"}) {
    EXPECT_EQ(code_of(with_amount(value)), "valor_invalido") << value;
  }
}

TEST(TransactionJson, Kinds) {
  EXPECT_EQ(code_of(with_kind("\"c\"")), "ok");
  EXPECT_EQ(code_of(with_kind("\"\\u0064\"")), "ok");
  for (const char* value : {"\"x\"", "\"C\"", "\"D\"", "\"cc\"", "\"cd\"", "\"\"", "\"c \"",
                            "\" c\"", "null", "1", "[\"c\"]", "{}", "true", "\"\\ud800\"",
                            "\"c\\ud800\"", "\"c\\u0000\"", "\"ccccccccccccc\"", "\"\xC3\xA7\""}) {
    EXPECT_EQ(code_of(with_kind(value)), "tipo_invalido") << value;
  }
}

TEST(TransactionJson, DescriptionsAreOneToTenCodePoints) {
  EXPECT_EQ(description_of("\"x\""), "x");
  EXPECT_EQ(description_of("\"1234567890\""), "1234567890");
  const std::string emoji = "\xF0\x9F\x98\x80";
  std::string ten;
  for (int i = 0; i < 10; ++i) ten += emoji;
  EXPECT_EQ(description_of("\"" + ten + "\""), ten);
  std::string ten_pairs;
  for (int i = 0; i < 10; ++i) ten_pairs += "\\uD83d\\uDe00";
  EXPECT_EQ(description_of("\"" + ten_pairs + "\""), ten);
  EXPECT_EQ(description_of("\"e\xCC\x81\""), "e\xCC\x81");  // two code points, one letter
  for (const std::string& value :
       {"\"\""s, "null"s, "1"s, "[\"a\"]"s, "{}"s, "false"s, "\"12345678901\""s, "\"" + ten + "x\"",
        "\"x" + ten + "\"", "\"" + ten_pairs + "\\n\"", "\"\\ud800\""s, "\"\\udc00\""s,
        "\"a\\ud800b\""s, "\"\\ud800\\ud800\\udc00\""s, "\"\\udc00\\ud800\""s, "\"\\ud83d\\n\""s,
        "\"\\ud83d\xC3\xA9\""s, "\"12345678901\\ud800\""s, "\"" + std::string(3000, 'a') + "\""}) {
    EXPECT_EQ(code_of(with_description(value)), "descricao_invalida") << value;
  }
}

TEST(TransactionJson, EscapesInADescription) {
  EXPECT_EQ(description_of(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(description_of(R"("\u0000\u001f\u007F")"), "\0\x1F\x7F"s);
  EXPECT_EQ(description_of(R"("\u00e7\u07FF\u0800\uffff")"),
            "\xC3\xA7\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF");
  EXPECT_EQ(description_of(R"("\uD800\uDC00\udbff\udfff")"), "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF");
  EXPECT_EQ(description_of(R"("\uD7FF\uE000")"), "\xED\x9F\xBF\xEE\x80\x80");
}

TEST(TransactionJson, MissingMembers) {
  expect_all("campo_ausente",
             {"{}", " { } ", R"({"tipo":"c","descricao":"x"})", R"({"valor":1,"descricao":"x"})",
              R"({"valor":1,"tipo":"c"})", R"({"x":{"valor":1,"tipo":"c","descricao":"x"}})"});
}

TEST(TransactionJson, JsonThatIsNoObject) {
  expect_all("objeto_esperado",
             {"[1]", "\"x\"", "1", "-0", "1.5e-3", "true", "false", "null", "[]", " [ ] ", "\"\"",
              R"([{"valor":1,"tipo":"c","descricao":"x"}])", "\"\\ud800\"", "\"\x7F\""});
}

TEST(TransactionJson, FirstOfSeveralFaultsIsNamed) {
  EXPECT_EQ(code_of(R"({"valor":0,"tipo":"x","descricao":""})"), "valor_invalido");
  EXPECT_EQ(code_of(R"({"descricao":"","tipo":"x","valor":0})"), "descricao_invalida");
  EXPECT_EQ(code_of(R"({"tipo":1,"tipo":"c"})"), "tipo_invalido");
  EXPECT_EQ(code_of(R"({"tipo":"c","tipo":1})"), "campo_repetido");
}

TEST(TransactionJson, SyntaxErrorWinsWhereverItIs) {
  expect_all(
      "json_invalido",
      {R"({"valor":0,"tipo":"x","descricao":null,})", R"({"valor":0,"tipo":"x","descricao":null)",
       R"({"valor":0,"tipo":"x","descricao":null}})",
       R"({"valor":1,"valor":2,"tipo":"c","descricao":"x"]})",
       R"({"valor":"1","tipo":"c","descricao":"x"} x)", R"({"valor":01})", R"([1,])", R"([1] 2)",
       R"({"valor":1,"tipo":"c","descricao":"12345678901\x"})", R"({}{})", "{} \xFF", "{}\0"s});
}

TEST(TransactionJson, BracketsAndCommasThatAreNotJson) {
  expect_all("json_invalido", {"",
                               " ",
                               "\n",
                               "{",
                               "}",
                               "[",
                               "]",
                               "\"",
                               "\"a",
                               "{\"",
                               "{\"a",
                               "{\"a\"",
                               "{\"a\":",
                               "{\"a\":1",
                               "{\"a\":1,",
                               "{a:1}",
                               "{'a':1}",
                               "{\"a\" 1}",
                               "{\"a\",1}",
                               "{\"a\"::1}",
                               "{,}",
                               "{\"a\":1,}",
                               "{\"a\":1 \"b\":2}",
                               "{1:1}",
                               "{null:1}",
                               "{\"a\":}",
                               "[,]",
                               "[1,]",
                               "[,1]",
                               "[1 2]",
                               "[1,,2]",
                               "[1}",
                               "{\"a\":1]",
                               "[[]",
                               "[]]",
                               "{}}",
                               "[1"});
}

TEST(TransactionJson, WordsAndNumbersThatAreNotJson) {
  expect_all("json_invalido",
             {"valor=1",   "nul", "nulll",    "NULL",      "True", "truex", "tru",  "fals",
              "undefined", "NaN", "Infinity", "-Infinity", "1 1",  "+1",    "-",    "--1",
              "01",        "-01", "00",       "1.",        ".1",   "-.1",   "1.e1", "1e",
              "1e+",       "1E-", "1e1.5",    "0x1",       "1_0",  "0e",    "1,"});
}

TEST(TransactionJson, EscapesAndBytesThatAreNotJson) {
  expect_all("json_invalido", {"\"\\",
                               "\"\\\"",
                               "\"\\x41\"",
                               "\"\\u\"",
                               "\"\\u12\"",
                               "\"\\u123\"",
                               "\"\\u123g\"",
                               "\"\\U0041\"",
                               "\"\\'\"",
                               "\"\\0\"",
                               "\"\\a\"",
                               "\"\\ud800\\u\"",
                               "\"\\ud800\\u12\"",
                               "\"\\ud800\\udc0\"",
                               "\"\\ud800\\x\"",
                               "\"\\ \"",
                               "/* */ 1",
                               "1 // x",
                               "#",
                               "\x0B"
                               "1",
                               "\x0C"
                               "1",
                               "1\x0B",
                               "\xC2\xA0"
                               "1",
                               "\xE2\x80\xA8"
                               "1",
                               "\xEF\xBB\xBF{}",
                               "\xEF\xBB\xBF",
                               "\xFE\xFF\0{"s,
                               "{\0\"\0a\0"s,
                               "\0"s,
                               "{}\0"s,
                               "\"\0\""s,
                               "\"a\x01"
                               "b\"",
                               "\"\n\"",
                               "\"\t\"",
                               "\"\x1F\""});
}

TEST(TransactionJson, EverywhereInsideValuesThatNobodyReads) {
  for (const char* value :
       {"1e999999999", "-0", "0.0E-0", "-1.5e+300", "\"\\ud800\"", "\"\\udc00\\ud800\"",
        "[[],{},[{}]]", "[1, 2 ,3]", "{\"a\":{\"b\":[null,true,false]}}", "\"\\u0000\"",
        "\"\x7F\xEF\xBF\xBF\xF4\x8F\xBF\xBF\"", "[ ]", "{ }", "{\"a\" : 1 , \"a\" : 2 }",
        "123456789012345678901234567890.5"}) {
    EXPECT_EQ(code_of(with_unknown(value)), "ok") << value;
  }
  for (const std::string& value :
       {"[1,]"s,       "[,]"s,         "[1"s,          "{\"a\"}"s,     "{\"a\":}"s,
        "{\"a\":1,}"s, "{1:2}"s,       "[1}"s,         "{\"a\":1]"s,   "1."s,
        "01"s,         "tru"s,         "\"\\x\""s,     "\"\x01\""s,    "\"\x80\""s,
        ""s,           "{\"a\":1 1}"s, "[\"\\u00\"]"s, "{\"\\x\":1}"s, "[true false]"s}) {
    EXPECT_EQ(code_of(with_unknown(value)), "json_invalido") << value;
  }
}

TEST(TransactionJson, MalformedUtf8IsNotJson) {
  for (const char* bytes : {"\x80",
                            "\xBF",
                            "\xC0\x80",
                            "\xC1\xBF",
                            "\xC2",
                            "\xC2\x41",
                            "\xC2\xC2\x80",
                            "\xE0\x80\x80",
                            "\xE0\x9F\xBF",
                            "\xE1\x80",
                            "\xE1\x80\x41",
                            "\xE1\x41\x80",
                            "\xED\xA0\x80",
                            "\xED\xBF\xBF",
                            "\xEF\xBF",
                            "\xF0\x80\x80\x80",
                            "\xF0\x8F\xBF\xBF",
                            "\xF0\x90\x80",
                            "\xF0\x90\x80\x41",
                            "\xF0\x90\x41\x80",
                            "\xF1\x41\x80\x80",
                            "\xF4\x90\x80\x80",
                            "\xF5\x80\x80\x80",
                            "\xF8\x88\x80\x80\x80",
                            "\xFC\x84\x80\x80\x80\x80",
                            "\xFE",
                            "\xFF",
                            "\xE7",
                            "caf\xE9"}) {
    const std::string literal = "\"" + std::string(bytes) + "\"";
    EXPECT_EQ(code_of(with_description(literal)), "json_invalido");
    EXPECT_EQ(code_of(with_unknown(literal)), "json_invalido");
    EXPECT_EQ(code_of(with_kind(literal)), "json_invalido");
    EXPECT_EQ(code_of("{" + literal + ":1}"), "json_invalido");
    EXPECT_EQ(code_of(literal), "json_invalido");
    // At the very end of the text: nothing behind it may be read.
    EXPECT_EQ(code_of("\"" + std::string(bytes)), "json_invalido");
  }
  for (const char* bytes :
       {"\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBD",
        "\xEF\xBF\xBF", "\xEF\xBB\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(description_of("\"" + std::string(bytes) + "\""), bytes);
  }
}

TEST(TransactionJson, NestingIsLimitedExactly) {
  const auto nested = [](size_t depth, const std::string& open, const std::string& close) {
    std::string text;
    for (size_t i = 0; i < depth; ++i) text += open;
    text += "1";
    for (size_t i = 0; i < depth; ++i) text += close;
    return text;
  };
  for (const auto& [open, close] : {std::pair<std::string, std::string>{"[", "]"},
                                    {"{\"a\":", "}"},
                                    {" [ ", " ] "},
                                    {"[{\"a\":", "}]"}}) {
    const size_t each = open[0] == '[' && open.size() > 1 && open[1] == '{' ? 2 : 1;
    // The object around it is the first level.
    const size_t fits = (limits::json_depth_max - 1) / each;
    EXPECT_EQ(code_of(with_unknown(nested(fits, open, close))), "ok") << open;
    EXPECT_EQ(code_of(with_unknown(nested(fits + 1, open, close))), "json_invalido") << open;
    EXPECT_EQ(code_of(with_amount(nested(fits, open, close))), "valor_invalido") << open;
    EXPECT_EQ(code_of(with_amount(nested(fits + 1, open, close))), "json_invalido") << open;
  }
  EXPECT_EQ(code_of(nested(64, "[", "]")), "objeto_esperado");
  EXPECT_EQ(code_of(nested(65, "[", "]")), "json_invalido");
  EXPECT_EQ(code_of(std::string(4096, '[')), "json_invalido");
  // Side by side is not inside each other.
  std::string wide = "[";
  for (int i = 0; i < 500; ++i) wide += "[{}],";
  EXPECT_EQ(code_of(with_unknown(wide + "0]")), "ok");
}

TEST(TransactionJson, EveryPrefixOfABodyIsNotJson) {
  const std::string body = R"( {"x":[1.5e-3,{"y":null}],"valor":12,"tipo":"c","descricao":"a\u00e7)"
                           "\xF0\x9F\x98\x80"
                           R"(","z":true})";
  ASSERT_EQ(code_of(body), "ok");
  for (size_t bytes = 0; bytes < body.size(); ++bytes) {
    EXPECT_EQ(code_of(body.substr(0, bytes)), "json_invalido") << bytes;
  }
}

TEST(TransactionJson, EveryByteAtEveryPlaceAgreesWithTheSecondOpinion) {
  const std::string body =
      R"({"valor":12,"x":[1.5,{"y":"\u00e7"}],"tipo":"c","descricao":"ab\nc"})";
  Transaction transaction;
  for (size_t at = 0; at < body.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = body;
      changed[at] = static_cast<char>(byte);
      (void)read(changed, transaction);
    }
  }
}

TEST(TransactionJson, RandomMutationsAgreeWithTheSecondOpinion) {
  const std::vector<std::string> seeds = {
      R"({"valor": 1000, "tipo": "c", "descricao": "descricao"})",
      R"({"x":[1,{"y":null}],"valor":9007199254740991,"tipo":"d","descricao":"\ud83d\ude00","z":1.5e-3})",
      "{\"descricao\":\"\xC3\xA7\xF0\x9F\x98\x80\",\"v\\u0061lor\":7,\"tipo\":\"\\u0063\",\"a\":{"
      "\"b\":[[],true]}}",
      R"([{"valor":1},"a",false,-0.5E+2])",
  };
  const std::vector<std::string> pieces = {"{",
                                           "}",
                                           "[",
                                           "]",
                                           ",",
                                           ":",
                                           "\"",
                                           "\\",
                                           "\\u",
                                           "\\ud83d",
                                           "\\ude00",
                                           "\"valor\":1",
                                           "\"tipo\":\"c\"",
                                           "\"descricao\":\"x\"",
                                           "0",
                                           "1",
                                           "-",
                                           ".",
                                           "e",
                                           "null",
                                           "true",
                                           " ",
                                           "\n",
                                           "\xC3",
                                           "\xA7",
                                           "\xF0\x9F\x98\x80",
                                           "\x80",
                                           "\x01",
                                           "d",
                                           "9007199254740992"};
  std::mt19937_64 random(42);
  int valid = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string body = seeds[random() % seeds.size()];
    const size_t changes = 1 + random() % 3;
    for (size_t i = 0; i < changes; ++i) {
      const size_t at = random() % (body.size() + 1);
      switch (random() % 4) {
        case 0:
          body.erase(at, 1 + random() % 4);
          break;
        case 1:
          if (at < body.size()) body[at] = static_cast<char>(random());
          break;
        default:
          body.insert(at, pieces[random() % pieces.size()]);
      }
    }
    Transaction transaction;
    if (read(body, transaction) == nullptr) ++valid;
    ASSERT_FALSE(HasFailure());
  }
  // The mutations are neither all fatal nor all harmless.
  EXPECT_GT(valid, 1000);
  EXPECT_LT(valid, 50'000);
}

}  // namespace
}  // namespace espora::face
