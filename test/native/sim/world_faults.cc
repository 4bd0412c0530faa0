// What the disk does to each call: errors, full disks, lies, cuts and kills.
#include "sim/world.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

namespace espora::sim {

using store::NameKind;

namespace {

bool published(std::string_view name) {
  const NameKind kind = store::parse_name(name).kind;
  return kind == NameKind::segment || kind == NameKind::store;
}
bool is_lock(std::string_view name) { return name == store::lock_name; }

}  // namespace

Outcome World::before(const Call& call) {
  if (quiet_) return {};
  if (call.kind == CallKind::pwrite && !is_lock(call.name)) take_evidence(call);
  if (cut_in_calls_ != UINT64_MAX && cut_in_calls_-- == 0) {
    cut_in_calls_ = UINT64_MAX;
    const bool after = random_.chance(1, 2);
    if (cut_is_kill_) {
      hit(opening_ ? Fault::kill_in_recovery : Fault::kill);
      return {after ? Outcome::Kind::kill_after : Outcome::Kind::kill_before};
    }
    if (opening_ && cut_in_recovery_) hit(Fault::power_cut_in_recovery_again);
    hit(opening_ ? Fault::power_cut_in_recovery : Fault::power_cut);
    cut_in_recovery_ = opening_;
    return {after ? Outcome::Kind::cut_after : Outcome::Kind::cut_before};
  }
  if (call.direct && (disk_.refuse_direct_at_open || disk_.refuse_direct_at_transfer)) {
    if (call.kind == CallKind::open && disk_.refuse_direct_at_open) {
      counts_[static_cast<size_t>(Fault::direct_refused_at_open)]++;
    } else if (call.kind != CallKind::open && disk_.refuse_direct_at_transfer) {
      counts_[static_cast<size_t>(Fault::direct_refused_at_transfer)]++;
    }
  }
  if (failed_ && !reading_) {
    const bool writes = call.kind == CallKind::pwrite || call.kind == CallKind::fdatasync ||
                        call.kind == CallKind::fsync || call.kind == CallKind::rename;
    if (writes && (published(call.name) || call.name == ".")) {
      findings_.add(nothing_after_failure, std::string(call_name(call.kind)) + " of " +
                                               std::string(call.name) +
                                               " after a failed write or flush");
    }
  }
  const Outcome outcome = fault_of(call);
  if (outcome.error == ENOSPC || outcome.error == EDQUOT) space_was_short_ = true;
  note_failure(call, outcome);
  return outcome;
}

Outcome World::fault_of(const Call& call) {
  using Kind = Outcome::Kind;
  const bool temporary = !published(call.name) && call.name != "." && !is_lock(call.name);
  const int full = random_.chance(1, 4) ? EDQUOT : ENOSPC;
  switch (call.kind) {
    case CallKind::open:
      if (call.creates && temporary && no_space_ == NoSpace::create) {
        hit(Fault::no_space_to_create);
        return {Kind::fail, full};
      }
      return {};
    case CallKind::allocate:
      if (no_space_ == NoSpace::allocate) {
        hit(Fault::no_space_to_allocate);
        return {Kind::fail, full};
      }
      if (dice(rates_.allocate)) {
        const bool unsupported = random_.chance(1, 2);
        hit(unsupported ? Fault::allocation_unsupported : Fault::allocation_error);
        return {Kind::fail, unsupported ? EOPNOTSUPP : random_.chance(1, 2) ? EIO : EINTR};
      }
      return {};
    case CallKind::pwrite:
      if (temporary && no_space_ == NoSpace::write && random_.chance(1, 2)) {
        hit(Fault::no_space_to_write);
        return {Kind::fail, full};
      }
      // Copied on write: also what is there already takes space to be written over. A part of it
      // may be written before, and the error may come though all of it was.
      if (no_space_ == NoSpace::overwrite && !is_lock(call.name) &&
          random_.chance(1, opening_ ? 24 : 3)) {
        if (is_segment(call.name) && random_.chance(1, 3)) {
          hit(Fault::no_space_to_overwrite_with_effect);
          return {Kind::fail_with_effect, full};
        }
        hit(Fault::no_space_to_overwrite);
        const size_t pages = call.count / page_bytes;
        if (pages > 1 && random_.chance(1, 3)) {
          return {Kind::transfer, 0, random_.between(1, pages - 1) * page_bytes};
        }
        return {Kind::fail, full};
      }
      return write_fault(call);
    case CallKind::fdatasync:
    case CallKind::fsync:
      if (temporary && no_space_ == NoSpace::flush) {
        hit(Fault::no_space_to_flush);
        return {Kind::drop, full};
      }
      return flush_fault(call);
    case CallKind::rename:
      if (no_space_ == NoSpace::rename && random_.chance(1, 2)) {
        hit(Fault::no_space_to_rename);
        return {Kind::fail, full};
      }
      if (dice(rates_.rename)) {
        const bool effect = random_.chance(1, 2);
        hit(effect ? Fault::rename_error_with_effect : Fault::rename_error);
        return {effect ? Kind::fail_with_effect : Kind::fail, EIO};
      }
      return {};
    case CallKind::pread:
      return read_fault(call);
    default:
      return {};
  }
}

Outcome World::write_fault(const Call& call) {
  using Kind = Outcome::Kind;
  if (is_lock(call.name) || !dice(rates_.write)) return {};
  switch (random_.below(5)) {
    case 0:
      hit(Fault::write_error);
      return {Kind::fail, EIO};
    case 1:
      hit(Fault::write_error_with_effect);
      return {Kind::fail_with_effect, EIO};
    case 2:
      hit(Fault::write_short);
      return {Kind::transfer, 0, random_.between(1, call.count / sector_bytes) * sector_bytes};
    case 3:
      hit(Fault::write_of_nothing);
      return {Kind::transfer, 0, 0};
    default:
      hit(Fault::write_interrupted);
      return {Kind::fail, EINTR};
  }
}

Outcome World::flush_fault(const Call& call) {
  using Kind = Outcome::Kind;
  if (call.name == ".") {
    if (!dice(rates_.directory)) return {};
    // Nothing could ever give a directory its name again that lost it after it was used.
    const bool own = call.inode == store_directory(disk_.storage(), false);
    const bool dropped = own && random_.chance(1, 2);
    hit(dropped ? Fault::directory_flush_error_dropped : Fault::directory_flush_error);
    return {dropped ? Kind::drop : Kind::fail, EIO};
  }
  if (is_segment(call.name) && dice(rates_.lie)) {
    hit(trusting_ ? Fault::flush_lied : Fault::flush_late);
    trusting_ = false;
    return {Kind::lie};
  }
  if (drop_next_flush_ && is_segment(call.name)) {
    drop_next_flush_ = false;
    provoked_ = 2;
    hit(Fault::flush_error_dropped);
    return {Kind::drop, EIO};
  }
  const bool seals = sealing_ && errors_ && is_segment(call.name);
  if (!dice(seals ? std::max(10 * rates_.flush, 200U) : rates_.flush)) return {};
  const bool reverts = random_.chance(1, 2);
  hit(reverts ? Fault::flush_error_reverted : Fault::flush_error_dropped);
  if (is_segment(call.name) && !reverts && !opening_ && (sealing_ || random_.chance(1, 2))) {
    provoked_ = 2;
  }
  return {reverts ? Kind::revert : Kind::drop, EIO};
}

Outcome World::read_fault(const Call& call) {
  using Kind = Outcome::Kind;
  if (bad_page_planned_ && opening_ && is_segment(call.name) && call.count > page_bytes) {
    // A page that holds something, the last one in half of the cases.
    std::vector<uint64_t> pages;
    const Inode& inode = disk_.storage().at(call.inode);
    for (size_t i = 1; i < inode.pages.size(); i++) {
      if (inode.pages[i]) pages.push_back(i);
    }
    if (!pages.empty() && random_.chance(1, 2)) {
      bad_page_planned_ = false;
      bad_inode_ = call.inode;
      bad_page_ = random_.chance(1, 2) ? pages.back() : pages[random_.below(pages.size())];
    }
  }
  if (bad_inode_ != 0 && call.inode == bad_inode_ && call.offset < (bad_page_ + 1) * page_bytes &&
      call.offset + call.count > bad_page_ * page_bytes) {
    hit(Fault::read_error_in_recovery);
    read_faults_++;
    return {Kind::fail, EIO};
  }
  if (is_lock(call.name) || !dice(rates_.read)) return {};
  switch (random_.below(3)) {
    case 0:
      hit(Fault::read_error_in_recovery);
      read_faults_++;
      return {Kind::fail, EIO};
    case 1:
      hit(Fault::read_interrupted);
      return {Kind::fail, EINTR};
    default:
      if (call.count < 2 * page_bytes) return {};
      hit(Fault::read_short);
      return {Kind::transfer, 0, random_.between(1, call.count / page_bytes - 1) * page_bytes};
  }
}

// From here on this process may write and flush nothing published any more.
void World::note_failure(const Call& call, const Outcome& outcome) {
  using Kind = Outcome::Kind;
  if (failed_ || reading_) return;
  const bool error = outcome.error != 0 && outcome.error != EINTR;
  const bool nothing = outcome.kind == Kind::transfer && outcome.count == 0;
  // No space is no failure, unless all of it is there: that is for the engine to find out.
  const bool full = (outcome.error == ENOSPC || outcome.error == EDQUOT) && !opening_ && !keeping_;
  const bool writes =
      call.kind == CallKind::pwrite && is_segment(call.name) && (error || nothing) && !full;
  const bool flushes = (call.kind == CallKind::fdatasync || call.kind == CallKind::fsync) &&
                       (is_segment(call.name) || call.name == ".") && error;
  const bool renames =
      call.kind == CallKind::rename && is_segment(call.name) && error && !keeping_ && !full;
  if (!writes && !flushes && !renames) return;
  if (keeping_ && engine_->working()) {
    failing_ = true;
    return;
  }
  failed_ = true;
  floor_at_failure_ =
      engine_ && was_appendable_ ? std::max(model_.floor(), engine_->durable_seq()) : UINT64_MAX;
}

void World::after(const Call& call, int64_t result) {
  uint64_t hash = result_.trace_hash;
  hash = mix(hash ^ static_cast<uint64_t>(call.kind) ^ (uint64_t(call.inode) << 8));
  hash = mix(hash ^ call.offset ^ (uint64_t{call.count} << 32));
  result_.trace_hash = mix(hash ^ static_cast<uint64_t>(result));
  if (trace_) {
    std::printf("  %s %.*s %llu+%zu = %lld\n", call_name(call.kind),
                static_cast<int>(call.name.size()), call.name.data(),
                static_cast<unsigned long long>(call.offset), call.count,
                static_cast<long long>(result));
  }
}

}  // namespace espora::sim
