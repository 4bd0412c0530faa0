#include "sys/sockets.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <cstring>

#include <linux/sockios.h>

#include "sys/check.h"
#include "sys/limits.h"
#include "sys/resolver.h"

namespace espora::sys {

static_assert(sizeof(sockaddr_un::sun_path) == limits::unix_path_bytes_max + 1);
static_assert(sizeof(ResolvedAddress::bytes) >= sizeof(sockaddr_storage));

namespace {

Status check_path(const std::string& path) {
  if (path.size() <= limits::unix_path_bytes_max) return {};
  return Status(Code::invalid, "unix socket path \"" + path + "\" has " +
                                   std::to_string(path.size()) + " bytes; the most is " +
                                   std::to_string(limits::unix_path_bytes_max) +
                                   ": choose a shorter one");
}

ResolvedAddress unix_address(const std::string& path) noexcept {
  ResolvedAddress resolved{};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  std::memcpy(resolved.bytes, &address, sizeof address);
  resolved.length = static_cast<uint32_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  resolved.family = AF_UNIX;
  return resolved;
}

const sockaddr* as_sockaddr(const ResolvedAddress& address) noexcept {
  return reinterpret_cast<const sockaddr*>(address.bytes);
}

Result<std::vector<ResolvedAddress>> resolve_tcp(const std::string& host, uint16_t port,
                                                 int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string service = std::to_string(port);
  errno = 0;
  const int failure =
      ::getaddrinfo(host.empty() ? nullptr : host.c_str(), service.c_str(), &hints, &found);
  if (failure != 0) {
    // A shortage of our own says nothing about the name, though glibc then returns EAI_NONAME.
    const int error = failure == EAI_MEMORY ? ENOMEM : errno;
    const std::string where = "cannot resolve \"" + host + "\"";
    if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) {
      return Status::from_errno(Code::resources, error, "getaddrinfo", where);
    }
    return Status(Code::unavailable, where + ": " + gai_strerror(failure));
  }
  std::vector<ResolvedAddress> all;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    ResolvedAddress resolved{};
    std::memcpy(resolved.bytes, each->ai_addr, each->ai_addrlen);
    resolved.length = each->ai_addrlen;
    resolved.family = each->ai_family;
    all.push_back(resolved);
  }
  ::freeaddrinfo(found);
  return all;
}

std::optional<Endpoint> to_endpoint(const sockaddr_storage& address) noexcept {
  Endpoint endpoint;
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    std::memcpy(endpoint.ip.bytes.data(), &v4.sin_addr, sizeof v4.sin_addr);
    endpoint.port = ntohs(v4.sin_port);
    return endpoint;
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    endpoint.ip.v6 = true;
    std::memcpy(endpoint.ip.bytes.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
    endpoint.port = ntohs(v6.sin6_port);
    return endpoint;
  }
  return std::nullopt;
}

void set_no_delay(int fd) noexcept {
  const int on = 1;
  // If it fails, answers are only later.
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int type_of(SocketType type) noexcept {
  return type == SocketType::seqpacket ? SOCK_SEQPACKET : SOCK_STREAM;
}

bool is_local_error(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
         error == EADDRNOTAVAIL;
}

bool is_localhost(const std::string& host) noexcept {
  return ::strcasecmp(host.c_str(), "localhost") == 0 ||
         ::strcasecmp(host.c_str(), "localhost.") == 0;
}

// The addresses to listen on for `host`, without duplicates.
Result<std::vector<ResolvedAddress>> addresses_to_listen_on(const std::string& host,
                                                            uint16_t port) {
  std::vector<ResolvedAddress> all;
  const std::vector<std::string> names =
      is_localhost(host) ? std::vector<std::string>{"127.0.0.1", "::1"} : std::vector{host};
  for (const std::string& name : names) {
    const auto ask = [name, port] { return resolve_tcp(name, port, AI_PASSIVE); };
    const auto found = name.empty() || IpAddress::parse(name).has_value()
                           ? ask()
                           : resolve_within(limits::listen_resolve_ms, ask, name);
    if (!found.ok()) return found.status();
    for (const ResolvedAddress& address : found.value()) {
      if (std::find(all.begin(), all.end(), address) == all.end()) all.push_back(address);
    }
  }
  return all;
}

void set_port(ResolvedAddress& address, uint16_t port) noexcept {
  auto* const any = reinterpret_cast<sockaddr*>(address.bytes);
  if (any->sa_family == AF_INET) {
    reinterpret_cast<sockaddr_in*>(any)->sin_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in6*>(any)->sin6_port = htons(port);
  }
}

std::string where_to_listen(const std::string& host, uint16_t port, const ResolvedAddress& address,
                            bool alone) {
  const std::string where = "cannot listen on " + host + ":" + std::to_string(port);
  if (alone) return where;
  sockaddr_storage storage{};
  std::memcpy(&storage, address.bytes, address.length);
  return where + " (" + to_endpoint(storage).value_or(Endpoint{}).to_string() + ")";
}

// This machine does not have this address, or not this version of IP at all.
bool is_not_here(int error) noexcept {
  return error == EADDRNOTAVAIL || error == EAFNOSUPPORT || error == EPROTONOSUPPORT;
}

// Whether the socket at `path` may still be in use. Only ECONNREFUSED says that it is not: a socket
// that we may not connect to (EACCES) or that is of another type (EPROTOTYPE) is in use.
bool may_be_alive(const std::string& path) noexcept {
  const Connecting attempt = start_connect(unix_address(path));
  return attempt.outcome != ConnectOutcome::refused ||
         (attempt.error != ECONNREFUSED && attempt.error != ENOENT);
}

// Why a text containing '/' cannot be a path; null if it can.
const char* why_no_path(std::string_view text) noexcept {
  const size_t colon = text.substr(0, text.find('/')).find(':');
  if (colon == std::string_view::npos) return nullptr;
  if (text.substr(0, colon) == "unix")
    return "is a URL: write the path alone, such as /run/app.sock";
  if (text.substr(colon, 3) == "://") {
    return "is a URL: write host:port alone, or the path of a unix socket";
  }
  return "is neither host:port nor a path: write host:port alone, or ./ before a path";
}

}  // namespace

Result<Address> Address::parse(std::string_view text) {
  Address address;
  if (text.find('/') != std::string_view::npos) {
    if (const char* why = why_no_path(text); why != nullptr) {
      return Status(Code::invalid, "address \"" + std::string(text) + "\" " + why);
    }
    address.kind = Kind::unix_path;
    address.path = text;
    Status status = check_path(address.path);
    if (!status.ok()) return status;
    return address;
  }
  const auto refuse = [&](const char* why) {
    return Status(Code::invalid, "address \"" + std::string(text) + "\" " + why +
                                     ": expected host:port, [v6]:port or a path with a '/'");
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return refuse("has no port");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return refuse("has a version 6 address without brackets");
  }
  if (host.empty()) return refuse("has no host");
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (parsed.ec != std::errc{} || parsed.ptr != port.data() + port.size() || address.port == 0) {
    return refuse("has a port that is not 1 to 65535");
  }
  address.host = host;
  return address;
}

std::string Address::to_string() const {
  if (kind == Kind::unix_path) return path;
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string Address::key() const {
  if (kind == Kind::unix_path) {
    std::string plain;
    for (size_t i = 0; i < path.size(); ++i) {
      const std::string_view rest = std::string_view(path).substr(i);
      const bool begins = plain.empty() || plain.back() == '/';
      if (begins && !plain.empty() && rest[0] == '/') continue;
      if (begins && rest.substr(0, 2) == "./") {
        ++i;
        while (plain.empty() && path.substr(i + 1, 1) == "/") ++i;
        continue;
      }
      plain += path[i];
    }
    return plain;
  }
  Address plain = *this;
  if (const auto ip = IpAddress::parse(host); ip.has_value()) {
    plain.host = ip->unmapped().to_string();
  } else {
    for (char& c : plain.host) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (plain.host.size() > 1 && plain.host.back() == '.') plain.host.pop_back();
  }
  return plain.to_string();
}

bool Address::fixed() const {
  return kind == Kind::unix_path || IpAddress::parse(host).has_value();
}

Result<std::vector<ResolvedAddress>> resolve(const Address& address) {
  if (address.kind == Address::Kind::unix_path) {
    Status status = check_path(address.path);
    if (!status.ok()) return status;
    return std::vector<ResolvedAddress>{unix_address(address.path)};
  }
  return resolve_tcp(address.host, address.port, 0);
}

Listener& Listener::operator=(Listener&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::move(other.fd_);
    tcp_ = other.tcp_;
    port_ = other.port_;
    path_ = std::move(other.path_);
    device_ = other.device_;
    inode_ = other.inode_;
  }
  return *this;
}

// `alone`: this is the only address of its name, so one of version 6 may serve version 4 as well,
// depending on the system's setting.
Result<Listener> Listener::bound_to(const ResolvedAddress& address, bool alone,
                                    const std::string& where) {
  Listener listener;
  listener.fd_.reset(
      ::socket(address.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
  const int fd = listener.fd();
  if (fd < 0) return Status::from_errno(errno, "socket", where);
  const int on = 1;
  if (::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      (!alone && address.family == AF_INET6 &&
       ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)) {
    return Status::from_errno(errno, "setsockopt", where);
  }
  set_no_delay(fd);
  if (::bind(fd, as_sockaddr(address), address.length) != 0) {
    return Status::from_errno(errno, "bind", where);
  }
  if (::listen(fd, limits::listen_backlog) != 0) {
    return Status::from_errno(errno, "listen", where);
  }
  const auto bound = local_endpoint(fd);
  if (!bound.has_value()) return Status::from_errno(errno, "getsockname", where);
  listener.tcp_ = true;
  listener.port_ = bound->port;
  return listener;
}

Result<std::vector<Listener>> Listener::tcp(const std::string& host, uint16_t port) {
  auto addresses = addresses_to_listen_on(host, port);
  if (!addresses.ok()) return addresses.status();
  const bool alone = addresses.value().size() == 1;
  // A port that the kernel chose on one address may be taken on the next.
  for (int tries = 1;; ++tries) {
    std::vector<Listener> all;
    std::optional<Status> absent;
    std::optional<Status> failed;
    for (ResolvedAddress address : addresses.value()) {
      if (!all.empty()) set_port(address, all.front().port());
      const std::string where = where_to_listen(host, port, address, alone);
      auto listener = bound_to(address, alone, where);
      if (listener.ok()) {
        all.push_back(std::move(listener).value());
      } else if (is_not_here(listener.status().error())) {
        if (!absent.has_value()) absent = listener.status();
      } else {
        failed = listener.status();
        break;
      }
    }
    if (!failed.has_value() && all.empty()) return *absent;
    if (!failed.has_value()) return all;
    const bool unlucky = port == 0 && !all.empty() && failed->code() == Code::address_in_use;
    if (!unlucky || tries == limits::listen_port_tries_max) return *failed;
  }
}

std::string Listener::address() const {
  if (!path_.empty()) return path_;
  if (const auto endpoint = local_endpoint(fd()); endpoint.has_value()) {
    return endpoint->to_string();
  }
  sockaddr_un name{};
  socklen_t length = sizeof name;
  if (::getsockname(fd(), reinterpret_cast<sockaddr*>(&name), &length) != 0) return {};
  const size_t bytes = length - std::min<size_t>(length, offsetof(sockaddr_un, sun_path));
  // unix(7): a name that begins with a NUL is not in the file system; ss(8) writes it with an @.
  std::string path(name.sun_path, std::min(bytes, sizeof name.sun_path));
  if (!path.empty() && path.front() == '\0') {
    path.front() = '@';
    return path;
  }
  return path.substr(0, path.find('\0'));
}

Result<Listener> Listener::inherited(int fd) {
  const std::string where = "cannot take over descriptor " + std::to_string(fd);
  const int domain = socket_option(fd, SO_DOMAIN);
  if (socket_option(fd, SO_TYPE) != SOCK_STREAM || socket_option(fd, SO_ACCEPTCONN) != 1 ||
      (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX)) {
    return Status(Code::invalid, where + ": it is no stream socket that listens");
  }
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
      ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return Status::from_errno(errno, "fcntl", where);
  }
  Listener listener;
  listener.tcp_ = domain != AF_UNIX;
  if (listener.tcp_) {
    const auto bound = local_endpoint(fd);
    if (!bound.has_value()) return Status::from_errno(errno, "getsockname", where);
    listener.port_ = bound->port;
    set_no_delay(fd);
  }
  listener.fd_.reset(fd);
  return listener;
}

Result<Listener> Listener::unix_path(const std::string& path, uint32_t mode, SocketType type) {
  const std::string where = "cannot listen on " + path;
  // Made unique by our pid, and short: the temporary name must fit as well.
  const std::string temporary = path + "." + std::to_string(::getpid());
  if (temporary.size() > limits::unix_path_bytes_max) {
    return Status(Code::invalid, where + ": the path has " + std::to_string(path.size()) +
                                     " bytes; with a temporary suffix at most " +
                                     std::to_string(limits::unix_path_bytes_max) +
                                     " fit: choose a shorter one");
  }
  struct stat existing;
  if (::lstat(path.c_str(), &existing) == 0) {
    if (!S_ISSOCK(existing.st_mode)) {
      return Status(Code::exists, where +
                                      ": something that is not a socket is there: remove it or "
                                      "choose another path");
    }
    if (may_be_alive(path)) {
      return Status(Code::address_in_use,
                    where + ": another process listens there: stop it or choose another path");
    }
  } else if (errno != ENOENT) {
    // If something may be there it must not be replaced.
    return Status::from_errno(errno, "lstat", where);
  }
  Listener listener;
  listener.fd_.reset(::socket(AF_UNIX, type_of(type) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int fd = listener.fd();
  if (fd < 0) return Status::from_errno(errno, "socket", where);
  // Left by a process that had our pid; if it cannot be removed bind() reports it.
  (void)::unlink(temporary.c_str());
  const ResolvedAddress address = unix_address(temporary);
  if (::bind(fd, as_sockaddr(address), address.length) != 0) {
    return Status::from_errno(errno, "bind", where);
  }
  struct stat bound;
  int error = 0;
  const char* call = nullptr;
  if (::chmod(temporary.c_str(), mode) != 0) {
    error = errno, call = "chmod";
  } else if (::listen(fd, limits::listen_backlog) != 0) {
    error = errno, call = "listen";
  } else if (::stat(temporary.c_str(), &bound) != 0) {
    error = errno, call = "stat";
  } else if (::rename(temporary.c_str(), path.c_str()) != 0) {
    error = errno, call = "rename";
  }
  if (call != nullptr) {
    ::unlink(temporary.c_str());
    return Status::from_errno(error, call, where);
  }
  listener.path_ = path;
  listener.device_ = bound.st_dev;
  listener.inode_ = bound.st_ino;
  return listener;
}

void Listener::close() noexcept {
  if (!fd_.valid()) return;
  fd_.reset();
  struct stat current;
  if (!path_.empty() && ::lstat(path_.c_str(), &current) == 0 && current.st_dev == device_ &&
      current.st_ino == inode_) {
    // A path that cannot be removed is dead, and the next listener replaces it.
    (void)::unlink(path_.c_str());
  }
}

IoResult io_result(ssize_t returned) noexcept {
  IoResult result;
  if (returned >= 0) {
    result.bytes = static_cast<size_t>(returned);
  } else if (errno == EAGAIN) {  // EWOULDBLOCK has the same value on Linux
    result.again = true;
  } else {
    result.error = errno;
  }
  return result;
}

namespace {

IoResult receive_with(int fd, void* buffer, size_t bytes, int flags) noexcept {
  const ssize_t got = uninterrupted([&] { return ::recv(fd, buffer, bytes, flags); });
  IoResult result = io_result(got);
  result.end = got == 0;
  return result;
}

}  // namespace

IoResult receive(int fd, void* buffer, size_t bytes) noexcept {
  return receive_with(fd, buffer, bytes, 0);
}

IoResult peek(int fd, void* buffer, size_t bytes) noexcept {
  return receive_with(fd, buffer, bytes, MSG_PEEK);
}

IoResult send(int fd, const void* bytes, size_t count, bool end_follows) noexcept {
  const int flags = end_follows ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL;
  return io_result(uninterrupted([&] { return ::send(fd, bytes, count, flags); }));
}

Accepted accept_connection(int listener) noexcept {
  Accepted result;
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  result.fd.reset(::accept4(listener, reinterpret_cast<sockaddr*>(&peer), &length,
                            SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (result.fd.valid()) {
    result.outcome = AcceptOutcome::accepted;
    result.peer = to_endpoint(peer);
    return result;
  }
  result.error = errno;
  switch (errno) {
    case EAGAIN:
      result.outcome = AcceptOutcome::none;
      break;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      result.outcome = AcceptOutcome::exhausted;
      break;
    // accept(2): errors of the new connection are passed on and must be treated like EAGAIN by
    // retrying; EPERM is a firewall's refusal.
    case EINTR:
    case ECONNABORTED:
    case ECONNRESET:
    case ETIMEDOUT:
    case EPERM:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
      result.outcome = AcceptOutcome::retry;
      break;
    case EBADF:
    case EFAULT:
    case EINVAL:
    case ENOTSOCK:
      ESPORA_CHECK(!"accept4 on a descriptor that does not listen");
      break;
    // Refused by a security module, or an error of a later kernel: pausing cannot spin.
    default:
      result.outcome = AcceptOutcome::exhausted;
      break;
  }
  return result;
}

Connecting start_connect(const ResolvedAddress& address, SocketType type) noexcept {
  Connecting result;
  result.fd.reset(::socket(address.family, type_of(type) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!result.fd.valid()) {
    result.error = errno;
    result.outcome = ConnectOutcome::local_error;
    return result;
  }
  if (address.family != AF_UNIX) set_no_delay(result.fd.get());
  int returned;
  do {
    returned = ::connect(result.fd.get(), as_sockaddr(address), address.length);
  } while (returned != 0 && errno == EINTR && address.family == AF_UNIX);
  if (returned == 0) {
    result.outcome = ConnectOutcome::connected;
    return result;
  }
  result.error = errno;
  if (errno == EINPROGRESS || errno == EINTR) {
    // connect(2): an interrupted connect continues asynchronously.
    result.outcome = ConnectOutcome::in_progress;
  } else if (errno == EAGAIN && address.family == AF_UNIX) {
    result.outcome = ConnectOutcome::backlog_full;
  } else if (is_local_error(errno) || errno == EAGAIN) {
    // EAGAIN of TCP: no ephemeral port is left.
    result.outcome = ConnectOutcome::local_error;
  } else {
    result.outcome = ConnectOutcome::refused;
  }
  return result;
}

namespace {

using AskName = int(int, sockaddr*, socklen_t*);

std::optional<Endpoint> ask_endpoint(int fd, AskName* ask) noexcept {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (ask(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return std::nullopt;
  return to_endpoint(address);
}

}  // namespace

std::optional<Endpoint> peer_endpoint(int fd) noexcept { return ask_endpoint(fd, ::getpeername); }
std::optional<Endpoint> local_endpoint(int fd) noexcept { return ask_endpoint(fd, ::getsockname); }

bool is_connected_to_itself(int fd) noexcept {
  const auto ours = local_endpoint(fd);
  return ours.has_value() && ours == peer_endpoint(fd);
}

int socket_option(int fd, int name) noexcept {
  int value = -1;
  socklen_t length = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
}

int socket_error(int fd) noexcept {
  const int error = socket_option(fd, SO_ERROR);
  return error >= 0 ? error : errno;
}

size_t unacknowledged_bytes(int fd) noexcept {
  int bytes = 0;
  // Fails for a socket that is not connected, which has nothing in flight.
  if (::ioctl(fd, SIOCOUTQ, &bytes) != 0 || bytes < 0) return 0;
  return static_cast<size_t>(bytes);
}

// ENOTCONN: the peer has closed, so there is nothing to shut down.
void shutdown_write(int fd) noexcept { (void)::shutdown(fd, SHUT_WR); }

void reset_on_close(int fd) noexcept {
  const linger abort{1, 0};
  // socket(7): on a socket this cannot fail.
  (void)::setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
}

Fd open_spare_descriptor() noexcept { return Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

}  // namespace espora::sys
