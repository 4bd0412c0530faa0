// The messages on a handoff channel, a SOCK_SEQPACKET connection between two processes of this
// machine. The connecting side passes client sockets, the listening side takes them. Pure.
//
// clang-format off
//   sender                                    receiver
//     │ ◀───────────── hello ──────────────────┤  it speaks this version: the channel is used only now
//     ├── hand   ids 7,8,9  + 3 sockets ─────▶ │
//     │ ◀───────────── taken 7,8 ──────────────┤  before it reads the first byte of them; the sender
//     │ ◀───────────── refused 9 ──────────────┤  closes its copies of 7 and 8, offers 9 elsewhere
//     │ ◀───────────── ended 8 ────────────────┤  that client has ended
// clang-format on
//
// A message is a header and `count` ids, in the machine's byte order. Ids are chosen by the sender
// and mean nothing to the receiver. A receiver puts all messages that it sends at one time into one
// packet, one after another, so that the sender wakes up once.
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

namespace espora::intake::handoff {

// A service listens for channels at its unix socket's path plus this suffix.
inline constexpr std::string_view path_suffix = ".handoff";

enum class Kind : uint32_t { hello = 1, hand = 2, taken = 3, refused = 4, ended = 5 };

struct Header {
  uint32_t magic;
  uint32_t kind;
  uint32_t count;
  uint32_t flags;  // of `hand`; 0 in all other messages
};
static_assert(sizeof(Header) == 16);

// "ESH" and the version, 2.
inline constexpr uint32_t magic = 0x02485345;

// Of `hand`: the sender currently needs exact counts of its clients, so ended ones must be reported
// at once. Without it a report may wait limits::handoff_report_delay_ms to be sent with others.
inline constexpr uint32_t report_at_once = 1;

// Messages that one packet can consist of: taken, refused, ended.
inline constexpr size_t messages_max = 3;
inline constexpr size_t packet_bytes_max =
    messages_max * sizeof(Header) + limits::handoff_ids_max * sizeof(uint64_t);

// The messages sent at one time.
class Packet {
 public:
  Packet() noexcept = default;
  Packet(Kind kind, std::span<const uint64_t> ids, uint32_t flags = 0) noexcept {
    add(kind, ids, flags);
  }
  // At most messages_max messages, and limits::handoff_ids_max ids in all.
  void add(Kind kind, std::span<const uint64_t> ids, uint32_t flags = 0) noexcept {
    ESPORA_CHECK(size_ + sizeof(Header) + ids.size_bytes() <= sizeof bytes_);
    const Header header{magic, static_cast<uint32_t>(kind), static_cast<uint32_t>(ids.size()),
                        flags};
    std::memcpy(bytes_ + size_, &header, sizeof header);
    size_ += sizeof header;
    if (!ids.empty()) std::memcpy(bytes_ + size_, ids.data(), ids.size_bytes());
    size_ += ids.size_bytes();
  }
  [[nodiscard]] const void* data() const noexcept { return bytes_; }
  [[nodiscard]] size_t size() const noexcept { return size_; }

 private:
  char bytes_[packet_bytes_max];
  size_t size_ = 0;
};

// A received message.
struct Parsed {
  Kind kind;
  uint32_t flags;
  size_t count;
  const char* ids;

  [[nodiscard]] uint64_t id(size_t index) const noexcept {
    uint64_t value;
    std::memcpy(&value, ids + index * sizeof value, sizeof value);
    return value;
  }
};
// Takes the first message off the front of `packet`. Nothing if `packet` does not begin with a
// whole message of this version.
inline std::optional<Parsed> take_message(std::string_view& packet) noexcept {
  Header header;
  if (packet.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, packet.data(), sizeof header);
  if (header.magic != magic) return std::nullopt;
  if (header.kind < static_cast<uint32_t>(Kind::hello) ||
      header.kind > static_cast<uint32_t>(Kind::ended)) {
    return std::nullopt;
  }
  const auto kind = static_cast<Kind>(header.kind);
  if ((header.flags & ~(kind == Kind::hand ? report_at_once : 0)) != 0) return std::nullopt;
  if (header.count > limits::handoff_ids_max ||
      packet.size() - sizeof header < header.count * sizeof(uint64_t)) {
    return std::nullopt;
  }
  const Parsed parsed{kind, header.flags, header.count, packet.data() + sizeof header};
  packet.remove_prefix(sizeof header + header.count * sizeof(uint64_t));
  return parsed;
}

}  // namespace espora::intake::handoff
