// What the forwarder's tests share: a forwarder on a loop of its own thread, and peers that are
// plain blocking sockets. Every wait ends after a while, so a broken forwarder fails a test instead
// of hanging it.
#pragma once

#include <dirent.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/sockios.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "forward/forwarder.h"
#include "support/call_on.h"
#include "support/options.h"
#include "sys/thread.h"

namespace espora::forward {

inline constexpr int patience_ms = 30'000;

// Waits until `condition` holds; false if it never did.
inline bool eventually(const std::function<bool()>& condition) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    char pattern[] = "/tmp/espora-forward-XXXXXX";
    if (::mkdtemp(pattern) == nullptr) std::abort();
    path_ = pattern;
  }
  ~TemporaryFolder() {
    if (std::system(("rm -rf '" + path_ + "'").c_str()) != 0) std::abort();
  }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

enum class Kind { tcp, unix_path };

inline const char* kind_name(Kind kind) { return kind == Kind::tcp ? "Tcp" : "Unix"; }

// How a stream ended, as its reader saw it.
enum class StreamEnd { clean, reset, timed_out };

class Peer {
 public:
  Peer() = default;
  explicit Peer(int fd) : fd_(fd) { set_patience(); }
  Peer(Peer&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Peer& operator=(Peer&& other) noexcept {
    close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  ~Peer() { close(); }

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }

  // Not connected yet: descriptors can be made before they run out.
  static Peer make(Kind kind) {
    return Peer(::socket(kind == Kind::tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  }
  // 0 or an errno.
  int connect_to(const sys::Address& address) {
    int result;
    if (address.kind == sys::Address::Kind::tcp) {
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_port = htons(address.port);
      to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      result = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to);
    } else {
      sockaddr_un to{};
      to.sun_family = AF_UNIX;
      std::strcpy(to.sun_path, address.path.c_str());
      result = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to);
    }
    return result == 0 ? 0 : errno;
  }
  static Peer connected(const sys::Address& address) {
    Peer peer = make(address.kind == sys::Address::Kind::tcp ? Kind::tcp : Kind::unix_path);
    const int error = peer.connect_to(address);
    EXPECT_EQ(error, 0) << std::strerror(error);
    if (address.kind == sys::Address::Kind::tcp) {
      const int on = 1;
      ::setsockopt(peer.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return peer;
  }

  // False when the other side is gone (or takes nothing for too long).
  bool send_all(const void* bytes, size_t count) {
    const char* at = static_cast<const char*>(bytes);
    while (count > 0) {
      const ssize_t sent = ::send(fd_, at, count, MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return false;
      at += sent;
      count -= static_cast<size_t>(sent);
    }
    return true;
  }
  bool send_text(const std::string& text) { return send_all(text.data(), text.size()); }
  // What the kernel takes without waiting.
  size_t send_until_full(size_t at_most) {
    std::vector<char> block(16 * 1024, 'x');
    size_t total = 0;
    while (total < at_most) {
      const ssize_t sent = ::send(fd_, block.data(), block.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent <= 0) break;
      total += static_cast<size_t>(sent);
    }
    return total;
  }
  // Exactly `count` bytes, or what came before the end.
  std::string receive(size_t count) {
    std::string all(count, '\0');
    size_t have = 0;
    while (have < count) {
      const ssize_t got = ::recv(fd_, all.data() + have, count - have, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      have += static_cast<size_t>(got);
    }
    all.resize(have);
    return all;
  }
  // Everything up to the end; says how it ended.
  std::string receive_to_end(StreamEnd* how) {
    std::string all;
    std::vector<char> block(64 * 1024);
    for (;;) {
      const ssize_t got = ::recv(fd_, block.data(), block.size(), 0);
      if (got > 0) {
        all.append(block.data(), static_cast<size_t>(got));
      } else if (got == 0) {
        *how = StreamEnd::clean;
        return all;
      } else if (errno != EINTR) {
        *how = errno == ECONNRESET ? StreamEnd::reset : StreamEnd::timed_out;
        return all;
      }
    }
  }
  StreamEnd end() {
    StreamEnd how;
    EXPECT_EQ(receive_to_end(&how), "");
    return how;
  }
  // Whether there is something to read: bytes, an end or an error.
  [[nodiscard]] bool readable_within(int wait_ms) const {
    pollfd poller{fd_, POLLIN, 0};
    return ::poll(&poller, 1, wait_ms) > 0;
  }
  void wait_until_acknowledged() const {
    EXPECT_TRUE(eventually([&] {
      int bytes = 0;
      return ::ioctl(fd_, SIOCOUTQ, &bytes) == 0 && bytes == 0;
    }));
  }
  void set_buffers(int bytes) {
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  }

  void shutdown_write() { ::shutdown(fd_, SHUT_WR); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  // TCP: an RST.
  void reset() {
    const linger abort{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    close();
  }

 private:
  void set_patience() {
    const timeval limit{patience_ms / 1000, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }
  int fd_ = -1;
};

// A listening socket that a test accepts from by hand.
class TestServer {
 public:
  TestServer(Kind kind, const TemporaryFolder& folder, const std::string& name = "upstream",
             int backlog = 1024) {
    fd_ = ::socket(kind == Kind::tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (kind == Kind::tcp) {
      sockaddr_in at{};
      at.sin_family = AF_INET;
      at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      if (::bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) std::abort();
      socklen_t length = sizeof at;
      ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &length);
      address_.kind = sys::Address::Kind::tcp;
      address_.host = "127.0.0.1";
      address_.port = ntohs(at.sin_port);
    } else {
      address_.kind = sys::Address::Kind::unix_path;
      address_.path = folder.file(name);
      sockaddr_un at{};
      at.sun_family = AF_UNIX;
      std::strcpy(at.sun_path, address_.path.c_str());
      ::unlink(at.sun_path);
      if (::bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) std::abort();
    }
    if (::listen(fd_, backlog) != 0) std::abort();
    const timeval limit{patience_ms / 1000, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  ~TestServer() { close(); }
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  [[nodiscard]] const sys::Address& address() const { return address_; }
  // Invalid when nobody came, or the server was shut.
  Peer accept() const {
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    return fd >= 0 ? Peer(fd) : Peer();
  }
  [[nodiscard]] bool somebody_waits(int wait_ms) const {
    pollfd poller{fd_, POLLIN, 0};
    return ::poll(&poller, 1, wait_ms) > 0;
  }
  // Makes an accept() in another thread return.
  void shut() { ::shutdown(fd_, SHUT_RDWR); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
  sys::Address address_;
};

// A TCP listener whose queue is full drops handshakes: connecting to it never ends by itself.
class SilentPort {
 public:
  explicit SilentPort(const TemporaryFolder& folder) : server_(Kind::tcp, folder, "", 0) {
    for (int i = 0; i < 8; ++i) {
      Peer peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      peer.connect_to(server_.address());
      fillers_.push_back(std::move(peer));
    }
    // The queue holds what was acknowledged before it was full.
    EXPECT_TRUE(server_.somebody_waits(patience_ms));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ~SilentPort() {
    if (!awake_.joinable()) return;
    server_.shut();
    awake_.join();
  }
  [[nodiscard]] const sys::Address& address() const { return server_.address(); }
  // From now on it takes each connection and says this.
  void wake(const std::string& answer) {
    fillers_.clear();
    awake_ = std::thread([this, answer] {
      for (Peer peer = server_.accept(); peer.valid(); peer = server_.accept()) {
        peer.send_text(answer);
      }
    });
  }

 private:
  TestServer server_;
  std::vector<Peer> fillers_;
  std::thread awake_;
};

inline sys::Address unix_address(const std::string& path) {
  sys::Address address;
  address.kind = sys::Address::Kind::unix_path;
  address.path = path;
  return address;
}

inline sys::Address tcp_address(const std::string& host, uint16_t port) {
  sys::Address address;
  address.host = host;
  address.port = port;
  return address;
}

// Answers each connection with its name and closes it when the client did; counts them.
class NamedServer {
 public:
  NamedServer(Kind kind, const TemporaryFolder& folder, std::string name)
      : server_(kind, folder, name), name_(std::move(name)), thread_([this] { serve(); }) {}
  ~NamedServer() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    server_.shut();
    thread_.join();
    server_.close();
  }
  [[nodiscard]] const sys::Address& address() const { return server_.address(); }
  [[nodiscard]] int served() const { return served_; }

 private:
  void serve() {
    for (;;) {
      Peer peer = server_.accept();
      if (!peer.valid()) return;
      ++served_;
      peer.send_text(name_);
    }
  }
  TestServer server_;
  std::string name_;
  std::atomic<int> served_{0};
  std::thread thread_;
};

inline std::string ask(const sys::Address& address) {
  Peer client = Peer::connected(address);
  StreamEnd how;
  return client.receive_to_end(&how);
}

struct SeenEvents final : ForwarderEvents {
  void on_upstream_unreachable(size_t upstream, const std::string&,
                               const sys::Status& reason) override {
    const std::lock_guard lock(mutex);
    unreachable.push_back(upstream);
    reasons.push_back(reason.message());
  }
  void on_upstream_reachable(size_t upstream, const std::string&) override {
    const std::lock_guard lock(mutex);
    reachable.push_back(upstream);
  }
  void on_upstream_change(const UpstreamChange& change) override {
    const std::lock_guard lock(mutex);
    changes.push_back(change.address + " " + std::string(name_of(change.state)) + " " +
                      std::string(name_of(change.health)));
  }
  void on_accept_paused(const sys::Status& reason) override {
    const std::lock_guard lock(mutex);
    pauses.push_back(reason.message());
  }
  void on_header_refused(const std::string& message) override {
    const std::lock_guard lock(mutex);
    refusals.push_back(message);
  }
  std::mutex mutex;
  std::vector<size_t> unreachable;
  std::vector<size_t> reachable;
  std::vector<std::string> reasons;
  std::vector<std::string> changes;
  std::vector<std::string> pauses;
  std::vector<std::string> refusals;
};

// A forwarder and the thread that runs its loop.
class Rig {
 public:
  explicit Rig(ForwarderOptions options) {
    EXPECT_TRUE(loop_.init().ok());
    if (!options.listen.unix_path.empty()) {
      unix_.kind = sys::Address::Kind::unix_path;
      unix_.path = options.listen.unix_path;
    }
    auto started = Forwarder::start(loop_, std::move(options), &events);
    EXPECT_TRUE(started.ok()) << started.status().message();
    if (!started.ok()) return;
    forwarder_ = std::move(started).value();
    tcp_.host = "127.0.0.1";
    tcp_.port = forwarder_->port();
    thread_ = sys::start_thread("forward test", [this] { loop_.run(); }).value();
  }
  ~Rig() { stop(); }

  void stop() {
    if (thread_.joinable()) {
      loop_.stop();
      thread_.join();
    }
    forwarder_.reset();
  }
  Forwarder* operator->() { return forwarder_.get(); }
  [[nodiscard]] const sys::Address& address(Kind kind) const {
    return kind == Kind::tcp ? tcp_ : unix_;
  }
  sys::EventLoop& loop() { return loop_; }
  // Until all sessions ended by themselves.
  void expect_idle() {
    EXPECT_TRUE(eventually([&] { return forwarder_->stats().active == 0; }));
    EXPECT_EQ(forwarder_->stats().buffers_in_use, 0u);
    EXPECT_EQ(forwarder_->stats().pipes_in_use, 0u);
  }
  // Runs `work` on the loop's thread and waits for it.
  void on_loop(const std::function<void()>& work) { test::call_on(loop_, work); }

  SeenEvents events;

 private:
  sys::EventLoop loop_;
  std::unique_ptr<Forwarder> forwarder_;
  sys::Thread thread_;
  sys::Address tcp_;
  sys::Address unix_;
};

// Each connects and says hello, until accepting has rested a few times for want of descriptors.
inline void greet_until_it_rests(Rig& rig, std::vector<Peer>& clients) {
  const uint64_t before = rig->stats().accept_pauses;
  for (Peer& client : clients) {
    ASSERT_EQ(client.connect_to(rig.address(Kind::tcp)), 0);
    ASSERT_TRUE(client.send_text("hello"));
  }
  ASSERT_TRUE(eventually([&] { return rig->stats().accept_pauses >= before + 3; }));
}

// As many arrive, each with its hello.
inline void expect_greetings(TestServer& server, int count) {
  for (int i = 0; i < count; ++i) {
    Peer upstream = server.accept();
    ASSERT_TRUE(upstream.valid());
    EXPECT_EQ(upstream.receive(5), "hello");
  }
}

// Leaves exactly `left` descriptors to be opened, until it goes.
class FewDescriptors {
 public:
  explicit FewDescriptors(int left) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    // Fills the gaps, so that the limit alone says how many are left.
    std::vector<bool> open;
    DIR* folder = ::opendir("/proc/self/fd");
    while (const dirent* entry = ::readdir(folder)) {
      const auto fd = static_cast<size_t>(std::atoi(entry->d_name));
      if (entry->d_name[0] == '.' || static_cast<int>(fd) == ::dirfd(folder)) continue;
      if (open.size() <= fd) open.resize(fd + 1);
      open[fd] = true;
    }
    ::closedir(folder);
    for (size_t fd = 0; fd < open.size(); ++fd) {
      if (!open[fd]) fillers_.push_back(::dup(0));
    }
    rlimit few = before_;
    few.rlim_cur = open.size() + static_cast<size_t>(left);
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  }
  ~FewDescriptors() {
    ::setrlimit(RLIMIT_NOFILE, &before_);
    for (const int fd : fillers_) ::close(fd);
  }

 private:
  rlimit before_{};
  std::vector<int> fillers_;
};

inline ForwarderOptions options_for(const TemporaryFolder& folder,
                                    std::vector<sys::Address> upstreams) {
  ForwarderOptions options = test::forwarder_options();
  options.name = "under test";
  options.listen.host = "127.0.0.1";
  options.listen.port = 0;
  options.listen.unix_path = folder.file("listen");
  options.upstreams = std::move(upstreams);
  return options;
}

// Bytes that tell their position, so that a lost, doubled or swapped one is seen.
inline void fill_pattern(char* bytes, size_t count, uint64_t position, uint64_t stream) {
  for (size_t i = 0; i < count; ++i) {
    uint64_t x = (position + i + 1) * 0x9E3779B97F4A7C15u + stream * 0xD1B54A32D192ED03u;
    x ^= x >> 29;
    bytes[i] = static_cast<char>(x * 0xBF58476D1CE4E5B9u >> 56);
  }
}

inline bool send_pattern(Peer& peer, uint64_t total, uint64_t stream, size_t block_bytes) {
  std::vector<char> block(block_bytes);
  for (uint64_t at = 0; at < total;) {
    const size_t count = static_cast<size_t>(std::min<uint64_t>(block_bytes, total - at));
    fill_pattern(block.data(), count, at, stream);
    if (!peer.send_all(block.data(), count)) return false;
    at += count;
  }
  return true;
}

// Bytes that were as they should be, up to the first that was not.
inline uint64_t receive_pattern(Peer& peer, uint64_t total, uint64_t stream,
                                const std::function<void(uint64_t)>& each_read = {}) {
  std::vector<char> got(128 * 1024);
  std::vector<char> expected(got.size());
  uint64_t at = 0;
  while (at < total) {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(got.size(), total - at));
    const ssize_t count = ::recv(peer.fd(), got.data(), want, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return at;
    fill_pattern(expected.data(), static_cast<size_t>(count), at, stream);
    if (std::memcmp(got.data(), expected.data(), static_cast<size_t>(count)) != 0) return at;
    at += static_cast<uint64_t>(count);
    if (each_read) each_read(at);
  }
  return at;
}

}  // namespace espora::forward
