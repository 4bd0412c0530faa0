// A server that answers every request at once with a constant, valid 200 and stores nothing: what a
// trial against it measures is the load generator, the kernel and the machine, and nothing else.
//
//   constant_server [--port N | --unix PATH] [--cpu N]
//
// Listens on 127.0.0.1 (port 0: any free one) or on a unix socket, prints "listening ADDRESS" when
// it does, and answers on one thread: a POST with a transaction's answer, anything else with a
// statement. Keep-alive and pipelining are served. SIGTERM or the end of the parent ends it.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <strings.h>
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
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr int events_per_wait = 256;
// The contest's requests are about 200 bytes; one that does not fit is answered by a close.
constexpr std::size_t request_bytes_max = 8192;
constexpr int listen_backlog = 4096;

std::string response_with(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: keep-alive\r\n"
         "Content-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

// Ten transactions, as a service in the middle of the contest answers.
std::string statement_body() {
  std::string body =
      R"({"saldo":{"total":0,"data_extrato":"2024-01-17T02:34:41.217753Z","limite":100000},)"
      R"("ultimas_transacoes":[)";
  for (int i = 0; i < 10; ++i) {
    if (i > 0) body += ',';
    body += R"({"valor":10,"tipo":"c","descricao":"descricao1",)"
            R"("realizada_em":"2024-01-17T02:34:38.543030Z"})";
  }
  return body + "]}";
}

struct Connection {
  int descriptor;
  std::size_t held = 0;  // bytes of an incomplete request, at the start of `bytes`
  char bytes[request_bytes_max];
};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "constant_server: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

// Length of the first request in `bytes`, 0 while it is incomplete.
std::size_t request_length(std::string_view bytes) {
  const std::size_t head_end = bytes.find("\r\n\r\n");
  if (head_end == std::string_view::npos) return 0;
  std::size_t body_bytes = 0;
  constexpr std::string_view name = "\r\ncontent-length:";
  for (std::size_t at = bytes.find("\r\n"); at < head_end; at = bytes.find("\r\n", at + 2)) {
    if (head_end - at > name.size() &&
        strncasecmp(bytes.data() + at, name.data(), name.size()) == 0)
      body_bytes = std::strtoul(bytes.data() + at + name.size(), nullptr, 10);
  }
  const std::size_t length = head_end + 4 + body_bytes;
  return length <= bytes.size() ? length : 0;
}

class Server {
 public:
  Server(int listener, int poller) : listener_(listener), poller_(poller) {}

  [[noreturn]] void run() {
    epoll_event ready[events_per_wait];
    for (;;) {
      const int count = epoll_wait(poller_, ready, events_per_wait, -1);
      if (count < 0 && errno != EINTR) fail("epoll_wait");
      for (int i = 0; i < count; ++i) {
        if (ready[i].data.ptr == nullptr)
          accept_all();
        else if (auto* connection = static_cast<Connection*>(ready[i].data.ptr); !serve(connection))
          end(connection);
      }
    }
  }

 private:
  void accept_all() {
    for (;;) {
      const int descriptor = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (descriptor < 0) return;  // EAGAIN; anything else waits for the next event
      auto connection = std::make_unique<Connection>();
      connection->descriptor = descriptor;
      // The request has often arrived with the connection: one look saves a turn of the loop.
      if (!serve(connection.get())) {
        close(descriptor);
        continue;
      }
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = connection.get();
      if (epoll_ctl(poller_, EPOLL_CTL_ADD, descriptor, &event) != 0) fail("epoll_ctl");
      connection.release();
    }
  }

  void end(Connection* connection) {
    close(connection->descriptor);
    delete connection;
  }

  // Answers every complete request that can be read; false when the connection is over.
  bool serve(Connection* connection) {
    const ssize_t got = recv(connection->descriptor, connection->bytes + connection->held,
                             request_bytes_max - connection->held, 0);
    if (got == 0) return false;
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    connection->held += static_cast<std::size_t>(got);

    std::string_view rest(connection->bytes, connection->held);
    while (const std::size_t length = request_length(rest)) {
      const std::string& answer = rest[0] == 'P' ? transaction_ : statement_;
      // A client that does not read its answers has no place in a trial: a short send ends it.
      if (send(connection->descriptor, answer.data(), answer.size(), MSG_NOSIGNAL) !=
          static_cast<ssize_t>(answer.size()))
        return false;
      rest.remove_prefix(length);
    }
    if (rest.size() == request_bytes_max) return false;
    std::memmove(connection->bytes, rest.data(), rest.size());
    connection->held = rest.size();
    return true;
  }

  const int listener_;
  const int poller_;
  const std::string transaction_ = response_with(R"({"limite":100000,"saldo":0})");
  const std::string statement_ = response_with(statement_body());
};

int listen_tcp(std::uint16_t port, std::string& address) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) fail("socket");
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // inherited by what it accepts
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  name.sin_port = htons(port);
  if (bind(listener, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) fail("bind");
  socklen_t size = sizeof name;
  getsockname(listener, reinterpret_cast<sockaddr*>(&name), &size);
  address = "127.0.0.1:" + std::to_string(ntohs(name.sin_port));
  return listener;
}

int listen_unix(const char* path, std::string& address) {
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) fail("socket");
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (std::strlen(path) >= sizeof name.sun_path) {
    errno = ENAMETOOLONG;
    fail(path);
  }
  std::strcpy(name.sun_path, path);
  unlink(path);
  if (bind(listener, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) fail("bind");
  address = path;
  return listener;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint16_t port = 0;
  const char* path = nullptr;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (i + 1 == argc) {
      std::fprintf(stderr, "usage: constant_server [--port N | --unix PATH] [--cpu N]\n");
      return 2;
    }
    const char* value = argv[++i];
    if (flag == "--port") {
      port = static_cast<std::uint16_t>(std::atoi(value));
    } else if (flag == "--unix") {
      path = value;
    } else if (flag == "--cpu") {
      cpu_set_t cpus;
      CPU_ZERO(&cpus);
      CPU_SET(std::atoi(value), &cpus);
      if (sched_setaffinity(0, sizeof cpus, &cpus) != 0) fail("sched_setaffinity");
    } else {
      std::fprintf(stderr, "constant_server: unknown option %s\n", argv[i - 1]);
      return 2;
    }
  }
  prctl(PR_SET_PDEATHSIG, SIGTERM);

  std::string address;
  const int listener = path == nullptr ? listen_tcp(port, address) : listen_unix(path, address);
  if (listen(listener, listen_backlog) != 0) fail("listen");
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) != 0) fail("epoll");
  std::printf("listening %s\n", address.c_str());
  std::fflush(stdout);
  Server(listener, poller).run();
}
