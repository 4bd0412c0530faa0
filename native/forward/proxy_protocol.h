// The PROXY protocol, versions 1 and 2: how a proxy tells the next hop which client it serves.
// Pure: reads from and writes to bytes. The rules are those of HAProxy's proxy-protocol.txt,
// sections 2.1 and 2.2; where it leaves a choice, the stricter one is implemented.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "sys/ip_address.h"
#include "sys/limits.h"

namespace espora::forward {

// Both ends of a connection, as the first proxy saw it; nothing if unknown or not on IP: a health
// check by the proxy itself (LOCAL), a unix socket, UNKNOWN.
struct ProxiedConnection {
  sys::Endpoint source;
  sys::Endpoint destination;
};

enum class ProxyParse : uint8_t { incomplete, complete, invalid };

struct ProxyHeader {
  ProxyParse outcome = ProxyParse::incomplete;
  size_t bytes = 0;      // complete: length of the header; the stream follows
  const char* why = "";  // invalid: completes the sentence "the PROXY header …"
  std::optional<ProxiedConnection> connection;
};

// Parses `bytes`, the beginning of a stream. `incomplete` only if more bytes could complete it, so
// never from limits::proxy_header_bytes_max bytes on. A missing header is invalid: the
// specification forbids guessing.
ProxyHeader parse_proxy_header(std::span<const std::byte> bytes) noexcept;

// Writes a version 2 header with command PROXY, of unknown family without a connection (the
// receiver then uses the socket's own addresses), and returns its length.
size_t write_proxy_header(const std::optional<ProxiedConnection>& connection,
                          std::span<std::byte, limits::proxy_header_written_bytes> out) noexcept;
// The same with command LOCAL: the connection is our own, a health check.
size_t write_local_proxy_header(
    std::span<std::byte, limits::proxy_header_written_bytes> out) noexcept;

}  // namespace espora::forward
