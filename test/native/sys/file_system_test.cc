// The real file system behind the seam: what it returns, and that errors come back as -errno.
#include "sys/file_system.h"

#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <new>
#include <vector>

#include "support/refused_calls.h"

namespace espora::sys {
namespace {

class FileSystemTest : public testing::Test {
 protected:
  FileSystemTest() {
    std::string name = (std::filesystem::temp_directory_path() / "espora-sys-XXXXXX").string();
    path_ = mkdtemp(name.data());
    directory_ =
        File(fs_, fs_.open(FileSystem::working_directory, path_.c_str(), {.directory = true}));
  }
  ~FileSystemTest() override {
    directory_.reset();
    std::filesystem::remove_all(path_);
  }

  File open(const char* name, OpenFlags flags) {
    return File(fs_, fs_.open(directory_.get(), name, flags));
  }

  PosixFileSystem fs_;
  std::string path_;
  File directory_;
};

TEST_F(FileSystemTest, WritesAndReadsBack) {
  const File file = open("a", {.write = true, .create = true});
  ASSERT_TRUE(file.valid());
  const std::string text = "bytes at an offset";
  const auto bytes = std::as_bytes(std::span(text));
  EXPECT_EQ(fs_.pwrite(file.get(), bytes.data(), bytes.size(), 100), 18);
  EXPECT_EQ(fs_.size(file.get()), 118);
  std::array<std::byte, 64> back{};
  EXPECT_EQ(fs_.pread(file.get(), back.data(), back.size(), 100), 18);
  EXPECT_EQ(std::memcmp(back.data(), text.data(), text.size()), 0);
  EXPECT_EQ(fs_.pread(file.get(), back.data(), back.size(), 118), 0);
  EXPECT_EQ(fs_.fdatasync(file.get()), 0);
  EXPECT_EQ(fs_.fsync(file.get()), 0);
  EXPECT_EQ(fs_.fsync(directory_.get()), 0);
  EXPECT_EQ(fs_.drop_cache(file.get()), 0);
}

TEST_F(FileSystemTest, ErrorsComeBackAsErrno) {
  EXPECT_EQ(open("missing", {}).get(), -ENOENT);
  ASSERT_TRUE(open("here", {.write = true, .create = true}).valid());
  EXPECT_EQ(open("here", {.write = true, .create = true, .exclusive = true}).get(), -EEXIST);
  EXPECT_EQ(open("here", {.directory = true}).get(), -ENOTDIR);
  const File reader = open("here", {});
  std::byte byte{};
  EXPECT_EQ(fs_.pwrite(reader.get(), &byte, 1, 0), -EBADF);
  EXPECT_EQ(fs_.allocate(reader.get(), 10), -EBADF);
  EXPECT_EQ(fs_.unlink(directory_.get(), "missing"), -ENOENT);
  EXPECT_EQ(fs_.rename(directory_.get(), "missing", "other"), -ENOENT);
  EXPECT_EQ(fs_.make_directory(directory_.get(), "here"), -EEXIST);
  EXPECT_EQ(fs_.fsync(-1), -EBADF);
  EXPECT_EQ(fs_.fdatasync(-1), -EBADF);
  EXPECT_EQ(fs_.size(-1), -EBADF);
  EXPECT_EQ(fs_.drop_cache(-1), -EBADF);
  EXPECT_EQ(fs_.type(-1), -EBADF);
  std::vector<std::string> names;
  EXPECT_EQ(fs_.list(-1, names), -EBADF);
}

// What each function says when the kernel refuses its call, the second of several too: above all
// that a directory which can't be read to its end has not ended.
TEST_F(FileSystemTest, EachCallThatFailsSaysSo) {
  const File file = open("a", {.write = true, .create = true});
  ASSERT_TRUE(file.valid());
  std::array<std::byte, 16> bytes{};
  std::vector<std::string> names;
  struct Row {
    const char* name;
    std::vector<long> calls;
    std::function<int64_t()> run;
  };
  const std::vector<Row> rows = {
      {"open", {SYS_openat}, [&] { return fs_.open(directory_.get(), "a", {}); }},
      {"open, fstat",
       {SYS_fstat, SYS_newfstatat},
       [&] { return fs_.open(directory_.get(), "a", {}); }},
      {"pwrite", {SYS_pwrite64}, [&] { return fs_.pwrite(file.get(), bytes.data(), 16, 0); }},
      {"pread", {SYS_pread64}, [&] { return fs_.pread(file.get(), bytes.data(), 16, 0); }},
      {"fdatasync", {SYS_fdatasync}, [&] { return fs_.fdatasync(file.get()); }},
      {"fsync", {SYS_fsync}, [&] { return fs_.fsync(file.get()); }},
      {"allocate", {SYS_fallocate}, [&] { return fs_.allocate(file.get(), 1 << 16); }},
      {"size", {SYS_fstat, SYS_newfstatat}, [&] { return fs_.size(file.get()); }},
      {"drop_cache", {SYS_fadvise64}, [&] { return fs_.drop_cache(file.get()); }},
      {"try_lock", {SYS_flock}, [&] { return fs_.try_lock(file.get()); }},
      {"try_lock_shared", {SYS_flock}, [&] { return fs_.try_lock_shared(file.get()); }},
      {"rename",
       {SYS_renameat, SYS_renameat2},
       [&] { return fs_.rename(directory_.get(), "a", "b"); }},
      {"unlink", {SYS_unlinkat}, [&] { return fs_.unlink(directory_.get(), "a"); }},
      {"make_directory", {SYS_mkdirat}, [&] { return fs_.make_directory(directory_.get(), "d"); }},
      {"list, open", {SYS_openat}, [&] { return fs_.list(directory_.get(), names); }},
      {"list, readdir", {SYS_getdents64}, [&] { return fs_.list(directory_.get(), names); }},
      {"type", {SYS_fstatfs}, [&] { return fs_.type(file.get()); }},
      {"random", {SYS_getrandom}, [&] { return fs_.random(bytes); }},
  };
  for (const Row& row : rows) {
    ASSERT_GE(row.run(), 0) << row.name;
    open("a", {.write = true, .create = true});
    std::filesystem::remove(std::filesystem::path(path_) / "d");
    const auto said = test::where_refused(row.calls, EIO, [&] { return row.run() == -EIO; });
    if (!said.has_value()) GTEST_SKIP() << "no seccomp here";
    EXPECT_TRUE(*said) << row.name;
  }
}

TEST_F(FileSystemTest, OnlyFilesAreOpened) {
  const std::filesystem::path path(path_);
  ASSERT_EQ(fs_.make_directory(directory_.get(), "directory"), 0);
  ASSERT_EQ(mkfifo((path / "fifo").c_str(), 0600), 0);
  std::filesystem::create_symlink("directory", path / "link");
  std::filesystem::create_symlink("/dev/null", path / "device");
  for (const OpenFlags flags : {OpenFlags{}, OpenFlags{.write = true}, OpenFlags{.direct = true}}) {
    EXPECT_LT(open("directory", flags).get(), 0);
    EXPECT_LT(open("fifo", flags).get(), 0);
  }
  EXPECT_EQ(open("directory", {}).get(), -EISDIR);
  EXPECT_EQ(open("link", {}).get(), -EISDIR);
  EXPECT_EQ(open("fifo", {}).get(), -ENXIO);
  EXPECT_EQ(open("fifo", {.write = true, .create = true}).get(), -ENXIO);
  EXPECT_EQ(open("device", {}).get(), -ENXIO);
  EXPECT_TRUE(open("link", {.directory = true}).valid());
}

TEST_F(FileSystemTest, ListsNamesEachTimeFromTheStart) {
  std::vector<std::string> names;
  EXPECT_EQ(fs_.list(directory_.get(), names), 0);
  EXPECT_TRUE(names.empty());
  open("one", {.write = true, .create = true});
  open("two", {.write = true, .create = true});
  EXPECT_EQ(fs_.rename(directory_.get(), "two", "three"), 0);
  for (int i = 0; i < 2; i++) {
    EXPECT_EQ(fs_.list(directory_.get(), names), 0);
    std::sort(names.begin(), names.end());
    EXPECT_EQ(names, (std::vector<std::string>{"one", "three"}));
  }
}

TEST_F(FileSystemTest, AllocateSetsTheSize) {
  const File file = open("a", {.write = true, .create = true});
  EXPECT_EQ(fs_.allocate(file.get(), 1 << 20), 0);
  EXPECT_EQ(fs_.size(file.get()), 1 << 20);
}

TEST_F(FileSystemTest, ASecondLockerIsTurnedAwayUntilTheFirstCloses) {
  File first = open("LOCK", {.write = true, .create = true});
  const File second = open("LOCK", {.write = true, .create = true});
  EXPECT_EQ(fs_.try_lock(first.get()), 0);
  EXPECT_EQ(fs_.try_lock(second.get()), -EWOULDBLOCK);
  first.reset();
  EXPECT_EQ(fs_.try_lock(second.get()), 0);
}

TEST_F(FileSystemTest, DirectFilesWantWholeBlocks) {
  const File file = open("a", {.write = true, .create = true, .direct = true});
  if (file.get() == -EINVAL) GTEST_SKIP() << "no O_DIRECT here";
  ASSERT_TRUE(file.valid());
  const std::unique_ptr<std::byte, decltype(&std::free)> block(
      static_cast<std::byte*>(std::aligned_alloc(4096, 4096)), &std::free);
  std::memset(block.get(), 7, 4096);
  EXPECT_EQ(fs_.pwrite(file.get(), block.get(), 4096, 4096), 4096);
  EXPECT_EQ(fs_.pread(file.get(), block.get(), 4096, 0), 4096);
  EXPECT_EQ(block.get()[0], std::byte{0});
}

TEST_F(FileSystemTest, KnowsWhereFilesDoNotLast) {
  EXPECT_GT(fs_.type(directory_.get()), 0);
  constexpr struct {
    int64_t type;
    const char* name;
    bool is_volatile;
  } known[] = {{EXT4_SUPER_MAGIC, "ext4", false},
               {XFS_SUPER_MAGIC, "xfs", false},
               {BTRFS_SUPER_MAGIC, "btrfs", false},
               {F2FS_SUPER_MAGIC, "f2fs", false},
               {0x2FC12FC1, "zfs", false},
               {0xCA451A4E, "bcachefs", false},
               {NFS_SUPER_MAGIC, "nfs", false},
               {FUSE_SUPER_MAGIC, "fuse", false},
               {TMPFS_MAGIC, "tmpfs", true},
               {RAMFS_MAGIC, "ramfs", true},
               {OVERLAYFS_SUPER_MAGIC, "overlayfs", true},
               {0x1234, "0x1234", false}};
  for (const auto& each : known) {
    EXPECT_EQ(file_system_name(each.type), each.name);
    EXPECT_EQ(file_system_volatile(each.type), each.is_volatile) << each.name;
  }
}

TEST_F(FileSystemTest, ClocksAndRandomness) {
  const uint64_t before_ns = fs_.monotonic_ns();
  fs_.sleep_ns(1'000'000);
  EXPECT_GE(fs_.monotonic_ns() - before_ns, 1'000'000u);
  EXPECT_GT(fs_.realtime_us(), 1'600'000'000'000'000u);
  std::array<std::byte, 32> a{};
  std::array<std::byte, 32> b{};
  EXPECT_EQ(fs_.random(a), 0);
  EXPECT_EQ(fs_.random(b), 0);
  EXPECT_NE(a, b);
}

TEST_F(FileSystemTest, AFileOwnsItsHandleOnce) {
  File first = open("a", {.write = true, .create = true});
  const int handle = first.get();
  File second = std::move(first);
  EXPECT_EQ(second.get(), handle);
  second = open("b", {.write = true, .create = true});
  EXPECT_EQ(fs_.size(handle), -EBADF);
}

}  // namespace
}  // namespace espora::sys
