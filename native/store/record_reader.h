// Finds records by sequence number while a writer appends: ranges in both directions, a bounded
// portion at a time. Reads only what the caller knows to be durable.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/dense.h"
#include "store/directory.h"
#include "store/record.h"
#include "store/recovery.h"
#include "store/segment_window.h"
#include "sys/file_system.h"
#include "sys/status.h"

namespace espora::store {

// What one call of RecordReader::read() should read.
struct ReadPortion {
  uint64_t first = 0;  // both ends inclusive
  uint64_t last = 0;   // known to be durable
  bool reverse = false;
  uint32_t records_max = 0;
  size_t bytes_max = 0;  // of records; at least one record is read
};

class RecordSink {
 public:
  // `record` is valid during the call.
  virtual void record(const RecordView& record) = 0;

 protected:
  ~RecordSink() = default;
};

// Used by one thread at a time. Reads through the page cache: all that it may read was flushed.
class RecordReader {
 public:
  static sys::Result<std::unique_ptr<RecordReader>> open(Directory directory);

  // Gives the first records of the portion, from its first one on or, with `reverse`, backwards
  // from its last. Codes: corrupt, unreadable, io.
  sys::Status read(const ReadPortion& portion, RecordSink& sink);

 private:
  // The frame positions of one segment: all of a closed one; of the current one those read so far.
  struct Segment {
    uint32_t number = 0;
    ReadFile file;
    format::SegmentHeader header{};
    std::vector<format::IndexEntry> frames;  // with records, ascending
    std::optional<DenseIndex> dense;
    Chain end;  // after the last known frame
    bool last = false;
  };

  RecordReader(Directory directory, StoreFacts store)
      : directory_(std::move(directory)), store_(std::move(store)) {}

  sys::Status look();
  sys::Status find(uint64_t seq, FrameView& frame);
  sys::Result<Segment*> segment_of(uint64_t seq);
  sys::Status extend(Segment& segment, uint64_t seq);
  sys::Status load(Segment& segment, const format::IndexEntry& entry, FrameView& frame);
  void look_at(Segment& segment);

  Directory directory_;
  StoreFacts store_;
  // The first sequence of every known segment, by number - 1.
  std::vector<uint64_t> first_seqs_;
  std::deque<std::unique_ptr<Segment>> open_;  // the least recently used first
  SegmentWindow window_{directory_};
  const Segment* window_of_ = nullptr;  // null if the window's content must not be used
};

}  // namespace espora::store
