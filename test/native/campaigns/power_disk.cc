// A disk whose power can be cut: a FUSE file system with one file, `disk`, that keeps its bytes in
// an image and writes down every write and every flush, in order. A file system is made on the
// image, `disk` is loop-mounted, and from the log any state can be rebuilt that a power cut may
// have left.
//
//   espora_power_disk IMAGE LOG DIRECTORY [--drop-flushes]
//
// Mounts itself on DIRECTORY, prints "ready" and runs until it is unmounted. LOG may be "-":
// nothing is logged. --drop-flushes: a device that lies, flushes are answered and not logged.
//
// What is written to `control` changes what happens from then on: "fail writes", "fail flushes",
// "fail reads" (with EIO; "fail reads after 7": the first seven still work) and "heal". Read, it
// gives the counts so far.
//
// Log: for each write and flush this header, little-endian, and the bytes that were written:
//   u32 magic | u32 type: 1 = write, 2 = flush | u64 CLOCK_MONOTONIC in ns | u64 offset | u64
//   length
#define FUSE_USE_VERSION 35

#include <fcntl.h>
#include <fuse.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>

namespace {

constexpr const char* disk_path = "/disk";
constexpr const char* control_path = "/control";

constexpr std::string_view fail_reads_after = "fail reads after ";

constexpr uint32_t entry_magic = 0x474C5750;  // "PWLG"
enum class EntryType : uint32_t { write = 1, flush = 2 };

struct EntryHeader {
  uint32_t magic;
  EntryType type;
  uint64_t time_ns;
  uint64_t offset;
  uint64_t length;
};
static_assert(sizeof(EntryHeader) == 32);

// One thread serves all requests, one after the other: the log's order is theirs.
struct Disk {
  int image = -1;
  int log = -1;
  off_t size = 0;
  bool drop_flushes = false;
  bool fail_writes = false;
  bool fail_flushes = false;
  bool fail_reads = false;
  uint64_t reads_left = 0;
  uint64_t writes = 0;
  uint64_t flushes = 0;
  uint64_t reads = 0;
};

Disk disk;

uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

bool write_whole(int file, const void* bytes, size_t count) {
  const char* at = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t wrote = write(file, at, count);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    at += wrote;
    count -= static_cast<size_t>(wrote);
  }
  return true;
}

bool log_entry(EntryType type, uint64_t offset, const char* bytes, size_t length) {
  if (disk.log < 0) return true;
  const EntryHeader header{entry_magic, type, monotonic_ns(), offset, length};
  return write_whole(disk.log, &header, sizeof header) && write_whole(disk.log, bytes, length);
}

bool is_disk(const char* path) { return std::strcmp(path, disk_path) == 0; }
bool is_control(const char* path) { return std::strcmp(path, control_path) == 0; }

std::string counts() {
  return "writes " + std::to_string(disk.writes) + " flushes " + std::to_string(disk.flushes) +
         " reads " + std::to_string(disk.reads) + "\n";
}

// ---- operations, all of which return what fuse.h says: a count, 0 or -errno --------------------

void* on_init(fuse_conn_info*, fuse_config* config) {
  config->direct_io = 1;  // nothing is cached between the loop device and us
  config->attr_timeout = 0;
  std::puts("ready");
  std::fflush(stdout);
  return nullptr;
}

int on_getattr(const char* path, struct stat* attributes, fuse_file_info*) {
  *attributes = {};
  if (std::strcmp(path, "/") == 0) {
    attributes->st_mode = S_IFDIR | 0700;
    attributes->st_nlink = 2;
    return 0;
  }
  if (!is_disk(path) && !is_control(path)) return -ENOENT;
  attributes->st_mode = S_IFREG | 0600;
  attributes->st_nlink = 1;
  attributes->st_size = is_disk(path) ? disk.size : 0;
  return 0;
}

int on_readdir(const char*, void* buffer, fuse_fill_dir_t fill, off_t, fuse_file_info*,
               fuse_readdir_flags) {
  for (const char* name : {".", "..", disk_path + 1, control_path + 1}) {
    fill(buffer, name, nullptr, 0, fuse_fill_dir_flags{});
  }
  return 0;
}

int on_open(const char* path, fuse_file_info*) {
  return is_disk(path) || is_control(path) ? 0 : -ENOENT;
}

int on_truncate(const char* path, off_t, fuse_file_info*) { return is_control(path) ? 0 : -EPERM; }

int on_read(const char* path, char* buffer, size_t count, off_t offset, fuse_file_info*) {
  if (is_control(path)) {
    const std::string text = counts();
    if (offset < 0 || static_cast<size_t>(offset) >= text.size()) return 0;
    return static_cast<int>(text.copy(buffer, count, static_cast<size_t>(offset)));
  }
  disk.reads++;
  if (disk.fail_reads && disk.reads_left == 0) return -EIO;
  if (disk.fail_reads) disk.reads_left--;
  const ssize_t got = pread(disk.image, buffer, count, offset);
  return got < 0 ? -errno : static_cast<int>(got);
}

int obey(std::string_view command) {
  while (!command.empty() && command.back() == '\n') command.remove_suffix(1);
  if (command == "fail writes") {
    disk.fail_writes = true;
  } else if (command == "fail flushes") {
    disk.fail_flushes = true;
  } else if (command == "fail reads") {
    disk.fail_reads = true;
    disk.reads_left = 0;
  } else if (command.starts_with(fail_reads_after)) {
    command.remove_prefix(fail_reads_after.size());
    disk.fail_reads = true;
    disk.reads_left = std::strtoull(std::string(command).c_str(), nullptr, 10);
  } else if (command == "heal") {
    disk.fail_writes = disk.fail_flushes = disk.fail_reads = false;
  } else {
    return -EINVAL;
  }
  return 0;
}

int on_write(const char* path, const char* bytes, size_t count, off_t offset, fuse_file_info*) {
  if (is_control(path)) {
    const int result = obey({bytes, count});
    return result < 0 ? result : static_cast<int>(count);
  }
  disk.writes++;
  if (disk.fail_writes) return -EIO;
  if (offset < 0 || offset + static_cast<off_t>(count) > disk.size) return -ENOSPC;
  for (size_t done = 0; done < count;) {
    const ssize_t wrote =
        pwrite(disk.image, bytes + done, count - done, offset + static_cast<off_t>(done));
    if (wrote <= 0) return -EIO;
    done += static_cast<size_t>(wrote);
  }
  if (!log_entry(EntryType::write, static_cast<uint64_t>(offset), bytes, count)) return -EIO;
  return static_cast<int>(count);
}

int on_fsync(const char* path, int, fuse_file_info*) {
  if (is_control(path)) return 0;
  disk.flushes++;
  if (disk.fail_flushes) return -EIO;
  if (disk.drop_flushes) return 0;
  return log_entry(EntryType::flush, 0, nullptr, 0) ? 0 : -EIO;
}

int usage() {
  std::fputs("espora_power_disk IMAGE LOG DIRECTORY [--drop-flushes]\n", stderr);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || argc > 5) return usage();
  if (argc == 5) {
    if (std::strcmp(argv[4], "--drop-flushes") != 0) return usage();
    disk.drop_flushes = true;
  }
  disk.image = open(argv[1], O_RDWR | O_CLOEXEC);
  struct stat image {};
  if (disk.image < 0 || fstat(disk.image, &image) != 0) {
    std::perror(argv[1]);
    return 1;
  }
  disk.size = image.st_size;
  if (std::strcmp(argv[2], "-") != 0) {
    disk.log = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (disk.log < 0) {
      std::perror(argv[2]);
      return 1;
    }
  }
  fuse_operations operations{};
  operations.init = on_init;
  operations.getattr = on_getattr;
  operations.readdir = on_readdir;
  operations.open = on_open;
  operations.truncate = on_truncate;
  operations.read = on_read;
  operations.write = on_write;
  operations.fsync = on_fsync;
  // In the foreground, with one thread.
  std::string program = argv[0];
  std::string foreground = "-f";
  std::string single = "-s";
  std::string directory = argv[3];
  char* arguments[] = {program.data(), foreground.data(), single.data(), directory.data(), nullptr};
  return fuse_main(4, arguments, &operations, nullptr);
}
