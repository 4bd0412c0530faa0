// What a snapshot is a snapshot of: the state that the store's owner makes of its records.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "store/format.h"
#include "store/record.h"
#include "sys/status.h"

namespace espora::store {

// A copy of its owner's state that only ever sees closed segments, for making snapshots beside the
// one that serves. Follows from the records alone. Used by one thread at a time.
class SnapshotState {
 public:
  virtual ~SnapshotState() = default;
  // Before the first record, if there is a snapshot: what encode() gave then. Code::corrupt for
  // bytes that it never gives.
  virtual sys::Status restore(Bytes state) = 0;
  // The records after it, in order, each once.
  virtual sys::Status apply(const RecordView& record) = 0;
  // Equal states have equal bytes, however they came about.
  [[nodiscard]] virtual std::vector<std::byte> encode() const = 0;
  // For a person who has the store verified: what is worth knowing about the record that was
  // applied last, empty for nothing; and, behind the last one, what lost records leave open.
  [[nodiscard]] virtual std::string remark(const RecordView&) const { return {}; }
  [[nodiscard]] virtual std::vector<std::string> doubts() const { return {}; }
};

// A snapshot that was read.
struct Snapshot {
  format::SnapshotHeader header{};
  std::vector<std::byte> file;
  Bytes state;  // within `file`
};

}  // namespace espora::store
