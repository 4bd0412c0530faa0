// A store's directory: finding, reading and publishing its files, with O_DIRECT if the file system
// supports it. What the bytes mean is decided in recovery.h.
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

// Memory aligned to a whole block, as O_DIRECT needs it. Not initialised.
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

// True if a Status is about the store itself, not about its environment.
constexpr bool about_store(sys::Code code) noexcept {
  return code == sys::Code::corrupt || code == sys::Code::unreadable;
}
// True for what no restart can repair.
constexpr bool ends_for_good(sys::Code code) noexcept {
  return about_store(code) || code == sys::Code::version;
}

// The meaning of a failed call on something in a store's directory, at `where`; `result` is -errno.
// Never the caller's mistake: Code::corrupt if the store's name belongs to something that is not a
// file, Code::io for everything else that no argument of the caller can cause.
sys::Status failure_of(int64_t result, std::string_view call, std::string where);

// Code::version for something at `where` that this program cannot read.
sys::Status other_version(const std::string& where, uint32_t version);

// What a directory holds.
struct Listing {
  bool has_store = false;
  std::vector<uint32_t> segments;   // ascending
  std::vector<uint64_t> snapshots;  // ascending
  std::vector<std::string> temporaries;
  std::vector<std::string> foreign;  // neither read nor changed
};

// A file open for reading.
struct ReadFile {
  std::string name;
  sys::File file;
  bool direct = false;
  uint64_t bytes = 0;          // its size; of a segment
  uint64_t segment_bytes = 0;  // its size according to STORE, unless it is dense
};

// Blocks that the device failed to return.
struct RefusedBlocks {
  std::vector<uint32_t> blocks;  // ascending
  int error = 0;                 // errno of the first one
};

// What it means if a file ends before the blocks that are read.
enum class Missing : uint8_t {
  is_damage,  // Code::corrupt
  is_zeros,   // it is known to have been cut short
};

// Excludes all other writers. The lock on the directory itself is the one that excludes: it stays
// valid if the directory is renamed, and cannot be removed without removing the store. The file
// LOCK names the holder, and excludes versions that lock nothing else.
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
  sys::File directory_;  // a separate open file description, which alone holds the lock
  sys::File file_;
};

// One open directory. Belongs to one thread. Every Status names the file that it is about.
class Directory {
 public:
  // `path` is for messages.
  Directory(sys::FileSystem& file_system, sys::File handle, std::string path, bool direct) noexcept
      : file_system_(file_system),
        handle_(std::move(handle)),
        path_(std::move(path)),
        direct_(direct) {}

  // With `create` missing parts are created: call sync_path() before relying on anything in it.
  static sys::Result<Directory> open(sys::FileSystem& file_system, const std::string& path,
                                     bool create, bool direct);

  // The same directory, even if it was moved since, through a descriptor of its own, for another
  // thread: each descriptor reports a failed flush once, fsync(2). Any thread.
  sys::Result<Directory> again() const;

  [[nodiscard]] sys::FileSystem& file_system() const noexcept { return file_system_; }
  [[nodiscard]] int handle() const noexcept { return handle_.get(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // False once the file system has refused O_DIRECT.
  [[nodiscard]] bool direct() const noexcept { return direct_; }
  void set_direct(bool direct) noexcept { direct_ = direct; }

  sys::Status list(Listing& listing) const;
  // What this listing of it means. May have to read its only segment.
  sys::Result<DirectoryVerdict> judge(const Listing& listing);
  // Code::locked with the holder, after trying for `retry_ms`; unsupported without file locks.
  sys::Result<StoreLock> lock(uint32_t retry_ms) const;
  // Whether a process holds that lock now, or this cannot be determined. Leaves nothing locked.
  [[nodiscard]] bool in_use() const;
  sys::Status sync() const;
  // Flushes all directories above this one in which opening, even if cut short, made entries.
  sys::Status sync_path() const;
  sys::Status sync_file(const ReadFile& file) const;
  sys::Status remove(const std::string& name) const;
  // Code::corrupt if a temporary file's name or LOCK is something that opening cannot remove or
  // lock.
  sys::Status check_passable(const std::string& name) const;

  // `sync_first`: flushes what is read, so that it is on the device. Otherwise changes nothing.
  sys::Result<StoreFacts> read_store(bool sync_first);
  // As every publication: a temporary file, flushed, renamed, then the directory flushed.
  sys::Status publish_store(const StoreFacts& facts) const;

  // For reading. read_header() checks its size, because a dense segment's is in its header.
  sys::Result<ReadFile> open_segment(uint32_t number, uint64_t segment_bytes) {
    return open_segment_as(segment_name(number), segment_bytes);
  }
  sys::Result<ReadFile> open_segment_as(std::string name, uint64_t segment_bytes);
  // The same with its header, checked against STORE and the header before it (or null).
  sys::Result<ReadFile> open_segment(uint32_t number, const StoreFacts& store,
                                     const format::SegmentHeader* before,
                                     format::SegmentHeader& header);
  // Code::corrupt for a damaged header or wrong file size, version for another one, unreadable, io.
  sys::Result<format::SegmentHeader> read_header(ReadFile& file);
  // Of a dense segment with a possible header: Code::corrupt, unreadable, io.
  sys::Result<DenseIndex> read_index(ReadFile& file, const format::SegmentHeader& header);
  // Whole blocks from `block` on. Blocks that the device refuses are added to `refused` and zero in
  // `bytes`; any other failure is a Status.
  sys::Status read_blocks(ReadFile& file, uint32_t block, std::span<std::byte> bytes,
                          Missing missing, RefusedBlocks& refused);
  [[nodiscard]] sys::Status unreadable(const ReadFile& file, uint32_t block, int error) const;
  // Code::corrupt or unreadable, for damage found in it.
  [[nodiscard]] sys::Status status_of(const Damage& damage) const;
  // The file STORE as it is, up to the largest possible size. Code::unreadable, io.
  sys::Result<std::vector<std::byte>> read_store_bytes(bool sync_first);
  // The file SNAP-<seq>, `state` within `bytes`. Code::not_found, corrupt, version, unreadable, io.
  sys::Result<format::SnapshotHeader> read_snapshot(uint64_t seq, std::vector<std::byte>& bytes,
                                                    Bytes& state) {
    return read_snapshot_as(snapshot_name(seq), bytes, state);
  }
  sys::Result<format::SnapshotHeader> read_snapshot_as(std::string name,
                                                       std::vector<std::byte>& bytes, Bytes& state);

 private:
  // For a segment without STORE: whether it has number 1, a valid header, and no frame, not even
  // the header of a torn one.
  sys::Result<bool> holds_no_frame(uint32_t number);
  [[nodiscard]] std::string holder() const;
  sys::Status wait_for(const sys::File& file, std::string_view name, uint64_t give_up_ns) const;
  sys::Result<ReadFile> open_for_reading(std::string name);
  // Reads as much of `bytes` as there is, and retries interrupted reads; count or -errno.
  int64_t read_at(ReadFile& file, std::span<std::byte> bytes, uint64_t offset);
  // Reads all of it; nothing if it has more than `bytes_max`.
  sys::Result<std::vector<std::byte>> read_whole(ReadFile& file, uint64_t bytes_max);
  [[nodiscard]] sys::Status error(int64_t result, std::string_view call,
                                  std::string_view name) const;

  std::reference_wrapper<sys::FileSystem> file_system_;
  sys::File handle_;
  std::string path_;
  bool direct_;
};

// Writes all of `bytes` (whole blocks) at `offset`; continues short writes block by block. 0 or
// -errno; -EIO for a write of nothing. For unpublished files: an error means giving the file up.
int write_all(sys::FileSystem& file_system, int file, Bytes bytes, uint64_t offset) noexcept;

}  // namespace espora::store
