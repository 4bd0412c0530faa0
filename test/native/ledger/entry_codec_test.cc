// Bytes of a ledger entry: golden ones, every length, every damage.
#include "ledger/entry_codec.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace espora::ledger {
namespace {

Entry entry(std::string_view description, std::string_view key = {}) {
  return {
      .account_id = 0x01020304,
      .balance_after = -9098,
      .time_us = 1'705'458'881'217'753,
      .transaction = {.amount = 1000, .kind = Kind::debit, .description = Description(description)},
      .key = key};
}

std::vector<std::byte> encode(const Entry& entry) {
  std::vector<std::byte> bytes(encoded_entry_bytes(entry), std::byte{0xEE});
  EXPECT_EQ(encode_entry(entry, bytes), bytes.size());
  return bytes;
}

// From memory of exactly that size.
sys::Result<Entry> decode(const std::vector<std::byte>& bytes) {
  static std::unique_ptr<std::byte[]> exact;  // what Entry::key points into
  exact = std::make_unique<std::byte[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), exact.get());
  return decode_entry({exact.get(), bytes.size()});
}

void expect_equal(const Entry& a, const Entry& b) {
  EXPECT_EQ(a.account_id, b.account_id);
  EXPECT_EQ(a.balance_after, b.balance_after);
  EXPECT_EQ(a.time_us, b.time_us);
  EXPECT_EQ(a.transaction.amount, b.transaction.amount);
  EXPECT_EQ(a.transaction.kind, b.transaction.kind);
  EXPECT_EQ(a.transaction.description.view(), b.transaction.description.view());
  EXPECT_EQ(a.key, b.key);
}

std::string hex(const std::vector<std::byte>& bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) {
    char pair[4];
    snprintf(pair, sizeof(pair), i % 8 == 7 ? "%02x " : "%02x",
             std::to_integer<unsigned>(bytes[i]));
    text += pair;
  }
  return text;
}

TEST(EntryCodec, BytesAreThese) {
  EXPECT_EQ(hex(encode(entry("descricao!"))),
            "04030201640a0000 e803000000000000 76dcffffffffffff d944cb161b0f0600 6465736372696361 "
            "6f21000000000000 ");
  EXPECT_EQ(
      hex(encode(entry("x", "key-1"))),
      "0403020164010500 e803000000000000 76dcffffffffffff d944cb161b0f0600 786b65792d310000 ");
}

TEST(EntryCodec, UsualTransactionIsSmall) {
  // With the store's record header of 8 bytes; the budget of 96 leaves room for frame and index.
  EXPECT_EQ(8 + encoded_entry_bytes(entry("1234567890")), 56u);
  EXPECT_EQ(encoded_entry_bytes(entry(std::string(40, 'x'), std::string(64, 'k'))),
            entry_bytes_max);
}

TEST(EntryCodec, EveryLengthOfDescriptionAndKeyComesBack) {
  const std::string emoji = "\xF0\x9F\x98\x80";
  for (size_t characters = 1; characters <= 10; ++characters) {
    for (size_t wide = 0; wide <= characters; ++wide) {
      std::string description;
      for (size_t i = 0; i < characters; ++i) description += i < wide ? emoji : "a";
      for (const size_t key : {0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 63, 64}) {
        const std::string key_bytes(key, '\xFF');
        const Entry original = entry(description, key_bytes);
        const std::vector<std::byte> bytes = encode(original);
        EXPECT_EQ(bytes.size() % 8, 0u);
        const auto decoded = decode(bytes);
        ASSERT_TRUE(decoded.ok()) << decoded.status().message();
        expect_equal(decoded.value(), original);
      }
    }
  }
}

TEST(EntryCodec, ExtremeValuesComeBack) {
  for (const int64_t amount : {int64_t{1}, limits::amount_max}) {
    for (const int64_t balance :
         {-limits::amount_max, int64_t{-1}, int64_t{0}, limits::amount_max}) {
      for (const uint64_t time : {uint64_t{0}, UINT64_MAX}) {
        Entry original = entry(std::string("\0\x01\x7F", 3));
        original.account_id = UINT32_MAX;
        original.balance_after = balance;
        original.time_us = time;
        original.transaction.amount = amount;
        original.transaction.kind = Kind::credit;
        const auto decoded = decode(encode(original));
        ASSERT_TRUE(decoded.ok());
        expect_equal(decoded.value(), original);
      }
    }
  }
}

TEST(EntryCodec, CutAndLongerBytesAreCorrupt) {
  const std::vector<std::byte> good = encode(entry("descricao!", "key"));
  for (size_t size = 0; size < good.size() + 24; ++size) {
    if (size == good.size()) continue;
    std::vector<std::byte> other = good;
    other.resize(size);
    const auto decoded = decode(other);
    ASSERT_FALSE(decoded.ok()) << size;
    EXPECT_EQ(decoded.status().code(), sys::Code::corrupt);
  }
  EXPECT_EQ(decode_entry({}).status().code(), sys::Code::corrupt);
}

TEST(EntryCodec, WhatDecodesEncodesToTheSameBytes) {
  const std::vector<std::vector<std::byte>> seeds = {encode(entry("descricao!")),
                                                     encode(entry("\xC3\xA7\xF0\x9F\x98\x80", "k")),
                                                     encode(entry("x", "0123456789"))};
  const auto check = [](const std::vector<std::byte>& bytes) {
    const auto decoded = decode(bytes);
    if (decoded.ok()) {
      EXPECT_EQ(encode(decoded.value()), bytes);
    } else {
      EXPECT_EQ(decoded.status().code(), sys::Code::corrupt);
    }
    return decoded.ok();
  };
  for (const auto& seed : seeds) {
    for (size_t bit = 0; bit < seed.size() * 8; ++bit) {
      std::vector<std::byte> flipped = seed;
      flipped[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
      check(flipped);
    }
  }
  std::mt19937_64 random(3);
  for (int round = 0; round < 100'000; ++round) {
    std::vector<std::byte> bytes = seeds[random() % seeds.size()];
    for (size_t i = random() % 4 + 1; i > 0; --i) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    check(bytes);
  }
}

TEST(EntryCodec, EachRuleIsChecked) {
  const std::vector<std::byte> good = encode(entry("ab"));
  ASSERT_TRUE(decode(good).ok());
  const auto with = [&](size_t at, std::initializer_list<int> values) {
    std::vector<std::byte> bytes = good;
    for (const int value : values) bytes[at++] = static_cast<std::byte>(value);
    return decode(bytes).ok();
  };
  EXPECT_FALSE(with(4, {'x'}));  // kind
  EXPECT_FALSE(with(4, {'C'}));
  EXPECT_FALSE(with(5, {0}));  // description's length
  EXPECT_FALSE(with(5, {41}));
  EXPECT_FALSE(with(6, {65}));                         // key's length
  EXPECT_FALSE(with(7, {1}));                          // reserved
  EXPECT_FALSE(with(8, {0, 0, 0, 0, 0, 0, 0, 0}));     // amount
  EXPECT_FALSE(with(8, {0, 0, 0, 0, 0, 0, 0x20, 0}));  // 2^53
  EXPECT_FALSE(with(15, {0x80}));
  EXPECT_FALSE(with(16, {0, 0, 0, 0, 0, 0, 0x20, 0}));     // balance 2^53
  EXPECT_FALSE(with(16, {0, 0, 0, 0, 0, 0, 0xE0, 0xFF}));  // -2^53
  EXPECT_TRUE(with(16, {1, 0, 0, 0, 0, 0, 0xE0, 0xFF}));   // -2^53+1
  EXPECT_FALSE(with(32, {0xC3, 'x'}));                     // description's UTF-8
  EXPECT_FALSE(with(34, {1}));                             // padding
  EXPECT_FALSE(with(39, {1}));
}

TEST(EntryCodec, ElevenCharactersAreNoDescription) {
  std::vector<std::byte> bytes = encode(entry("1234567890"));
  bytes[5] = std::byte{11};
  bytes[42] = std::byte{'x'};
  EXPECT_FALSE(decode(bytes).ok());
}

}  // namespace
}  // namespace espora::ledger
