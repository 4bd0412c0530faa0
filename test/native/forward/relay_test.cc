// The relay by itself, without buffers to lend and with too few of them: what was read for a side
// that takes nothing then stays in the kernel, and nothing may be lost, doubled or waited for.
#include "forward/relay.h"

#include <fcntl.h>

#include "forward/rig.h"

namespace espora::forward {
namespace {

// Relays between `near` and `far`, both driven by a test, over socket pairs.
class Bench final : public SideOwner {
 public:
  Bench(sys::EventLoop& loop, BufferPool& buffers, sys::PipePool& pipes,
        std::span<std::byte> scratch)
      : relay(loop, buffers, pipes, scratch, *this) {
    relay.client.fd = pair(near);
    relay.upstream.fd = pair(far);
    relay.client.sent_bytes = &to_client;
    relay.upstream.sent_bytes = &to_upstream;
    EXPECT_TRUE(relay.start(false).ok());
  }
  void on_side_events(Side& side, uint32_t events) override {
    relay.on_events(side, events);
    if (relay.state() == Relay::State::ended) {
      relay.close();
      ended = true;
    }
  }
  Peer near;
  Peer far;
  Relay relay;
  sys::Counter to_client;
  sys::Counter to_upstream;
  std::atomic<bool> ended{false};

 private:
  static sys::Fd pair(Peer& peer) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    peer = Peer(ends[0]);
    if (::fcntl(ends[1], F_SETFL, O_NONBLOCK) != 0) std::abort();
    return sys::Fd(ends[1]);
  }
};

struct Lenders {
  size_t buffers;
  size_t pipes;
};
class RelayWithBuffers : public ::testing::TestWithParam<Lenders> {};

TEST_P(RelayWithBuffers, SlowReadersGetEveryByteOnce) {
  constexpr int count = 6;
  static constexpr uint64_t total = 3'000'000;
  sys::EventLoop loop;
  ASSERT_TRUE(loop.init().ok());
  std::vector<std::byte> scratch(8 * 1024);
  BufferPool buffers(scratch.size(), GetParam().buffers);
  sys::PipePool pipes(GetParam().pipes);
  std::vector<std::unique_ptr<Bench>> benches;
  for (int i = 0; i < count; ++i) {
    benches.push_back(std::make_unique<Bench>(loop, buffers, pipes, scratch));
  }
  sys::Thread looping = sys::start_thread("relay test", [&] { loop.run(); }).value();
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    Bench& bench = *benches[static_cast<size_t>(i)];
    const auto stream = static_cast<uint64_t>(i);
    threads.emplace_back([&bench, stream] {
      EXPECT_TRUE(send_pattern(bench.near, total, stream, 70'000));
      bench.near.shutdown_write();
    });
    threads.emplace_back([&bench, stream] {
      EXPECT_TRUE(send_pattern(bench.far, total, stream + 100, 333));
      bench.far.shutdown_write();
    });
    const auto slowly = [stream](uint64_t at) {
      if (at % 7 == stream) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
    threads.emplace_back([&bench, stream, slowly] {
      EXPECT_EQ(receive_pattern(bench.far, total, stream, slowly), total);
      EXPECT_EQ(bench.far.end(), StreamEnd::clean);
    });
    threads.emplace_back([&bench, stream, slowly] {
      EXPECT_EQ(receive_pattern(bench.near, total, stream + 100, slowly), total);
      EXPECT_EQ(bench.near.end(), StreamEnd::clean);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (auto& bench : benches) {
    EXPECT_TRUE(eventually([&] { return bench->ended.load(); }));
    EXPECT_EQ(bench->to_client, total);
    EXPECT_EQ(bench->to_upstream, total);
  }
  EXPECT_LE(buffers.peak(), GetParam().buffers);
  EXPECT_EQ(buffers.in_use(), 0u);
  EXPECT_LE(pipes.peak(), GetParam().pipes);
  EXPECT_EQ(pipes.peak() > 0, GetParam().pipes > 0);
  EXPECT_EQ(pipes.in_use(), 0u);
  loop.stop();
  looping.join();
}

INSTANTIATE_TEST_SUITE_P(Limits, RelayWithBuffers,
                         ::testing::Values(Lenders{0, 0}, Lenders{1, 0}, Lenders{3, 0},
                                           Lenders{64, 0}, Lenders{64, 1}, Lenders{3, 5},
                                           Lenders{1, 64}, Lenders{64, 64}),
                         [](const auto& tested) {
                           return std::to_string(tested.param.buffers) + "Buffers" +
                                  std::to_string(tested.param.pipes) + "Pipes";
                         });

// One socket that always has more does not keep others from their turn.
TEST(Relay, AFloodLeavesOthersTheirTurn) {
  sys::EventLoop loop;
  ASSERT_TRUE(loop.init().ok());
  std::vector<std::byte> scratch(1024);
  BufferPool buffers(scratch.size(), 4);
  sys::PipePool pipes(4);
  Bench flood(loop, buffers, pipes, scratch);
  Bench other(loop, buffers, pipes, scratch);
  sys::Thread looping = sys::start_thread("relay test", [&] { loop.run(); }).value();
  std::atomic<bool> enough{false};
  std::thread sender([&] {
    std::vector<char> block(100'000, 'x');
    while (!enough) flood.near.send_all(block.data(), block.size());
    flood.near.shutdown_write();
  });
  std::thread reader([&] {
    std::vector<char> block(1 << 20);
    while (::recv(flood.far.fd(), block.data(), block.size(), 0) > 0) {
    }
  });
  for (int round = 0; round < 200; ++round) {
    EXPECT_TRUE(other.near.send_text("ping"));
    EXPECT_EQ(other.far.receive(4), "ping");
  }
  enough = true;
  sender.join();
  reader.join();
  loop.stop();
  looping.join();
  other.relay.close();
  flood.relay.close();
}

}  // namespace
}  // namespace espora::forward
