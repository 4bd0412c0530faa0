// The simulated disk loses what it may lose and nothing else: what the simulation shows rests on
// it.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "sim/disk.h"

namespace espora::sim {
namespace {

// Does what the test says, once, to the next call of a kind.
class Script final : public Director {
 public:
  Outcome before(const Call& call) override {
    if (call.kind != kind || done) return {};
    done = true;
    return outcome;
  }
  void after(const Call&, int64_t) override {}
  void during_flush(const Call&) override {
    if (meanwhile) meanwhile();
  }

  void next(CallKind of, Outcome::Kind what, int error = 0, size_t count = 0) {
    kind = of;
    outcome = {what, error, count};
    done = false;
  }

  CallKind kind = CallKind::random;
  Outcome outcome;
  bool done = true;
  std::function<void()> meanwhile;
};

struct Disk {
  Script script;
  SimulatedDisk disk{1, script};
  int root = disk.open(sys::FileSystem::working_directory, ".", {.directory = true});

  int create(const char* name) { return disk.open(root, name, {.write = true, .create = true}); }
  void write(int file, size_t sector, char with) {
    const std::vector<std::byte> bytes(sector_bytes, static_cast<std::byte>(with));
    ASSERT_EQ(disk.pwrite(file, bytes.data(), bytes.size(), sector * sector_bytes),
              static_cast<int64_t>(sector_bytes));
  }
  // The first byte of each sector of a file.
  std::string read(const char* name) {
    const int file = disk.open(root, name, {});
    if (file < 0) return "none";
    std::string text;
    std::byte bytes[sector_bytes];
    for (uint64_t at = 0; disk.pread(file, bytes, sizeof bytes, at) > 0; at += sector_bytes) {
      text += bytes[0] == std::byte{0} ? '.' : static_cast<char>(bytes[0]);
    }
    disk.close(file);
    return text;
  }
  // Power is lost; what is undecided survives as `pattern` says, repeated.
  void cut(const std::string& pattern) {
    disk.close(root);
    disk.stop(true);
    size_t asked = 0;
    disk.restart([&] { return pattern[asked++ % pattern.size()] == 'y'; });
    root = disk.open(sys::FileSystem::working_directory, ".", {.directory = true});
  }
  // A durable file of four sectors "aaaa", open.
  int durable(const char* name) {
    const int file = create(name);
    for (size_t i = 0; i < 4; i++) write(file, i, 'a');
    EXPECT_EQ(disk.fsync(file), 0);
    EXPECT_EQ(disk.fsync(root), 0);
    return file;
  }
};

TEST(SimulatedDisk, EachUnflushedSectorSurvivesOrNot) {
  for (const auto& [pattern, left] : std::vector<std::pair<std::string, std::string>>{
           {"n", "aaaa"}, {"y", "bbbb"}, {"yn", "baba"}, {"nnny", "aaab"}}) {
    Disk it;
    const int file = it.durable("f");
    for (size_t i = 0; i < 4; i++) it.write(file, i, 'b');
    EXPECT_EQ(it.disk.storage().undecided(), 4u);
    it.disk.close(file);
    EXPECT_EQ(it.read("f"), "bbbb");
    it.cut(pattern);
    EXPECT_EQ(it.read("f"), left);
    EXPECT_EQ(it.disk.storage().undecided(), 0u);
  }
}

TEST(SimulatedDisk, AFlushDecides) {
  Disk it;
  const int file = it.durable("f");
  it.write(file, 1, 'b');
  EXPECT_EQ(it.disk.fdatasync(file), 0);
  EXPECT_EQ(it.disk.storage().undecided(), 0u);
  it.disk.close(file);
  it.cut("n");
  EXPECT_EQ(it.read("f"), "abaa");
}

TEST(SimulatedDisk, WhatIsWrittenDuringAFlushIsNotCovered) {
  Disk it;
  const int file = it.durable("f");
  it.write(file, 0, 'b');
  it.write(file, 1, 'b');
  it.script.meanwhile = [&] {
    it.script.meanwhile = {};
    it.write(file, 1, 'c');
    it.write(file, 2, 'c');
  };
  EXPECT_EQ(it.disk.fdatasync(file), 0);
  it.disk.close(file);
  it.cut("n");
  // The second sector may have reached the device before or after it was written again.
  EXPECT_EQ(it.read("f"), "baaa");
}

TEST(SimulatedDisk, AFailedFlushLeavesWhatNoLaterOneBringsBack) {
  Disk it;
  const int file = it.durable("f");
  bool lost = false;
  char with = 'a';  // what the device has before the write
  while (with != 'z') {
    it.write(file, 2, static_cast<char>(with + 1));
    it.script.next(CallKind::fdatasync, Outcome::Kind::drop, EIO);
    EXPECT_EQ(it.disk.fdatasync(file), -EIO);
    EXPECT_EQ(it.read("f"), std::string("aa") + static_cast<char>(with + 1) + "a");
    EXPECT_EQ(it.disk.fdatasync(file), 0) << "the next one succeeds";
    lost = it.disk.storage().undecided() != 0;
    if (lost) break;
    with++;
  }
  ASSERT_TRUE(lost) << "a failed flush may bring a part to the device, but not always all";
  it.disk.close(file);
  it.cut("n");
  EXPECT_EQ(it.read("f"), std::string("aa") + with + "a");
}

TEST(SimulatedDisk, AFailedFlushMayShowTheOldContent) {
  Disk it;
  const int file = it.durable("f");
  bool reverted = false;
  for (char with = 'a'; with != 'z' && !reverted; with++) {
    it.write(file, 2, static_cast<char>(with + 1));
    it.script.next(CallKind::fdatasync, Outcome::Kind::revert, EIO);
    EXPECT_EQ(it.disk.fdatasync(file), -EIO);
    const char seen = it.read("f")[2];
    EXPECT_TRUE(seen == with || seen == with + 1) << seen;
    reverted = seen == with;
  }
  EXPECT_TRUE(reverted);
}

TEST(SimulatedDisk, ANameLastsOnlyAfterTheFlushOfItsDirectory) {
  for (const bool flushed : {false, true}) {
    Disk it;
    it.disk.close(it.durable("old"));
    EXPECT_EQ(it.disk.rename(it.root, "old", "new"), 0);
    EXPECT_EQ(it.read("old"), "none");
    if (flushed) {
      EXPECT_EQ(it.disk.fsync(it.root), 0);
    }
    it.cut("n");
    EXPECT_EQ(it.read("old"), flushed ? "none" : "aaaa");
    EXPECT_EQ(it.read("new"), flushed ? "aaaa" : "none");
  }
}

TEST(SimulatedDisk, AReplacedFileComesBackWithTheLostRename) {
  Disk it;
  it.disk.close(it.durable("f"));
  const int made = it.create("g");
  it.write(made, 0, 'z');
  EXPECT_EQ(it.disk.fsync(made), 0);
  it.disk.close(made);
  EXPECT_EQ(it.disk.rename(it.root, "g", "f"), 0);
  EXPECT_EQ(it.read("f"), "z");
  it.cut("n");
  EXPECT_EQ(it.read("f"), "aaaa");
}

TEST(SimulatedDisk, NothingHappensAfterTheStop) {
  Disk it;
  const int file = it.durable("f");
  it.script.next(CallKind::pwrite, Outcome::Kind::cut_before);
  const std::vector<std::byte> bytes(sector_bytes, std::byte{'b'});
  EXPECT_EQ(it.disk.pwrite(file, bytes.data(), bytes.size(), 0), -EIO);
  EXPECT_TRUE(it.disk.stopped());
  EXPECT_EQ(it.disk.pwrite(file, bytes.data(), bytes.size(), 0), -EIO);
  EXPECT_EQ(it.disk.fsync(file), -EIO);
  it.disk.close(file);
  it.cut("y");
  EXPECT_EQ(it.read("f"), "aaaa");
}

TEST(SimulatedDisk, TheSameSeedGivesTheSameBytes) {
  Disk one;
  Disk two;
  std::byte first[32];
  std::byte second[32];
  EXPECT_EQ(one.disk.random(first), 0);
  EXPECT_EQ(two.disk.random(second), 0);
  EXPECT_EQ(std::memcmp(first, second, sizeof first), 0);
}

}  // namespace
}  // namespace espora::sim
