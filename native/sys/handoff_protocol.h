// What is said on a handoff channel, a SOCK_SEQPACKET connection between two processes of this
// machine. The one that connected passes client sockets, the one that listens takes them. Pure.
//
//   sender                                receiver
//     │ ◀────────────── hello ───────────────┤  it lives and speaks this version: only now is it
//     used ├── hand  ids 7,8,9  + 3 sockets ────▶ │ │ ◀──────── taken 7,8 ─────────────────┤ before
//     it reads the first byte of them; the sender │ ◀──────── refused 9 ─────────────────┤  closes
//     its copies of 7 and 8, and offers 9 elsewhere │ ◀──────── ended 8 ───────────────────┤  that
//     client is gone
//
// A message is a header and `count` ids, in the machine's byte order. An id is the sender's own and
// means nothing to the receiver.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sys/check.h"
#include "sys/limits.h"

namespace espora::sys::handoff {

// Where a service listens for channels: its unix socket's path and this.
inline constexpr std::string_view path_suffix = ".handoff";

enum class Kind : uint32_t { hello = 1, hand = 2, taken = 3, refused = 4, ended = 5 };

struct Header {
  uint32_t magic;
  uint32_t kind;
  uint32_t count;
  uint32_t reserved;
};
static_assert(sizeof(Header) == 16);

// "ESH" and the version, 1.
inline constexpr uint32_t magic = 0x01485345;
inline constexpr size_t message_bytes_max =
    sizeof(Header) + limits::handoff_ids_max * sizeof(uint64_t);

// A message that is to be sent.
class Message {
 public:
  // At most limits::handoff_ids_max ids.
  Message(Kind kind, std::span<const uint64_t> ids) noexcept
      : size_(sizeof(Header) + ids.size_bytes()) {
    ESPORA_CHECK(ids.size() <= limits::handoff_ids_max);
    const Header header{magic, static_cast<uint32_t>(kind), static_cast<uint32_t>(ids.size()), 0};
    std::memcpy(bytes_, &header, sizeof header);
    if (!ids.empty()) std::memcpy(bytes_ + sizeof header, ids.data(), ids.size_bytes());
  }
  [[nodiscard]] const void* data() const noexcept { return bytes_; }
  [[nodiscard]] size_t size() const noexcept { return size_; }

 private:
  char bytes_[message_bytes_max];
  size_t size_;
};

// A message that came.
struct Parsed {
  Kind kind;
  size_t count;
  const char* ids;

  [[nodiscard]] uint64_t id(size_t index) const noexcept {
    uint64_t value;
    std::memcpy(&value, ids + index * sizeof value, sizeof value);
    return value;
  }
};
// Nothing for bytes that are no message of this version, whole and of its announced length.
inline std::optional<Parsed> parse(std::string_view bytes) noexcept {
  Header header;
  if (bytes.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != magic || header.reserved != 0) return std::nullopt;
  if (header.kind < static_cast<uint32_t>(Kind::hello) ||
      header.kind > static_cast<uint32_t>(Kind::ended)) {
    return std::nullopt;
  }
  if (header.count > limits::handoff_ids_max ||
      bytes.size() != sizeof header + header.count * sizeof(uint64_t)) {
    return std::nullopt;
  }
  return Parsed{static_cast<Kind>(header.kind), header.count, bytes.data() + sizeof header};
}

}  // namespace espora::sys::handoff
