// Damage of every part of a store, and what repair makes of it: whatever is still whole somewhere
// goes over, what is not is counted and marked, damage is never reported as none, and what comes
// out opens.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "faulty_file_system.h"
#include "store/copy.h"
#include "store/engine.h"
#include "store/mending.h"
#include "store/reader.h"
#include "store_rig.h"
#include "support/by_path.h"
#include "sys/crc32c.h"

namespace espora::store {
namespace {

using format::block_bytes;
using sys::Code;
using test::open_store;
using test::Row;
using test::TemporaryDirectory;
using test::text_of;

std::unique_ptr<test::Opened> open_at(sys::FileSystem& fs, const std::string& directory) {
  return open_store(fs, test::options_for(directory));
}

// All records of a store, lost ones included.
class RowsRead final : public ReadVisitor {
 public:
  bool frame(const FrameView& frame) override {
    RecordCursor cursor(frame.header, frame.payload);
    RecordView record;
    while (cursor.next(record)) found.push_back(test::row_of(record));
    return true;
  }
  void finding(const Finding& finding) override {
    EXPECT_NE(finding.severity, Severity::damage) << finding.text();
  }
  std::vector<Row> found;
};

// A store of several segments: all as they were written, or the closed ones rewritten.
class RepairTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    auto store = open_at(fs_, from());
    ASSERT_OK(store->status);
    for (int i = 0; i < 30; i++) ASSERT_OK(store->put(text_of(i, i % 4 == 3 ? 250'000 : 90)));
    if (GetParam()) {
      while ((*store)->housekeeping().step() != Housekeeping::never_ns) {
      }
    }
    ASSERT_OK((*store)->close());
    rows_ = store->all();
    files_ = test::contents(from());
    names_ = test::names_in(from());
    std::erase_if(names_, [](const std::string& name) { return !name.ends_with(".seg"); });
    ASSERT_EQ(names_.size(), 3u);
    EXPECT_EQ(verify(fs_, from()).value().dense_segments, GetParam() ? 2u : 0u);
  }

  void put_back() {
    for (const auto& [name, bytes] : test::contents(from())) test::fs::remove(file(name));
    test::restore(from(), files_);
  }
  void change(const std::string& name, const std::function<void(std::string&)>& edit) {
    std::string bytes = test::read_file(file(name));
    edit(bytes);
    test::write_file(file(name), bytes);
  }
  void flip(const std::string& name, size_t at) {
    change(name, [&](std::string& bytes) { bytes[at] ^= 0x24; });
  }

  // Repairs, and looks at what came out: a sound store with the same sequences, each record what it
  // was or marked as lost, the lost ones counted.
  CopyReport repair(const std::string& what, const std::string& like = {}) {
    test::fs::remove_all(to());
    auto copied = copy_store(fs_, from(), to(), OnDamage::give_up, 0, like);
    EXPECT_TRUE(copied.ok()) << what << ": " << copied.status().message();
    if (!copied.ok()) return {};
    const CopyReport& report = copied.value();
    RowsRead rows;
    auto reader = Reader::open(fs_, to());
    EXPECT_TRUE(reader.ok() && reader.value()->walk(rows).ok()) << what;
    const std::vector<Row>& found = rows.found;
    EXPECT_EQ(found.size(), report.last_seq) << what;
    if (repairs_++ % 16 == 0) {
      auto store = open_at(fs_, to());
      EXPECT_TRUE(store->status.ok()) << what << ": " << store->status.message();
      EXPECT_EQ(store->all(), found) << what;
    }
    lost_.clear();
    for (const Row& row : found) {
      if (row.type == lost_record_type) {
        lost_.insert(row.seq);
        continue;
      }
      EXPECT_EQ(row, rows_[row.seq - 1]) << what;
    }
    std::set<uint64_t> said;
    for (const Loss& loss : report.losses) {
      EXPECT_FALSE(loss.what.empty()) << what;
      for (uint64_t seq = loss.first_seq; seq <= loss.last_seq; seq++) said.insert(seq);
    }
    EXPECT_EQ(said, lost_) << what;
    EXPECT_EQ(report.records, found.size() - lost_.size()) << what;
    return std::move(copied).value();
  }
  void expect_all(const std::string& what, const std::string& like = {}) {
    const CopyReport report = repair(what, like);
    EXPECT_EQ(report.last_seq, rows_.size()) << what;
    EXPECT_TRUE(lost_.empty()) << what << ": lost " << lost_.size();
    EXPECT_TRUE(report.damaged()) << what;
  }
  [[nodiscard]] format::SegmentHeader header_of(const std::string& name) {
    format::SegmentHeader header;
    std::memcpy(&header, files_.at(name).data(), sizeof header);
    return header;
  }

  [[nodiscard]] std::string from() const { return directory_.store(); }
  [[nodiscard]] std::string to() const { return (directory_.path() / "copy").string(); }
  [[nodiscard]] test::fs::path file(const std::string& name) const {
    return test::fs::path(from()) / name;
  }

  TemporaryDirectory directory_;
  test::FaultyFileSystem fs_;
  std::vector<Row> rows_;
  std::map<std::string, std::string> files_;
  std::vector<std::string> names_;  // of segments
  std::set<uint64_t> lost_;
  int repairs_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Layouts, RepairTest, testing::Bool(),
                         [](const auto& layout) { return layout.param ? "Dense" : "AsWritten"; });

TEST_P(RepairTest, OfASoundStoreFindsNothing) {
  const CopyReport report = repair("sound");
  EXPECT_EQ(report.records, rows_.size());
  EXPECT_FALSE(report.damaged());
}

TEST_P(RepairTest, OneWrongByteInAHeaderLosesNothing) {
  for (const std::string& name : names_) {
    for (size_t at = 0; at < 152; at += 7) {
      put_back();
      flip(name, at);
      expect_all(name + " at " + std::to_string(at));
    }
    put_back();
    flip(name, 3'000);
    expect_all(name + ", the zeros of its header");
  }
}

TEST_P(RepairTest, AHeaderThatIsGoneLosesNothing) {
  for (const std::string& name : names_) {
    for (const size_t size : {size_t{512}, block_bytes}) {
      put_back();
      change(name, [&](std::string& bytes) { bytes.replace(0, size, size, '\0'); });
      expect_all(name + " without its header");
    }
  }
  put_back();
  for (const std::string& name : names_) {
    change(name, [](std::string& bytes) { bytes.replace(0, 512, 512, '\x55'); });
  }
  expect_all("no header at all");
}

TEST_P(RepairTest, OneWrongByteInStoreLosesNothing) {
  for (size_t at = 0; at < 64 + 4; at += 3) {
    put_back();
    flip("STORE", at);
    expect_all("STORE at " + std::to_string(at));
  }
  put_back();
  change("STORE", [](std::string& bytes) { bytes.replace(1'000, 900, 900, 'x'); });
  expect_all("STORE with bytes behind its end");
}

TEST_P(RepairTest, WithoutStoreAnotherOfItsKindSaysWhatTheRecordsAre) {
  const std::string other = (directory_.path() / "other").string();
  ASSERT_OK(open_at(fs_, other)->status);
  for (const bool gone : {true, false}) {
    put_back();
    if (gone) test::fs::remove(file("STORE"));
    if (!gone) change("STORE", [](std::string& bytes) { bytes.replace(0, 512, 512, '\0'); });
    test::fs::remove_all(to());
    const auto refused = copy_store(fs_, from(), to(), OnDamage::give_up);
    EXPECT_EQ(refused.status().code(), Code::corrupt);
    EXPECT_NE(refused.status().message().find("--like"), std::string::npos);
    expect_all("no STORE", other);
  }
}

TEST_P(RepairTest, AMissingSegmentLosesItsRecordsAndNoOther) {
  for (size_t i = 0; i < names_.size(); i++) {
    put_back();
    test::fs::remove(file(names_[i]));
    const uint64_t first = header_of(names_[i]).first_seq;
    const uint64_t end =
        i + 1 < names_.size() ? header_of(names_[i + 1]).first_seq : rows_.size() + 1;
    const CopyReport report = repair(names_[i] + " gone");
    // Nothing says what the newest held, and only a segment that was rewritten says that there was
    // one behind it.
    const bool newest = i + 1 == names_.size();
    EXPECT_EQ(report.records, rows_.size() - (end - first)) << names_[i];
    EXPECT_EQ(lost_.size(), newest ? 0 : end - first) << names_[i];
    EXPECT_EQ(report.damaged(), !newest || GetParam()) << names_[i];
  }
}

TEST_P(RepairTest, AFrameThatIsNotWholeLosesItsRecordsAndNoOther) {
  for (const std::string& name : names_) {
    const format::SegmentHeader header = header_of(name);
    const uint32_t seed = frame_seed(header.nonce);
    const std::string& bytes = files_.at(name);
    for (size_t block = 1; block * block_bytes < bytes.size(); block++) {
      const Bytes at = std::as_bytes(std::span(bytes)).subspan(block * block_bytes);
      format::FrameHeader frame;
      if (!decode_frame_header(at, seed, frame) || frame.record_count == 0) continue;
      for (const size_t byte : {size_t{30}, size_t{70}}) {
        put_back();
        flip(name, block * block_bytes + byte);
        const std::string what = name + ", block " + std::to_string(block);
        const CopyReport report = repair(what);
        EXPECT_EQ(report.last_seq, rows_.size()) << what;
        EXPECT_TRUE(report.damaged()) << what;
        std::set<uint64_t> expected;
        for (uint32_t i = 0; i < frame.record_count; i++) expected.insert(frame.first_seq + i);
        EXPECT_EQ(lost_, expected) << what;
      }
    }
  }
}

TEST_P(RepairTest, AFileThatWasCutShortKeepsWhatIsInIt) {
  for (const std::string& name : names_) {
    const std::string& bytes = files_.at(name);
    for (const size_t size : {bytes.size() / 2, bytes.size() / 3 + 77, size_t{100}, size_t{0}}) {
      put_back();
      test::fs::resize_file(file(name), size);
      const std::string what = name + " of " + std::to_string(size) + " bytes";
      const CopyReport report = repair(what);
      EXPECT_TRUE(report.damaged()) << what;
      // What lies in other segments is there.
      const uint64_t first = header_of(name).first_seq;
      for (const uint64_t seq : lost_) EXPECT_GE(seq, first) << what;
    }
  }
}

TEST_P(RepairTest, ASegmentUnderAWrongNameIsReadAsWhatItIs) {
  test::fs::rename(file(names_[1]), file("00000009.seg"));
  expect_all("renamed");
}

// Three segments have room for fewer: each record that is counted as lost is written, too.
constexpr uint64_t no_room_for = 500'000;

TEST_P(RepairTest, TheNameOfAFileMakesNoRecords) {
  test::write_file(file(snapshot_name(no_room_for)), "no snapshot");
  expect_all("a snapshot of a sequence that there is no room for");
  test::write_file(file(segment_name(limits::segment_number_max)), "");
  expect_all("and a file that is called as if there were room");
}

TEST_P(RepairTest, AHeaderThatClaimsMoreThanThereIsRoomForMakesNoRecords) {
  for (const std::string& name : names_) {
    for (const auto claim :
         {&format::SegmentHeader::first_seq, &format::SegmentHeader::durable_seq,
          &format::SegmentHeader::previous_last_seq, &format::SegmentHeader::dense_last_seq}) {
      put_back();
      change(name, [&](std::string& bytes) {
        format::SegmentHeader header = header_of(name);
        header.*claim = no_room_for;
        encode_segment_header(header, std::as_writable_bytes(std::span(bytes)).first(block_bytes));
      });
      expect_all(name);
    }
  }
}

TEST_P(RepairTest, AFrameThatClaimsMoreThanThereIsRoomForMakesNoRecords) {
  const std::string& name = names_.back();
  const uint32_t seed = frame_seed(header_of(name).nonce);
  for (const uint64_t proven : {rows_.size(), no_room_for - 1}) {
    put_back();
    change(name, [&](std::string& bytes) {
      format::FrameHeader frame;
      std::memcpy(&frame, &bytes[block_bytes], sizeof frame);
      frame.block = blocks_of(bytes.size()) - 2;
      frame.first_seq = no_room_for;
      frame.durable_seq = proven;
      frame.header_crc = sys::crc32c(std::as_bytes(std::span(&frame, 1)).subspan(8), seed);
      std::memcpy(&bytes[frame.block * block_bytes], &frame, sizeof frame);
    });
    const std::string what = "a frame that proves " + std::to_string(proven);
    const CopyReport report = repair(what);
    EXPECT_EQ(report.records, rows_.size()) << what;
    EXPECT_TRUE(lost_.empty()) << what;
    // What proves nothing is the rest of a write that was cut short.
    EXPECT_EQ(report.damaged(), proven > rows_.size()) << what;
  }
}

TEST_P(RepairTest, OfAStoreThatIsOpenIsRefused) {
  auto store = open_at(fs_, from());
  ASSERT_OK(store->status);
  EXPECT_EQ(copy_store(fs_, from(), to(), OnDamage::give_up).status().code(), Code::locked);
}

// A segment of a later version is not damage, and an old program must not throw it away.
TEST_P(RepairTest, AnotherVersionIsRefused) {
  change(names_[1], [](std::string& bytes) {
    bytes[12] = 2;
    const uint32_t crc =
        sys::crc32c(std::as_bytes(std::span(bytes)).first(block_bytes).subspan(12));
    std::memcpy(bytes.data() + 8, &crc, sizeof crc);
  });
  EXPECT_EQ(copy_store(fs_, from(), to(), OnDamage::give_up).status().code(), Code::version);
}

// After a kill the newest batches are not proven; opening takes them, and repair does.
TEST(Repair, KeepsWhatOpeningWouldKeep) {
  TemporaryDirectory directory;
  test::FaultyFileSystem fs;
  std::vector<Row> rows;
  {
    auto store = open_at(fs, directory.store());
    ASSERT_OK(store->status);
    for (int i = 0; i < 5; i++) ASSERT_OK(store->put(text_of(i, 90)));
    rows = store->all();
  }
  const std::string to = (directory.path() / "copy").string();
  const auto copied = copy_store(fs, directory.store(), to, OnDamage::give_up);
  ASSERT_TRUE(copied.ok()) << copied.status().message();
  EXPECT_EQ(copied.value().records, 5u);
  EXPECT_FALSE(copied.value().damaged());
  EXPECT_EQ(open_at(fs, to)->all(), rows);
}

TEST(Mending, LeavesAloneWhatNoOneByteExplains) {
  StoreFacts facts;
  facts.segment_bytes = 1 << 20;
  facts.kind = "test";
  const std::string whole = encode_store(facts);
  std::vector<std::byte> bytes(whole.size());
  for (size_t second = 20; second < 60; second++) {
    std::memcpy(bytes.data(), whole.data(), whole.size());
    bytes[17] ^= std::byte{1};
    bytes[second] ^= std::byte{8};
    const std::vector<std::byte> before = bytes;
    EXPECT_FALSE(mend_store(bytes)) << second;
    EXPECT_EQ(bytes, before);
  }
}

// Of two wrong bytes in thousands of headers some look like one wrong byte elsewhere, mostly behind
// the header's end, where no byte can be.
TEST(Mending, PutsNothingBehindTheEndOfAHeader) {
  format::SegmentHeader header{};
  header.magic = format::segment_magic;
  header.number = 1;
  header.epoch = 1;
  std::vector<std::byte> whole(block_bytes);
  encode_segment_header(header, whole);
  const std::vector<std::byte> zeros(block_bytes - sizeof header);
  std::vector<std::byte> bytes;
  for (unsigned first = 1; first < 256; first++) {
    for (unsigned second = 1; second < 256; second += 2) {
      bytes = whole;
      bytes[17] ^= static_cast<std::byte>(first);
      bytes[29] ^= static_cast<std::byte>(second);
      (void)mend_header(bytes, format::segment_magic, sizeof header);
      ASSERT_TRUE(std::equal(zeros.begin(), zeros.end(), bytes.begin() + sizeof header))
          << first << ", " << second;
    }
  }
}

}  // namespace
}  // namespace espora::store
