// Many connections and few resources: ten thousand idle ones, a limit on connections, exhausted
// descriptors.
#include <cstdio>
#include <string>
#include <vector>

#include <malloc.h>
#include <sys/resource.h>

#include "http/server_harness.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ESPORA_SANITIZED 1
#else
#define ESPORA_SANITIZED 0
#endif

namespace espora::test {
namespace {

using http::ServerOptions;

// Changes the process's soft limit on descriptors; puts it back.
class DescriptorLimit {
 public:
  DescriptorLimit() { ESPORA_CHECK(::getrlimit(RLIMIT_NOFILE, &before_) == 0); }
  ~DescriptorLimit() { set(before_.rlim_cur); }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;

  void set(rlim_t soft) const {
    const rlimit changed{soft, before_.rlim_max};
    ESPORA_CHECK(::setrlimit(RLIMIT_NOFILE, &changed) == 0);
  }
  [[nodiscard]] rlim_t hard() const { return before_.rlim_max; }

 private:
  rlimit before_{};
};

// The next descriptor that would be opened.
int next_descriptor() {
  const sys::Fd probe(::fcntl(0, F_DUPFD_CLOEXEC, 0));
  return probe.get();
}

// Bytes that are allocated in all of malloc's arenas, malloc_info(3).
size_t allocated_bytes() {
  char* text = nullptr;
  size_t bytes = 0;
  std::FILE* stream = ::open_memstream(&text, &bytes);
  ::malloc_info(0, stream);
  std::fclose(stream);
  const std::string_view all(text, bytes);
  const std::string_view totals = all.substr(all.rfind("</heap>"));
  const auto value = [&](std::string_view element) {
    const size_t at = totals.find("size=\"", totals.find(element)) + 6;
    return std::strtoull(totals.data() + at, nullptr, 10);
  };
  const size_t in_use = value("<system type=\"current\"") + value("<total type=\"mmap\"") -
                        value("<total type=\"fast\"") - value("<total type=\"rest\"");
  std::free(text);
  return in_use;
}

class ServerLoadTest : public OverBoth {};
ESPORA_OVER_BOTH(ServerLoadTest);

TEST_P(ServerLoadTest, TenThousandIdleConnections) {
  const DescriptorLimit limit;
  limit.set(limit.hard());
  const size_t count =
      std::min<size_t>(ESPORA_SANITIZED ? 1'000 : 10'000, (limit.hard() - 200) / 2);
  Harness harness;
  std::vector<Client> clients;
  clients.reserve(count);
  const size_t before = allocated_bytes();
  for (size_t i = 0; i < count; ++i) clients.push_back(harness.connect(tcp()));
  ASSERT_TRUE(harness.wait_active(count));
  const size_t fresh = allocated_bytes();
  // Each had something to do once, and large: it must give back what it used for that.
  const std::string body(4000, 'x');
  for (Client& client : clients) {
    ASSERT_EQ(client.exchange(post("/now/", body) + get("/big/30000/")).status, 200);
    ASSERT_EQ(client.read_response().status, 200);
    client.release_memory();
  }
  harness.forget_requests();
  const size_t used = allocated_bytes();
  const auto each = [&](size_t now) { return now > before ? (now - before) / count : 0; };
  if (!ESPORA_SANITIZED) {
    std::printf("%zu idle connections: %zu bytes allocated for each, %zu after use\n", count,
                each(fresh), each(used));
    EXPECT_LT(each(fresh), 1024u);
    EXPECT_LT(each(used), 1024u + limits::http_rest_bytes_kept_max);
  }
  // They cost no turns, and do not slow down the others.
  const uint64_t turns = harness.turns();
  Client busy = harness.connect(tcp());
  for (int i = 0; i < 100; ++i) ASSERT_EQ(busy.exchange(get("/now/")).status, 200);
  EXPECT_LE(harness.turns() - turns, 210u);
  for (Client& client : clients) client.reset();
  EXPECT_TRUE(harness.wait_active(1));
}

// Clients that ask without end and read nothing: of each the server stops reading, what it keeps
// for all of them together is bounded, and it is free again when they go.
TEST_P(ServerLoadTest, FloodsOfManyKeepMemoryBounded) {
  constexpr size_t count = 32;
  constexpr size_t answer_bytes = 20'000;
  Harness harness;
  std::vector<Client> floods;
  for (size_t i = 0; i < count; ++i) {
    SocketClient socket = SocketClient::make(tcp());
    socket.set_receive_buffer(4096);
    ASSERT_TRUE(tcp() ? socket.connect_tcp(harness.server().port())
                      : socket.connect_unix(harness.socket_path()));
    floods.emplace_back(std::move(socket));
  }
  ASSERT_TRUE(harness.wait_active(count));
  const std::string requests = [] {
    std::string many;
    for (int i = 0; i < 100; ++i) many += get("/big/" + std::to_string(answer_bytes) + "/");
    return many;
  }();
  const size_t before = allocated_bytes();
  // Whole requests or not is all the same: each goes on where it stopped.
  std::vector<size_t> at(count);
  uint64_t bytes_in_before = 0;
  for (int quiet = 0; quiet < 20;) {
    bool sent_any = false;
    for (size_t i = 0; i < count; ++i) {
      const ssize_t sent = floods[i].send_some(std::string_view(requests).substr(at[i]));
      ASSERT_GE(sent, 0);
      at[i] = (at[i] + static_cast<size_t>(sent)) % requests.size();
      sent_any = sent_any || sent > 0;
    }
    harness.thread().settle();
    const uint64_t bytes_in = harness.stats().bytes_in.get();
    quiet = !sent_any && bytes_in == bytes_in_before ? quiet + 1 : 0;
    bytes_in_before = bytes_in;
  }
  // As the counters have it: made, and not yet given to the kernel.
  const uint64_t made = harness.stats().requests.get() * answer_bytes;
  const uint64_t out = harness.stats().bytes_out.get();
  EXPECT_GE(made, count * limits::http_output_bytes_max);
  EXPECT_LE(made - std::min(made, out), count * (limits::http_output_bytes_max + answer_bytes));
  // As it is shown.
  const uint64_t held = harness.stats().bytes_held.get();
  EXPECT_GE(held, count * limits::http_output_bytes_max);
  EXPECT_LE(held, count * (2 * (limits::http_output_bytes_max + answer_bytes) +
                           limits::http_receive_bytes));
  if (!ESPORA_SANITIZED) {
    harness.forget_requests();
    const size_t now = allocated_bytes();
    const size_t each = now > before ? (now - before) / count : 0;
    EXPECT_LE(each,
              2 * (limits::http_output_bytes_max + answer_bytes) + limits::http_receive_bytes);
  }
  // Nobody asks: no turns.
  const uint64_t turns = harness.turns();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_LE(harness.turns() - turns, 3u);
  EXPECT_EQ(harness.connect(tcp()).exchange(get("/now/")).status, 200);
  for (Client& flood : floods) flood.reset();
  ASSERT_TRUE(harness.wait_active(0));
  EXPECT_EQ(harness.stats().bytes_held.get(), 0u);
  if (!ESPORA_SANITIZED) {
    harness.forget_requests();
    const size_t after = allocated_bytes();
    EXPECT_LE(after, before + limits::http_spare_buffers_max * limits::http_spare_buffer_bytes_max);
  }
}

// Slow in every way, and many of each: the others notice nothing, and they are served in the end.
TEST_P(ServerLoadTest, SlowOnesDoNotHoldUpTheOthers) {
  constexpr size_t senders = 50;
  constexpr size_t readers = 4;
  constexpr size_t answer_bytes = 8'000'000;
  ServerOptions options = server_options();
  options.header_timeout_ms = options.body_timeout_ms = options.write_timeout_ms = 3'600'000;
  Harness harness(options);
  const std::string request = post("/now/", "body");
  std::vector<Client> in_head;
  std::vector<Client> in_body;
  std::vector<Client> unread;
  for (size_t i = 0; i < senders; ++i) {
    in_head.push_back(harness.connect(tcp()));
    ASSERT_TRUE(in_head.back().send(request.substr(0, 1)));
    in_body.push_back(harness.connect(tcp()));
    ASSERT_TRUE(in_body.back().send(request.substr(0, request.size() - 1)));
  }
  for (size_t i = 0; i < readers; ++i) {
    unread.push_back(harness.connect(tcp()));
    ASSERT_TRUE(unread.back().send(get("/big/" + std::to_string(answer_bytes) + "/")));
  }
  ASSERT_TRUE(harness.wait_active(2 * senders + readers));
  ASSERT_TRUE(harness.wait_requests(readers));
  // Until the kernel takes no more of the answers.
  uint64_t out_before = 0;
  ASSERT_TRUE(eventually([&] {
    harness.thread().settle();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return std::exchange(out_before, harness.stats().bytes_out.get()) ==
           harness.stats().bytes_out.get();
  }));
  EXPECT_LT(harness.stats().bytes_out.get(), readers * answer_bytes);
  const uint64_t turns = harness.turns();
  Client busy = harness.connect(tcp());
  for (int i = 0; i < 100; ++i) ASSERT_EQ(busy.exchange(get("/now/")).status, 200);
  EXPECT_LE(harness.turns() - turns, 210u);
  // Byte by byte, all of them in turn.
  for (size_t at = 1; at < request.size(); ++at) {
    for (const Client& client : in_head) ASSERT_TRUE(client.send(request.substr(at, 1)));
  }
  for (Client& client : in_head) EXPECT_EQ(client.read_response().body, "POST /now/ body");
  for (Client& client : in_body) EXPECT_EQ(client.exchange("y").body, "POST /now/ body");
  for (Client& client : unread) {
    EXPECT_EQ(client.read_response().body.size(), answer_bytes);
    client.reset();
  }
}

TEST_P(ServerLoadTest, AtTheLimitAcceptingPausesAndResumes) {
  ServerOptions options = server_options();
  options.connections_max = 5;
  Harness harness(options);
  std::vector<Client> clients;
  for (size_t i = 0; i < 5; ++i) {
    clients.push_back(harness.connect(tcp()));
    ASSERT_EQ(clients.back().exchange(get("/now/")).status, 200);
  }
  std::vector<Client> waiting;
  for (size_t i = 0; i < 20; ++i) {
    waiting.push_back(harness.connect(tcp()));
    ASSERT_TRUE(waiting.back().send(get("/now/" + std::to_string(i))));
  }
  harness.thread().settle();
  EXPECT_EQ(harness.stats().connections_active.get(), 5u);
  EXPECT_EQ(harness.stats().accept_pauses.get(), 1u);
  for (const Client& client : waiting) EXPECT_FALSE(client.readable_now());
  // It sleeps meanwhile: each look at the counter is a turn of its own.
  const uint64_t turns = harness.turns();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_LE(harness.turns() - turns, 3u);
  for (size_t i = 0; i < waiting.size(); ++i) {
    (i < 5 ? clients[i] : waiting[i - 5]).close();
    ASSERT_EQ(waiting[i].read_response().body, "GET /now/" + std::to_string(i) + " ");
    EXPECT_LE(harness.stats().connections_active.get(), 5u);
  }
}

TEST_P(ServerLoadTest, ExhaustedDescriptorsNeitherSpinNorLast) {
  Harness harness;
  // Sockets first: connecting takes no further descriptor.
  std::vector<Client> clients;
  for (int i = 0; i < 20; ++i) clients.emplace_back(SocketClient::make(tcp()));
  const DescriptorLimit limit;
  limit.set(static_cast<rlim_t>(next_descriptor()) + 5);
  for (size_t i = 0; i < clients.size(); ++i) {
    ASSERT_TRUE(tcp() ? clients[i].connect_tcp(harness.server().port())
                      : clients[i].connect_unix(harness.socket_path()));
    ASSERT_TRUE(clients[i].send(get("/now/" + std::to_string(i))));
  }
  for (size_t i = 0; i < 5; ++i) {
    ASSERT_EQ(clients[i].read_response().body, "GET /now/" + std::to_string(i) + " ");
  }
  // It rests between its attempts.
  ASSERT_TRUE(eventually([&] { return harness.stats().accept_pauses.get() >= 3; }));
  const uint64_t pauses = harness.stats().accept_pauses.get();
  const uint64_t turns = harness.turns();
  ASSERT_TRUE(eventually([&] { return harness.stats().accept_pauses.get() >= pauses + 5; }));
  EXPECT_LE(harness.turns() - turns, 5u * 4 + 2);
  EXPECT_EQ(harness.stats().connections_active.get(), 5u);
  // Those that are connected are served as ever.
  EXPECT_EQ(clients[0].exchange(get("/now/again")).status, 200);
  // A descriptor comes back, then all of them.
  clients[0].close();
  EXPECT_EQ(clients[5].read_response().body, "GET /now/5 ");
  limit.set(limit.hard());
  for (size_t i = 6; i < clients.size(); ++i) {
    EXPECT_EQ(clients[i].read_response().body, "GET /now/" + std::to_string(i) + " ");
  }
}

// Draining without descriptors: what waits is taken as they come back.
TEST_P(ServerLoadTest, ExhaustedWhileDraining) {
  Harness harness;
  std::vector<Client> clients;
  for (int i = 0; i < 10; ++i) clients.emplace_back(SocketClient::make(tcp()));
  std::atomic<bool> over{false};
  {
    const DescriptorLimit limit;
    limit.set(static_cast<rlim_t>(next_descriptor()) + 2);
    harness.call([&] {
      for (size_t i = 0; i < clients.size(); ++i) {
        ASSERT_TRUE(tcp() ? clients[i].connect_tcp(harness.server().port())
                          : clients[i].connect_unix(harness.socket_path()));
        ASSERT_TRUE(clients[i].send(get("/now/" + std::to_string(i))));
      }
      harness.server().drain(harness.loop().now_ms() + 60'000, [&] { over.store(true); });
    });
    for (size_t i = 0; i < 2; ++i) EXPECT_EQ(clients[i].read_response().status, 200);
    ASSERT_TRUE(eventually([&] { return harness.stats().accept_pauses.get() >= 2; }));
    EXPECT_FALSE(over.load());
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    if (i >= 2) {
      EXPECT_EQ(clients[i].read_response().status, 200);
    }
    EXPECT_TRUE(clients[i].ends_cleanly());
    clients[i].close();
  }
  EXPECT_TRUE(eventually([&] { return over.load(); }));
}

}  // namespace
}  // namespace espora::test
