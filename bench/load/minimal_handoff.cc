// The least that a durable service with handoff can do, in three places. No acknowledgements, no
// checks of who is there, no second attempt, no HTTP beyond a constant answer, no ledger, no
// records that anybody could read back: what it costs is the floor of the kernel and the disk on
// this machine. It is measured beside the real service, and is the constant answer behind what
// other software relays.
//
//   minimal_handoff --port N --to PATH [--to PATH …]   accepts on 127.0.0.1, hands over in turn
//   minimal_handoff --unix PATH --to PATH              is handed sockets, hands them on
//   minimal_handoff --unix PATH [--file FILE]          answers those that it is handed,
//                                                     and those that connect to PATH
//   minimal_handoff --port N                           answers those that connect
//
// Sockets are handed over at PATH.handoff.
//
// Each request is what one recv brings. Where at least one of a turn of the loop was a POST, a
// block is written to FILE, if there is one, and flushed before any of that turn is answered.

#include <fcntl.h>

#include <utility>
#include <vector>

#include "program.h"

namespace {

using namespace bench;

constexpr std::size_t request_bytes_max = 8192;
constexpr int connect_tries_max = 500;
constexpr useconds_t connect_pause_us = 20'000;
constexpr std::size_t block_bytes = 4096;
constexpr std::size_t fill_bytes = std::size_t{1} << 20;
constexpr std::size_t file_bytes = 64 * fill_bytes;

const std::string transaction = json_answer(transaction_body);
const std::string statement = json_answer(
    R"({"saldo":{"total":0,"data_extrato":"2024-01-17T02:34:41.217753Z","limite":100000},)"
    R"("ultimas_transacoes":[]})");

// The receiver may be started at the same time.
int connect_to(const std::string& path) {
  const Address to = unix_address(path + ".handoff");
  const int fd = socket_for(to, 0, SOCK_SEQPACKET);
  for (int tries = 0; connect(fd, to.generic(), to.bytes) != 0;) {
    if (++tries == connect_tries_max) fail(path);
    usleep(connect_pause_us);
  }
  return fd;
}

// A byte, and room for one socket.
struct Message {
  Message() {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  char byte = 0;
  iovec part{&byte, 1};
  msghdr header{};
};

// Waits where the receiver is behind.
void hand_over(int channel, int client) {
  Message message;
  cmsghdr* header = CMSG_FIRSTHDR(&message.header);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof client);
  std::memcpy(CMSG_DATA(header), &client, sizeof client);
  if (sendmsg(channel, &message.header, MSG_NOSIGNAL) != 1) fail("sendmsg");
  close(client);
}

// -1: there is none; -2: the sender is gone.
int be_handed(int channel) {
  Message message;
  const ssize_t got = recvmsg(channel, &message.header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) return errno == EAGAIN ? -1 : -2;
  const cmsghdr* header = CMSG_FIRSTHDR(&message.header);
  if (got == 0 || header == nullptr) return -2;
  int client;
  std::memcpy(&client, CMSG_DATA(header), sizeof client);
  return client;
}

// Written past the page cache into space that was allocated and flushed before.
class Disk {
 public:
  explicit Disk(const char* path) {
    fd_ = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_DIRECT, 0600);
    if (fd_ < 0) fail(path);
    zeros_ = std::aligned_alloc(block_bytes, fill_bytes);
    std::memset(zeros_, 0, fill_bytes);
    for (std::size_t at = 0; at < file_bytes; at += fill_bytes) write_at(at, fill_bytes);
    if (fsync(fd_) != 0) fail("fsync");
  }
  void write_and_flush() {
    write_at(next_, block_bytes);
    next_ = (next_ + block_bytes) % file_bytes;
    if (fdatasync(fd_) != 0) fail("fdatasync");
  }

 private:
  void write_at(std::size_t at, std::size_t count) const {
    const ssize_t wrote = pwrite(fd_, zeros_, count, static_cast<off_t>(at));
    if (wrote != static_cast<ssize_t>(count)) fail("pwrite");
  }
  int fd_;
  void* zeros_;
  std::size_t next_ = 0;
};

enum class Role : std::uint8_t { none, listener, channel_listener, channel, client };

class Program {
 public:
  Program(std::vector<int> receivers, Disk* disk)
      : poller_(epoll_create1(EPOLL_CLOEXEC)), receivers_(std::move(receivers)), disk_(disk) {}

  void watch_as(Role role, int fd) {
    if (static_cast<std::size_t>(fd) >= roles_.size()) {
      roles_.resize(static_cast<std::size_t>(fd) + 1);
    }
    roles_[static_cast<std::size_t>(fd)] = role;
    watch(poller_, fd);
  }

  [[noreturn]] void run() {
    epoll_event ready[events_per_wait];
    for (;;) {
      const int count = epoll_wait(poller_, ready, events_per_wait, -1);
      for (int i = 0; i < count; ++i) on_event(ready[i].data.fd);
      if (std::exchange(posts_, false) && disk_ != nullptr) disk_->write_and_flush();
      for (const auto& [client, post] : owed_) {
        const std::string& answer = post ? transaction : statement;
        send(client, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      }
      owed_.clear();
    }
  }

 private:
  void on_event(int fd) {
    switch (roles_[static_cast<std::size_t>(fd)]) {
      case Role::listener: {
        const int client = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0) take(client);
        break;
      }
      case Role::channel_listener: {
        const int channel = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC);
        if (channel >= 0) watch_as(Role::channel, channel);
        break;
      }
      case Role::channel: {
        const int client = be_handed(fd);
        if (client >= 0) take(client);
        if (client == -2) close(fd);
        break;
      }
      case Role::client:
        serve(fd);
        break;
      case Role::none:
        break;
    }
  }

  void take(int client) {
    if (!receivers_.empty()) {
      hand_over(receivers_[turn_++ % receivers_.size()], client);
      return;
    }
    watch_as(Role::client, client);
    serve(client);
  }

  void serve(int client) {
    const ssize_t got = recv(client, request_, sizeof request_, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      close(client);  // nobody else has it, so that it leaves the poller, too
      return;
    }
    const bool post = request_[0] == 'P';
    posts_ = posts_ || post;
    owed_.emplace_back(client, post);
  }

  int poller_;
  std::vector<int> receivers_;
  std::size_t turn_ = 0;
  Disk* disk_;
  bool posts_ = false;
  std::vector<std::pair<int, bool>> owed_;  // clients, and whether they posted
  std::vector<Role> roles_;
  char request_[request_bytes_max];
};

}  // namespace

int main(int argc, char** argv) {
  Address port;
  std::string path;
  const char* file = nullptr;
  std::vector<int> receivers;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--port") port = local_port(argv[i + 1]);
    if (flag == "--unix") path = argv[i + 1];
    if (flag == "--to") receivers.push_back(connect_to(argv[i + 1]));
    if (flag == "--file") file = argv[i + 1];
  }
  if ((port.bytes == 0 && path.empty()) || (!receivers.empty() && file != nullptr)) {
    usage("(--port N | --unix PATH) [--to PATH [--to PATH] | --file FILE]");
  }
  end_with_parent();

  Disk* disk = file == nullptr ? nullptr : new Disk(file);
  Program program(std::move(receivers), disk);
  if (port.bytes > 0) program.watch_as(Role::listener, listen_on(port, SOCK_NONBLOCK));
  if (!path.empty()) {
    const Address channels = unix_address(path + ".handoff");
    program.watch_as(Role::channel_listener, listen_on(channels, SOCK_NONBLOCK, SOCK_SEQPACKET));
    program.watch_as(Role::listener, listen_on(unix_address(path), SOCK_NONBLOCK));
  }
  program.run();
}
