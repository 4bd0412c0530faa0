// A store's directory: finding, reading and publishing its files, with O_DIRECT where the file
// system has it. What the bytes mean is decided in recovery.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "store/dense.h"
#include "store/format.h"
#include "store/recovery.h"
#include "sys/file_system.h"
#include "sys/status.h"

namespace espora::store {

// Memory whose address is a whole block, as O_DIRECT wants it. Not initialised.
class BlockBuffer {
 public:
  BlockBuffer() noexcept = default;
  explicit BlockBuffer(size_t size);
  [[nodiscard]] std::byte* data() const noexcept { return bytes_.get(); }
  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<std::byte> span() const noexcept { return {bytes_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* bytes) const noexcept;
  };
  std::unique_ptr<std::byte, Free> bytes_;
  size_t size_ = 0;
};

// True for what a Status says about the store itself and not about what is around it.
constexpr bool about_store(sys::Code code) noexcept {
  return code == sys::Code::corrupt || code == sys::Code::unreadable;
}
// True for what no restart can mend.
constexpr bool ends_for_good(sys::Code code) noexcept {
  return about_store(code) || code == sys::Code::version;
}

// What a failed call on something in a store's directory, at `where`, means; `result` is -errno. It
// is never the caller's usage: Code::corrupt where the store's name is that of another thing than a
// file, Code::io for what else no value of the caller's can be the reason of.
sys::Status failure_of(int64_t result, std::string_view call, std::string where);

// What a directory holds.
struct Listing {
  bool has_store = false;
  std::vector<uint32_t> segments;   // ascending
  std::vector<uint64_t> snapshots;  // ascending
  std::vector<std::string> temporaries;
  std::vector<std::string> foreign;  // neither read nor touched
};

// A file open for reading.
struct ReadFile {
  std::string name;
  sys::File file;
  bool direct = false;
  uint64_t bytes = 0;          // its size; of a segment
  uint64_t segment_bytes = 0;  // what STORE says that it should be, unless it is dense
};

// What the device did not give back.
struct RefusedBlocks {
  std::vector<uint32_t> blocks;  // ascending
  int error = 0;                 // errno of the first one
};

// What it means that a file ends before the blocks that are read.
enum class Missing : uint8_t {
  is_damage,  // Code::corrupt
  is_zeros,   // it was cut short, and that is known
};

// Keeps every other writer out. What excludes is the lock on the directory itself: it goes wherever
// the directory is renamed to, and nobody can take it away without taking the store away. The file
// LOCK says whose it is, and keeps versions out that know nothing else.
class StoreLock {
 public:
  StoreLock() noexcept = default;
  StoreLock(sys::File directory, sys::File file) noexcept
      : directory_(std::move(directory)), file_(std::move(file)) {}
  void release() noexcept {
    file_.reset();
    directory_.reset();
  }

 private:
  sys::File directory_;  // a description of its own, so that no other one is the lock too
  sys::File file_;
};

// One open directory. Belongs to one thread. Every function says in its Status which file it was.
class Directory {
 public:
  // `path` is for messages.
  Directory(sys::FileSystem& file_system, sys::File handle, std::string path, bool direct) noexcept
      : file_system_(file_system),
        handle_(std::move(handle)),
        path_(std::move(path)),
        direct_(direct) {}

  // With `create` every missing part is made: sync_path() before anything in it is relied upon.
  static sys::Result<Directory> open(sys::FileSystem& file_system, const std::string& path,
                                     bool create, bool direct);

  // The same directory, wherever it is by now, through a descriptor of its own, for another thread:
  // each descriptor is told of a failed flush once, fsync(2). Any thread.
  sys::Result<Directory> again() const;

  [[nodiscard]] sys::FileSystem& file_system() const noexcept { return file_system_; }
  [[nodiscard]] int handle() const noexcept { return handle_.get(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // False once the file system refused O_DIRECT.
  [[nodiscard]] bool direct() const noexcept { return direct_; }
  void set_direct(bool direct) noexcept { direct_ = direct; }

  sys::Status list(Listing& listing) const;
  // Code::locked, naming the holder, after trying for `retry_ms`; unsupported where the file system
  // has no locks.
  sys::Result<StoreLock> lock(uint32_t retry_ms) const;
  // Whether somebody holds that lock just now, or it can't be told. Nothing stays locked.
  [[nodiscard]] bool in_use() const;
  sys::Status sync() const;
  // Flushes every directory above this one that opening may have made an entry in, now or in an
  // attempt that was cut short.
  sys::Status sync_path() const;
  sys::Status sync_file(const ReadFile& file) const;
  sys::Status remove(const std::string& name) const;
  // Code::corrupt where something has the name of a temporary file, or of LOCK, that no start can
  // remove or lock.
  sys::Status check_passable(const std::string& name) const;

  // `sync_first`: what is read is on the device. Otherwise nothing is changed.
  sys::Result<StoreFacts> read_store(bool sync_first);
  // By the rule of publication: a temporary file, flushed, renamed, the directory flushed.
  sys::Status publish_store(const StoreFacts& facts) const;

  // For reading. Its size is checked by read_header(), because a dense segment's is in its header.
  sys::Result<ReadFile> open_segment(uint32_t number, uint64_t segment_bytes) {
    return open_segment_as(segment_name(number), segment_bytes);
  }
  sys::Result<ReadFile> open_segment_as(std::string name, uint64_t segment_bytes);
  // For a segment without STORE beside it: number 1, a valid header, and no frame, not even a torn
  // one's header. Codes as for the functions around this one.
  sys::Result<bool> holds_no_frame(uint32_t number);
  // Code::corrupt for a damaged header and a file of another size, version for another one,
  // unreadable, io.
  sys::Result<format::SegmentHeader> read_header(ReadFile& file);
  // Of a dense segment whose header is possible: Code::corrupt, unreadable, io.
  sys::Result<DenseIndex> read_index(ReadFile& file, const format::SegmentHeader& header);
  // Whole blocks from `block` on. Those that the device refuses are added to `refused`, with zeros
  // in their place; any other failure is a Status.
  sys::Status read_blocks(ReadFile& file, uint32_t block, std::span<std::byte> bytes,
                          Missing missing, RefusedBlocks& refused);
  [[nodiscard]] sys::Status unreadable(const ReadFile& file, uint32_t block, int error) const;
  // The whole file STORE as it lies there, up to the size that one can have. Code::unreadable, io.
  sys::Result<std::vector<std::byte>> read_store_bytes(bool sync_first);
  // The whole file SNAP-<seq>; `state` views into `bytes`. Code::not_found, corrupt, version,
  // unreadable, io.
  sys::Result<format::SnapshotHeader> read_snapshot(uint64_t seq, std::vector<std::byte>& bytes,
                                                    Bytes& state) {
    return read_snapshot_as(snapshot_name(seq), bytes, state);
  }
  sys::Result<format::SnapshotHeader> read_snapshot_as(std::string name,
                                                       std::vector<std::byte>& bytes, Bytes& state);

 private:
  [[nodiscard]] std::string holder() const;
  sys::Status wait_for(const sys::File& file, std::string_view name, uint64_t give_up_ns) const;
  sys::Result<ReadFile> open_for_reading(std::string name);
  // Reads as much as there is of `bytes`, retrying what was interrupted; count or -errno.
  int64_t read_at(ReadFile& file, std::span<std::byte> bytes, uint64_t offset);
  [[nodiscard]] sys::Status error(int64_t result, std::string_view call,
                                  std::string_view name) const;

  std::reference_wrapper<sys::FileSystem> file_system_;
  sys::File handle_;
  std::string path_;
  bool direct_;
};

// Writes all of `bytes` (whole blocks) at `offset`, at most one block-wise continuation per short
// write: 0, or -errno; -EIO for a write of nothing. For files that are not published: any error
// means that the file must be given up.
int write_all(sys::FileSystem& file_system, int file, Bytes bytes, uint64_t offset) noexcept;

}  // namespace espora::store
