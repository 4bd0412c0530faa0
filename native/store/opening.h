// Opens a store: reads what is there, shows it to the store's owner, and makes the fresh segment
// that appends go to. If the disk has no room for that segment, the attempt is repeated, and until
// it succeeds the engine accepts no appends.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/directory.h"
#include "store/housekeeping.h"
#include "store/recovery.h"
#include "store/segment_window.h"
#include "store/snapshot.h"
#include "store/spare_preparer.h"
#include "sys/file_system.h"
#include "sys/status.h"

namespace espora::store {

struct Options;
class RecordVisitor;

// The segment that is written to.
struct CurrentSegment {
  sys::File file;
  format::SegmentHeader header{};
  uint32_t seed = 0;
  uint32_t frame_crc = 0;  // of the last frame, seals included
  // The end that the successor's header will state: behind the last frame with records.
  uint32_t end_block = 1;
  uint32_t end_frame_crc = 0;
  uint64_t end_seq = 0;
  uint64_t end_time_us = 0;
  uint64_t durable_seq = 0;
  bool dirty = false;  // something was written since the last flush
};

// The result of an opening. Every record up to last_seq is durable and was shown.
struct Opened {
  CurrentSegment current;
  uint32_t segment = 0;  // number of the fresh one, or of the reserve used in its place
  uint64_t epoch = 0;
  bool direct_io = false;
  uint64_t last_seq = 0;
  uint64_t last_time_us = 0;
  uint64_t recovered_records = 0;
  uint64_t unproven_records = 0;  // of those, copied because nothing proved them durable
  uint64_t snapshot_seq = 0;      // 0: opened without one
};

// Used by one thread. The constructor's arguments must outlive it.
class Opening {
 public:
  Opening(sys::FileSystem& file_system, const Options& options, RecordVisitor& visitor,
          Directory& directory) noexcept;

  // Recovers what is there, or plans a new store, and shows all records that are proven durable.
  // On disk this only removes unfinished files. Codes: see Engine::open().
  sys::Status read();
  // Valid after read().
  [[nodiscard]] const StoreFacts& store() const noexcept { return store_; }
  // Hands over the snapshot from which the store is opened.
  [[nodiscard]] Housekeeping::Plan plan_housekeeping();

  // Makes the fresh segment, then shows the records that this made durable, then publishes STORE if
  // it has changed: a new schema is stored after all records were accepted under it, and before any
  // is written under it. ok with done() false: there was no space for one of these steps; call
  // again at retry_ns() of the monotonic clock. `buffer` holds the largest batch and one more
  // block.
  sys::Status install(SparePreparer& spares, std::span<std::byte> buffer);
  // After the first install(): ok if the store can be used as it is. A new store must be done(); an
  // existing one may still lack space, but nothing else.
  sys::Status settle(const SparePreparer& spares);
  [[nodiscard]] bool done() const noexcept { return done_; }
  [[nodiscard]] uint64_t retry_ns() const noexcept { return retry_ns_; }
  // Why the last attempt failed although there was a spare segment.
  [[nodiscard]] const sys::Status& failure() const noexcept { return failure_; }

  // See Engine::whole(), and why it is false.
  [[nodiscard]] bool whole() const noexcept { return whole_; }
  [[nodiscard]] const std::string& unsecured() const noexcept { return unsecured_; }

  [[nodiscard]] Opened& opened() noexcept { return opened_; }

 private:
  sys::Status plan_new();
  sys::Status recover();
  sys::Status check_store(Bytes given_schema);
  sys::Status read_newest_snapshot();
  [[nodiscard]] sys::Result<uint32_t> first_to_read() const;
  sys::Result<std::vector<format::SegmentHeader>> read_headers(uint32_t first);
  sys::Status replay_closed(const std::vector<format::SegmentHeader>& headers);
  sys::Status show(const FrameView& batch);
  sys::Status look_at(const format::SegmentHeader& header);
  sys::Status walk_again(const Chain& from, uint64_t last_seq, const BatchVisitor& visitor);
  sys::Status show_copied();
  [[nodiscard]] sys::Status named(const sys::Status& status) const;
  sys::Status make_fresh(SparePreparer& spares);
  sys::Status make_reserve();
  sys::Status write_reserve();
  [[nodiscard]] sys::Status reserve_failure(int64_t result, const char* call) const;
  sys::Status secure();
  sys::Status publish(Spare spare);
  sys::Status write_fresh(const Spare& spare, bool copies);
  [[nodiscard]] sys::Status spare_failure(const Spare& spare, int result, const char* call) const;
  void adopt_fresh(Spare spare);
  // A defect, defined in the simulator's build alone (see defects.h).
  void reuse_segment(Spare& spare);

  // The segment whose batches are copied into the fresh one.
  struct Source {
    explicit Source(Directory& directory) noexcept : window(directory) {}
    ReadFile file;
    format::SegmentHeader header{};
    SegmentWindow window;
  };

  sys::FileSystem& file_system_;
  const Options& options_;
  RecordVisitor& visitor_;
  Directory& directory_;
  Listing listing_;
  StoreFacts store_;
  std::unique_ptr<Snapshot> snapshot_;
  std::unique_ptr<Source> source_;
  Chain shown_;  // after the last batch that the visitor has seen
  FreshSegment fresh_;
  FreshSegment least_;  // what the reserve must hold while records are not shown
  bool is_new_ = false;
  bool whole_ = true;
  bool done_ = false;
  std::string unsecured_;       // why the reserve could not be used
  bool publish_store_ = false;  // before the fresh segment
  uint64_t retry_ns_ = 0;
  sys::Status failure_;
  std::span<std::byte> buffer_;  // during install()
  Opened opened_;
};

}  // namespace espora::store
