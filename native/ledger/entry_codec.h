// A transaction as the bytes of a store record. Integers are little-endian; the store's own record
// header (length u32 | type u16 | flags u16) is not included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "engine/transaction.h"
#include "sys/limits.h"
#include "sys/status.h"

namespace espora::ledger {

using engine::Description;
using engine::Kind;
using engine::PastTransaction;
using engine::Transaction;

// The record type of entries.
inline constexpr uint16_t entry_record_type = 1;

// A transaction that was applied.
struct Entry {
  uint32_t account_id = 0;
  int64_t balance_after = 0;  // cents
  uint64_t time_us = 0;       // since 1970; never decreases within an account
  Transaction transaction;
  // Idempotency key, at most entry_key_bytes_max bytes; not set anywhere yet.
  std::string_view key;
};

//   offset  size
//        0     4  account id
//        4     1  kind: 'c' or 'd'
//        5     1  description: bytes of UTF-8, 1..40
//        6     1  key: bytes, 0..64
//        7     1  0
//        8     8  amount in cents, 1..2^53-1
//       16     8  balance after, signed
//       24     8  time, microseconds since 1970
//       32     n  description, then key, then zeros up to a multiple of 8
inline constexpr size_t entry_fixed_bytes = 32;
inline constexpr size_t entry_bytes_max =
    entry_fixed_bytes + limits::description_bytes_max + limits::entry_key_bytes_max;
static_assert(entry_bytes_max % 8 == 0);

// The number of bytes that encode_entry() writes: a multiple of 8.
[[nodiscard]] size_t encoded_entry_bytes(const Entry& entry) noexcept;
// Writes to `out`, which has room for encoded_entry_bytes(); returns that number.
size_t encode_entry(const Entry& entry, std::span<std::byte> out) noexcept;
// `bytes` is the whole record. The key's view points into it. Code::corrupt for bytes that no entry
// encodes to: a decoded entry always encodes to the same bytes.
[[nodiscard]] sys::Result<Entry> decode_entry(std::span<const std::byte> bytes);

}  // namespace espora::ledger
