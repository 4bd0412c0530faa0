// Reading without opening: what is proven where an engine has the store open, and what opening
// takes where nobody has; changes nothing, keeps no lock, and finds every damage that opening
// finds, and more than the first.
#include "store/reader.h"

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
#include "support/by_path.h"

namespace espora::store {
namespace {

using format::block_bytes;
using sys::Code;
using test::Call;
using test::FaultyFileSystem;
using test::open_store;
using test::options_for;
using test::Row;
using test::TemporaryDirectory;
using test::text_of;

class Collector final : public ReadVisitor {
 public:
  void segment(const SegmentFacts& facts) override { segments.push_back(facts.number); }
  bool frame(const FrameView& frame) override {
    RecordCursor cursor(frame.header, frame.payload);
    RecordView record;
    while (cursor.next(record)) rows.push_back(test::row_of(record));
    seals += frame.seal() ? 1 : 0;
    return --frames_wanted != 0;
  }
  void finding(const Finding& finding) override { findings.push_back(finding); }

  std::vector<uint32_t> segments;
  std::vector<Row> rows;
  std::vector<Finding> findings;
  size_t seals = 0;
  int frames_wanted = -1;
};

class ReaderTest : public testing::Test {
 protected:
  std::vector<Row> fill(int batches, size_t size, bool closed) {
    auto store = open_store(path());
    EXPECT_OK(store->status);
    for (int i = 0; i < batches; i++) EXPECT_OK(store->put(text_of(i, size)));
    if (closed) {
      EXPECT_OK((*store)->close());
    }
    return store->all();
  }
  VerifyReport verified(uint64_t durable_seq = 0) {
    auto report = verify(fs_, path(), true, {}, durable_seq);
    EXPECT_TRUE(report.ok()) << report.status().message();
    return report.ok() ? report.value() : VerifyReport();
  }
  void change(const std::string& name, size_t at) {
    const test::fs::path file = test::fs::path(path()) / name;
    std::string bytes = test::read_file(file);
    bytes[at] ^= 0x08;
    test::write_file(file, bytes);
  }
  [[nodiscard]] std::string path() const { return directory_.store(); }

  TemporaryDirectory directory_;
  sys::PosixFileSystem fs_;
};

TEST_F(ReaderTest, BesideAnEngineShowsEveryProvenRecordAndNoOther) {
  auto store = open_store(path());
  ASSERT_OK(store->status);
  for (int i = 0; i < 5; i++) ASSERT_OK(store->put(text_of(i, 300'000)));
  auto rows = store->all();
  rows.pop_back();  // proven by nothing
  auto reader = Reader::open(fs_, path());
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  EXPECT_EQ(reader.value()->proven_seq(), 4u);
  EXPECT_EQ(reader.value()->segments().size(), 2u);
  Collector all;
  ASSERT_OK(reader.value()->walk(all));
  EXPECT_EQ(all.rows, rows);
  EXPECT_EQ(all.segments, (std::vector<uint32_t>{1, 2}));
  ASSERT_EQ(all.findings.size(), 1u);
  EXPECT_EQ(all.findings[0].severity, Severity::note);
  EXPECT_NE(all.findings[0].text().find("record 5: left out, because the store is open"),
            std::string::npos);

  Collector from_second;
  ASSERT_OK(reader.value()->walk(from_second, 2));
  EXPECT_EQ(from_second.segments, std::vector<uint32_t>{2});
  ASSERT_EQ(from_second.rows.size(), 1u);
  EXPECT_EQ(from_second.rows[0].seq, 4u);

  Collector two;
  two.frames_wanted = 2;
  ASSERT_OK(reader.value()->walk(two));
  EXPECT_EQ(two.rows.size(), 2u);
}

TEST_F(ReaderTest, WhereNobodyHasTheStoreOpenShowsWhatOpeningTakes) {
  const auto rows = fill(5, 300'000, false);  // the last one is proven by nothing
  {
    auto reader = Reader::open(fs_, path());
    ASSERT_TRUE(reader.ok()) << reader.status().message();
    EXPECT_EQ(reader.value()->proven_seq(), 4u);
    EXPECT_EQ(reader.value()->last_seq(), 5u);
    Collector all;
    ASSERT_OK(reader.value()->walk(all));
    EXPECT_EQ(all.rows, rows);
    ASSERT_EQ(all.findings.size(), 1u);
    EXPECT_EQ(all.findings[0].severity, Severity::note);
    EXPECT_NE(all.findings[0].text().find("record 5: written whole"), std::string::npos);
  }
  const VerifyReport report = verified();
  EXPECT_FALSE(report.damaged());
  EXPECT_EQ(report.records, 5u);
  EXPECT_EQ(report.last_seq, 5u);
  auto store = open_store(path());
  ASSERT_OK(store->status);
  EXPECT_EQ(store->keeper.rows, rows);
}

// Several tools at once are in nobody's way, and two of them don't take each other for a writer.
TEST_F(ReaderTest, AnotherReaderIsNoWriter) {
  fill(2, 100, false);
  auto directory = Directory::open(fs_, path(), false, false);
  ASSERT_TRUE(directory.ok());
  const sys::File other(fs_, fs_.open(directory.value().handle(), "LOCK", {}));
  ASSERT_EQ(fs_.try_lock_shared(other.get()), 0);
  EXPECT_FALSE(directory.value().in_use());
  EXPECT_EQ(verified().records, 2u);
}

// A service may start at any call of a tool, take the store over and append: the tool shows what
// was there before, or what is proven by then, and never a damage.
TEST_F(ReaderTest, AWriterThatStartsMeanwhileChangesNothingThatIsShown) {
  const auto rows = fill(3, 100, false);
  const auto files = test::contents(path());
  for (int at = 0;; at++) {
    test::restore(path(), files);
    FaultyFileSystem watched;
    std::unique_ptr<test::Opened> started;
    int calls = 0;
    watched.set_rule([&](Call, const std::string&, uint64_t) -> const test::Fault* {
      if (calls++ != at) return nullptr;
      started = open_store(path());
      // A tool that asks for the lock at this very moment.
      if (!started->status.ok()) return nullptr;
      EXPECT_OK(started->put("appended"));
      return nullptr;
    });
    auto reader = Reader::open(watched, path());
    watched.clear();
    ASSERT_TRUE(reader.ok()) << reader.status().message();
    Collector all;
    ASSERT_OK(reader.value()->walk(all));
    for (const Finding& finding : all.findings) EXPECT_EQ(finding.severity, Severity::note);
    // The last record of a writer that had not come far is proven by nothing yet.
    all.rows.resize(std::min<size_t>(all.rows.size(), 3));
    EXPECT_EQ(all.rows, rows) << "at call " << at;
    if (calls <= at) break;
  }
}

TEST_F(ReaderTest, TakesARunningEnginesWordForTheNewestBatch) {
  auto store = open_store(path());
  ASSERT_OK(store->status);
  for (int i = 0; i < 5; i++) ASSERT_OK(store->put(text_of(i, 300'000)));
  const uint64_t durable_seq = (*store)->durable_seq();
  ASSERT_EQ(durable_seq, 5u);
  auto reader = Reader::open(fs_, path(), true, durable_seq);
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  EXPECT_EQ(reader.value()->proven_seq(), 5u);
  Collector all;
  ASSERT_OK(reader.value()->walk(all));
  EXPECT_EQ(all.rows, store->all());
  EXPECT_TRUE(all.findings.empty());
  const auto report = verify(fs_, path(), true, {}, durable_seq);
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report.value().damaged());
  EXPECT_EQ(report.value().records, 5u);
  // Less than it says is damage, and less than the files prove changes nothing.
  const auto more = verify(fs_, path(), true, {}, durable_seq + 1);
  ASSERT_TRUE(more.ok());
  EXPECT_TRUE(more.value().damaged());
  EXPECT_EQ(verify(fs_, path(), true, {}, 1).value().records, 4u);
}

TEST_F(ReaderTest, CountsWhatAClosedStoreHolds) {
  fill(7, 250'000, true);
  const VerifyReport report = verified();
  EXPECT_FALSE(report.damaged());
  EXPECT_TRUE(report.findings.empty());
  EXPECT_EQ(report.proven_seq, 7u);
  EXPECT_EQ(report.records, 7u);
  EXPECT_EQ(report.batches, 7u);
  EXPECT_EQ(report.segments, 2u);
  EXPECT_EQ(report.store.kind, "test");
  EXPECT_EQ(report.payload_bytes, 7 * record_extent(250'000));
}

TEST_F(ReaderTest, AnEmptyStoreIsWhole) {
  fill(0, 0, false);
  const VerifyReport report = verified();
  EXPECT_FALSE(report.damaged());
  EXPECT_EQ(report.proven_seq, 0u);
  EXPECT_EQ(report.segments, 1u);
}

TEST_F(ReaderTest, ChangesNothingAndKeepsNoLock) {
  fill(4, 300'000, false);
  test::write_file(test::fs::path(path()) / "spare-1.tmp", "leftover");
  const auto before = test::contents(path());
  FaultyFileSystem fs;
  fs.record_trace(true);
  ASSERT_TRUE(verify(fs, path()).ok());
  EXPECT_EQ(test::contents(path()), before);
  const auto holder = open_store(path());
  ASSERT_OK(holder->status);
  ASSERT_TRUE(verify(fs, path()).ok());
  for (const std::string& call : fs.trace()) {
    EXPECT_TRUE(call.starts_with("open ") || call.starts_with("pread ") ||
                call.starts_with("size ") || call.starts_with("list ") ||
                call.starts_with("drop_cache ") || call.starts_with("try_lock "))
        << call;
  }
}

TEST_F(ReaderTest, BesideARunningServiceNothingLooksDamaged) {
  auto store = open_store(path());
  ASSERT_OK(store->status);
  std::atomic<uint64_t> durable{0};
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 0; i < 600; i++) {
      EXPECT_OK(store->put(text_of(i, i % 40 == 0 ? 200'000 : 300)));
      durable = (*store)->durable_seq();
      if (i % 100 == 50) {
        EXPECT_OK((*store)->seal());
      }
      // A restart in between: the last segment may get another file under its name.
      if (i % 150 == 149) {
        if (i % 300 == 149) {
          EXPECT_OK((*store)->close());
        }
        store.reset();
        store = open_store(path());
        EXPECT_OK(store->status);
      }
    }
    done = true;
  });
  uint64_t last_seq = 0;
  int rounds = 0;
  while (!done || rounds < 3) {
    // At least what was acknowledged before the batch in flight; never less than a moment ago.
    const uint64_t known = durable;
    const bool told = rounds % 2 == 1;
    const VerifyReport report = verified(told ? known : 0);
    for (const Finding& finding : report.findings) {
      EXPECT_NE(finding.severity, Severity::damage) << finding.text();
    }
    EXPECT_EQ(report.records, report.last_seq);
    // Between two lives the newest record counts, though nothing proves it.
    EXPECT_LE(report.last_seq, report.proven_seq + 1);
    EXPECT_GE(report.proven_seq + (told ? 0 : 1), known);
    if (!told) {
      EXPECT_GE(report.proven_seq, last_seq);
      last_seq = report.proven_seq;
    }
    rounds++;
  }
  writer.join();
  EXPECT_GE(verified().proven_seq, 599u);
}

TEST_F(ReaderTest, FindsEveryDamageNotOnlyTheFirst) {
  fill(9, 310'000, true);  // three batches of 76 blocks fill a segment
  change("00000001.seg", (1 + 76) * block_bytes + 500);
  change("00000003.seg", 3 * block_bytes);
  const VerifyReport report = verified();
  EXPECT_TRUE(report.damaged());
  ASSERT_EQ(report.findings.size(), 2u);
  EXPECT_EQ(report.findings[0].place.segment, 1u);
  EXPECT_EQ(report.findings[0].place.block, 77u);
  EXPECT_EQ(report.findings[0].place.seq, 2u);
  EXPECT_EQ(report.findings[0].code, Code::corrupt);
  EXPECT_EQ(report.findings[1].place.segment, 3u);
  EXPECT_EQ(report.findings[1].place.block, 1u);
  EXPECT_EQ(report.findings[1].place.seq, 7u);
  // What is whole is counted: one batch of the first segment, all of the second.
  EXPECT_EQ(report.records, 4u);
}

TEST_F(ReaderTest, ADamagedHeaderHidesNothingElse) {
  fill(9, 310'000, true);
  change("00000002.seg", 77);
  const VerifyReport report = verified();
  EXPECT_TRUE(report.damaged());
  ASSERT_EQ(report.findings.size(), 1u) << report.findings.back().text();
  EXPECT_EQ(report.findings[0].place.segment, 2u);
  EXPECT_EQ(report.records, 6u);
}

TEST_F(ReaderTest, FilesThatAreMissingOrStrange) {
  fill(9, 310'000, true);
  const auto files = test::contents(path());
  const test::fs::path at = path();
  test::fs::remove(at / "00000002.seg");
  VerifyReport report = verified();
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_NE(report.findings[0].text().find("segment 2"), std::string::npos);
  EXPECT_TRUE(report.damaged());
  test::restore(path(), files);

  test::fs::resize_file(at / "00000001.seg", 5'000);
  report = verified();
  EXPECT_TRUE(report.damaged());
  EXPECT_EQ(report.findings[0].place.segment, 1u);
  test::restore(path(), files);

  test::fs::remove(at / "STORE");
  report = verified();
  EXPECT_TRUE(report.damaged());
  EXPECT_EQ(report.findings[0].code, Code::corrupt);
  test::restore(path(), files);

  test::write_file(at / "notes.txt", "mine");
  report = verified();
  EXPECT_FALSE(report.damaged());
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_EQ(report.findings[0].severity, Severity::note);
  test::restore(path(), files);

  test::write_file(at / "SNAP-10", "");
  report = verified();
  EXPECT_TRUE(report.damaged());
  ASSERT_EQ(report.findings.size(), 2u);  // itself, and what its name proves
  EXPECT_NE(report.findings[0].text().find("SNAP-10"), std::string::npos);
  EXPECT_EQ(report.findings[1].place.segment, 3u);
  test::restore(path(), files);

  test::fs::remove_all(path());
  EXPECT_EQ(verify(fs_, path()).status().code(), Code::not_found);
  test::fs::create_directories(path());
  EXPECT_EQ(verify(fs_, path()).status().code(), Code::not_found);
}

// A crash while a store is made is no damage, and neither is it a store.
TEST_F(ReaderTest, ACreationThatWasCutShortIsNoStoreYet) {
  fill(0, 0, false);
  const test::fs::path at = path();
  test::fs::remove(at / "STORE");
  test::write_file(at / "STORE.tmp", "half");
  const sys::Status status = verify(fs_, path()).status();
  EXPECT_EQ(status.code(), Code::not_found);
  EXPECT_NE(status.message().find("cut short"), std::string::npos) << status.message();

  const auto files = test::contents(path());
  change("00000001.seg", 77);
  EXPECT_TRUE(verified().damaged()) << "a published header is never the work of a crash";
  test::restore(path(), files);
  test::fs::rename(at / "00000001.seg", at / "00000002.seg");
  EXPECT_TRUE(verified().damaged());
}

TEST_F(ReaderTest, NamesEveryUnreadableBlockThatOpeningWouldStumbleOver) {
  fill(4, 310'000, true);
  FaultyFileSystem fs;
  for (const auto& [name, segment, block] :
       {std::tuple{"00000001.seg", 1u, 80u}, std::tuple{"00000002.seg", 2u, 20u},
        std::tuple{"00000002.seg", 2u, 200u}, std::tuple{"00000002.seg", 2u, 0u}}) {
    fs.unreadable_name = name;
    fs.unreadable_offset = block * block_bytes;
    const auto report = verify(fs, path());
    ASSERT_TRUE(report.ok());
    ASSERT_EQ(report.value().findings.size(), 1u) << name << " " << block;
    const Finding& finding = report.value().findings[0];
    EXPECT_EQ(finding.code, Code::unreadable);
    EXPECT_EQ(finding.place.segment, segment);
    EXPECT_EQ(finding.place.block, block);
    EXPECT_EQ(open_store(fs, options_for(path()))->status.code(), Code::unreadable);
  }
}

// Whatever opening refuses, verify finds; whatever it finds, opening refuses.
TEST_F(ReaderTest, AgreesWithOpeningOnEveryDamage) {
  fill(4, 310'000, true);
  const auto files = test::contents(path());
  std::mt19937_64 random(8);
  size_t damaged = 0;
  for (int round = 0; round < 120; round++) {
    const std::string name = round % 2 == 0 ? "00000001.seg" : "00000002.seg";
    const size_t extent = (round % 2 == 0 ? 240 : 90) * block_bytes;
    change(name, random() % extent);
    const bool found = verified().damaged();
    const auto store = open_store(path());
    EXPECT_EQ(found, !store->status.ok()) << store->status.message();
    damaged += found ? 1 : 0;
    test::restore(path(), files);
  }
  EXPECT_GT(damaged, 80u);
  EXPECT_LT(damaged, 120u);
}

}  // namespace
}  // namespace espora::store
