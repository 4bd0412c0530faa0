// Reads one closed segment of either layout in portions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "store/directory.h"
#include "store/recovery.h"
#include "store/segment_window.h"
#include "sys/status.h"

namespace espora::store {

// Belongs to one thread. `directory` must outlive it.
class SegmentStream {
 public:
  enum class Next : uint8_t {
    frame,  // `frame` is the next batch or dense frame, valid until the next call
    read,   // a portion was read, with one system call: ask again
    end,    // everything was read, and it ends where the successor says
    failed,
  };

  // `portion_bytes`: the size of one read.
  SegmentStream(Directory& directory, size_t portion_bytes) noexcept
      : directory_(directory), window_(directory, portion_bytes) {}

  // Opens segment `number`, whose successor must exist, and checks both headers. Codes: corrupt,
  // unreadable, version, and those of the environment.
  sys::Status open(uint32_t number, const StoreFacts& store);
  // The same if both headers are known.
  sys::Status open(const format::SegmentHeader& header, const format::SegmentHeader& successor);
  // The same for an unpublished file with another name, which must have this header.
  sys::Status open_as(const std::string& name, const format::SegmentHeader& header,
                      const format::SegmentHeader& successor, const StoreFacts& store);
  Next next(FrameView& frame);
  void close();

  [[nodiscard]] const format::SegmentHeader& header() const noexcept { return header_; }
  [[nodiscard]] const format::SegmentHeader& successor() const noexcept { return successor_; }
  // The size of the file.
  [[nodiscard]] uint64_t bytes() const noexcept { return file_.bytes; }
  // After `failed`: corrupt, unreadable, io.
  [[nodiscard]] const sys::Status& status() const noexcept { return status_; }
  [[nodiscard]] sys::Result<DenseIndex> read_index() {
    return directory_.read_index(file_, header_);
  }

 private:
  void begin();

  Directory& directory_;
  ReadFile file_;
  format::SegmentHeader header_{};
  format::SegmentHeader successor_{};
  std::optional<ClosedWalk> walk_;
  SegmentWindow window_;
  sys::Status status_;
};

}  // namespace espora::store
