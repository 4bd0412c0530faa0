// Every rule of a name's addresses as a table of steps: what happens to one, and which comes next.
#include "forward/address_list.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstring>
#include <string>
#include <vector>

namespace espora::forward {
namespace {

sys::ResolvedAddress address(char letter) {
  sys::ResolvedAddress resolved{};
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(80);
  at.sin_addr.s_addr = htonl(0x0a000000u + static_cast<unsigned char>(letter));
  std::memcpy(resolved.bytes, &at, sizeof at);
  resolved.length = sizeof at;
  resolved.family = AF_INET;
  return resolved;
}

class AddressListTest : public testing::Test {
 protected:
  bool assign(const std::string& letters) {
    std::vector<sys::ResolvedAddress> all;
    for (const char letter : letters) all.push_back(address(letter));
    return list_.assign(all);
  }
  [[nodiscard]] char letter_at(size_t index) const {
    for (char letter = 'a'; letter <= 'z'; ++letter) {
      if (list_.at(index) == address(letter)) return letter;
    }
    return '?';
  }
  // Those that one connection tries, in its order.
  std::string all_of_one() {
    AddressList::Tried tried;
    std::string order;
    while (const auto next = list_.next(tried, now_ms_)) {
      tried.set(*next);
      order += letter_at(*next);
    }
    return order;
  }
  // The first of each of so many connections.
  std::string firsts(int count) {
    std::string order;
    for (int i = 0; i < count; ++i) order += letter_at(list_.next({}, now_ms_).value());
    return order;
  }

  AddressList list_{2};
  uint64_t now_ms_ = 1'000'000;
};

TEST_F(AddressListTest, EachTakesPartInTurn) {
  EXPECT_TRUE(assign("abc"));
  EXPECT_EQ(firsts(7), "abcabca");
  EXPECT_EQ(all_of_one(), "bca");
}

TEST_F(AddressListTest, WithoutAddressesNothingIsNext) {
  EXPECT_FALSE(list_.next({}, now_ms_).has_value());
  EXPECT_EQ(list_.next_look().due_ms, AddressList::never_ms);
}

TEST_F(AddressListTest, OneThatTookNoConnectionComesLastUntilALookFindsItWell) {
  assign("abc");
  list_.on_connect_failed(1, now_ms_);
  EXPECT_EQ(firsts(4), "acac");
  EXPECT_EQ(all_of_one().back(), 'b');
  now_ms_ += 10 * limits::address_rest_ms_max;
  EXPECT_EQ(firsts(4).find('b'), std::string::npos) << "time alone proves nothing";
  EXPECT_EQ(list_.next_look().index, 1u);
  list_.on_connected(1);
  EXPECT_EQ(list_.next_look().due_ms, AddressList::never_ms);
  EXPECT_NE(firsts(3).find('b'), std::string::npos);
}

TEST_F(AddressListTest, LooksComeAtIntervalsThatDoubleUntilItIsWell) {
  assign("ab");
  uint64_t expected_ms = limits::address_rest_ms;
  for (int i = 0; i < 10; ++i) {
    list_.on_connect_failed(0, now_ms_);
    EXPECT_EQ(list_.next_look().due_ms - now_ms_, expected_ms);
    expected_ms = std::min(2 * expected_ms, limits::address_rest_ms_max);
  }
  list_.on_connected(0);
  list_.on_connect_failed(0, now_ms_);
  EXPECT_EQ(list_.next_look().due_ms - now_ms_, limits::address_rest_ms);
}

TEST_F(AddressListTest, WhereAllRestAllAreTried) {
  assign("ab");
  EXPECT_FALSE(list_.all_rest(now_ms_));
  list_.on_connect_failed(0, now_ms_);
  EXPECT_FALSE(list_.all_rest(now_ms_));
  list_.on_connect_failed(1, now_ms_);
  EXPECT_TRUE(list_.all_rest(now_ms_));
  const std::string order = all_of_one();
  EXPECT_TRUE(order == "ab" || order == "ba") << order;
}

TEST_F(AddressListTest, SilentSessionsInARowLetOneRestForATime) {
  assign("ab");
  list_.on_silent(0, now_ms_);
  list_.on_answer(0);
  list_.on_silent(0, now_ms_);
  EXPECT_NE(firsts(2).find('a'), std::string::npos) << "not in a row";
  list_.on_silent(0, now_ms_);
  EXPECT_EQ(firsts(2), "bb");
  list_.on_connected(0);  // a process that is stopped takes connections, too
  EXPECT_EQ(firsts(2), "bb");
  EXPECT_EQ(list_.next_look().due_ms, AddressList::never_ms);
  now_ms_ += limits::address_rest_ms;
  EXPECT_NE(firsts(2).find('a'), std::string::npos);
  list_.on_silent(0, now_ms_);  // once more is enough, until it answers
  now_ms_ += limits::address_rest_ms;
  EXPECT_EQ(firsts(2), "bb") << "twice as long";
  list_.on_answer(0);
  EXPECT_NE(firsts(2).find('a'), std::string::npos);
}

TEST_F(AddressListTest, TheSameInAnotherOrderChangesNothing) {
  assign("abc");
  const uint64_t version = list_.version();
  EXPECT_FALSE(assign("cab"));
  EXPECT_FALSE(assign("aabbcc"));
  EXPECT_EQ(list_.version(), version);
}

TEST_F(AddressListTest, OneThatStaysKeepsWhatIsKnownOfItAndANewOneBeginsAnew) {
  assign("ab");
  list_.on_connect_failed(1, now_ms_);
  const uint64_t version = list_.version();
  EXPECT_TRUE(assign("bc"));
  EXPECT_NE(list_.version(), version);
  EXPECT_EQ(list_.size(), 2u);
  EXPECT_EQ(firsts(2), "cc");
  assign("c");
  assign("cb");  // it was gone: nothing of it is left
  EXPECT_NE(firsts(2).find('b'), std::string::npos);
}

TEST_F(AddressListTest, ThoseBeyondTheLimitAreLeftOut) {
  std::vector<sys::ResolvedAddress> many;
  for (int i = 0; i < 2 * static_cast<int>(limits::addresses_max); ++i) {
    many.push_back(address(static_cast<char>(i)));
  }
  list_.assign(many);
  EXPECT_EQ(list_.size(), limits::addresses_max);
  EXPECT_EQ(all_of_one().size(), limits::addresses_max);
}

TEST_F(AddressListTest, EachIsCheckedInTurn) {
  assign("abc");
  std::string order;
  for (int i = 0; i < 6; ++i) order += letter_at(list_.next_to_check());
  EXPECT_EQ(order, "abcabc");
}

}  // namespace
}  // namespace espora::forward
