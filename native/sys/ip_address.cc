#include "sys/ip_address.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace espora::sys {

namespace {

constexpr std::array<uint8_t, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool same_bits(const IpAddress& a, const IpAddress& b, unsigned bits) noexcept {
  const unsigned whole = bits / 8;
  if (std::memcmp(a.bytes.data(), b.bytes.data(), whole) != 0) return false;
  if (bits % 8 == 0) return true;
  const auto mask = static_cast<uint8_t>(0xff00u >> (bits % 8));
  return ((a.bytes[whole] ^ b.bytes[whole]) & mask) == 0;
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  // inet_pton needs a terminated string; a NUL inside would hide what follows it.
  char copy[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof copy || text.find('\0') != std::string_view::npos) return std::nullopt;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  IpAddress address;
  address.v6 = text.find(':') != std::string_view::npos;
  if (::inet_pton(address.v6 ? AF_INET6 : AF_INET, copy, address.bytes.data()) != 1) {
    return std::nullopt;
  }
  return address;
}

std::string IpAddress::to_string() const {
  char text[INET6_ADDRSTRLEN];
  ::inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), text, sizeof text);
  return text;
}

IpAddress IpAddress::unmapped() const noexcept {
  if (!v6 || !std::equal(mapped_prefix.begin(), mapped_prefix.end(), bytes.begin())) return *this;
  IpAddress plain;
  std::copy_n(bytes.begin() + 12, 4, plain.bytes.begin());
  return plain;
}

std::string Endpoint::to_string() const {
  const IpAddress plain = ip.unmapped();
  const std::string text = plain.to_string();
  return (plain.v6 ? "[" + text + "]" : text) + ":" + std::to_string(port);
}

Result<IpNetwork> IpNetwork::parse(std::string_view text) {
  const auto refuse = [&](const char* why) {
    return Status(Code::invalid, "network \"" + std::string(text) + "\" " + why +
                                     ": expected something like 10.0.0.0/8 or 2001:db8::/32");
  };
  const size_t slash = text.find('/');
  const auto base = IpAddress::parse(text.substr(0, slash));
  if (!base.has_value()) return refuse("does not begin with an IP address");
  IpNetwork network{*base, base->v6 ? 128u : 32u};
  if (slash == std::string_view::npos) {
    const IpAddress plain = base->unmapped();
    return IpNetwork{plain, plain.v6 ? 128u : 32u};
  }
  const std::string_view bits = text.substr(slash + 1);
  unsigned prefix = 0;
  const auto parsed = std::from_chars(bits.data(), bits.data() + bits.size(), prefix);
  if (parsed.ec != std::errc{} || parsed.ptr != bits.data() + bits.size() ||
      prefix > network.prefix_bits) {
    return refuse(base->v6 ? "has a prefix length that is not 0 to 128"
                           : "has a prefix length that is not 0 to 32");
  }
  network.prefix_bits = prefix;
  IpAddress masked = *base;
  for (unsigned bit = prefix; bit < (base->v6 ? 128u : 32u); ++bit) {
    masked.bytes[bit / 8] &= static_cast<uint8_t>(~(0x80u >> (bit % 8)));
  }
  if (masked != *base) return refuse("has bits behind its prefix");
  // An IPv4-mapped IPv6 network is an IPv4 network, whichever form a listener reports.
  if (const IpAddress plain = base->unmapped(); plain.v6 != base->v6 && prefix >= 96) {
    return IpNetwork{plain, prefix - 96};
  }
  return network;
}

bool IpNetwork::contains(const IpAddress& address) const noexcept {
  const IpAddress plain = base.v6 ? address : address.unmapped();
  return plain.v6 == base.v6 && same_bits(plain, base, prefix_bits);
}

}  // namespace espora::sys
