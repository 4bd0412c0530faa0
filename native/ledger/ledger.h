// The rules of the accounts as a state machine in memory: no clock, no disk, no threads. An
// accepted transaction is an Entry; replaying the same entries gives the same state.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "ledger/account_table.h"
#include "ledger/entry_codec.h"
#include "sys/limits.h"
#include "sys/status.h"

namespace espora::ledger {

// One account. Only Ledger changes it.
class Account {
 public:
  [[nodiscard]] uint32_t id() const noexcept { return id_; }
  [[nodiscard]] int64_t limit() const noexcept { return limit_; }
  [[nodiscard]] int64_t balance() const noexcept { return balance_; }
  // Sequence of the record that last changed this account; 0 if none did. Nothing computed from
  // this account may be sent before that sequence is durable.
  [[nodiscard]] uint64_t last_change_seq() const noexcept { return last_change_seq_; }
  [[nodiscard]] uint64_t last_time_us() const noexcept { return last_time_us_; }

  // How many past transactions are kept: up to statement_transactions_max.
  [[nodiscard]] size_t past_count() const noexcept { return past_count_; }
  // `age` 0 is the newest; below past_count().
  [[nodiscard]] const PastTransaction& past(size_t age) const noexcept;
  // As of `now_us`, or of the newest transaction if that is later.
  [[nodiscard]] engine::Statement statement(uint64_t now_us) const noexcept;

 private:
  friend class Ledger;
  explicit Account(const AccountLimit& limit) noexcept : id_(limit.id), limit_(limit.limit) {}
  void change(const Transaction& transaction, int64_t balance, uint64_t time_us,
              uint64_t sequence) noexcept;

  uint32_t id_;
  uint8_t past_next_ = 0;  // place of the next one in the ring
  uint8_t past_count_ = 0;
  int64_t limit_;
  int64_t balance_ = 0;
  uint64_t last_change_seq_ = 0;
  uint64_t last_time_us_ = 0;
  std::array<PastTransaction, limits::statement_transactions_max> past_;
};

struct Decision {
  engine::Result result = engine::Result::applied;  // or limit_insufficient, balance_too_large
  int64_t balance_after = 0;                        // if it may be applied
};

// The result that apply() would have; changes nothing.
[[nodiscard]] Decision decide(const Account& account, const Transaction& transaction) noexcept;

// All accounts. Used by one thread.
class Ledger {
 public:
  explicit Ledger(const AccountTable& table);

  // nullptr if there is none. Stays valid until extend().
  [[nodiscard]] const Account* find(uint32_t id) const noexcept;
  [[nodiscard]] Account* find(uint32_t id) noexcept {
    return const_cast<Account*>(std::as_const(*this).find(id));
  }
  // An account's index: constant for the lifetime of the ledger, and below accounts().size().
  [[nodiscard]] size_t place(const Account& account) const noexcept {
    return static_cast<size_t>(&account - accounts_.data());
  }
  [[nodiscard]] Account& at(size_t place) noexcept { return accounts_[place]; }

  // Applies an accepted transaction as the store's record `sequence`, and returns the entry to
  // write there. Its time is `now_us`, or the account's last one if the clock went back. Only after
  // decide() allowed it for this state, and after its space was reserved.
  [[nodiscard]] Entry apply(Account& account, const Transaction& transaction, int64_t balance_after,
                            uint64_t now_us, uint64_t sequence) noexcept;

  // Call before apply() if its record may still be refused: see revert(). Kept until settle().
  void remember(const Account& account, uint64_t sequence);
  // Records up to `sequence` are final.
  void settle(uint64_t sequence) noexcept;
  // Reverts everything that was remembered and not settled, newest first.
  void revert() noexcept;

  // Recovery: applies an entry that was read back. Code::corrupt, with nothing changed, if it does
  // not follow from the state: unknown account, a balance that is not the sum, a time that goes
  // back, a sequence that does not grow. Limits may have been different then and are not checked.
  // An account's first entry after a lost record is accepted with its balance, which includes lost
  // ones.
  [[nodiscard]] sys::Status replay(const Entry& entry, uint64_t sequence);
  // Record `sequence` cannot be read any more (lost_record_type): it may have changed any account.
  void lose(uint64_t sequence) noexcept;
  // How much the last replayed entry corrected its balance for lost records; usually 0.
  [[nodiscard]] int64_t correction() const noexcept { return correction_; }
  // Whether records lost since the account's last change may have changed it.
  [[nodiscard]] bool doubtful(const Account& account) const noexcept {
    return account.last_change_seq() < last_lost_seq_;
  }

  // Creates the accounts of `table` that do not exist yet. Existing ones do not change, including
  // their limits and places. Invalidates what find() returned.
  void extend(const AccountTable& table);

  // The state made by replay(), for a snapshot: all data of every account with history, except its
  // limit. Equal states have equal bytes. See ledger_state.h.
  [[nodiscard]] std::vector<std::byte> encode_state() const;
  // Call before the first replay(). Code::corrupt, after which the ledger is unusable, for bytes
  // that no state encodes to, and for accounts that are not in the table.
  [[nodiscard]] sys::Status restore_state(std::span<const std::byte> bytes);

  // The newest record that changed anything; 0 if none did.
  [[nodiscard]] uint64_t last_change_seq() const noexcept { return last_change_seq_; }
  // In order of creation; the first ones by ascending id.
  [[nodiscard]] const std::vector<Account>& accounts() const noexcept { return accounts_; }

 private:
  // What apply() is about to overwrite.
  struct Before {
    uint64_t sequence;  // of the record
    uint64_t last_change_seq;
    uint64_t ledger_last_change_seq;
    uint64_t last_time_us;
    int64_t balance;
    PastTransaction past;  // at the place of the next one
    uint32_t place;
    uint8_t past_next;
    uint8_t past_count;
  };

  std::vector<Account> accounts_;
  std::vector<uint32_t> by_id_;  // places, by ascending id
  std::vector<Before> before_;   // at most the records of two batches
  uint64_t last_change_seq_ = 0;
  uint64_t last_lost_seq_ = 0;
  int64_t correction_ = 0;
};

}  // namespace espora::ledger
