// An open store is one thing, whatever happens to its name: to its directory's, to LOCK's.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include "store/copy.h"
#include "store/faulty_file_system.h"
#include "store/reader.h"
#include "store/record_reader.h"
#include "store/store_rig.h"

namespace espora::store {
namespace {

using sys::Code;
using test::Call;
using test::Fault;
using test::FaultyFileSystem;
using test::open_store;
using test::options_for;
using test::Row;
using test::TemporaryDirectory;
using test::text_of;

namespace fs = std::filesystem;

class RowsOfSink final : public RecordSink {
 public:
  void record(const RecordView& record) override { rows.push_back(test::row_of(record)); }
  std::vector<Row> rows;
};

std::vector<Row> read_all(Directory directory, uint64_t last) {
  auto reader = RecordReader::open(std::move(directory));
  EXPECT_OK(reader.status());
  RowsOfSink sink;
  if (reader.ok())
    EXPECT_OK(reader.value()->read({1, last, false, 10'000, size_t{64} << 20}, sink));
  return sink.rows;
}

// ---- the lock ---------------------------------------------------------------------------------

TEST(Identity, NothingThatIsDoneToLockLetsASecondWriterIn) {
  const std::vector<std::function<void(const fs::path&)>> ways = {
      [](const fs::path& lock) { fs::remove(lock); },
      [](const fs::path& lock) {
        fs::remove(lock);
        test::write_file(lock, "1\n");
      },
      [](const fs::path& lock) { fs::rename(lock, lock.string() + ".old"); },
      [](const fs::path& lock) {
        test::write_file(lock.string() + ".new", "");
        fs::rename(lock.string() + ".new", lock);
      },
      [](const fs::path& lock) {
        fs::remove(lock);
        fs::create_symlink("STORE", lock);
      },
      [](const fs::path& lock) {
        fs::remove(lock);
        fs::create_directory(lock);
      },
  };
  for (size_t i = 0; i < ways.size(); i++) {
    const TemporaryDirectory directory;
    auto first = open_store(directory.store());
    ASSERT_OK(first->status);
    for (int k = 0; k < 20; k++) ASSERT_OK(first->put(text_of(k, 50)));
    const auto before = test::contents(directory.store());
    ways[i](fs::path(directory.store()) / "LOCK");
    EXPECT_EQ(open_store(directory.store())->status.code(), Code::locked) << i;
    for (const auto& [name, bytes] : before) {
      EXPECT_EQ(test::read_file(fs::path(directory.store()) / name), bytes) << i << name;
    }
    for (int k = 0; k < 20; k++) ASSERT_OK(first->put(text_of(k, 50)));
    const auto rows = first->all();
    ASSERT_OK((*first)->close());
    first.reset();
    fs::remove_all(fs::path(directory.store()) / "LOCK");
    const auto again = open_store(directory.store());
    ASSERT_OK(again->status);
    EXPECT_EQ(again->keeper.rows, rows) << i;
  }
}

TEST(Identity, AStoreIsOpenUnderEachOfItsPaths) {
  const TemporaryDirectory directory;
  auto first = open_store(directory.store());
  ASSERT_OK(first->status);
  const fs::path link = directory.path() / "link";
  fs::create_directory_symlink(directory.store(), link);
  EXPECT_EQ(open_store(link.string())->status.code(), Code::locked);
  EXPECT_EQ(open_store(directory.store() + "/../store/.")->status.code(), Code::locked);
  const fs::path moved = directory.path() / "moved";
  fs::rename(directory.store(), moved);
  EXPECT_EQ(open_store(moved.string())->status.code(), Code::locked);
}

// Versions that lock nothing but LOCK are kept out, and keep others out.
TEST(Identity, TheFileIsLockedAsWellAsTheDirectory) {
  const TemporaryDirectory directory;
  sys::PosixFileSystem real;
  const std::string name = directory.store() + "/LOCK";
  {
    auto store = open_store(directory.store());
    ASSERT_OK(store->status);
    const sys::File file(real, real.open(sys::FileSystem::working_directory, name.c_str(), {}));
    EXPECT_EQ(real.try_lock(file.get()), -EWOULDBLOCK);
  }
  const sys::File file(real, real.open(sys::FileSystem::working_directory, name.c_str(), {}));
  ASSERT_EQ(real.try_lock(file.get()), 0);
  EXPECT_EQ(open_store(directory.store())->status.code(), Code::locked);
}

TEST(Identity, ALinkInThePlaceOfLockIsNotFollowed) {
  const TemporaryDirectory directory;
  ASSERT_OK(open_store(directory.store())->status);
  const fs::path lock = fs::path(directory.store()) / "LOCK";
  const fs::path target = directory.path() / "of-somebody-else";
  test::write_file(target, "precious");
  fs::remove(lock);
  fs::create_symlink(target, lock);
  const auto refused = open_store(directory.store());
  EXPECT_EQ(refused->status.code(), Code::corrupt);
  EXPECT_NE(refused->status.message().find("LOCK is a symbolic link"), std::string::npos)
      << refused->status.message();
  EXPECT_EQ(test::read_file(target), "precious");
}

TEST(Identity, WithoutLocksNothingIsOpened) {
  for (const int error : {EBADF, EINVAL, EOPNOTSUPP, ENOSYS, ENOLCK, EIO}) {
    const TemporaryDirectory directory;
    FaultyFileSystem faulty;
    const Fault refused{error};
    faulty.set_rule([&](Call call, const std::string& name, uint64_t) {
      return call == Call::try_lock && name == "." ? &refused : nullptr;
    });
    const auto store = open_store(faulty, options_for(directory.store()));
    EXPECT_FALSE(store->status.ok()) << error;
    EXPECT_NE(store->status.message().find("flock"), std::string::npos) << store->status.message();
    EXPECT_TRUE(test::contents(directory.store()).empty());
  }
}

// A program that the process starts has nothing of the store.
TEST(Identity, TheLockDoesNotOutliveTheStoreInAStartedProgram) {
  const TemporaryDirectory directory;
  auto store = open_store(directory.store());
  ASSERT_OK(store->status);
  const pid_t child = fork();
  if (child == 0) {
    execlp("sleep", "sleep", "60", nullptr);
    _exit(1);
  }
  // Until it is the program that was started: before that it shares the descriptors.
  const std::string name = "/proc/" + std::to_string(child) + "/comm";
  while (test::read_file(name) != "sleep\n") usleep(1'000);
  store.reset();
  EXPECT_OK(open_store(directory.store())->status);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

// ---- the directory ----------------------------------------------------------------------------

class Moved : public testing::TestWithParam<bool> {
 protected:
  // Renames the open store's directory; with a parameter another store takes its place.
  void move() {
    moved_ = directory_.path() / "moved";
    fs::rename(directory_.store(), moved_);
    if (!GetParam()) return;
    auto other = open_store(directory_.store());
    ASSERT_OK(other->status);
    for (int i = 0; i < 9; i++) ASSERT_OK(other->put("of the other store"));
    ASSERT_OK((*other)->close());
    other_ = test::contents(directory_.store());
  }

  TemporaryDirectory directory_;
  fs::path moved_;
  std::map<std::string, std::string> other_;
};

TEST_P(Moved, AnOpenStoreIsTheSameOneForAllOfItsLife) {
  auto store = open_store(directory_.store());
  ASSERT_OK(store->status);
  for (int i = 0; i < 30; i++) ASSERT_OK(store->put(text_of(i, 100)));
  move();
  // Enough for several segments, with the housekeeping that they need.
  for (int i = 0; i < 40; i++) {
    ASSERT_OK(store->put(text_of(i, 90'000)));
    for (int k = 0; k < 40; k++) (void)(*store)->housekeeping().step();
  }
  const uint64_t durable = (*store)->durable_seq();
  EXPECT_EQ(durable, 70u);
  EXPECT_EQ((*store)->stats().housekeeping.rewrite_failures, 0u);

  auto beside = (*store)->directory().again();
  ASSERT_OK(beside.status());
  EXPECT_EQ(read_all(std::move(beside).value(), durable), store->all());
  beside = (*store)->directory().again();
  ASSERT_OK(beside.status());
  const auto report = verify(std::move(beside).value(), {}, durable);
  ASSERT_OK(report.status());
  EXPECT_FALSE(report.value().damaged());
  EXPECT_EQ(report.value().records, durable);
  beside = (*store)->directory().again();
  ASSERT_OK(beside.status());
  const std::string to = (directory_.path() / "backup").string();
  const auto copied = copy_store(std::move(beside).value(), to, OnDamage::refuse, durable);
  ASSERT_OK(copied.status());
  EXPECT_EQ(copied.value().records, durable);

  const auto rows = store->all();
  ASSERT_OK((*store)->close());
  store.reset();
  EXPECT_EQ(open_store(moved_.string())->keeper.rows, rows);
  EXPECT_EQ(open_store(to)->keeper.rows, rows);
  if (GetParam()) {
    EXPECT_EQ(test::contents(directory_.store()), other_);
  } else {
    EXPECT_FALSE(fs::exists(directory_.store()));
  }
}

INSTANTIATE_TEST_SUITE_P(Identity, Moved, testing::Bool());

}  // namespace
}  // namespace espora::store
