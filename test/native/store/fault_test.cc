// The engine in a world that fails: each single call of a workload in turn, in every way that it
// can fail; full disks; failed flushes; and random histories with power cuts, also inside recovery.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "faulty_file_system.h"
#include "store/engine.h"
#include "store/format.h"
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
using test::open_store;
using test::Opened;
using test::options_for;
using test::Row;
using test::TemporaryDirectory;
using test::text_of;

// The one call of `kind` on files whose name starts with `name` that comes after `skip` others.
FaultyFileSystem::Rule once(Call kind, std::string name, const Fault& fault, int skip = 0) {
  return [=, &fault](Call call, const std::string& file, uint64_t) mutable -> const Fault* {
    if (call != kind || !file.starts_with(name)) return nullptr;
    return skip-- == 0 ? &fault : nullptr;
  };
}

FaultyFileSystem::Rule always(Call kind, std::string name, const Fault& fault) {
  return [=, &fault](Call call, const std::string& file, uint64_t) -> const Fault* {
    return call == kind && file.starts_with(name) ? &fault : nullptr;
  };
}

const Fault eio{EIO};
const Fault eio_with_effect{EIO, true};
const Fault enospc{ENOSPC};
const Fault enospc_with_effect{ENOSPC, true};
const Fault edquot{EDQUOT};
const Fault emfile{EMFILE};
const Fault eintr{EINTR};

// Nothing was lost below `floor`, nothing was invented, and looking twice shows the same.
void expect_prefix(const std::string& directory, const Options& options,
                   const std::vector<Row>& history, size_t floor) {
  FaultyFileSystem real;  // without faults it is only faster: it does not wait for the disk
  std::vector<Row> before;
  for (int round = 0; round < 2; round++) {
    const auto store = open_store(real, options);
    ASSERT_OK(store->status);
    const std::vector<Row>& rows = store->keeper.rows;
    ASSERT_GE(rows.size(), floor) << "an acknowledged record is lost";
    ASSERT_LE(rows.size(), history.size()) << "a record was invented";
    for (size_t i = 0; i < rows.size(); i++) ASSERT_EQ(rows[i], history[i]);
    if (round == 1) {
      ASSERT_EQ(rows, before) << "the second recovery differs";
    }
    before = rows;
  }
  const auto report = verify(real, directory);
  ASSERT_TRUE(report.ok()) << report.status().message();
  for (const Finding& finding : report.value().findings) {
    EXPECT_NE(finding.severity, Severity::damage) << finding.text();
  }
}

// ---- what poisons -----------------------------------------------------------------------------

// After `fault` hit a commit: it is indeterminate, everything after it fails, nothing is written.
void expect_poisoned(FaultyFileSystem& fs, Opened& store, const sys::Status& status,
                     uint64_t durable_seq) {
  EXPECT_EQ(status.code(), Code::indeterminate) << status.message();
  EXPECT_NE(status.error(), 0);
  EXPECT_TRUE(store->poisoned());
  EXPECT_EQ(store->durable_seq(), durable_seq);
  EXPECT_EQ(store->acknowledged_seq(), durable_seq);
  EXPECT_EQ(store->failure().code(), Code::io);
  fs.clear();
  fs.record_trace(true);
  EXPECT_EQ(store->reserve(1, 1).code(), Code::failed);
  EXPECT_EQ(store->commit().code(), Code::failed);
  EXPECT_EQ(store->flush().code(), Code::failed);
  EXPECT_EQ(store->seal().code(), Code::failed);
  EXPECT_EQ(store->maintain().code(), Code::failed);
  EXPECT_FALSE(store->begin_commit());
  EXPECT_FALSE(store->begin_flush());
  EXPECT_FALSE(store->begin_seal());
  EXPECT_EQ(store->maintenance_due_ns(), UINT64_MAX);
  EXPECT_EQ(store->close().code(), Code::failed);
  for (const std::string& call : fs.trace()) {
    EXPECT_TRUE(call.starts_with("unlink spare-")) << "after poisoning: " << call;
  }
  EXPECT_EQ(store->durable_seq(), durable_seq);
}

TEST(Poison, AFailedWriteOrFlushOfAPublishedSegment) {
  const Fault nothing_written{0, false, false, 0};
  const Fault part_then_error{EIO, false, false, 5'000};
  const Fault pages_dropped{EIO, false, true};
  const struct {
    Call call;
    const Fault& fault;
  } cases[] = {
      {Call::pwrite, eio},
      {Call::pwrite, eio_with_effect},
      {Call::pwrite, enospc_with_effect},
      {Call::pwrite, nothing_written},
      {Call::pwrite, part_then_error},
      {Call::fdatasync, eio},
      {Call::fdatasync, enospc},
      {Call::fdatasync, eintr},
      {Call::fdatasync, pages_dropped},
  };
  for (const auto& [call, fault] : cases) {
    SCOPED_TRACE(std::string(call_name(call)) + " " + std::to_string(fault.error));
    const TemporaryDirectory directory;
    const Options options = options_for(directory.store());
    FaultyFileSystem fs;
    fs.tracks_sectors = true;
    auto store = open_store(fs, options);
    ASSERT_OK(store->put("first"));
    ASSERT_OK(store->append(text_of(2, 6'000)));
    ASSERT_OK(store->append("third"));
    fs.set_rule(once(call, "00000001.seg", fault));
    expect_poisoned(fs, *store, (*store)->commit(), 1);
    const auto history = store->all();
    store.reset();
    expect_prefix(directory.store(), options, history, 1);
  }
}

TEST(Poison, AFailedSealToo) {
  for (const Call call : {Call::pwrite, Call::fdatasync}) {
    const TemporaryDirectory directory;
    FaultyFileSystem fs;
    auto store = open_store(fs, options_for(directory.store()));
    ASSERT_OK(store->put("first"));
    fs.set_rule(once(call, "00000001.seg", eio));
    expect_poisoned(fs, *store, (*store)->seal(), 1);
  }
}

TEST(Poison, AFailedFlushOfARelaxedStore) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  Options options = options_for(directory.store());
  options.sync = Sync::interval;
  auto store = open_store(fs, options);
  ASSERT_OK(store->put("first"));
  ASSERT_OK((*store)->flush());
  ASSERT_OK(store->put("second"));
  fs.advance_monotonic_ns(1'000'000'000);
  fs.set_rule(once(Call::fdatasync, "00000001.seg", eio));
  EXPECT_EQ((*store)->maintain().code(), Code::indeterminate);
  EXPECT_TRUE((*store)->poisoned());
  EXPECT_EQ((*store)->durable_seq(), 1u);
}

// What finds no space before anything is published is refused instead: see below.
TEST(Poison, AnyFailureOfARoll) {
  const Fault nothing_written{0, false, false, 0};
  const struct {
    Call call;
    const char* name;
    const Fault& fault;
  } cases[] = {
      {Call::random, "", eio},
      {Call::pwrite, "spare-", eio},
      {Call::pwrite, "spare-", nothing_written},
      {Call::fsync, "spare-", eio},
      {Call::rename, "00000002.seg", eio},
      {Call::rename, "00000002.seg", eio_with_effect},
      {Call::fsync, ".", eio},
      {Call::fsync, ".", enospc},
      {Call::pwrite, "00000002.seg", eio},
      {Call::fdatasync, "00000002.seg", eio},
  };
  for (const auto& [call, name, fault] : cases) {
    SCOPED_TRACE(std::string(call_name(call)) + " " + name + " " + std::to_string(fault.error));
    const TemporaryDirectory directory;
    const Options options = options_for(directory.store());
    FaultyFileSystem fs;
    auto store = open_store(fs, options);
    ASSERT_OK(store->put("first"));
    ASSERT_OK((*store)->spare_preparer().prepare_now());
    ASSERT_OK(store->append(text_of(2, (*store)->batch_payload_bytes_max() - 8)));
    fs.set_rule(once(call, name, fault));
    expect_poisoned(fs, *store, (*store)->commit(), 1);
    const auto history = store->all();
    store.reset();
    expect_prefix(directory.store(), options, history, 1);
  }
}

TEST(Poison, ARelaxedRollFlushesThePredecessorOrPoisons) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  Options options = options_for(directory.store());
  options.sync = Sync::never;
  auto store = open_store(fs, options);
  ASSERT_OK(store->put("first"));
  ASSERT_OK((*store)->spare_preparer().prepare_now());
  ASSERT_OK(store->append(text_of(2, (*store)->batch_payload_bytes_max() - 8)));
  fs.set_rule(once(Call::fdatasync, "00000001.seg", eio));
  fs.record_trace(true);
  EXPECT_EQ((*store)->commit().code(), Code::indeterminate);
  EXPECT_EQ(fs.trace().size(), 1u);  // no header was written
  EXPECT_FALSE(test::fs::exists(test::fs::path(directory.store()) / "00000002.seg"));
}

// What was appended while the failing batch was in work is as indeterminate as that batch.
TEST(Poison, TakesTheNextBatchWithIt) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  auto store = open_store(fs, options_for(directory.store()));
  ASSERT_OK(store->append("first"));
  ASSERT_TRUE((*store)->begin_commit());
  ASSERT_OK(store->append("second"));
  fs.set_rule(once(Call::fdatasync, "00000001.seg", eio));
  while ((*store)->working()) (*store)->step();
  expect_poisoned(fs, *store, (*store)->complete(), 0);
}

// ---- what does not ----------------------------------------------------------------------------

TEST(Faults, AShortWriteIsContinuedFromTheLastWholeBlock) {
  for (const int64_t transfer : {1, 511, 4'095, 4'096, 4'097, 8'192, 12'287}) {
    const TemporaryDirectory directory;
    const Options options = options_for(directory.store());
    FaultyFileSystem fs;
    const Fault cut{0, false, false, transfer};
    auto store = open_store(fs, options);
    ASSERT_OK(store->append(text_of(1, 12'000)));
    fs.set_rule(once(Call::pwrite, "00000001.seg", cut));
    fs.record_trace(true);
    ASSERT_OK((*store)->commit());
    EXPECT_EQ(fs.trace(), (std::vector<std::string>{"pwrite 00000001.seg", "pwrite 00000001.seg",
                                                    "fdatasync 00000001.seg"}));
    const auto history = store->all();
    store.reset();
    expect_prefix(directory.store(), options, history, 1);
  }
}

TEST(Faults, AnInterruptedWriteIsRepeated) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  auto store = open_store(fs, options_for(directory.store()));
  int interruptions = 7;
  fs.set_rule([&](Call call, const std::string&, uint64_t) {
    return call == Call::pwrite && interruptions-- > 0 ? &eintr : nullptr;
  });
  ASSERT_OK(store->put("first"));
  EXPECT_LT(interruptions, 0);
}

TEST(Faults, ASpareThatFailsIsGivenUpForANewFileAfterASecond) {
  const Fault nothing_written{0, false, false, 0};
  const struct {
    Call call;
    const Fault& fault;
  } cases[] = {{Call::open, enospc},
               {Call::allocate, enospc},
               {Call::allocate, edquot},
               {Call::allocate, eio},
               {Call::pwrite, enospc},
               {Call::pwrite, eio},
               {Call::pwrite, nothing_written},
               {Call::fsync, enospc},
               {Call::fsync, eio}};
  for (const auto& [call, fault] : cases) {
    SCOPED_TRACE(std::string(call_name(call)) + " " + std::to_string(fault.error));
    const TemporaryDirectory directory;
    FaultyFileSystem fs;
    auto store = open_store(fs, options_for(directory.store()));
    ASSERT_OK(store->status);
    SparePreparer& spares = (*store)->spare_preparer();
    fs.set_rule(always(call, "spare-", fault));
    const sys::Status failed = spares.prepare_now();
    EXPECT_EQ(failed.error(), fault.error == 0 ? EIO : fault.error);
    // Appends go on; only what has no room is refused, and definitely.
    ASSERT_OK(store->put("still room"));
    const size_t large = (*store)->batch_payload_bytes_max() - 8;
    const bool full = fault.error == ENOSPC || fault.error == EDQUOT;
    EXPECT_EQ((*store)->reserve(large, 1).code(), full ? Code::no_space : Code::failed);
    ASSERT_OK(store->put("and still"));
    EXPECT_FALSE((*store)->poisoned());
    // Not before a second is over, however often it is stepped.
    const uint64_t calls = fs.calls(call);
    fs.record_trace(true);
    for (int i = 0; i < 10; i++) spares.step();
    EXPECT_EQ(fs.calls(call), calls);
    fs.clear();
    fs.advance_monotonic_ns(limits::spare_retry_ns);
    uint64_t due_ns = 0;
    while (due_ns != SparePreparer::never_ns) {
      fs.advance_monotonic_ns(limits::spare_pause_ns);
      due_ns = spares.step();
    }
    EXPECT_TRUE(spares.ready());
    EXPECT_OK(spares.failure());
    // The first file was spare-1 (taken), the failed one spare-2.
    for (const std::string& done : fs.trace()) {
      EXPECT_TRUE(done.ends_with("spare-3.tmp") || done == "unlink spare-2.tmp") << done;
    }
    ASSERT_OK(store->put(text_of(9, large)));
    EXPECT_EQ((*store)->stats().segment, 2u);
  }
}

TEST(Faults, AnInterruptedOrShortFillGoesOn) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  auto store = open_store(fs, options_for(directory.store()));
  const Fault cut{0, false, false, 100'000};
  int number = 0;
  fs.set_rule([&](Call call, const std::string&, uint64_t) -> const Fault* {
    if (call == Call::allocate && number++ == 0) return &eintr;
    if (call != Call::pwrite) return nullptr;
    number++;
    return number % 3 == 0 ? &cut : number % 3 == 1 ? &eintr : nullptr;
  });
  ASSERT_OK((*store)->spare_preparer().prepare_now());
  fs.clear();
  Spare spare;
  ASSERT_TRUE((*store)->spare_preparer().take(spare));
  const std::string bytes = test::read_file(test::fs::path(directory.store()) / spare.name);
  EXPECT_EQ(bytes, std::string(uint64_t{1} << 20, '\0'));
}

TEST(Faults, AFullDiskRefusesWhenTheSegmentIsFullAndTakesUpWorkAgain) {
  const TemporaryDirectory directory;
  const Options options = options_for(directory.store());
  FaultyFileSystem fs;
  auto store = open_store(fs, options);
  fs.set_rule(always(Call::allocate, "", enospc));
  const size_t size = 100'000;
  size_t refused = 0;
  for (int i = 0; i < 20; i++) {
    const sys::Status status = store->put(text_of(i, size));
    if (!status.ok()) {
      ASSERT_EQ(status.code(), Code::no_space);
      EXPECT_NE(status.message().find("ENOSPC"), std::string::npos) << status.message();
      refused++;
    }
  }
  EXPECT_EQ(store->appended.size(), 10u);
  EXPECT_EQ(refused, 10u);
  EXPECT_EQ((*store)->last_seq(), 10u);
  ASSERT_OK(store->put("a small one fits"));
  fs.clear();
  fs.advance_monotonic_ns(limits::spare_retry_ns);
  for (int i = 0; i < 1'000 && !(*store)->spare_preparer().ready(); i++) {
    fs.advance_monotonic_ns(limits::spare_pause_ns);
    (*store)->spare_preparer().step();
  }
  ASSERT_OK(store->put(text_of(99, size)));
  const auto history = store->all();
  EXPECT_EQ(history.size(), 12u);
  store.reset();
  expect_prefix(directory.store(), options, history, 12);
}

// A failed attempt's file must go before the next is made, or a full disk would only get fuller.
TEST(Faults, NoNewSpareBeforeTheFailedOneIsGone) {
  const TemporaryDirectory directory;
  FaultyFileSystem fs;
  auto store = open_store(fs, options_for(directory.store()));
  SparePreparer& spares = (*store)->spare_preparer();
  fs.set_rule([&](Call call, const std::string&, uint64_t) -> const Fault* {
    if (call == Call::fsync) return &enospc;
    return call == Call::unlink ? &eio : nullptr;
  });
  EXPECT_FALSE(spares.prepare_now().ok());
  fs.record_trace(true);
  for (int i = 0; i < 5; i++) {
    spares.step();
    fs.advance_monotonic_ns(limits::spare_retry_ns);
  }
  EXPECT_EQ(fs.trace(), std::vector<std::string>(5, "unlink spare-2.tmp"));
}

// ---- where writing over a file takes space ----------------------------------------------------

// A file system that copies on write may have no room for a batch that has its place: it is
// refused, definitely, with all that was appended since, and the store goes on when there is room.
TEST(Faults, ABatchWithoutSpaceIsRefusedAndTheStoreGoesOn) {
  for (const Fault& fault : {enospc, edquot, Fault{ENOSPC, false, false, 4'096}}) {
    const TemporaryDirectory directory;
    const Options options = options_for(directory.store());
    FaultyFileSystem fs;
    auto store = open_store(fs, options);
    ASSERT_OK(store->status);
    ASSERT_OK(store->put("first"));
    fs.set_rule(always(Call::pwrite, "00000001.seg", fault));
    ASSERT_OK(store->append(text_of(1, 9'000)));
    ASSERT_TRUE((*store)->begin_commit());
    while ((*store)->working()) (*store)->step();
    ASSERT_OK(store->append("appended meanwhile"));
    const sys::Status status = (*store)->complete();
    EXPECT_EQ(status.code(), Code::no_space) << status.message();
    EXPECT_NE(status.message().find("00000001.seg"), std::string::npos) << status.message();
    EXPECT_FALSE((*store)->poisoned());
    EXPECT_FALSE((*store)->has_open_batch());
    EXPECT_EQ((*store)->last_seq(), 1u);
    EXPECT_EQ((*store)->acknowledged_seq(), 1u);
    EXPECT_EQ((*store)->reserve(1, 1).code(), Code::no_space);
    EXPECT_OK((*store)->seal());
    store->appended.resize(1);
    fs.advance_monotonic_ns(limits::spare_retry_ns);
    EXPECT_EQ(store->put("not yet").code(), Code::no_space);
    store->appended.resize(1);
    fs.clear();
    fs.advance_monotonic_ns(limits::spare_retry_ns);
    ASSERT_OK(store->put("second"));
    EXPECT_EQ((*store)->last_seq(), 2u);
    const auto history = store->all();
    store.reset();
    expect_prefix(directory.store(), options, history, history.size());
  }
}

// Its header, with another batch's bytes behind it, could be a whole frame.
TEST(Faults, TheHeaderOfARefusedBatchIsErasedBeforeTheNextOneIsWritten) {
  const TemporaryDirectory directory;
  const Options options = options_for(directory.store());
  FaultyFileSystem fs;
  auto store = open_store(fs, options);
  ASSERT_OK(store->put("first"));
  const Fault first_block{0, false, false, 4'096};
  bool wrote = false;
  fs.set_rule([&](Call call, const std::string& name, uint64_t) -> const Fault* {
    if (call != Call::pwrite || !name.ends_with(".seg")) return nullptr;
    return std::exchange(wrote, true) ? &enospc : &first_block;
  });
  EXPECT_EQ(store->put(text_of(1, 9'000)).code(), Code::no_space);
  store->appended.resize(1);
  const std::string segment = directory.store() + "/00000001.seg";
  const auto magic_of_second = [&] {
    uint32_t magic = 0;
    std::ifstream file(segment, std::ios::binary);
    file.seekg(2 * static_cast<std::streamoff>(block_bytes));
    file.read(reinterpret_cast<char*>(&magic), sizeof magic);
    return magic;
  };
  EXPECT_EQ(magic_of_second(), format::frame_magic);
  // No room to erase it: nothing is written behind it, a seal neither.
  fs.record_trace(true);
  fs.advance_monotonic_ns(limits::spare_retry_ns);
  EXPECT_EQ(store->put("refused").code(), Code::no_space);
  EXPECT_OK((*store)->seal());
  EXPECT_EQ(fs.trace(), (std::vector<std::string>{"pwrite 00000001.seg", "fdatasync 00000001.seg",
                                                  "pwrite 00000001.seg"}));
  EXPECT_EQ(magic_of_second(), format::frame_magic);
  store->appended.resize(1);
  fs.clear();
  fs.advance_monotonic_ns(limits::spare_retry_ns);
  fs.record_trace(true);
  ASSERT_OK(store->append("second"));
  ASSERT_TRUE((*store)->begin_commit());
  (*store)->step();
  EXPECT_EQ(magic_of_second(), 0u);
  while ((*store)->working()) (*store)->step();
  ASSERT_OK((*store)->complete());
  EXPECT_EQ(fs.trace(),
            (std::vector<std::string>{"pwrite 00000001.seg", "fdatasync 00000001.seg",
                                      "pwrite 00000001.seg", "fdatasync 00000001.seg"}));
  fs.record_trace(true);
  ASSERT_OK(store->put("third"));
  EXPECT_EQ(fs.trace().size(), 2u);
  const auto history = store->all();
  store.reset();
  expect_prefix(directory.store(), options, history, history.size());
}

TEST(Faults, ARollWithoutSpaceIsRefusedAndTheStoreGoesOn) {
  const struct {
    Call call;
    const char* name;
  } cases[] = {{Call::pwrite, "spare-"},
               {Call::fsync, "spare-"},
               {Call::rename, "00000002.seg"},
               {Call::pwrite, "00000002.seg"}};
  for (const auto& [call, name] : cases) {
    SCOPED_TRACE(std::string(call_name(call)) + " " + name);
    const TemporaryDirectory directory;
    const Options options = options_for(directory.store());
    FaultyFileSystem fs;
    auto store = open_store(fs, options);
    ASSERT_OK(store->put("first"));
    ASSERT_OK((*store)->spare_preparer().prepare_now());
    const std::string large = text_of(2, (*store)->batch_payload_bytes_max() - 8);
    ASSERT_OK(store->append(large));
    fs.set_rule(always(call, name, enospc));
    EXPECT_EQ((*store)->commit().code(), Code::no_space);
    store->appended.resize(1);
    // A seal may be written where the current segment goes on, and only there.
    EXPECT_OK((*store)->seal());
    fs.advance_monotonic_ns(limits::spare_retry_ns);
    EXPECT_EQ((*store)->stats().rolls, call == Call::pwrite && name[0] == '0' ? 1u : 0u);
    EXPECT_FALSE((*store)->poisoned());
    EXPECT_EQ((*store)->last_seq(), 1u);
    fs.clear();
    ASSERT_OK(store->put("second"));
    EXPECT_EQ((*store)->stats().rolls, call == Call::rename || name[0] == '0' ? 1u : 0u);
    (void)(*store)->spare_preparer().prepare_now();
    ASSERT_OK(store->put(large));
    const auto history = store->all();
    store.reset();
    expect_prefix(directory.store(), options, history, history.size());
  }
}

// The rename may have taken effect, whatever it returned: nothing is written into the segment whose
// end the new header names.
TEST(Faults, ARenameWithoutSpaceThatTookEffectLosesNothing) {
  const TemporaryDirectory directory;
  const Options options = options_for(directory.store());
  FaultyFileSystem fs;
  auto store = open_store(fs, options);
  ASSERT_OK(store->put("first"));
  ASSERT_OK((*store)->spare_preparer().prepare_now());
  ASSERT_OK(store->append(text_of(2, (*store)->batch_payload_bytes_max() - 8)));
  fs.set_rule(once(Call::rename, "00000002.seg", enospc_with_effect));
  EXPECT_EQ((*store)->commit().code(), Code::no_space);
  store->appended.resize(1);
  fs.advance_monotonic_ns(limits::spare_retry_ns);
  fs.record_trace(true);
  EXPECT_OK((*store)->seal());
  EXPECT_EQ(store->put("second").code(), Code::indeterminate);
  EXPECT_EQ(fs.trace(), (std::vector<std::string>{"rename 00000002.seg"}));
  const auto history = store->all();
  store.reset();
  expect_prefix(directory.store(), options, history, 1);
}

TEST(Faults, WhatWasFlushedIsSealedAndClosedThoughTheLastBatchIsRefused) {
  const TemporaryDirectory directory;
  const Options options = options_for(directory.store());
  FaultyFileSystem fs;
  auto store = open_store(fs, options);
  ASSERT_OK(store->put("first"));
  ASSERT_OK(store->append("refused"));
  fs.set_rule(once(Call::pwrite, "00000001.seg", enospc));
  fs.record_trace(true);
  EXPECT_EQ((*store)->close().code(), Code::no_space);
  EXPECT_EQ(std::count(fs.trace().begin(), fs.trace().end(), "pwrite 00000001.seg"), 2);
  store->appended.resize(1);
  const auto history = store->all();
  store.reset();
  expect_prefix(directory.store(), options, history, 1);
}

// ---- opening on a full disk -------------------------------------------------------------------

struct FullDisk {
  Call call;
  const char* name;
  const Fault& fault;
};

// The third of three records is proven by nothing. The reserve needs no room, but the other calls.
void expect_third_secured_or_not(test::Opened& store, const FullDisk& disk) {
  const bool secured = disk.call == Call::allocate;
  EXPECT_EQ(store->whole(), secured);
  if (!secured) {
    const sys::Status why = store->unsecured();
    EXPECT_EQ(why.code(), Code::no_space);
    EXPECT_NE(why.message().find("spare-1.tmp: "), std::string::npos) << why.message();
    EXPECT_NE(why.message().find("spare-0.tmp: " + std::string(call_name(disk.call))),
              std::string::npos)
        << why.message();
  }
  EXPECT_EQ(store.keeper.rows.size(), secured ? 3u : 2u);
  EXPECT_EQ(store.keeper.ends, secured ? 2 : 1);
  EXPECT_EQ(store->last_seq(), secured ? 3u : 2u);
  EXPECT_EQ(store->durable_seq(), secured ? 3u : 2u);
}

TEST(Faults, OpeningAFullDiskSecuresTheTailOrSaysThatItDidNotAndGoesOnLater) {
  const FullDisk cases[] = {
      {Call::open, "spare-", enospc},      {Call::allocate, "spare-", edquot},
      {Call::pwrite, "spare-", enospc},    {Call::fsync, "spare-", enospc},
      {Call::pwrite, "STORE.tmp", enospc}, {Call::fsync, "STORE.tmp", enospc}};
  for (const FullDisk& each : cases) {
    SCOPED_TRACE(std::string(call_name(each.call)) + " " + each.name);
    const TemporaryDirectory directory;
    const Options options = options_for(directory.store());
    FaultyFileSystem fs;
    std::vector<Row> history;
    // STORE is only written again while nothing is proven.
    const bool of_store = std::string(each.name).starts_with("STORE");
    {
      auto store = open_store(fs, options);
      for (int i = 0; i < (of_store ? 1 : 3); i++) ASSERT_OK(store->put(text_of(i, 50)));
      history = store->all();
    }
    fs.set_rule(always(each.call, each.name, each.fault));
    auto store = open_store(fs, options);
    ASSERT_OK(store->status);
    EXPECT_FALSE((*store)->appendable());
    EXPECT_FALSE((*store)->poisoned());
    if (!of_store) expect_third_secured_or_not(*store, each);
    EXPECT_EQ((*store)->reserve(1, 1).code(), Code::no_space);
    EXPECT_OK((*store)->commit());
    EXPECT_OK((*store)->flush());
    EXPECT_OK((*store)->seal());
    for (int i = 0; i < 3; i++) {
      fs.advance_monotonic_ns(limits::spare_retry_ns);
      EXPECT_LE((*store)->maintenance_due_ns(), fs.monotonic_ns());
      for (int k = 0; k < 100; k++) (*store)->spare_preparer().step();
      ASSERT_OK((*store)->maintain());
      EXPECT_FALSE((*store)->appendable());
    }
    fs.clear();
    fs.advance_monotonic_ns(limits::spare_retry_ns);
    for (int i = 0; i < 1'000 && !(*store)->appendable(); i++) {
      fs.advance_monotonic_ns(limits::spare_retry_ns);
      (*store)->spare_preparer().step();
      ASSERT_OK((*store)->maintain());
    }
    ASSERT_TRUE((*store)->appendable());
    EXPECT_TRUE((*store)->whole());
    EXPECT_EQ(store->keeper.rows, history);
    EXPECT_EQ(store->keeper.ends, 2);
    ASSERT_OK(store->put("afterwards"));
    history = store->all();
    store.reset();
    expect_prefix(directory.store(), options, history, history.size());
  }
}

// No space for a segment, start after start: each shows everything, and what the first one secured
// in the reserve is a store like any other.
TEST(Faults, StartsOnAFullDiskShowEverythingAgainAndAgain) {
  for (const int batches : {1, 2, 40}) {
    SCOPED_TRACE(batches);
    const TemporaryDirectory directory;
    const Options options = options_for(directory.store());
    FaultyFileSystem fs;
    std::vector<Row> history;
    {
      auto store = open_store(fs, options);
      for (int i = 0; i < batches; i++) ASSERT_OK(store->put(text_of(i, i % 3 == 0 ? 40'000 : 50)));
      history = store->all();
    }
    fs.set_rule(always(Call::allocate, "spare-", enospc));
    for (int start = 0; start < 3; start++) {
      auto store = open_store(fs, options);
      ASSERT_OK(store->status);
      EXPECT_FALSE((*store)->appendable());
      EXPECT_TRUE((*store)->whole());
      EXPECT_EQ(store->keeper.rows, history);
      EXPECT_EQ((*store)->durable_seq(), history.size());
      EXPECT_EQ((*store)->reserve(1, 1).code(), Code::no_space);
      if (start == 1) ASSERT_OK((*store)->close());
      store.reset();
      const auto report = verify(fs, directory.store());
      ASSERT_TRUE(report.ok());
      EXPECT_FALSE(report.value().damaged());
      EXPECT_EQ(report.value().proven_seq, history.size());
    }
    fs.clear();
    auto store = open_store(fs, options);
    ASSERT_OK(store->status);
    EXPECT_TRUE((*store)->appendable());
    ASSERT_OK(store->put("afterwards"));
    history = store->all();
    store.reset();
    expect_prefix(directory.store(), options, history, history.size());
  }
}

// What keeps a start from securing the tail is said, and harms nothing.
TEST(Faults, AReserveThatCannotServeIsNamed) {
  const auto reserve_of = [](const Options& options) {
    return std::filesystem::path(options.directory) / reserve_name;
  };
  struct Case {
    const char* said;
    Sync sync;
    std::function<void(const std::filesystem::path&)> spoil;
  };
  const Case cases[] = {
      {"spare-0.tmp: open: No such file or directory (ENOENT)", Sync::always,
       [](const auto& reserve) { std::filesystem::remove(reserve); }},
      {"spare-0.tmp is not of a segment's size", Sync::always,
       [](const auto& reserve) { std::filesystem::resize_file(reserve, 4'096); }},
      {"bytes, spare-0.tmp has 2101248", Sync::never, [](const auto&) {}},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.said);
    const TemporaryDirectory directory;
    Options options = options_for(directory.store());
    options.segment_bytes = uint64_t{4} << 20;
    options.sync = each.sync;
    FaultyFileSystem fs;
    std::vector<Row> history;
    {
      auto store = open_store(fs, options);
      ASSERT_OK(store->status);
      for (int i = 0; i < 8; i++) ASSERT_OK(store->put(text_of(i, 400'000)));
      history = store->all();
    }
    each.spoil(reserve_of(options));
    fs.set_rule(always(Call::allocate, "spare-", enospc));
    auto store = open_store(fs, options);
    ASSERT_OK(store->status);
    EXPECT_FALSE((*store)->whole());
    EXPECT_LT(store->keeper.rows.size(), history.size());
    EXPECT_NE((*store)->unsecured().message().find(each.said), std::string::npos)
        << (*store)->unsecured().message();
    store.reset();
    fs.clear();
    expect_prefix(directory.store(), options, history, history.size());
  }
}

// Space for a segment, and none, or no descriptor, for the reserve: nothing was changed, nothing is
// left behind, and it goes on by itself.
TEST(Faults, AReserveThatCannotBeMadeIsTriedAgain) {
  struct Case {
    Call call;
    const Fault& fault;
    Code code;
  };
  const Case cases[] = {{Call::allocate, enospc, Code::no_space},
                        {Call::pwrite, edquot, Code::no_space},
                        {Call::fsync, enospc, Code::no_space},
                        {Call::open, emfile, Code::resources}};
  for (const Case& each : cases) {
    SCOPED_TRACE(std::string(call_name(each.call)) + " " + std::string(sys::code_name(each.code)));
    const TemporaryDirectory directory;
    const Options options = options_for(directory.store());
    FaultyFileSystem fs;
    {
      auto store = open_store(fs, options);
      ASSERT_OK(store->put("one"));
      ASSERT_OK((*store)->close());
    }
    fs.set_rule(always(Call::allocate, "spare-", enospc));
    auto store = open_store(fs, options);
    ASSERT_OK(store->status);
    EXPECT_FALSE((*store)->appendable());
    fs.set_rule(always(each.call, reserve_temporary_name, each.fault));
    const auto go_on = [&] {
      fs.advance_monotonic_ns(limits::spare_retry_ns);
      for (int i = 0; i < 1'000; i++) (void)(*store)->spare_preparer().step();
      return (*store)->maintain();
    };
    for (int i = 0; i < 3; i++) {
      ASSERT_OK(go_on());
      EXPECT_FALSE((*store)->appendable());
      EXPECT_FALSE((*store)->poisoned());
      EXPECT_EQ((*store)->reserve(1, 1).code(), each.code);
      EXPECT_FALSE(std::filesystem::exists(std::filesystem::path(options.directory) /
                                           reserve_temporary_name));
    }
    fs.clear();
    for (int i = 0; i < 3; i++) ASSERT_OK(go_on());
    EXPECT_TRUE((*store)->appendable());
    ASSERT_OK(store->put("two"));
  }
}

TEST(Faults, ANewStoreOnAFullDiskIsRefusedAndLeavesNothingInTheWay) {
  const TemporaryDirectory directory;
  const Options options = options_for(directory.store());
  for (const Call call : {Call::open, Call::allocate, Call::pwrite, Call::fsync}) {
    for (const char* name : {"spare-", "STORE.tmp"}) {
      if (call == Call::allocate && *name == 'S') continue;
      FaultyFileSystem fs;
      fs.set_rule(always(call, name, enospc));
      const auto store = open_store(fs, options);
      EXPECT_EQ(store->status.code(), Code::no_space) << call_name(call) << " " << name;
    }
  }
  const auto store = open_store(directory.store());
  ASSERT_OK(store->status);
  EXPECT_TRUE(store->keeper.rows.empty());
}

TEST(Faults, ANewStoreSaysWhichCallOnWhichFileFailed) {
  for (const auto& [call, name] : std::vector<std::pair<Call, std::string>>{
           {Call::open, "STORE.tmp"},
           {Call::pwrite, "STORE.tmp"},
           {Call::fsync, "STORE.tmp"},
           {Call::rename, "STORE"},
       }) {
    const TemporaryDirectory directory;
    FaultyFileSystem fs;
    fs.set_rule(always(call, name, eio));
    const auto store = open_store(fs, options_for(directory.store()));
    EXPECT_TRUE(store->status.message().starts_with(directory.store() + "/" + name + ": " +
                                                    std::string(call_name(call))))
        << store->status.message();
  }
}

// ---- each call in turn ------------------------------------------------------------------------

struct Run {
  std::vector<Row> history;
  size_t floor = 0;  // records that are promised to be durable
  bool poisoned = false;
};

// Opens, appends small and large batches over a roll, seals, closes. Stops at the first failure
// that is not a definite refusal.
Run run_workload(FaultyFileSystem& fs, const Options& options, const std::vector<Row>& before) {
  Run run;
  run.history = before;
  run.floor = before.size();
  const auto store = open_store(fs, options);
  if (!store->status.ok()) {
    EXPECT_FALSE(ends_for_good(store->status.code()) && store->status.code() != Code::unreadable)
        << store->status.message();
    return run;
  }
  Engine& engine = *store->engine;
  // Served to somebody, so they must stay; and they are what was there.
  run.floor = store->keeper.rows.size();
  EXPECT_GE(run.floor, engine.appendable() ? before.size() : 0);
  for (size_t i = 0; i < run.floor && i < before.size(); i++) {
    EXPECT_EQ(store->keeper.rows[i], before[i]);
  }
  run.floor = std::max(run.floor, before.size());
  const size_t sizes[] = {100, 5'000, 400'000, 500'000, 300'000, 20};
  for (const size_t size : sizes) {
    const uint64_t durable = engine.durable_seq();
    // A batch of two, to see that it stays whole.
    sys::Status status = store->reserve(size + 10, 2);
    if (!status.ok()) {
      // There is no next segment, whatever kept it back: a definite refusal.
      EXPECT_FALSE(engine.poisoned()) << status.message();
      continue;
    }
    const uint64_t time_us = engine.batch_time_us();
    for (const std::string& text : {text_of(size, size), text_of(1, 10)}) {
      const uint64_t seq = engine.append(2, 0, test::bytes_of(text));
      run.history.push_back({seq, time_us, 2, 0, text});
    }
    status = engine.commit();
    if (status.ok()) {
      EXPECT_EQ(engine.durable_seq(), run.history.size());
      run.floor = run.history.size();
      if (size == 5'000) status = engine.seal();
    }
    // Definite: the batch is not there, and the store goes on.
    if (status.code() == Code::no_space) {
      EXPECT_FALSE(engine.poisoned());
      EXPECT_EQ(engine.last_seq(), run.floor);
      run.history.resize(run.floor);
      continue;
    }
    if (!status.ok()) {
      EXPECT_EQ(status.code(), Code::indeterminate) << status.message();
      EXPECT_TRUE(engine.poisoned());
      EXPECT_GE(engine.durable_seq(), durable);
      EXPECT_EQ(engine.durable_seq(), run.floor);
      run.poisoned = true;
      return run;
    }
  }
  (void)engine.close();
  return run;
}

// Batches are whole: in this workload's part of the log their records come in pairs.
void expect_whole_batches(const std::string& directory, size_t before) {
  FaultyFileSystem real;
  const auto store = open_store(real, options_for(directory));
  ASSERT_OK(store->status);
  EXPECT_EQ((store->keeper.rows.size() - before) % 2, 0u);
}

const std::vector<std::pair<const char*, Fault>>& variants() {
  static const std::vector<std::pair<const char*, Fault>> all = {
      {"EIO", {EIO}},
      {"EIO with effect", {EIO, true}},
      {"EIO, what was not flushed is lost", {EIO, false, true}},
      {"ENOSPC", {ENOSPC}},
      {"ENOSPC with effect", {ENOSPC, true}},
      {"EINTR", {EINTR}},
      {"part of a write", {0, false, false, 5'000}},
      {"nothing written", {0, false, false, 0}},
  };
  return all;
}

bool applies(const Fault& fault, Call call) {
  if (fault.error == 0) return call == Call::pwrite;
  if (fault.drops) return call == Call::fsync || call == Call::fdatasync;
  if (fault.has_effect) {
    return call == Call::pwrite || call == Call::rename || call == Call::fsync ||
           call == Call::fdatasync;
  }
  if (fault.error == EINTR) {
    return call == Call::pwrite || call == Call::pread || call == Call::fdatasync ||
           call == Call::try_lock || call == Call::allocate;
  }
  if (fault.error == ENOSPC) {
    return call == Call::pwrite || call == Call::fsync || call == Call::fdatasync ||
           call == Call::open || call == Call::allocate || call == Call::rename;
  }
  return true;
}

// `with_history`: on a store that was cut off with an unproven batch, otherwise on none.
void fail_each_call(bool with_history) {
  const TemporaryDirectory directory;
  const Options options = options_for(directory.store());
  std::map<std::string, std::string> files;
  std::vector<Row> before;
  if (with_history) {
    auto store = open_store(directory.store());
    for (const size_t size : {500'000, 100, 700'000, 100, 100}) {
      ASSERT_OK(store->put(text_of(size, size)));
    }
    before = store->all();
    files = test::contents(directory.store());
  }
  const auto begin_again = [&] {
    if (with_history) {
      test::restore(directory.store(), files);
    } else {
      test::fs::remove_all(directory.store());
    }
  };
  FaultyFileSystem sound;
  begin_again();
  run_workload(sound, options, before);
  size_t hits = 0;
  for (const auto& [name, fault] : variants()) {
    for (uint64_t index = 0; index < sound.calls(); index++) {
      if (!applies(fault, sound.made()[index])) continue;
      SCOPED_TRACE("call " + std::to_string(index) + ": " + name);
      begin_again();
      FaultyFileSystem fs;
      fs.tracks_sectors = fault.drops;
      bool hit = false;
      std::string what;
      fs.set_rule([&](Call call, const std::string& file, uint64_t now) -> const Fault* {
        if (now != index) return nullptr;
        hit = true;
        what = std::string(call_name(call)) + " of " + file;
        return &fault;
      });
      const Run run = run_workload(fs, options, before);
      SCOPED_TRACE(what);
      ASSERT_TRUE(hit);
      hits++;
      expect_prefix(directory.store(), options, run.history, run.floor);
      expect_whole_batches(directory.store(), before.size());
      if (testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GT(hits, 100u);
}

TEST(EachCall, FailsInTurnWhileAStoreIsMadeAndUsed) { fail_each_call(false); }

TEST(EachCall, FailsInTurnWhileAStoreIsRecoveredAndUsed) { fail_each_call(true); }

// ---- random histories -------------------------------------------------------------------------

// How many: ESPORA_STORE_SEEDS, for a longer run by hand.
uint64_t seeds_wanted(uint64_t by_default) {
  const char* text = std::getenv("ESPORA_STORE_SEEDS");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : by_default;
}

struct Lived {
  std::vector<Row> rows;  // everything that was submitted on top of what survived
  size_t floor = 0;
};

// One life of the store: opened, used, and ended by a close, by being dropped, by an error or by a
// power cut at a random call.
void live(FaultyFileSystem& fs, Options options, std::mt19937_64& random, Lived& history) {
  options.sync = std::array{Sync::always, Sync::always, Sync::interval, Sync::never}[random() % 4];
  const auto store = open_store(fs, options);
  if (!store->status.ok()) {
    // Damage must never be the work of a crash. Reading fails where the machine has stopped.
    ASSERT_FALSE(ends_for_good(store->status.code()) && !fs.dead()) << store->status.message();
    ASSERT_NE(store->status.code(), Code::corrupt) << store->status.message();
    ASSERT_NE(fs.calls(), 0u);
    return;
  }
  Engine& engine = *store->engine;
  const auto check_rows = [&] {
    const std::vector<Row>& rows = store->keeper.rows;
    ASSERT_LE(rows.size(), history.rows.size());
    for (size_t i = 0; i < rows.size(); i++) ASSERT_EQ(rows[i], history.rows[i]);
  };
  ASSERT_NO_FATAL_FAILURE(check_rows());
  for (int i = 0; i < 40 && !engine.appendable(); i++) {
    fs.advance_monotonic_ns(limits::spare_retry_ns);
    engine.spare_preparer().step();
    if (!engine.maintain().ok()) break;
  }
  ASSERT_NO_FATAL_FAILURE(check_rows());
  if (!engine.appendable()) return;
  // What was shown is durable, and everything else is gone for good.
  ASSERT_GE(store->keeper.rows.size(), history.floor) << "an acknowledged record is lost";
  history.rows.resize(store->keeper.rows.size());
  history.floor = history.rows.size();

  const int batches = static_cast<int>(random() % 12);
  for (int i = 0; i < batches; i++) {
    const size_t records = 1 + random() % 3;
    bool taken = true;
    for (size_t k = 0; k < records && taken; k++) {
      const size_t size = random() % 3 == 0 ? random() % 300'000 : random() % 300;
      const std::string text = text_of(random() % 1'000, size);
      taken = store->reserve(size, 1).ok();
      if (!taken) break;
      const uint64_t time_us = engine.batch_time_us();
      history.rows.push_back({engine.append(3, 0, test::bytes_of(text)), time_us, 3, 0, text});
    }
    sys::Status status = engine.commit();
    if (status.ok() && random() % 4 == 0) status = engine.flush();
    if (status.ok() && random() % 4 == 0) {
      fs.advance_monotonic_ns(2 * limits::seal_idle_ns);
      status = engine.maintain();
    }
    history.floor = engine.durable_seq();
    if (!status.ok()) return;
  }
  if (random() % 3 == 0) {
    const sys::Status closed = engine.close();
    if (closed.ok()) history.floor = history.rows.size();
    ASSERT_GE(engine.durable_seq(), history.floor);
  }
}

TEST(RandomHistories, PowerCutsAnywhereLoseNothingThatWasDurable) {
  const uint64_t seeds = seeds_wanted(60);
  uint64_t cuts = 0;
  uint64_t errors = 0;
  for (uint64_t seed = 1; seed <= seeds; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const TemporaryDirectory directory;
    const Options options = options_for(directory.store());
    Lived history;
    uint64_t calls_before = 60;
    for (int life = 0; life < 5; life++) {
      FaultyFileSystem fs;
      fs.tracks_sectors = true;
      const uint64_t at = random() % calls_before;
      const unsigned keep = std::array{0u, 128u, 230u, 256u}[random() % 4];
      const bool cut = random() % 4 != 0;
      Fault fault = variants()[random() % variants().size()].second;
      fs.set_rule([&](Call call, const std::string&, uint64_t now) -> const Fault* {
        if (now < at || fs.dead()) return nullptr;
        if (cut) {
          cuts++;
          fs.cut_power(random, keep);
          return nullptr;
        }
        if (now != at || !applies(fault, call) || call == Call::pread) return nullptr;
        errors++;
        return &fault;
      });
      ASSERT_NO_FATAL_FAILURE(live(fs, options, random, history));
      calls_before = 20 + fs.calls();
      // After a failed flush without a cut the page cache may show more than the device has, and a
      // later life may lose it: that is what the copy of the tail is for.
    }
    ASSERT_NO_FATAL_FAILURE(expect_prefix(directory.store(), options, history.rows, history.floor));
  }
  EXPECT_GT(cuts, seeds);
  EXPECT_GT(errors, seeds / 4);
}

}  // namespace
}  // namespace espora::store
