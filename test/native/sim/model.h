// What the store must hold, kept beside it: every record that was submitted, how many of them may
// never be missing any more, and the accounts that follow from them. Knows nothing of files.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ledger/ledger.h"
#include "store/record.h"

namespace espora::sim {

// The promises by their numbers.
inline constexpr int acknowledged_is_there = 1;  // byte for byte, same sequence
inline constexpr int exact_prefix = 2;           // of what was submitted, batches whole
inline constexpr int nothing_invented = 3;       // and nothing twice
inline constexpr int recovery_repeats = 4;       // recovering twice gives the same log
inline constexpr int only_durable_visible = 5;   // in strict mode
inline constexpr int faults_never_corrupt = 6;   // crashes alone never yield "corrupt"
inline constexpr int damage_never_silent = 7;    // at or below what is proven
inline constexpr int nothing_after_failure = 8;  // resolves, nor is written
inline constexpr int ledger_is_model = 9;        // limits at every prefix, replay, snapshots
inline constexpr int time_never_decreases = 10;
inline constexpr int progress_resumes = 11;  // when faults stop
inline constexpr int same_seed_same_trace = 12;
inline constexpr int tools_show_what_opening_takes = 13;  // where nobody has the store open
inline constexpr int answered_once = 14;                  // in order, and truly
inline constexpr int full_start_is_no_older_state = 15;   // all that was answered, or nothing
inline constexpr int copies_are_durable = 16;             // when they are reported, and none before
inline constexpr int repair_keeps_what_is_there = 17;     // counts what is not, and opens
const char* invariant_text(int invariant) noexcept;

struct Violation {
  int invariant = 0;  // 0: none
  std::string what;
};

struct Submitted {
  uint16_t type = 0;
  uint16_t flags = 0;
  std::string bytes;
  uint64_t time_us = 0;
  uint64_t batch = 0;
  uint32_t account = 0;  // 0: not the ledger's
  int64_t change = 0;
};

class Model {
 public:
  // Sequence of the last record submitted.
  [[nodiscard]] uint64_t last() const noexcept { return records_.size(); }
  // Everything up to here must be there from now on.
  [[nodiscard]] uint64_t floor() const noexcept { return floor_; }
  void raise_floor(uint64_t seq) noexcept;
  void submit(Submitted record) { records_.push_back(std::move(record)); }
  // The entry of a transaction that was just applied to `account`.
  void submit(const ledger::Account& account, const ledger::Transaction& transaction,
              uint64_t time_us, uint64_t batch);
  [[nodiscard]] const Submitted& at(uint64_t seq) const { return records_.at(seq - 1); }
  // After a recovery that ended with `seq`: what lies above is gone for good.
  void recovered(uint64_t seq);
  // What lies above `seq` was refused.
  void refused(uint64_t seq) { records_.resize(std::min<size_t>(records_.size(), seq)); }
  // No batch ends in its middle at `seq`.
  [[nodiscard]] bool whole_batches(uint64_t seq) const;
  // What is wrong with a record that the store shows; empty if nothing is.
  [[nodiscard]] std::string mismatch(const store::RecordView& record) const;
  // Whether it was submitted and given up by a recovery, since nothing proved it durable. It may
  // still lie whole in a file that only the header of its successor supersedes.
  [[nodiscard]] bool was_given_up(const store::RecordView& record) const;
  // Balances after `seq`, of accounts that changed.
  [[nodiscard]] std::map<uint32_t, int64_t> balances(uint64_t seq) const;
  // Where the ledger differs from the model at `seq`; empty if nowhere.
  [[nodiscard]] std::string ledger_mismatch(const ledger::Ledger& ledger, uint64_t seq) const;

 private:
  std::vector<Submitted> records_;
  std::multimap<uint64_t, Submitted> given_up_;  // by sequence
  uint64_t floor_ = 0;
};

}  // namespace espora::sim
