#include "sys/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <utility>

#include "sys/clock.h"

namespace espora::sys {

static_assert(FileSystem::working_directory == AT_FDCWD);

namespace {

template <typename T>
T or_errno(T result) noexcept {
  return result < 0 ? static_cast<T>(-errno) : result;
}

// btrfs(5), chattr(1) +C: an empty file takes it, and is then not compressed. If it is refused
// everything still works, but overwriting the file takes up space.
void forbid_copies_on_write(int file) noexcept {
  struct statfs facts;
  if (::fstatfs(file, &facts) < 0 || facts.f_type != BTRFS_SUPER_MAGIC) return;
  int flags = 0;
  if (::ioctl(file, FS_IOC_GETFLAGS, &flags) < 0) return;
  // Both flags at once are refused.
  const bool compressed = (flags & FS_COMPR_FL) != 0;
  flags &= ~FS_COMPR_FL;
  if (compressed && ::ioctl(file, FS_IOC_SETFLAGS, &flags) < 0) return;
  flags |= FS_NOCOW_FL;
  (void)::ioctl(file, FS_IOC_SETFLAGS, &flags);
}

}  // namespace

int PosixFileSystem::open(int directory, const char* name, OpenFlags flags) noexcept {
  // O_NONBLOCK has no effect on a regular file; without it, opening a FIFO would block.
  int bits = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  bits |= flags.write ? O_RDWR : O_RDONLY;
  if (flags.create) bits |= O_CREAT;
  if (flags.exclusive) bits |= O_EXCL;
  if (flags.direct) bits |= O_DIRECT;
  if (flags.directory) bits |= O_DIRECTORY;
  if (flags.no_follow) bits |= O_NOFOLLOW;
  const int file = ::openat(directory, name, bits, 0600);
  if (file < 0) return -errno;
  // A file created with O_EXCL is a regular file.
  if (!flags.directory && !flags.exclusive) {
    struct stat facts;
    int error = ::fstat(file, &facts) < 0 ? errno : 0;
    if (error == 0 && !S_ISREG(facts.st_mode)) error = S_ISDIR(facts.st_mode) ? EISDIR : ENXIO;
    if (error != 0) {
      ::close(file);
      return -error;
    }
  }
  if (flags.create && flags.in_place) forbid_copies_on_write(file);
  return file;
}

void PosixFileSystem::close(int file) noexcept { ::close(file); }

int64_t PosixFileSystem::pwrite(int file, const std::byte* bytes, size_t count,
                                uint64_t offset) noexcept {
  return or_errno<int64_t>(::pwrite(file, bytes, count, static_cast<off_t>(offset)));
}

int64_t PosixFileSystem::pread(int file, std::byte* bytes, size_t count, uint64_t offset) noexcept {
  return or_errno<int64_t>(::pread(file, bytes, count, static_cast<off_t>(offset)));
}

int PosixFileSystem::fdatasync(int file) noexcept { return or_errno(::fdatasync(file)); }

int PosixFileSystem::fsync(int file) noexcept { return or_errno(::fsync(file)); }

int PosixFileSystem::allocate(int file, uint64_t size) noexcept {
  return or_errno(::fallocate(file, 0, 0, static_cast<off_t>(size)));
}

int64_t PosixFileSystem::size(int file) noexcept {
  struct stat facts;
  if (::fstat(file, &facts) < 0) return -errno;
  return facts.st_size;
}

int PosixFileSystem::drop_cache(int file) noexcept {
  // posix_fadvise(2) returns the error instead of setting errno.
  return -::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
}

int PosixFileSystem::try_lock(int file) noexcept {
  return or_errno(::flock(file, LOCK_EX | LOCK_NB));
}

int PosixFileSystem::try_lock_shared(int file) noexcept {
  return or_errno(::flock(file, LOCK_SH | LOCK_NB));
}

int PosixFileSystem::rename(int directory, const char* from, const char* to) noexcept {
  return or_errno(::renameat(directory, from, directory, to));
}

int PosixFileSystem::unlink(int directory, const char* name) noexcept {
  return or_errno(::unlinkat(directory, name, 0));
}

int PosixFileSystem::make_directory(int directory, const char* name) noexcept {
  return or_errno(::mkdirat(directory, name, 0700));
}

int PosixFileSystem::list(int directory, std::vector<std::string>& names) {
  names.clear();
  // A separate descriptor: fdopendir(3) takes ownership, and `directory` keeps its position.
  const int own = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return -errno;
  DIR* stream = ::fdopendir(own);
  if (stream == nullptr) {
    const int error = errno;
    ::close(own);
    return -error;
  }
  int error = 0;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream);
    if (entry == nullptr) {
      error = errno;
      break;
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(stream);
  return -error;
}

int64_t PosixFileSystem::type(int file) noexcept {
  struct statfs facts;
  if (::fstatfs(file, &facts) < 0) return -errno;
  return static_cast<int64_t>(static_cast<uint32_t>(facts.f_type));
}

uint64_t PosixFileSystem::realtime_us() noexcept { return sys::realtime_us(); }

uint64_t PosixFileSystem::monotonic_ns() noexcept { return sys::monotonic_ns(); }

void PosixFileSystem::sleep_ns(uint64_t duration_ns) noexcept {
  timespec rest{static_cast<time_t>(duration_ns / 1'000'000'000),
                static_cast<long>(duration_ns % 1'000'000'000)};
  while (::nanosleep(&rest, &rest) < 0 && errno == EINTR) {
  }
}

int PosixFileSystem::random(std::span<std::byte> bytes) noexcept {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::getrandom(bytes.data() + done, bytes.size() - done, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    done += static_cast<size_t>(got);
  }
  return 0;
}

int64_t PosixFileSystem::process_id() noexcept { return ::getpid(); }

FileSystem& posix_file_system() noexcept {
  static PosixFileSystem real;
  return real;
}

std::string file_system_name(int64_t type) {
  static constexpr std::pair<int64_t, const char*> names[] = {
      {EXT4_SUPER_MAGIC, "ext4"}, {0x58465342, "xfs"},        {BTRFS_SUPER_MAGIC, "btrfs"},
      {F2FS_SUPER_MAGIC, "f2fs"}, {0x2FC12FC1, "zfs"},        {0xCA451A4E, "bcachefs"},
      {TMPFS_MAGIC, "tmpfs"},     {RAMFS_MAGIC, "ramfs"},     {OVERLAYFS_SUPER_MAGIC, "overlayfs"},
      {NFS_SUPER_MAGIC, "nfs"},   {FUSE_SUPER_MAGIC, "fuse"},
  };
  for (const auto& [each, name] : names) {
    if (each == type) return name;
  }
  char text[32];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(type));
  return text;
}

bool file_system_volatile(int64_t type) noexcept {
  return type == TMPFS_MAGIC || type == RAMFS_MAGIC || type == OVERLAYFS_SUPER_MAGIC;
}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    reset();
    file_system_ = other.file_system_;
    handle_ = other.release();
  }
  return *this;
}

void File::reset() noexcept {
  if (handle_ >= 0) file_system_->close(handle_);
  handle_ = -1;
}

}  // namespace espora::sys
