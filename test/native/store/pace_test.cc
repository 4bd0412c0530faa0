// The pace of what goes on beside commits: a spare is filled, and closed segments are rewritten, in
// small steps with pauses between them, so that a flush finds the disk free; and without pauses
// where somebody would have to wait otherwise.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "faulty_file_system.h"
#include "store/engine.h"
#include "store/housekeeping.h"
#include "store/spare_preparer.h"
#include "store_rig.h"
#include "sys/fd.h"
#include "sys/limits.h"

namespace espora::store {
namespace {

using test::Call;
using test::FaultyFileSystem;
using test::options_for;
using test::text_of;

class SparePace : public testing::Test {
 protected:
  static constexpr uint64_t segment_bytes = uint64_t{1} << 20;
  static constexpr uint64_t steps = segment_bytes / limits::spare_step_bytes;

  struct Step {
    bool wrote;
    uint64_t pause_ns;  // asked for
  };
  // One step, with the pause taken. The clock runs on meanwhile: a pause is known up to that.
  Step step() {
    const uint64_t writes = fs_.calls(Call::pwrite);
    const uint64_t before_ns = fs_.monotonic_ns();
    const uint64_t due_ns = spare_.step();
    const uint64_t after_ns = fs_.monotonic_ns();
    Step made{fs_.calls(Call::pwrite) > writes, 0};
    if (due_ns == 0 || due_ns == SparePreparer::never_ns) return made;
    EXPECT_GE(due_ns, before_ns + limits::spare_pause_ns);
    EXPECT_LE(due_ns, after_ns + limits::spare_pause_ns);
    made.pause_ns = limits::spare_pause_ns;
    fs_.advance_monotonic_ns(due_ns - after_ns);
    return made;
  }
  // Until the spare is ready: whether each write was followed by a pause.
  std::vector<bool> pauses() {
    std::vector<bool> paused;
    for (int count = 0; !spare_.ready() && count < 1000; ++count) {
      const Step made = step();
      if (made.wrote) {
        paused.push_back(made.pause_ns > 0);
      } else {
        EXPECT_EQ(made.pause_ns, 0u);
      }
    }
    EXPECT_TRUE(spare_.ready());
    return paused;
  }

  test::TemporaryDirectory directory_;
  sys::Fd fd_{::open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  FaultyFileSystem fs_;
  SparePreparer spare_{fs_, fd_.get(), "directory", segment_bytes, false};
};

TEST_F(SparePace, PausesBehindEachStepWhileNobodyNeedsIt) {
  const std::vector<bool> paused = pauses();
  ASSERT_EQ(paused.size(), steps);
  for (size_t i = 0; i + 1 < steps; ++i) EXPECT_TRUE(paused[i]) << "step " << i;
  EXPECT_FALSE(paused.back());  // nothing is left to write: it is flushed at once
}

TEST_F(SparePace, IsFilledTwiceAsFarAsTheSegmentInUse) {
  spare_.set_used(3 * limits::spare_step_bytes);
  const std::vector<bool> paused = pauses();
  ASSERT_EQ(paused.size(), steps);
  for (size_t i = 0; i + 1 < steps; ++i) EXPECT_EQ(paused[i], i + 1 >= 6) << "step " << i;
}

TEST_F(SparePace, FollowsASegmentThatFills) {
  while (!step().wrote) {
  }
  spare_.set_used(2 * limits::spare_step_bytes);
  // Filled: 2, 3, 4 steps, of which the first two are less than twice what is used.
  EXPECT_EQ(step().pause_ns, 0u);
  EXPECT_EQ(step().pause_ns, 0u);
  EXPECT_EQ(step().pause_ns, limits::spare_pause_ns);
  spare_.set_used(segment_bytes / 2);
  for (const bool paused : pauses()) EXPECT_FALSE(paused);
}

TEST_F(SparePace, HasNoPausesForWhoeverWaits) {
  spare_.hurry();
  const std::vector<bool> paused = pauses();
  ASSERT_EQ(paused.size(), steps);
  for (size_t i = 0; i < steps; ++i) EXPECT_FALSE(paused[i]) << "step " << i;
}

// The same again for the spare after it: somebody waited once, not for ever.
TEST_F(SparePace, HurryingEndsWithTheSpareThatItWasFor) {
  spare_.hurry();
  pauses();
  Spare taken;
  ASSERT_TRUE(spare_.take(taken));
  const std::vector<bool> paused = pauses();
  ASSERT_EQ(paused.size(), steps);
  EXPECT_TRUE(paused.front());
}

// Three closed segments are rewritten: the first without pauses, the second with short ones, the
// last one with whole ones.
TEST(HousekeepingPace, IsGentleAboutOneSegmentAndHurriesBehindMany) {
  test::TemporaryDirectory directory;
  FaultyFileSystem fs;
  auto store = test::open_store(fs, options_for(directory.store()));
  ASSERT_OK(store->status);
  for (uint64_t seq = 1; (*store)->stats().segment < 4; ++seq) {
    ASSERT_OK(store->put(text_of(seq, 9'000)));
  }
  Housekeeping& housekeeping = (*store)->housekeeping();
  std::vector<uint64_t> longest_ns(4, 0);  // by closed segments that are not yet rewritten
  std::vector<uint64_t> steps(4, 0);
  for (int count = 0; count < 20'000; ++count) {
    const size_t left = 3 - (*store)->stats().housekeeping.segments_rewritten;
    const uint64_t due_ns = housekeeping.step();
    if (due_ns == Housekeeping::never_ns) break;
    const uint64_t now_ns = fs.monotonic_ns();
    // What it asked for a moment ago; the clock ran on.
    const uint64_t pause_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    if ((*store)->stats().housekeeping.segments_rewritten == 3 - left) {
      ++steps[left];
      longest_ns[left] = std::max(longest_ns[left], pause_ns);
    }
    fs.advance_monotonic_ns(pause_ns);
  }
  EXPECT_EQ((*store)->stats().housekeeping.segments_rewritten, 3u);
  for (size_t left = 1; left <= 3; ++left) EXPECT_GT(steps[left], 4u) << left;
  EXPECT_EQ(longest_ns[3], 0u);
  EXPECT_GT(longest_ns[2], limits::housekeeping_pause_ns / 8);
  EXPECT_LE(longest_ns[2], limits::housekeeping_pause_ns / 4);
  EXPECT_GT(longest_ns[1], limits::housekeeping_pause_ns / 2);
  EXPECT_LE(longest_ns[1], limits::housekeeping_pause_ns);
}

}  // namespace
}  // namespace espora::store
