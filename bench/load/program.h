// What the programs of bench/load share: flags, addresses, sockets, clocks, and how they fail.
// Small and against the system calls: what they measure must not rest on what they are compared
// with.
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace bench {

constexpr int events_per_wait = 256;
constexpr int listen_backlog = 4096;

[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what.c_str(),
               std::strerror(errno));
  std::exit(1);
}

[[noreturn]] inline void usage(const char* text) {
  std::fprintf(stderr, "usage: %s %s\n", program_invocation_short_name, text);
  std::exit(2);
}

struct Address {
  sockaddr_storage name{};
  socklen_t bytes = 0;  // 0: none
  std::string text;

  [[nodiscard]] bool is_unix() const { return name.ss_family == AF_UNIX; }
  [[nodiscard]] const sockaddr* generic() const { return reinterpret_cast<const sockaddr*>(&name); }
};

inline Address unix_address(const std::string& path) {
  Address address;
  auto* name = reinterpret_cast<sockaddr_un*>(&address.name);
  name->sun_family = AF_UNIX;
  if (path.size() >= sizeof name->sun_path) {
    errno = ENAMETOOLONG;
    fail(path);
  }
  std::memcpy(name->sun_path, path.c_str(), path.size());
  address.bytes = sizeof *name;
  address.text = path;
  return address;
}

inline Address tcp_address(const std::string& host, int port) {
  Address address;
  auto* name = reinterpret_cast<sockaddr_in*>(&address.name);
  name->sin_family = AF_INET;
  name->sin_port = htons(static_cast<std::uint16_t>(port));
  if (inet_pton(AF_INET, host.c_str(), &name->sin_addr) != 1) {
    errno = EINVAL;
    fail(host);
  }
  address.bytes = sizeof *name;
  address.text = host + ":" + std::to_string(port);
  return address;
}

// A port of 127.0.0.1.
inline Address local_port(const char* port) { return tcp_address("127.0.0.1", std::atoi(port)); }

// PATH or IPV4:PORT.
inline Address parse_address(const std::string& text) {
  if (text.find('/') != std::string::npos) return unix_address(text);
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) {
    errno = EINVAL;
    fail(text);
  }
  return tcp_address(text.substr(0, colon), std::atoi(&text[colon + 1]));
}

// `flags`: SOCK_NONBLOCK, or none.
inline int socket_for(const Address& address, int flags, int type = SOCK_STREAM) {
  const int fd = socket(address.name.ss_family, type | flags | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  const int on = 1;  // inherited by what a listener accepts
  if (!address.is_unix()) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

inline int listen_on(const Address& address, int flags, int type = SOCK_STREAM) {
  const int fd = socket_for(address, flags, type);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.is_unix()) unlink(address.text.c_str());
  if (bind(fd, address.generic(), address.bytes) != 0) fail("bind");
  if (listen(fd, listen_backlog) != 0) fail("listen");
  return fd;
}

inline void watch(int poller, int fd, std::uint32_t events, epoll_data_t data) {
  epoll_event event{};
  event.events = events;
  event.data = data;
  if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}
inline void watch(int poller, int fd) {
  epoll_data_t data{};
  data.fd = fd;
  watch(poller, fd, EPOLLIN, data);
}
inline void watch(int poller, int fd, std::uint32_t events, void* pointer) {
  epoll_data_t data{};
  data.ptr = pointer;
  watch(poller, fd, events, data);
}

// SIGTERM ends a server, and so does the end of whatever started it.
inline void end_with_parent() { prctl(PR_SET_PDEATHSIG, SIGTERM); }

inline double seconds_of(clockid_t clock) {
  timespec now{};
  if (clock_gettime(clock, &now) != 0) fail("clock_gettime");
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// The clock of the CPU time that a process uses, all its threads; 0: this one.
inline clockid_t cpu_clock_of(pid_t process) {
  clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
  if (process != 0 && clock_getcpuclockid(process, &clock) != 0) fail("--watch");
  return clock;
}

inline std::string json_answer(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}
constexpr std::string_view transaction_body = R"({"limite":100000,"saldo":0})";

}  // namespace bench
