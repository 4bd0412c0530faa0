#include "store/directory.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <new>

#include "store/defects.h"
#include "store/segment_window.h"
#include "sys/limits.h"

namespace espora::store {

using sys::Code;
using sys::Status;

BlockBuffer::BlockBuffer(size_t size)
    : bytes_(static_cast<std::byte*>(::operator new (size, std::align_val_t{format::block_bytes}))),
      size_(size) {}

void BlockBuffer::Free::operator()(std::byte* bytes) const noexcept {
  ::operator delete (bytes, std::align_val_t{format::block_bytes});
}

int write_all(sys::FileSystem& file_system, int file, Bytes bytes, uint64_t offset) noexcept {
  while (!bytes.empty()) {
    const int64_t wrote = file_system.pwrite(file, bytes.data(), bytes.size(), offset);
    if (wrote == -EINTR) continue;
    if (wrote < 0) return static_cast<int>(wrote);
    if (wrote == 0) return -EIO;
    const size_t whole = static_cast<size_t>(wrote) / format::block_bytes * format::block_bytes;
    bytes = bytes.subspan(whole);
    offset += whole;
  }
  return 0;
}

Status failure_of(int64_t result, std::string_view call, std::string where) {
  const auto error = static_cast<int>(-result);
  const auto other_thing = [&](const char* what) {
    return Status(Code::corrupt,
                  std::move(where) + " is " + what + ", where the store has a file: move it away");
  };
  if (error == EISDIR) return other_thing("a directory");
  if (error == ENXIO && call == "open") return other_thing("no regular file");
  if (error == ELOOP && call == "open") return other_thing("a symbolic link");
  const Code code = sys::code_from_errno(error);
  return Status::from_errno(code == Code::invalid ? Code::io : code, error, call, where);
}

Status other_version(const std::string& where, uint32_t version) {
  return Status(Code::version, where + " has format version " + std::to_string(version) +
                                   ", this program reads version " +
                                   std::to_string(format::version));
}

Status Directory::error(int64_t result, std::string_view call, std::string_view name) const {
  std::string where = path_;
  if (!name.empty()) where.append("/").append(name);
  return failure_of(result, call, std::move(where));
}

// ---- the directory itself ---------------------------------------------------------------------

namespace {

// Creates every missing part of `path`. Directory::sync_path makes them durable.
Status make_path(sys::FileSystem& fs, const std::string& path) {
  for (size_t end = 1; end <= path.size(); end++) {
    if (end != path.size() && path[end] != '/') continue;
    const std::string part = path.substr(0, end);
    const int made = fs.make_directory(sys::FileSystem::working_directory, part.c_str());
    if (made < 0 && made != -EEXIST) return Status::from_errno(-made, "mkdir", part);
  }
  return {};
}

}  // namespace

sys::Result<Directory> Directory::open(sys::FileSystem& file_system, const std::string& path,
                                       bool create, bool direct) {
  const auto try_open = [&] {
    return file_system.open(sys::FileSystem::working_directory, path.c_str(), {.directory = true});
  };
  if (path.empty()) return Status(Code::invalid, "the store's directory is not named");
  int handle = try_open();
  if (handle == -ENOENT && create) {
    if (Status made = make_path(file_system, path); !made.ok()) return made;
    handle = try_open();
  }
  if (handle == -ENOENT) return Status(Code::not_found, path + ": no such directory");
  if (handle < 0) return Status::from_errno(-handle, "open", path);
  return Directory(file_system, sys::File(file_system, handle), path, direct);
}

sys::Result<Directory> Directory::again() const {
  sys::FileSystem& fs = file_system_;
  int from = handle_.get();
  const char* name = ".";
  ESPORA_DEFECT(read_by_path) {
    from = sys::FileSystem::working_directory;
    name = path_.c_str();
  }
  sys::File handle(fs, fs.open(from, name, {.directory = true}));
  if (!handle.valid()) return error(handle.get(), "open", "");
  return Directory(fs, std::move(handle), path_, direct_);
}

Status Directory::list(Listing& listing) const {
  std::vector<std::string> names;
  if (const int result = file_system_.get().list(handle_.get(), names); result < 0) {
    return error(result, "readdir", "");
  }
  for (std::string& text : names) {
    const Name name = parse_name(text);
    switch (name.kind) {
      case NameKind::lock:
        break;
      case NameKind::store:
        listing.has_store = true;
        break;
      case NameKind::segment:
        listing.segments.push_back(static_cast<uint32_t>(name.number));
        break;
      case NameKind::snapshot:
        listing.snapshots.push_back(name.number);
        break;
      case NameKind::temporary:
        listing.temporaries.push_back(std::move(text));
        break;
      case NameKind::foreign:
        listing.foreign.push_back(std::move(text));
        break;
    }
  }
  std::sort(listing.segments.begin(), listing.segments.end());
  // A file that is replaced while the directory is read may appear twice, readdir(3).
  listing.segments.erase(std::unique(listing.segments.begin(), listing.segments.end()),
                         listing.segments.end());
  std::sort(listing.snapshots.begin(), listing.snapshots.end());
  return {};
}

sys::Result<DirectoryVerdict> Directory::judge(const Listing& listing) {
  bool one_and_empty = false;
  if (!listing.has_store && listing.snapshots.empty() && listing.segments.size() == 1) {
    auto empty = holds_no_frame(listing.segments.front());
    if (!empty.ok()) return empty.status();
    one_and_empty = empty.value();
  }
  return judge_directory(
      {listing.has_store, !listing.segments.empty(), !listing.snapshots.empty(), one_and_empty});
}

// Which process has the store open, according to LOCK.
std::string Directory::holder() const {
  sys::FileSystem& fs = file_system_;
  const sys::File file(fs, fs.open(handle_.get(), lock_name, {.no_follow = true}));
  char text[32] = {};
  int64_t process = 0;
  if (file.valid()) {
    const int64_t got = fs.pread(file.get(), reinterpret_cast<std::byte*>(text), sizeof text, 0);
    if (got > 0) std::from_chars(text, text + got, process);
  }
  return process > 0 ? "process " + std::to_string(process) : "another process";
}

Status Directory::wait_for(const sys::File& file, std::string_view name,
                           uint64_t give_up_ns) const {
  sys::FileSystem& fs = file_system_;
  int locked;
  while ((locked = fs.try_lock(file.get())) != 0) {
    if (locked == -EINTR) continue;
    if (locked == -EBADF || locked == -EINVAL || locked == -EOPNOTSUPP || locked == -ENOSYS) {
      // Without locks two processes could write to one store.
      return Status::from_errno(
          Code::unsupported, -locked, "flock",
          path_ + ": this file system has no locks, put the store on one that has");
    }
    if (locked != -EWOULDBLOCK) return error(locked, "flock", name);
    if (fs.monotonic_ns() >= give_up_ns) {
      return Status(Code::locked, path_ + ": the store is open in " + holder() +
                                      "; stop it first, or give another directory");
    }
    fs.sleep_ns(limits::lock_pause_ns);
  }
  return {};
}

sys::Result<StoreLock> Directory::lock(uint32_t retry_ms) const {
  sys::FileSystem& fs = file_system_;
  const uint64_t give_up_ns = fs.monotonic_ns() + uint64_t{retry_ms} * 1'000'000;
  auto directory = again();
  if (!directory.ok()) return directory.status();
  sys::File own = std::move(directory.value().handle_);
  ESPORA_DEFECT(lock_by_name_only) own.reset();
  if (own.valid()) {
    if (Status locked = wait_for(own, "", give_up_ns); !locked.ok()) return locked;
  }
  // The target of a link is not the store's, and would be written to.
  sys::File file(
      fs, fs.open(handle_.get(), lock_name, {.write = true, .create = true, .no_follow = true}));
  if (!file.valid()) return error(file.get(), "open", lock_name);
  if (Status locked = wait_for(file, lock_name, give_up_ns); !locked.ok()) return locked;
  // Fixed width, so that nothing of a longer number remains. For people: errors are ignored.
  char text[32];
  const std::string pid = std::to_string(fs.process_id());
  std::memset(text, ' ', sizeof text);
  std::memcpy(text, pid.data(), pid.size());
  text[sizeof text - 1] = '\n';
  (void)fs.pwrite(file.get(), reinterpret_cast<const std::byte*>(text), sizeof text, 0);
  return StoreLock(std::move(own), std::move(file));
}

bool Directory::in_use() const {
  sys::FileSystem& fs = file_system_;
  const auto held = [&](const sys::File& file) {
    int locked;
    while ((locked = fs.try_lock_shared(file.get())) == -EINTR) {
    }
    return locked != 0;
  };
  const auto directory = again();
  if (!directory.ok() || held(directory.value().handle_)) return true;
  // An earlier version locks only LOCK.
  const sys::File file(fs, fs.open(handle_.get(), lock_name, {.no_follow = true}));
  return file.valid() ? held(file) : file.get() != -ENOENT;
}

Status Directory::sync() const {
  ESPORA_DEFECT(skip_directory_flush) return {};
  const int result = file_system_.get().fsync(handle_.get());
  return result < 0 ? Status::from_errno(Code::io, -result, "fsync", path_) : Status();
}

Status Directory::sync_path() const {
  sys::FileSystem& fs = file_system_;
  const auto parts = std::count(path_.begin(), path_.end(), '/') + 1;
  sys::File at;
  for (int64_t i = 0; i < parts; i++) {
    const int from = at.valid() ? at.get() : handle_.get();
    sys::File parent(fs, fs.open(from, "..", {.directory = true}));
    // Not accessible: then no attempt of this process created anything in it.
    if (parent.get() == -EACCES) break;
    if (!parent.valid()) return error(parent.get(), "open", "..");
    const int synced = fs.fsync(parent.get());
    if (synced < 0) return error(synced, "fsync", "..");
    at = std::move(parent);
  }
  return {};
}

Status Directory::sync_file(const ReadFile& file) const {
  const int result = file_system_.get().fsync(file.file.get());
  return result < 0 ? error(result, "fsync", file.name) : Status();
}

Status Directory::remove(const std::string& name) const {
  const int result = file_system_.get().unlink(handle_.get(), name.c_str());
  return result < 0 && result != -ENOENT ? error(result, "unlink", name) : Status();
}

Status Directory::check_passable(const std::string& name) const {
  sys::FileSystem& fs = file_system_;
  const sys::File file(fs, fs.open(handle_.get(), name.c_str(), {.no_follow = true}));
  // Under any other name it is unlinked, whatever it is.
  const bool other = file.get() == -ENXIO || file.get() == -ELOOP;
  if (file.get() == -EISDIR || (other && name == lock_name)) return error(file.get(), "open", name);
  return {};
}

// ---- reading ----------------------------------------------------------------------------------

sys::Result<ReadFile> Directory::open_for_reading(std::string name) {
  sys::FileSystem& fs = file_system_;
  ReadFile file{std::move(name), {}, direct_};
  int handle = fs.open(handle_.get(), file.name.c_str(), {.direct = direct_});
  if (handle == -EINVAL && direct_) {
    direct_ = file.direct = false;
    handle = fs.open(handle_.get(), file.name.c_str(), {});
  }
  if (handle == -ENOENT) {
    // A dangling link does exist.
    const sys::File link(fs, fs.open(handle_.get(), file.name.c_str(), {.no_follow = true}));
    if (link.get() == -ELOOP) handle = -ELOOP;
  }
  if (handle < 0) return error(handle, "open", file.name);
  file.file = sys::File(fs, handle);
  // Only advice, but without it a buffered read shows the page cache, not the device.
  if (!file.direct) (void)fs.drop_cache(handle);
  return file;
}

int64_t Directory::read_at(ReadFile& file, std::span<std::byte> bytes, uint64_t offset) {
  sys::FileSystem& fs = file_system_;
  size_t done = 0;
  while (done < bytes.size()) {
    const int64_t got =
        fs.pread(file.file.get(), bytes.data() + done, bytes.size() - done, offset + done);
    if (got == -EINTR) continue;
    if (got == -EINVAL && file.direct) {
      // Some file systems accept O_DIRECT at open(2) and refuse it here.
      direct_ = false;
      auto again = open_for_reading(file.name);
      if (!again.ok()) return got;
      file.file = std::move(again.value().file);
      file.direct = again.value().direct;
      continue;
    }
    if (got < 0) return got;
    if (got == 0) break;
    done += static_cast<size_t>(got);
    // At the end of a file O_DIRECT may return part of a block; reading on would not be aligned.
    if (file.direct && done % format::block_bytes != 0) break;
  }
  return static_cast<int64_t>(done);
}

sys::Result<std::vector<std::byte>> Directory::read_whole(ReadFile& file, uint64_t bytes_max) {
  const int64_t size = file_system_.get().size(file.file.get());
  if (size < 0) return error(size, "fstat", file.name);
  if (static_cast<uint64_t>(size) > bytes_max) return std::vector<std::byte>();
  const BlockBuffer buffer(round_up(static_cast<uint64_t>(size) + 1, format::block_bytes));
  const int64_t got = read_at(file, buffer.span(), 0);
  if (got < 0) {
    return Status::from_errno(Code::unreadable, static_cast<int>(-got), "pread",
                              path_ + "/" + file.name);
  }
  return std::vector<std::byte>(buffer.data(), buffer.data() + got);
}

sys::Result<std::vector<std::byte>> Directory::read_store_bytes(bool sync_first) {
  auto opened = open_for_reading(store_name);
  if (!opened.ok()) return opened.status();
  ReadFile file = std::move(opened).value();
  if (sync_first) {
    if (Status synced = sync_file(file); !synced.ok()) return synced;
  }
  constexpr uint64_t bytes_max = round_up(
      sizeof(format::StoreHeader) + limits::store_kind_bytes_max + limits::store_schema_bytes_max,
      format::block_bytes);
  return read_whole(file, bytes_max);
}

sys::Result<StoreFacts> Directory::read_store(bool sync_first) {
  const std::string where = path_ + "/" + store_name;
  auto bytes = read_store_bytes(sync_first);
  if (!bytes.ok()) return bytes.status();
  StoreFacts facts;
  switch (decode_store(bytes.value(), facts)) {
    case HeaderState::valid:
      break;
    case HeaderState::damaged:
      return Status(Code::corrupt, where + " is damaged");
    case HeaderState::other_version:
      return other_version(where, facts.version);
  }
  if (facts.segment_bytes < limits::segment_bytes_min ||
      facts.segment_bytes > limits::segment_bytes_max ||
      facts.segment_bytes % limits::segment_bytes_step != 0) {
    return Status(Code::corrupt, where + " has an impossible segment size");
  }
  return facts;
}

sys::Result<ReadFile> Directory::open_segment_as(std::string name, uint64_t segment_bytes) {
  auto opened = open_for_reading(std::move(name));
  if (!opened.ok()) return opened;
  const int64_t size = file_system_.get().size(opened.value().file.get());
  if (size < 0) return error(size, "fstat", opened.value().name);
  opened.value().bytes = static_cast<uint64_t>(size);
  opened.value().segment_bytes = segment_bytes;
  return opened;
}

sys::Result<ReadFile> Directory::open_segment(uint32_t number, const StoreFacts& store,
                                              const format::SegmentHeader* before,
                                              format::SegmentHeader& header) {
  auto file = open_segment(number, store.segment_bytes);
  if (!file.ok()) return file;
  const auto read = read_header(file.value());
  if (!read.ok()) return read.status();
  header = read.value();
  if (const auto damage = check_header(header, number, store, before)) return status_of(*damage);
  return file;
}

sys::Result<format::SegmentHeader> Directory::read_header(ReadFile& file) {
  const BlockBuffer buffer(format::block_bytes);
  const std::string where = path_ + "/" + file.name;
  const int64_t got = read_at(file, buffer.span(), 0);
  if (got < 0) {
    return Status::from_errno(Code::unreadable, static_cast<int>(-got), "pread",
                              where + ", block 0");
  }
  format::SegmentHeader header{};
  const HeaderState state = static_cast<size_t>(got) == format::block_bytes
                                ? decode_segment_header(buffer.span(), header)
                                : HeaderState::damaged;
  const uint64_t expected = is_dense(header) ? header.dense_file_bytes : file.segment_bytes;
  switch (state) {
    case HeaderState::valid:
      if (file.bytes == expected) break;
      return Status(Code::corrupt, where + " has " + std::to_string(file.bytes) +
                                       " bytes instead of " + std::to_string(expected));
    case HeaderState::damaged:
      return Status(Code::corrupt, where + ", block 0: the segment's header is damaged");
    case HeaderState::other_version:
      return Status(Code::version, where + " has format version " + std::to_string(header.version) +
                                       ", flags " + std::to_string(header.flags) +
                                       "; this program reads version " +
                                       std::to_string(format::version) + " and knows the flags " +
                                       std::to_string(format::segment_flags_known));
  }
  return header;
}

Status Directory::read_blocks(ReadFile& file, uint32_t block, std::span<std::byte> bytes,
                              Missing missing, RefusedBlocks& refused) {
  const int64_t got = read_at(file, bytes, uint64_t{block} * format::block_bytes);
  if (got >= 0) {
    const auto there = static_cast<size_t>(got);
    if (there < bytes.size() && missing == Missing::is_damage) {
      return Status(Code::corrupt, path_ + "/" + file.name + " ends in block " +
                                       std::to_string(block + there / format::block_bytes));
    }
    std::memset(bytes.data() + there, 0, bytes.size() - there);
    return {};
  }
  if (got == -ENOMEM) return error(got, "pread", file.name);
  if (bytes.size() > format::block_bytes) {
    for (size_t at = 0; at < bytes.size(); at += format::block_bytes) {
      const uint32_t one = block + static_cast<uint32_t>(at / format::block_bytes);
      Status status =
          read_blocks(file, one, bytes.subspan(at, format::block_bytes), missing, refused);
      if (!status.ok()) return status;
    }
    return {};
  }
  std::memset(bytes.data(), 0, bytes.size());
  ESPORA_DEFECT(read_error_as_torn) return {};
  if (refused.blocks.empty()) refused.error = static_cast<int>(-got);
  const auto at = std::lower_bound(refused.blocks.begin(), refused.blocks.end(), block);
  if (at == refused.blocks.end() || *at != block) refused.blocks.insert(at, block);
  return {};
}

sys::Result<DenseIndex> Directory::read_index(ReadFile& file, const format::SegmentHeader& header) {
  const uint64_t from = uint64_t{header.dense_index_block} * format::block_bytes;
  const BlockBuffer buffer(header.dense_file_bytes - from);
  RefusedBlocks refused;
  if (Status read =
          read_blocks(file, header.dense_index_block, buffer.span(), Missing::is_damage, refused);
      !read.ok()) {
    return read;
  }
  if (!refused.blocks.empty()) return unreadable(file, refused.blocks.front(), refused.error);
  auto index = DenseIndex::decode(header, buffer.span());
  if (!index) {
    return Status(Code::corrupt, path_ + "/" + file.name + ", block " +
                                     std::to_string(header.dense_index_block) +
                                     ": the segment's index is damaged");
  }
  return std::move(*index);
}

sys::Result<format::SnapshotHeader> Directory::read_snapshot_as(std::string name,
                                                                std::vector<std::byte>& bytes,
                                                                Bytes& state) {
  auto opened = open_for_reading(std::move(name));
  if (!opened.ok()) return opened.status();
  ReadFile file = std::move(opened).value();
  const std::string where = path_ + "/" + file.name;
  auto read = read_whole(file, limits::snapshot_bytes_max);
  if (!read.ok()) return read.status();
  bytes = std::move(read).value();
  format::SnapshotHeader header{};
  switch (decode_snapshot(bytes, header, state)) {
    case HeaderState::valid:
      break;
    case HeaderState::damaged:
      return Status(Code::corrupt, where + " is damaged");
    case HeaderState::other_version:
      return other_version(where, header.version);
  }
  return header;
}

Status Directory::status_of(const Damage& damage) const {
  return Status(damage.unreadable ? Code::unreadable : Code::corrupt, path_ + ": " + damage.text());
}

Status Directory::unreadable(const ReadFile& file, uint32_t block, int error) const {
  return Status::from_errno(Code::unreadable, error, "pread",
                            path_ + "/" + file.name + ", block " + std::to_string(block));
}

sys::Result<bool> Directory::holds_no_frame(uint32_t number) {
  auto opened = open_segment(number, 0);
  if (!opened.ok()) return opened.status();
  const uint64_t size = opened.value().bytes;
  opened.value().segment_bytes = size;  // nothing else tells what it should be
  auto header = read_header(opened.value());
  if (!header.ok()) return header.status();
  const uint64_t bytes = header.value().segment_bytes;
  const bool first = number == 1 && header.value().number == 1 && header.value().durable_seq == 0;
  if (!first || is_dense(header.value()) || size != bytes || bytes < limits::segment_bytes_min ||
      bytes > limits::segment_bytes_max || bytes % format::block_bytes != 0) {
    return false;
  }
  SegmentWindow window(*this);
  window.look_at(opened.value(), blocks_of(bytes));
  Evidence evidence;
  if (Status looked = look_from_behind(header.value(), window, evidence); !looked.ok()) {
    return looked;
  }
  if (Status read = window.readable(1, blocks_of(bytes)); !read.ok()) return read;
  return !evidence.any;
}

// ---- publishing -------------------------------------------------------------------------------

Status Directory::publish_store(const StoreFacts& facts) const {
  sys::FileSystem& fs = file_system_;
  const std::string bytes = encode_store(facts);
  // Left over from an earlier attempt of this opening.
  if (Status removed = remove(store_temporary_name); !removed.ok()) return removed;
  const sys::File file(fs, fs.open(handle_.get(), store_temporary_name,
                                   {.write = true, .create = true, .exclusive = true}));
  if (!file.valid()) return error(file.get(), "open", store_temporary_name);
  const int wrote = write_all(fs, file.get(), std::as_bytes(std::span(bytes)), 0);
  if (wrote < 0) return error(wrote, "pwrite", store_temporary_name);
  const int synced = fs.fsync(file.get());
  if (synced < 0) return error(synced, "fsync", store_temporary_name);
  const int renamed = fs.rename(handle_.get(), store_temporary_name, store_name);
  if (renamed < 0) return error(renamed, "rename", store_name);
  return sync();
}

}  // namespace espora::store
