// What a snapshot contains: the state that the store's owner makes of its records.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "store/format.h"
#include "store/record.h"
#include "sys/status.h"

namespace espora::store {

// A copy of its owner's state that only sees closed segments, so that snapshots can be made while
// the original serves. It depends on the records alone. Used by one thread at a time.
class SnapshotState {
 public:
  virtual ~SnapshotState() = default;
  // Before the first record, if there is a snapshot: the bytes that encode() returned.
  // Code::corrupt for bytes that it never returns.
  virtual sys::Status restore(Bytes state) = 0;
  // The records after it, in order, each once.
  virtual sys::Status apply(const RecordView& record) = 0;
  // Equal states have equal bytes, however they were reached.
  [[nodiscard]] virtual std::vector<std::byte> encode() const = 0;
  // For people who verify the store: a remark on the record that was applied last, empty for none;
  // and, after the last one, what lost records leave uncertain.
  [[nodiscard]] virtual std::string remark(const RecordView&) const { return {}; }
  [[nodiscard]] virtual std::vector<std::string> doubts() const { return {}; }
};

struct Snapshot {
  format::SnapshotHeader header{};
  std::vector<std::byte> file;
  Bytes state;  // within `file`
};

}  // namespace espora::store
