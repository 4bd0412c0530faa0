// Reads a store that somebody may be writing to: for inspect, verify, copies and export. Keeps no
// lock and changes nothing. How far it reads is decided when it is opened, by one rule:
//
//   nobody has the store open   everything that opening it would take
//   somebody has                what was known to be durable then, by what the files prove and by
//                               the word of the running engine where it is at hand. Without that
//                               word the newest batch counts once a later one or a seal proves it,
//                               about 100 ms after it; a note says that there is more.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/directory.h"
#include "store/record.h"
#include "store/recovery.h"
#include "store/segment_window.h"
#include "store/snapshot.h"
#include "sys/file_system.h"
#include "sys/status.h"

namespace espora::store {

enum class Severity : uint8_t {
  note,    // worth knowing, no harm
  damage,  // the store contradicts itself, or the device does not give it back
};

struct Finding {
  Severity severity = Severity::note;
  sys::Code code = sys::Code::ok;  // corrupt or unreadable; ok for a note
  Damage place;                    // segment 0 where it is about no segment

  [[nodiscard]] std::string text() const;
};

struct SegmentFacts {
  uint32_t number = 0;
  bool whole_header = false;  // without it `header` means nothing
  format::SegmentHeader header{};
  uint64_t file_bytes = 0;
};

struct SnapshotFacts {
  uint64_t seq = 0;
  bool whole = false;  // without it `header` means nothing
  format::SnapshotHeader header{};
  uint64_t file_bytes = 0;
};

class ReadVisitor {
 public:
  virtual ~ReadVisitor() = default;
  // Before the frames of each segment.
  virtual void segment(const SegmentFacts&) {}
  // Each snapshot, before the segments, ascending.
  virtual void snapshot(const SnapshotFacts&) {}
  // Every accepted frame up to last_seq(), seals and dense frames included, in order; after
  // damage it goes on with the next segment. False ends the walk.
  virtual bool frame(const FrameView& frame) = 0;
  virtual void finding(const Finding& finding) = 0;
};

// Belongs to one thread.
class Reader {
 public:
  // Fails where directory or STORE cannot be read at all. Damage in segments is kept for walk().
  // `durable_seq`: what the engine that has the store open said before this call, 0 where nobody
  // did. Fewer records than that are damage.
  static sys::Result<std::unique_ptr<Reader>> open(Directory directory, uint64_t durable_seq = 0);
  // For a store that is not open here.
  static sys::Result<std::unique_ptr<Reader>> open(sys::FileSystem& file_system,
                                                   const std::string& directory,
                                                   bool direct_io = true, uint64_t durable_seq = 0);

  [[nodiscard]] const StoreFacts& store() const noexcept { return store_; }
  // Everything up to here was durable when this was opened: less is damage.
  [[nodiscard]] uint64_t proven_seq() const noexcept { return proven_seq_; }
  // walk() reads up to here, and no further. Above proven_seq() only where nobody had the store
  // open: what opening it takes, though nothing proves that it was flushed.
  [[nodiscard]] uint64_t last_seq() const noexcept { return last_seq_; }
  // As they were then: a service rewrites closed segments, which changes neither their number nor
  // what they hold.
  [[nodiscard]] const std::vector<SegmentFacts>& segments() const noexcept { return segments_; }
  // Those that were still there a moment later: a service keeps only the newest.
  [[nodiscard]] const std::vector<SnapshotFacts>& snapshots() const noexcept { return snapshots_; }

  // Every finding, and every frame of the segments from `first_segment` on. Fails only for reasons
  // that are not the store's (memory, permission), and with Code::version.
  sys::Status walk(ReadVisitor& visitor, uint32_t first_segment = 1);

 private:
  Reader(Directory directory, StoreFacts store, uint64_t durable_seq) noexcept
      : directory_(std::move(directory)), store_(std::move(store)), durable_seq_(durable_seq) {}

  sys::Status look(bool may_look_again, bool& changed);
  sys::Result<bool> is_last(const format::SegmentHeader& header) const;
  sys::Status look_at_headers(const Listing& listing);
  sys::Status look_at_snapshots(const Listing& listing);
  std::optional<Damage> misplaced(const format::SnapshotHeader& snapshot) const;
  sys::Status take_evidence(bool in_use);
  void note_obstacle(const std::string& name);
  bool note_failure(uint32_t number, uint32_t block, const sys::Status& status);
  struct Extent;
  [[nodiscard]] Extent extent_of(size_t index) const noexcept;
  sys::Status open_segment(size_t index, const Extent& extent, ReadFile& file,
                           format::SegmentHeader& header);
  sys::Status check_index(size_t index, const format::SegmentHeader& header, ReadVisitor& visitor);
  sys::Status walk_segment(size_t index, ReadVisitor& visitor, bool& go_on);
  sys::Status look_behind(FrameWalk& walk, uint64_t known_seq, ReadVisitor& visitor);

  Directory directory_;
  StoreFacts store_;
  const uint64_t durable_seq_;  // a running engine's word
  uint64_t proven_seq_ = 0;
  uint64_t last_seq_ = 0;
  std::vector<SegmentFacts> segments_;
  std::vector<SnapshotFacts> snapshots_;
  std::vector<Finding> findings_;
  // Kept open: a restarted service may replace the last segment under its name meanwhile.
  ReadFile last_file_;
  SegmentWindow window_{directory_};
};

struct VerifyReport {
  StoreFacts store;
  uint64_t proven_seq = 0;
  uint64_t last_seq = 0;  // read up to here, see Reader::last_seq()
  uint64_t segments = 0;
  uint64_t dense_segments = 0;  // of them
  uint64_t snapshots = 0;
  uint64_t disk_bytes = 0;  // segments and snapshots, by the sizes of their files
  uint64_t batches = 0;     // as they were written, or the runs that they became
  uint64_t seals = 0;
  uint64_t records = 0;  // lost ones included
  uint64_t lost_records = 0;
  uint64_t payload_bytes = 0;
  uint64_t last_time_us = 0;
  std::vector<Finding> findings;

  [[nodiscard]] bool damaged() const noexcept;
};

// Gives an empty state of what the store holds, to compare snapshots with; null for none.
using StateMaker = std::function<std::unique_ptr<SnapshotState>(const StoreFacts& store)>;

// Reads everything up to Reader::last_seq(). Failures of the environment are a Status; everything
// that is wrong with the store itself, STORE included, is a finding. With `make_state` all records
// are replayed: one that its owner refuses, and a snapshot that is not what they give, are findings
// too. Records that an earlier repair had to give up are notes, as is what their owner makes of it.
// A file of another version is no finding but Code::version. `durable_seq` as for Reader::open().
sys::Result<VerifyReport> verify(Directory directory, const StateMaker& make_state = {},
                                 uint64_t durable_seq = 0);
// For a store that is not open here.
sys::Result<VerifyReport> verify(sys::FileSystem& file_system, const std::string& directory,
                                 bool direct_io = true, const StateMaker& make_state = {},
                                 uint64_t durable_seq = 0);

}  // namespace espora::store
