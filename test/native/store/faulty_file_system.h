// The real file system with faults: counts the calls of each kind, makes chosen ones fail (with and
// without effect), shortens writes, and plays a power cut in which any part of what was not flushed
// may be lost.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "sys/file_system.h"

namespace espora::test {

enum class Call : uint8_t {
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
  count,
};

inline const char* call_name(Call call) {
  static constexpr std::array names = {"open",     "pwrite", "pread",      "fdatasync", "fsync",
                                       "allocate", "size",   "drop_cache", "try_lock",  "rename",
                                       "unlink",   "mkdir",  "list",       "random"};
  return names[static_cast<size_t>(call)];
}

// What a call that a rule picks does instead of its work.
struct Fault {
  int error = 0;            // returned as -error; 0 with `transfer` for a short transfer
  bool has_effect = false;  // the work is done, then the error is returned
  bool drops = false;       // a flush: what was not flushed is lost from then on
  int64_t transfer =
      -1;  // pwrite: moves only this many bytes and says so (0 with error 0: nothing)
};

class FaultyFileSystem final : public sys::FileSystem {
 public:
  // Asked before every call that can fail: its kind, its file's name ("." for the directory), and
  // how many calls came before it, of all kinds.
  using Rule = std::function<const Fault*(Call, const std::string& name, uint64_t index)>;

  void set_rule(Rule rule) { rule_ = std::move(rule); }
  void clear() { rule_ = {}; }
  [[nodiscard]] uint64_t calls() const { return made_.size(); }
  // The kind of each, in their order.
  [[nodiscard]] const std::vector<Call>& made() const { return made_; }
  [[nodiscard]] uint64_t calls(Call call) const { return counts_[static_cast<size_t>(call)]; }
  [[nodiscard]] const std::vector<std::string>& trace() const { return trace_; }
  void record_trace(bool on) {
    tracing_ = on;
    trace_.clear();
  }

  // The machine stops: no later call has an effect, each fails with EIO. Every 512-byte sector that
  // was written and not flushed, in files that are still open, and every rename since the last
  // flush of the directory survives or not, as `random` says: `keep` of 256 in the mean. Needs
  // tracks_sectors.
  void cut_power(std::mt19937_64& random, unsigned keep) {
    dead_ = true;
    for (auto& [file, pending] : pending_) {
      // Newest first: a sector written twice goes back step by step.
      for (auto it = pending.rbegin(); it != pending.rend(); ++it) {
        if (random() % 256 >= keep) put_back(file, *it);
      }
      pending.clear();
    }
    for (auto it = renames_.rbegin(); it != renames_.rend(); ++it) {
      if (random() % 256 < keep) continue;
      real_.rename(it->directory, it->to.c_str(), it->from.c_str());
      if (!it->before.empty()) real_.rename(it->directory, it->before.c_str(), it->to.c_str());
    }
    forget_renames();
  }
  [[nodiscard]] bool dead() const { return dead_; }

  void advance_realtime_us(int64_t by) { realtime_shift_us_ += by; }
  void advance_monotonic_ns(uint64_t by) { monotonic_shift_ns_ += by; }

  int open(int directory, const char* name, sys::OpenFlags flags) noexcept override {
    if (const Fault* fault = ask(Call::open, name)) return -fault->error;
    if (refuse_direct_at_open && flags.direct) return -EINVAL;
    // The page cache stands in for the device, or every read would wait for the disk; that
    // O_DIRECT's rules are kept is checked at each call.
    const Facts facts{name, flags.direct};
    flags.direct = false;
    const int file = real_.open(directory, name, flags);
    if (file >= 0) files_[file] = facts;
    return file;
  }
  void close(int file) noexcept override {
    pending_.erase(file);
    files_.erase(file);
    real_.close(file);
  }
  int64_t pwrite(int file, const std::byte* bytes, size_t count,
                 uint64_t offset) noexcept override {
    if (const Fault* fault = ask(Call::pwrite, name_of(file))) {
      if (fault->error == 0 && fault->transfer >= 0) {
        if (fault->transfer > 0) {
          write_real(file, bytes, std::min(count, static_cast<size_t>(fault->transfer)), offset);
        }
        return fault->transfer;
      }
      if (fault->has_effect) write_real(file, bytes, count, offset);
      if (fault->transfer > 0) {
        write_real(file, bytes, std::min(count, static_cast<size_t>(fault->transfer)), offset);
      }
      return -fault->error;
    }
    if (refuse_direct_at_write && files_[file].direct) return -EINVAL;
    expect_aligned(file, bytes, count, offset);
    write_real(file, bytes, count, offset);
    return static_cast<int64_t>(count);
  }
  int64_t pread(int file, std::byte* bytes, size_t count, uint64_t offset) noexcept override {
    if (const Fault* fault = ask(Call::pread, name_of(file))) return -fault->error;
    if (!unreadable_name.empty() && name_of(file) == unreadable_name &&
        offset < unreadable_offset + 4096 && offset + count > unreadable_offset) {
      return -EIO;
    }
    expect_aligned(file, bytes, count, offset);
    return real_.pread(file, bytes, count, offset);
  }
  int fdatasync(int file) noexcept override { return flush(Call::fdatasync, file); }
  int fsync(int file) noexcept override { return flush(Call::fsync, file); }
  int allocate(int file, uint64_t size) noexcept override {
    if (const Fault* fault = ask(Call::allocate, name_of(file))) return -fault->error;
    return real_.allocate(file, size);
  }
  int64_t size(int file) noexcept override {
    if (const Fault* fault = ask(Call::size, name_of(file))) return -fault->error;
    return real_.size(file);
  }
  int drop_cache(int file) noexcept override {
    if (const Fault* fault = ask(Call::drop_cache, name_of(file))) return -fault->error;
    return real_.drop_cache(file);
  }
  int try_lock(int file) noexcept override {
    if (const Fault* fault = ask(Call::try_lock, name_of(file))) return -fault->error;
    return real_.try_lock(file);
  }
  int try_lock_shared(int file) noexcept override {
    if (const Fault* fault = ask(Call::try_lock, name_of(file))) return -fault->error;
    return real_.try_lock_shared(file);
  }
  int rename(int directory, const char* from, const char* to) noexcept override {
    if (const Fault* fault = ask(Call::rename, to)) {
      if (fault->has_effect) real_.rename(directory, from, to);
      return -fault->error;
    }
    if (tracks_sectors) {
      Rename done{directory, from, to, ".before-" + std::to_string(calls())};
      if (linkat(directory, to, directory, done.before.c_str(), 0) != 0) done.before.clear();
      renames_.push_back(std::move(done));
    }
    const int result = real_.rename(directory, from, to);
    if (result == 0) {
      for (auto& [file, facts] : files_) {
        if (facts.name == from) facts.name = to;
      }
    }
    return result;
  }
  int unlink(int directory, const char* name) noexcept override {
    if (const Fault* fault = ask(Call::unlink, name)) return -fault->error;
    return real_.unlink(directory, name);
  }
  int make_directory(int directory, const char* name) noexcept override {
    if (const Fault* fault = ask(Call::make_directory, name)) return -fault->error;
    return real_.make_directory(directory, name);
  }
  int list(int directory, std::vector<std::string>& names) override {
    if (const Fault* fault = ask(Call::list, ".")) return -fault->error;
    return real_.list(directory, names);
  }
  int64_t type(int file) noexcept override { return real_.type(file); }
  uint64_t realtime_us() noexcept override {
    return real_.realtime_us() + static_cast<uint64_t>(realtime_shift_us_);
  }
  uint64_t monotonic_ns() noexcept override { return real_.monotonic_ns() + monotonic_shift_ns_; }
  // Time passes without anybody waiting.
  void sleep_ns(uint64_t duration_ns) noexcept override { monotonic_shift_ns_ += duration_ns; }
  int random(std::span<std::byte> bytes) noexcept override {
    if (const Fault* fault = ask(Call::random, "")) return -fault->error;
    return real_.random(bytes);
  }
  int64_t process_id() noexcept override { return real_.process_id(); }

  bool refuse_direct_at_open = false;
  bool refuse_direct_at_write = false;
  std::string unreadable_name;  // of the file whose block at this offset the device refuses
  uint64_t unreadable_offset = 0;

 private:
  struct Facts {
    std::string name;
    bool direct = false;
  };
  struct Rename {
    int directory;
    std::string from;
    std::string to;
    std::string before;  // another name of the file that was replaced
  };
  struct Sector {
    uint64_t offset;
    std::vector<std::byte> before;
  };

  std::string name_of(int file) const {
    const auto found = files_.find(file);
    if (found == files_.end()) return "?";
    // Directories are opened by their path.
    return found->second.name.find('/') != std::string::npos ? "." : found->second.name;
  }

  void expect_aligned(int file, const std::byte* bytes, size_t count, uint64_t offset) const {
    const auto found = files_.find(file);
    if (found == files_.end() || !found->second.direct) return;
    EXPECT_EQ(offset % 4096, 0u) << found->second.name;
    EXPECT_EQ(count % 4096, 0u) << found->second.name;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes) % 4096, 0u) << found->second.name;
  }

  const Fault* ask(Call call, const std::string& name) {
    static constexpr Fault gone{EIO};
    const uint64_t index = made_.size();
    made_.push_back(call);
    counts_[static_cast<size_t>(call)]++;
    if (tracing_) trace_.push_back(std::string(call_name(call)) + " " + name);
    if (dead_) return &gone;
    const Fault* fault = rule_ ? rule_(call, name, index) : nullptr;
    return dead_ ? &gone : fault;
  }

  int flush(Call call, int file) noexcept {
    if (const Fault* fault = ask(call, name_of(file))) {
      if (fault->drops) {
        for (auto it = pending_[file].rbegin(); it != pending_[file].rend(); ++it) {
          put_back(file, *it);
        }
        pending_[file].clear();
      }
      if (fault->has_effect) pending_[file].clear();
      return -fault->error;
    }
    pending_[file].clear();
    if (name_of(file) == ".") forget_renames();
    // The real flush is left out: no test here cuts the real power, and the disk is slow.
    return 0;
  }

  void forget_renames() {
    for (const Rename& rename : renames_) {
      if (!rename.before.empty()) real_.unlink(rename.directory, rename.before.c_str());
    }
    renames_.clear();
  }

  // Through a descriptor of its own: the store's may be O_DIRECT and read-only.
  template <typename Body>
  void with_plain(int file, Body body) {
    const std::string path = "/proc/self/fd/" + std::to_string(file);
    const int plain = real_.open(sys::FileSystem::working_directory, path.c_str(), {.write = true});
    ASSERT_GE(plain, 0);
    body(plain);
    real_.close(plain);
  }

  void write_real(int file, const std::byte* bytes, size_t count, uint64_t offset) {
    with_plain(file, [&](int plain) {
      // Zeros into a new file leave nothing to lose.
      const bool zeros = bytes[0] == std::byte{0} && std::memcmp(bytes, bytes + 1, count - 1) == 0;
      for (size_t at = 0; at < count && tracks_sectors && !zeros; at += 512) {
        Sector sector{offset + at, std::vector<std::byte>(512)};
        const int64_t got = real_.pread(plain, sector.before.data(), 512, sector.offset);
        sector.before.resize(static_cast<size_t>(std::max<int64_t>(0, got)));
        pending_[file].push_back(std::move(sector));
      }
      ASSERT_EQ(real_.pwrite(plain, bytes, count, offset), static_cast<int64_t>(count));
    });
  }

  void put_back(int file, const Sector& sector) {
    if (sector.before.empty()) return;
    with_plain(file, [&](int plain) {
      real_.pwrite(plain, sector.before.data(), sector.before.size(), sector.offset);
    });
  }

 public:
  // Without it writes are faster, and no flush can drop anything.
  bool tracks_sectors = false;

 private:
  sys::PosixFileSystem real_;
  Rule rule_;
  bool dead_ = false;
  bool tracing_ = false;
  std::vector<Call> made_;
  std::array<uint64_t, static_cast<size_t>(Call::count)> counts_{};
  std::vector<std::string> trace_;
  std::map<int, Facts> files_;
  std::map<int, std::vector<Sector>> pending_;
  std::vector<Rename> renames_;
  int64_t realtime_shift_us_ = 0;
  uint64_t monotonic_shift_ns_ = 0;
};

}  // namespace espora::test
