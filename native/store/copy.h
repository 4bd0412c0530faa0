// Makes a new store out of what can be read of another: a backup of a sound one, beside its writer,
// or what is left of a damaged one. Sequences, times and bytes of records stay; the copy is dense,
// and a store of its own (another uuid). The source is not changed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/reader.h"
#include "sys/file_system.h"
#include "sys/status.h"

namespace espora::store {

enum class OnDamage : uint8_t {
  refuse,   // the copy fails with what is wrong
  give_up,  // what cannot be read is left out; in its place are records of lost_record_type
};

// Records that were durable and could not be read.
struct Loss {
  uint64_t first_seq = 0;  // both included
  uint64_t last_seq = 0;
  // Where the damage is; segment 0 where it is about no single one.
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

  // Whether the source was; with OnDamage::refuse never.
  [[nodiscard]] bool damaged() const noexcept;
};

// With `give_up` nobody may have the source open (Code::locked), every record goes over that is
// whole anywhere in it, and `like` names a store of the same kind for a file STORE that is beyond
// help; empty for none.
//
// `durable_seq` as for Reader::open(). `to` must not exist or be empty: Code::exists. It is a store
// only when all of it is durable; what a failed copy leaves there is none, and may be removed.
// Codes of the source: not_found, corrupt, unreadable, version (its file STORE is beyond help, or
// `refuse`), of both: io, no_space.
sys::Result<CopyReport> copy_store(Directory from, const std::string& to, OnDamage on_damage,
                                   uint64_t durable_seq = 0, const std::string& like = {});
// For a store that is not open here.
sys::Result<CopyReport> copy_store(sys::FileSystem& file_system, const std::string& from,
                                   const std::string& to, OnDamage on_damage,
                                   uint64_t durable_seq = 0, const std::string& like = {});

}  // namespace espora::store
