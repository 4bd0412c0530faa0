// Copies of sound and of damaged stores: the same records under the same sequences or none, what
// was lost is said and marked, and no failure leaves behind what looks like a store and is less.
#include "store/copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "faulty_file_system.h"
#include "store/engine.h"
#include "store/reader.h"
#include "store_rig.h"
#include "support/by_path.h"

namespace espora::store {
namespace {

using format::block_bytes;
using sys::Code;
using test::Call;
using test::Fault;
using test::FaultyFileSystem;
using test::open_store;
using test::Row;
using test::TemporaryDirectory;
using test::text_of;

class CopyTest : public testing::Test {
 protected:
  // Each record a batch; every fifth large.
  std::vector<Row> fill(int batches, bool closed) {
    auto store = open_store(from());
    EXPECT_OK(store->status);
    for (int i = 0; i < batches; i++) EXPECT_OK(store->put(text_of(i, i % 5 == 4 ? 250'000 : 90)));
    if (closed) {
      EXPECT_OK((*store)->close());
    }
    return store->all();
  }
  std::vector<Row> rows_of(const std::string& directory) {
    auto store = open_store(directory);
    EXPECT_OK(store->status);
    return store->all();
  }
  void damage(const std::string& name, size_t at) {
    const test::fs::path file = test::fs::path(from()) / name;
    std::string bytes = test::read_file(file);
    bytes[at] ^= 0x10;
    test::write_file(file, bytes);
  }
  [[nodiscard]] std::string from() const { return directory_.store(); }
  [[nodiscard]] std::string to() const { return (directory_.path() / "copy").string(); }

  TemporaryDirectory directory_;
  FaultyFileSystem fs_;
};

// Of records that are large beside a segment only one goes into each.
TEST_F(CopyTest, OfLargeRecordsInSmallSegmentsOpens) {
  std::vector<Row> rows;
  {
    auto store = open_store(from());
    ASSERT_OK(store->status);
    for (int i = 0; i < 6; i++) {
      ASSERT_OK(store->put(text_of(i, i % 2 == 0 ? 500'000 : 900'000)));
    }
    rows = store->all();
  }
  const auto copied = copy_store(fs_, from(), to(), OnDamage::refuse);
  ASSERT_TRUE(copied.ok()) << copied.status().message();
  EXPECT_EQ(copied.value().last_seq, 6u) << "nobody has it open: also what nothing proves yet";
  EXPECT_EQ(rows_of(to()), rows);
}

TEST_F(CopyTest, HasTheSameRecordsAndIsAStoreOfItsOwn) {
  const auto rows = fill(40, true);
  const auto before = test::contents(from());
  const auto copied = copy_store(fs_, from(), to(), OnDamage::refuse);
  ASSERT_TRUE(copied.ok()) << copied.status().message();
  EXPECT_EQ(copied.value().last_seq, 40u);
  EXPECT_EQ(copied.value().records, 40u);
  EXPECT_TRUE(copied.value().losses.empty());
  EXPECT_NE(copied.value().copy.uuid, copied.value().source.uuid);
  EXPECT_EQ(copied.value().copy.kind, "test");
  EXPECT_EQ(test::contents(from()), before);

  const auto report = verify(fs_, to());
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report.value().damaged());
  EXPECT_EQ(report.value().dense_segments + 1, report.value().segments);
  EXPECT_EQ(report.value().records, 40u);
  EXPECT_EQ(rows_of(to()), rows);
  auto store = open_store(to());
  ASSERT_OK(store->status);
  ASSERT_OK(store->put("on"));
  EXPECT_EQ((*store)->last_seq(), 41u);
}

TEST_F(CopyTest, OfAStoreWithoutRecords) {
  fill(0, true);
  const auto copied = copy_store(fs_, from(), to(), OnDamage::refuse);
  ASSERT_TRUE(copied.ok()) << copied.status().message();
  EXPECT_EQ(copied.value().last_seq, 0u);
  EXPECT_TRUE(rows_of(to()).empty());
}

TEST_F(CopyTest, BesideAnEngineTheNewestBatchIsInItByThatEnginesWord) {
  auto store = open_store(from());
  ASSERT_OK(store->status);
  for (int i = 0; i < 3; i++) ASSERT_OK(store->put(text_of(i, 100)));
  const std::string proven = (directory_.path() / "proven").string();
  const auto without = copy_store(fs_, from(), proven, OnDamage::refuse);
  ASSERT_TRUE(without.ok());
  EXPECT_EQ(without.value().last_seq, 2u);
  const auto with = copy_store(fs_, from(), to(), OnDamage::refuse, (*store)->durable_seq());
  ASSERT_TRUE(with.ok()) << with.status().message();
  EXPECT_EQ(with.value().last_seq, 3u);
  EXPECT_EQ(rows_of(to()), store->all());
}

TEST_F(CopyTest, NeedsANewOrEmptyDirectory) {
  fill(3, true);
  test::fs::create_directories(to());
  test::write_file(test::fs::path(to()) / "notes.txt", "mine");
  EXPECT_EQ(copy_store(fs_, from(), to(), OnDamage::refuse).status().code(), Code::exists);
  EXPECT_EQ(copy_store(fs_, from(), from(), OnDamage::give_up).status().code(), Code::exists);
  EXPECT_EQ(test::names_in(to()), std::vector<std::string>{"notes.txt"});
  test::fs::remove(test::fs::path(to()) / "notes.txt");
  EXPECT_TRUE(copy_store(fs_, from(), to(), OnDamage::refuse).ok());
  const std::string nowhere = (directory_.path() / "nowhere").string();
  EXPECT_EQ(copy_store(fs_, nowhere, nowhere + "2", OnDamage::give_up).status().code(),
            Code::not_found);
}

// Each batch takes whole blocks: the second record's is in block 2.
TEST_F(CopyTest, DamageIsRefusedOrGivenUpAloneAndMarked) {
  const auto rows = fill(40, true);
  damage("00000001.seg", 2 * block_bytes + 80);
  EXPECT_EQ(copy_store(fs_, from(), to(), OnDamage::refuse).status().code(), Code::corrupt);
  EXPECT_EQ(verify(fs_, to()).status().code(), Code::not_found);

  const std::string mended = (directory_.path() / "mended").string();
  const auto copied = copy_store(fs_, from(), mended, OnDamage::give_up);
  ASSERT_TRUE(copied.ok()) << copied.status().message();
  EXPECT_EQ(copied.value().last_seq, 40u);
  EXPECT_EQ(copied.value().records, 39u);
  ASSERT_EQ(copied.value().losses.size(), 1u);
  const Loss& loss = copied.value().losses[0];
  EXPECT_EQ(loss.first_seq, 2u);
  EXPECT_EQ(loss.last_seq, 2u);
  EXPECT_EQ(loss.segment, 1u);
  EXPECT_EQ(loss.block, 2u);

  auto expected = rows;
  expected[1] = {2, rows[0].time_us, lost_record_type, 0, ""};
  EXPECT_EQ(rows_of(mended), expected);
  EXPECT_FALSE(verify(fs_, mended).value().damaged());
  // A copy of that keeps the mark, and does not count it.
  const std::string again = (directory_.path() / "again").string();
  const auto second = copy_store(fs_, mended, again, OnDamage::refuse);
  ASSERT_TRUE(second.ok()) << second.status().message();
  EXPECT_EQ(second.value().records, copied.value().records);
  EXPECT_EQ(rows_of(again), expected);
}

TEST_F(CopyTest, AnUnreadableBlockIsGivenUpAndNothingElse) {
  const auto rows = fill(20, true);
  fs_.unreadable_name = "00000001.seg";
  fs_.unreadable_offset = 3 * block_bytes;
  EXPECT_EQ(copy_store(fs_, from(), to(), OnDamage::refuse).status().code(), Code::unreadable);
  const std::string mended = (directory_.path() / "mended").string();
  const auto copied = copy_store(fs_, from(), mended, OnDamage::give_up);
  fs_.unreadable_name.clear();
  ASSERT_TRUE(copied.ok()) << copied.status().message();
  ASSERT_EQ(copied.value().losses.size(), 1u);
  EXPECT_EQ(copied.value().losses[0].first_seq, 3u);
  EXPECT_EQ(copied.value().losses[0].last_seq, 3u);
  auto expected = rows;
  expected[2] = {3, rows[1].time_us, lost_record_type, 0, ""};
  EXPECT_EQ(rows_of(mended), expected);
}

TEST_F(CopyTest, WithoutASegmentItsRecordsAreLostAndNoOther) {
  const auto rows = fill(40, true);
  const auto names = test::names_in(from());
  ASSERT_NE(std::find(names.begin(), names.end(), "00000003.seg"), names.end());
  test::fs::remove(test::fs::path(from()) / "00000002.seg");
  EXPECT_EQ(copy_store(fs_, from(), to(), OnDamage::refuse).status().code(), Code::corrupt);
  const std::string mended = (directory_.path() / "mended").string();
  const auto copied = copy_store(fs_, from(), mended, OnDamage::give_up);
  ASSERT_TRUE(copied.ok()) << copied.status().message();
  ASSERT_EQ(copied.value().losses.size(), 1u);
  const auto [first, last] =
      std::pair{copied.value().losses[0].first_seq, copied.value().losses[0].last_seq};
  EXPECT_GT(first, 1u);
  EXPECT_LT(last, 40u);
  const auto found = rows_of(mended);
  ASSERT_EQ(found.size(), rows.size());
  for (size_t i = 0; i < rows.size(); i++) {
    if (i + 1 < first || i + 1 > last) {
      EXPECT_EQ(found[i], rows[i]);
    } else {
      EXPECT_EQ(found[i].type, lost_record_type);
    }
  }
}

// Each call of a copy fails in turn: there is no store, or all of it.
TEST_F(CopyTest, FailsAtEveryCallWithoutLeavingHalfAStore) {
  const auto rows = fill(12, true);
  static constexpr Fault error{EIO};
  static constexpr Fault full{ENOSPC};
  uint64_t failures = 0;
  for (const Fault* fault : {&error, &full}) {
    for (uint64_t at = 0;; at++) {
      FaultyFileSystem fs;
      bool hit = false;
      fs.set_rule([&](Call, const std::string&, uint64_t index) -> const Fault* {
        hit = hit || index == at;
        return index == at ? fault : nullptr;
      });
      const std::string target = (directory_.path() / ("at-" + std::to_string(at))).string();
      const auto copied = copy_store(fs, from(), target, OnDamage::refuse);
      if (!hit) {
        ASSERT_TRUE(copied.ok()) << copied.status().message();
        test::fs::remove_all(target);
        break;
      }
      // What is left must not open, or be all of it: the last call comes after STORE has its name.
      Options options = test::options_for(target);
      options.create = false;
      const auto left = open_store(fs_, options);
      if (copied.ok() || left->status.ok()) {
        EXPECT_OK(left->status);
        EXPECT_EQ(left->all(), rows) << "call " << at;
      } else {
        EXPECT_TRUE(left->status.code() == Code::not_found || left->status.code() == Code::corrupt)
            << "call " << at << ": " << left->status.message();
      }
      failures += copied.ok() ? 0 : 1;
      test::fs::remove_all(target);
    }
  }
  EXPECT_GT(failures, 40u);
}

}  // namespace
}  // namespace espora::store
