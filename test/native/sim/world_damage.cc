// Damage to what was durable, the evidence that tells how much of it must be missed, and the
// verdict.
#include "sim/world.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <tuple>

#include "sim/copies.h"

namespace espora::sim {

using store::NameKind;
using sys::Status;

void World::take_evidence(const Call& call) {
  if (!damages_) return;
  const auto keep = [&](size_t at, size_t count, uint64_t durable) {
    Evidence each{call.inode, call.offset + at, {}, count, durable};
    std::memcpy(each.bytes.data(), call.bytes + at, count);
    evidence_.push_back(each);
  };
  for (size_t at = 0; at + page_bytes <= call.count; at += page_bytes) {
    store::format::SegmentHeader segment;
    store::format::FrameHeader frame;
    std::memcpy(&segment, call.bytes + at, sizeof segment);
    std::memcpy(&frame, call.bytes + at, sizeof frame);
    if (segment.magic == store::format::segment_magic && call.offset + at == 0) {
      // What was rewritten proves no more than what it was made of.
      if ((segment.flags & store::format::segment_flag_dense) != 0) continue;
      keep(at, sizeof segment, model_.floor());
    } else if (frame.magic == store::format::frame_magic) {
      keep(at, sizeof frame, std::min(model_.floor(), frame.first_seq - 1));
    }
  }
}

// A lower bound, from what this simulation saw being written: the sectors that prove something and
// still lie where they belong.
uint64_t World::proven_by_evidence() const {
  const Storage& storage = disk_.storage();
  const int directory = store_directory(storage, true);
  if (directory == 0) return 0;
  std::map<int, uint64_t> numbers;
  uint64_t newest = 0;
  for (const auto& [name, inode] : storage.at(directory).device_entries) {
    const store::Name parsed = store::parse_name(name);
    if (parsed.kind != NameKind::segment) continue;
    numbers[inode] = parsed.number;
    newest = std::max(newest, parsed.number);
  }
  uint64_t proven = 0;
  for (const Evidence& each : evidence_) {
    const auto number = numbers.find(each.inode);
    if (number == numbers.end() || (each.offset != 0 && number->second != newest)) continue;
    // What a file was cut to says nothing of what lay behind.
    if (each.offset + each.count > storage.at(each.inode).device_size) continue;
    std::array<std::byte, sizeof(store::format::SegmentHeader)> bytes{};
    storage.read(each.inode, each.offset, bytes.data(), each.count, View::device);
    if (std::memcmp(bytes.data(), each.bytes.data(), each.count) == 0) {
      proven = std::max(proven, each.durable);
    }
  }
  return proven;
}

bool World::damage_snapshot() {
  Storage& storage = disk_.storage();
  const int directory = store_directory(storage, false);
  for (const auto& [name, inode] : storage.at(directory).entries) {
    if (store::parse_name(name).kind != NameKind::snapshot || random_.chance(1, 3)) continue;
    if (random_.chance(1, 3)) {
      hit(Fault::snapshot_deleted);
      storage.remove_entry(directory, std::string(name));
      storage.end_flush(directory);
      return true;
    }
    hit(Fault::snapshot_damaged);
    const uint64_t at = random_.below(random_.chance(1, 2) ? 300 : storage.at(inode).size);
    std::byte byte{};
    storage.read(inode, at, &byte, 1, View::cached);
    byte ^= static_cast<std::byte>(1U << random_.below(8));
    storage.write(inode, at, &byte, 1);
    storage.begin_flush(inode);
    storage.end_flush(inode);
    return true;
  }
  return false;
}

// Once: one wrong byte can be put right.
void World::damage_store() {
  Storage& storage = disk_.storage();
  const int inode = storage.find(store_directory(storage, false), store::store_name, false);
  if (inode == 0) return;
  store_damaged_ = true;
  hit(Fault::store_damaged);
  const uint64_t at = random_.below(random_.chance(3, 4) ? 160 : page_bytes);
  std::byte byte{};
  storage.read(inode, at, &byte, 1, View::cached);
  byte ^= static_cast<std::byte>(random_.between(1, 255));
  storage.write(inode, at, &byte, 1);
  storage.begin_flush(inode);
  storage.end_flush(inode);
}

void World::damage() {
  Storage& storage = disk_.storage();
  const int directory = store_directory(storage, false);
  if (directory == 0) return;
  Victim victim{.directory = directory};
  for (const auto& [name, inode] : storage.at(directory).entries) {
    if (is_segment(name)) victim.segments.emplace_back(name, inode);
  }
  const auto& segments = victim.segments;
  if (segments.empty()) return;
  if (!store_damaged_ && random_.chance(1, 10)) return damage_store();
  if (random_.chance(1, 5) && damage_snapshot()) return;
  const bool newest = random_.chance(2, 3);
  std::tie(victim.name, victim.inode) =
      newest ? segments.back() : segments[random_.below(segments.size())];
  for (size_t i = 0; i < storage.at(victim.inode).pages.size(); i++) {
    if (storage.at(victim.inode).pages[i]) victim.pages.push_back(i);
  }
  for (const Evidence& each : evidence_) {
    if (each.inode == victim.inode && each.offset != 0) {
      victim.frames.push_back(each.offset / page_bytes);
    }
  }
  if (victim.pages.empty()) return;
  const uint64_t at = any_page(victim);
  const size_t sector = random_.chance(1, 2) ? 0 : random_.below(sectors_per_page);
  const uint64_t what = random_.below(11);
  if (what < 8) return damage_page(what, victim, at, sector);
  damage_segment(what, victim);
}

uint64_t World::any_page(const Victim& victim) {
  const bool frame = !victim.frames.empty() && random_.chance(2, 3);
  const std::vector<uint64_t>& pages = frame ? victim.frames : victim.pages;
  return pages[random_.below(pages.size())];
}

int World::any_segment(const Victim& victim) {
  return victim.segments[random_.below(victim.segments.size())].second;
}

void World::damage_page(uint64_t what, const Victim& victim, uint64_t at, size_t sector) {
  Storage& storage = disk_.storage();
  const int inode = victim.inode;
  Page page{};
  storage.read(inode, at * page_bytes, page.data(), page_bytes, View::cached);
  const auto put = [&](int file, uint64_t to, const Page& bytes) {
    storage.write(file, to * page_bytes, bytes.data(), page_bytes);
    storage.begin_flush(file);
    storage.end_flush(file);
  };
  switch (what) {
    case 0:
    case 1:
    case 2: {
      hit(Fault::bit_flip);
      // Most of all in what decides what the rest means: the header of a frame or a segment.
      const size_t within = random_.chance(3, 4) ? random_.below(64) : random_.below(page_bytes);
      page[within] ^= static_cast<std::byte>(1U << random_.below(8));
      return put(inode, at, page);
    }
    case 3:
    case 4:
      hit(Fault::sector_zeroed);
      std::memset(page.data() + sector * sector_bytes, 0, sector_bytes);
      return put(inode, at, page);
    case 5: {
      if (!old_.has(inode)) return;
      hit(Fault::sector_of_old);
      std::byte* into = page.data() + sector * sector_bytes;
      old_.read(inode, at * page_bytes + sector * sector_bytes, into, sector_bytes, View::device);
      return put(inode, at, page);
    }
    case 6: {
      hit(Fault::frame_copied);
      const int other = any_segment(victim);
      return put(other, any_page(victim), page);
    }
    default: {
      hit(Fault::frames_swapped);
      const uint64_t to = any_page(victim);
      Page second{};
      storage.read(inode, to * page_bytes, second.data(), page_bytes, View::cached);
      put(inode, to, page);
      return put(inode, at, second);
    }
  }
}

void World::damage_segment(uint64_t what, const Victim& victim) {
  Storage& storage = disk_.storage();
  switch (what) {
    case 8:
      hit(Fault::segment_deleted);
      storage.remove_entry(victim.directory, victim.name);
      return storage.end_flush(victim.directory);
    case 9:
      hit(Fault::segment_truncated);
      storage.resize(victim.inode, random_.below(storage.at(victim.inode).size));
      storage.at(victim.inode).device_size = storage.at(victim.inode).size;
      return;
    default: {
      hit(Fault::segment_replaced);
      const int other = any_segment(victim);
      const int made = storage.make(false, victim.directory);
      Page page{};
      for (size_t i = 0; i * page_bytes < storage.at(other).size; i++) {
        storage.read(other, i * page_bytes, page.data(), page_bytes, View::cached);
        if (random_.chance(1, 40)) page[random_.below(page_bytes)] ^= std::byte{4};
        storage.write(made, i * page_bytes, page.data(), page_bytes);
      }
      storage.begin_flush(made);
      storage.end_flush(made);
      storage.add_entry(victim.directory, victim.name, made);
      return storage.end_flush(victim.directory);
    }
  }
}

// The store refuses, or gives a log that is as long as what still proves its length; never another.
void World::judge_damage() {
  const bool lied = !trusting_;
  disk_.stop(true);
  restart();
  if (over()) return;
  if (!lied || random_.chance(1, 4)) {
    const size_t damages = random_.between(1, 2);
    for (size_t i = 0; i < damages; i++) damage();
  }
  quiet_ = true;
  rates_ = {};
  trusting_ = false;
  cut_in_calls_ = UINT64_MAX;
  repeated_ = UINT64_MAX;
  const uint64_t proven = proven_by_evidence();
  note("proven", proven);
  if (!over()) {
    check_copies(disk_, options_, model_, findings_, proven, mix(seed_ ^ proven));
  }
  read_beside();
  uint64_t rows = UINT64_MAX;
  for (int again = 0; again < 2 && !over(); again++) {
    Replay replay(disk_, options_, model_, findings_, accounts_, false);
    const uint64_t changes_before = disk_.changes();
    const Status opened = replay.open();
    note("open", static_cast<uint64_t>(opened.code()));
    if (trace_) {
      std::printf("  -- %s, %llu records, %llu proven\n", opened.message().c_str(),
                  static_cast<unsigned long long>(replay.rows()),
                  static_cast<unsigned long long>(proven));
    }
    if (!opened.ok()) {
      if (disk_.changes() != changes_before) {
        findings_.add(damage_never_silent, "refused, but changed something");
      }
      if (rows != UINT64_MAX) findings_.add(recovery_repeats, opened.message());
      return;
    }
    if (replay.rows() < proven) {
      findings_.add(damage_never_silent, "record " + std::to_string(proven) +
                                             " is proven, the log ends with " +
                                             std::to_string(replay.rows()) + " in silence");
    }
    if (!model_.whole_batches(replay.rows())) {
      findings_.add(exact_prefix, "the damaged log ends inside a batch");
    }
    if (rows != UINT64_MAX && rows != replay.rows()) {
      findings_.add(recovery_repeats, "a damaged log has another length the second time");
    }
    rows = replay.rows();
  }
}

}  // namespace espora::sim
