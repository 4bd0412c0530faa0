// A transaction's values, and what an account shows of them.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "sys/limits.h"

namespace espora::engine {

// These letters are written to disk and to JSON.
enum class Kind : uint8_t { credit = 'c', debit = 'd' };

// 1 to 10 code points, in UTF-8.
class Description {
 public:
  Description() noexcept = default;
  // `utf8` is valid UTF-8 of at most description_bytes_max bytes.
  explicit Description(std::string_view utf8) noexcept : size_(static_cast<uint8_t>(utf8.size())) {
    std::memcpy(bytes_, utf8.data(), utf8.size());
  }

  [[nodiscard]] std::string_view view() const noexcept { return {bytes_, size_}; }

 private:
  uint8_t size_ = 0;
  char bytes_[limits::description_bytes_max] = {};
};

// What a client asks for.
struct Transaction {
  int64_t amount = 0;  // cents, 1..amount_max
  Kind kind = Kind::credit;
  Description description;
};

// A past transaction, as shown in a statement.
struct PastTransaction {
  uint64_t time_us = 0;
  Transaction transaction;
};

// An account at a given time. The views are valid until the next change of the account.
struct Statement {
  int64_t limit = 0;  // cents
  int64_t balance = 0;
  uint64_t time_us = 0;  // never before the newest transaction
  // The last transactions, all of `older` before all of `newer`, each oldest first; together at
  // most statement_transactions_max.
  std::span<const PastTransaction> older;
  std::span<const PastTransaction> newer;
};

}  // namespace espora::engine
