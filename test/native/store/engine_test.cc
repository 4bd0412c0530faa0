// The engine on a real disk: append, commit, reopen, roll, seal, the relaxed modes, and the order
// of its system calls.
#include "store/engine.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "faulty_file_system.h"
#include "store/housekeeping_thread.h"
#include "store/reader.h"
#include "store_rig.h"
#include "support/by_path.h"
#include "sys/limits.h"

namespace espora::store {
namespace {

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

TEST(Engine, WhatWasAppendedIsThereAfterReopening) {
  const TemporaryDirectory directory;
  std::vector<Row> rows;
  for (int round = 0; round < 4; round++) {
    auto store = open_store(directory.store());
    ASSERT_OK(store->status);
    EXPECT_EQ(store->keeper.rows, rows);
    EXPECT_EQ((*store)->last_seq(), rows.size());
    EXPECT_EQ((*store)->durable_seq(), rows.size());
    EXPECT_EQ((*store)->stats().epoch, static_cast<uint64_t>(round) + 1);
    for (const size_t size : {0, 1, 7, 8, 9, 100, 4024, 4025, 70'000}) {
      ASSERT_OK(store->append(text_of(rows.size(), size), static_cast<uint16_t>(size + 1),
                              static_cast<uint16_t>(round)));
      ASSERT_OK((*store)->commit());
      EXPECT_EQ((*store)->durable_seq(), (*store)->last_seq());
      EXPECT_EQ((*store)->acknowledged_seq(), (*store)->last_seq());
    }
    rows = store->all();
    ASSERT_OK((*store)->close());
  }
  const auto report = verify(*std::make_unique<sys::PosixFileSystem>(), directory.store());
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_TRUE(report.value().findings.empty());
  EXPECT_EQ(report.value().records, rows.size());
  EXPECT_EQ(report.value().proven_seq, rows.size());
}

TEST(Engine, WithoutCloseTheLastBatchIsCopiedAndEverythingIsThere) {
  const TemporaryDirectory directory;
  std::vector<Row> rows;
  for (int round = 0; round < 12; round++) {
    auto store = open_store(directory.store());
    ASSERT_OK(store->status);
    EXPECT_EQ(store->keeper.rows, rows);
    // What the last batch held is proven by nothing: nobody wrote after it.
    EXPECT_EQ((*store)->stats().unproven_records, round == 0 ? 0u : 2u);
    EXPECT_EQ(store->keeper.ends, round == 0 ? 1 : 2);
    ASSERT_OK(store->put(text_of(rows.size(), 50)));
    ASSERT_OK(store->append(text_of(rows.size(), 60)));
    ASSERT_OK(store->append(text_of(rows.size(), 70)));
    ASSERT_OK((*store)->commit());
    rows = store->all();
  }
}

TEST(Engine, CloseLeavesNothingUnproven) {
  const TemporaryDirectory directory;
  {
    auto store = open_store(directory.store());
    ASSERT_OK(store->put("one"));
    ASSERT_OK(store->append("two"));  // close commits it
    ASSERT_OK((*store)->close());
    ASSERT_OK((*store)->close());
    EXPECT_EQ((*store)->reserve(1, 1).code(), Code::closed);
  }
  EXPECT_EQ(test::names_in(directory.store()),
            (std::vector<std::string>{"00000001.seg", "LOCK", "STORE"}));
  auto store = open_store(directory.store());
  EXPECT_EQ(store->keeper.rows.size(), 2u);
  EXPECT_EQ((*store)->stats().unproven_records, 0u);
}

// Neither opening nor opening with an append in between may add a segment each time.
TEST(Engine, RestartsDoNotEatDisk) {
  const TemporaryDirectory directory;
  std::vector<Row> rows;
  for (int round = 0; round < 60; round++) {
    auto store = open_store(directory.store());
    ASSERT_OK(store->status);
    ASSERT_EQ(store->keeper.rows, rows);
    if (round % 3 != 0) ASSERT_OK(store->put(text_of(rows.size(), 30)));
    rows = store->all();
    if (round % 2 == 0) ASSERT_OK((*store)->close());
    store.reset();
    size_t segments = 0;
    for (const auto& name : test::names_in(directory.store())) {
      segments += parse_name(name).kind == NameKind::segment ? 1 : 0;
    }
    ASSERT_EQ(segments, 1u) << "round " << round;
  }
}

TEST(Engine, FollowsALastSegmentThatIsTooLargeToCopy) {
  const TemporaryDirectory directory;
  sys::PosixFileSystem real;
  Options options = options_for(directory.store());
  options.segment_bytes = uint64_t{3} << 20;
  std::vector<Row> rows;
  for (int round = 0; round < 6; round++) {
    auto store = open_store(real, options);
    ASSERT_OK(store->status);
    ASSERT_EQ(store->keeper.rows, rows);
    for (int i = 0; i < 5; i++) ASSERT_OK(store->put(text_of(rows.size() + i, 300'000)));
    rows = store->all();
  }
  auto report = verify(real, directory.store());
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report.value().damaged());
  EXPECT_GE(report.value().segments, 5u);
  EXPECT_GE(report.value().records, rows.size() - 1);
}

TEST(Engine, RollsOverManySegments) {
  const TemporaryDirectory directory;
  std::vector<Row> rows;
  std::mt19937_64 random(3);
  for (int round = 0; round < 3; round++) {
    auto store = open_store(directory.store());
    ASSERT_OK(store->status);
    ASSERT_EQ(store->keeper.rows, rows);
    for (int batch = 0; batch < 120; batch++) {
      const size_t records = 1 + random() % 5;
      for (size_t i = 0; i < records; i++) {
        const size_t size = random() % 4 == 0 ? random() % 90'000 : random() % 200;
        ASSERT_OK(store->append(text_of(random() % 1000, size)));
      }
      ASSERT_OK((*store)->commit());
      if (batch % 17 == 0) ASSERT_OK((*store)->seal());
    }
    EXPECT_GT((*store)->stats().rolls, 2u);
    rows = store->all();
    if (round == 1) ASSERT_OK((*store)->close());
  }
  auto store = open_store(directory.store());
  ASSERT_OK(store->status);
  EXPECT_EQ(store->keeper.rows, rows);
  sys::PosixFileSystem real;
  const auto report = verify(real, directory.store());
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report.value().damaged());
  EXPECT_EQ(report.value().records, rows.size());
}

TEST(Engine, BatchesOfEverySizeUpToTheLimit) {
  const TemporaryDirectory directory;
  auto store = open_store(directory.store());
  ASSERT_OK(store->status);
  const size_t room = (*store)->batch_payload_bytes_max();
  EXPECT_EQ(room, (uint64_t{1} << 20) - 2 * 4096 - 64);
  EXPECT_EQ((*store)->reserve(room - 8 + 1, 1).code(), Code::too_large);
  EXPECT_EQ((*store)->reserve(SIZE_MAX / 2, 1).code(), Code::too_large);
  EXPECT_EQ((*store)->reserve(1, UINT32_MAX).code(), Code::too_large);
  ASSERT_OK(store->put(text_of(1, room - 8)));  // fills a segment by itself
  ASSERT_OK(store->put(text_of(2, room - 8)));
  EXPECT_EQ((*store)->stats().rolls, 1u);
  // A full segment has a block left for the seal that proves its last batch.
  EXPECT_EQ((*store)->stats().blocks_free, 1u);
  ASSERT_OK((*store)->seal());
  EXPECT_EQ((*store)->stats().seals, 1u);
  EXPECT_EQ((*store)->stats().blocks_free, 0u);
  EXPECT_EQ((*store)->maintenance_due_ns(), UINT64_MAX);

  ASSERT_OK(store->append(text_of(3, room - 8 - 16)));
  EXPECT_EQ(store->reserve(9, 1).code(), Code::overloaded);
  ASSERT_OK(store->append(text_of(4, 8)));
  EXPECT_EQ(store->reserve(0, 1).code(), Code::overloaded);
  ASSERT_OK((*store)->commit());
  ASSERT_OK(store->reserve(0, 1));
  const auto rows = store->all();
  ASSERT_OK((*store)->close());
  store = open_store(directory.store());
  EXPECT_EQ(store->keeper.rows, rows);
}

// Whatever fills a segment, what was answered can be proven: there is always a block for a seal.
TEST(Engine, ASegmentNeverFillsUpBeforeItsSeal) {
  for (const size_t size : {100u, 5'000u, 60'000u, 500'000u}) {
    const TemporaryDirectory directory;
    auto store = open_store(directory.store());
    ASSERT_OK(store->status);
    for (int i = 0; i < 300; i++) {
      ASSERT_OK(store->put(text_of(i, size)));
      ASSERT_GE((*store)->stats().blocks_free, 1u) << "record " << i << " of " << size << " bytes";
      if ((*store)->stats().rolls == 2) break;
      if ((*store)->stats().blocks_free != 1) continue;
      ASSERT_OK((*store)->seal());
      EXPECT_EQ((*store)->stats().blocks_free, 0u);
    }
  }
}

// A flush that was asked for is proven on disk, in the modes in which no later frame does it soon.
TEST(Engine, AFlushOfARelaxedStoreIsProven) {
  for (const Sync sync : {Sync::interval, Sync::never}) {
    const TemporaryDirectory directory;
    Options options = options_for(directory.store());
    options.sync = sync;
    sys::PosixFileSystem fs;
    auto store = test::open_store(fs, options);
    ASSERT_OK(store->status);
    for (int i = 0; i < 20; i++) ASSERT_OK(store->put(text_of(i, 100)));
    ASSERT_OK((*store)->flush());
    store.reset();  // killed
    const auto report = verify(fs, directory.store());
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report.value().proven_seq, 20u);
  }
}

TEST(Engine, AReservationForSeveralRecordsHoldsForAnySplit) {
  const TemporaryDirectory directory;
  auto store = open_store(directory.store());
  std::mt19937_64 random(4);
  for (int round = 0; round < 300; round++) {
    std::vector<size_t> sizes(1 + random() % 20);
    size_t sum = 0;
    for (size_t& size : sizes) sum += size = random() % 40;
    ASSERT_OK(store->reserve(sum, static_cast<uint32_t>(sizes.size())));
    for (const size_t size : sizes) {
      const std::string text = text_of(round, size);
      const auto place = (*store)->append_in_place(5, 0, size);
      std::memcpy(place.data(), text.data(), size);
      store->appended.push_back({(*store)->last_seq(), (*store)->batch_time_us(), 5, 0, text});
    }
    if (random() % 3 == 0) ASSERT_OK((*store)->commit());
  }
  ASSERT_OK((*store)->close());
  const auto rows = store->all();
  store = open_store(directory.store());
  EXPECT_EQ(store->keeper.rows, rows);
}

TEST(EngineDeathTest, AppendingMoreThanWasReservedIsABug) {
  const TemporaryDirectory directory;
  auto store = open_store(directory.store());
  ASSERT_OK(store->reserve(100, 1));
  EXPECT_DEATH((*store)->append(1, 0, bytes_of(text_of(1, 105))), "open_.reserved");
}

TEST(Engine, UnusedReservationsAndEmptyCommitsWriteNothing) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  auto store = open_store(fs, options_for(directory.store()));
  ASSERT_OK(store->status);
  const uint64_t writes = fs.calls(Call::pwrite);
  for (int i = 0; i < 1000; i++) ASSERT_OK(store->reserve(1000, 1));
  ASSERT_OK((*store)->commit());
  ASSERT_OK((*store)->flush());
  ASSERT_OK((*store)->seal());
  EXPECT_FALSE((*store)->begin_commit());
  EXPECT_EQ(fs.calls(Call::pwrite), writes);
  EXPECT_EQ((*store)->last_seq(), 0u);
}

// ---- order of system calls --------------------------------------------------------------------

TEST(Engine, ACommitIsOneWriteAndOneFlush) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  auto store = open_store(fs, options_for(directory.store()));
  ASSERT_OK(store->put("warm"));
  fs.record_trace(true);
  for (int i = 0; i < 100; i++) ASSERT_OK(store->append(text_of(i, 100)));
  ASSERT_OK((*store)->commit());
  EXPECT_EQ(fs.trace(),
            (std::vector<std::string>{"pwrite 00000001.seg", "fdatasync 00000001.seg"}));
}

TEST(Engine, ARollPublishesBeforeAFrameGoesIn) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  Options options = options_for(directory.store());
  options.sync = Sync::never;
  auto store = open_store(fs, options);
  const size_t large = (*store)->batch_payload_bytes_max() - 8;
  ASSERT_OK(store->put("small"));
  ASSERT_OK((*store)->spare_preparer().prepare_now());
  ASSERT_OK(store->append(text_of(1, large)));
  fs.record_trace(true);
  ASSERT_OK((*store)->commit());
  const std::vector<std::string> calls = fs.trace();
  ASSERT_EQ(calls.size(), 7u);
  EXPECT_EQ(calls[0], "fdatasync 00000001.seg");  // in a relaxed mode too
  EXPECT_EQ(calls[1], "random ");
  EXPECT_TRUE(calls[2].starts_with("pwrite spare-")) << calls[2];
  EXPECT_TRUE(calls[3].starts_with("fsync spare-")) << calls[3];
  EXPECT_EQ(calls[4], "rename 00000002.seg");
  EXPECT_EQ(calls[5], "fsync .");
  EXPECT_EQ(calls[6], "pwrite 00000002.seg");
  // What the predecessor holds is durable now, what came after it is not.
  EXPECT_EQ((*store)->durable_seq(), 1u);
  EXPECT_EQ((*store)->acknowledged_seq(), 2u);
}

TEST(Engine, StepsMakeOneCallEachAndAppendsGoOnMeanwhile) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  auto store = open_store(fs, options_for(directory.store()));
  ASSERT_OK(store->append("first"));
  ASSERT_TRUE((*store)->begin_commit());
  EXPECT_FALSE((*store)->begin_commit());
  EXPECT_FALSE((*store)->begin_seal());
  uint64_t steps = 0;
  while ((*store)->working()) {
    const uint64_t before = fs.calls();
    (*store)->step();
    EXPECT_EQ(fs.calls(), before + 1);
    steps++;
    ASSERT_OK(store->append(text_of(steps, 20)));  // into the next batch
    EXPECT_EQ((*store)->durable_seq(), 0u);
  }
  EXPECT_EQ(steps, 2u);
  ASSERT_OK((*store)->complete());
  EXPECT_EQ((*store)->durable_seq(), 1u);
  EXPECT_EQ((*store)->last_seq(), 3u);
  ASSERT_OK((*store)->commit());
  EXPECT_EQ((*store)->durable_seq(), 3u);
}

// As a committer thread would drive it: one lock around the append side, steps without it.
TEST(Engine, ACommitterThreadAndAppendersShareIt) {
  const TemporaryDirectory directory;
  sys::PosixFileSystem real;
  auto store = open_store(real, options_for(directory.store()));
  ASSERT_OK(store->status);
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  HousekeepingThread housekeeping(real, (*store)->spare_preparer(), [&] { changed.notify_all(); });
  std::thread committer([&] {
    std::unique_lock lock(mutex);
    while (!done || (*store)->has_open_batch()) {
      if (!(*store)->begin_commit()) {
        changed.wait_for(lock, std::chrono::milliseconds(1));
        continue;
      }
      lock.unlock();
      while ((*store)->working()) (*store)->step();
      lock.lock();
      EXPECT_OK((*store)->complete());
      changed.notify_all();
    }
  });
  for (int i = 0; i < 400; i++) {
    const std::string text = text_of(i, i % 50 == 0 ? 200'000 : 100);
    std::unique_lock lock(mutex);
    for (;;) {
      const sys::Status reserved = (*store)->reserve(text.size(), 1);
      if (reserved.ok()) break;
      ASSERT_TRUE(reserved.code() == Code::unavailable || reserved.code() == Code::overloaded)
          << reserved.message();
      changed.wait_for(lock, std::chrono::milliseconds(1));
    }
    const uint64_t time_us = (*store)->batch_time_us();
    store->appended.push_back({(*store)->append(1, 0, bytes_of(text)), time_us, 1, 0, text});
    if (i % 10 == 0) {
      const uint64_t seq = (*store)->last_seq();
      changed.notify_all();
      while ((*store)->durable_seq() < seq) changed.wait_for(lock, std::chrono::milliseconds(1));
    }
  }
  {
    const std::lock_guard lock(mutex);
    done = true;
  }
  changed.notify_all();
  committer.join();
  housekeeping.stop();
  EXPECT_EQ((*store)->durable_seq(), 400u);
  EXPECT_GT((*store)->stats().rolls, 0u);
  ASSERT_OK((*store)->close());
  const auto rows = store->all();
  store = open_store(directory.store());
  EXPECT_EQ(store->keeper.rows, rows);
}

// ---- segments that are late -------------------------------------------------------------------

TEST(Engine, ALateSpareDelaysAndRefusesNothing) {
  const TemporaryDirectory directory;
  auto store = open_store(directory.store());
  const size_t large = 300'000;
  sys::Status reserved;
  while ((reserved = (*store)->reserve(large, 1)).ok()) {
    (*store)->append(1, 0, bytes_of(text_of(1, large)));
    ASSERT_OK((*store)->commit());
  }
  EXPECT_EQ(reserved.code(), Code::unavailable);
  const uint64_t seq = (*store)->last_seq();
  // A small one still fits, and asking changes nothing.
  for (int i = 0; i < 5; i++) {
    EXPECT_EQ((*store)->reserve(large, 1).code(), Code::unavailable);
    ASSERT_OK(store->put("small"));
  }
  EXPECT_EQ((*store)->last_seq(), seq + 5);
  ASSERT_OK((*store)->spare_preparer().prepare_now());
  ASSERT_OK((*store)->reserve(large, 1));
  (*store)->append(1, 0, bytes_of(text_of(1, large)));
  ASSERT_OK((*store)->commit());
  EXPECT_EQ((*store)->stats().segment, 2u);
}

TEST(Engine, TheHousekeepingThreadBringsSparesAndSaysSo) {
  const TemporaryDirectory directory;
  sys::PosixFileSystem real;
  auto store = open_store(real, options_for(directory.store()));
  std::mutex mutex;
  std::condition_variable changed;
  uint64_t ready = 0;
  HousekeepingThread housekeeping(real, (*store)->spare_preparer(), [&] {
    const std::lock_guard lock(mutex);
    ready++;
    changed.notify_all();
  });
  const size_t large = 500'000;
  for (int i = 0; i < 20; i++) {
    for (;;) {
      std::unique_lock lock(mutex);
      const uint64_t seen = ready;
      lock.unlock();
      const sys::Status reserved = (*store)->reserve(large, 1);
      if (reserved.ok()) break;
      ASSERT_EQ(reserved.code(), Code::unavailable) << reserved.message();
      lock.lock();
      changed.wait(lock, [&] { return ready != seen || (*store)->spare_preparer().ready(); });
    }
    (*store)->append(1, 0, bytes_of(text_of(i, large)));
    ASSERT_OK((*store)->commit());
  }
  housekeeping.stop();
  housekeeping.stop();
  EXPECT_GE((*store)->stats().rolls, 9u);
  ASSERT_OK((*store)->close());
  for (const auto& name : test::names_in(directory.store())) {
    EXPECT_NE(parse_name(name).kind, NameKind::temporary) << name;
  }
}

// ---- time -------------------------------------------------------------------------------------

TEST(Engine, TimeNeverGoesBackAlsoWhenTheClockDoes) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  std::vector<Row> rows;
  for (int round = 0; round < 4; round++) {
    auto store = open_store(fs, options_for(directory.store()));
    ASSERT_OK(store->status);
    for (int i = 0; i < 3; i++) {
      ASSERT_OK(store->put("tick"));
      fs.advance_realtime_us(i == 1 ? 5'000'000 : -3'600'000'000);
      EXPECT_EQ((*store)->last_time_us(), store->appended.back().time_us);
      EXPECT_GE((*store)->batch_time_us(), (*store)->last_time_us());
    }
    rows = store->all();
    for (size_t i = 1; i < rows.size(); i++) EXPECT_GE(rows[i].time_us, rows[i - 1].time_us);
    if (round % 2 == 0) ASSERT_OK((*store)->close());
  }
  auto store = open_store(fs, options_for(directory.store()));
  EXPECT_EQ(store->keeper.rows, rows);
}

TEST(Engine, AllRecordsOfABatchHaveItsTimeAndLookingAtTheClockBindsOnlyUntilTheNextCommit) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  auto store = open_store(fs, options_for(directory.store()));
  const uint64_t first = (*store)->batch_time_us();
  fs.advance_realtime_us(1'000'000);
  ASSERT_OK(store->append("a"));
  ASSERT_OK(store->append("b"));
  EXPECT_EQ(store->appended[0].time_us, first);
  EXPECT_EQ(store->appended[1].time_us, first);
  ASSERT_OK((*store)->commit());
  const uint64_t second = (*store)->batch_time_us();
  EXPECT_GE(second, first + 1'000'000);
  fs.advance_realtime_us(1'000'000);
  ASSERT_OK((*store)->commit());  // nothing to do, but the time may move on
  EXPECT_GE((*store)->batch_time_us(), second + 1'000'000);
}

// ---- seals ------------------------------------------------------------------------------------

TEST(Engine, ASealFollowsTheLastCommitAfterAWhileOnce) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  auto store = open_store(fs, options_for(directory.store()));
  EXPECT_EQ((*store)->maintenance_due_ns(), UINT64_MAX);
  ASSERT_OK(store->put("one"));
  const uint64_t due_ns = (*store)->maintenance_due_ns();
  ASSERT_NE(due_ns, UINT64_MAX);
  ASSERT_OK((*store)->maintain());
  EXPECT_EQ((*store)->stats().seals, 0u);
  fs.advance_monotonic_ns(limits::seal_idle_ns);
  EXPECT_GE(fs.monotonic_ns(), due_ns);
  fs.record_trace(true);
  ASSERT_OK((*store)->maintain());
  EXPECT_EQ(fs.trace(),
            (std::vector<std::string>{"pwrite 00000001.seg", "fdatasync 00000001.seg"}));
  EXPECT_EQ((*store)->stats().seals, 1u);
  EXPECT_EQ((*store)->maintenance_due_ns(), UINT64_MAX);
  fs.advance_monotonic_ns(limits::seal_idle_ns);
  ASSERT_OK((*store)->maintain());
  EXPECT_EQ((*store)->stats().seals, 1u);
  ASSERT_OK(store->put("two"));
  EXPECT_NE((*store)->maintenance_due_ns(), UINT64_MAX);
  const auto rows = store->all();
  store.reset();
  store = open_store(fs, options_for(directory.store()));
  EXPECT_EQ(store->keeper.rows, rows);
  EXPECT_EQ((*store)->stats().unproven_records, 1u);
}

TEST(Engine, NoSealWhileABatchIsOpen) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  auto store = open_store(fs, options_for(directory.store()));
  ASSERT_OK(store->put("one"));
  ASSERT_OK(store->append("two"));
  fs.advance_monotonic_ns(limits::seal_idle_ns);
  ASSERT_OK((*store)->maintain());
  EXPECT_EQ((*store)->stats().seals, 0u);
  ASSERT_OK((*store)->commit());
}

// ---- relaxed modes ----------------------------------------------------------------------------

TEST(Engine, IntervalModeAcknowledgesAfterTheWriteAndFlushesWithinTheInterval) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  Options options = options_for(directory.store());
  options.sync = Sync::interval;
  options.flush_interval_ms = 50;
  auto store = open_store(fs, options);
  const uint64_t flushes = fs.calls(Call::fdatasync);
  EXPECT_EQ((*store)->maintenance_due_ns(), UINT64_MAX);
  ASSERT_OK(store->put("one"));
  const uint64_t due_ns = (*store)->maintenance_due_ns();
  fs.advance_monotonic_ns(20'000'000);
  ASSERT_OK(store->put("two"));
  EXPECT_EQ((*store)->acknowledged_seq(), 2u);
  EXPECT_EQ((*store)->durable_seq(), 0u);
  EXPECT_EQ((*store)->maintenance_due_ns(), due_ns);  // counted from the oldest, not the newest
  ASSERT_OK((*store)->maintain());
  EXPECT_EQ(fs.calls(Call::fdatasync), flushes);
  fs.advance_monotonic_ns(30'000'000);
  ASSERT_OK((*store)->maintain());
  EXPECT_EQ(fs.calls(Call::fdatasync), flushes + 1);
  EXPECT_EQ((*store)->durable_seq(), 2u);
  ASSERT_OK(store->put("three"));
  const uint64_t next_ns = (*store)->maintenance_due_ns();
  EXPECT_GE(next_ns, fs.monotonic_ns());
  ASSERT_OK((*store)->flush());
  EXPECT_EQ((*store)->durable_seq(), 3u);
  fs.advance_monotonic_ns(limits::seal_idle_ns);
  ASSERT_OK((*store)->maintain());
  EXPECT_EQ((*store)->stats().seals, 1u);
}

TEST(Engine, NeverModeFlushesOnDemandAndAtClose) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  Options options = options_for(directory.store());
  options.sync = Sync::never;
  auto store = open_store(fs, options);
  const uint64_t flushes = fs.calls(Call::fdatasync);
  for (int i = 0; i < 20; i++) {
    ASSERT_OK(store->put(text_of(i, 40)));
    fs.advance_monotonic_ns(10 * limits::seal_idle_ns);
    ASSERT_OK((*store)->maintain());
  }
  EXPECT_EQ((*store)->maintenance_due_ns(), UINT64_MAX);
  EXPECT_EQ(fs.calls(Call::fdatasync), flushes);
  EXPECT_EQ((*store)->durable_seq(), 0u);
  ASSERT_OK((*store)->flush());
  EXPECT_EQ((*store)->durable_seq(), 20u);
  EXPECT_EQ(fs.calls(Call::fdatasync), flushes + 2) << "and one for the seal that proves it";
  ASSERT_OK((*store)->flush());
  EXPECT_EQ(fs.calls(Call::fdatasync), flushes + 2) << "and one for the seal that proves it";
  ASSERT_OK(store->put("last"));
  ASSERT_OK((*store)->close());
  const auto rows = store->all();
  store = open_store(fs, options);
  EXPECT_EQ(store->keeper.rows, rows);
  EXPECT_EQ((*store)->stats().unproven_records, 0u);
}

// A relaxed store that is cut off keeps what is whole on the device; the copy must hold many
// batches.
TEST(Engine, ARelaxedStoresUnprovenTailIsCopiedWhole) {
  const TemporaryDirectory directory;
  sys::PosixFileSystem real;
  Options options = options_for(directory.store());
  options.sync = Sync::never;
  auto store = open_store(real, options);
  for (int i = 0; i < 200; i++) ASSERT_OK(store->put(text_of(i, 100)));
  const auto rows = store->all();
  store.reset();
  store = open_store(real, options);
  ASSERT_OK(store->status);
  EXPECT_EQ(store->keeper.rows, rows);
  EXPECT_EQ((*store)->stats().unproven_records, 200u);
  EXPECT_EQ((*store)->durable_seq(), 200u);  // the copy was flushed
  EXPECT_EQ((*store)->stats().segment, 1u);
}

// ---- what a refusal for want of a segment is called -------------------------------------------

TEST(Engine, OnlyAFullDiskOrQuotaIsFull) {
  struct Refusal {
    int error;
    Code code;
  };
  for (const Refusal row : {Refusal{ENOSPC, Code::no_space}, Refusal{EDQUOT, Code::no_space},
                            Refusal{EMFILE, Code::resources}, Refusal{ENFILE, Code::resources},
                            Refusal{ENOMEM, Code::resources}, Refusal{EACCES, Code::permission},
                            Refusal{EROFS, Code::permission}, Refusal{ENOENT, Code::failed},
                            Refusal{EFBIG, Code::failed}, Refusal{EIO, Code::failed}}) {
    const TemporaryDirectory directory;
    FaultyFileSystem fs;
    auto store = open_store(fs, options_for(directory.store()));
    ASSERT_OK(store->status);
    const Fault fault{row.error};
    fs.set_rule([&](Call call, const std::string& name, uint64_t) {
      return call == Call::open && name.starts_with("spare-") ? &fault : nullptr;
    });
    sys::Status refused;
    for (int i = 0; i < 10 && refused.ok(); i++) refused = store->put(text_of(i, 200'000));
    EXPECT_EQ(refused.code(), row.code) << refused.message();
    EXPECT_NE(refused.message().find(sys::errno_name(row.error)), std::string::npos)
        << refused.message();
    EXPECT_FALSE((*store)->poisoned());
    const uint64_t last = (*store)->last_seq();

    fs.set_rule({});
    fs.sleep_ns(2 * limits::spare_retry_ns);
    for (int i = 0; i < 100; i++) (void)(*store)->spare_preparer().step();
    ASSERT_OK(store->put("on it goes"));
    EXPECT_EQ((*store)->last_seq(), last + 1);
  }
}

// ---- two at once ------------------------------------------------------------------------------

TEST(Engine, ASecondOpenerIsTurnedAwayAndToldWhoHoldsIt) {
  const TemporaryDirectory directory;
  {
    auto first = open_store(directory.store());
    ASSERT_OK(first->status);
    auto second = open_store(directory.store());
    EXPECT_EQ(second->status.code(), Code::locked);
    EXPECT_NE(second->status.message().find("process " + std::to_string(getpid())),
              std::string::npos)
        << second->status.message();
    ASSERT_OK(first->put("still mine"));
  }
  auto third = open_store(directory.store());
  ASSERT_OK(third->status);
  EXPECT_EQ(third->keeper.rows.size(), 1u);
}

TEST(Engine, TheLockOfAKilledProcessIsFreeAndItsRecordsAreThere) {
  const TemporaryDirectory directory;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto store = open_store(directory.store());
    const bool put = store->status.ok() && store->put("from the child").ok();
    const char answer = put ? 'y' : 'n';
    if (write(ready[1], &answer, 1) == 1) pause();
    _exit(1);
  }
  char answer = 0;
  ASSERT_EQ(read(ready[0], &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  const auto refused = open_store(directory.store());
  EXPECT_EQ(refused->status.code(), Code::locked);
  EXPECT_NE(refused->status.message().find("process " + std::to_string(child)), std::string::npos)
      << refused->status.message();
  ASSERT_EQ(kill(child, SIGKILL), 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  close(ready[0]);
  close(ready[1]);
  const auto store = open_store(directory.store());
  ASSERT_OK(store->status);
  ASSERT_EQ(store->keeper.rows.size(), 1u);
  EXPECT_EQ(store->keeper.rows[0].bytes, "from the child");
}

TEST(Engine, TheLockIsTriedForAWhile) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  Options options = options_for(directory.store());
  options.lock_retry_ms = 500;
  const Fault busy{EWOULDBLOCK};
  int refusals = 5;
  fs.set_rule([&](Call call, const std::string&, uint64_t) {
    return call == Call::try_lock && refusals-- > 0 ? &busy : nullptr;
  });
  EXPECT_OK(open_store(fs, options)->status);
  refusals = 1'000;
  const uint64_t before_ns = fs.monotonic_ns();
  EXPECT_EQ(open_store(fs, options)->status.code(), Code::locked);
  EXPECT_GE(fs.monotonic_ns() - before_ns, 500'000'000u);
}

// ---- without O_DIRECT -------------------------------------------------------------------------

TEST(Engine, WorksBufferedWhereTheFileSystemRefusesDirectWrites) {
  for (int how = 0; how < 3; how++) {
    const TemporaryDirectory directory;
    FaultyFileSystem fs;
    Options options = options_for(directory.store());
    fs.refuse_direct_at_open = how == 0;
    fs.refuse_direct_at_write = how == 1;
    options.direct_io = how != 2;
    std::vector<Row> rows;
    for (int round = 0; round < 3; round++) {
      auto store = open_store(fs, options);
      ASSERT_OK(store->status);
      EXPECT_EQ(store->keeper.rows, rows);
      EXPECT_FALSE((*store)->stats().direct_io);
      ASSERT_OK(store->put(text_of(rows.size(), 900'000)));
      ASSERT_OK(store->put(text_of(rows.size() + 1, 900'000)));
      rows = store->all();
    }
    // A cached page must not stand in for the device: the cache is dropped before reading.
    EXPECT_EQ(fs.calls(Call::drop_cache) > 0, how != 1);
    for (const auto& name : test::names_in(directory.store())) {
      EXPECT_TRUE(parse_name(name).kind != NameKind::temporary || name.starts_with("spare-"));
    }
  }
}

// ---- what the store is ------------------------------------------------------------------------

TEST(Engine, AnotherKindSchemaOrSegmentSizeIsRefusedNamingBoth) {
  const TemporaryDirectory directory;
  sys::PosixFileSystem real;
  Options options = options_for(directory.store());
  const std::string schema = "a, b, c";
  options.schema.assign(bytes_of(schema).begin(), bytes_of(schema).end());
  ASSERT_OK((*open_store(real, options))->close());
  const auto before = test::contents(directory.store());

  const auto refused = [&](const Options& with, std::string_view stored, std::string_view given) {
    const auto store = open_store(real, with);
    EXPECT_EQ(store->status.code(), Code::invalid);
    EXPECT_NE(store->status.message().find(stored), std::string::npos) << store->status.message();
    EXPECT_NE(store->status.message().find(given), std::string::npos) << store->status.message();
    EXPECT_EQ(test::contents(directory.store()), before);
  };
  Options other = options;
  other.kind = "ledger";
  refused(other, "\"test\"", "\"ledger\"");
  other = options;
  other.segment_bytes = uint64_t{2} << 20;
  refused(other, "1048576", "2097152");
  other = options;
  other.schema.pop_back();
  refused(other, "\"a, b, c\"", "\"a, b, \"");
  other = options;
  other.segment_bytes = 0;
  EXPECT_OK(open_store(real, other)->status);
}

TEST(Engine, AKindOrSchemaThatDoesNotFitIsRefusedNamingTheLimit) {
  const TemporaryDirectory directory;
  sys::PosixFileSystem real;
  Options options = options_for(directory.store());
  options.schema.assign(limits::store_schema_bytes_max + 1, std::byte{'x'});
  EXPECT_EQ(open_store(real, options)->status.message(),
            "a schema of 1048577 bytes, at most 1048576 are possible");
  options.schema.clear();
  options.kind.assign(limits::store_kind_bytes_max + 1, 'x');
  EXPECT_EQ(open_store(real, options)->status.message(),
            "a kind of 65 bytes, at most 64 are possible");
}

TEST(Engine, AVisitorMayKeepTheStoredSchema) {
  const TemporaryDirectory directory;
  sys::PosixFileSystem real;
  Options options = options_for(directory.store());
  const std::string stored = "as it was made";
  options.schema.assign(bytes_of(stored).begin(), bytes_of(stored).end());
  ASSERT_OK(open_store(real, options)->put("one"));
  options.schema.assign(5'000, std::byte{'x'});
  for (int round = 0; round < 2; round++) {  // asked each time: nothing took its place
    test::Keeper keeper;
    keeper.accept_schema = keeper.keep_schema = true;
    auto engine = Engine::open(real, options, keeper);
    ASSERT_TRUE(engine.ok()) << engine.status().message();
    EXPECT_EQ(keeper.stored_schema, stored);
  }
}

TEST(Engine, AnAcceptedSchemaIsKeptFromThenOn) {
  const TemporaryDirectory directory;
  sys::PosixFileSystem real;
  Options options = options_for(directory.store());
  {
    auto store = open_store(real, options);
    ASSERT_OK(store->put("one"));
  }
  options.schema.assign(5'000, std::byte{'x'});
  {
    test::Keeper keeper;
    keeper.accept_schema = true;
    keeper.refuse_seq = 1;  // accepted, but then the records are refused: nothing is kept
    EXPECT_EQ(Engine::open(real, options, keeper).status().code(), Code::invalid);
  }
  for (int round = 0; round < 2; round++) {
    test::Keeper keeper;
    keeper.accept_schema = round == 0;
    keeper.stored_schema = "not asked";
    auto engine = Engine::open(real, options, keeper);
    ASSERT_TRUE(engine.ok()) << engine.status().message();
    EXPECT_EQ(keeper.stored_schema, round == 0 ? "" : "not asked");
    EXPECT_EQ(keeper.rows.size(), 1u);
  }
}

TEST(Engine, ImpossibleOptionsAreRefused) {
  const TemporaryDirectory directory;
  sys::PosixFileSystem real;
  for (const uint64_t size :
       {uint64_t{1}, uint64_t{4096}, (uint64_t{1} << 20) + 4096, uint64_t{512} << 20, UINT64_MAX}) {
    Options options = options_for(directory.store());
    options.segment_bytes = size;
    EXPECT_EQ(open_store(real, options)->status.code(), Code::invalid) << size;
  }
  Options options = options_for(directory.store());
  options.kind.assign(limits::store_kind_bytes_max + 1, 'k');
  EXPECT_EQ(open_store(real, options)->status.code(), Code::invalid);
  options = options_for("");
  EXPECT_EQ(open_store(real, options)->status.code(), Code::invalid);
  EXPECT_TRUE(test::names_in(directory.path()).empty());
}

TEST(Engine, TheVisitorsRefusalEndsOpeningAndChangesNothing) {
  const TemporaryDirectory directory;
  sys::PosixFileSystem real;
  const Options options = options_for(directory.store());
  {
    auto store = open_store(real, options);
    for (int i = 0; i < 5; i++) ASSERT_OK(store->put(text_of(i, 40)));
    ASSERT_OK((*store)->close());
  }
  const auto before = test::contents(directory.store());
  const auto refused = open_store(real, options, 3);
  EXPECT_EQ(refused->status.message(), directory.store() + ": refused by the visitor");
  EXPECT_EQ(refused->keeper.rows.size(), 3u);
  EXPECT_EQ(refused->keeper.ends, 0);
  EXPECT_EQ(test::contents(directory.store()), before);
}

TEST(Engine, WhatASupervisorMustNotRestart) {
  EXPECT_TRUE(ends_for_good(Code::corrupt));
  EXPECT_TRUE(ends_for_good(Code::unreadable));
  EXPECT_TRUE(ends_for_good(Code::version));
  for (const Code code : {Code::io, Code::no_space, Code::locked, Code::permission, Code::invalid,
                          Code::not_found, Code::failed}) {
    EXPECT_FALSE(ends_for_good(code));
  }
}

}  // namespace
}  // namespace espora::store
