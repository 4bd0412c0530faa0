// Reads what can still be read of a damaged store: every file is taken by itself, whatever the
// state of the others, and every frame that is intact in its place is found. For repair.
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
  // The records of `frame` from `first_seq` to `last_seq`.
  virtual sys::Status records(const FrameView& frame, uint64_t first_seq, uint64_t last_seq) = 0;
  // Records up to `last_seq` existed and cannot be read.
  virtual sys::Status lost(uint64_t last_seq, const Damage& damage) = 0;
};

// Belongs to one thread. Nothing may change the store meanwhile.
class Salvage {
 public:
  // Only STORE tells what the records are: if it cannot be repaired, `like` does (of another store
  // of the same kind), or this fails with Code::corrupt. `directory` must outlive this.
  static sys::Result<std::unique_ptr<Salvage>> open(Directory& directory, const StoreFacts* like);

  [[nodiscard]] const StoreFacts& store() const noexcept { return store_; }
  // What was corrected so far. Damage of segments and snapshots is left for the reader to find.
  [[nodiscard]] const std::vector<Finding>& findings() const noexcept { return findings_; }

  // `durable_seq`: records known to have existed from elsewhere. `damaged`: the store is known to
  // be damaged; what is missing at its end then counts as lost, not as an interrupted write.
  sys::Status walk(SalvageVisitor& visitor, uint64_t durable_seq, bool damaged);

 private:
  // A frame whose header is right for its place; a seal's last_seq is below its first_seq.
  struct Place {
    uint32_t block = 0;
    uint32_t blocks = 0;  // if it is intact
    uint64_t first_seq = 0;
    uint64_t last_seq = 0;
    bool whole = false;
  };
  // One segment's file.
  struct Part {
    uint32_t number = 0;
    std::string name;
    std::optional<format::SegmentHeader> header;
    // Derived from its frames if there is no header.
    format::SegmentHeader assumed{};
    uint32_t seed = 0;
    std::vector<Place> places;
    uint64_t durable_seq = 0;       // proven by its frames
    std::optional<Damage> failure;  // why nothing of it is used

    [[nodiscard]] uint64_t lowest_seq() const noexcept;
  };
  class Walk;

  explicit Salvage(Directory& directory) noexcept : directory_(directory) {}

  sys::Status look();
  // The highest sequence for which the segments up to this one have room: anything that claims more
  // is ignored, so that a wrong number cannot cause an endless repair.
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
  uint64_t snapshot_seq_ = 0;    // of the newest snapshot that is trusted
  std::optional<Uuid> uuid_;     // of most headers
  uint64_t segment_bytes_ = 0;   // likewise
  uint64_t file_bytes_max_ = 0;  // of the segments' files
};

}  // namespace espora::store
