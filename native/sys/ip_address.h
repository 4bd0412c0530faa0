// IP addresses and networks as values: read, written, compared. No socket is involved.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sys/status.h"

namespace espora::sys {

struct IpAddress {
  bool v6 = false;
  std::array<uint8_t, 16> bytes{};  // network order; IPv4 uses the first four

  // "192.0.2.1" or "2001:db8::1" (no brackets, no zone), as inet_pton(3) reads them.
  static std::optional<IpAddress> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  // ::ffff:192.0.2.1 as 192.0.2.1: a listener for both versions sees IPv4 clients in that form.
  [[nodiscard]] IpAddress unmapped() const noexcept;
  bool operator==(const IpAddress&) const noexcept = default;
};

struct Endpoint {
  IpAddress ip;
  uint16_t port = 0;
  // "192.0.2.1:80", "[2001:db8::1]:80".
  [[nodiscard]] std::string to_string() const;
  bool operator==(const Endpoint&) const noexcept = default;
};

// All addresses that share the first `prefix_bits` bits.
struct IpNetwork {
  IpAddress base;
  unsigned prefix_bits = 0;

  // "10.0.0.0/8", "2001:db8::/32", or an address alone for a network of one. Bits set after the
  // prefix are refused: 10.1.2.3/8 is most likely a mistake.
  static Result<IpNetwork> parse(std::string_view text);
  // An IPv4-mapped address counts as IPv4.
  [[nodiscard]] bool contains(const IpAddress& address) const noexcept;
};

}  // namespace espora::sys
