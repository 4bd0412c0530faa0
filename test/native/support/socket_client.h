// A blocking client on a stream socket, with the means to be a bad one.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "support/loop_thread.h"
#include "sys/check.h"
#include "sys/fd.h"

namespace espora::test {

// A directory that goes with its owner.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "espora-XXXXXX").string();
    ESPORA_CHECK(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] std::string file(std::string_view name) const {
    return path_ + "/" + std::string(name);
  }

 private:
  std::string path_;
};

class SocketClient {
 public:
  SocketClient() = default;
  explicit SocketClient(sys::Fd fd) : fd_(std::move(fd)) {}

  // A socket that is not connected yet: connect() then needs no further descriptor.
  static SocketClient make(bool tcp) {
    SocketClient client{sys::Fd(::socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))};
    ESPORA_CHECK(client.fd_.valid());
    const int on = 1;
    if (tcp) ::setsockopt(client.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return client;
  }
  static SocketClient tcp(uint16_t port) {
    SocketClient client = make(true);
    ESPORA_CHECK(client.connect_tcp(port));
    return client;
  }
  static SocketClient unix_path(const std::string& path) {
    SocketClient client = make(false);
    ESPORA_CHECK(client.connect_unix(path));
    return client;
  }

  [[nodiscard]] bool connect_tcp(uint16_t port) const {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return ::connect(fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  [[nodiscard]] bool connect_unix(const std::string& path) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return ::connect(fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

  // Everything, however long it takes. False: the peer refuses it (EPIPE, ECONNRESET), or takes
  // nothing for too long.
  [[nodiscard]] bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) {
        bytes.remove_prefix(static_cast<size_t>(sent));
      } else if (errno == EAGAIN) {
        if (!wait_for(POLLOUT)) return false;
      } else if (errno != EINTR) {
        return false;
      }
    }
    return true;
  }
  // What fits now; -1 on an error.
  [[nodiscard]] ssize_t send_some(std::string_view bytes) const {
    const ssize_t sent = ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 && errno == EAGAIN ? 0 : sent;
  }

  // Appends what comes next to `into`. False: the stream has ended, see end().
  bool receive(std::string& into, size_t bytes_max = 64 * 1024) {
    if (end_ != End::none) return false;
    const size_t before = into.size();
    into.resize(before + bytes_max);
    ssize_t got = -1;
    for (;;) {
      got = ::recv(fd(), into.data() + before, bytes_max, MSG_DONTWAIT);
      if (got >= 0) break;
      if (errno == EAGAIN) {
        if (wait_for(POLLIN)) continue;
        end_ = End::silence;
      } else if (errno == EINTR) {
        continue;
      } else {
        end_ = End::reset;
      }
      break;
    }
    into.resize(before + static_cast<size_t>(got > 0 ? got : 0));
    if (got == 0) end_ = End::clean;
    return got > 0;
  }
  // All that comes until the stream ends.
  std::string receive_all() {
    std::string all = std::move(unread_);
    unread_.clear();
    while (receive(all)) {
    }
    return all;
  }
  // Whether something (bytes or an end) can be read now.
  [[nodiscard]] bool readable_now() const {
    pollfd poll_fd{fd(), POLLIN, 0};
    return !unread_.empty() || ::poll(&poll_fd, 1, 0) > 0;
  }

  // How the stream ended, as far as it did.
  enum class End { none, clean, reset, silence };
  [[nodiscard]] End end() const noexcept { return end_; }

  void shutdown_write() const { ESPORA_CHECK(::shutdown(fd(), SHUT_WR) == 0 || errno == ENOTCONN); }
  void close() { fd_.reset(); }
  // TCP: the peer gets an RST.
  void reset() {
    const linger abort{1, 0};
    ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    fd_.reset();
  }
  void set_receive_buffer(int bytes) const {
    ::setsockopt(fd(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  }

 protected:
  std::string unread_;  // received, not yet asked for

 private:
  [[nodiscard]] bool wait_for(short events) const {
    pollfd poll_fd{fd(), events, 0};
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(patience);
    return ::poll(&poll_fd, 1, static_cast<int>(milliseconds.count())) > 0;
  }

  sys::Fd fd_;
  End end_ = End::none;
};

}  // namespace espora::test
