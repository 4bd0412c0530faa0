// Makes a new store from the readable records of another: a backup of a sound one, even while it is
// written to, or the rest of a damaged one. Sequences, times and bytes of records stay; the copy is
// dense, and a separate store (another uuid). The source is not changed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/reader.h"
#include "sys/file_system.h"
#include "sys/status.h"

namespace espora::store {

enum class OnDamage : uint8_t {
  refuse,   // the copy fails with the damage
  give_up,  // unreadable records are replaced by records of lost_record_type
};

// Records that were durable and could not be read.
struct Loss {
  uint64_t first_seq = 0;  // both inclusive
  uint64_t last_seq = 0;
  // The place of the damage; segment 0 if it is in no single one.
  uint32_t segment = 0;
  uint32_t block = 0;
  std::string what;
};

struct CopyReport {
  StoreFacts source;
  StoreFacts copy;
  uint64_t last_seq = 0;
  uint64_t records = 0;  // copied, without lost ones
  std::vector<Loss> losses;
  std::vector<Finding> findings;  // of the source

  // Whether the source was damaged; always false with OnDamage::refuse.
  [[nodiscard]] bool damaged() const noexcept;
};

// With `give_up` no process may have the source open (Code::locked), every record that is intact
// anywhere in it is copied, and `like` names a store of the same kind in case the file STORE cannot
// be repaired; empty for none.
//
// `durable_seq` as for Reader::open(). `to` must be missing or empty: Code::exists. It becomes a
// store only once all of it is durable; the remains of a failed copy are not one and may be
// removed. Codes of the source: not_found, corrupt, unreadable, version (its file STORE cannot be
// repaired, or `refuse`); of both: io, no_space.
sys::Result<CopyReport> copy_store(Directory from, const std::string& to, OnDamage on_damage,
                                   uint64_t durable_seq = 0, const std::string& like = {});

}  // namespace espora::store
