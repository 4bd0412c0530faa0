// Either end of a handoff channel by hand, blocking, with the means to be a bad one.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "intake/handoff_protocol.h"
#include "support/loop_thread.h"
#include "sys/check.h"
#include "sys/limits.h"
#include "sys/socket_passing.h"

namespace espora::test {

using intake::handoff::Kind;  // of messages

struct HandoffMessage {
  Kind kind{};
  uint32_t flags = 0;
  std::vector<uint64_t> ids;
  std::vector<sys::Fd> sockets;
};

class HandoffPeer {
 public:
  HandoffPeer() = default;
  explicit HandoffPeer(sys::Fd fd) : fd_(std::move(fd)) {}

  // Connects to the receiver behind `socket_path`; invalid if nobody listens.
  static HandoffPeer connect(const std::string& socket_path) {
    sys::Address address;
    address.kind = sys::Address::Kind::unix_path;
    address.path = socket_path + std::string(intake::handoff::path_suffix);
    auto resolved = sys::resolve(address);
    ESPORA_CHECK(resolved.ok());
    sys::Connecting attempt =
        sys::start_connect(resolved.value().front(), sys::SocketType::seqpacket);
    return attempt.outcome == sys::ConnectOutcome::connected ? HandoffPeer(std::move(attempt.fd))
                                                             : HandoffPeer();
  }

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] bool valid() const noexcept { return fd_.valid(); }
  void close() { fd_.reset(); }

  // What send_sockets says.
  sys::IoResult say(Kind kind, const std::vector<uint64_t>& ids,
                    const std::vector<int>& sockets = {}) {
    return say_packet(intake::handoff::Packet(kind, ids), sockets);
  }
  sys::IoResult say_packet(const intake::handoff::Packet& packet,
                           const std::vector<int>& sockets = {}) {
    return sys::send_sockets(fd_.get(), packet.data(), packet.size(), sockets);
  }
  sys::IoResult say_bytes(const std::string& bytes, const std::vector<int>& sockets = {}) {
    return sys::send_sockets(fd_.get(), bytes.data(), bytes.size(), sockets);
  }

  // The next message; nothing if the channel has ended (for good: also behind an error), or if none
  // came for too long.
  std::optional<HandoffMessage> next() {
    if (heard_.empty() &&
        !wait_for_input(static_cast<int>(
            std::chrono::duration_cast<std::chrono::milliseconds>(patience).count()))) {
      return std::nullopt;
    }
    return take();
  }
  // The same without waiting.
  std::optional<HandoffMessage> take() {
    if (heard_.empty()) receive();
    if (heard_.empty()) return std::nullopt;
    HandoffMessage first = std::move(heard_.front());
    heard_.pop_front();
    return first;
  }
  // Packets that came so far.
  [[nodiscard]] size_t packets() const noexcept { return packets_; }
  [[nodiscard]] bool wait_for_input(int wait_ms) const {
    pollfd poller{fd_.get(), POLLIN, 0};
    return ::poll(&poller, 1, wait_ms) > 0;
  }
  // All ids of the next messages of this kind, until there are `count`.
  std::vector<uint64_t> collect(Kind kind, size_t count) {
    std::vector<uint64_t> ids;
    while (ids.size() < count) {
      auto message = next();
      if (!message.has_value()) break;
      if (message->kind != kind) continue;
      ids.insert(ids.end(), message->ids.begin(), message->ids.end());
    }
    return ids;
  }
  // Until the other side has ended the channel; false if it never did.
  [[nodiscard]] bool ended() {
    while (auto message = next()) {
    }
    char byte;
    return ::recv(fd_.get(), &byte, 1, MSG_DONTWAIT) == 0 || errno != EAGAIN;
  }

 private:
  // One packet, if there is one: its messages, the sockets with the first of them.
  void receive() {
    std::array<char, intake::handoff::packet_bytes_max> bytes;
    std::array<sys::Fd, limits::handoff_sockets_max> sockets;
    for (int tries = 0; tries < 4; ++tries) {
      const sys::SocketMessage got =
          sys::receive_sockets(fd_.get(), bytes.data(), bytes.size(), sockets);
      if (got.io.error != 0) continue;
      if (got.io.bytes == 0) return;
      ++packets_;
      std::string_view packet(bytes.data(), got.io.bytes);
      while (!packet.empty()) {
        const auto parsed = intake::handoff::take_message(packet);
        ESPORA_CHECK(parsed.has_value());
        HandoffMessage message;
        message.kind = parsed->kind;
        message.flags = parsed->flags;
        for (size_t i = 0; i < parsed->count; ++i) message.ids.push_back(parsed->id(i));
        heard_.push_back(std::move(message));
      }
      for (size_t i = 0; i < got.sockets; ++i) {
        heard_.front().sockets.push_back(std::move(sockets[i]));
      }
      return;
    }
  }

  sys::Fd fd_;
  std::deque<HandoffMessage> heard_;  // and not yet taken
  size_t packets_ = 0;
};

// Listens where a service that receives would.
class HandoffServer {
 public:
  explicit HandoffServer(const std::string& socket_path) : path_(socket_path) {
    auto listener = sys::Listener::unix_path(
        socket_path + std::string(intake::handoff::path_suffix), 0600, sys::SocketType::seqpacket);
    ESPORA_CHECK(listener.ok());
    listener_ = std::move(listener).value();
  }
  // The next channel; invalid if nobody came.
  HandoffPeer accept() {
    pollfd poller{listener_.fd(), POLLIN, 0};
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(patience);
    if (::poll(&poller, 1, static_cast<int>(wait.count())) <= 0) return {};
    return HandoffPeer(sys::accept_connection(listener_.fd()).fd);
  }
  [[nodiscard]] bool somebody_waits() const {
    pollfd poller{listener_.fd(), POLLIN, 0};
    return ::poll(&poller, 1, 0) > 0;
  }
  // Makes its queue as short as can be and fills it. Who is in it comes first.
  std::vector<HandoffPeer> fill_queue() {
    ESPORA_CHECK(::listen(listener_.fd(), 0) == 0);
    std::vector<HandoffPeer> waiting;
    for (;;) {
      HandoffPeer peer = HandoffPeer::connect(path_);
      if (!peer.valid()) return waiting;
      waiting.push_back(std::move(peer));
    }
  }
  HandoffPeer accept_and_greet() {
    HandoffPeer peer = accept();
    if (peer.valid()) ESPORA_CHECK(peer.say(Kind::hello, {}).bytes > 0);
    return peer;
  }
  void close() { listener_.close(); }

 private:
  std::string path_;
  sys::Listener listener_;
};

// Two connected streams, as a client and what was accepted of it.
struct StreamPair {
  StreamPair() {
    int ends[2];
    ESPORA_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    client.reset(ends[0]);
    accepted.reset(ends[1]);
  }
  sys::Fd client;
  sys::Fd accepted;
};

}  // namespace espora::test
