// The table of accounts: what may be configured, and its bytes.
#include "ledger/account_table.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "sys/limits.h"

namespace espora::ledger {
namespace {

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

TEST(AccountTable, ContestTable) {
  const AccountTable table = AccountTable::contest();
  const std::vector<AccountLimit> expected = {
      {1, 100'000}, {2, 80'000}, {3, 1'000'000}, {4, 10'000'000}, {5, 500'000}};
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), table.accounts().begin(),
                         table.accounts().end()));
  EXPECT_EQ(AccountTable::create(expected).value(), table);
}

TEST(AccountTable, OrderDoesNotMatter) {
  const auto a = AccountTable::create({{7, 1}, {1, 0}, {3, 5}});
  const auto b = AccountTable::create({{1, 0}, {3, 5}, {7, 1}});
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(a.value(), b.value());
  EXPECT_EQ(a.value().encode(), b.value().encode());
}

TEST(AccountTable, WhatCannotBeConfigured) {
  const auto refusal = [](std::vector<AccountLimit> accounts) {
    const auto table = AccountTable::create(std::move(accounts));
    EXPECT_FALSE(table.ok());
    EXPECT_EQ(table.status().code(), sys::Code::invalid);
    return table.status().message();
  };
  EXPECT_NE(refusal({}).find("empty"), std::string::npos);
  EXPECT_NE(refusal({{0, 1}}).find("Account 0"), std::string::npos);
  EXPECT_NE(refusal({{1, 1}, {9, 2}, {9, 2}}).find("Account 9 is given twice"), std::string::npos);
  EXPECT_NE(refusal({{1, 1}, {8, -1}}).find("Account 8 has the limit -1"), std::string::npos);
  EXPECT_NE(refusal({{8, limits::amount_max + 1}}).find("Account 8"), std::string::npos);
  std::vector<AccountLimit> many;
  for (uint32_t id = 1; id <= limits::accounts_max; ++id) many.push_back({id, 0});
  EXPECT_TRUE(AccountTable::create(many).ok());
  many.push_back({1'000'000, 0});
  EXPECT_NE(refusal(many).find("10001 accounts"), std::string::npos);
  EXPECT_TRUE(AccountTable::create({{UINT32_MAX, limits::amount_max}, {1, 0}}).ok());
}

TEST(AccountTable, MoreAccountsComeInAndNoneIsChangedOrGoes) {
  const AccountTable stored = AccountTable::create({{2, 20}, {7, 70}}).value();
  const auto with = [&](std::vector<AccountLimit> more) {
    return stored.with(AccountTable::create(std::move(more)).value()).value();
  };
  EXPECT_EQ(with({{7, 70}}), stored);
  EXPECT_EQ(with({{2, 0}, {7, 99}}), stored);
  EXPECT_EQ(with({{9, 90}, {1, 10}, {7, 1}}),
            AccountTable::create({{1, 10}, {2, 20}, {7, 70}, {9, 90}}).value());
  ASSERT_NE(stored.find(7), nullptr);
  EXPECT_EQ(stored.find(7)->limit, 70);
  EXPECT_EQ(stored.find(3), nullptr);
  EXPECT_EQ(stored.find(8), nullptr);
}

TEST(AccountTable, NotMoreThanPossibleTogether) {
  std::vector<AccountLimit> many;
  for (uint32_t id = 1; id < limits::accounts_max; id++) many.push_back({id, 1});
  const AccountTable stored = AccountTable::create(many).value();
  EXPECT_TRUE(stored.with(AccountTable::create({{20'001, 1}}).value()).ok());
  const auto refused =
      stored.with(AccountTable::create({{1, 1}, {20'001, 1}, {20'002, 1}}).value());
  EXPECT_EQ(refused.status().code(), sys::Code::invalid);
  EXPECT_EQ(refused.status().message(),
            "The store has 9999 accounts and 2 more were given; at most 10000 are possible.");
}

TEST(AccountTable, BytesAreTheseAndNoOthers) {
  const AccountTable table =
      AccountTable::create({{1, 100'000}, {0x01020304, limits::amount_max}}).value();
  const std::vector<std::byte> golden = bytes_of({
      'A', 'C', 'C', 'T', 1, 0, 0, 0, 2,    0,    0,    0,    0,    0,    0,    0,  //
      1,   0,   0,   0,   0, 0, 0, 0, 0xA0, 0x86, 1,    0,    0,    0,    0,    0,  //
      4,   3,   2,   1,   0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x1F, 0,  //
  });
  EXPECT_EQ(table.encode(), golden);
  const auto decoded = AccountTable::decode(golden);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded.value(), table);
}

TEST(AccountTable, DamagedBytesAreCorruptAndNeverAnotherSpellingOfTheSame) {
  const std::vector<std::byte> good = AccountTable::contest().encode();
  for (size_t bytes = 0; bytes < good.size(); ++bytes) {
    const auto cut = AccountTable::decode({good.data(), bytes});
    ASSERT_FALSE(cut.ok());
    EXPECT_EQ(cut.status().code(), sys::Code::corrupt);
  }
  EXPECT_NE(AccountTable::decode({good.data(), 16}).status().message().find("16 bytes for 5"),
            std::string::npos);
  std::vector<std::byte> longer = good;
  longer.push_back(std::byte{0});
  EXPECT_EQ(AccountTable::decode(longer).status().code(), sys::Code::corrupt);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::vector<std::byte> flipped = good;
    flipped[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    const auto decoded = AccountTable::decode(flipped);
    if (decoded.ok()) {
      EXPECT_EQ(decoded.value().encode(), flipped) << bit;  // another id or limit
    } else if (bit / 8 == 4 || bit / 8 == 5) {
      EXPECT_EQ(decoded.status().code(), sys::Code::version) << bit;
    } else {
      EXPECT_EQ(decoded.status().code(), sys::Code::corrupt) << bit;
    }
  }
  std::vector<std::byte> huge = good;
  huge[8] = huge[9] = huge[10] = huge[11] = std::byte{0xFF};
  EXPECT_EQ(AccountTable::decode(huge).status().code(), sys::Code::corrupt);
  std::vector<std::byte> swapped = good;
  std::swap_ranges(swapped.begin() + 16, swapped.begin() + 32, swapped.begin() + 32);
  EXPECT_EQ(AccountTable::decode(swapped).status().code(), sys::Code::corrupt);
}

}  // namespace
}  // namespace espora::ledger
