// Rewriting and snapshots while everything around them goes wrong: each call fails in turn, power
// is cut after each, sources are damaged, the disk is full, the directory's flush fails. Whatever
// happens, the log is the same afterwards.
#include "store/housekeeping.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "faulty_file_system.h"
#include "store/engine.h"
#include "store/format.h"
#include "store/housekeeping_thread.h"
#include "store/reader.h"
#include "store_rig.h"
#include "support/by_path.h"

namespace espora::store {
namespace {

using format::block_bytes;
using sys::Code;
using test::Call;
using test::call_name;
using test::Fault;
using test::FaultyFileSystem;
using test::options_for;
using test::Row;
using test::row_of;
using test::TemporaryDirectory;
using test::text_of;

// A state that every record of the log goes into, in order.
class Total final : public SnapshotState {
 public:
  sys::Status restore(Bytes state) override {
    if (state.size() != sizeof values_) return sys::Status(Code::corrupt, "no total");
    std::memcpy(&values_, state.data(), sizeof values_);
    return {};
  }
  sys::Status apply(const RecordView& record) override {
    if (record.seq != values_.count + 1) return sys::Status(Code::corrupt, "out of order");
    values_.count++;
    values_.sum = digest(record.bytes, values_.sum ^ record.time_us ^ record.type);
    return {};
  }
  [[nodiscard]] std::vector<std::byte> encode() const override {
    const Bytes bytes = std::as_bytes(std::span(&values_, 1));
    return {bytes.begin(), bytes.end()};
  }
  [[nodiscard]] uint64_t count() const { return values_.count; }
  [[nodiscard]] uint64_t sum() const { return values_.sum; }

 private:
  struct {
    uint64_t count = 0;
    uint64_t sum = 0;
  } values_;
};

class Owner final : public RecordVisitor {
 public:
  explicit Owner(History wanted) : wanted_(wanted) {}
  [[nodiscard]] History history() const override { return wanted_; }
  sys::Status restore(Bytes state, uint64_t seq) override {
    restored_seq = seq;
    return total.restore(state);
  }
  std::unique_ptr<SnapshotState> make_state() override { return std::make_unique<Total>(); }
  sys::Status record(const RecordView& record) override {
    rows.push_back(row_of(record));
    return wanted_ == History::tail ? sys::Status() : total.apply(record);
  }

  Total total;
  std::vector<Row> rows;
  uint64_t restored_seq = 0;

 private:
  History wanted_;
};

struct Store {
  explicit Store(History wanted) : owner(wanted) {}
  Owner owner;
  sys::Status status;
  std::unique_ptr<Engine> engine;
  Engine* operator->() const { return engine.get(); }

  sys::Status put(const std::string& text, std::vector<Row>& history) {
    for (;;) {
      const sys::Status reserved = engine->reserve(text.size(), 1);
      if (reserved.code() == Code::unavailable) {
        (void)engine->spare_preparer().prepare_now();
        continue;
      }
      if (!reserved.ok()) return reserved;
      break;
    }
    const uint64_t time_us = engine->batch_time_us();
    const uint64_t seq = engine->append(7, 0, test::bytes_of(text));
    history.push_back({seq, time_us, 7, 0, text});
    return engine->commit();
  }
};

std::unique_ptr<Store> open_as(sys::FileSystem& fs, const Options& options, History wanted) {
  auto store = std::make_unique<Store>(wanted);
  auto result = Engine::open(fs, options, store->owner);
  store->status = result.status();
  if (result.ok()) store->engine = std::move(result).value();
  return store;
}

// Steps until there is nothing to do, or `steps` were made. Time passes by itself.
uint64_t keep_house(Engine& engine, FaultyFileSystem& fs, uint64_t steps = 20'000) {
  uint64_t made = 0;
  for (; made < steps; made++) {
    const uint64_t due_ns = engine.housekeeping().step();
    if (due_ns == Housekeeping::never_ns) break;
    const uint64_t now_ns = fs.monotonic_ns();
    if (due_ns > now_ns) fs.advance_monotonic_ns(due_ns - now_ns);
  }
  return made;
}

class HousekeepingTest : public testing::Test {
 protected:
  // Small and large records over a few segments; the last one is not proven.
  void fill(Engine& engine, Store& store, int rounds) {
    (void)engine;
    for (int i = 0; i < rounds; i++) {
      const size_t size = i % 9 == 4 ? 400'000 : i % 5 == 1 ? 9'000 : 60;
      ASSERT_OK(store.put(text_of(history_.size() + 1, size), history_));
    }
  }
  // Closed with three closed segments behind it, untouched by housekeeping.
  void fill_and_close(int rounds = 60) {
    FaultyFileSystem fs;
    auto store = open_as(fs, options(), History::snapshot);
    ASSERT_OK(store->status);
    fill(*store->engine, *store, rounds);
    ASSERT_OK((*store)->close());
  }
  [[nodiscard]] Options options() const { return options_for(path()); }
  [[nodiscard]] std::string path() const { return directory_.store(); }
  [[nodiscard]] test::fs::path file(const std::string& name) const {
    return test::fs::path(path()) / name;
  }
  [[nodiscard]] uint64_t disk_bytes() const {
    uint64_t bytes = 0;
    for (const auto& entry : test::fs::directory_iterator(path())) bytes += entry.file_size();
    return bytes;
  }
  [[nodiscard]] std::vector<std::string> names(const std::string& prefix) const {
    std::vector<std::string> found;
    for (const std::string& name : test::names_in(path())) {
      if (name.starts_with(prefix)) found.push_back(name);
    }
    return found;
  }
  // Whatever was done to it, the log is what was appended, by every way of reading it.
  void expect_whole() {
    FaultyFileSystem fs;
    const auto report = verify(fs, path());
    ASSERT_TRUE(report.ok()) << report.status().message();
    for (const Finding& finding : report.value().findings) {
      EXPECT_NE(finding.severity, Severity::damage) << finding.text();
    }
    uint64_t sum = 0;
    {
      const auto all = open_as(fs, options(), History::all);
      ASSERT_OK(all->status);
      ASSERT_EQ(all->owner.rows, history_);
      sum = all->owner.total.sum();
    }
    const auto quick = open_as(fs, options(), History::snapshot);
    ASSERT_OK(quick->status);
    EXPECT_EQ(quick->owner.total.count(), history_.size());
    EXPECT_EQ(quick->owner.total.sum(), sum);
    EXPECT_EQ((*quick)->last_seq(), history_.size());
    EXPECT_EQ((*quick)->last_time_us(), history_.back().time_us);
  }
  void expect_refused(History wanted, const std::vector<std::string>& parts) {
    FaultyFileSystem fs;
    const auto store = open_as(fs, options(), wanted);
    EXPECT_EQ(store->status.code(), Code::corrupt) << store->status.message();
    for (const std::string& part : parts) {
      EXPECT_NE(store->status.message().find(part), std::string::npos) << store->status.message();
    }
  }

  TemporaryDirectory directory_;
  std::vector<Row> history_;
};

TEST_F(HousekeepingTest, ClosedSegmentsBecomeSmallAndHoldTheSame) {
  FaultyFileSystem fs;
  {
    auto store = open_as(fs, options(), History::snapshot);
    ASSERT_OK(store->status);
    EXPECT_EQ((*store)->housekeeping().step(), Housekeeping::never_ns);
    for (int i = 0; i < 1'200; i++) ASSERT_OK(store->put(text_of(history_.size(), 48), history_));
    const uint64_t before = disk_bytes();
    keep_house(*store->engine, fs);
    const Stats stats = (*store)->stats();
    EXPECT_EQ(stats.segment, 5u);
    EXPECT_EQ(stats.housekeeping.segments_rewritten, 4u);
    EXPECT_EQ(stats.housekeeping.rewrite_failures, 0u);
    EXPECT_GE(stats.housekeeping.snapshots, 1u);
    const uint64_t snapshots_bytes = names("SNAP-").size() * block_bytes;
    EXPECT_EQ(static_cast<int64_t>(before + snapshots_bytes - disk_bytes()),
              stats.housekeeping.saved_bytes);
    // 255 transactions a segment.
    EXPECT_LT(test::fs::file_size(file("00000001.seg")), 255u * 96 + 2 * block_bytes);
    EXPECT_TRUE(names("dense-").empty());
    // Nothing is left to do, and appending goes on.
    EXPECT_EQ((*store)->housekeeping().step(), Housekeeping::never_ns);
    ASSERT_OK(store->put("one more", history_));
  }
  expect_whole();
}

TEST_F(HousekeepingTest, OpeningFromASnapshotTouchesNoOlderSegment) {
  FaultyFileSystem fs;
  {
    auto store = open_as(fs, options(), History::snapshot);
    ASSERT_OK(store->status);
    fill(*store->engine, *store, 90);
    keep_house(*store->engine, fs);
  }
  const auto snapshots = names("SNAP-");
  ASSERT_FALSE(snapshots.empty());
  EXPECT_LE(snapshots.size(), 2u);
  fs.record_trace(true);
  auto store = open_as(fs, options(), History::snapshot);
  ASSERT_OK(store->status);
  const uint32_t last = static_cast<uint32_t>(names("0").size());
  ASSERT_GE(last, 5u);
  std::set<std::string> opened;
  for (const std::string& call : fs.trace()) {
    if (call.starts_with("open 0")) opened.insert(call.substr(5));
  }
  // The last one, and the one that opening made if it did not take its place.
  EXPECT_LE(opened.size(), 2u) << *opened.begin();
  EXPECT_EQ(opened.count(segment_name(1)), 0u);
  EXPECT_EQ((*store)->stats().snapshot_seq, store->owner.restored_seq);
  EXPECT_EQ("SNAP-" + std::to_string(store->owner.restored_seq), snapshots.back());
  EXPECT_LT(store->owner.rows.size(), history_.size());
  store.reset();
  expect_whole();

  // Without a state there is nothing to read older segments for, with or without snapshots.
  fs.record_trace(true);
  store = open_as(fs, options(), History::tail);
  ASSERT_OK(store->status);
  opened.clear();
  for (const std::string& call : fs.trace()) {
    if (call.starts_with("open 0")) opened.insert(call.substr(5));
  }
  EXPECT_LE(opened.size(), 3u);
  EXPECT_EQ(opened.count(segment_name(1)), 0u);
  EXPECT_EQ((*store)->last_seq(), history_.size());
  ASSERT_OK(store->put("goes on", history_));
  store.reset();
  expect_whole();
}

TEST_F(HousekeepingTest, EveryRollMakesASnapshotAndTwoAreKept) {
  FaultyFileSystem fs;
  auto store = open_as(fs, options(), History::snapshot);
  ASSERT_OK(store->status);
  for (int i = 0; i < 12; i++) {
    ASSERT_OK(store->put(text_of(history_.size() + 1, 600'000), history_));
    keep_house(*store->engine, fs);
    EXPECT_LE(names("SNAP-").size(), 2u);
  }
  EXPECT_EQ((*store)->stats().housekeeping.snapshots, 11u);
  EXPECT_EQ(names("SNAP-"), (std::vector<std::string>{"SNAP-10", "SNAP-11"}));
  store.reset();
  expect_whole();
}

TEST_F(HousekeepingTest, WithoutAStateThereAreNoSnapshotsAndWithoutRewritingNoRewriting) {
  fill_and_close();
  FaultyFileSystem fs;
  Options chosen = options();
  chosen.rewrite_segments = false;
  {
    auto store = open_as(fs, chosen, History::all);
    ASSERT_OK(store->status);
    fs.record_trace(true);
    keep_house(*store->engine, fs);
    EXPECT_LE(fs.trace().size(), 1u);  // the directory
  }
  auto store = open_as(fs, options(), History::all);
  keep_house(*store->engine, fs);
  EXPECT_GT((*store)->stats().housekeeping.segments_rewritten, 2u);
  EXPECT_TRUE(names("SNAP-").empty());
  store.reset();
  expect_whole();
}

// ---- failures ---------------------------------------------------------------------------------

// Whether a fault makes sense at such a call.
bool may_fail(const Fault& fault, Call call) {
  const bool flush = call == Call::fsync || call == Call::fdatasync;
  if (fault.error == 0 && call != Call::pwrite) return false;
  if (fault.drops && !flush) return false;
  if (fault.has_effect && !flush && call != Call::pwrite && call != Call::rename) return false;
  return fault.error != EINTR || call == Call::pwrite || call == Call::pread;
}

// What is called while house is kept in a store that was just opened, and nothing fails.
std::vector<Call> calls_of(const Options& options) {
  FaultyFileSystem fs;
  const auto store = open_as(fs, options, History::snapshot);
  EXPECT_OK(store->status);
  const size_t from = fs.calls();
  keep_house(*store->engine, fs);
  return {fs.made().begin() + static_cast<ptrdiff_t>(from), fs.made().end()};
}

// All is dense behind the segment in use, or somebody is told why not.
void expect_done_or_told(Engine& engine, const std::function<std::string(uint32_t)>& path_of) {
  const HousekeepingStats stats = engine.stats().housekeeping;
  if (stats.rewrite_failures + stats.snapshot_failures + stats.segments_damaged != 0) {
    EXPECT_FALSE(engine.housekeeping().last_failure().empty());
  }
  if (stats.segments_damaged != 0) return;
  EXPECT_EQ(engine.housekeeping().step(), Housekeeping::never_ns);
  for (uint32_t number = 1; number < engine.stats().segment; number++) {
    EXPECT_NE(test::fs::file_size(path_of(number)), uint64_t{1} << 20);
  }
}

TEST_F(HousekeepingTest, EachCallFailsInTurnAndNothingIsHarmed) {
  fill_and_close(24);
  const auto files = test::contents(path());
  const std::vector<Row> before = history_;
  const std::vector<std::pair<const char*, Fault>> variants = {
      {"EIO", {EIO}},
      {"EIO with effect", {EIO, true}},
      {"EIO, what was not flushed is lost", {EIO, false, true}},
      {"ENOSPC", {ENOSPC}},
      {"EDQUOT", {EDQUOT}},
      {"EINTR", {EINTR}},
      {"part of a write", {0, false, false, 4'096}},
      {"nothing written", {0, false, false, 0}},
  };
  const std::vector<Call> calls = calls_of(options());
  size_t hits = 0;
  size_t poisoned = 0;
  for (const auto& [name, fault] : variants) {
    for (uint64_t index = 0; index < calls.size(); index++) {
      if (!may_fail(fault, calls[index])) continue;
      test::restore(path(), files);
      history_ = before;
      FaultyFileSystem fs;
      fs.tracks_sectors = fault.drops;
      auto store = open_as(fs, options(), History::snapshot);
      ASSERT_OK(store->status);
      const uint64_t from = fs.calls();
      bool hit = false;
      bool directory_flush = false;
      std::string what;
      fs.set_rule([&](Call call, const std::string& file_name, uint64_t now) -> const Fault* {
        if (now != from + index) return nullptr;
        hit = true;
        directory_flush = call == Call::fsync && file_name == ".";
        what = std::string(call_name(call)) + " of " + file_name;
        return &fault;
      });
      keep_house(*store->engine, fs);
      SCOPED_TRACE(std::string(name) + " at call " + std::to_string(index) + ", " + what);
      ASSERT_TRUE(hit);
      hits++;
      fs.clear();
      // Only a directory's flush is anybody else's business.
      const sys::Status put = store->put("after it", history_);
      if (directory_flush) {
        poisoned++;
        EXPECT_EQ(put.code(), Code::failed);
        EXPECT_TRUE((*store)->poisoned());
        EXPECT_EQ((*store)->failure().code(), Code::io);
        EXPECT_EQ((*store)->housekeeping().step(), Housekeeping::never_ns);
        EXPECT_FALSE((*store)->close().ok());
      } else {
        ASSERT_OK(put);
        keep_house(*store->engine, fs);
        expect_done_or_told(*store->engine,
                            [&](uint32_t number) { return file(segment_name(number)); });
        ASSERT_OK((*store)->close());
        EXPECT_TRUE(names("dense-").empty());
      }
      store.reset();
      expect_whole();
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(hits, 150u);
  EXPECT_GT(poisoned, 4u);
}

TEST_F(HousekeepingTest, PowerIsCutAfterEachCallAndNothingIsLost) {
  fill_and_close(24);
  const auto files = test::contents(path());
  const std::vector<Row> before = history_;
  bool more = true;
  for (uint64_t index = 0; more; index++) {
    for (const unsigned keep : {0u, 128u, 256u}) {
      test::restore(path(), files);
      history_ = before;
      FaultyFileSystem fs;
      fs.tracks_sectors = true;
      std::mt19937_64 random(index * 3 + keep);
      {
        auto store = open_as(fs, options(), History::snapshot);
        ASSERT_OK(store->status);
        const uint64_t from = fs.calls();
        fs.set_rule([&](Call, const std::string&, uint64_t now) -> const Fault* {
          if (now == from + index && !fs.dead()) fs.cut_power(random, keep);
          return nullptr;
        });
        keep_house(*store->engine, fs, 3'000);
        more = fs.dead();
      }
      SCOPED_TRACE("cut at call " + std::to_string(index) + ", keep " + std::to_string(keep));
      expect_whole();
      if (HasFailure()) return;
    }
  }
}

TEST_F(HousekeepingTest, ADamagedSourceIsReportedAndKept) {
  fill_and_close();
  std::string bytes = test::read_file(file("00000002.seg"));
  bytes[3 * block_bytes + 200] ^= 4;
  FaultyFileSystem fs;
  auto store = open_as(fs, options(), History::tail);
  ASSERT_OK(store->status);
  test::write_file(file("00000002.seg"), bytes);
  keep_house(*store->engine, fs);
  const HousekeepingStats stats = (*store)->stats().housekeeping;
  EXPECT_EQ(stats.segments_damaged, 1u);
  EXPECT_GE(stats.segments_rewritten, 2u);
  EXPECT_NE((*store)->housekeeping().last_failure().find("segment 2, block"), std::string::npos);
  EXPECT_EQ(test::read_file(file("00000002.seg")), bytes);
  EXPECT_TRUE(names("dense-").empty());
  ASSERT_OK(store->put("goes on", history_));
}

TEST_F(HousekeepingTest, NoSnapshotIsMadeOfADamagedSegment) {
  FaultyFileSystem fs;
  auto store = open_as(fs, options(), History::snapshot);
  ASSERT_OK(store->status);
  fill(*store->engine, *store, 60);
  std::string bytes = test::read_file(file("00000002.seg"));
  bytes[3 * block_bytes + 200] ^= 4;
  test::write_file(file("00000002.seg"), bytes);
  keep_house(*store->engine, fs);
  const HousekeepingStats stats = (*store)->stats().housekeeping;
  EXPECT_EQ(stats.segments_damaged, 1u);
  EXPECT_EQ(stats.snapshot_failures, 1u);
  EXPECT_LE(stats.snapshots, 1u);  // of the segment before it
  EXPECT_FALSE((*store)->poisoned());
  store.reset();
  // Restarts must not get past it in silence either.
  expect_refused(History::snapshot, {"segment 2"});
}

TEST_F(HousekeepingTest, AReadErrorInASourceKeepsIt) {
  fill_and_close();
  const std::string before = test::read_file(file("00000001.seg"));
  FaultyFileSystem fs;
  auto store = open_as(fs, options(), History::tail);
  ASSERT_OK(store->status);
  fs.unreadable_name = "00000001.seg";
  fs.unreadable_offset = 5 * block_bytes;
  keep_house(*store->engine, fs);
  EXPECT_EQ((*store)->stats().housekeeping.segments_damaged, 1u);
  EXPECT_EQ(test::read_file(file("00000001.seg")), before);
}

TEST_F(HousekeepingTest, AFileThatDoesNotReadBackAsItWasWrittenIsAbandoned) {
  fill_and_close();
  const auto files = test::contents(path());
  FaultyFileSystem fs;
  auto store = open_as(fs, options(), History::snapshot);
  ASSERT_OK(store->status);
  std::mt19937_64 random(4);
  int spoiled = 0;
  // Each is spoiled once, just before it is read back.
  std::set<std::string> seen;
  fs.set_rule([&](Call call, const std::string& name, uint64_t) -> const Fault* {
    const bool made = name.ends_with(".tmp") && !name.starts_with("spare-");
    if (call == Call::fsync && made) seen.insert(name);
    if (call == Call::open && made && seen.count(name) == 1 && spoiled < 4) {
      std::string bytes = test::read_file(file(name));
      if (bytes.empty()) return nullptr;
      bytes[random() % bytes.size()] ^= 1;
      test::write_file(file(name), bytes);
      seen.erase(name);
      spoiled++;
    }
    return nullptr;
  });
  keep_house(*store->engine, fs);
  EXPECT_EQ(spoiled, 4);
  const HousekeepingStats stats = (*store)->stats().housekeeping;
  EXPECT_EQ(stats.rewrite_failures + stats.snapshot_failures, 4u);
  EXPECT_EQ(stats.segments_damaged, 0u);
  EXPECT_EQ(stats.segments_rewritten, (*store)->stats().segment - 1);
  store.reset();
  expect_whole();
}

TEST_F(HousekeepingTest, AFullDiskDelaysRewritingAndHarmsNothing) {
  fill_and_close();
  FaultyFileSystem fs;
  auto store = open_as(fs, options(), History::snapshot);
  ASSERT_OK(store->status);
  const Fault no_space{ENOSPC};
  bool full = true;
  fs.set_rule([&](Call call, const std::string& name, uint64_t) -> const Fault* {
    return full && call == Call::pwrite && name.ends_with(".tmp") ? &no_space : nullptr;
  });
  keep_house(*store->engine, fs, 2'000);
  HousekeepingStats stats = (*store)->stats().housekeeping;
  EXPECT_GT(stats.rewrite_failures, 1u);
  EXPECT_GT(stats.snapshot_failures, 1u);
  EXPECT_EQ(stats.segments_rewritten + stats.snapshots + stats.segments_damaged, 0u);
  ASSERT_OK(store->put("small", history_));
  full = false;
  keep_house(*store->engine, fs);
  stats = (*store)->stats().housekeeping;
  EXPECT_EQ(stats.segments_rewritten, (*store)->stats().segment - 1);
  EXPECT_GE(stats.snapshots, 1u);
  store.reset();
  expect_whole();
}

TEST_F(HousekeepingTest, NothingBeforeTheNewSegmentAndNothingAfterPoisoning) {
  fill_and_close();
  FaultyFileSystem fs;
  const Fault no_space{ENOSPC};
  const Fault io_error{EIO};
  bool full = true;
  bool broken = false;
  fs.set_rule([&](Call call, const std::string& name, uint64_t) -> const Fault* {
    if (full && call == Call::allocate) return &no_space;
    if (broken && call == Call::fdatasync && name.ends_with(".seg")) return &io_error;
    return nullptr;
  });
  auto store = open_as(fs, options(), History::snapshot);
  ASSERT_OK(store->status);
  ASSERT_FALSE((*store)->appendable());
  fs.record_trace(true);
  EXPECT_EQ((*store)->housekeeping().step(), Housekeeping::never_ns);
  EXPECT_TRUE(fs.trace().empty());
  full = false;
  for (int i = 0; i < 100 && !(*store)->appendable(); i++) {
    fs.advance_monotonic_ns(limits::spare_retry_ns);
    (*store)->spare_preparer().step();
    ASSERT_OK((*store)->maintain());
  }
  ASSERT_TRUE((*store)->appendable());
  EXPECT_NE((*store)->housekeeping().step(), Housekeeping::never_ns);
  keep_house(*store->engine, fs, 10);
  broken = true;
  EXPECT_EQ(store->put("lost", history_).code(), Code::indeterminate);
  history_.pop_back();
  broken = false;
  fs.record_trace(true);
  EXPECT_EQ((*store)->housekeeping().step(), Housekeeping::never_ns);
  EXPECT_FALSE((*store)->close().ok());
  for (const std::string& call : fs.trace()) {
    EXPECT_TRUE(call.starts_with("unlink spare-")) << "after poisoning: " << call;
  }
}

TEST_F(HousekeepingTest, ARollBehindAFailedDirectoryFlushIsNotBelieved) {
  fill_and_close();
  FaultyFileSystem fs;
  auto store = open_as(fs, options(), History::snapshot);
  ASSERT_OK(store->status);
  const Fault io_error{EIO};
  bool fail = false;
  fs.set_rule([&](Call call, const std::string& name, uint64_t) -> const Fault* {
    return fail && call == Call::fsync && name == "." ? &io_error : nullptr;
  });
  // A batch that rolls is in work when housekeeping meets the failure.
  ASSERT_OK(store->put(text_of(1, 700'000), history_));
  while ((*store)->reserve(700'000, 1).code() == Code::unavailable) {
    (void)(*store)->spare_preparer().prepare_now();
  }
  (*store)->append(7, 0, test::bytes_of(text_of(2, 700'000)));
  ASSERT_TRUE((*store)->begin_commit());
  const uint64_t durable = (*store)->durable_seq();
  fail = true;
  keep_house(*store->engine, fs);
  fail = false;
  ASSERT_TRUE((*store)->housekeeping().failed());
  while ((*store)->working()) (*store)->step();
  EXPECT_EQ((*store)->complete().code(), Code::indeterminate);
  EXPECT_TRUE((*store)->poisoned());
  EXPECT_EQ((*store)->durable_seq(), durable);
}

// ---- beside readers, over restarts ------------------------------------------------------------

TEST_F(HousekeepingTest, AnOpenReaderKeepsWhatItHas) {
  fill_and_close();
  FaultyFileSystem fs;
  auto directory = Directory::open(fs, path(), false, true);
  ASSERT_TRUE(directory.ok());
  auto opened = directory.value().open_segment(1, uint64_t{1} << 20);
  ASSERT_TRUE(opened.ok());
  const auto header = directory.value().read_header(opened.value());
  ASSERT_TRUE(header.ok());
  auto reader = Reader::open(fs, path());  // looked at the headers before
  ASSERT_TRUE(reader.ok());
  auto store = open_as(fs, options(), History::tail);
  ASSERT_OK(store->status);
  keep_house(*store->engine, fs);
  EXPECT_GT((*store)->stats().housekeeping.segments_rewritten, 1u);

  SegmentWindow window(directory.value());
  window.look_at(opened.value(), 256);
  FrameWalk walk(header.value(), {});
  FrameView frame;
  FrameVerdict verdict = FrameVerdict::nothing;
  ASSERT_OK(walk.next(window, frame, verdict));
  ASSERT_EQ(verdict, FrameVerdict::accept);
  EXPECT_EQ(frame.header.type, static_cast<uint16_t>(format::FrameType::batch));

  struct Collector final : ReadVisitor {
    bool frame(const FrameView& frame) override {
      RecordCursor cursor(frame.header, frame.payload);
      RecordView record;
      while (cursor.next(record)) rows.push_back(row_of(record));
      return true;
    }
    void finding(const Finding& finding) override { ADD_FAILURE() << finding.text(); }
    std::vector<Row> rows;
  } all;
  ASSERT_OK(reader.value()->walk(all));
  EXPECT_EQ(all.rows, history_);
}

TEST_F(HousekeepingTest, RestartsInALoopDoNotEatDisk) {
  const size_t segments_at_once = 4;
  for (int life = 0; life < 12; life++) {
    FaultyFileSystem fs;
    auto store = open_as(fs, options(), History::snapshot);
    ASSERT_OK(store->status);
    // Too much to be copied: each life leaves a segment behind.
    for (int i = 0; i < 3; i++)
      ASSERT_OK(store->put(text_of(1 + history_.size(), 400'000), history_));
    for (int i = 0; i < 50; i++) ASSERT_OK(store->put(text_of(1 + history_.size(), 48), history_));
    keep_house(*store->engine, fs);
    uint64_t payload = 0;
    for (const Row& row : history_) payload += record_extent(row.bytes.size()) + 16;
    EXPECT_LT(disk_bytes(), payload + payload / 20 + (segments_at_once << 20)) << life;
  }
  expect_whole();
}

TEST_F(HousekeepingTest, TheThreadDoesAllOfIt) {
  sys::PosixFileSystem fs;
  auto store = open_as(fs, options(), History::snapshot);
  ASSERT_OK(store->status);
  {
    HousekeepingThread thread(
        fs, (*store)->spare_preparer(), [] {}, &(*store)->housekeeping());
    for (int i = 0; i < 600; i++) ASSERT_OK(store->put(text_of(history_.size(), 48), history_));
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while ((*store)->housekeeping().stats().segments_rewritten < 2 ||
           (*store)->housekeeping().stats().snapshots < 1) {
      ASSERT_LT(std::chrono::steady_clock::now(), give_up);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  ASSERT_OK((*store)->close());
  store.reset();
  expect_whole();
}

// ---- what must not be there -------------------------------------------------------------------

class SnapshotDamage : public HousekeepingTest {
 protected:
  void SetUp() override {
    FaultyFileSystem fs;
    auto store = open_as(fs, options(), History::snapshot);
    ASSERT_OK(store->status);
    for (int i = 0; i < 5; i++) {
      ASSERT_OK(store->put(text_of(history_.size() + 1, 600'000), history_));
      keep_house(*store->engine, fs);
    }
    ASSERT_OK((*store)->close());
    ASSERT_EQ(names("SNAP-"), (std::vector<std::string>{"SNAP-3", "SNAP-4"}));
  }
  // Changes the newest snapshot's header, with CRCs as an engine would have written them.
  void forge(const std::function<void(format::SnapshotHeader&)>& change) {
    const std::string bytes = test::read_file(file("SNAP-4"));
    format::SnapshotHeader header{};
    Bytes state;
    ASSERT_EQ(decode_snapshot(test::bytes_of(bytes), header, state), HeaderState::valid);
    change(header);
    const std::vector<std::byte> forged = encode_snapshot(header, state);
    test::write_file(file("SNAP-4"), {reinterpret_cast<const char*>(forged.data()), forged.size()});
  }
  [[nodiscard]] bool verify_finds(const std::string& part) {
    FaultyFileSystem fs;
    const auto report = verify(fs, path());
    if (!report.ok() || !report.value().damaged()) return false;
    for (const Finding& finding : report.value().findings) {
      if (finding.text().find(part) != std::string::npos) return true;
    }
    return false;
  }
};

TEST_F(SnapshotDamage, TheNewestOneDamagedIsCorruptAlsoBesideAnOlderOne) {
  std::string bytes = test::read_file(file("SNAP-4"));
  bytes[90] ^= 1;
  test::write_file(file("SNAP-4"), bytes);
  expect_refused(History::snapshot, {"SNAP-4"});
  EXPECT_TRUE(verify_finds("SNAP-4"));
}

TEST_F(SnapshotDamage, OfAnotherStore) {
  forge([](format::SnapshotHeader& header) { header.uuid[0] ^= 1; });
  expect_refused(History::snapshot, {"SNAP-4", "belongs to store"});
  EXPECT_TRUE(verify_finds("belongs to store"));
}

TEST_F(SnapshotDamage, UnderAnotherName) {
  forge([](format::SnapshotHeader& header) { header.seq = 3; });
  expect_refused(History::snapshot, {"SNAP-4", "sequence 3"});
  EXPECT_TRUE(verify_finds("sequence 3"));
}

TEST_F(SnapshotDamage, ThatDoesNotFitItsPlace) {
  for (const auto& change : std::vector<std::function<void(format::SnapshotHeader&)>>{
           [](format::SnapshotHeader& header) { header.frame_crc ^= 1; },
           [](format::SnapshotHeader& header) { header.time_us++; },
           [](format::SnapshotHeader& header) { header.segment--; }}) {
    const std::string before = test::read_file(file("SNAP-4"));
    forge(change);
    expect_refused(History::snapshot, {"SNAP-4", "at the end of segment"});
    EXPECT_TRUE(verify_finds("SNAP-4"));
    test::write_file(file("SNAP-4"), before);
  }
  expect_whole();
}

TEST_F(SnapshotDamage, WithoutTheSegmentAfterIt) {
  test::fs::remove(file("00000005.seg"));
  expect_refused(History::snapshot, {"SNAP-4", "segment after it is missing"});
  EXPECT_TRUE(verify_finds("SNAP-4"));
  // And so is a dense segment without one.
  expect_refused(History::all, {"segment 4", "rewritten densely"});
  expect_refused(History::tail, {"segment 4", "rewritten densely"});
  EXPECT_TRUE(verify_finds("rewritten densely"));
}

TEST_F(SnapshotDamage, AStateThatItsOwnerRefusesEndsOpening) {
  forge([](format::SnapshotHeader& header) { header.zero = 0; });
  const std::string bytes = test::read_file(file("SNAP-4"));
  format::SnapshotHeader header{};
  Bytes state;
  ASSERT_EQ(decode_snapshot(test::bytes_of(bytes), header, state), HeaderState::valid);
  const std::vector<std::byte> forged = encode_snapshot(header, test::bytes_of("short"));
  test::write_file(file("SNAP-4"), {reinterpret_cast<const char*>(forged.data()), forged.size()});
  expect_refused(History::snapshot, {"no total"});
}

TEST_F(SnapshotDamage, LostSnapshotsCostTimeNotRecords) {
  test::fs::remove(file("SNAP-3"));
  test::fs::remove(file("SNAP-4"));
  FaultyFileSystem fs;
  auto store = open_as(fs, options(), History::snapshot);
  ASSERT_OK(store->status);
  EXPECT_EQ((*store)->stats().snapshot_seq, 0u);
  EXPECT_EQ(store->owner.rows, history_);
  keep_house(*store->engine, fs);
  EXPECT_EQ(names("SNAP-").back(), "SNAP-4");
  store.reset();
  expect_whole();
}

TEST_F(SnapshotDamage, ADamagedDenseSegmentIsFoundByVerifyAndByWhoeverReadsIt) {
  std::string bytes = test::read_file(file("00000002.seg"));
  for (const size_t at : {size_t{20}, block_bytes + 700, bytes.size() - block_bytes + 20}) {
    std::string changed = bytes;
    changed[at] ^= 2;
    test::write_file(file("00000002.seg"), changed);
    FaultyFileSystem fs;
    const auto report = verify(fs, path());
    ASSERT_TRUE(report.ok());
    ASSERT_EQ(report.value().findings.size(), 1u) << at;
    EXPECT_EQ(report.value().findings[0].place.segment, 2u);
    if (at < bytes.size() - block_bytes) expect_refused(History::all, {});
    test::write_file(file("00000002.seg"), bytes);
  }
  test::fs::resize_file(file("00000002.seg"), bytes.size() - block_bytes);
  expect_refused(History::all, {"00000002.seg", "bytes instead of"});
  EXPECT_TRUE(verify_finds("bytes instead of"));
  test::write_file(file("00000002.seg"), bytes);
  expect_whole();
}

}  // namespace
}  // namespace espora::store
