#include "sys/sockets.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "sys/limits.h"

namespace espora::sys {
namespace {

class Sockets : public ::testing::Test {
 protected:
  Sockets() {
    char pattern[] = "/tmp/espora-sockets-XXXXXX";
    if (::mkdtemp(pattern) == nullptr) std::abort();
    folder = pattern;
  }
  ~Sockets() override {
    if (std::system(("rm -rf '" + folder + "'").c_str()) != 0) std::abort();
  }
  [[nodiscard]] std::string path(const std::string& name) const { return folder + "/" + name; }
  static ResolvedAddress resolved(const Address& address) {
    auto all = resolve(address);
    EXPECT_TRUE(all.ok()) << all.status().message();
    return all.value().front();
  }
  static ResolvedAddress unix_at(const std::string& path) {
    Address address;
    address.kind = Address::Kind::unix_path;
    address.path = path;
    return resolved(address);
  }
  static ResolvedAddress tcp_at(uint16_t port) {
    Address address;
    address.host = "127.0.0.1";
    address.port = port;
    return resolved(address);
  }
  // A TCP connection over loopback.
  static std::pair<Fd, Fd> connected_pair(const Listener& listener) {
    Connecting connecting = start_connect(tcp_at(listener.port()));
    EXPECT_NE(connecting.outcome, ConnectOutcome::refused);
    pollfd wait{listener.fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&wait, 1, 10'000), 1);
    Accepted accepted = accept_connection(listener.fd());
    EXPECT_EQ(accepted.outcome, AcceptOutcome::accepted);
    return {std::move(connecting.fd), std::move(accepted.fd)};
  }
  static Result<Listener> on_loopback() {
    auto all = Listener::tcp("127.0.0.1", 0);
    if (!all.ok()) return all.status();
    return std::move(all.value().front());
  }
  std::string folder;
};

// --- addresses -------------------------------------------------------------------------------

TEST_F(Sockets, AddressesAreRead) {
  const auto tcp = [](std::string_view text) {
    auto address = Address::parse(text);
    EXPECT_TRUE(address.ok()) << address.status().message();
    EXPECT_EQ(address.value().kind, Address::Kind::tcp);
    EXPECT_EQ(address.value().to_string(), text);
    return address.value().host + " " + std::to_string(address.value().port);
  };
  EXPECT_EQ(tcp("localhost:9999"), "localhost 9999");
  EXPECT_EQ(tcp("127.0.0.1:1"), "127.0.0.1 1");
  EXPECT_EQ(tcp("[::1]:65535"), "::1 65535");
  for (const char* text : {"/run/espora/api.sock", "./api", "a/b"}) {
    auto address = Address::parse(text);
    ASSERT_TRUE(address.ok());
    EXPECT_EQ(address.value().kind, Address::Kind::unix_path);
    EXPECT_EQ(address.value().path, text);
    EXPECT_EQ(address.value().to_string(), text);
  }
}

TEST_F(Sockets, SpellingsOfOnePlaceHaveOneKey) {
  const auto key = [](const char* text) { return Address::parse(text).value().key(); };
  EXPECT_EQ(key("A.Test:80"), key("a.test.:080"));
  EXPECT_EQ(key("[::1]:80"), key("[0:0::0:1]:80"));
  EXPECT_EQ(key("127.0.0.1:80"), key("[::ffff:127.0.0.1]:80"));
  EXPECT_EQ(key("/run/a"), key("//run/.///a"));
  EXPECT_EQ(key("./a/b"), key("a/./b"));
  EXPECT_EQ(key(".//a/b"), key("a/b"));
  for (const char* other : {"/run/b", "run/a", "/run/a/", "/runa", "/run/.a", "/run/a."}) {
    EXPECT_NE(key("/run/a"), key(other));
  }
  EXPECT_NE(key("a.test:80"), key("a.test:81"));
}

TEST_F(Sockets, AddressesThatAreNoneAreRefused) {
  for (const char* text : {"", "host", ":80", "host:", "host:0", "host:65536", "host:80x",
                           "host:-1", "host: 80", "::1:80", "[::1]", "[]:80", "host:+80"}) {
    auto address = Address::parse(text);
    ASSERT_FALSE(address.ok()) << text;
    EXPECT_EQ(address.status().code(), Code::invalid);
    EXPECT_NE(address.status().message().find("expected host:port"), std::string::npos);
  }
  // What looks like a URL, or like a host and port, is no path by mistake.
  for (const auto& [text, said] : std::vector<std::pair<const char*, const char*>>{
           {"http://host", "write host:port alone"},
           {"tcp://10.0.0.1:80", "write host:port alone"},
           {"unix:/run/a.sock", "write the path alone"},
           {"unix:///run/a.sock", "write the path alone"},
           {"localhost:80/", "neither host:port nor a path"}}) {
    auto address = Address::parse(text);
    ASSERT_FALSE(address.ok()) << text;
    EXPECT_NE(address.status().message().find(said), std::string::npos) << text;
  }
  EXPECT_TRUE(Address::parse("/run/a:1/b").ok());
  EXPECT_TRUE(Address::parse("./localhost:80/a").ok());
  auto longer = Address::parse("/" + std::string(limits::unix_path_bytes_max, 'x'));
  ASSERT_FALSE(longer.ok());
  EXPECT_NE(longer.status().message().find("has 108 bytes; the most is 107"), std::string::npos);
  EXPECT_TRUE(Address::parse("/" + std::string(limits::unix_path_bytes_max - 1, 'x')).ok());
}

TEST_F(Sockets, AnUnknownNameIsUnavailable) {
  Address address;
  address.host = "no-such-host.invalid";
  address.port = 80;
  auto all = resolve(address);
  ASSERT_FALSE(all.ok());
  EXPECT_EQ(all.status().code(), Code::unavailable);
}

// --- unix listeners --------------------------------------------------------------------------

TEST_F(Sockets, AUnixListenerTakesItsModeAndGoesWithItsPath) {
  const std::string at = path("socket");
  {
    auto listener = Listener::unix_path(at, 0660);
    ASSERT_TRUE(listener.ok()) << listener.status().message();
    struct stat status {};
    ASSERT_EQ(::stat(at.c_str(), &status), 0);
    EXPECT_TRUE(S_ISSOCK(status.st_mode));
    EXPECT_EQ(status.st_mode & 0777u, 0660u);
    EXPECT_EQ(start_connect(unix_at(at)).outcome, ConnectOutcome::connected);
    EXPECT_EQ(std::system(("test \"$(ls '" + folder + "')\" = socket").c_str()), 0);
  }
  EXPECT_NE(::access(at.c_str(), F_OK), 0);
}

TEST_F(Sockets, ADeadSocketIsReplacedAndALiveOneIsNot) {
  const std::string at = path("socket");
  const int dead = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::strcpy(name.sun_path, at.c_str());
  ASSERT_EQ(::bind(dead, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  ::close(dead);
  auto listener = Listener::unix_path(at, 0600);
  ASSERT_TRUE(listener.ok()) << listener.status().message();
  auto second = Listener::unix_path(at, 0600);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), Code::address_in_use);
  EXPECT_EQ(start_connect(unix_at(at)).outcome, ConnectOutcome::connected);
}

// Alive, though connecting to it as a stream is refused: another type, or a full queue.
TEST_F(Sockets, SomebodyElsesSocketIsNotReplaced) {
  const std::string at = path("socket");
  const Fd other(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::strcpy(name.sun_path, at.c_str());
  ASSERT_EQ(::bind(other.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  ASSERT_EQ(::listen(other.get(), 1), 0);
  auto listener = Listener::unix_path(at, 0600);
  ASSERT_FALSE(listener.ok());
  EXPECT_EQ(listener.status().code(), Code::address_in_use);

  auto full = Listener::unix_path(path("full"), 0600);
  ASSERT_TRUE(full.ok());
  ASSERT_EQ(::listen(full.value().fd(), 0), 0);
  std::vector<Connecting> waiting;
  while (waiting.empty() || waiting.back().outcome == ConnectOutcome::connected) {
    waiting.push_back(start_connect(unix_at(path("full"))));
  }
  EXPECT_EQ(waiting.back().outcome, ConnectOutcome::backlog_full);
  EXPECT_EQ(Listener::unix_path(path("full"), 0600).status().code(), Code::address_in_use);
}

TEST_F(Sockets, WhatIsNoSocketIsLeftAlone) {
  const std::string at = path("file");
  ASSERT_EQ(std::system(("echo precious > '" + at + "'").c_str()), 0);
  auto listener = Listener::unix_path(at, 0600);
  ASSERT_FALSE(listener.ok());
  EXPECT_EQ(listener.status().code(), Code::exists);
  EXPECT_EQ(std::system(("grep -q precious '" + at + "'").c_str()), 0);
}

TEST_F(Sockets, OnlyOurOwnPathIsRemoved) {
  const std::string at = path("socket");
  auto first = Listener::unix_path(at, 0600);
  ASSERT_TRUE(first.ok());
  ASSERT_EQ(::rename(at.c_str(), path("moved").c_str()), 0);
  auto second = Listener::unix_path(at, 0600);
  ASSERT_TRUE(second.ok());
  first.value().close();
  EXPECT_EQ(start_connect(unix_at(at)).outcome, ConnectOutcome::connected);
}

TEST_F(Sockets, AMovedListenerKeepsItsPath) {
  const std::string at = path("socket");
  Listener kept;
  {
    auto listener = Listener::unix_path(at, 0600);
    ASSERT_TRUE(listener.ok());
    kept = std::move(listener).value();
  }
  EXPECT_EQ(start_connect(unix_at(at)).outcome, ConnectOutcome::connected);
  kept = Listener();
  EXPECT_NE(::access(at.c_str(), F_OK), 0);
}

TEST_F(Sockets, AListenerThatCannotBeSaysWhy) {
  EXPECT_EQ(Listener::unix_path(path("no/such/folder"), 0600).status().code(), Code::not_found);
  const std::string at = "/tmp/" + std::string(102, 'x');
  auto listener = Listener::unix_path(at, 0600);
  ASSERT_FALSE(listener.ok());
  EXPECT_NE(listener.status().message().find("choose a shorter one"), std::string::npos);
  auto taken = Listener::tcp("127.0.0.1", 0);
  ASSERT_TRUE(taken.ok());
  const uint16_t port = taken.value().front().port();
  EXPECT_NE(port, 0);
  EXPECT_EQ(Listener::tcp("127.0.0.1", port).status().code(), Code::address_in_use);
  // 192.0.2.0/24 is nobody's (RFC 5737).
  const auto absent = Listener::tcp("192.0.2.1", 0);
  ASSERT_FALSE(absent.ok());
  EXPECT_EQ(absent.status().error(), EADDRNOTAVAIL);
}

// --- several addresses -----------------------------------------------------------------------

// Where a name's listeners are.
std::vector<std::string> addresses_of(const std::vector<Listener>& listeners) {
  std::vector<std::string> all;
  for (const Listener& each : listeners) all.push_back(each.address());
  return all;
}

bool has_version_6() { return Listener::tcp("::1", 0).ok(); }

TEST_F(Sockets, LocalhostIsEveryLoopbackAddressOnOnePort) {
  for (const char* name : {"localhost", "LocalHost", "localhost."}) {
    auto chosen = Listener::tcp(name, 0);
    ASSERT_TRUE(chosen.ok()) << chosen.status().message();
    const std::string port = std::to_string(chosen.value().front().port());
    std::vector<std::string> expected{"127.0.0.1:" + port};
    if (has_version_6()) expected.push_back("[::1]:" + port);
    EXPECT_EQ(addresses_of(chosen.value()), expected);
    for (const std::string& address : expected) {
      const Connecting client = start_connect(resolved(Address::parse(address).value()));
      EXPECT_NE(client.outcome, ConnectOutcome::refused) << address;
    }
  }
  // A port that is asked for.
  uint16_t free = 0;
  {
    auto chosen = Listener::tcp("localhost", 0);
    ASSERT_TRUE(chosen.ok());
    free = chosen.value().front().port();
  }
  auto asked = Listener::tcp("localhost", free);
  ASSERT_TRUE(asked.ok()) << asked.status().message();
  for (const Listener& each : asked.value()) EXPECT_EQ(each.port(), free);
}

// Half a name would be served by somebody else.
TEST_F(Sockets, ANameOfWhichOneAddressIsTakenIsTaken) {
  for (const char* one : {"127.0.0.1", "::1"}) {
    auto other = Listener::tcp(one, 0);
    if (!other.ok()) continue;  // no IPv6 here
    const Listener& taken = other.value().front();
    const auto refused = Listener::tcp("localhost", taken.port());
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.status().code(), Code::address_in_use);
    if (has_version_6()) {
      EXPECT_NE(refused.status().message().find("(" + taken.address() + ")"), std::string::npos)
          << refused.status().message();
    }
  }
}

TEST_F(Sockets, AListenerSaysWhereItIs) {
  auto numeric = Listener::tcp("0.0.0.0", 0);
  ASSERT_TRUE(numeric.ok());
  EXPECT_EQ(addresses_of(numeric.value()),
            std::vector{"0.0.0.0:" + std::to_string(numeric.value().front().port())});
  auto own = Listener::unix_path(path("own"), 0600);
  ASSERT_TRUE(own.ok());
  EXPECT_EQ(own.value().address(), path("own"));
}

// --- listeners of somebody else --------------------------------------------------------------

TEST_F(Sockets, AListenerIsTakenOver) {
  // As a service manager opens them: blocking, and inherited across exec(2).
  const Fd tcp(::socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_EQ(::listen(tcp.get(), 8), 0);  // the kernel chooses a port
  const Fd unix_socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  std::strcpy(at.sun_path, path("theirs").c_str());
  ASSERT_EQ(::bind(unix_socket.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  ASSERT_EQ(::listen(unix_socket.get(), 8), 0);
  {
    // Somebody waits already: not lost.
    const Connecting early = start_connect(unix_at(path("theirs")));
    ASSERT_EQ(early.outcome, ConnectOutcome::connected);
    const int ours = ::dup(unix_socket.get());
    auto taken = Listener::inherited(ours);
    ASSERT_TRUE(taken.ok()) << taken.status().message();
    EXPECT_EQ(taken.value().fd(), ours);
    EXPECT_FALSE(taken.value().tcp());
    EXPECT_EQ(taken.value().address(), path("theirs"));
    EXPECT_EQ(taken.value().port(), 0);
    EXPECT_NE(::fcntl(ours, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(ours, F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_EQ(accept_connection(ours).outcome, AcceptOutcome::accepted);
    EXPECT_EQ(accept_connection(ours).outcome, AcceptOutcome::none);
  }
  EXPECT_EQ(::access(path("theirs").c_str(), F_OK), 0) << "the path is not ours to remove";

  auto taken = Listener::inherited(::dup(tcp.get()));
  ASSERT_TRUE(taken.ok()) << taken.status().message();
  EXPECT_TRUE(taken.value().tcp());
  ASSERT_NE(taken.value().port(), 0);
  EXPECT_EQ(taken.value().address(), "0.0.0.0:" + std::to_string(taken.value().port()));
  auto [client, server] = connected_pair(taken.value());
  int on = 0;
  socklen_t length = sizeof on;
  EXPECT_EQ(::getsockopt(server.get(), IPPROTO_TCP, TCP_NODELAY, &on, &length), 0);
  EXPECT_NE(on, 0) << "what it accepts inherits it";
}

// unix(7): in no file system; ss(8) and systemd write it like this.
TEST_F(Sockets, AnAbstractListenerIsNamedWithAnAt) {
  Fd theirs(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  const std::string name = "espora-test-" + std::to_string(::getpid());
  std::memcpy(at.sun_path + 1, name.data(), name.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  ASSERT_EQ(::bind(theirs.get(), reinterpret_cast<sockaddr*>(&at), length), 0);
  ASSERT_EQ(::listen(theirs.get(), 8), 0);
  auto taken = Listener::inherited(theirs.release());
  ASSERT_TRUE(taken.ok());
  EXPECT_EQ(taken.value().address(), "@" + name);
}

// Refused, and still its owner's: neither closed nor changed.
TEST_F(Sockets, WhatDoesNotListenIsNotTakenOver) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  int pair_ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair_ends), 0);
  const Fd pipe_reader(pipe_ends[0]);
  const Fd pipe_writer(pipe_ends[1]);
  const Fd connected(pair_ends[0]);
  const Fd other_end(pair_ends[1]);
  const Fd bare(::socket(AF_INET, SOCK_STREAM, 0));
  const Fd datagrams(::socket(AF_INET, SOCK_DGRAM, 0));
  const Fd messages(::socket(AF_UNIX, SOCK_SEQPACKET, 0));
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  std::strcpy(at.sun_path, path("messages").c_str());
  ASSERT_EQ(::bind(messages.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  ASSERT_EQ(::listen(messages.get(), 8), 0);  // listens, but carries no stream
  for (const Fd* fd : {&pipe_reader, &connected, &bare, &datagrams, &messages}) {
    const auto refused = Listener::inherited(fd->get());
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.status().code(), Code::invalid);
    EXPECT_NE(refused.status().message().find("descriptor " + std::to_string(fd->get())),
              std::string::npos);
    EXPECT_EQ(::fcntl(fd->get(), F_GETFD), 0);
    EXPECT_EQ(::fcntl(fd->get(), F_GETFL) & O_NONBLOCK, 0);
  }
  for (const int none : {-1, 1'000'000}) {
    EXPECT_EQ(Listener::inherited(none).status().code(), Code::invalid);
  }
}

// --- connecting ------------------------------------------------------------------------------

TEST_F(Sockets, ConnectsEndAsTheyShould) {
  EXPECT_EQ(start_connect(unix_at(path("nobody"))).outcome, ConnectOutcome::refused);
  EXPECT_EQ(start_connect(unix_at(path("nobody"))).error, ENOENT);
  uint16_t port = 0;
  {
    auto listener = on_loopback();
    ASSERT_TRUE(listener.ok());
    port = listener.value().port();
  }
  Connecting refused = start_connect(tcp_at(port));
  if (refused.outcome == ConnectOutcome::in_progress) {
    pollfd wait{refused.fd.get(), POLLOUT, 0};
    ASSERT_EQ(::poll(&wait, 1, 10'000), 1);
    EXPECT_EQ(socket_error(refused.fd.get()), ECONNREFUSED);
  } else {
    EXPECT_EQ(refused.outcome, ConnectOutcome::refused);
  }
}

TEST_F(Sockets, WithoutDescriptorsItIsOurOwnShortage) {
  auto listener = Listener::unix_path(path("socket"), 0600);
  ASSERT_TRUE(listener.ok());
  const ResolvedAddress address = unix_at(path("socket"));
  Connecting waiting = start_connect(address);
  ASSERT_EQ(waiting.outcome, ConnectOutcome::connected);
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  rlimit none = before;
  none.rlim_cur = 3;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const Connecting connecting = start_connect(address);
  const Accepted accepted = accept_connection(listener.value().fd());
  const Fd spare = open_spare_descriptor();
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(connecting.outcome, ConnectOutcome::local_error);
  EXPECT_EQ(connecting.error, EMFILE);
  EXPECT_EQ(accepted.outcome, AcceptOutcome::exhausted);
  EXPECT_EQ(accepted.error, EMFILE);
  EXPECT_FALSE(spare.valid());
  // The connection was not lost by it.
  EXPECT_EQ(accept_connection(listener.value().fd()).outcome, AcceptOutcome::accepted);
  EXPECT_EQ(accept_connection(listener.value().fd()).outcome, AcceptOutcome::none);
  EXPECT_TRUE(open_spare_descriptor().valid());
}

TEST_F(Sockets, AConnectionToItselfIsRecognised) {
  // Bound to a port and connected to the same: TCP's simultaneous open, with itself.
  const Fd self(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(self.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  socklen_t length = sizeof at;
  ASSERT_EQ(::getsockname(self.get(), reinterpret_cast<sockaddr*>(&at), &length), 0);
  EXPECT_FALSE(is_connected_to_itself(self.get()));
  ASSERT_EQ(::connect(self.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  EXPECT_TRUE(is_connected_to_itself(self.get()));

  auto listener = on_loopback();
  ASSERT_TRUE(listener.ok());
  auto [client, server] = connected_pair(listener.value());
  EXPECT_FALSE(is_connected_to_itself(client.get()));
  EXPECT_FALSE(is_connected_to_itself(server.get()));
}

TEST_F(Sockets, EveryDescriptorIsNonBlockingAndCloseOnExec) {
  auto listener = on_loopback();
  ASSERT_TRUE(listener.ok());
  auto [client, server] = connected_pair(listener.value());
  auto unix_listener = Listener::unix_path(path("socket"), 0600);
  const Connecting unix_client = start_connect(unix_at(path("socket")));
  for (const int fd : {listener.value().fd(), client.get(), server.get(),
                       unix_listener.value().fd(), unix_client.fd.get()}) {
    char byte;
    EXPECT_EQ(::recv(fd, &byte, 1, 0), -1);
    EXPECT_TRUE(errno == EAGAIN || errno == ENOTCONN || errno == EINVAL) << errno;
    EXPECT_EQ(std::system(("test ! -e /proc/self/fd/" + std::to_string(fd)).c_str()), 0) << fd;
  }
}

// --- reading and writing ---------------------------------------------------------------------

TEST_F(Sockets, ReadsAndWritesSayWhatHappened) {
  auto listener = on_loopback();
  ASSERT_TRUE(listener.ok());
  auto [client, server] = connected_pair(listener.value());
  char buffer[16];
  IoResult result = receive(server.get(), buffer, sizeof buffer);
  EXPECT_TRUE(result.again);
  EXPECT_EQ(result.bytes, 0u);
  EXPECT_EQ(send(client.get(), "hello", 5).bytes, 5u);
  pollfd wait{server.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&wait, 1, 10'000), 1);
  EXPECT_EQ(peek(server.get(), buffer, sizeof buffer).bytes, 5u);
  EXPECT_EQ(peek(server.get(), buffer, sizeof buffer).bytes, 5u);
  EXPECT_EQ(receive(server.get(), buffer, sizeof buffer).bytes, 5u);
  EXPECT_EQ(std::string(buffer, 5), "hello");
  EXPECT_TRUE(peek(server.get(), buffer, sizeof buffer).again);
  shutdown_write(client.get());
  ASSERT_EQ(::poll(&wait, 1, 10'000), 1);
  EXPECT_TRUE(peek(server.get(), buffer, sizeof buffer).end);
  EXPECT_TRUE(receive(server.get(), buffer, sizeof buffer).end);
  client.reset();
  // The first write meets the closed socket, a later one knows of it. No SIGPIPE either way.
  for (int i = 0; i < 100; ++i) {
    result = send(server.get(), "x", 1);
    if (result.error != 0) break;
    ::usleep(1000);
  }
  EXPECT_TRUE(result.error == EPIPE || result.error == ECONNRESET) << result.error;
}

TEST_F(Sockets, AnEndThatFollowsIsSentWithItsBytes) {
  auto listener = on_loopback();
  ASSERT_TRUE(listener.ok());
  auto [client, server] = connected_pair(listener.value());
  ASSERT_EQ(send(client.get(), "all of it", 9, true).bytes, 9u);
  client.reset();
  pollfd wait{server.get(), POLLIN | POLLRDHUP, 0};
  ASSERT_EQ(::poll(&wait, 1, 10'000), 1);
  char buffer[16];
  EXPECT_EQ(receive(server.get(), buffer, sizeof buffer).bytes, 9u);
  EXPECT_TRUE(receive(server.get(), buffer, sizeof buffer).end);
}

TEST_F(Sockets, UnacknowledgedBytesAreSeen) {
  auto listener = on_loopback();
  ASSERT_TRUE(listener.ok());
  auto [client, server] = connected_pair(listener.value());
  EXPECT_EQ(unacknowledged_bytes(client.get()), 0u);
  const std::vector<char> block(64 * 1024);
  while (send(client.get(), block.data(), block.size()).bytes > 0) {
  }
  EXPECT_GT(unacknowledged_bytes(client.get()), 0u);  // more than the other side's window
  std::vector<char> sink(1 << 20);
  for (int i = 0; i < 10'000 && unacknowledged_bytes(client.get()) > 0; ++i) {
    if (receive(server.get(), sink.data(), sink.size()).again) ::usleep(1000);
  }
  EXPECT_EQ(unacknowledged_bytes(client.get()), 0u);
}

TEST_F(Sockets, ResetOnCloseIsAReset) {
  auto listener = on_loopback();
  ASSERT_TRUE(listener.ok());
  auto [client, server] = connected_pair(listener.value());
  reset_on_close(client.get());
  client.reset();
  pollfd wait{server.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&wait, 1, 10'000), 1);
  char byte;
  EXPECT_EQ(receive(server.get(), &byte, 1).error, ECONNRESET);
}

}  // namespace
}  // namespace espora::sys
