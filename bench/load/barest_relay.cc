// The least that a relay can do: recv, send, nothing else. No deadlines, no limits, no
// back-pressure (a peer that does not take its bytes is cut), no second upstream. What it costs is
// the kernel's floor for a relay on this machine; it is measured beside the real one and used for
// nothing else.
//
//   barest_relay (--port N | --unix PATH) --upstream (PATH | IPV4:PORT) [--upstream …]
//
// Listens on 127.0.0.1; prints "listening ADDRESS" when it does. SIGTERM or the end of the parent
// ends it.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr int events_per_wait = 256;
constexpr int listen_backlog = 4096;
constexpr std::size_t buffer_bytes = 16 * 1024;

struct Address {
  sockaddr_storage name{};
  socklen_t bytes = 0;
  std::string text;
};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "barest_relay: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

Address unix_address(const char* path) {
  Address address;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (std::strlen(path) >= sizeof name.sun_path) {
    errno = ENAMETOOLONG;
    fail(path);
  }
  std::strcpy(name.sun_path, path);
  std::memcpy(&address.name, &name, sizeof name);
  address.bytes = sizeof name;
  address.text = path;
  return address;
}

Address tcp_address(const std::string& host, int port) {
  Address address;
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<std::uint16_t>(port));
  if (inet_pton(AF_INET, host.c_str(), &name.sin_addr) != 1) {
    errno = EINVAL;
    fail(host.c_str());
  }
  std::memcpy(&address.name, &name, sizeof name);
  address.bytes = sizeof name;
  address.text = host + ":" + std::to_string(port);
  return address;
}

Address parse(const char* text) {
  const std::string_view view = text;
  if (view.find('/') != std::string_view::npos) return unix_address(text);
  const std::size_t colon = view.rfind(':');
  if (colon == std::string_view::npos) {
    errno = EINVAL;
    fail(text);
  }
  return tcp_address(std::string(view.substr(0, colon)), std::atoi(text + colon + 1));
}

int socket_for(const Address& address) {
  const int fd = socket(address.name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  if (address.name.ss_family == AF_INET) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  return fd;
}

// The other socket of each, by descriptor; -1 for none.
std::vector<int> peers(65536, -1);

void end(int fd) {
  const int other = peers[static_cast<std::size_t>(fd)];
  peers[static_cast<std::size_t>(fd)] = -1;
  peers[static_cast<std::size_t>(other)] = -1;
  close(fd);
  close(other);
}

}  // namespace

int main(int argc, char** argv) {
  Address listen_on;
  std::vector<Address> upstreams;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--port") listen_on = tcp_address("127.0.0.1", std::atoi(argv[i + 1]));
    if (flag == "--unix") listen_on = unix_address(argv[i + 1]);
    if (flag == "--upstream") upstreams.push_back(parse(argv[i + 1]));
  }
  if (listen_on.bytes == 0 || upstreams.empty()) {
    std::fprintf(stderr,
                 "usage: barest_relay (--port N | --unix PATH) --upstream ADDRESS "
                 "[--upstream ADDRESS]\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGTERM);

  const int listener = socket_for(listen_on);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (listen_on.name.ss_family == AF_UNIX) unlink(listen_on.text.c_str());
  if (bind(listener, reinterpret_cast<sockaddr*>(&listen_on.name), listen_on.bytes) != 0) {
    fail("bind");
  }
  if (listen(listener, listen_backlog) != 0) fail("listen");
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  const auto watch = [&](int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
  };
  watch(listener, EPOLLIN);
  std::printf("listening %s\n", listen_on.text.c_str());
  std::fflush(stdout);

  std::size_t turn = 0;
  static char buffer[buffer_bytes];
  epoll_event ready[events_per_wait];
  for (;;) {
    const int count = epoll_wait(poller, ready, events_per_wait, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = ready[i].data.fd;
      if (fd == listener) {
        const int client = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0) continue;
        const Address& to = upstreams[turn++ % upstreams.size()];
        const int upstream = socket_for(to);
        if (connect(upstream, reinterpret_cast<const sockaddr*>(&to.name), to.bytes) != 0 &&
            errno != EINPROGRESS) {
          close(client);
          close(upstream);
          continue;
        }
        peers[static_cast<std::size_t>(client)] = upstream;
        peers[static_cast<std::size_t>(upstream)] = client;
        watch(upstream, EPOLLIN);
        watch(client, EPOLLIN);
        continue;
      }
      const int other = peers[static_cast<std::size_t>(fd)];
      if (other < 0) continue;  // ended by an event of this same wait
      const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
      if (got < 0 && errno == EAGAIN) continue;
      if (got <= 0 || send(other, buffer, static_cast<std::size_t>(got), MSG_NOSIGNAL) != got) {
        end(fd);
      }
    }
  }
}
