#include "forward/proxy_protocol.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "sys/crc32c.h"

namespace espora::forward {
namespace {

const std::string signature("\r\n\r\n\0\r\nQUIT\n", 12);

ProxyHeader parse(const std::string& text) {
  return parse_proxy_header({reinterpret_cast<const std::byte*>(text.data()), text.size()});
}

// "address:port>address:port", or what became of it instead.
std::string told(const std::string& text) {
  const ProxyHeader header = parse(text);
  if (header.outcome == ProxyParse::incomplete) return "incomplete";
  if (header.outcome == ProxyParse::invalid) return header.why;
  if (!header.connection.has_value()) return "unknown";
  const auto& [source, destination] = *header.connection;
  return source.ip.to_string() + ":" + std::to_string(source.port) + ">" +
         destination.ip.to_string() + ":" + std::to_string(destination.port);
}

std::string v2(int version_command, int family, const std::string& rest) {
  std::string header = signature;
  header += static_cast<char>(version_command);
  header += static_cast<char>(family);
  header += static_cast<char>(rest.size() >> 8);
  header += static_cast<char>(rest.size() & 0xff);
  return header + rest;
}

const std::string addresses_4("\x0a\x01\x02\x03\xc0\x00\x02\x01\x12\x34\x00\x50", 12);
const std::string addresses_6 = std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') +
                                "\x01" + std::string(15, '\0') + "\x01" +
                                std::string("\x12\x34\x01\xbb", 4);

struct Told {
  std::string header;
  const char* told;
};

TEST(ProxyProtocol, VersionOne) {
  for (const Told& each : std::vector<Told>{
           {"PROXY TCP4 10.1.2.3 192.0.2.1 4660 80\r\n", "10.1.2.3:4660>192.0.2.1:80"},
           {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            "255.255.255.255:65535>255.255.255.255:65535"},
           {"PROXY TCP6 2001:db8::1 ::1 0 443\r\n", "2001:db8::1:0>::1:443"},
           {"PROXY UNKNOWN\r\n", "unknown"},
           {"PROXY UNKNOWN ffff::1 whatever 1 2 3\r\n", "unknown"},
           {"PROXY TCP4 10.1.2.3 192.0.2.1 4660\r\n", "has an invalid port"},
           {"PROXY TCP4 10.1.2.3 192.0.2.1 4660 80 \r\n", "has an invalid port"},
           {"PROXY TCP4 10.1.2.3 192.0.2.1 4660 80 90\r\n", "has an invalid port"},
           {"PROXY TCP4 10.1.2.3 192.0.2.1 04660 80\r\n", "has an invalid port"},
           {"PROXY TCP4 10.1.2.3 192.0.2.1 65536 80\r\n", "has an invalid port"},
           {"PROXY TCP4 10.1.2.3 192.0.2.1 -1 80\r\n", "has an invalid port"},
           {"PROXY TCP4  10.1.2.3 192.0.2.1 1 80\r\n", "has an invalid address"},
           {"PROXY TCP4 10.1.2.256 192.0.2.1 1 80\r\n", "has an invalid address"},
           {"PROXY TCP4 10.1.2.3 ::1 1 80\r\n", "has an invalid address"},
           {"PROXY TCP6 10.1.2.3 192.0.2.1 1 80\r\n", "has an invalid address"},
           {"PROXY TCP6 ::1%lo ::1 1 80\r\n", "has an invalid address"},
           {"PROXY TCP4\r\n", "has an invalid address"},
           {"PROXY UDP4 10.1.2.3 192.0.2.1 1 80\r\n", "has an unknown family"},
           {"PROXY \r\n", "has an unknown family"},
           {"PROXY TCP4 10.1.2.3 192.0.2.1 1 80\n", "has a line feed alone"},
           {"PROXY TCP4 " + std::string(200, '1'), "has no end of line"},
           {"PROXY TCP4 " + std::string(200, '1') + "\r\n", "has no end of line"},
           {"proxy TCP4 10.1.2.3 192.0.2.1 1 80\r\n", "is missing"},
           {"GET / HTTP/1.1\r\n", "is missing"},
           {std::string(1, '\0'), "is missing"},
           {"P", "incomplete"},
           {"", "incomplete"},
       }) {
    EXPECT_EQ(told(each.header), each.told) << each.header;
  }
}

TEST(ProxyProtocol, VersionTwo) {
  for (const Told& each : std::vector<Told>{
           {v2(0x21, 0x11, addresses_4), "10.1.2.3:4660>192.0.2.1:80"},
           {v2(0x21, 0x21, addresses_6), "2001:db8::1:4660>::1:443"},
           {v2(0x21, 0x31, std::string(216, 'x')), "unknown"},
           {v2(0x21, 0x00, ""), "unknown"},
           {v2(0x21, 0x00, "anything at all"), "unknown"},
           {v2(0x20, 0x00, ""), "unknown"},
           {v2(0x20, 0x11, addresses_4), "unknown"},
           {v2(0x20, 0x99, "x"), "unknown"},  // LOCAL: nothing else in it counts
           {v2(0x21, 0x11, addresses_4 + std::string("\x04\x00\x02hi", 5)),
            "10.1.2.3:4660>192.0.2.1:80"},
           {v2(0x21, 0x11, addresses_4 + std::string("\x04\x00\x00", 3)),
            "10.1.2.3:4660>192.0.2.1:80"},
           {v2(0x21, 0x11, addresses_4 + std::string("\x04\x00\x03hi", 5)),
            "ends inside an extension"},
           {v2(0x21, 0x11, addresses_4 + std::string("\x04\x00", 2)), "ends inside an extension"},
           {v2(0x21, 0x11, addresses_4 + std::string("\x03\x00\x04\x01\x02\x03\x04", 7)),
            "has a checksum that does not hold"},
           {v2(0x21, 0x11, addresses_4 + std::string("\x03\x00\x01\x01", 4)),
            "has a checksum that does not hold"},
           {v2(0x21, 0x11, addresses_4.substr(1)), "ends inside its addresses"},
           {v2(0x21, 0x21, addresses_6.substr(1)), "ends inside its addresses"},
           {v2(0x21, 0x31, std::string(215, 'x')), "ends inside its addresses"},
           {v2(0x21, 0x12, addresses_4), "is not about a stream"},
           {v2(0x21, 0x41, addresses_4), "is not about a stream"},
           {v2(0x22, 0x11, addresses_4), "has an unknown command"},
           {v2(0x11, 0x11, addresses_4), "has another version"},
           {signature + "\x31", "has another version"},
           {v2(0x21, 0x00, std::string(limits::proxy_header_bytes_max, 'x')),
            "is longer than 4096 bytes"},
           {signature, "incomplete"},
           {signature.substr(0, 1), "incomplete"},
           {signature.substr(0, 11) + "x", "is missing"},
       }) {
    EXPECT_EQ(told(each.header), each.told);
  }
}

TEST(ProxyProtocol, AChecksumThatHolds) {
  std::string header =
      v2(0x21, 0x11,
         addresses_4 + std::string("\x03\x00\x04\0\0\0\0", 7) + std::string("\x05\x00\x01y", 4));
  const uint32_t crc =
      sys::crc32c({reinterpret_cast<const std::byte*>(header.data()), header.size()});
  for (size_t i = 0; i < 4; ++i) {
    header[16 + 12 + 3 + i] = static_cast<char>(crc >> (24 - 8 * i));
  }
  EXPECT_EQ(told(header), "10.1.2.3:4660>192.0.2.1:80");
  for (size_t i = 16; i < header.size(); ++i) {
    if (i == 28) continue;  // then it is an extension of another type
    std::string damaged = header;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_EQ(parse(damaged).outcome, ProxyParse::invalid) << i;
  }
}

// Cut anywhere it is incomplete, and whatever follows it is not looked at.
TEST(ProxyProtocol, EveryCutIsIncomplete) {
  for (const std::string& whole :
       {std::string("PROXY TCP4 10.1.2.3 192.0.2.1 4660 80\r\n"), std::string("PROXY UNKNOWN\r\n"),
        v2(0x21, 0x11, addresses_4), v2(0x21, 0x21, addresses_6), v2(0x20, 0x00, "")}) {
    for (size_t cut = 0; cut < whole.size(); ++cut) {
      ASSERT_EQ(told(whole.substr(0, cut)), "incomplete") << cut;
    }
    for (const std::string& behind :
         {std::string(), std::string("PROXY "), std::string(5000, 'x')}) {
      const ProxyHeader header = parse(whole + behind);
      ASSERT_EQ(header.outcome, ProxyParse::complete);
      ASSERT_EQ(header.bytes, whole.size());
    }
  }
}

TEST(ProxyProtocol, WhatIsWrittenIsRead) {
  const auto written = [](const std::optional<ProxiedConnection>& connection) {
    std::byte bytes[limits::proxy_header_written_bytes];
    const size_t count = write_proxy_header(connection, bytes);
    return std::string(reinterpret_cast<const char*>(bytes), count);
  };
  const auto endpoint = [](const char* ip, uint16_t port) {
    return sys::Endpoint{*sys::IpAddress::parse(ip), port};
  };
  EXPECT_EQ(written(ProxiedConnection{endpoint("10.1.2.3", 0x1234), endpoint("192.0.2.1", 80)}),
            v2(0x21, 0x11, addresses_4));
  EXPECT_EQ(written(ProxiedConnection{endpoint("2001:db8::1", 0x1234), endpoint("::1", 443)}),
            v2(0x21, 0x21, addresses_6));
  // A listener for both versions shows version 4 in the clothes of version 6.
  EXPECT_EQ(written(ProxiedConnection{endpoint("::ffff:10.1.2.3", 0x1234),
                                      endpoint("::ffff:192.0.2.1", 80)}),
            v2(0x21, 0x11, addresses_4));
  EXPECT_EQ(told(written(ProxiedConnection{endpoint("::ffff:10.1.2.3", 1), endpoint("::1", 2)})),
            "::ffff:10.1.2.3:1>::1:2");
  EXPECT_EQ(written(std::nullopt), v2(0x21, 0x00, ""));
  std::byte bytes[limits::proxy_header_written_bytes];
  const size_t count = write_local_proxy_header(bytes);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes), count), v2(0x20, 0x00, ""));
}

}  // namespace
}  // namespace espora::forward
