// Reads a store that another process may be writing to: for inspect, verify, copies and export.
// Keeps no lock and changes nothing. How far it reads is decided when it is opened, by one rule:
//
//   no process has it open   everything that opening it would take
//   a process has it open    what was known to be durable then, as proven by the files or stated by
//                            the running engine if available. Without its statement the newest
//                            batch counts once a later one or a seal proves it, about 100 ms later;
//                            a note says that there is more.
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
  damage,  // the store contradicts itself, or the device does not return it
};

struct Finding {
  Severity severity = Severity::note;
  sys::Code code = sys::Code::ok;  // corrupt or unreadable; ok for a note
  Damage place;                    // segment 0 if it is not about a segment

  [[nodiscard]] std::string text() const;
};

struct SegmentFacts {
  uint32_t number = 0;
  bool whole_header = false;  // if false, `header` is undefined
  format::SegmentHeader header{};
  uint64_t file_bytes = 0;
};

struct SnapshotFacts {
  uint64_t seq = 0;
  bool whole = false;  // if false, `header` is undefined
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
  // Every accepted frame up to last_seq(), including seals and dense frames, in order; after damage
  // it continues with the next segment. False ends the walk.
  virtual bool frame(const FrameView& frame) = 0;
  virtual void finding(const Finding& finding) = 0;
};

// Belongs to one thread.
class Reader {
 public:
  // Fails if directory or STORE cannot be read at all. Damage in segments is kept for walk().
  // `durable_seq`: what the engine that has the store open stated before this call, 0 if none did.
  // Fewer records than that are damage.
  static sys::Result<std::unique_ptr<Reader>> open(Directory directory, uint64_t durable_seq = 0);
  // For a store that this process has not opened.
  static sys::Result<std::unique_ptr<Reader>> open(sys::FileSystem& file_system,
                                                   const std::string& directory,
                                                   bool direct_io = true, uint64_t durable_seq = 0);

  [[nodiscard]] const StoreFacts& store() const noexcept { return store_; }
  // Everything up to here was durable when this was opened: fewer records are damage.
  [[nodiscard]] uint64_t proven_seq() const noexcept { return proven_seq_; }
  // walk() reads up to here. Above proven_seq() only if no process had the store open: the records
  // that opening would take, though nothing proves that they were flushed.
  [[nodiscard]] uint64_t last_seq() const noexcept { return last_seq_; }
  // As of opening: services rewrite closed segments, which keeps their numbers and records.
  [[nodiscard]] const std::vector<SegmentFacts>& segments() const noexcept { return segments_; }
  // Those that still existed a moment later: a service keeps only the newest.
  [[nodiscard]] const std::vector<SnapshotFacts>& snapshots() const noexcept { return snapshots_; }

  // Every finding, and every frame of the segments from `first_segment` on. Fails only for reasons
  // outside the store (memory, permission), and with Code::version.
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
  const uint64_t durable_seq_;  // stated by a running engine
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
  uint64_t batches = 0;     // as written, or the runs that they became
  uint64_t seals = 0;
  uint64_t records = 0;  // including lost ones
  uint64_t lost_records = 0;
  uint64_t payload_bytes = 0;
  uint64_t last_time_us = 0;
  std::vector<Finding> findings;

  [[nodiscard]] bool damaged() const noexcept;
};

// Returns an empty state of the store's kind, to compare snapshots with; null for none.
using StateMaker = std::function<std::unique_ptr<SnapshotState>(const StoreFacts& store)>;

// Reads everything up to Reader::last_seq(). Failures of the environment are a Status; everything
// wrong with the store itself, including STORE, is a finding. With `make_state` all records are
// replayed: a record that the state refuses, and a snapshot that differs from the replayed state,
// are findings too. Records lost in an earlier repair, and the state's remarks on them, are notes.
// A file of another version is Code::version. `durable_seq` as for Reader::open().
sys::Result<VerifyReport> verify(Directory directory, const StateMaker& make_state = {},
                                 uint64_t durable_seq = 0);

}  // namespace espora::store
