// Stream sockets, TCP and unix: addresses, listeners, connects, and the reads and writes of the
// data plane. All are non-blocking and close-on-exec.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sys/fd.h"
#include "sys/ip_address.h"
#include "sys/status.h"

namespace espora::sys {

struct Address {
  enum class Kind : uint8_t { tcp, unix_path };
  Kind kind = Kind::tcp;
  std::string host;   // tcp: name or numeric address, without brackets
  uint16_t port = 0;  // tcp
  std::string path;   // unix_path

  // "host:port", "[v6]:port" or, if it contains a '/', the path of a unix socket. A URL is refused,
  // and so is a path that looks like one or like a host and port; "./" before it makes it a path.
  static Result<Address> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  // The same for all spellings of one address, as far as the text tells.
  [[nodiscard]] std::string key() const;
  // False for a name, which may resolve to another address tomorrow.
  [[nodiscard]] bool fixed() const;
};

// An address that connect(2) and bind(2) take.
struct ResolvedAddress {
  alignas(8) unsigned char bytes[128];  // sockaddr_storage
  uint32_t length = 0;
  int family = 0;
  bool operator==(const ResolvedAddress& other) const noexcept {
    return length == other.length && std::memcmp(bytes, other.bytes, length) == 0;
  }
};

// getaddrinfo(3): may block for seconds, so never on an event thread. At least one on success.
Result<std::vector<ResolvedAddress>> resolve(const Address& address);

// What a unix socket carries: a stream, or messages with boundaries on a connection.
enum class SocketType : uint8_t { stream, seqpacket };

// A listening socket that removes its own path (and no other) when it is closed.
class Listener {
 public:
  Listener() noexcept = default;
  Listener(Listener&&) noexcept = default;
  Listener& operator=(Listener&& other) noexcept;
  ~Listener() { close(); }

  // One listener for each address of `host`, all on the same port; port 0 lets the kernel choose
  // it. Addresses that this machine does not have (no IPv6, another machine's) are skipped as long
  // as there is another; an address in use is an error, because some clients would reach another
  // server. `localhost` is 127.0.0.1 and ::1, whatever resolvers say (RFC 6761 6.3). TCP_NODELAY is
  // set here because accepted sockets inherit it, also through a handoff. SO_REUSEADDR, no
  // SO_REUSEPORT. At least one on success.
  static Result<std::vector<Listener>> tcp(const std::string& host, uint16_t port);
  // Bound under a temporary name, chmod to `mode`, then renamed over `path`, so that clients always
  // find a listening socket. A live listener on `path` (one that accepts a connection) is
  // address_in_use; a dead one is replaced.
  static Result<Listener> unix_path(const std::string& path, uint32_t mode,
                                    SocketType type = SocketType::stream);
  // Takes over a descriptor that another process opened and that already listens, TCP or unix: a
  // service manager's (sd_listen_fds(3)), so that a restart refuses no connection. A path stays.
  static Result<Listener> inherited(int fd);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] bool valid() const noexcept { return fd_.valid(); }
  [[nodiscard]] bool tcp() const noexcept { return tcp_; }
  // The port in use; 0 for a unix socket.
  [[nodiscard]] uint16_t port() const noexcept { return port_; }
  // Its address for clients, written as Address is: "127.0.0.1:80", "[::1]:80", a path.
  [[nodiscard]] std::string address() const;
  // Stops listening; unlinks the path if its inode is still ours.
  void close() noexcept;

 private:
  static Result<Listener> bound_to(const ResolvedAddress& address, bool alone,
                                   const std::string& where);
  Fd fd_;
  bool tcp_ = false;
  uint16_t port_ = 0;
  std::string path_;
  uint64_t device_ = 0;
  uint64_t inode_ = 0;
};

// The result of a non-blocking call. Exactly one of: bytes > 0, end, again, or error.
struct IoResult {
  size_t bytes = 0;
  int error = 0;       // errno of a failure that ends this direction
  bool again = false;  // EAGAIN: nothing now
  bool end = false;    // read: the peer shut down its side
};

// For a call of the system that returned a number of bytes, or -1 with errno.
IoResult io_result(ssize_t returned) noexcept;
// Repeats a call of the system that a signal interrupted.
template <typename Call>
ssize_t uninterrupted(const Call& call) noexcept {
  ssize_t returned;
  do {
    returned = call();
  } while (returned < 0 && errno == EINTR);
  return returned;
}

// recv(2) and send(2) with MSG_NOSIGNAL; EINTR is retried. `bytes` and `count` are not 0.
IoResult receive(int fd, void* buffer, size_t bytes) noexcept;
// As receive, but the bytes stay in the socket (MSG_PEEK).
IoResult peek(int fd, void* buffer, size_t bytes) noexcept;
// `end_follows`: the end of the stream is sent directly after it, so that TCP can put both into one
// segment (MSG_MORE). The caller must then shut down or close.
IoResult send(int fd, const void* bytes, size_t count, bool end_follows = false) noexcept;

enum class AcceptOutcome : uint8_t {
  accepted,
  none,       // EAGAIN: the queue is empty
  retry,      // ECONNABORTED and network errors of that connection, accept(2): accept the next
  exhausted,  // EMFILE, ENFILE, ENOBUFS, ENOMEM: pause before the next accept
};
struct Accepted {
  AcceptOutcome outcome = AcceptOutcome::none;
  int error = 0;
  Fd fd;
  // TCP: the client's address. Known even if the client has reset the connection since, when
  // getpeername(2) no longer tells it.
  std::optional<Endpoint> peer;
};
// accept4(2), non-blocking and close-on-exec. An error that only a bug can cause ends the process.
Accepted accept_connection(int listener) noexcept;

enum class ConnectOutcome : uint8_t {
  connected,
  in_progress,   // wait for writable, then call socket_error()
  backlog_full,  // unix EAGAIN: the listener's queue is full and no event will tell, connect(2)
  local_error,   // EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL: says nothing about the peer
  refused,       // the peer cannot be reached: `error` says why
};
struct Connecting {
  ConnectOutcome outcome = ConnectOutcome::refused;
  int error = 0;
  Fd fd;
};
// socket(2) and a non-blocking connect(2), TCP_NODELAY on TCP.
Connecting start_connect(const ResolvedAddress& address,
                         SocketType type = SocketType::stream) noexcept;
// Whether both ends of a TCP connection are the same address: a connect to an ephemeral port of
// this machine without a listener can connect to itself (simultaneous open, RFC 9293 3.5).
bool is_connected_to_itself(int fd) noexcept;
// The addresses of the ends of a TCP socket; nothing for other sockets, or after it was closed.
std::optional<Endpoint> peer_endpoint(int fd) noexcept;
std::optional<Endpoint> local_endpoint(int fd) noexcept;
// An option of SOL_SOCKET, socket(7); -1 with errno if it cannot be read.
int socket_option(int fd, int name) noexcept;
// SO_ERROR: the result of a connect in progress, or the pending error of a socket; 0 for none.
int socket_error(int fd) noexcept;

// Bytes of a TCP socket, sent or waiting to be sent, that the peer's kernel has not acknowledged:
// SIOCOUTQ of tcp(7). 0 if unknown.
size_t unacknowledged_bytes(int fd) noexcept;
// shutdown(SHUT_WR); errors (the peer has closed) are ignored.
void shutdown_write(int fd) noexcept;
// The close that follows sends an RST instead of a FIN on TCP; no effect on unix sockets.
void reset_on_close(int fd) noexcept;

// A descriptor without a purpose of its own: held in reserve, and closed to free one for a call
// that must not fail when no more can be opened. Invalid if there is none left now.
Fd open_spare_descriptor() noexcept;

}  // namespace espora::sys
