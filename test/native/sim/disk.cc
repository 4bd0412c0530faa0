#include "sim/disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "store/format.h"
#include "sys/check.h"

namespace espora::sim {

namespace {

uint8_t bit(size_t sector) { return static_cast<uint8_t>(1U << sector); }

bool all_zero(const std::byte* bytes, size_t count) {
  return count == 0 || (bytes[0] == std::byte{0} && std::memcmp(bytes, bytes + 1, count - 1) == 0);
}

// Takes the bits of `sectors` over to the device.
void make_durable(PageState& page, uint8_t sectors) {
  const uint8_t left = static_cast<uint8_t>((page.dirty | page.flushing | page.ghost) & ~sectors);
  page.dirty = static_cast<uint8_t>(page.dirty & ~sectors);
  page.flushing = static_cast<uint8_t>(page.flushing & ~sectors);
  page.ghost = static_cast<uint8_t>(page.ghost & ~sectors);
  if (left == 0) {
    page.device.reset();
    return;
  }
  for (size_t i = 0; i < sectors_per_page; i++) {
    if ((sectors & bit(i)) == 0) continue;
    std::memcpy(page.device->data() + i * sector_bytes, page.shown.data() + i * sector_bytes,
                sector_bytes);
  }
}

// The opposite: `sectors` show again what the device has.
void take_back(PageState& page, uint8_t sectors) {
  for (size_t i = 0; i < sectors_per_page; i++) {
    if ((sectors & bit(i)) == 0) continue;
    std::memcpy(page.shown.data() + i * sector_bytes, page.device->data() + i * sector_bytes,
                sector_bytes);
  }
  make_durable(page, sectors);
}

bool differs(const PageState& page, size_t sector) {
  return std::memcmp(page.shown.data() + sector * sector_bytes,
                     page.device->data() + sector * sector_bytes, sector_bytes) != 0;
}

uint8_t pending(const PageState& page) {
  return static_cast<uint8_t>(page.dirty | page.flushing | page.ghost);
}

void apply_change(std::map<std::string, int>& entries, const EntryChange& change) {
  if (change.inode == 0) {
    entries.erase(change.name);
    return;
  }
  if (!change.from.empty()) {
    const auto from = entries.find(change.from);
    if (from != entries.end() && from->second == change.inode) entries.erase(from);
  }
  entries[change.name] = change.inode;
}

}  // namespace

// ---- storage ----------------------------------------------------------------------------------

Storage::Storage() { ESPORA_CHECK(make(true, root) == root); }

int Storage::make(bool directory, int parent) {
  const int number = next_inode_++;
  Inode& inode = inodes_[number];
  inode.directory = directory;
  inode.parent = parent;
  return number;
}

PageState& Storage::page_for_write(Inode& inode, size_t index) {
  if (index >= inode.pages.size()) inode.pages.resize(index + 1);
  std::shared_ptr<PageState>& page = inode.pages[index];
  if (!page) {
    page = std::make_shared<PageState>();
  } else if (page.use_count() > 1) {
    page = std::make_shared<PageState>(*page);
  }
  return *page;
}

void Storage::write(int number, uint64_t offset, const std::byte* bytes, size_t count) {
  Inode& inode = at(number);
  resize(number, std::max(inode.size, offset + count));
  while (count != 0) {
    const size_t index = offset / page_bytes;
    const size_t within = offset % page_bytes;
    const size_t part = std::min(count, page_bytes - within);
    // Zeros over zeros change nothing, whatever becomes of them.
    const bool absent = index >= inode.pages.size() || !inode.pages[index];
    if (!absent || !all_zero(bytes, part)) {
      PageState& page = page_for_write(inode, index);
      if (!page.device) page.device = std::make_unique<Page>(page.shown);
      for (size_t i = within / sector_bytes; i * sector_bytes < within + part; i++) {
        page.dirty |= bit(i);
        page.flushing = static_cast<uint8_t>(page.flushing & ~bit(i));
        page.ghost = static_cast<uint8_t>(page.ghost & ~bit(i));
      }
      std::memcpy(page.shown.data() + within, bytes, part);
    }
    bytes += part;
    offset += part;
    count -= part;
  }
}

void Storage::read(int number, uint64_t offset, std::byte* bytes, size_t count, View view) const {
  const Inode& inode = at(number);
  while (count != 0) {
    const size_t index = offset / page_bytes;
    const size_t within = offset % page_bytes;
    const size_t part = std::min(count, page_bytes - within);
    const PageState* page = index < inode.pages.size() ? inode.pages[index].get() : nullptr;
    if (page == nullptr) {
      std::memset(bytes, 0, part);
    } else {
      std::memcpy(bytes, page->shown.data() + within, part);
      uint8_t hidden = 0;
      if (view == View::direct) hidden = page->ghost;
      if (view == View::device) hidden = pending(*page);
      for (size_t i = 0; i < sectors_per_page && hidden != 0; i++) {
        if ((hidden & bit(i)) == 0) continue;
        const size_t from = std::max(within, i * sector_bytes);
        const size_t to = std::min(within + part, (i + 1) * sector_bytes);
        if (from < to) std::memcpy(bytes + (from - within), page->device->data() + from, to - from);
      }
    }
    bytes += part;
    offset += part;
    count -= part;
  }
}

void Storage::resize(int number, uint64_t size) {
  Inode& inode = at(number);
  if (size == inode.size) return;
  inode.size = size;
  inode.size_ghost = false;
}

void Storage::begin_flush(int number) {
  Inode& inode = at(number);
  for (size_t i = 0; i < inode.pages.size(); i++) {
    if (!inode.pages[i] || inode.pages[i]->dirty == 0) continue;
    PageState& page = page_for_write(inode, i);
    page.flushing |= page.dirty;
    page.dirty = 0;
  }
}

void Storage::end_flush(int number) {
  Inode& inode = at(number);
  if (inode.directory) {
    std::vector<EntryChange> ghosts;
    for (EntryChange& change : inode.changes) {
      if (change.ghost) {
        ghosts.push_back(std::move(change));
        continue;
      }
      apply_change(inode.device_entries, change);
      std::erase_if(ghosts, [&](const EntryChange& ghost) { return ghost.name == change.name; });
    }
    inode.changes = std::move(ghosts);
    return;
  }
  if (!inode.size_ghost) inode.device_size = inode.size;
  for (size_t i = 0; i < inode.pages.size(); i++) {
    if (!inode.pages[i] || inode.pages[i]->flushing == 0) continue;
    PageState& page = page_for_write(inode, i);
    make_durable(page, page.flushing);
  }
}

void Storage::fail_flush(int number, bool reverts, unsigned keep, Random& random) {
  Inode& inode = at(number);
  if (inode.directory) {
    std::vector<EntryChange> left;
    for (EntryChange& change : inode.changes) {
      if (!change.ghost && random.chance(keep, 256)) {
        apply_change(inode.device_entries, change);
        std::erase_if(left, [&](const EntryChange& ghost) { return ghost.name == change.name; });
      } else {
        change.ghost = true;
        left.push_back(std::move(change));
      }
    }
    inode.changes = std::move(left);
    return;
  }
  if (inode.size != inode.device_size) {
    if (random.chance(keep, 256)) {
      inode.device_size = inode.size;
    } else {
      inode.size_ghost = true;
    }
  }
  for (size_t i = 0; i < inode.pages.size(); i++) {
    if (!inode.pages[i] || inode.pages[i]->flushing == 0) continue;
    PageState& page = page_for_write(inode, i);
    uint8_t kept = 0;
    for (size_t k = 0; k < sectors_per_page; k++) {
      if ((page.flushing & bit(k)) != 0 && random.chance(keep, 256)) kept |= bit(k);
    }
    const uint8_t lost = static_cast<uint8_t>(page.flushing & ~kept);
    make_durable(page, kept);
    if (lost == 0) continue;
    if (reverts) {
      take_back(page, lost);
    } else {
      page.flushing = static_cast<uint8_t>(page.flushing & ~lost);
      page.ghost |= lost;
    }
  }
}

void Storage::forget_ghosts(int number) {
  Inode& inode = at(number);
  for (size_t i = 0; i < inode.pages.size(); i++) {
    if (!inode.pages[i] || inode.pages[i]->ghost == 0) continue;
    PageState& page = page_for_write(inode, i);
    take_back(page, page.ghost);
  }
}

size_t Storage::undecided() const {
  size_t count = 0;
  for (const auto& [number, inode] : inodes_) {
    count += inode.changes.size();
    if (inode.size != inode.device_size) count++;
    for (const auto& page : inode.pages) {
      if (!page) continue;
      for (size_t k = 0; k < sectors_per_page; k++) {
        if ((pending(*page) & bit(k)) != 0 && differs(*page, k)) count++;
      }
    }
  }
  return count;
}

void Storage::settle(const std::function<bool()>& survives) {
  for (auto& [number, inode] : inodes_) {
    for (const EntryChange& change : inode.changes) {
      if (survives()) apply_change(inode.device_entries, change);
    }
    inode.changes.clear();
    inode.entries = inode.device_entries;
    if (inode.size != inode.device_size && survives()) inode.device_size = inode.size;
    inode.size = inode.device_size;
    inode.size_ghost = false;
    for (size_t i = 0; i < inode.pages.size(); i++) {
      if (!inode.pages[i] || pending(*inode.pages[i]) == 0) continue;
      PageState& page = page_for_write(inode, i);
      uint8_t lost = 0;
      for (size_t k = 0; k < sectors_per_page; k++) {
        if ((pending(page) & bit(k)) != 0 && differs(page, k) && !survives()) lost |= bit(k);
      }
      take_back(page, lost);
      make_durable(page, pending(page));
    }
    const size_t pages = (inode.size + page_bytes - 1) / page_bytes;
    if (!inode.directory && inode.pages.size() > pages) inode.pages.resize(pages);
  }
  collect({});
}

void Storage::collect(const std::vector<int>& open) {
  std::vector<int> named{root};
  for (const auto& [number, inode] : inodes_) {
    for (const auto& [name, target] : inode.entries) named.push_back(target);
    for (const auto& [name, target] : inode.device_entries) named.push_back(target);
    for (const EntryChange& change : inode.changes) named.push_back(change.inode);
  }
  named.insert(named.end(), open.begin(), open.end());
  std::sort(named.begin(), named.end());
  std::erase_if(inodes_, [&](const auto& item) {
    return !std::binary_search(named.begin(), named.end(), item.first);
  });
}

int Storage::find(int directory, std::string_view name, bool device) const {
  const Inode& inode = at(directory);
  const auto& entries = device ? inode.device_entries : inode.entries;
  const auto found = entries.find(std::string(name));
  return found == entries.end() ? 0 : found->second;
}

void Storage::add_entry(int directory, const std::string& name, int inode,
                        const std::string& from) {
  EntryChange change{name, inode, from, false};
  apply_change(at(directory).entries, change);
  at(directory).changes.push_back(std::move(change));
}

void Storage::rename_entry(int directory, const std::string& from, const std::string& to) {
  Inode& inode = at(directory);
  for (auto* entries : {&inode.entries, &inode.device_entries}) {
    entries->erase(to);
    auto node = entries->extract(from);
    if (node.empty()) continue;
    node.key() = to;
    entries->insert(std::move(node));
  }
}

void Storage::remove_entry(int directory, const std::string& name) {
  EntryChange change{name, 0, {}, false};
  apply_change(at(directory).entries, change);
  at(directory).changes.push_back(std::move(change));
}

// ---- calls ------------------------------------------------------------------------------------

const char* call_name(CallKind kind) noexcept {
  static constexpr std::array names = {"open",     "pwrite", "pread",     "fdatasync", "fsync",
                                       "allocate", "size",   "dropcache", "flock",     "rename",
                                       "unlink",   "mkdir",  "list",      "random"};
  return names[static_cast<size_t>(kind)];
}

void SimulatedDisk::pass_ns(uint64_t by) noexcept {
  monotonic_ns_ += by;
  realtime_us_ += (by + 500) / 1000;
}

void SimulatedDisk::take_after(const SimulatedDisk& other) {
  storage_ = other.storage_;
  refuse_direct_at_open = other.refuse_direct_at_open;
  refuse_direct_at_transfer = other.refuse_direct_at_transfer;
  ghosts_in_device = other.ghosts_in_device;
  honours_drop_cache = other.honours_drop_cache;
  clock_grain_us = other.clock_grain_us;
  realtime_us_ = other.realtime_us_;
}

void SimulatedDisk::restart(const std::function<bool()>& survives) {
  ESPORA_CHECK(handles_.empty());
  if (power_lost_) storage_.settle(survives);
  storage_.collect({});
  stopped_ = power_lost_ = false;
}

std::vector<int> SimulatedDisk::open_inodes() const {
  std::vector<int> inodes;
  for (const auto& [file, handle] : handles_) inodes.push_back(handle.inode);
  return inodes;
}

template <typename Work>
int64_t SimulatedDisk::perform(const Call& call, Work work) {
  calls_++;
  pass_ns(1'000 + random_.below(16) * 1'000);
  if (stopped_) return -EIO;
  const Outcome outcome = director_.before(call);
  int64_t result = -outcome.error;
  const auto changing = [&] {
    if (call.name != store::lock_name &&
        (call.kind == CallKind::pwrite || call.kind == CallKind::allocate || call.creates ||
         call.kind == CallKind::rename || call.kind == CallKind::unlink)) {
      changes_++;
    }
  };
  switch (outcome.kind) {
    case Outcome::Kind::pass:
      changing();
      result = work(call.count);
      break;
    case Outcome::Kind::fail:
      break;
    case Outcome::Kind::fail_with_effect:
      changing();
      (void)work(call.count);
      break;
    case Outcome::Kind::transfer:
      changing();
      result = outcome.count == 0 ? 0 : work(outcome.count);
      break;
    case Outcome::Kind::drop:
    case Outcome::Kind::revert: {
      const bool reverts = outcome.kind == Outcome::Kind::revert;
      const unsigned keep = random_.pick(std::array{0U, 0U, 128U, 256U});
      if (!storage_.at(call.inode).directory) storage_.begin_flush(call.inode);
      storage_.fail_flush(call.inode, reverts, keep, random_);
      break;
    }
    case Outcome::Kind::lie:
      result = 0;
      break;
    case Outcome::Kind::cut_before:
    case Outcome::Kind::kill_before:
      stop(outcome.kind == Outcome::Kind::cut_before);
      return -EIO;
    case Outcome::Kind::cut_after:
    case Outcome::Kind::kill_after:
      changing();
      result = work(call.count);
      if (call.kind == CallKind::open) handles_.erase(static_cast<int>(result));
      stop(outcome.kind == Outcome::Kind::cut_after);
      return -EIO;
  }
  director_.after(call, result);
  return result;
}

const SimulatedDisk::Handle* SimulatedDisk::handle(int file) const {
  const auto found = handles_.find(file);
  ESPORA_CHECK(found != handles_.end());
  return &found->second;
}

Call SimulatedDisk::call_of(CallKind kind, const Handle* handle) const {
  Call call{kind, handle->name, handle->inode};
  call.direct = handle->direct;
  if (storage_.at(handle->inode).directory) call.name = ".";
  return call;
}

int SimulatedDisk::walk(int directory, std::string_view& path) const {
  int at = directory == working_directory ? Storage::root : handle(directory)->inode;
  for (;;) {
    const size_t slash = path.find('/');
    if (slash == std::string_view::npos) return at;
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(slash + 1);
    if (part.empty() || part == ".") continue;
    at = part == ".." ? storage_.at(at).parent : storage_.find(at, part, false);
    if (at == 0 || !storage_.at(at).directory) return 0;
  }
}

int SimulatedDisk::open(int directory, const char* name, sys::OpenFlags flags) noexcept {
  std::string_view last = name;
  const int parent = stopped_ ? 0 : walk(directory, last);
  int inode = 0;
  if (parent != 0) {
    inode = last == ".."  ? storage_.at(parent).parent
            : last == "." ? parent
                          : storage_.find(parent, last, false);
  }
  Call call{CallKind::open, flags.directory ? "." : last, inode};
  call.creates = flags.create && inode == 0;
  call.direct = flags.direct;
  return static_cast<int>(perform(call, [&](size_t) -> int64_t {
    if (parent == 0) return -ENOENT;
    if (inode != 0 && flags.exclusive) return -EEXIST;
    if (inode == 0 && !flags.create) return -ENOENT;
    if (inode != 0 && flags.directory && !storage_.at(inode).directory) return -ENOTDIR;
    if (inode == 0) {
      inode = storage_.make(false, parent);
      storage_.add_entry(parent, std::string(last), inode);
    }
    // open(2) may have made the file before it refuses O_DIRECT.
    if (flags.direct && refuse_direct_at_open) return -EINVAL;
    handles_[next_handle_] = {inode, flags.direct, Lock::none, std::string(last)};
    return next_handle_++;
  }));
}

void SimulatedDisk::close(int file) noexcept { handles_.erase(file); }

int64_t SimulatedDisk::pwrite(int file, const std::byte* bytes, size_t count,
                              uint64_t offset) noexcept {
  const Handle* of = handle(file);
  Call call = call_of(CallKind::pwrite, of);
  call.offset = offset;
  call.count = count;
  call.bytes = bytes;
  if (of->direct) {
    ESPORA_CHECK(offset % page_bytes == 0 && count % page_bytes == 0 &&
                 reinterpret_cast<uintptr_t>(bytes) % page_bytes == 0);
  }
  return perform(call, [&](size_t part) -> int64_t {
    if (of->direct && refuse_direct_at_transfer) return -EINVAL;
    storage_.write(of->inode, offset, bytes, part);
    if (call.name == store::lock_name) {
      // For people only: whether it survives makes no other state.
      storage_.begin_flush(of->inode);
      storage_.end_flush(of->inode);
    }
    return static_cast<int64_t>(part);
  });
}

int64_t SimulatedDisk::pread(int file, std::byte* bytes, size_t count, uint64_t offset) noexcept {
  const Handle* of = handle(file);
  Call call = call_of(CallKind::pread, of);
  call.offset = offset;
  call.count = count;
  if (of->direct) {
    ESPORA_CHECK(offset % page_bytes == 0 && count % page_bytes == 0 &&
                 reinterpret_cast<uintptr_t>(bytes) % page_bytes == 0);
  }
  return perform(call, [&](size_t part) -> int64_t {
    if (of->direct && refuse_direct_at_transfer) return -EINVAL;
    const uint64_t size = storage_.at(of->inode).size;
    if (offset >= size) return 0;
    part = std::min<uint64_t>(part, size - offset);
    storage_.read(of->inode, offset, bytes, part,
                  of->direct && !ghosts_in_device ? View::direct : View::cached);
    return static_cast<int64_t>(part);
  });
}

int SimulatedDisk::flush(CallKind kind, int file) {
  const Handle* of = handle(file);
  const Call call = call_of(kind, of);
  const int inode = of->inode;
  return static_cast<int>(perform(call, [&](size_t) -> int64_t {
    if (!storage_.at(inode).directory) {
      storage_.begin_flush(inode);
      director_.during_flush(call);
      if (stopped_) return -EIO;
    }
    storage_.end_flush(inode);
    return 0;
  }));
}

int SimulatedDisk::allocate(int file, uint64_t size) noexcept {
  const Handle* of = handle(file);
  Call call = call_of(CallKind::allocate, of);
  call.count = size;
  return static_cast<int>(perform(call, [&](size_t) -> int64_t {
    storage_.resize(of->inode, std::max(size, storage_.at(of->inode).size));
    return 0;
  }));
}

int64_t SimulatedDisk::size(int file) noexcept {
  const Handle* of = handle(file);
  return perform(call_of(CallKind::size, of), [&](size_t) -> int64_t {
    return static_cast<int64_t>(storage_.at(of->inode).size);
  });
}

int SimulatedDisk::drop_cache(int file) noexcept {
  const Handle* of = handle(file);
  return static_cast<int>(perform(call_of(CallKind::drop_cache, of), [&](size_t) -> int64_t {
    if (honours_drop_cache && !ghosts_in_device) storage_.forget_ghosts(of->inode);
    return 0;
  }));
}

int SimulatedDisk::lock(int file, Lock kind) {
  const Handle* of = handle(file);
  return static_cast<int>(perform(call_of(CallKind::try_lock, of), [&](size_t) -> int64_t {
    for (const auto& [number, other] : handles_) {
      if (number == file || other.inode != of->inode || other.lock == Lock::none) continue;
      if (kind == Lock::exclusive || other.lock == Lock::exclusive) return -EWOULDBLOCK;
    }
    handles_[file].lock = kind;
    return 0;
  }));
}

int SimulatedDisk::rename(int directory, const char* from, const char* to) noexcept {
  const int parent = handle(directory)->inode;
  const int inode = storage_.find(parent, from, false);
  const Call call{CallKind::rename, to, inode};
  return static_cast<int>(perform(call, [&](size_t) -> int64_t {
    if (inode == 0) return -ENOENT;
    if (std::string_view(from) == to) return 0;
    storage_.add_entry(parent, to, inode, from);
    for (auto& [number, open] : handles_) {
      if (open.inode == inode) open.name = to;
    }
    return 0;
  }));
}

int SimulatedDisk::unlink(int directory, const char* name) noexcept {
  const int parent = handle(directory)->inode;
  const Call call{CallKind::unlink, name, storage_.find(parent, name, false)};
  return static_cast<int>(perform(call, [&](size_t) -> int64_t {
    if (storage_.find(parent, name, false) == 0) return -ENOENT;
    storage_.remove_entry(parent, name);
    return 0;
  }));
}

int SimulatedDisk::make_directory(int directory, const char* name) noexcept {
  std::string_view last = name;
  const int parent = stopped_ ? 0 : walk(directory, last);
  const Call call{CallKind::make_directory, last};
  return static_cast<int>(perform(call, [&](size_t) -> int64_t {
    if (parent == 0) return -ENOENT;
    if (storage_.find(parent, last, false) != 0) return -EEXIST;
    storage_.add_entry(parent, std::string(last), storage_.make(true, parent));
    return 0;
  }));
}

int SimulatedDisk::list(int directory, std::vector<std::string>& names) {
  names.clear();
  const Handle* of = handle(directory);
  return static_cast<int>(perform(call_of(CallKind::list, of), [&](size_t) -> int64_t {
    for (const auto& [name, inode] : storage_.at(of->inode).entries) names.push_back(name);
    return 0;
  }));
}

uint64_t SimulatedDisk::realtime_us() noexcept {
  pass_ns(1'000);
  return realtime_us_ / clock_grain_us * clock_grain_us;
}

uint64_t SimulatedDisk::monotonic_ns() noexcept {
  pass_ns(1'000);
  return monotonic_ns_;
}

int SimulatedDisk::random(std::span<std::byte> bytes) noexcept {
  const Call call{CallKind::random, ""};
  return static_cast<int>(perform(call, [&](size_t) -> int64_t {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random_.next());
    return 0;
  }));
}

}  // namespace espora::sim
