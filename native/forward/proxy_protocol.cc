#include "forward/proxy_protocol.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

#include "sys/check.h"
#include "sys/crc32c.h"

namespace espora::forward {

namespace {

using Bytes = std::span<const std::byte>;

constexpr std::array<uint8_t, 12> signature{0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D,
                                            0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A};
constexpr std::string_view first_word = "PROXY ";
// Section 2.1: the longest line with both addresses, including CRLF.
constexpr size_t line_bytes_max = 107;
constexpr size_t fixed_bytes = 16;
constexpr size_t inet_bytes = 12;
constexpr size_t inet6_bytes = 36;
constexpr size_t unix_bytes = 216;
constexpr uint8_t type_crc32c = 0x03;

static_assert(fixed_bytes + inet6_bytes == limits::proxy_header_written_bytes);

ProxyHeader invalid(const char* why) noexcept {
  return {ProxyParse::invalid, 0, why, std::nullopt};
}

uint8_t byte_at(Bytes bytes, size_t index) noexcept {
  return std::to_integer<uint8_t>(bytes[index]);
}

uint16_t big_endian_16(Bytes bytes, size_t index) noexcept {
  return static_cast<uint16_t>(byte_at(bytes, index) << 8 | byte_at(bytes, index + 1));
}

// --- version 1 -------------------------------------------------------------------------------

// The words of a line, separated by exactly one space.
class Words {
 public:
  explicit Words(std::string_view line) noexcept : rest_(line) {}
  // Empty at the end, and between two adjacent spaces.
  std::string_view next() noexcept {
    const size_t space = std::min(rest_.find(' '), rest_.size());
    const std::string_view word = rest_.substr(0, space);
    ended_ = space == rest_.size();
    rest_.remove_prefix(ended_ ? space : space + 1);
    return word;
  }
  // Whether the last word was followed by the end of the line.
  [[nodiscard]] bool ended() const noexcept { return ended_; }

 private:
  std::string_view rest_;
  bool ended_ = false;
};

bool read_port(std::string_view text, uint16_t* port) noexcept {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return false;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), *port);
  return parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size();
}

ProxyHeader parse_line(std::string_view line, size_t bytes) noexcept {
  ProxyHeader header{ProxyParse::complete, bytes, "", std::nullopt};
  Words words(line.substr(first_word.size()));
  const std::string_view family = words.next();
  // Everything after UNKNOWN must be ignored.
  if (family == "UNKNOWN") return header;
  if (family != "TCP4" && family != "TCP6") return invalid("has an unknown family");
  const auto source = sys::IpAddress::parse(words.next());
  const auto destination = sys::IpAddress::parse(words.next());
  const bool v6 = family == "TCP6";
  if (!source.has_value() || !destination.has_value() || source->v6 != v6 ||
      destination->v6 != v6) {
    return invalid("has an invalid address");
  }
  ProxiedConnection connection{{*source, 0}, {*destination, 0}};
  if (!read_port(words.next(), &connection.source.port) || words.ended() ||
      !read_port(words.next(), &connection.destination.port) || !words.ended()) {
    return invalid("has an invalid port");
  }
  header.connection = connection;
  return header;
}

ProxyHeader parse_version_1(Bytes bytes) noexcept {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              std::min(bytes.size(), line_bytes_max));
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) {
    return text.size() == line_bytes_max ? invalid("has no end of line") : ProxyHeader{};
  }
  if (text[end - 1] != '\r') return invalid("has a line feed alone");
  return parse_line(text.substr(0, end - 1), end + 1);
}

// --- version 2 -------------------------------------------------------------------------------

sys::IpAddress ip_at(Bytes bytes, size_t index, bool v6) noexcept {
  sys::IpAddress ip;
  ip.v6 = v6;
  std::memcpy(ip.bytes.data(), bytes.data() + index, v6 ? 16 : 4);
  return ip;
}

// Section 2.2.3: the CRC-32C of the whole header, with its own four bytes taken as zero.
bool checksum_holds(Bytes header, size_t value_at) noexcept {
  constexpr std::array<std::byte, 4> zeros{};
  uint32_t crc = sys::crc32c(header.first(value_at));
  crc = sys::crc32c(zeros, crc);
  crc = sys::crc32c(header.subspan(value_at + 4), crc);
  const uint32_t told = static_cast<uint32_t>(big_endian_16(header, value_at)) << 16 |
                        big_endian_16(header, value_at + 2);
  return crc == told;
}

// Null if the extensions from `at` on are complete, else the error.
const char* problem_of_extensions(Bytes header, size_t at) noexcept {
  while (at < header.size()) {
    if (header.size() - at < 3) return "ends inside an extension";
    const size_t length = big_endian_16(header, at + 1);
    if (header.size() - at - 3 < length) return "ends inside an extension";
    if (byte_at(header, at) == type_crc32c && (length != 4 || !checksum_holds(header, at + 3))) {
      return "has a checksum that does not hold";
    }
    at += 3 + length;
  }
  return nullptr;
}

static_assert(limits::proxy_header_bytes_max == 4096, "the message below says it");

ProxyHeader parse_version_2(Bytes bytes) noexcept {
  if (bytes.size() < fixed_bytes) {
    if (bytes.size() > 12 && byte_at(bytes, 12) >> 4 != 2) return invalid("has another version");
    return {};
  }
  const uint8_t version_command = byte_at(bytes, 12);
  const uint8_t family = byte_at(bytes, 13);
  const size_t length = fixed_bytes + big_endian_16(bytes, 14);
  if (version_command >> 4 != 2) return invalid("has another version");
  if ((version_command & 0x0F) > 1) return invalid("has an unknown command");
  if (length > limits::proxy_header_bytes_max) return invalid("is longer than 4096 bytes");
  if (bytes.size() < length) return {};
  const Bytes header = bytes.first(length);
  ProxyHeader result{ProxyParse::complete, length, "", std::nullopt};
  // LOCAL: the proxy's own connection; everything else in the header must be ignored.
  if ((version_command & 0x0F) == 0) return result;
  size_t addresses = 0;
  switch (family) {
    case 0x00:
      break;
    case 0x11:
      addresses = inet_bytes;
      break;
    case 0x21:
      addresses = inet6_bytes;
      break;
    case 0x31:
      addresses = unix_bytes;
      break;
    default:
      return invalid("is not about a stream");
  }
  if (length - fixed_bytes < addresses) return invalid("ends inside its addresses");
  // Of an unknown family the rest is unknown, too.
  if (family != 0x00) {
    const char* problem = problem_of_extensions(header, fixed_bytes + addresses);
    if (problem != nullptr) return invalid(problem);
  }
  if (family == 0x11 || family == 0x21) {
    const bool v6 = family == 0x21;
    const size_t each = v6 ? 16 : 4;
    result.connection = ProxiedConnection{
        {ip_at(header, fixed_bytes, v6), big_endian_16(header, fixed_bytes + 2 * each)},
        {ip_at(header, fixed_bytes + each, v6), big_endian_16(header, fixed_bytes + 2 * each + 2)}};
  }
  return result;
}

}  // namespace

ProxyHeader parse_proxy_header(Bytes bytes) noexcept {
  const auto begins_with = [&](const void* wanted, size_t size) {
    return std::memcmp(bytes.data(), wanted, std::min(bytes.size(), size)) == 0;
  };
  if (bytes.empty()) return {};
  if (begins_with(signature.data(), signature.size())) return parse_version_2(bytes);
  if (!begins_with(first_word.data(), first_word.size())) return invalid("is missing");
  return bytes.size() < first_word.size() ? ProxyHeader{} : parse_version_1(bytes);
}

namespace {

class HeaderWriter {
 public:
  explicit HeaderWriter(std::byte* out) noexcept : out_(out) {}
  void put(const void* bytes, size_t count) noexcept {
    std::memcpy(out_ + size_, bytes, count);
    size_ += count;
  }
  void put_8(uint8_t value) noexcept { out_[size_++] = std::byte{value}; }
  void put_16(size_t value) noexcept {
    put_8(static_cast<uint8_t>(value >> 8));
    put_8(static_cast<uint8_t>(value));
  }
  [[nodiscard]] size_t size() const noexcept { return size_; }

 private:
  std::byte* out_;
  size_t size_ = 0;
};

}  // namespace

size_t write_proxy_header(const std::optional<ProxiedConnection>& connection,
                          std::span<std::byte, limits::proxy_header_written_bytes> out) noexcept {
  HeaderWriter writer(out.data());
  writer.put(signature.data(), signature.size());
  writer.put_8(0x21);
  if (!connection.has_value()) {
    writer.put_8(0x00);
    writer.put_16(0);
    return writer.size();
  }
  // Both ends must have one family; a dual-stack listener shows both of IPv4 as mapped.
  const sys::IpAddress source = connection->source.ip.unmapped();
  const sys::IpAddress destination = connection->destination.ip.unmapped();
  const bool plain = !source.v6 && !destination.v6;
  const sys::IpAddress& from = plain ? source : connection->source.ip;
  const sys::IpAddress& to = plain ? destination : connection->destination.ip;
  ESPORA_CHECK(from.v6 == to.v6);
  const size_t each = from.v6 ? 16 : 4;
  writer.put_8(from.v6 ? 0x21 : 0x11);
  writer.put_16(2 * each + 4);
  writer.put(from.bytes.data(), each);
  writer.put(to.bytes.data(), each);
  writer.put_16(connection->source.port);
  writer.put_16(connection->destination.port);
  return writer.size();
}

size_t write_local_proxy_header(
    std::span<std::byte, limits::proxy_header_written_bytes> out) noexcept {
  HeaderWriter writer(out.data());
  writer.put(signature.data(), signature.size());
  writer.put_8(0x20);
  writer.put_8(0x00);
  writer.put_16(0);
  return writer.size();
}

}  // namespace espora::forward
