// The least that a relay can do: recv, send, nothing else. No deadlines, no limits, no
// back-pressure (a peer that does not take its bytes is cut), no second upstream. What it costs is
// the kernel's floor for a relay on this machine; it is measured beside the real one and used for
// nothing else.
//
//   minimal_relay (--port N | --unix PATH) --upstream (PATH | IPV4:PORT) [--upstream …]
//
// Listens on 127.0.0.1.

#include <vector>

#include "program.h"

namespace {

using namespace bench;

constexpr std::size_t buffer_bytes = 16 * 1024;

// The other socket of each, by descriptor; -1 for none.
std::vector<int> peers(65536, -1);

int& peer_of(int fd) { return peers[static_cast<std::size_t>(fd)]; }

void end(int fd) {
  const int other = peer_of(fd);
  peer_of(fd) = peer_of(other) = -1;
  close(fd);
  close(other);
}

void accept_client(int listener, const Address& to, int poller) {
  const int client = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (client < 0) return;
  const int upstream = socket_for(to, SOCK_NONBLOCK);
  if (connect(upstream, to.generic(), to.bytes) != 0 && errno != EINPROGRESS) {
    close(client);
    close(upstream);
    return;
  }
  peer_of(client) = upstream;
  peer_of(upstream) = client;
  watch(poller, upstream);
  watch(poller, client);
}

}  // namespace

int main(int argc, char** argv) {
  Address address;
  std::vector<Address> upstreams;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--port") address = local_port(argv[i + 1]);
    if (flag == "--unix") address = unix_address(argv[i + 1]);
    if (flag == "--upstream") upstreams.push_back(parse_address(argv[i + 1]));
  }
  if (address.bytes == 0 || upstreams.empty()) {
    usage("(--port N | --unix PATH) --upstream ADDRESS [--upstream ADDRESS]");
  }
  end_with_parent();
  const int listener = listen_on(address, SOCK_NONBLOCK);
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  watch(poller, listener);

  std::size_t turn = 0;
  static char buffer[buffer_bytes];
  epoll_event ready[events_per_wait];
  for (;;) {
    const int count = epoll_wait(poller, ready, events_per_wait, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = ready[i].data.fd;
      if (fd == listener) {
        accept_client(listener, upstreams[turn++ % upstreams.size()], poller);
        continue;
      }
      const int other = peer_of(fd);
      if (other < 0) continue;  // ended by an event of this same wait
      const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
      if (got < 0 && errno == EAGAIN) continue;
      if (got <= 0 || send(other, buffer, static_cast<std::size_t>(got), MSG_NOSIGNAL) != got) {
        end(fd);
      }
    }
  }
}
