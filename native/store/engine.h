// The store's engine: one append-only log in one directory, as a step machine without threads of
// its own. reserve → append → begin → step… → complete; the files behind it are FORMAT.md.
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

// When the device is told to keep what was written.
enum class Sync : uint8_t {
  always,    // before an append counts as acknowledged
  interval,  // within Options::flush_interval_ms after the write that acknowledged it
  never,     // only by flush(), at a roll to the next segment, and by close()
};

struct Options {
  std::string directory;
  // Makes directory and store where there are none; otherwise a missing one is Code::not_found.
  bool create = false;
  // 0: as the store has it, limits::segment_bytes_default for a new one. A multiple of 4096.
  uint64_t segment_bytes = 0;
  Sync sync = Sync::always;
  uint32_t flush_interval_ms = 10;
  // What the records are ("ledger", "bytes", …), and their schema in the caller's own encoding:
  // both are kept in the store, and opening with other ones is Code::invalid, naming both (see
  // RecordVisitor::schema_changed).
  std::string kind;
  std::vector<std::byte> schema;
  // How long another holder of the lock is waited for.
  uint32_t lock_retry_ms = 500;
  // False: never O_DIRECT (for file systems where it misbehaves); weaker, see Stats::direct_io.
  bool direct_io = true;
  // Whether closed segments are rewritten densely: see housekeeping.h.
  bool rewrite_segments = true;
};

// What open() has to show of the log.
enum class History : uint8_t {
  all,       // every record
  snapshot,  // the newest snapshot, if there is one, and every record after it
  tail,      // nothing in particular: at least no closed segment is read
};

// Sees the log while a store is opened, in order. Any Status but ok ends open() with it.
//
// With History::all every segment is read and checked. With the others opening costs the newest
// snapshot and the segments after it, as a rule one closed one and the last; of older segments only
// the names are looked at, and damage in them is found when they are read, or by verify().
class RecordVisitor {
 public:
  virtual ~RecordVisitor() = default;

  // Before the first record, and only if the stored schema differs from Options::schema (the kind
  // must always be equal). ok: the schema that the store has from then on if the rest of open()
  // succeeds, the stored one or any other. Without this function another schema is refused.
  virtual sys::Result<std::vector<std::byte>> schema_changed(Bytes stored, Bytes given);
  [[nodiscard]] virtual History history() const { return History::all; }
  // With History::snapshot: before the first record, if there is a snapshot, what a SnapshotState
  // gave. Records go on behind `seq`.
  virtual sys::Status restore(Bytes state, uint64_t seq);
  // With History::snapshot, once, after end(): a state without records of its own, from which
  // snapshots are made on the housekeeping's thread. Null for none.
  virtual std::unique_ptr<SnapshotState> make_state() { return nullptr; }
  virtual sys::Status record(const RecordView& record) = 0;
  // After the last record that is known now, before anything on disk is changed: the last chance to
  // refuse. Called again if records followed later (see Engine::appendable).
  virtual sys::Status end() { return {}; }
};

struct Stats {
  uint64_t records = 0;        // appended by this engine and acknowledged
  uint64_t batches = 0;        // written by this engine, seals left out
  uint64_t bytes_written = 0;  // into published segments, padding included
  uint64_t flushes = 0;        // fdatasync of published segments
  uint64_t seals = 0;
  uint64_t rolls = 0;
  uint64_t recovered_records = 0;
  uint64_t unproven_records = 0;  // of those: were copied, because nothing proved them durable
  uint64_t segment_bytes = 0;
  uint32_t segment = 0;      // number of the current one, 0 while there is none
  uint32_t blocks_free = 0;  // left in it
  uint64_t epoch = 0;        // how many times this store was opened
  bool direct_io = false;    // false: buffered writes, a weaker guard against a lying cache
  bool spare_ready = false;
  int64_t file_system = 0;    // see sys::file_system_name, sys::file_system_volatile
  uint64_t snapshot_seq = 0;  // of the snapshot that it was opened from, 0 for none
  HousekeepingStats housekeeping;
};

class Engine {
 public:
  // Locks, recovers, shows every record to `visitor` and makes a fresh segment; then appends are
  // possible (exception: appendable()). `file_system` and `visitor` must outlive the engine.
  //
  // Codes: locked (names the holder's pid), not_found, permission, invalid (kind, schema, segment
  // size, options), version, corrupt, unreadable (a read error; nothing was changed), io, no_space
  // (a new store only), and whatever the visitor returned. A supervisor does not restart after
  // version, corrupt and unreadable: see ends_for_good().
  static sys::Result<std::unique_ptr<Engine>> open(sys::FileSystem& file_system,
                                                   const Options& options, RecordVisitor& visitor);
  // Without close() before it this is a crash: nothing is flushed, only descriptors are closed.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // ---- append side --------------------------------------------------------------------------
  // Room for `records` records of `payload_bytes` bytes together, in the open batch and so on disk.
  // They are one atomic unit (as is the whole batch). The reservation holds until the next
  // reserve(), begin_commit(), begin_seal() or refused complete(). Nothing is changed unless ok:
  //   ok           append() cannot fail now
  //   no_space     definite: no room on disk, now; tried again by itself each second
  //   resources, permission, unsupported: definite, likewise; why there is no next segment
  //   unavailable  the next segment is merely late: keep the request and try again when
  //                SparePreparer's hook fires, or after the next turn
  //   overloaded   the open batch is full: commit first, then try again
  //   too_large    more than any batch can hold: see batch_payload_bytes_max()
  //   failed, closed
  [[nodiscard]] sys::Status reserve(size_t payload_bytes, uint32_t records);
  // The time that records of the open batch have: fixed by the first call after a commit; never
  // before an earlier one. Microseconds since 1970. An append without it does it.
  uint64_t batch_time_us() noexcept;
  // Appends within what was reserved; returns the record's sequence number. `type` and `flags` are
  // the caller's.
  uint64_t append(uint16_t type, uint16_t flags, Bytes bytes) noexcept;
  // The same without a copy: `size` bytes to be filled by the caller before the next call here.
  std::span<std::byte> append_in_place(uint16_t type, uint16_t flags, size_t size) noexcept;

  [[nodiscard]] bool has_open_batch() const noexcept { return open_.records != 0; }
  // What a reservation can be at most; see reservation_bytes().
  [[nodiscard]] size_t batch_payload_bytes_max() const noexcept {
    return batch_bytes_max_ - sizeof(format::FrameHeader);
  }
  // What reserve() counts: exact for one record, an upper bound for several.
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
  // Time of the newest record.
  [[nodiscard]] uint64_t last_time_us() const noexcept { return last_time_us_; }

  // A write or flush failed: what was pending is indeterminate, nothing is written any more.
  // failure() says what it was. The process should answer what it can and end.
  [[nodiscard]] bool poisoned() const noexcept { return !failure_.ok(); }
  [[nodiscard]] const sys::Status& failure() const noexcept { return failure_; }

  // False while an opened store had no space for its fresh segment: reserve() refuses. maintain()
  // goes on from there once there is space.
  [[nodiscard]] bool appendable() const noexcept { return opening_ == nullptr; }
  // False while, besides, the newest records could not be made durable, and so not be shown: what
  // the visitor has seen may be older than what was answered, and must be shown to nobody. It takes
  //   a file system that gives no room which it had reserved,
  //   a reserve that somebody removed, or that an earlier version did not make,
  //   or more unproven records than it has room for, which Sync::always never leaves behind.
  // maintain() shows the visitor the rest once there is space.
  [[nodiscard]] bool whole() const noexcept {
    ESPORA_DEFECT(start_with_an_older_state) return true;
    return opening_ == nullptr || opening_->whole();
  }
  // Why whole() is false.
  [[nodiscard]] sys::Status unsecured() const;

  // Each begins one piece of work if there is any and none is under way. A commit takes the open
  // batch; appends then go into the next one. A flush makes all that was written durable. A seal
  // says on disk that everything before it is.
  bool begin_commit() noexcept;
  bool begin_flush() noexcept;
  bool begin_seal() noexcept;
  // After the last step(): moves acknowledged_seq and durable_seq, or poisons. A failure is
  // Code::indeterminate for the batch in work and whatever was appended since; but Code::no_space
  // is definite: neither is stored, nor ever will be, last_seq() is what was written before, and
  // nothing is poisoned. It takes a file system that needs space to write over what is there, as
  // those that copy on write do: elsewhere a batch has its room before it is appended.
  [[nodiscard]] sys::Status complete();

  // begin, all steps, complete: for the inline driver. ok when there is nothing to do.
  [[nodiscard]] sys::Status commit();
  // What it promises is also said on disk, by a seal, where no later batch says it at once.
  [[nodiscard]] sys::Status flush();
  [[nodiscard]] sys::Status seal();

  // What is due between turns: the interval's flush, the seal about 100 ms after the last commit,
  // the fresh segment that opening had no space for. Call at maintenance_due_ns() (of the
  // file system's monotonic clock; UINT64_MAX for never; changes with every call here) and when
  // SparePreparer's hook fired.
  [[nodiscard]] sys::Status maintain();
  [[nodiscard]] uint64_t maintenance_due_ns() const noexcept;

  // Commits what is open, flushes, seals, releases the lock. The engine is of no use afterwards,
  // also after an error. The spare preparer must not be in use on another thread any more.
  [[nodiscard]] sys::Status close();

  // What this store is, wherever it was moved since it was opened: whoever reads beside the engine
  // gets there through Directory::again(), never by the path.
  [[nodiscard]] const Directory& directory() const noexcept { return directory_; }

  [[nodiscard]] Stats stats() const noexcept;
  // Zero-fills segments ahead of use. Somebody must step it: see housekeeping_thread.h.
  [[nodiscard]] SparePreparer& spare_preparer() noexcept { return *spares_; }
  // Rewrites closed segments and makes snapshots, likewise. A failure of it that matters (the flush
  // of the directory) poisons the engine with the next call here.
  [[nodiscard]] Housekeeping& housekeeping() noexcept { return *housekeeping_; }

  // ---- step side ----------------------------------------------------------------------------
  // True from a begin_…() until its last step.
  [[nodiscard]] bool working() const noexcept { return work_.phase != Phase::idle; }
  // At most one system call. Errors wait in the engine for complete().
  void step() noexcept;

 private:
  enum class WorkKind : uint8_t { none, batch, flush, seal };
  // What the next step() does.
  enum class Phase : uint8_t {
    idle,
    flush_before,  // what was written earlier, before a successor or a seal relies on it
    header,        // of the next segment, into the spare
    header_flush,
    rename,
    directory_flush,
    erase,        // what a refused batch left in the place of the next frame
    erase_flush,  // before a part of that frame can be there
    write,
    look_back,  // there was no space for it: is it there all the same?
    flush,
  };

  // Append side: the batch that takes appends. The frame's header is left free in front.
  struct OpenBatch {
    BlockBuffer buffer;
    size_t used = sizeof(format::FrameHeader);
    size_t reserved = 0;  // `used` may grow to this; 0 without a reservation
    uint32_t records = 0;
    uint64_t first_seq = 0;
    uint64_t time_us = 0;
    bool timed = false;
  };

  // What a begin_…() hands to step(), and step() to complete().
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
    uint32_t block_before = 0;       // where the next batch goes if this one is refused
    Phase refused_in = Phase::idle;  // there was no space, and nothing of it counts
    size_t looked = 0;               // bytes that look_back found there
    bool torn = false;               // it found the frame's header, and not all of the frame
    int error = 0;                   // errno
    const char* call = "";
    std::string file;  // that saw the error
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
  // Batches end before it: the last block is for a seal, so that what is durable can always be said
  // to be.
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
  uint32_t next_block_ = 0;  // where the next batch goes, after what is in work
  Spare reserved_spare_;     // taken because a reservation needs it
  bool closed_ = false;
  bool unsealed_ = false;     // records followed the last seal
  bool half_rolled_ = false;  // reserved_spare_ has its header, and lacks only its name
  bool torn_ = false;         // the header of a refused batch lies where the next frame goes
  uint64_t last_seq_ = 0;
  uint64_t acknowledged_seq_ = 0;
  uint64_t durable_seq_ = 0;
  uint64_t last_time_us_ = 0;
  uint64_t idle_since_ns_ = 0;       // the last commit
  uint64_t unflushed_since_ns_ = 0;  // the first commit that no flush followed
  uint64_t full_until_ns_ = 0;  // a batch found no space: no other is tried before; 0: none did
  sys::Status full_;            // what it was told
  sys::Status failure_;
  Stats stats_;

  Work work_;
  // ---- step side ----
  CurrentSegment current_;
  BlockBuffer header_block_;
};

}  // namespace espora::store
