// Pipes that are lent: as many as may be and no more, and never one with somebody else's bytes.
#include "sys/pipe.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "sys/limits.h"

namespace espora::sys {
namespace {

// Two connected stream sockets, non-blocking.
struct SocketPair {
  SocketPair() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    here.reset(ends[0]);
    there.reset(ends[1]);
  }
  Fd here;
  Fd there;
};

// How many ends of pipes this process has open.
size_t open_ends() {
  size_t count = 0;
  for (int fd = 0; fd < 1024; ++fd) {
    struct stat what {};
    if (::fstat(fd, &what) == 0 && S_ISFIFO(what.st_mode)) ++count;
  }
  return count;
}

// The next descriptor that would be opened.
int next_descriptor() {
  const Fd probe(::fcntl(0, F_DUPFD_CLOEXEC, 0));
  return probe.get();
}

TEST(PipePool, LendsSoManyAndNoMore) {
  constexpr size_t most = 5;
  PipePool pool(most);
  EXPECT_TRUE(pool.enabled());
  {
    std::vector<LentPipe> lent;
    for (size_t i = 0; i < most; ++i) {
      lent.push_back(pool.lend());
      EXPECT_TRUE(lent.back().valid());
      EXPECT_TRUE(lent.back().empty());
      EXPECT_EQ(pool.in_use().get(), i + 1);
    }
    EXPECT_FALSE(pool.lend().valid());
    lent.pop_back();
    EXPECT_EQ(pool.in_use().get(), most - 1);
    LentPipe again = pool.lend();
    EXPECT_TRUE(again.valid());
    EXPECT_FALSE(pool.lend().valid());
    // Moved, it is still one loan.
    const LentPipe moved = std::move(again);
    EXPECT_TRUE(moved.valid());
    EXPECT_EQ(pool.in_use().get(), most);
  }
  EXPECT_EQ(pool.in_use().get(), 0u);
  EXPECT_EQ(pool.peak().get(), most);
  PipePool none(0);
  EXPECT_FALSE(none.enabled());
  EXPECT_FALSE(none.lend().valid());
}

TEST(PipePool, KeepsFewAndTrimsThem) {
  constexpr size_t many = limits::pipes_kept_max + 8;
  const size_t before = open_ends();
  PipePool pool(many);
  {
    std::vector<LentPipe> lent;
    for (size_t i = 0; i < many; ++i) lent.push_back(pool.lend());
    EXPECT_EQ(open_ends(), before + 2 * many);
  }
  EXPECT_EQ(open_ends(), before + 2 * limits::pipes_kept_max);
  pool.trim();
  EXPECT_EQ(open_ends(), before);
  EXPECT_TRUE(pool.lend().valid());
}

// Whatever was left in one, the next loan begins empty.
TEST(PipePool, OneThatHoldsBytesIsNeverLentAgain) {
  PipePool pool(1);
  SocketPair from;
  SocketPair to;
  const std::string old(1000, 'o');
  for (const bool partly : {false, true}) {
    LentPipe pipe = pool.lend();
    ASSERT_TRUE(pipe.valid());
    ASSERT_EQ(::send(from.here.get(), old.data(), old.size(), 0), ssize_t{1000});
    ASSERT_EQ(pipe.fill_from(from.there.get()).bytes, old.size());
    EXPECT_EQ(pipe.size(), old.size());
    if (partly) {
      char some[400];
      EXPECT_EQ(pipe.read(some, sizeof some).bytes, sizeof some);
      EXPECT_EQ(pipe.size(), old.size() - sizeof some);
    }
    const size_t ends = open_ends();
    pipe.give_back();
    EXPECT_FALSE(pipe.valid());
    EXPECT_EQ(open_ends(), ends - 2) << "it was kept";

    LentPipe next = pool.lend();
    ASSERT_TRUE(next.valid());
    EXPECT_TRUE(next.empty());
    ASSERT_EQ(::send(from.here.get(), "new", 3, 0), 3);
    ASSERT_EQ(next.fill_from(from.there.get()).bytes, 3u);
    ASSERT_EQ(next.empty_into(to.here.get()).bytes, 3u);
    EXPECT_TRUE(next.empty());
    char got[16];
    ASSERT_EQ(::recv(to.there.get(), got, sizeof got, 0), 3);
    EXPECT_EQ(std::string(got, 3), "new");
  }
}

// What is in a pipe goes along; what is left behind holds nothing and is no loan.
TEST(PipePool, AMovedPipeTakesItsBytesAlong) {
  PipePool pool(2);
  SocketPair from;
  const auto filled = [&] {
    LentPipe pipe = pool.lend();
    EXPECT_EQ(::send(from.here.get(), "1234", 4, 0), 4);
    EXPECT_EQ(pipe.fill_from(from.there.get()).bytes, 4u);
    return pipe;
  };
  const auto expect_moved = [&](const LentPipe& to, const LentPipe& left) {
    EXPECT_EQ(to.size(), 4u);
    EXPECT_FALSE(to.empty());
    EXPECT_FALSE(left.valid());
    EXPECT_EQ(left.size(), 0u);
    EXPECT_TRUE(left.empty());
  };
  LentPipe first = filled();
  LentPipe second(std::move(first));
  expect_moved(second, first);
  LentPipe third = pool.lend();
  third = std::move(second);
  expect_moved(third, second);
  EXPECT_EQ(pool.in_use().get(), 1u) << "what stood there was not given back";
}

TEST(PipePool, AnEmptiedOneIsLentAgain) {
  const size_t before = open_ends();
  PipePool pool(1);
  for (int round = 0; round < 3; ++round) {
    LentPipe pipe = pool.lend();
    ASSERT_TRUE(pipe.valid());
    SocketPair from;
    SocketPair to;
    ASSERT_EQ(::send(from.here.get(), "through", 7, 0), 7);
    ASSERT_EQ(pipe.fill_from(from.there.get()).bytes, 7u);
    ASSERT_EQ(pipe.empty_into(to.here.get()).bytes, 7u);
    pipe.give_back();
    EXPECT_EQ(open_ends(), before + 2);
  }
}

TEST(PipePool, AFullPipeAndAnEmptySocketBothSayAgain) {
  PipePool pool(1);
  SocketPair from;
  LentPipe pipe = pool.lend();
  EXPECT_TRUE(pipe.fill_from(from.there.get()).again);
  // One byte in each of its slots: full long before it holds its capacity.
  IoResult last;
  for (int i = 0; i < 100 && !last.again; ++i) {
    ASSERT_EQ(::send(from.here.get(), "x", 1, 0), 1);
    last = pipe.fill_from(from.there.get());
  }
  EXPECT_TRUE(last.again);
  EXPECT_GT(pipe.size(), 0u);
  EXPECT_LT(pipe.size(), 100u);
  from.here.reset();
  LentPipe none;
  EXPECT_FALSE(none.valid());
  std::vector<char> bytes(200);
  while (!pipe.empty()) ASSERT_GT(pipe.read(bytes.data(), bytes.size()).bytes, 0u);
  while (pipe.fill_from(from.there.get()).bytes > 0) {
  }
  while (!pipe.empty()) ASSERT_GT(pipe.read(bytes.data(), bytes.size()).bytes, 0u);
  EXPECT_TRUE(pipe.fill_from(from.there.get()).end);
}

// splice(2) has no MSG_NOSIGNAL: a test that lives to see the error shows that it is blocked.
TEST(PipePool, APeerThatIsGoneIsAnErrorAndNoSignal) {
  PipePool pool(1);
  SocketPair from;
  SocketPair to;
  LentPipe pipe = pool.lend();
  ASSERT_EQ(::send(from.here.get(), "x", 1, 0), 1);
  ASSERT_EQ(pipe.fill_from(from.there.get()).bytes, 1u);
  to.there.reset();
  EXPECT_EQ(pipe.empty_into(to.here.get()).error, EPIPE);
  EXPECT_EQ(pipe.size(), 1u);
}

TEST(PipePool, WithoutDescriptorsThereIsNone) {
  PipePool pool(2);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit tight{static_cast<rlim_t>(next_descriptor()) + 1, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  const bool lent = pool.lend().valid();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_FALSE(lent);
  EXPECT_EQ(pool.in_use().get(), 0u);
  EXPECT_TRUE(pool.lend().valid());
}

TEST(PipePool, WhereSpliceDoesNotWorkNothingIsLentAndNothingKept) {
  const size_t before = open_ends();
  PipePool pool(2);
  LentPipe out = pool.lend();
  ASSERT_TRUE(out.valid());
  { const LentPipe other = pool.lend(); }
  pool.disable();
  EXPECT_FALSE(pool.enabled());
  EXPECT_FALSE(pool.lend().valid());
  out.give_back();
  EXPECT_EQ(pool.in_use().get(), 0u);
  EXPECT_EQ(open_ends(), before);
  for (const int error : {ENOSYS, EINVAL, EPERM, EACCES, EOPNOTSUPP}) {
    EXPECT_TRUE(is_splice_unsupported(error)) << error;
  }
  for (const int error : {EPIPE, ECONNRESET, EAGAIN, ENOMEM}) {
    EXPECT_FALSE(is_splice_unsupported(error)) << error;
  }
}

}  // namespace
}  // namespace espora::sys
