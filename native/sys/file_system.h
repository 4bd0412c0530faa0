// The boundary between the store and the system: every system call, clock and random byte that the
// store uses goes through one of these, so that the same object code runs on a simulated disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace espora::sys {

struct OpenFlags {
  bool write = false;      // O_RDWR, otherwise O_RDONLY
  bool create = false;     // O_CREAT, mode 0600
  bool exclusive = false;  // O_EXCL: fail with EEXIST when the name is taken
  bool direct = false;     // O_DIRECT: offsets, lengths and addresses are whole blocks
  bool directory = false;  // O_DIRECTORY
  bool no_follow = false;  // O_NOFOLLOW: fail with ELOOP where the name is a symbolic link
  bool in_place = false;   // with create: overwrites are not copied, where possible
};

// Calls return what the system call returns, or -errno. None is retried here (not even for EINTR):
// the caller decides what an error means. Names are relative to an open directory, or to
// `working_directory`. Callable from any thread; one file is used by one thread at a time.
class FileSystem {
 public:
  static constexpr int working_directory = -100;  // AT_FDCWD

  FileSystem() = default;
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;
  virtual ~FileSystem() = default;

  // A handle (>= 0), closed on exec. Without `directory` it opens regular files only: -EISDIR for a
  // directory, -ENXIO for anything else (opening a FIFO does not block).
  virtual int open(int directory, const char* name, OpenFlags flags) noexcept = 0;
  // Errors are dropped: everything that must be durable was flushed before.
  virtual void close(int file) noexcept = 0;
  virtual int64_t pwrite(int file, const std::byte* bytes, size_t count,
                         uint64_t offset) noexcept = 0;
  virtual int64_t pread(int file, std::byte* bytes, size_t count, uint64_t offset) noexcept = 0;
  virtual int fdatasync(int file) noexcept = 0;
  virtual int fsync(int file) noexcept = 0;
  // fallocate(2) of bytes 0 … size-1 with mode 0: the file grows to `size`.
  virtual int allocate(int file, uint64_t size) noexcept = 0;
  virtual int64_t size(int file) noexcept = 0;
  // POSIX_FADV_DONTNEED for the whole file: a later buffered read goes to the device.
  virtual int drop_cache(int file) noexcept = 0;
  // flock(2) LOCK_EX | LOCK_NB, of a file or a directory: -EWOULDBLOCK while another open file
  // description holds it. Released by close.
  virtual int try_lock(int file) noexcept = 0;
  // The same with LOCK_SH: only an exclusive lock is in the way.
  virtual int try_lock_shared(int file) noexcept = 0;
  virtual int rename(int directory, const char* from, const char* to) noexcept = 0;
  virtual int unlink(int directory, const char* name) noexcept = 0;
  virtual int make_directory(int directory, const char* name) noexcept = 0;
  // Names in an open directory, without "." and "..", in no particular order.
  virtual int list(int directory, std::vector<std::string>& names) = 0;
  // f_type of statfs(2), a magic number as in linux/magic.h.
  virtual int64_t type(int file) noexcept = 0;

  // CLOCK_REALTIME, microseconds since 1970; may jump. CLOCK_MONOTONIC, nanoseconds.
  virtual uint64_t realtime_us() noexcept = 0;
  virtual uint64_t monotonic_ns() noexcept = 0;
  virtual void sleep_ns(uint64_t duration_ns) noexcept = 0;
  // Fills all of `bytes`, or returns -errno.
  virtual int random(std::span<std::byte> bytes) noexcept = 0;
  virtual int64_t process_id() noexcept = 0;
};

// The real file system. Stateless, see posix_file_system().
class PosixFileSystem final : public FileSystem {
 public:
  int open(int directory, const char* name, OpenFlags flags) noexcept override;
  void close(int file) noexcept override;
  int64_t pwrite(int file, const std::byte* bytes, size_t count, uint64_t offset) noexcept override;
  int64_t pread(int file, std::byte* bytes, size_t count, uint64_t offset) noexcept override;
  int fdatasync(int file) noexcept override;
  int fsync(int file) noexcept override;
  int allocate(int file, uint64_t size) noexcept override;
  int64_t size(int file) noexcept override;
  int drop_cache(int file) noexcept override;
  int try_lock(int file) noexcept override;
  int try_lock_shared(int file) noexcept override;
  int rename(int directory, const char* from, const char* to) noexcept override;
  int unlink(int directory, const char* name) noexcept override;
  int make_directory(int directory, const char* name) noexcept override;
  int list(int directory, std::vector<std::string>& names) override;
  int64_t type(int file) noexcept override;
  uint64_t realtime_us() noexcept override;
  uint64_t monotonic_ns() noexcept override;
  void sleep_ns(uint64_t duration_ns) noexcept override;
  int random(std::span<std::byte> bytes) noexcept override;
  int64_t process_id() noexcept override;
};

// An instance that outlives all its users.
FileSystem& posix_file_system() noexcept;

// "ext4", "xfs", "tmpfs", …; "0x…" for a magic number that is not in the table.
std::string file_system_name(int64_t type);
// True if a power failure loses the files (tmpfs, ramfs), or if this is a container's writable
// layer instead of a volume (overlayfs): worth a warning at start-up.
bool file_system_volatile(int64_t type) noexcept;

// Owner of one handle of a FileSystem.
class File {
 public:
  File() noexcept = default;
  File(FileSystem& file_system, int handle) noexcept
      : file_system_(&file_system), handle_(handle) {}
  File(File&& other) noexcept : file_system_(other.file_system_), handle_(other.release()) {}
  File& operator=(File&& other) noexcept;
  ~File() { reset(); }

  [[nodiscard]] int get() const noexcept { return handle_; }
  [[nodiscard]] bool valid() const noexcept { return handle_ >= 0; }
  [[nodiscard]] int release() noexcept {
    const int handle = handle_;
    handle_ = -1;
    return handle;
  }
  void reset() noexcept;

 private:
  FileSystem* file_system_ = nullptr;
  int handle_ = -1;
};

}  // namespace espora::sys
