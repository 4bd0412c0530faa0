// Ranges of records by sequence, in both directions and in portions, over dense and other segments,
// beside a writer, and over what is damaged.
#include "store/record_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "faulty_file_system.h"
#include "store/engine.h"
#include "store_rig.h"

namespace espora::store {
namespace {

using format::block_bytes;
using sys::Code;
using test::FaultyFileSystem;
using test::open_store;
using test::options_for;
using test::Row;
using test::TemporaryDirectory;
using test::text_of;

class Rows final : public RecordSink {
 public:
  void record(const RecordView& record) override { rows.push_back(test::row_of(record)); }
  std::vector<Row> rows;
};

class RecordReaderTest : public testing::Test {
 protected:
  // Small and large records, some of them several in a batch; over several segments.
  static void put(test::Opened& store, int records) {
    for (int i = 0; i < records; i++) {
      const size_t size = i % 11 == 7 ? 200'000 : i % 5 == 1 ? 9'000 : 60;
      ASSERT_OK(store.append(text_of(i, size)));
      if (i % 3 != 0) {
        ASSERT_OK(store.engine->commit());
      }
    }
    ASSERT_OK(store.engine->commit());
  }
  std::unique_ptr<RecordReader> reader() {
    auto directory = Directory::open(fs_, path(), false, false);
    EXPECT_OK(directory.status());
    auto opened = RecordReader::open(std::move(directory).value());
    EXPECT_TRUE(opened.ok()) << opened.status().message();
    return std::move(opened).value();
  }
  [[nodiscard]] std::string path() const { return directory_.store(); }

  TemporaryDirectory directory_;
  FaultyFileSystem fs_;
};

// What a portion has to give, out of all records.
std::vector<Row> expected(const std::vector<Row>& all, const ReadPortion& portion) {
  std::vector<Row> rows;
  for (const Row& row : all) {
    if (row.seq >= portion.first && row.seq <= portion.last) rows.push_back(row);
  }
  if (portion.reverse) std::reverse(rows.begin(), rows.end());
  size_t bytes = 0;
  size_t count = 0;
  while (count < rows.size() && count < portion.records_max && bytes < portion.bytes_max) {
    bytes += record_extent(rows[count++].bytes.size());
  }
  rows.resize(count);
  return rows;
}

void compare_ranges(RecordReader& reader, const std::vector<Row>& all, int rounds) {
  std::mt19937_64 random(7);
  for (int round = 0; round < rounds; round++) {
    ReadPortion portion;
    portion.first = 1 + random() % all.size();
    portion.last = std::min<uint64_t>(all.size(), portion.first + random() % 60);
    portion.reverse = random() % 2 == 0;
    portion.records_max = static_cast<uint32_t>(1 + random() % 70);
    portion.bytes_max = 1 + random() % 500'000;
    Rows found;
    ASSERT_OK(reader.read(portion, found));
    ASSERT_EQ(found.rows, expected(all, portion))
        << portion.first << " to " << portion.last << (portion.reverse ? " reverse" : "");
  }
}

TEST_F(RecordReaderTest, GivesWhatIsThereInBothDirectionsAndInPortions) {
  auto store = open_store(path());
  ASSERT_OK(store->status);
  put(*store, 150);
  const auto plain = reader();
  compare_ranges(*plain, store->all(), 200);
  // Rewritten under a reader that knows where the frames were before, and for one that does not.
  for (int i = 0; i < 20'000; i++) {
    if ((*store)->housekeeping().step() == Housekeeping::never_ns) break;
  }
  compare_ranges(*plain, store->all(), 200);
  compare_ranges(*reader(), store->all(), 200);
}

TEST_F(RecordReaderTest, NothingIsGivenForAnEmptyRange) {
  auto store = open_store(path());
  ASSERT_OK(store->status);
  put(*store, 5);
  for (const bool reverse : {false, true}) {
    Rows found;
    ASSERT_OK(reader()->read({4, 3, reverse, 10, 1000}, found));
    EXPECT_TRUE(found.rows.empty());
  }
}

TEST_F(RecordReaderTest, NothingComesBeforeTheFirst) {
  auto store = open_store(path());
  ASSERT_OK(store->status);
  put(*store, 5);
  Rows found;
  const sys::Status read = reader()->read({0, 3, false, 10, 1000}, found);
  EXPECT_EQ(read.code(), Code::corrupt);
  EXPECT_EQ(read.message(), path() + ": the store begins after sequence 0");
  EXPECT_TRUE(found.rows.empty());
}

TEST_F(RecordReaderTest, FollowsAWriterOverItsSegments) {
  auto store = open_store(path());
  ASSERT_OK(store->status);
  std::atomic<uint64_t> durable{0};
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 0; i < 40; i++) {
      put(*store, 12);
      durable = (*store)->durable_seq();
    }
    done = true;
  });
  const auto follower = reader();
  Rows found;
  while (!done || found.rows.size() < durable) {
    const uint64_t last = durable;
    const uint64_t first = found.rows.size() + 1;
    if (first > last) {
      std::this_thread::yield();
      continue;
    }
    const sys::Status read = follower->read({first, last, false, 4096, size_t{1} << 20}, found);
    if (!read.ok()) {
      ADD_FAILURE() << read.message();
      break;
    }
  }
  writer.join();
  EXPECT_EQ(found.rows, store->all());
}

TEST_F(RecordReaderTest, SaysWhatIsDamagedAndGivesTheRest) {
  std::vector<Row> all;
  {
    auto store = open_store(path());
    ASSERT_OK(store->status);
    for (int i = 0; i < 10; i++) ASSERT_OK(store->put(text_of(i, 100)));  // a block each
    ASSERT_OK((*store)->close());
    all = store->all();
  }
  const auto whole = reader();
  Rows known;
  ASSERT_OK(whole->read({1, 10, false, 100, 100'000}, known));
  EXPECT_EQ(known.rows, all);
  const test::fs::path file = test::fs::path(path()) / "00000001.seg";
  std::string bytes = test::read_file(file);
  bytes[5 * block_bytes + 80] ^= 1;
  test::write_file(file, bytes);

  // For a reader that knows the frame, and for one that has to get past it.
  const auto fresh = reader();
  for (RecordReader* each : {whole.get(), fresh.get()}) {
    Rows found;
    const sys::Status read = each->read({1, 10, false, 100, 100'000}, found);
    EXPECT_EQ(read.code(), Code::corrupt);
    EXPECT_NE(read.message().find("block 5"), std::string::npos) << read.message();
    EXPECT_EQ(found.rows, std::vector<Row>(all.begin(), all.begin() + 4));
  }
  Rows behind;
  ASSERT_OK(whole->read({6, 10, true, 100, 100'000}, behind));
  EXPECT_EQ(behind.rows.size(), 5u);

  // More than there is, said to be durable.
  Rows none;
  EXPECT_EQ(whole->read({11, 11, false, 1, 1}, none).code(), Code::corrupt);
  EXPECT_TRUE(none.rows.empty());
}

TEST_F(RecordReaderTest, AReadErrorIsNotAnEnd) {
  {
    auto store = open_store(path());
    ASSERT_OK(store->status);
    for (int i = 0; i < 10; i++) ASSERT_OK(store->put(text_of(i, 100)));
    ASSERT_OK((*store)->close());
  }
  fs_.unreadable_name = "00000001.seg";
  fs_.unreadable_offset = 3 * block_bytes;
  Rows found;
  EXPECT_EQ(reader()->read({3, 3, false, 1, 1}, found).code(), Code::unreadable);
  EXPECT_TRUE(found.rows.empty());
  fs_.unreadable_name.clear();
  ASSERT_OK(reader()->read({3, 3, false, 1, 1}, found));
  EXPECT_EQ(found.rows.size(), 1u);
}

}  // namespace
}  // namespace espora::store
