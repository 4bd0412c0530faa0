// Opening a directory in every state that it may be found in: unfinished, incomplete, damaged,
// unreadable. What is refused is left exactly as it was.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "faulty_file_system.h"
#include "store/engine.h"
#include "store/format.h"
#include "store/reader.h"
#include "store_rig.h"
#include "sys/crc32c.h"

namespace espora::store {
namespace {

using format::block_bytes;
using sys::Code;
using test::bytes_of;
using test::Call;
using test::Fault;
using test::FaultyFileSystem;
using test::open_store;
using test::options_for;
using test::Row;
using test::TemporaryDirectory;
using test::text_of;

using Files = std::map<std::string, std::string>;

constexpr const char* first_segment = "00000001.seg";

class Opening : public testing::Test {
 protected:
  // Some batches, some of them in closed segments; the last one is proven only if `closed`.
  std::vector<Row> fill(int batches, size_t size, bool closed) {
    auto store = open_store(path());
    EXPECT_OK(store->status);
    for (int i = 0; i < batches; i++) EXPECT_OK(store->put(text_of(i, size)));
    if (closed) EXPECT_OK((*store)->close());
    return store->all();
  }

  // Refused with `code`, in a message that has all of `parts`, and nothing changed.
  void expect_refused(Code code, const std::vector<std::string>& parts = {}) {
    const Files before = test::contents(path());
    const auto store = open_store(path());
    EXPECT_EQ(store->status.code(), code) << store->status.message();
    for (const std::string& part : parts) {
      EXPECT_NE(store->status.message().find(part), std::string::npos) << store->status.message();
    }
    EXPECT_EQ(test::contents(path()), before);
  }

  void expect_rows(const std::vector<Row>& rows) {
    for (int round = 0; round < 2; round++) {
      const auto store = open_store(path());
      ASSERT_OK(store->status);
      EXPECT_EQ(store->keeper.rows, rows);
    }
  }

  [[nodiscard]] std::string path() const { return directory_.store(); }
  [[nodiscard]] test::fs::path file(const std::string& name) const {
    return test::fs::path(path()) / name;
  }

  TemporaryDirectory directory_;
};

// ---- which files are there --------------------------------------------------------------------

TEST_F(Opening, WithoutCreateAMissingStoreIsNotFoundAndNotMade) {
  sys::PosixFileSystem real;
  Options options = options_for(path());
  options.create = false;
  EXPECT_EQ(open_store(real, options)->status.code(), Code::not_found);
  EXPECT_TRUE(test::names_in(directory_.path()).empty());
  test::fs::create_directories(path());
  EXPECT_EQ(open_store(real, options)->status.code(), Code::not_found);
}

TEST_F(Opening, MakesEveryDirectoryOnTheWay) {
  const std::string deep = (directory_.path() / "a" / "b" / "c").string();
  {
    const auto store = open_store(deep + "/");
    ASSERT_OK(store->status);
    ASSERT_OK(store->put("deep"));
  }
  EXPECT_EQ(open_store(deep)->keeper.rows.size(), 1u);
}

TEST_F(Opening, ADirectoryThatCannotBeMadeOrIsAFileIsSaid) {
  test::write_file(directory_.path() / "file", "text");
  const std::string inside = (directory_.path() / "file").string();
  EXPECT_EQ(open_store(inside)->status.code(), Code::invalid);
  EXPECT_EQ(open_store(inside + "/store")->status.code(), Code::invalid);
}

TEST_F(Opening, AnUnfinishedCreationStartsAnew) {
  fill(0, 0, false);
  test::fs::remove(file("STORE"));
  test::write_file(file("STORE.tmp"), "half");
  test::write_file(file("spare-3.tmp"), "half");
  const std::string before = test::read_file(file(first_segment));
  sys::PosixFileSystem real;
  Options options = options_for(path());
  options.create = false;
  EXPECT_EQ(open_store(real, options)->status.code(), Code::not_found);
  const auto store = open_store(path());
  ASSERT_OK(store->status);
  EXPECT_TRUE(store->keeper.rows.empty());
  EXPECT_EQ((*store)->stats().epoch, 1u);
  ASSERT_OK(store->put("first"));
  ASSERT_OK((*store)->close());
  EXPECT_EQ(test::names_in(path()), (std::vector<std::string>{first_segment, "LOCK", "STORE"}));
  EXPECT_NE(test::read_file(file(first_segment)).substr(0, 4096), before.substr(0, 4096));
}

TEST_F(Opening, RecordsWithoutStoreAreCorrupt) {
  for (const bool closed : {true, false}) {
    fill(1, 40, closed);
    test::fs::remove(file("STORE"));
    expect_refused(Code::corrupt, {"no file STORE"});
    test::fs::remove_all(path());
  }
  fill(4, 900'000, true);
  test::fs::remove(file("STORE"));
  expect_refused(Code::corrupt, {"no file STORE"});
}

TEST_F(Opening, ATornFirstRecordWithoutStoreIsStillARecord) {
  fill(1, 9'000, false);
  test::fs::remove(file("STORE"));
  std::string bytes = test::read_file(file(first_segment));
  bytes[2 * block_bytes + 100] ^= 1;
  test::write_file(file(first_segment), bytes);
  expect_refused(Code::corrupt);
}

TEST_F(Opening, AnEmptySegmentWithADamagedHeaderIsCorruptAlsoWithoutStore) {
  fill(0, 0, false);
  test::fs::remove(file("STORE"));
  std::string bytes = test::read_file(file(first_segment));
  bytes[100] ^= 1;
  test::write_file(file(first_segment), bytes);
  expect_refused(Code::corrupt, {"header is damaged"});
}

TEST_F(Opening, ASnapshotWithoutStoreIsCorrupt) {
  fill(0, 0, false);
  test::fs::remove(file("STORE"));
  test::write_file(file("SNAP-7"), "");
  expect_refused(Code::corrupt, {"no file STORE"});
  test::fs::remove(file(first_segment));
  expect_refused(Code::corrupt, {"no file STORE"});
}

TEST_F(Opening, StoreWithoutSegmentsIsCorrupt) {
  fill(1, 40, true);
  test::fs::remove(file(first_segment));
  expect_refused(Code::corrupt, {"no segment"});
}

TEST_F(Opening, ASnapshotsNameProvesItsSequence) {
  const auto rows = fill(3, 40, true);
  test::write_file(file("SNAP-3"), "");
  expect_rows(rows);
  test::write_file(file("SNAP-4"), "");
  expect_refused(Code::corrupt, {"segment 1", "sequence 4"});
}

TEST_F(Opening, LeftoversGoAndForeignFilesStay) {
  const auto rows = fill(2, 40, true);
  for (const char* name : {"STORE.tmp", "spare-1.tmp", "spare-99.tmp", "SNAP-5.tmp"}) {
    test::write_file(file(name), "leftover");
  }
  for (const char* name : {"notes.tmp", "README", "00000002.seg.bak"}) {
    test::write_file(file(name), "not the store's");
  }
  test::fs::create_directory(file("lost+found"));
  auto store = open_store(path());
  ASSERT_OK(store->status);
  EXPECT_EQ(store->keeper.rows, rows);
  ASSERT_OK((*store)->close());
  EXPECT_EQ(test::names_in(path()),
            (std::vector<std::string>{"00000001.seg", "00000002.seg.bak", "LOCK", "README", "STORE",
                                      "lost+found", "notes.tmp"}));
}

TEST_F(Opening, AMissingSegmentIsCorrupt) {
  fill(8, 900'000, true);
  const Files files = test::contents(path());
  ASSERT_GE(files.size(), 8u);
  for (const char* name : {"00000001.seg", "00000003.seg", "00000007.seg"}) {
    test::fs::remove(file(name));
    expect_refused(Code::corrupt, {"missing"});
    test::restore(path(), files);
  }
}

TEST_F(Opening, AnotherStoresSegmentIsCorrupt) {
  fill(4, 900'000, true);
  const TemporaryDirectory other;
  auto foreign = open_store(other.store());
  for (int i = 0; i < 4; i++) ASSERT_OK(foreign->put(text_of(i, 900'000)));
  foreign.reset();
  const Files files = test::contents(path());
  for (const char* name : {"00000001.seg", "00000002.seg", "00000004.seg"}) {
    test::write_file(file(name), test::read_file(test::fs::path(other.store()) / name));
    expect_refused(Code::corrupt, {"belongs to store"});
    test::restore(path(), files);
  }
}

TEST_F(Opening, AnOlderVersionOfASegmentIsCorrupt) {
  fill(3, 300'000, true);
  const std::string old = test::read_file(file(first_segment));
  auto store = open_store(path());
  for (int i = 0; i < 4; i++) ASSERT_OK(store->put(text_of(i, 300'000)));
  ASSERT_OK((*store)->close());
  ASSERT_TRUE(test::fs::exists(file("00000002.seg")));
  test::write_file(file(first_segment), old);
  expect_refused(Code::corrupt);
}

TEST_F(Opening, SegmentsSwappedOrCopiedAreCorrupt) {
  fill(5, 900'000, true);
  const Files files = test::contents(path());
  test::write_file(file("00000002.seg"), files.at("00000003.seg"));
  expect_refused(Code::corrupt, {"segment 2"});
  test::write_file(file("00000003.seg"), files.at("00000002.seg"));
  expect_refused(Code::corrupt, {"segment 2"});
  test::restore(path(), files);
  test::write_file(file("00000006.seg"), files.at("00000005.seg"));
  expect_refused(Code::corrupt, {"segment 6"});
}

TEST_F(Opening, ASegmentOfAnotherLengthIsCorrupt) {
  fill(3, 900'000, true);
  const Files files = test::contents(path());
  for (const char* name : {"00000001.seg", "00000003.seg"}) {
    const std::string& bytes = files.at(name);
    for (const size_t size : {size_t{0}, size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
      test::write_file(file(name), bytes.substr(0, size));
      expect_refused(Code::corrupt, {name});
    }
    test::write_file(file(name), bytes + "x");
    expect_refused(Code::corrupt, {name});
    test::restore(path(), files);
  }
}

// ---- STORE ------------------------------------------------------------------------------------

TEST_F(Opening, ADamagedStoreFileIsCorrupt) {
  fill(1, 40, true);
  const std::string bytes = test::read_file(file("STORE"));
  for (size_t at = 0; at < bytes.size(); at += at < 80 ? 1 : 501) {
    std::string damaged = bytes;
    damaged[at] ^= 0x20;
    test::write_file(file("STORE"), damaged);
    expect_refused(Code::corrupt, {"STORE is damaged"});
  }
  for (const size_t size : {size_t{0}, size_t{64}, size_t{4095}}) {
    test::write_file(file("STORE"), bytes.substr(0, size));
    expect_refused(Code::corrupt, {"STORE is damaged"});
  }
  test::write_file(file("STORE"), std::string(8 << 20, '\0'));
  expect_refused(Code::corrupt, {"STORE is damaged"});
}

TEST_F(Opening, AnotherVersionIsRefusedByName) {
  fill(3, 900'000, true);
  const Files files = test::contents(path());
  const auto patched = [&](const std::string& name, size_t at, char value) {
    std::string bytes = files.at(name);
    bytes[at] = value;
    const size_t extent = name == "STORE" ? bytes.size() : block_bytes;
    const uint32_t crc = sys::crc32c(bytes_of(std::string_view(bytes).substr(12, extent - 12)));
    std::memcpy(bytes.data() + 8, &crc, sizeof crc);
    test::write_file(file(name), bytes);
  };
  patched("STORE", 12, 2);
  expect_refused(Code::version, {"version 2", "version 1"});
  test::restore(path(), files);
  patched("00000002.seg", 12, 7);
  expect_refused(Code::version, {"version 7", "00000002.seg"});
  test::restore(path(), files);
  patched("00000001.seg", 36, 2);
  expect_refused(Code::version, {"flags 2"});
}

TEST_F(Opening, WhileNothingIsProvenStoreIsPublishedAgain) {
  FaultyFileSystem fs;
  const Options options = options_for(path());
  open_store(fs, options);
  const auto renames_of_store = [&] {
    fs.record_trace(true);
    auto store = open_store(fs, options);
    EXPECT_OK(store->status);
    const auto& trace = fs.trace();
    const auto count = std::count(trace.begin(), trace.end(), "rename STORE");
    EXPECT_OK(store->put("x"));
    EXPECT_OK(store->put("y"));  // proves the first
    return count;
  };
  EXPECT_EQ(renames_of_store(), 1);
  EXPECT_EQ(renames_of_store(), 0);
}

// ---- damage -----------------------------------------------------------------------------------

// Every block of every segment, one flipped bit each, at and below what is proven.
TEST_F(Opening, AFlippedBitInAnyProvenBlockIsCorruptAndNothingIsTouched) {
  fill(7, 310'000, true);
  const Files files = test::contents(path());
  ASSERT_TRUE(files.contains("00000003.seg"));
  std::mt19937_64 random(5);
  size_t flips = 0;
  for (const auto& [name, bytes] : files) {
    if (parse_name(name).kind != NameKind::segment) continue;
    const bool last =
        !files.contains(segment_name(static_cast<uint32_t>(parse_name(name).number) + 1));
    // Three batches of 76 blocks fill a segment; the last one has one batch, a seal, and nothing.
    const size_t blocks = 1 + (last ? 1 : 3) * blocks_of(64 + record_extent(310'000));
    for (size_t block = 0; block < blocks; block += 1 + random() % 20) {
      const size_t at = block * block_bytes + random() % block_bytes;
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << (random() % 8)));
      test::write_file(file(name), damaged);
      expect_refused(Code::corrupt, {path()});
      flips++;
    }
    test::write_file(file(name), bytes);
  }
  EXPECT_GT(flips, 30u);
}

TEST_F(Opening, DamageNamesSegmentBlockAndSequence) {
  fill(4, 40, true);
  std::string bytes = test::read_file(file(first_segment));
  bytes[3 * block_bytes + 70] ^= 1;
  test::write_file(file(first_segment), bytes);
  expect_refused(Code::corrupt, {"segment 1, block 3, sequence 3", "up to sequence 4"});
}

// The last batch, proven by nothing, at many places: the log ends before it, twice the same.
TEST_F(Opening, ATornUnprovenBatchEndsTheLogBeforeIt) {
  auto rows = fill(3, 6'000, false);
  rows.pop_back();
  const Files files = test::contents(path());
  const std::string& bytes = files.at(first_segment);
  const size_t from = 5 * block_bytes;
  for (size_t at = from; at < from + 2 * block_bytes; at += 449) {
    test::restore(path(), files);
    std::string damaged = bytes;
    damaged[at] ^= 0x04;
    test::write_file(file(first_segment), damaged);
    expect_rows(rows);
    if (at >= from + 64 + 8 + 6'000) continue;  // zeros already
    test::restore(path(), files);
    damaged = bytes;
    std::fill(damaged.begin() + static_cast<ptrdiff_t>(at), damaged.end(), '\0');
    test::write_file(file(first_segment), damaged);
    expect_rows(rows);
  }
}

TEST_F(Opening, GarbageBehindTheEndChangesNothing) {
  const auto rows = fill(3, 40, true);
  std::string bytes = test::read_file(file(first_segment));
  std::mt19937_64 random(6);
  for (size_t at = 5 * block_bytes; at < bytes.size(); at++)
    bytes[at] = static_cast<char>(random());
  test::write_file(file(first_segment), bytes);
  expect_rows(rows);
}

// A record whose bytes are a whole frame of the same store, lying on a block of its own.
TEST_F(Opening, ACopiedFrameInAPayloadIsNotAFrame) {
  {
    auto store = open_store(path());
    for (int i = 0; i < 4; i++) ASSERT_OK(store->put(text_of(i, 40)));
    const std::string segment = test::read_file(file(first_segment));
    // 64 bytes of frame header and 8 of record header come before the record's own bytes.
    std::string payload(block_bytes - 72, '.');
    for (size_t block = 1; block <= 4; block++)
      payload += segment.substr(block * block_bytes, 4096);
    for (int i = 0; i < 3; i++) payload += segment.substr(4 * block_bytes, 4096);
    ASSERT_OK(store->put(payload));
  }
  const auto store = open_store(path());
  ASSERT_OK(store->status);
  EXPECT_EQ(store->keeper.rows.size(), 5u);
  const auto all = store->keeper.rows;
  // Torn at its start, the copies inside stand free, in a segment of their own nonce's successor.
  std::string bytes = test::read_file(file(first_segment));
  const size_t last = bytes.find(std::string(4000, '.'));
  ASSERT_NE(last, std::string::npos);
  const size_t start = last / block_bytes * block_bytes;
  std::memset(bytes.data() + start, 0, block_bytes);
  const TemporaryDirectory second;
  const Files files = test::contents(path());
  test::restore(second.store(), files);
  test::write_file(test::fs::path(second.store()) / first_segment, bytes);
  const auto torn = open_store(second.store());
  // The copy was published with the segment, so it is proven, and its loss is seen.
  EXPECT_EQ(torn->status.code(), Code::corrupt) << torn->status.message();
}

// ---- read errors ------------------------------------------------------------------------------

TEST_F(Opening, AReadErrorIsNeverATornTail) {
  fill(4, 310'000, false);
  const Files files = test::contents(path());
  FaultyFileSystem fs;
  const size_t blocks = (uint64_t{1} << 20) / block_bytes;
  for (const char* name : {"00000001.seg", "00000002.seg", "STORE"}) {
    for (size_t block = 0; block < blocks; block += block < 3 ? 1 : 37) {
      if (std::string(name) == "STORE" && block > 0) break;
      // Behind the end of a closed segment nothing is read.
      if (std::string(name) == "00000001.seg" && block >= 1 + 3 * 76) break;
      fs.unreadable_name = name;
      fs.unreadable_offset = block * block_bytes;
      const auto store = open_store(fs, options_for(path()));
      ASSERT_EQ(store->status.code(), Code::unreadable) << name << ", block " << block;
      if (std::string(name) != "STORE") {
        ASSERT_NE(store->status.message().find("block " + std::to_string(block)), std::string::npos)
            << store->status.message();
      }
    }
  }
  EXPECT_EQ(test::contents(path()), files);
  fs.unreadable_name.clear();
  EXPECT_OK(open_store(fs, options_for(path()))->status);
}

TEST_F(Opening, AReadErrorWithoutStoreIsNoUnfinishedCreation) {
  fill(0, 0, false);
  test::fs::remove(file("STORE"));
  FaultyFileSystem fs;
  fs.unreadable_name = first_segment;
  fs.unreadable_offset = 77 * block_bytes;
  const Files before = test::contents(path());
  EXPECT_EQ(open_store(fs, options_for(path()))->status.code(), Code::unreadable);
  EXPECT_EQ(test::contents(path()), before);
}

}  // namespace
}  // namespace espora::store
