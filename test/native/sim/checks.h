// What both the random and the exhaustive simulation look at: the log as a recovery shows it, and
// what the device alone holds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "ledger/account_table.h"
#include "ledger/books.h"
#include "sim/disk.h"
#include "sim/model.h"
#include "store/engine.h"

namespace espora::sim {

inline constexpr const char* store_path = "data/store";
// Where it is while somebody has renamed it under the engine that has it open.
inline constexpr const char* moved_path = "data/moved";
inline constexpr uint16_t filler_type = 7;  // records that are not the ledger's

// The first violation of a run; the others follow from it, or hide behind it.
class Findings {
 public:
  void add(int invariant, std::string what) {
    if (first_.invariant == 0) first_ = {invariant, std::move(what)};
  }
  [[nodiscard]] bool any() const noexcept { return first_.invariant != 0; }
  [[nodiscard]] const Violation& first() const noexcept { return first_; }

 private:
  Violation first_;
};

// The directory's inode, under whichever name; 0 while there is none.
int store_directory(const Storage& storage, bool device);

// Whether a power cut right now, at its worst, leaves every record above `after` up to `seq` in a
// published segment. Reads the format by itself.
bool device_holds(const Storage& storage, uint64_t after, uint64_t seq);

// Records up to `proven` whose frames lie whole in a published segment, before the next one takes
// over; of segments whose headers, and their successors', are whole. Reads the format by itself.
std::set<uint64_t> readable_records(const Storage& storage, uint64_t proven);

// The books that ship, with each record that the store shows compared with the model.
class Replay final : public ledger::Books {
 public:
  // `strict`: nothing may be shown that the device does not hold.
  Replay(SimulatedDisk& disk, const store::Options& options, const Model& model, Findings& findings,
         const ledger::AccountTable& accounts, bool strict,
         store::History history = store::History::snapshot)
      : Books(disk, {options, accounts}),
        model_(model),
        findings_(findings),
        storage_(disk.storage()),
        strict_(strict),
        history_(history) {}

  [[nodiscard]] uint64_t rows() const noexcept { return rows_; }

 private:
  [[nodiscard]] store::History history() const override { return history_; }
  sys::Status restore(store::Bytes state, uint64_t seq) override;
  std::unique_ptr<store::SnapshotState> make_state() override;
  sys::Status record(const store::RecordView& record) override;

  const Model& model_;
  Findings& findings_;
  const Storage& storage_;
  const bool strict_;
  const store::History history_;
  uint64_t rows_ = 0;
  uint64_t last_time_us_ = 0;
};

store::Options store_options(const ledger::AccountTable& accounts, store::Sync sync,
                             uint64_t segment_bytes);

}  // namespace espora::sim
