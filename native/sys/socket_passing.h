// Passing connected sockets to another process of this machine: SCM_RIGHTS of unix(7) over sockets
// of type SOCK_SEQPACKET, which keep the boundaries of messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sys/fd.h"
#include "sys/sockets.h"

namespace espora::sys {

// Sends one message with these sockets (0 to limits::handoff_sockets_max), which stay open here.
// Errors: EAGAIN (`again`), the channel is full; ETOOMANYREFS, this user has more sockets in flight
// than it may have files open; EPIPE, the peer takes no more; ECONNRESET, the peer has ended
// (reported once; what it sent before can still be received).
IoResult send_sockets(int channel, const void* bytes, size_t count,
                      std::span<const int> sockets) noexcept;

struct SocketMessage {
  IoResult io;             // `end`: the peer has ended, or shut down both directions
  size_t sockets = 0;      // how many were received, each close-on-exec
  bool truncated = false;  // sockets were lost for lack of room or descriptors
  bool oversized = false;  // the message was longer than `capacity`
};
// Receives one message into `bytes`, and its sockets into the first of `sockets`. If descriptors
// run out the first sockets arrive and the kernel closes the others, recvmsg(2): MSG_CTRUNC.
SocketMessage receive_sockets(int channel, void* bytes, size_t capacity,
                              std::span<Fd> sockets) noexcept;

enum class PassedKind : uint8_t {
  tcp,          // a connected stream over IPv4 or IPv6
  unix_stream,  // a connected unix stream
  other,        // anything else: a file, a datagram socket, a listener
};
// Also makes a stream socket non-blocking if its sender had not.
PassedKind adopt_socket(int fd) noexcept;

// Whether the user at the other end, which connected or called listen(2), is this process's own or
// one of `others`: SO_PEERCRED of unix(7).
bool is_trusted_peer(int fd, std::span<const uint32_t> others) noexcept;

// shutdown(2): after SHUT_RD further sends of the peer fail, but what it sent before can be read to
// its end; SHUT_RDWR shuts down both directions.
void shutdown_read(int fd) noexcept;
void shutdown_both(int fd) noexcept;

}  // namespace espora::sys
