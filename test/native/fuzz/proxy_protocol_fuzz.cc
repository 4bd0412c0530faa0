// Any bytes as the begin of a stream: the parser says the same of every longer input once it has
// decided, never asks for more than the limit, and what it tells is written and read back the same.
#include <cstddef>
#include <cstdint>
#include <span>

#include "forward/proxy_protocol.h"
#include "sys/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace espora;
  using forward::ProxyParse;
  const std::span<const std::byte> all(reinterpret_cast<const std::byte*>(data), size);
  const forward::ProxyHeader whole = forward::parse_proxy_header(all);
  if (size >= limits::proxy_header_bytes_max) {
    ESPORA_CHECK(whole.outcome != ProxyParse::incomplete);
  }
  bool decided = false;
  for (size_t cut = 0; cut <= size && cut < 300; ++cut) {
    const forward::ProxyHeader early = forward::parse_proxy_header(all.first(cut));
    if (decided) ESPORA_CHECK(early.outcome != ProxyParse::incomplete);
    if (early.outcome == ProxyParse::incomplete) continue;
    decided = true;
    ESPORA_CHECK(early.outcome == whole.outcome && early.bytes == whole.bytes);
    ESPORA_CHECK(early.bytes <= cut);
  }
  if (whole.outcome != ProxyParse::complete || !whole.connection.has_value()) return 0;
  std::byte written[limits::proxy_header_written_bytes];
  const size_t count = forward::write_proxy_header(whole.connection, written);
  const forward::ProxyHeader again =
      forward::parse_proxy_header(std::span<const std::byte>(written).first(count));
  ESPORA_CHECK(again.outcome == ProxyParse::complete && again.bytes == count);
  ESPORA_CHECK(again.connection->source.port == whole.connection->source.port);
  ESPORA_CHECK(again.connection->destination.ip.unmapped() ==
               whole.connection->destination.ip.unmapped());
  return 0;
}
