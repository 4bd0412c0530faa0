// The store's engine: one append-only log in one directory, as a step machine without threads of
// its own. reserve → append → begin → step… → complete; FORMAT.md describes its files.
//
// Two sides, so that two threads can share it: the *append side* (everything but step()) belongs to
// one thread, or to one lock; between a begin_…() that returned true and its complete(), another
// thread may run step() without that lock. The inline driver calls commit() and does all of it at
// once:
//
//   for each request:  if (engine.reserve(bytes, 1).ok()) seq = engine.append(type, 0, bytes);
//   end of the turn:   status = engine.commit();      // one pwrite, one fdatasync
//   then:              answers up to engine.acknowledged_seq() leave
//   when idle:         engine.maintain(), due at engine.maintenance_due_ns()
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "store/defects.h"
#include "store/directory.h"
#include "store/housekeeping.h"
#include "store/opening.h"
#include "store/record.h"
#include "store/recovery.h"
#include "store/snapshot.h"
#include "store/spare_preparer.h"
#include "sys/file_system.h"
#include "sys/status.h"

namespace espora::store {

// When written data is flushed to the device.
enum class Sync : uint8_t {
  always,    // before an append counts as acknowledged
  interval,  // within Options::flush_interval_ms after the write that acknowledged it
  never,     // only by flush(), at a roll to the next segment, and by close()
};

struct Options {
  std::string directory;
  // Creates directory and store if missing; otherwise a missing one is Code::not_found.
  bool create = false;
  // 0: the existing store's, limits::segment_bytes_default for a new one. A multiple of 4096.
  uint64_t segment_bytes = 0;
  Sync sync = Sync::always;
  uint32_t flush_interval_ms = 10;
  // The kind of the records ("ledger", "bytes", …), and their schema in the caller's own encoding.
  // Both are kept in the store. Opening with others is Code::invalid, naming both (see
  // RecordVisitor::schema_changed).
  std::string kind;
  std::vector<std::byte> schema;
  // How long to wait for another holder of the lock.
  uint32_t lock_retry_ms = 500;
  // False: never O_DIRECT (for file systems where it misbehaves); weaker, see Stats::direct_io.
  bool direct_io = true;
  // Whether closed segments are rewritten densely: see housekeeping.h.
  bool rewrite_segments = true;
};

// How much of the log open() shows.
enum class History : uint8_t {
  all,       // every record
  snapshot,  // the newest snapshot, if there is one, and every record after it
  tail,      // nothing in particular: at least no closed segment is read
};

// Sees the log in order while a store is opened. Any Status but ok ends open() with it.
//
// With History::all every segment is read and checked. With the others opening reads the newest
// snapshot and the segments after it, usually one closed one and the last; of older segments only
// the names are read, and damage in them is found when they are read, or by verify().
class RecordVisitor {
 public:
  virtual ~RecordVisitor() = default;

  // Before the first record, and only if the stored schema differs from Options::schema (the kind
  // must always be equal). ok: the store's new schema, effective if the rest of open() succeeds;
  // the stored one or any other. By default a different schema is refused.
  virtual sys::Result<std::vector<std::byte>> schema_changed(Bytes stored, Bytes given);
  [[nodiscard]] virtual History history() const { return History::all; }
  // With History::snapshot: before the first record, if there is a snapshot: the bytes that a
  // SnapshotState encoded. Records continue after `seq`.
  virtual sys::Status restore(Bytes state, uint64_t seq);
  // With History::snapshot, once, after end(): an empty state from which snapshots are made on the
  // housekeeping's thread. Null for none.
  virtual std::unique_ptr<SnapshotState> make_state() { return nullptr; }
  virtual sys::Status record(const RecordView& record) = 0;
  // After the last record known so far, before anything on disk is changed: the last chance to
  // refuse. Called again if more records followed (see Engine::appendable).
  virtual sys::Status end() { return {}; }
};

struct Stats {
  uint64_t records = 0;        // appended by this engine and acknowledged
  uint64_t batches = 0;        // written by this engine, without seals
  uint64_t bytes_written = 0;  // into published segments, including padding
  uint64_t flushes = 0;        // fdatasync of published segments
  uint64_t seals = 0;
  uint64_t rolls = 0;
  uint64_t recovered_records = 0;
  uint64_t unproven_records = 0;  // of these, copied because nothing proved them durable
  uint64_t segment_bytes = 0;
  uint32_t segment = 0;      // number of the current one, 0 while there is none
  uint32_t blocks_free = 0;  // left in the current segment
  uint64_t epoch = 0;        // how many times this store was opened
  bool direct_io = false;    // false: buffered writes, a weaker guard against a lying cache
  bool spare_ready = false;
  int64_t file_system = 0;    // see sys::file_system_name, sys::file_system_volatile
  uint64_t snapshot_seq = 0;  // of the snapshot that opening started from, 0 for none
  HousekeepingStats housekeeping;
};

class Engine {
 public:
  // Locks, recovers, shows every record to `visitor` and makes a fresh segment; then appends are
  // possible (exception: appendable()). `file_system` and `visitor` must outlive the engine.
  //
  // Codes: locked (names the holder's pid), not_found, permission, invalid (kind, schema, segment
  // size, options), version, corrupt, unreadable (a read error; nothing was changed), io, no_space
  // (only for a new store), and anything that the visitor returned. A supervisor does not restart
  // after version, corrupt and unreadable: see ends_for_good().
  static sys::Result<std::unique_ptr<Engine>> open(sys::FileSystem& file_system,
                                                   const Options& options, RecordVisitor& visitor);
  // Without close() this is a crash: nothing is flushed, only descriptors are closed.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // ---- append side --------------------------------------------------------------------------
  // Reserves room for `records` records of `payload_bytes` bytes in total, in the open batch and so
  // on disk. They are one atomic unit (as is the whole batch). The reservation holds until the next
  // reserve(), begin_commit(), begin_seal() or refused complete(). Only ok changes anything:
  //   ok           append() cannot fail now
  //   no_space     definite: no room on disk, now; tried again by itself each second
  //   resources, permission, unsupported: definite, likewise; why there is no next segment
  //   unavailable  the next segment is merely late: keep the request and try again when
  //                SparePreparer's hook fires, or after the next turn
  //   overloaded   the open batch is full: commit first, then try again
  //   too_large    more than any batch can hold: see batch_payload_bytes_max()
  //   failed, closed
  [[nodiscard]] sys::Status reserve(size_t payload_bytes, uint32_t records);
  // The time of all records of the open batch, fixed by the first call after a commit; never before
  // an earlier one. Microseconds since 1970. append() fixes it if it is not fixed yet.
  uint64_t batch_time_us() noexcept;
  // Appends within the reservation; returns the sequence. The caller defines `type` and `flags`.
  uint64_t append(uint16_t type, uint16_t flags, Bytes bytes) noexcept;
  // The same without a copy: the caller fills the `size` bytes before the next call here.
  std::span<std::byte> append_in_place(uint16_t type, uint16_t flags, size_t size) noexcept;

  [[nodiscard]] bool has_open_batch() const noexcept { return open_.records != 0; }
  // Upper bound of a reservation; see reservation_bytes().
  [[nodiscard]] size_t batch_payload_bytes_max() const noexcept {
    return batch_bytes_max_ - sizeof(format::FrameHeader);
  }
  // The amount that reserve() counts: exact for one record, an upper bound for several.
  static constexpr size_t reservation_bytes(size_t payload_bytes, uint32_t records) noexcept {
    return records == 1 ? record_extent(payload_bytes) : payload_bytes + size_t{15} * records;
  }

  // Sequence of the last append, complete or not; 0 for none.
  [[nodiscard]] uint64_t last_seq() const noexcept { return last_seq_; }
  // Everything up to here may be shown and answered: flushed (Sync::always), else written.
  [[nodiscard]] uint64_t acknowledged_seq() const noexcept {
    ESPORA_DEFECT(acknowledge_before_flush) return current_.end_seq;
    return acknowledged_seq_;
  }
  // Everything up to here is on the device.
  [[nodiscard]] uint64_t durable_seq() const noexcept { return durable_seq_; }
  [[nodiscard]] uint64_t last_time_us() const noexcept { return last_time_us_; }

  // A write or flush failed: pending records are indeterminate, and nothing more is written.
  // failure() has the reason. The process should answer what it can and end.
  [[nodiscard]] bool poisoned() const noexcept { return !failure_.ok(); }
  [[nodiscard]] const sys::Status& failure() const noexcept { return failure_; }

  // False while there is no space for the fresh segment that opening makes: reserve() refuses.
  // maintain() makes the segment once there is space.
  [[nodiscard]] bool appendable() const noexcept { return opening_ == nullptr; }
  // False while, in addition, the newest records could not be made durable, and so were not shown:
  // what the visitor has seen may be older than what was answered, and must not be revealed. The
  // causes are a file system that does not give the room which it had reserved, a reserve that was
  // removed or that an earlier version did not make, or more unproven records than fit into it,
  // which Sync::always never leaves behind. maintain() shows the rest once there is space.
  [[nodiscard]] bool whole() const noexcept {
    ESPORA_DEFECT(start_with_an_older_state) return true;
    return opening_ == nullptr || opening_->whole();
  }
  // Why whole() is false.
  [[nodiscard]] sys::Status unsecured() const;

  // Each begins its work if there is any and none is under way. A commit takes the open batch;
  // further appends go into the next one. A flush makes everything written so far durable. A seal
  // records on disk that everything before it is durable.
  bool begin_commit() noexcept;
  bool begin_flush() noexcept;
  bool begin_seal() noexcept;
  // After the last step(): moves acknowledged_seq and durable_seq, or poisons. A failure is
  // Code::indeterminate for the batch in work and everything appended since. But Code::no_space is
  // definite: both are not stored and never will be, last_seq() is that of the batches written
  // before, and nothing is poisoned. It takes a file system that needs space to overwrite existing
  // blocks, such as a copy-on-write one: elsewhere a batch has its space before it is appended.
  [[nodiscard]] sys::Status complete();

  // begin, all steps, complete: for the inline driver. ok if there is nothing to do.
  [[nodiscard]] sys::Status commit();
  // Also records its promise on disk with a seal, unless a later batch does so at once.
  [[nodiscard]] sys::Status flush();
  [[nodiscard]] sys::Status seal();

  // Does what is due between turns: the interval's flush, the seal about 100 ms after the last
  // commit, the fresh segment that opening had no space for. Call at maintenance_due_ns() (of the
  // file system's monotonic clock; UINT64_MAX for never; changes with every call here) and when
  // SparePreparer's hook fires.
  [[nodiscard]] sys::Status maintain();
  [[nodiscard]] uint64_t maintenance_due_ns() const noexcept;

  // Commits what is open, flushes, seals, releases the lock. The engine is unusable afterwards,
  // even after an error. No other thread may still use the spare preparer.
  [[nodiscard]] sys::Status close();

  // This store's directory, even if it was moved since it was opened: other readers must use
  // Directory::again() and never the path.
  [[nodiscard]] const Directory& directory() const noexcept { return directory_; }

  [[nodiscard]] Stats stats() const noexcept;
  // Zero-fills segments ahead of use. Must be stepped: see housekeeping_thread.h.
  [[nodiscard]] SparePreparer& spare_preparer() noexcept { return *spares_; }
  // Rewrites closed segments and makes snapshots; must also be stepped. If it fails to flush the
  // directory, the next call here poisons the engine.
  [[nodiscard]] Housekeeping& housekeeping() noexcept { return *housekeeping_; }

  // ---- step side ----------------------------------------------------------------------------
  // True from a begin_…() until its last step.
  [[nodiscard]] bool working() const noexcept { return work_.phase != Phase::idle; }
  // At most one system call. Errors are kept for complete().
  void step() noexcept;

 private:
  enum class WorkKind : uint8_t { none, batch, flush, seal };
  enum class Phase : uint8_t {
    idle,
    flush_before,  // flush earlier writes before a successor or a seal relies on them
    header,        // of the next segment, into the spare
    header_flush,
    rename,
    directory_flush,
    erase,        // the header that a refused batch left in the next frame's place
    erase_flush,  // before any part of that frame can be on disk
    write,
    look_back,  // after no space for it: reads whether it was written nevertheless
    flush,
  };

  // Append side: the batch that takes appends. Space for the frame's header is left at its front.
  struct OpenBatch {
    BlockBuffer buffer;
    size_t used = sizeof(format::FrameHeader);
    size_t reserved = 0;  // limit for `used`; 0 without a reservation
    uint32_t records = 0;
    uint64_t first_seq = 0;
    uint64_t time_us = 0;
    bool timed = false;
  };

  // What begin_…() hands to step(), and step() to complete().
  struct Work {
    WorkKind kind = WorkKind::none;
    Phase phase = Phase::idle;
    BlockBuffer buffer;
    format::FrameHeader frame{};
    bool encoded = false;
    bool roll = false;
    Spare spare;         // with roll
    size_t bytes = 0;    // whole blocks
    size_t written = 0;  // of them
    uint32_t flushes = 0;
    uint32_t block_before = 0;       // place of the next batch if this one is refused
    Phase refused_in = Phase::idle;  // where space ran out, so that nothing of it counts
    size_t looked = 0;               // bytes that look_back found
    bool torn = false;               // the frame's header was found, but not the whole frame
    int error = 0;                   // errno
    const char* call = "";
    std::string file;  // in which the error occurred
  };

  Engine(sys::FileSystem& file_system, const Options& options, Directory directory, StoreLock lock);
  sys::Status start(RecordVisitor& visitor);
  sys::Status prepare();
  sys::Status adopt(const sys::Status& installed);

  // A defect, defined in the simulator's build alone (see defects.h).
  void absorb_last_frame() noexcept;

  void encode_frame() noexcept;
  void write_header() noexcept;
  void write_frame() noexcept;
  void look_back() noexcept;
  void erase() noexcept;
  void adopt_spare() noexcept;
  bool flush_current() noexcept;
  void next_phase(Phase phase) noexcept { work_.phase = phase; }
  void fail(int result, const char* call, std::string file) noexcept;
  void refuse(int result, const char* call, std::string file) noexcept;
  [[nodiscard]] sys::Status complete_refused(WorkKind kind);
  void settle_refused_roll();
  void begin(WorkKind kind, Phase phase) noexcept;
  sys::Status run() noexcept;
  [[nodiscard]] bool can_seal() const noexcept;
  // Batches end before this block: the last one is kept for the seal that proves them durable.
  [[nodiscard]] uint32_t batches_end() const noexcept { return segment_blocks_ - 1; }
  [[nodiscard]] sys::Status refusal() const;
  [[nodiscard]] sys::Status no_segment(const sys::Status& why) const;
  [[nodiscard]] sys::Status poison(sys::Code code) const;
  bool housekeeping_failed();

  sys::FileSystem& file_system_;
  const Options options_;
  Directory directory_;
  StoreLock lock_;
  std::unique_ptr<SparePreparer> spares_;
  std::unique_ptr<Housekeeping> housekeeping_;
  std::unique_ptr<Opening> opening_;  // until appends are possible

  // ---- append side ----
  OpenBatch open_;
  size_t batch_bytes_max_ = 0;
  uint32_t segment_blocks_ = 0;
  uint32_t next_block_ = 0;  // place of the next batch, after the one in work
  Spare reserved_spare_;     // taken because a reservation needs it
  bool closed_ = false;
  bool unsealed_ = false;     // records followed the last seal
  bool half_rolled_ = false;  // reserved_spare_ has its header, and only needs its name
  bool torn_ = false;         // a refused batch's header lies in the next frame's place
  uint64_t last_seq_ = 0;
  uint64_t acknowledged_seq_ = 0;
  uint64_t durable_seq_ = 0;
  uint64_t last_time_us_ = 0;
  uint64_t idle_since_ns_ = 0;       // the last commit
  uint64_t unflushed_since_ns_ = 0;  // the first commit not followed by a flush
  uint64_t full_until_ns_ = 0;       // no batch is tried before, because one found no space; or 0
  sys::Status full_;                 // the status of that batch
  sys::Status failure_;
  Stats stats_;

  Work work_;
  // ---- step side ----
  CurrentSegment current_;
  BlockBuffer header_block_;
};

}  // namespace espora::store
