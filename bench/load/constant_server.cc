// A server that answers every request at once with a constant, valid 200 and stores nothing: what a
// trial against it measures is the load generator, the kernel and the machine, and nothing else.
//
//   constant_server (--port N | --unix PATH)
//
// Listens on 127.0.0.1 or on a unix socket, and answers on one thread: a POST with a transaction's
// answer, anything else with a statement. Keep-alive and pipelining are served.

#include <strings.h>

#include <memory>

#include "program.h"

namespace {

using namespace bench;

// The contest's requests are about 200 bytes; one that does not fit is answered by a close.
constexpr std::size_t request_bytes_max = 8192;

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
      watch(poller_, descriptor, EPOLLIN, connection.release());
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
  const std::string transaction_ = json_answer(transaction_body);
  const std::string statement_ = json_answer(statement_body());
};

}  // namespace

int main(int argc, char** argv) {
  Address address;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--port") address = local_port(argv[i + 1]);
    if (flag == "--unix") address = unix_address(argv[i + 1]);
  }
  if (address.bytes == 0) usage("(--port N | --unix PATH)");
  end_with_parent();
  const int listener = listen_on(address, SOCK_NONBLOCK);
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0) fail("epoll_create1");
  watch(poller, listener, EPOLLIN, nullptr);
  Server(listener, poller).run();
}
