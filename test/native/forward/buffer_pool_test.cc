#include "forward/buffer_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "sys/limits.h"

namespace espora::forward {
namespace {

LentBuffer lend(BufferPool& pool, const std::string& text) {
  return pool.lend(reinterpret_cast<const std::byte*>(text.data()), text.size());
}
std::string held(const LentBuffer& buffer) {
  return std::string(reinterpret_cast<const char*>(buffer.data()), buffer.size());
}

TEST(BufferPool, ABufferHoldsItsBytesUntilTheyAreTaken) {
  BufferPool pool(16, 2);
  LentBuffer buffer = lend(pool, "0123456789");
  EXPECT_EQ(pool.in_use(), 1u);
  buffer.take(4);
  EXPECT_EQ(held(buffer), "456789");
  EXPECT_EQ(pool.in_use(), 1u);
  buffer.take(6);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(pool.in_use(), 0u);
  EXPECT_EQ(pool.peak(), 1u);
}

TEST(BufferPool, LendsNoMoreThanItsLimit) {
  BufferPool pool(16, 2);
  LentBuffer first = lend(pool, "a");
  EXPECT_TRUE(pool.can_lend());
  LentBuffer second = lend(pool, "b");
  EXPECT_FALSE(pool.can_lend());
  first.give_back();
  EXPECT_TRUE(pool.can_lend());
  LentBuffer third = lend(pool, "c");
  EXPECT_FALSE(pool.can_lend());
  EXPECT_EQ(held(second), "b");
  EXPECT_EQ(held(third), "c");
  EXPECT_EQ(pool.peak(), 2u);
}

TEST(BufferPool, MovingNeitherLosesNorDoublesALoan) {
  BufferPool pool(16, 4);
  LentBuffer first = lend(pool, "first");
  LentBuffer second = lend(pool, "second");
  second = std::move(first);
  EXPECT_EQ(pool.in_use(), 1u);
  EXPECT_EQ(held(second), "first");
  LentBuffer third(std::move(second));
  EXPECT_EQ(held(third), "first");
  EXPECT_EQ(pool.in_use(), 1u);
  third.give_back();
  third.give_back();
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST(BufferPool, GoesBackWhenItsHolderGoes) {
  BufferPool pool(16, 4);
  { LentBuffer buffer = lend(pool, "x"); }
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST(BufferPool, ManyAtOnceAndAgain) {
  constexpr size_t many = 4 * limits::relay_buffers_kept_max;
  BufferPool pool(64, many);
  for (int round = 0; round < 3; ++round) {
    std::vector<LentBuffer> all;
    for (size_t i = 0; i < many; ++i) all.push_back(lend(pool, std::to_string(i)));
    EXPECT_FALSE(pool.can_lend());
    for (size_t i = 0; i < many; ++i) EXPECT_EQ(held(all[i]), std::to_string(i));
  }
  EXPECT_EQ(pool.in_use(), 0u);
  EXPECT_EQ(pool.peak(), many);
}

TEST(BufferPoolDeathTest, OurOwnBugsEndTheProcess) {
  BufferPool pool(4, 1);
  EXPECT_DEATH(lend(pool, "12345"), "count <= buffer_bytes_");
  EXPECT_DEATH(lend(pool, ""), "count > 0");
  LentBuffer buffer = lend(pool, "1234");
  EXPECT_DEATH(lend(pool, "1"), "can_lend");
  EXPECT_DEATH(buffer.take(5), "count <= size");
}

}  // namespace
}  // namespace espora::forward
