// Passing connected sockets to another process of this machine: SCM_RIGHTS of unix(7) over sockets
// of type SOCK_SEQPACKET, which keep the boundaries of messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "sys/fd.h"
#include "sys/sockets.h"

namespace espora::sys {

// One message with these sockets, which stay open here: 0 to limits::handoff_sockets_max. What it
// means when it fails: EAGAIN (`again`), the channel is full; ETOOMANYREFS, more sockets of this
// user are on their way than it may have files open; EPIPE, the peer takes no more; ECONNRESET, the
// peer is gone (said once, what it sent before can still be received).
IoResult send_sockets(int channel, const void* bytes, size_t count,
                      std::span<const int> sockets) noexcept;

struct SocketMessage {
  IoResult io;             // `end`: the peer is gone or takes and says no more
  size_t sockets = 0;      // how many came, each close-on-exec
  bool truncated = false;  // sockets were lost: there was no room or no descriptor for them
  bool oversized = false;  // the message was longer than `capacity`
};
// One message into `bytes`, its sockets into the first of `sockets`. Where descriptors run out
// those that came first are there and the others are closed by the kernel, recvmsg(2): MSG_CTRUNC.
SocketMessage receive_sockets(int channel, void* bytes, size_t capacity,
                              std::span<Fd> sockets) noexcept;

// What a passed descriptor is.
enum class PassedKind : uint8_t {
  tcp,          // a connected stream over version 4 or 6
  unix_stream,  // a connected unix stream
  other,        // anything else: a file, a datagram socket, a listener
};
// Makes a stream socket non-blocking as well, where its sender had not.
PassedKind adopt_socket(int fd) noexcept;

// The user at the other end: who connected, or who called listen(2). SO_PEERCRED of unix(7).
std::optional<uint32_t> peer_user(int fd) noexcept;
// The user as whom this process acts.
uint32_t effective_user() noexcept;

// shutdown(2): SHUT_RD makes further sends of the peer fail, what it sent before can be read to its
// end; SHUT_RDWR does so for both.
void shutdown_read(int fd) noexcept;
void shutdown_both(int fd) noexcept;

}  // namespace espora::sys
