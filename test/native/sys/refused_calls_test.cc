// What sockets, the event loop, pipes, threads and paths say where the kernel refuses one of their
// calls: no failure looks like a success, and none takes somebody else's socket away.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "support/refused_calls.h"
#include "sys/event_loop.h"
#include "sys/pipe.h"
#include "sys/process.h"
#include "sys/socket_passing.h"
#include "sys/sockets.h"
#include "sys/thread.h"

namespace espora::sys {
namespace {

class RefusedCalls : public testing::Test {
 protected:
  RefusedCalls() {
    std::string name = (std::filesystem::temp_directory_path() / "espora-refused-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) std::abort();
    near_.reset(ends[0]);
    far_.reset(ends[1]);
  }
  ~RefusedCalls() override { std::filesystem::remove_all(folder_); }

  struct Row {
    const char* name;
    std::vector<long> calls;    // that the kernel refuses with EIO
    std::function<bool()> run;  // whether its caller is told
  };
  void expect_told(const std::vector<Row>& rows) const {
    for (const Row& row : rows) {
      const auto told = test::where_refused(row.calls, EIO, row.run);
      if (!told.has_value()) GTEST_SKIP() << "no seccomp here";
      EXPECT_TRUE(*told) << row.name;
      // Nothing is left behind, the temporary name of a socket neither.
      EXPECT_TRUE(std::filesystem::is_empty(folder_)) << row.name;
    }
  }

  std::string folder_;
  Fd near_;
  Fd far_;
};

Status init() {
  EventLoop loop;
  return loop.init();
}

// As the status has it: the errno of the call that was refused.
bool has_it(const Status& status) { return status.error() == EIO; }

TEST_F(RefusedCalls, ByAListener) {
  const std::string path = folder_ + "/socket";
  const std::vector<long> stats = {SYS_lstat, SYS_stat, SYS_newfstatat};
  auto tcp = Listener::tcp("127.0.0.1", 0);
  ASSERT_TRUE(tcp.ok());
  const int inherited = tcp.value().front().fd();
  const auto listens = [&] { return has_it(Listener::tcp("127.0.0.1", 0).status()); };
  const auto listens_at = [&] { return has_it(Listener::unix_path(path, 0600).status()); };
  const auto takes_over = [&] { return !Listener::inherited(inherited).ok(); };
  expect_told({
      {"tcp, socket", {SYS_socket}, listens},
      {"tcp, setsockopt", {SYS_setsockopt}, listens},
      {"tcp, bind", {SYS_bind}, listens},
      {"tcp, listen", {SYS_listen}, listens},
      {"tcp, getsockname", {SYS_getsockname}, listens},
      {"unix, lstat", stats, listens_at},
      {"unix, socket", {SYS_socket}, listens_at},
      {"unix, bind", {SYS_bind}, listens_at},
      {"unix, chmod", {SYS_chmod, SYS_fchmodat}, listens_at},
      {"unix, listen", {SYS_listen}, listens_at},
      {"unix, rename", {SYS_rename, SYS_renameat, SYS_renameat2}, listens_at},
      {"inherited, getsockopt", {SYS_getsockopt}, takes_over},
      {"inherited, fcntl", {SYS_fcntl}, takes_over},
      {"inherited, getsockname", {SYS_getsockname}, takes_over},
      {"accept",
       {SYS_accept4},
       [&] { return accept_connection(inherited).outcome == AcceptOutcome::exhausted; }},
      {"local_endpoint", {SYS_getsockname}, [&] { return !local_endpoint(inherited).has_value(); }},
      {"peer_endpoint", {SYS_getpeername}, [&] { return !peer_endpoint(inherited).has_value(); }},
  });
}

TEST_F(RefusedCalls, OfASocket) {
  expect_told({
      {"receive",
       {SYS_recvfrom},
       [&] {
         char byte;
         const IoResult got = receive(near_.get(), &byte, 1);
         return got.error == EIO && !got.end && peek(near_.get(), &byte, 1).error == EIO;
       }},
      {"send", {SYS_sendto}, [&] { return send(near_.get(), "x", 1, false).error == EIO; }},
      {"socket_error", {SYS_getsockopt}, [&] { return socket_error(near_.get()) == EIO; }},
      {"is_trusted_peer", {SYS_getsockopt}, [&] { return !is_trusted_peer(near_.get(), {}); }},
      {"adopt, getsockopt",
       {SYS_getsockopt},
       [&] { return adopt_socket(near_.get()) == PassedKind::other; }},
      {"adopt, fcntl", {SYS_fcntl}, [&] { return adopt_socket(near_.get()) == PassedKind::other; }},
      {"send_sockets",
       {SYS_sendmsg},
       [&] { return send_sockets(near_.get(), "x", 1, {}).error == EIO; }},
      {"receive_sockets",
       {SYS_recvmsg},
       [&] {
         char byte;
         const SocketMessage got = receive_sockets(near_.get(), &byte, 1, {});
         return got.io.error == EIO && !got.io.end;
       }},
  });
}

TEST_F(RefusedCalls, OfTheLoopAndItsThread) {
  PipePool pipes(1);
  expect_told({
      {"loop, epoll_create1", {SYS_epoll_create1}, [] { return has_it(init()); }},
      {"loop, eventfd", {SYS_eventfd2}, [] { return has_it(init()); }},
      {"loop, epoll_ctl", {SYS_epoll_ctl}, [] { return has_it(init()); }},
      {"pipe", {SYS_pipe2}, [&] { return !pipes.lend().valid(); }},
      {"thread", {SYS_clone, SYS_clone3}, [&] { return !start_thread("x", [] {}).ok(); }},
      {"getcwd", {SYS_getcwd}, [] { return has_it(absolute_path("x").status()); }},
  });
}

TEST_F(RefusedCalls, WhatCannotBeLookedAtIsNotReplaced) {
  const std::string path = folder_ + "/socket";
  auto listener = Listener::unix_path(path, 0600);
  ASSERT_TRUE(listener.ok());
  const auto refused = test::where_refused({SYS_lstat, SYS_stat, SYS_newfstatat}, EACCES, [&] {
    return Listener::unix_path(path, 0600).status().code() == Code::permission;
  });
  if (!refused.has_value()) GTEST_SKIP() << "no seccomp here";
  EXPECT_TRUE(*refused);
  Address address;
  address.kind = Address::Kind::unix_path;
  address.path = path;
  auto resolved = resolve(address);
  ASSERT_TRUE(resolved.ok());
  EXPECT_EQ(start_connect(resolved.value().front()).outcome, ConnectOutcome::connected);
}

TEST_F(RefusedCalls, TooManyWatchesAreNoFullDisk) {
  const auto told = test::where_refused({SYS_epoll_ctl}, ENOSPC, [] {
    const Status status = init();
    return status.code() == Code::resources &&
           status.message().find("max_user_watches") != std::string::npos;
  });
  if (!told.has_value()) GTEST_SKIP() << "no seccomp here";
  EXPECT_TRUE(*told);
}

TEST_F(RefusedCalls, ALackOfDescriptorsIsNoUnknownName) {
  Address address;
  address.host = "name.invalid";
  address.port = 1;
  const auto told = test::where_refused({SYS_openat, SYS_socket}, EMFILE, [&] {
    return resolve(address).status().code() == Code::resources;
  });
  if (!told.has_value()) GTEST_SKIP() << "no seccomp here";
  EXPECT_TRUE(*told);
}

}  // namespace
}  // namespace espora::sys
