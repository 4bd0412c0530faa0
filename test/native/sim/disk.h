// A disk in memory that keeps apart what a file system shows and what would survive a power cut, in
// sectors of 512 bytes, and obeys nothing but the rules that POSIX and a device that honours
// flushes give: a sector that no flush covered may be there afterwards or not, each by itself;
// likewise each entry of a directory, and each file's size.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sim/random.h"
#include "sys/file_system.h"

namespace espora::sim {

inline constexpr size_t sector_bytes = 512;
inline constexpr size_t page_bytes = 4096;
inline constexpr size_t sectors_per_page = page_bytes / sector_bytes;

// ---- what is stored ---------------------------------------------------------------------------

using Page = std::array<std::byte, page_bytes>;

// A page as reads show it; the device's own content where that differs. Shared between copies of a
// disk, and copied before it is changed. A page that was never written is absent: zeros.
struct PageState {
  Page shown{};
  std::unique_ptr<Page> device;  // there while a bit below is set
  uint8_t dirty = 0;             // sectors that no flush covered yet
  uint8_t flushing = 0;          // sectors that the flush under way covers
  // Sectors that a failed flush dropped: still shown, but no later flush brings them to the device.
  uint8_t ghost = 0;

  PageState() = default;
  PageState(const PageState& other)
      : shown(other.shown),
        device(other.device ? std::make_unique<Page>(*other.device) : nullptr),
        dirty(other.dirty),
        flushing(other.flushing),
        ghost(other.ghost) {}
  PageState& operator=(const PageState&) = delete;
};

// What happened in a directory, oldest first.
struct EntryChange {
  std::string name;
  int inode = 0;       // 0: the name was removed
  std::string from;    // a rename's old name
  bool ghost = false;  // dropped by a failed flush of the directory
};

struct Inode {
  bool directory = false;
  int parent = 0;
  // A file's.
  std::vector<std::shared_ptr<PageState>> pages;
  uint64_t size = 0;
  uint64_t device_size = 0;
  bool size_ghost = false;
  // A directory's.
  std::map<std::string, int> entries;
  std::map<std::string, int> device_entries;
  std::vector<EntryChange> changes;
};

enum class View : uint8_t {
  cached,  // what buffered reads show
  direct,  // past the page cache: not what a failed flush dropped
  device,  // what is there after a power cut, at worst
};

// All files; a value, so that a crash can be played on a copy.
class Storage {
 public:
  static constexpr int root = 1;

  Storage();

  [[nodiscard]] Inode& at(int inode) { return inodes_.at(inode); }
  [[nodiscard]] const Inode& at(int inode) const { return inodes_.at(inode); }
  [[nodiscard]] bool has(int inode) const { return inodes_.contains(inode); }
  int make(bool directory, int parent);

  void write(int inode, uint64_t offset, const std::byte* bytes, size_t count);
  void read(int inode, uint64_t offset, std::byte* bytes, size_t count, View view) const;
  void resize(int inode, uint64_t size);

  // Everything that was pending in a file when the flush began, or in a directory, becomes durable.
  void begin_flush(int inode);
  void end_flush(int inode);
  // A flush failed: a part (`keep` of 256) became durable, the rest is dropped: still shown, or
  // gone back to what the device has.
  void fail_flush(int inode, bool reverts, unsigned keep, Random& random);
  // The page cache forgets what a failed flush dropped.
  void forget_ghosts(int inode);

  // Power comes back: `survives` is asked once for each undecided thing, in a fixed order; what
  // does not survive is gone. Then nothing is pending, and files without a name are removed.
  void settle(const std::function<bool()>& survives);
  // How often settle() would ask.
  [[nodiscard]] size_t undecided() const;

  // The inode of `name` in `directory` (0: none), as shown or as the device has it.
  [[nodiscard]] int find(int directory, std::string_view name, bool device) const;

  // Somebody else renamed an entry, and it is durable; nothing about either name may be pending.
  void rename_entry(int directory, const std::string& from, const std::string& to);
  void add_entry(int directory, const std::string& name, int inode, const std::string& from = {});
  void remove_entry(int directory, const std::string& name);
  // Removes files that have no name and are not in `open`.
  void collect(const std::vector<int>& open);

 private:
  static PageState& page_for_write(Inode& inode, size_t index);

  std::map<int, Inode> inodes_;
  int next_inode_ = root;
};

// ---- calls ------------------------------------------------------------------------------------

enum class CallKind : uint8_t {
  open,
  pwrite,
  pread,
  fdatasync,
  fsync,
  allocate,
  size,
  drop_cache,
  try_lock,
  rename,
  unlink,
  make_directory,
  list,
  random,
};
const char* call_name(CallKind kind) noexcept;

struct Call {
  CallKind kind;
  std::string_view name;  // of the file; of the new name in a rename; "." for a directory
  int inode = 0;          // 0 where there is none yet
  uint64_t offset = 0;
  size_t count = 0;
  const std::byte* bytes = nullptr;  // of a pwrite
  bool creates = false;              // an open that would make the file
  bool direct = false;
};

// What a call does instead of its work.
struct Outcome {
  enum class Kind : uint8_t {
    pass,
    fail,              // with `error`, nothing happens
    fail_with_effect,  // the work is done, then the error is returned
    transfer,          // pwrite, pread: moves only `count` bytes
    drop,              // a flush: fails with `error`, what was pending is dropped and still shown
    revert,            // the same, and what was pending is shown no more
    lie,               // a flush: returns 0 and does nothing
    cut_before,        // power fails before the work
    cut_after,         // and after it: the caller never learns that it was done
    kill_before,       // the process ends; what it wrote stays in the page cache
    kill_after,
  } kind = Kind::pass;
  int error = 0;
  size_t count = 0;
};

// Asked before each call, and told what it returned. Both may look at the disk, not call it.
class Director {
 public:
  virtual ~Director() = default;
  virtual Outcome before(const Call& call) = 0;
  virtual void after(const Call& call, int64_t result) = 0;
  // While a flush of a file is under way: what is written now is not covered by it.
  virtual void during_flush(const Call&) {}
};

class SimulatedDisk final : public sys::FileSystem {
 public:
  SimulatedDisk(uint64_t seed, Director& director) : director_(director), random_(seed) {}

  [[nodiscard]] Storage& storage() noexcept { return storage_; }
  [[nodiscard]] const Storage& storage() const noexcept { return storage_; }
  // The process or the machine has ended: each call fails until restart().
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }
  [[nodiscard]] bool power_lost() const noexcept { return power_lost_; }
  void stop(bool power) noexcept {
    stopped_ = true;
    power_lost_ = power_lost_ || power;
  }
  // What `other` stores, and its kind of file system; nothing of who has files open there.
  void take_after(const SimulatedDisk& other);
  // With everything closed; settles with `survives` if the power was lost.
  void restart(const std::function<bool()>& survives);
  [[nodiscard]] size_t open_files() const noexcept { return handles_.size(); }
  [[nodiscard]] std::vector<int> open_inodes() const;

  [[nodiscard]] uint64_t calls() const noexcept { return calls_; }
  // Changes of anything but LOCK.
  [[nodiscard]] uint64_t changes() const noexcept { return changes_; }
  void jump_realtime_us(int64_t by) noexcept { realtime_us_ += static_cast<uint64_t>(by); }
  void pass_ns(uint64_t by) noexcept;

  // Where O_DIRECT is refused: EINVAL at open, or at reading and writing.
  bool refuse_direct_at_open = false;
  bool refuse_direct_at_transfer = false;
  // Dropped sectors lie in the device's cache: O_DIRECT shows them too.
  bool ghosts_in_device = false;
  bool honours_drop_cache = true;
  uint64_t clock_grain_us = 1;

  int open(int directory, const char* name, sys::OpenFlags flags) noexcept override;
  void close(int file) noexcept override;
  int64_t pwrite(int file, const std::byte* bytes, size_t count, uint64_t offset) noexcept override;
  int64_t pread(int file, std::byte* bytes, size_t count, uint64_t offset) noexcept override;
  int fdatasync(int file) noexcept override { return flush(CallKind::fdatasync, file); }
  int fsync(int file) noexcept override { return flush(CallKind::fsync, file); }
  int allocate(int file, uint64_t size) noexcept override;
  int64_t size(int file) noexcept override;
  int drop_cache(int file) noexcept override;
  int try_lock(int file) noexcept override { return lock(file, Lock::exclusive); }
  int try_lock_shared(int file) noexcept override { return lock(file, Lock::shared); }
  int rename(int directory, const char* from, const char* to) noexcept override;
  int unlink(int directory, const char* name) noexcept override;
  int make_directory(int directory, const char* name) noexcept override;
  int list(int directory, std::vector<std::string>& names) override;
  int64_t type(int) noexcept override { return 0xEF53; }
  uint64_t realtime_us() noexcept override;
  uint64_t monotonic_ns() noexcept override;
  void sleep_ns(uint64_t duration_ns) noexcept override { pass_ns(duration_ns); }
  int random(std::span<std::byte> bytes) noexcept override;
  int64_t process_id() noexcept override { return 4711; }

 private:
  enum class Lock : uint8_t { none, shared, exclusive };
  struct Handle {
    int inode = 0;
    bool direct = false;
    Lock lock = Lock::none;
    std::string name;
  };

  // Runs `work` as the director says; `work` returns what the system call would.
  template <typename Work>
  int64_t perform(const Call& call, Work work);
  int flush(CallKind kind, int file);
  int lock(int file, Lock kind);
  [[nodiscard]] const Handle* handle(int file) const;
  // The directory that `path` starts from, with `path` cut to its last part; 0 for none.
  int walk(int directory, std::string_view& path) const;
  [[nodiscard]] Call call_of(CallKind kind, const Handle* handle) const;

  Director& director_;
  Random random_;
  Storage storage_;
  std::map<int, Handle> handles_;
  int next_handle_ = 3;
  bool stopped_ = false;
  bool power_lost_ = false;
  uint64_t calls_ = 0;
  uint64_t changes_ = 0;
  uint64_t realtime_us_ = uint64_t{1'700'000'000} * 1'000'000;
  uint64_t monotonic_ns_ = 1'000'000'000;
};

}  // namespace espora::sim
