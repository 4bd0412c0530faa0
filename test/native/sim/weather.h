// What a simulated disk does to who stands between a program and the engine: it is full for a
// while, a write or a flush fails, the process or the power ends.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <string>

#include "sim/disk.h"
#include "sim/faults.h"
#include "sim/random.h"
#include "store/directory.h"

namespace espora::sim {

class Weather final : public Director {
 public:
  static constexpr uint64_t never = UINT64_MAX;

  Weather(FaultCounts& counts, bool trace) : counts_(counts), trace_(trace) {}

  bool full = false;          // for whatever is new
  bool no_overwrite = false;  // nor for what is written over a segment: it copies on write
  // So many published writes or flushes succeed, the next one does not.
  uint64_t writes_left = never;
  uint64_t flushes_left = never;
  // So many calls until the process ends, or with it the power.
  uint64_t calls_left = never;
  bool power = false;

  // A published write or flush failed.
  [[nodiscard]] bool failed() const noexcept { return failed_; }
  [[nodiscard]] uint64_t trace_hash() const noexcept { return hash_; }
  // For a new life.
  void clear_up() {
    full = no_overwrite = failed_ = false;
    writes_left = flushes_left = calls_left = never;
  }
  void note(const char* what, uint64_t value = 0) {
    for (const char* at = what; *at != 0; at++) hash_ = mix(hash_ ^ static_cast<uint8_t>(*at));
    hash_ = mix(hash_ ^ value);
    if (trace_) std::printf("  -- %s %llu\n", what, static_cast<unsigned long long>(value));
  }

  Outcome before(const Call& call) override {
    using Kind = Outcome::Kind;
    if (calls_left != never && calls_left-- == 0) {
      calls_left = never;
      hit(power ? Fault::power_cut : Fault::kill);
      return {power ? Kind::cut_before : Kind::kill_before};
    }
    const store::NameKind kind = store::parse_name(call.name).kind;
    const bool segment = kind == store::NameKind::segment;
    const bool is_new =
        !segment && kind != store::NameKind::store && call.name != "." && !is_lock(call);
    const bool writes = call.kind == CallKind::pwrite;
    const bool flushes = call.kind == CallKind::fdatasync || call.kind == CallKind::fsync;
    if (full && is_new) {
      if (call.kind == CallKind::open && call.creates) return fail(Fault::no_space_to_create);
      if (call.kind == CallKind::allocate) return fail(Fault::no_space_to_allocate);
      // A spare has its space once it was allocated.
      if (writes && !call.name.starts_with("spare-")) return fail(Fault::no_space_to_write);
    }
    if (segment && writes && no_overwrite) {
      // Now and then a part of it is written before.
      const size_t pages = call.count / page_bytes;
      if (pages > 1 && (hash_ & 3) == 0) {
        hit(Fault::no_space_to_overwrite);
        return {Kind::transfer, 0, pages / 2 * page_bytes};
      }
      return fail(Fault::no_space_to_overwrite);
    }
    if (segment && writes && writes_left != never && writes_left-- == 0) {
      writes_left = never;
      failed_ = true;
      hit(Fault::write_error);
      return {Kind::fail, EIO};
    }
    if (segment && flushes && flushes_left != never && flushes_left-- == 0) {
      flushes_left = never;
      failed_ = true;
      hit(Fault::flush_error_dropped);
      return {Kind::drop, EIO};
    }
    return {};
  }
  void after(const Call& call, int64_t result) override {
    hash_ = mix(hash_ ^ static_cast<uint64_t>(call.kind) ^ (call.offset << 8));
    hash_ = mix(hash_ ^ static_cast<uint64_t>(result));
    if (!trace_) return;
    std::printf("  %s %.*s %llu+%zu = %lld\n", call_name(call.kind),
                static_cast<int>(call.name.size()), call.name.data(),
                static_cast<unsigned long long>(call.offset), call.count,
                static_cast<long long>(result));
  }

 private:
  static bool is_lock(const Call& call) { return call.name == store::lock_name; }
  void hit(Fault fault) {
    counts_[static_cast<size_t>(fault)]++;
    note(fault_names[static_cast<size_t>(fault)].data());
  }
  Outcome fail(Fault fault) {
    hit(fault);
    return {Outcome::Kind::fail, ENOSPC};
  }

  FaultCounts& counts_;
  const bool trace_;
  uint64_t hash_ = 0;
  bool failed_ = false;
};

}  // namespace espora::sim
