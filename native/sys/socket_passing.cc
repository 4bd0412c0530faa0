#include "sys/socket_passing.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "sys/check.h"
#include "sys/limits.h"

namespace espora::sys {

namespace {

// Room for the most descriptors of one message, aligned as CMSG_FIRSTHDR needs it.
union ControlBuffer {
  cmsghdr align;
  char bytes[CMSG_SPACE(limits::handoff_sockets_max * sizeof(int))];
};

// TCP_INFO of tcp(7) exists for TCP only, and begins with the state: usually one call is enough. A
// connection that its client has reset (TCP_CLOSE) still counts as one.
PassedKind kind_of(int fd) noexcept {
  uint8_t state = 0;
  socklen_t length = sizeof state;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &length) == 0) {
    return state == TCP_LISTEN ? PassedKind::other : PassedKind::tcp;
  }
  // ENOTSOCK, too, gives -1.
  if (socket_option(fd, SO_DOMAIN) != AF_UNIX || socket_option(fd, SO_TYPE) != SOCK_STREAM ||
      socket_option(fd, SO_ACCEPTCONN) != 0) {
    return PassedKind::other;
  }
  return PassedKind::unix_stream;
}

}  // namespace

IoResult send_sockets(int channel, const void* bytes, size_t count,
                      std::span<const int> sockets) noexcept {
  ESPORA_CHECK(count > 0 && sockets.size() <= limits::handoff_sockets_max);
  iovec piece{const_cast<void*>(bytes), count};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  ControlBuffer control;
  if (!sockets.empty()) {
    std::memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sockets.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sockets.size_bytes());
    std::memcpy(CMSG_DATA(header), sockets.data(), sockets.size_bytes());
  }
  return io_result(
      uninterrupted([&] { return ::sendmsg(channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT); }));
}

SocketMessage receive_sockets(int channel, void* bytes, size_t capacity,
                              std::span<Fd> sockets) noexcept {
  iovec piece{bytes, capacity};
  ControlBuffer control;
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  const ssize_t got =
      uninterrupted([&] { return ::recvmsg(channel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT); });
  SocketMessage result{.io = io_result(got)};
  if (got < 0) return result;
  result.io.end = got == 0;
  result.truncated = (message.msg_flags & MSG_CTRUNC) != 0;
  result.oversized = (message.msg_flags & MSG_TRUNC) != 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      Fd owned(fd);
      if (result.sockets < sockets.size()) {
        sockets[result.sockets++] = std::move(owned);
      } else {
        result.truncated = true;
      }
    }
  }
  return result;
}

PassedKind adopt_socket(int fd) noexcept {
  const PassedKind kind = kind_of(fd);
  if (kind == PassedKind::other) return kind;
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return PassedKind::other;
  if ((flags & O_NONBLOCK) == 0 && ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    return PassedKind::other;
  }
  return kind;
}

bool is_trusted_peer(int fd, std::span<const uint32_t> others) noexcept {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0 ||
      length != sizeof credentials) {
    return false;
  }
  return credentials.uid == ::geteuid() ||
         std::find(others.begin(), others.end(), credentials.uid) != others.end();
}

// ENOTCONN: the peer has closed, so there is nothing to shut down.
void shutdown_read(int fd) noexcept { (void)::shutdown(fd, SHUT_RD); }
void shutdown_both(int fd) noexcept { (void)::shutdown(fd, SHUT_RDWR); }

}  // namespace espora::sys
