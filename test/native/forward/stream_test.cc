// Streams that are spliced: kernels and sandboxes without splice, small fragments, urgent data in
// the middle, descriptors that run out, and a session's longest life.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cstddef>

#include "forward/rig.h"
#include "sys/limits.h"

namespace espora::forward {
namespace {

// From here on splice(2) fails with `error` in the calling thread. False where no filter can be
// set.
bool forbid_splice(int error) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_splice, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (static_cast<unsigned>(error) & 0xffff)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{sizeof filter / sizeof filter[0], filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

struct Route {
  Kind client;
  Kind upstream;
};

class Streams : public ::testing::TestWithParam<Route> {
 protected:
  Streams() : server(GetParam().upstream, folder) {}

  void connect(ForwarderOptions options) {
    client.close();
    upstream.close();
    rig.reset();
    rig = std::make_unique<Rig>(std::move(options));
    client = Peer::connected(rig->address(GetParam().client));
    upstream = server.accept();
  }
  // Both ways at once, byte for byte.
  void expect_exact(uint64_t total) {
    std::thread client_sends([&] {
      EXPECT_TRUE(send_pattern(client, total, 1, 300'007));
      client.shutdown_write();
    });
    std::thread upstream_sends([&] {
      EXPECT_TRUE(send_pattern(upstream, total, 2, 65'536));
      upstream.shutdown_write();
    });
    std::thread upstream_reads([&] {
      EXPECT_EQ(receive_pattern(upstream, total, 1), total);
      EXPECT_EQ(upstream.end(), StreamEnd::clean);
    });
    EXPECT_EQ(receive_pattern(client, total, 2), total);
    EXPECT_EQ(client.end(), StreamEnd::clean);
    client_sends.join();
    upstream_sends.join();
    upstream_reads.join();
    rig->expect_idle();
  }

  TemporaryFolder folder;
  TestServer server;
  std::unique_ptr<Rig> rig;
  Peer client;
  Peer upstream;
};
INSTANTIATE_TEST_SUITE_P(
    Routes, Streams,
    ::testing::Values(Route{Kind::tcp, Kind::tcp}, Route{Kind::tcp, Kind::unix_path},
                      Route{Kind::unix_path, Kind::tcp}, Route{Kind::unix_path, Kind::unix_path}),
    [](const auto& tested) {
      return std::string(kind_name(tested.param.client)) + "To" + kind_name(tested.param.upstream);
    });

TEST_P(Streams, AreSpliced) {
  connect(options_for(folder, {server.address()}));
  expect_exact(16 << 20);
  EXPECT_GE((*rig)->stats().pipes_peak, 1u);
  EXPECT_LE((*rig)->stats().pipes_peak, 2u);
}

TEST_P(Streams, SmallMessagesAreNot) {
  connect(options_for(folder, {server.address()}));
  for (int round = 0; round < 500; ++round) {
    ASSERT_TRUE(client.send_text(std::string(1'000, 'q')));
    ASSERT_EQ(upstream.receive(1'000).size(), 1'000u);
    ASSERT_TRUE(upstream.send_text(std::string(20'000, 'a')));
    ASSERT_EQ(client.receive(20'000).size(), 20'000u);
  }
  EXPECT_EQ((*rig)->stats().pipes_peak, 0u);
}

TEST_P(Streams, AreCopiedWhereSpliceIsForbidden) {
  for (const int error : {ENOSYS, EINVAL, EPERM}) {
    connect(options_for(folder, {server.address()}));
    bool forbidden = false;
    rig->on_loop([&] { forbidden = forbid_splice(error); });
    if (!forbidden) GTEST_SKIP() << "this machine permits no seccomp filter";
    expect_exact(4 << 20);
    EXPECT_LE((*rig)->stats().pipes_peak, 2u);
  }
}

// It fails in the middle, with bytes on their way.
TEST_P(Streams, AreCopiedFromTheMomentSpliceIsForbidden) {
  constexpr uint64_t total = 32 << 20;
  connect(options_for(folder, {server.address()}));
  std::thread sender([&] {
    EXPECT_TRUE(send_pattern(client, total / 4, 3, 100'000));
    EXPECT_TRUE(send_pattern(client, total, 1, 100'000));
    client.shutdown_write();
  });
  // It is a stream, and then its reader waits until a pipe holds bytes for it, or a buffer, where
  // it stalled before it was spliced once more.
  EXPECT_EQ(receive_pattern(upstream, total / 4, 3), total / 4);
  EXPECT_TRUE(eventually([&] {
    const auto stats = (*rig)->stats();
    return stats.pipes_in_use + stats.buffers_in_use >= 1;
  }));
  bool forbidden = false;
  rig->on_loop([&] { forbidden = forbid_splice(EINVAL); });
  EXPECT_EQ(receive_pattern(upstream, total, 1), total);
  sender.join();
  if (!forbidden) GTEST_SKIP() << "this machine permits no seccomp filter";
}

// A pipe has sixteen slots, however little is in each.
TEST_P(Streams, OfSmallFragmentsDoNotStopAtAFullPipe) {
  constexpr uint64_t total = 6 << 20;
  connect(options_for(folder, {server.address()}));
  std::thread sender([&] {
    EXPECT_TRUE(send_pattern(client, total / 2, 1, 500'000));  // becomes a stream
    EXPECT_TRUE(send_pattern(client, 100'000, 3, 97));
    EXPECT_TRUE(send_pattern(client, total / 2, 1, 500'000));
  });
  const auto slowly = [](uint64_t at) {
    if (at % 5 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  EXPECT_EQ(receive_pattern(upstream, total / 2, 1, slowly), total / 2);
  EXPECT_EQ(receive_pattern(upstream, 100'000, 3, slowly), 100'000u);
  EXPECT_EQ(receive_pattern(upstream, total / 2, 1, slowly), total / 2);
  sender.join();
}

// splice(2) stops for good at a byte of urgent data; what lies behind it must still come.
TEST_P(Streams, UrgentDataInTheMiddleDoesNotStopThem) {
  if (GetParam().client != Kind::tcp) GTEST_SKIP() << "urgent data is TCP's";
  connect(options_for(folder, {server.address()}));
  constexpr uint64_t half = 5'000'000;
  std::thread sender([&] {
    EXPECT_TRUE(send_pattern(client, half, 1, 100'000));
    EXPECT_EQ(::send(client.fd(), "!", 1, MSG_OOB), 1);
    EXPECT_TRUE(send_pattern(client, half, 2, 100'000));
    client.shutdown_write();
  });
  EXPECT_EQ(receive_pattern(upstream, half, 1), half);
  EXPECT_EQ(receive_pattern(upstream, half, 2), half);
  EXPECT_EQ(upstream.end(), StreamEnd::clean);
  sender.join();
}

TEST_P(Streams, WithoutPipesTheyAreCopied) {
  ForwarderOptions options = options_for(folder, {server.address()});
  options.pipes_max = 0;
  connect(std::move(options));
  expect_exact(8 << 20);
  EXPECT_EQ((*rig)->stats().pipes_peak, 0u);
}

// A reader that leaves with a pipe full for it: the pipe is not used for anybody else.
TEST_P(Streams, APipeWithBytesIsNeverUsedAgain) {
  connect(options_for(folder, {server.address()}));
  for (int round = 0; round < 5; ++round) {
    std::thread sender([&] { EXPECT_FALSE(send_pattern(client, 1 << 30, 7, 100'000)); });
    EXPECT_TRUE(eventually([&] {
      const ForwarderStats stats = (*rig)->stats();
      return stats.pipes_in_use + stats.buffers_in_use == 1;
    }));
    upstream.close();
    sender.join();
    client.close();
    rig->expect_idle();
    client = Peer::connected(rig->address(GetParam().client));
    upstream = server.accept();
    std::thread again([&] { EXPECT_TRUE(send_pattern(client, 2'000'000, 8, 100'000)); });
    EXPECT_EQ(receive_pattern(upstream, 2'000'000, 8), 2'000'000u);
    again.join();
  }
}

// However busy it is, its time is over.
TEST_P(Streams, EndWithTheLongestTimeOfASession) {
  ForwarderOptions options = options_for(folder, {server.address()});
  options.session_timeout_ms = 200;
  connect(std::move(options));
  std::thread sender([&] {
    while (client.send_text(std::string(1'000, 'x'))) {
    }
  });
  StreamEnd how;
  EXPECT_GT(upstream.receive_to_end(&how).size(), 0u);
  sender.join();
  client.close();
  rig->expect_idle();
  EXPECT_EQ((*rig)->stats().ended_lifetime, 1u);
  EXPECT_EQ((*rig)->stats().upstreams[0].ejections, 0u);
}

TEST_P(Streams, ASilentSessionEndsWithItsTimeToo) {
  ForwarderOptions options = options_for(folder, {server.address()});
  options.session_timeout_ms = 50;
  options.idle_timeout_ms = 0;
  connect(std::move(options));
  EXPECT_EQ(client.end(), StreamEnd::clean);
  rig->expect_idle();
  EXPECT_EQ((*rig)->stats().ended_lifetime, 1u);
}

}  // namespace
}  // namespace espora::forward
