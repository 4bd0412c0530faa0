// What can still be read of a damaged store: every file is taken at its own word, whatever became
// of those beside it, and every frame that is whole where it lies is found. For repair.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/directory.h"
#include "store/reader.h"
#include "store/recovery.h"
#include "store/segment_window.h"
#include "sys/status.h"

namespace espora::store {

// Sees the log in sequence, without a gap: each record is read or lost.
class SalvageVisitor {
 public:
  virtual ~SalvageVisitor() = default;
  // Of `frame` the records from `first_seq` to `last_seq`.
  virtual sys::Status records(const FrameView& frame, uint64_t first_seq, uint64_t last_seq) = 0;
  // Those up to `last_seq` were there and cannot be read.
  virtual sys::Status lost(uint64_t last_seq, const Damage& damage) = 0;
};

// Belongs to one thread. Nobody may change the store meanwhile.
class Salvage {
 public:
  // What the records are is in STORE alone: where that is beyond help, `like` says it (of another
  // store of the same kind), or this fails with Code::corrupt. `directory` must outlive this.
  static sys::Result<std::unique_ptr<Salvage>> open(Directory& directory, const StoreFacts* like);

  [[nodiscard]] const StoreFacts& store() const noexcept { return store_; }
  // What was put right to get here. Damage of segments and snapshots is the reader's to find.
  [[nodiscard]] const std::vector<Finding>& findings() const noexcept { return findings_; }

  // `durable_seq`: what else is known to have been there. `damaged`: the store is known to be so;
  // what is missing at its end then counts as lost, and not as a write that was cut short.
  sys::Status walk(SalvageVisitor& visitor, uint64_t durable_seq, bool damaged);

 private:
  // A frame whose header is right where it lies; a seal's last_seq is below its first_seq.
  struct Place {
    uint32_t block = 0;
    uint32_t blocks = 0;  // where it is whole
    uint64_t first_seq = 0;
    uint64_t last_seq = 0;
    bool whole = false;
  };
  // One segment's file.
  struct Part {
    uint32_t number = 0;
    std::string name;
    std::optional<format::SegmentHeader> header;
    // As its frames have it, where there is no header.
    format::SegmentHeader assumed{};
    uint32_t seed = 0;
    std::vector<Place> places;
    uint64_t durable_seq = 0;       // that its frames prove
    std::optional<Damage> failure;  // why there is nothing in it

    [[nodiscard]] uint64_t lowest_seq() const noexcept;
  };
  class Walk;

  explicit Salvage(Directory& directory) noexcept : directory_(directory) {}

  sys::Status look();
  // The highest sequence that the segments up to this one have room for: what claims more is not
  // believed, so that no wrong number makes a repair that never ends.
  [[nodiscard]] uint64_t seq_max(uint32_t number) const noexcept {
    return number * (std::max(store_.segment_bytes, file_bytes_max_) / record_extent(0));
  }
  sys::Status look_at_snapshots(const Listing& listing);
  sys::Status look_at(uint32_t number);
  void choose_uuid();
  sys::Status read_store(const Listing& listing, const StoreFacts* like);
  sys::Status find_frames(Part& part);
  static std::optional<format::FrameHeader> seeded_frame(SegmentWindow& window, uint32_t block,
                                                         uint32_t number, uint32_t& seed);
  sys::Status assume_header(Part& part, SegmentWindow& window);
  void note(std::string what);

  Directory& directory_;
  StoreFacts store_;
  std::vector<Finding> findings_;
  std::vector<Part> parts_;      // ascending
  uint64_t snapshot_seq_ = 0;    // of the newest snapshot that is believed
  std::optional<Uuid> uuid_;     // as most headers have it
  uint64_t segment_bytes_ = 0;   // likewise
  uint64_t file_bytes_max_ = 0;  // of the segments' files
};

}  // namespace espora::store
