// The table of accounts and their limits: configuration, kept in the store.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sys/status.h"

namespace espora::ledger {

struct AccountLimit {
  uint32_t id;    // 1..2^32-1
  int64_t limit;  // cents, 0..amount_max: the balance never goes below -limit

  friend bool operator==(const AccountLimit&, const AccountLimit&) = default;
};

// Accounts by ascending id, without duplicates. Immutable.
class AccountTable {
 public:
  AccountTable() = default;  // no accounts

  // Checks ids, limits, duplicates and the number of accounts (`accounts_max`); any order.
  static sys::Result<AccountTable> create(std::vector<AccountLimit> accounts);
  // The five accounts of the contest.
  static AccountTable contest();

  // This table plus those accounts of `more` that are not in it; existing accounts do not change.
  // Code::invalid for more than `accounts_max` in total.
  [[nodiscard]] sys::Result<AccountTable> with(const AccountTable& more) const;
  // nullptr if there is no such account.
  [[nodiscard]] const AccountLimit* find(uint32_t id) const noexcept;

  // An encoding that decode() reverses; equal tables have equal bytes. Little-endian:
  //   magic "ACCT" | version u16 | reserved u16 | count u32 | reserved u32 |
  //   count x { id u32 | reserved u32 | limit i64 }
  [[nodiscard]] std::vector<std::byte> encode() const;
  // Code::corrupt for bytes that encode() never returns, Code::version for another version's.
  static sys::Result<AccountTable> decode(std::span<const std::byte> bytes);

  [[nodiscard]] std::span<const AccountLimit> accounts() const noexcept { return accounts_; }

  friend bool operator==(const AccountTable&, const AccountTable&) = default;

 private:
  explicit AccountTable(std::vector<AccountLimit> sorted) : accounts_(std::move(sorted)) {}

  std::vector<AccountLimit> accounts_;
};

}  // namespace espora::ledger
