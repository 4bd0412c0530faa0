// From which size on a pair of splices costs less than the copy that it saves: messages of one
// size, one after the other, moved from a TCP connection to a unix socket and the other way round
// by recv and send, and by splice through a pipe. The CPU of the thread that moves them is
// measured.
//
//   splice_threshold --bytes N --messages N (--copy | --splice) (--from-tcp | --from-unix)
//
// Prints one line of JSON: CPU microseconds per message.

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "program.h"

namespace {

using namespace bench;

// As much as the forwarder lends and asks for at a time.
constexpr std::size_t buffer_bytes = 16 * 1024;
constexpr std::size_t splice_bytes = 64 * 1024;

struct Pair {
  int ours;
  int theirs;
};

Pair unix_pair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair");
  return {ends[0], ends[1]};
}

Pair tcp_pair() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (listener < 0 || bind(listener, generic, length) != 0 || listen(listener, 1) != 0 ||
      getsockname(listener, generic, &length) != 0) {
    fail("listen");
  }
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (client < 0 || connect(client, generic, length) != 0) fail("connect");
  const int accepted = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (accepted < 0) fail("accept4");
  close(listener);
  return {accepted, client};
}

void set_nonblocking(int fd) {
  if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) fail("fcntl");
}

void wait_for(int fd, short events) {
  pollfd poller{fd, events, 0};
  while (poll(&poller, 1, -1) < 0) {
    if (errno != EINTR) fail("poll");
  }
}

// What a call moved; 0 where it would have waited.
std::size_t moved_by(ssize_t result, const char* what) {
  if (result > 0) return static_cast<std::size_t>(result);
  if (result < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  fail(what);
}

void copy_message(int from, int to, std::size_t bytes, std::vector<char>& buffer) {
  while (bytes > 0) {
    const std::size_t got = moved_by(recv(from, buffer.data(), buffer.size(), 0), "recv");
    if (got == 0) wait_for(from, POLLIN);
    for (std::size_t sent = 0; sent < got;) {
      const std::size_t now =
          moved_by(send(to, buffer.data() + sent, got - sent, MSG_NOSIGNAL), "send");
      if (now == 0) wait_for(to, POLLOUT);
      sent += now;
    }
    bytes -= got;
  }
}

void splice_message(int from, int to, std::size_t bytes, const int (&pipe)[2]) {
  constexpr unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
  while (bytes > 0) {
    std::size_t held = moved_by(splice(from, nullptr, pipe[1], nullptr, splice_bytes, flags), "in");
    if (held == 0) wait_for(from, POLLIN);
    bytes -= held;
    while (held > 0) {
      const std::size_t now = moved_by(splice(pipe[0], nullptr, to, nullptr, held, flags), "out");
      if (now == 0) wait_for(to, POLLOUT);
      held -= now;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t bytes = 0;
  long messages = 0;
  bool spliced = false;
  bool from_tcp = true;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--splice" || flag == "--copy")
      spliced = flag == "--splice";
    else if (flag == "--from-tcp" || flag == "--from-unix")
      from_tcp = flag == "--from-tcp";
    else if (flag == "--bytes" && i + 1 < argc)
      bytes = std::strtoull(argv[++i], nullptr, 10);
    else if (flag == "--messages" && i + 1 < argc)
      messages = std::strtol(argv[++i], nullptr, 10);
  }
  if (bytes == 0 || messages <= 0) {
    usage("--bytes N --messages N (--copy | --splice) (--from-tcp | --from-unix)");
  }
  const Pair tcp = tcp_pair();
  const Pair unix_socket = unix_pair();
  const Pair& source = from_tcp ? tcp : unix_socket;
  const Pair& sink = from_tcp ? unix_socket : tcp;
  set_nonblocking(source.ours);
  set_nonblocking(sink.ours);

  // Sends a message, waits until the other end has all of it, and so on.
  std::thread peers([&] {
    const std::vector<char> message(bytes, 'x');
    std::vector<char> taken(splice_bytes);
    for (long count = 0; count < messages; ++count) {
      std::size_t sent = 0;
      std::size_t got = 0;
      while (got < bytes) {
        if (sent < bytes) {
          const ssize_t now =
              send(source.theirs, message.data() + sent, bytes - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
          if (now > 0) sent += static_cast<std::size_t>(now);
        }
        const int wait = sent < bytes ? MSG_DONTWAIT : 0;
        const ssize_t now = recv(sink.theirs, taken.data(), taken.size(), wait);
        if (now > 0) got += static_cast<std::size_t>(now);
        if (now == 0) fail("the end came early");
      }
    }
  });

  std::vector<char> buffer(buffer_bytes);
  int pipe[2];
  if (pipe2(pipe, O_CLOEXEC | O_NONBLOCK) != 0) fail("pipe2");
  const long warmup = std::max(1L, messages / 10);
  double begin_us = 0;
  for (long count = 0; count < messages; ++count) {
    if (count == warmup) begin_us = seconds_of(CLOCK_THREAD_CPUTIME_ID) * 1e6;
    wait_for(source.ours, POLLIN);
    if (spliced) {
      splice_message(source.ours, sink.ours, bytes, pipe);
    } else {
      copy_message(source.ours, sink.ours, bytes, buffer);
    }
  }
  const double used_us = seconds_of(CLOCK_THREAD_CPUTIME_ID) * 1e6 - begin_us;
  peers.join();
  std::printf("{\"cpu_us_per_message\": %.3f}\n", used_us / static_cast<double>(messages - warmup));
  return 0;
}
