// Addresses and networks as they are written: what is one, what is none, and what lies inside.
#include "sys/ip_address.h"

#include <gtest/gtest.h>

#include <string>

namespace espora::sys {
namespace {

IpAddress address(const char* text) {
  const auto parsed = IpAddress::parse(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed.value_or(IpAddress{});
}

bool contains(const char* network, const char* one) {
  const auto parsed = IpNetwork::parse(network);
  EXPECT_TRUE(parsed.ok()) << network;
  return parsed.ok() && parsed.value().contains(address(one));
}

TEST(IpAddress, IsReadAndWritten) {
  for (const char* text : {"0.0.0.0", "127.0.0.1", "255.255.255.255", "::", "::1", "2001:db8::1",
                           "::ffff:192.0.2.1", "1:2:3:4:5:6:7:8"}) {
    EXPECT_EQ(address(text).to_string(), text);
  }
  EXPECT_EQ(address("2001:0DB8:0:0:0:0:0:1").to_string(), "2001:db8::1");
  EXPECT_EQ(address("::ffff:192.0.2.1").unmapped(), address("192.0.2.1"));
  EXPECT_EQ(address("::192.0.2.1").unmapped(), address("::192.0.2.1"));
  EXPECT_NE(address("::"), address("0.0.0.0"));
}

TEST(IpAddress, WhatIsNoneIsRefused) {
  const std::string with_nul("127.0.0.1\0", 10);
  for (const std::string& text :
       {std::string(), std::string("1.2.3"), std::string("1.2.3.256"), std::string("1.2.3.4.5"),
        std::string("01.2.3.4"), std::string(" 1.2.3.4"), std::string("1.2.3.4 "),
        std::string("localhost"), std::string("[::1]"), std::string("::1%lo"), std::string(":::"),
        std::string("1:2:3:4:5:6:7"), std::string("12345::"), std::string(100, ':'), with_nul}) {
    EXPECT_FALSE(IpAddress::parse(text).has_value()) << text;
  }
}

TEST(IpNetwork, ContainsWhatSharesItsPrefix) {
  EXPECT_TRUE(contains("10.0.0.0/8", "10.255.255.255"));
  EXPECT_FALSE(contains("10.0.0.0/8", "11.0.0.0"));
  EXPECT_FALSE(contains("10.0.0.0/8", "9.255.255.255"));
  EXPECT_TRUE(contains("192.0.2.128/25", "192.0.2.255"));
  EXPECT_FALSE(contains("192.0.2.128/25", "192.0.2.127"));
  EXPECT_TRUE(contains("172.16.0.0/12", "172.31.255.255"));
  EXPECT_FALSE(contains("172.16.0.0/12", "172.32.0.0"));
  EXPECT_TRUE(contains("2001:db8::/32", "2001:db8:ffff::1"));
  EXPECT_FALSE(contains("2001:db8::/32", "2001:db9::1"));
  EXPECT_TRUE(contains("2001:db8::/33", "2001:db8:7fff::1"));
  EXPECT_FALSE(contains("2001:db8::/33", "2001:db8:8000::1"));
}

TEST(IpNetwork, AllOrOneAreNetworksToo) {
  EXPECT_TRUE(contains("0.0.0.0/0", "203.0.113.9"));
  EXPECT_TRUE(contains("::/0", "2001:db8::1"));
  for (const char* alone : {"192.0.2.7", "192.0.2.7/32"}) {
    EXPECT_TRUE(contains(alone, "192.0.2.7"));
    EXPECT_FALSE(contains(alone, "192.0.2.6"));
  }
  for (const char* alone : {"2001:db8::7", "2001:db8::7/128"}) {
    EXPECT_TRUE(contains(alone, "2001:db8::7"));
    EXPECT_FALSE(contains(alone, "2001:db8::6"));
  }
}

// Each prefix length: the last bit inside decides, the first one behind it does not.
TEST(IpNetwork, EveryPrefixLength) {
  for (const char* zero : {"0.0.0.0", "::"}) {
    const IpAddress base = address(zero);
    const unsigned bits = base.v6 ? 128 : 32;
    for (unsigned prefix = 0; prefix <= bits; ++prefix) {
      const auto network = IpNetwork::parse(std::string(zero) + "/" + std::to_string(prefix));
      ASSERT_TRUE(network.ok()) << prefix;
      for (unsigned bit = 0; bit < bits; ++bit) {
        IpAddress other = base;
        other.bytes[bit / 8] = static_cast<uint8_t>(0x80u >> (bit % 8));
        ASSERT_EQ(network.value().contains(other), bit >= prefix) << prefix << " " << bit;
      }
    }
  }
}

TEST(IpNetwork, VersionsDoNotMix) {
  EXPECT_FALSE(contains("0.0.0.0/0", "::1"));
  EXPECT_FALSE(contains("::/0", "10.0.0.1"));
  // Version 4 in version 6 clothes is version 4, where a network of that version is asked.
  EXPECT_TRUE(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
  EXPECT_FALSE(contains("10.0.0.0/8", "::ffff:11.1.2.3"));
  EXPECT_TRUE(contains("::ffff:0:0/96", "::ffff:10.1.2.3"));
  for (const char* clothed : {"::ffff:10.0.0.0/104", "::ffff:10.1.2.3"}) {
    EXPECT_TRUE(contains(clothed, "10.1.2.3"));
    EXPECT_TRUE(contains(clothed, "::ffff:10.1.2.3"));
    EXPECT_FALSE(contains(clothed, "11.1.2.3"));
  }
}

TEST(IpNetwork, WhatIsNoneIsRefused) {
  for (const char* text :
       {"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8 ",
        "10.0.0.0/ 8", "10.0.0.0/8/8", "10.0.0.0/x", "10.0.0.0/4294967304", "10.0.0/8",
        "2001:db8::/129", "localhost", "localhost/8"}) {
    const auto network = IpNetwork::parse(text);
    ASSERT_FALSE(network.ok()) << text;
    EXPECT_EQ(network.status().code(), Code::invalid);
  }
  const auto message = [](const char* text) { return IpNetwork::parse(text).status().message(); };
  EXPECT_NE(message("10.0.0.0/33").find("not 0 to 32"), std::string::npos);
  EXPECT_NE(message("::/129").find("not 0 to 128"), std::string::npos);
  for (const char* behind : {"10.1.2.3/8", "0.0.0.1/0", "192.0.2.129/25", "2001:db8::1/32"}) {
    const auto network = IpNetwork::parse(behind);
    ASSERT_FALSE(network.ok()) << behind;
    EXPECT_NE(network.status().message().find("bits behind its prefix"), std::string::npos);
  }
}

}  // namespace
}  // namespace espora::sys
