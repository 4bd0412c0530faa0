// Answers byte for byte, and every description read back by another JSON reader.
#include "face/answers.h"

#include <gtest/gtest.h>

#include <string>

#include "face/errors.h"
#include "face/json_transaction.h"
#include "ledger/ledger.h"
#include "support/json_value.h"

#include <set>

namespace espora::face {
namespace {

using engine::Description;
using engine::Kind;
using engine::Result;
using engine::Transaction;
using ledger::Account;
using ledger::AccountTable;
using ledger::Decision;
using ledger::Ledger;

void post(Ledger& ledger, uint32_t id, Kind kind, int64_t amount, std::string_view description,
          uint64_t time_us) {
  Account& account = *ledger.find(id);
  const Transaction transaction{amount, kind, Description(description)};
  const Decision decision = decide(account, transaction);
  ASSERT_EQ(decision.result, Result::applied);
  (void)ledger.apply(account, transaction, decision.balance_after, time_us,
                     ledger.last_change_seq() + 1);
}

std::string statement(const Ledger& ledger, uint32_t id, uint64_t now_us) {
  AnswerBody body;
  body.write_statement(ledger.find(id)->statement(now_us));
  return std::string(body.view());
}

TEST(Answers, Balance) {
  AnswerBody body;
  body.write_balance(100'000, -9098);
  EXPECT_EQ(body.view(), R"({"limite":100000,"saldo":-9098})");
  body.write_balance(limits::amount_max, -limits::amount_max);
  EXPECT_EQ(body.view(), R"({"limite":9007199254740991,"saldo":-9007199254740991})");
  body.write_balance(0, 0);
  EXPECT_EQ(body.view(), R"({"limite":0,"saldo":0})");
}

TEST(Answers, EmptyStatement) {
  EXPECT_EQ(statement(Ledger(AccountTable::contest()), 3, 1'705'458'881'217'753),
            R"({"saldo":{"total":0,"data_extrato":"2024-01-17T02:34:41.217753Z","limite":1000000},)"
            R"("ultimas_transacoes":[]})");
}

TEST(Answers, StatementListsNewestFirst) {
  Ledger ledger(AccountTable::contest());
  post(ledger, 1, Kind::credit, 10, "descricao", 1'705'458'878'543'030);
  post(ledger, 1, Kind::debit, 9108, "x", 1'705'458'880'000'001);
  EXPECT_EQ(
      statement(ledger, 1, 1'705'458'881'217'753),
      R"({"saldo":{"total":-9098,"data_extrato":"2024-01-17T02:34:41.217753Z","limite":100000},)"
      R"("ultimas_transacoes":[)"
      R"({"valor":9108,"tipo":"d","descricao":"x","realizada_em":"2024-01-17T02:34:40.000001Z"},)"
      R"({"valor":10,"tipo":"c","descricao":"descricao","realizada_em":"2024-01-17T02:34:38.543030Z"}]})");
}

TEST(Answers, StatementIsNeverOlderThanItsNewestTransaction) {
  Ledger ledger(AccountTable::contest());
  post(ledger, 1, Kind::credit, 10, "x", 1'705'458'881'000'000);
  EXPECT_NE(statement(ledger, 1, 5).find(R"("data_extrato":"2024-01-17T02:34:41.000000Z")"),
            std::string::npos);
}

TEST(Answers, LargestStatementFits) {
  Ledger ledger(AccountTable::create({{1, limits::amount_max}}).value());
  const std::string controls(10, '\x01');
  for (int i = 0; i < 5; ++i) {
    post(ledger, 1, Kind::debit, limits::amount_max, controls, UINT64_MAX);
    post(ledger, 1, Kind::credit, limits::amount_max, controls, UINT64_MAX);
  }
  post(ledger, 1, Kind::debit, limits::amount_max, controls, UINT64_MAX);
  const std::string text = statement(ledger, 1, UINT64_MAX);
  EXPECT_LE(text.size(), limits::answer_body_bytes_max);
  EXPECT_GT(text.size(), limits::answer_body_bytes_max * 3 / 4);
  const auto json = test::JsonReader::read(text);
  ASSERT_TRUE(json.has_value());
  EXPECT_EQ(json->at(U"ultimas_transacoes").elements.size(), 10u);
  EXPECT_EQ(json->at(U"saldo").at(U"total").integer(), -limits::amount_max);
}

TEST(Answers, EveryDescriptionComesBackAsItWasSent) {
  std::vector<std::u32string> descriptions;
  for (char32_t c = 0; c < 0x180; ++c) descriptions.push_back({U'a', c, U'b'});
  for (const char32_t c :
       {U'\u07FF', U'\u0800', U'\u2028', U'\u2029', U'\uD7FF', U'\uE000', U'\uFEFF', U'\uFFFD',
        U'\uFFFF', U'\U00010000', U'\U0001F600', U'\U0010FFFF'}) {
    descriptions.push_back(std::u32string(10, c));
  }
  Ledger ledger(AccountTable::contest());
  for (const std::u32string& description : descriptions) {
    post(ledger, 1, Kind::credit, 1, test::to_bytes(description), 0);
    const auto json = test::JsonReader::read(statement(ledger, 1, 0));
    ASSERT_TRUE(json.has_value());
    EXPECT_EQ(json->at(U"ultimas_transacoes").elements[0].at(U"descricao").string, description);
  }
}

TEST(Answers, ControlCharactersAreEscapedTheShortWay) {
  Ledger ledger(AccountTable::contest());
  post(ledger, 1, Kind::credit, 1, std::string_view("\0\b\f\n\r\t\x1F\"\\\x7F", 10), 0);
  EXPECT_NE(
      statement(ledger, 1, 0).find("\"descricao\":\"\\u0000\\b\\f\\n\\r\\t\\u001f\\\"\\\\\x7F\""),
      std::string::npos);
}

TEST(ErrorTable, CodesAreUniqueAlsoAmongThoseOfHttp) {
  std::set<std::string_view> codes;
  for (const http::Error* error : http::errors::all())
    EXPECT_TRUE(codes.insert(error->code).second);
  for (const http::Error* error : errors::all()) {
    EXPECT_TRUE(codes.insert(error->code).second) << error->code;
    EXPECT_TRUE(test::JsonReader::read("\"" + std::string(error->code) + "\"").has_value());
    EXPECT_EQ(error->message.back(), '.') << error->code;
  }
  EXPECT_EQ(errors::all().size(), 16u);
}

}  // namespace
}  // namespace espora::face
