// Finds records by sequence number while a writer goes on: ranges in both directions, a bounded
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

// What one call of RecordReader::read() takes, and where it left off.
struct ReadPortion {
  uint64_t first = 0;  // both ends included
  uint64_t last = 0;   // known to be durable
  bool reverse = false;
  uint32_t records_max = 0;
  size_t bytes_max = 0;  // of records; at least one is read
};

class RecordSink {
 public:
  // Valid during the call.
  virtual void record(const RecordView& record) = 0;

 protected:
  ~RecordSink() = default;
};

// Used by one thread at a time. Reads through the page cache: everything it may read was flushed.
class RecordReader {
 public:
  static sys::Result<std::unique_ptr<RecordReader>> open(Directory directory);

  // Gives the first records of the portion, from its first or, with `reverse`, from its last on.
  // Codes: corrupt, unreadable, io.
  sys::Status read(const ReadPortion& portion, RecordSink& sink);

 private:
  // Where frames are in one segment. A closed one is known whole; of the current one as much as was
  // asked for.
  struct Segment {
    uint32_t number = 0;
    ReadFile file;
    format::SegmentHeader header{};
    std::vector<format::IndexEntry> frames;  // with records, ascending
    std::optional<DenseIndex> dense;
    Chain end;  // behind the last frame that is known
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
  // Every segment by number - 1, as far as known: the first sequence in it.
  std::vector<uint64_t> first_seqs_;
  std::deque<std::unique_ptr<Segment>> open_;  // the least recently used first
  SegmentWindow window_{directory_};
  const Segment* window_of_ = nullptr;  // null where what it holds is not to be used
};

}  // namespace espora::store
