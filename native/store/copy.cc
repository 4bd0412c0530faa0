#include "store/copy.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "store/committer.h"
#include "store/defects.h"
#include "store/dense.h"
#include "store/salvage.h"
#include "sys/limits.h"

namespace espora::store {

using format::block_bytes;
using sys::Code;
using sys::Status;

namespace {

// Writes dense segments one after another, and finally an empty segment that closes them.
class DenseWriter {
 public:
  DenseWriter(Directory& directory, StoreFacts facts)
      : directory_(directory), facts_(std::move(facts)) {}

  // The next record in sequence.
  Status put(const RecordView& record, bool run_begins) {
    // Its frames, including padding, must fit into the blocks of a normal segment.
    if (encoder_ && encoder_->end_block_with(record_extent(record.bytes.size())) >
                        blocks_of(facts_.segment_bytes)) {
      if (Status ended = end(); !ended.ok()) return ended;
    }
    if (!encoder_) {
      if (Status begun = begin(true); !begun.ok()) return begun;
      run_begins = true;
    }
    encoder_->put(record, run_begins);
    last_seq_ = record.seq;
    time_us_ = record.time_us;
    return encoder_->ready().size() >= limits::housekeeping_step_bytes ? write_ready() : Status();
  }

  // Publishes the store, which does not exist before.
  Status finish() {
    if (encoder_) {
      if (Status ended = end(); !ended.ok()) return ended;
    }
    if (Status begun = begin(false); !begun.ok()) return begun;
    const int allocated = fs().allocate(file_.get(), facts_.segment_bytes);
    if (allocated < 0) return error(allocated, "fallocate");
    if (Status published = publish_segment(); !published.ok()) return published;
    if (Status published = directory_.publish_store(facts_); !published.ok()) return published;
    ESPORA_DEFECT(copy_path_unflushed) return {};
    return directory_.sync_path();
  }

 private:
  [[nodiscard]] sys::FileSystem& fs() const noexcept { return directory_.file_system(); }
  [[nodiscard]] std::string temporary() const { return dense_temporary_name(header_.number); }
  [[nodiscard]] Status error(int result, const char* call) const {
    return failure_of(result, call, directory_.path() + "/" + temporary());
  }

  Status begin(bool dense) {
    format::SegmentHeader header{};
    header.magic = format::segment_magic;
    header.uuid = facts_.uuid;
    header.number = header_.number + 1;
    header.flags = dense ? format::segment_flag_dense : 0;
    header.epoch = 1;
    header.block_bytes = block_bytes;
    header.segment_bytes = facts_.segment_bytes;
    header.first_seq = last_seq_ + 1;
    header.durable_seq = last_seq_;
    header.previous_number = header_.number;
    header.previous_end_block = header_.dense_end_block;
    header.previous_last_seq = header_.dense_last_seq;
    header.previous_frame_crc = header_.dense_frame_crc;
    header.previous_time_us = header_.dense_time_us;
    header_ = header;
    const int filled = fs().random(std::as_writable_bytes(std::span(&header_.nonce, 1)));
    if (filled < 0) return error(filled, "getrandom");
    const int file = fs().open(directory_.handle(), temporary().c_str(),
                               {.write = true, .create = true, .exclusive = true});
    if (file < 0) return error(file, "open");
    file_ = sys::File(fs(), file);
    if (dense) encoder_.emplace(header_);
    return {};
  }

  Status write_ready() {
    const Bytes ready = encoder_->ready();
    if (ready.empty()) return {};
    const int wrote =
        write_all(fs(), file_.get(), ready, uint64_t{encoder_->block()} * block_bytes);
    if (wrote < 0) return error(wrote, "pwrite");
    encoder_->taken(blocks_of(ready.size()));
    return {};
  }

  Status end() {
    encoder_->finish();
    if (Status wrote = write_ready(); !wrote.ok()) return wrote;
    header_.dense_last_seq = last_seq_;
    header_.dense_end_block = encoder_->end_block();
    // Nothing was rewritten here: any value that the successor repeats is valid.
    header_.dense_frame_crc = static_cast<uint32_t>(header_.nonce);
    header_.dense_time_us = time_us_;
    header_.dense_index_block = encoder_->end_block();
    header_.dense_frame_count = static_cast<uint32_t>(encoder_->entries().size());
    const std::vector<std::byte> index = encode_index(header_, encoder_->entries());
    const uint64_t index_at = uint64_t{header_.dense_index_block} * block_bytes;
    header_.dense_file_bytes = index_at + index.size();
    const int wrote = write_all(fs(), file_.get(), index, index_at);
    if (wrote < 0) return error(wrote, "pwrite");
    encoder_.reset();
    return publish_segment();
  }

  Status publish_segment() {
    const BlockBuffer block(block_bytes);
    encode_segment_header(header_, block.span());
    const int wrote = write_all(fs(), file_.get(), block.span(), 0);
    if (wrote < 0) return error(wrote, "pwrite");
    int synced = 0;
    ESPORA_DEFECT(copy_unflushed) synced = 1;
    if (synced == 0) synced = fs().fsync(file_.get());
    if (synced < 0) return error(synced, "fsync");
    file_.reset();
    const int renamed =
        fs().rename(directory_.handle(), temporary().c_str(), segment_name(header_.number).c_str());
    if (renamed < 0) return error(renamed, "rename");
    ESPORA_DEFECT(copy_directory_unflushed) return {};
    return directory_.sync();
  }

  Directory& directory_;
  const StoreFacts facts_;
  format::SegmentHeader header_{};  // of the current segment, or of the last one
  sys::File file_;
  std::optional<DenseEncoder> encoder_;  // while a segment is written
  uint64_t last_seq_ = 0;
  uint64_t time_us_ = 0;
};

Status check_empty(const Directory& target) {
  Listing listing;
  if (Status listed = target.list(listing); !listed.ok()) return listed;
  if (!listing.has_store && listing.segments.empty() && listing.snapshots.empty() &&
      listing.temporaries.empty() && listing.foreign.empty()) {
    return {};
  }
  return Status(Code::exists, target.path() + ": is not empty, a copy needs a new directory");
}

// What both kinds of copying share: the target, and the progress.
class Copy {
 public:
  explicit Copy(sys::FileSystem& file_system) noexcept : file_system_(file_system) {}

  // Creates a new store with the properties of `source`.
  Status begin(const std::string& to, const StoreFacts& source) {
    report.source = source;
    auto opened = Directory::open(file_system_, to, true, false);
    if (!opened.ok()) return opened.status();
    target_.emplace(std::move(opened).value());
    if (Status empty = check_empty(*target_); !empty.ok()) return empty;
    report.copy = source;
    const int filled = file_system_.random(std::as_writable_bytes(std::span(report.copy.uuid)));
    if (filled < 0) return Status::from_errno(-filled, "getrandom", to);
    writer_.emplace(*target_, report.copy);
    return {};
  }

  // Copies the records of `frame` from the next expected one to `last_seq`.
  Status take(const FrameView& frame, uint64_t last_seq) {
    RecordCursor cursor(frame.header, frame.payload);
    RecordView record;
    bool first = true;
    while (cursor.next(record)) {
      if (record.seq <= report.last_seq || record.seq > last_seq) continue;
      // A damaged clock is no reason to lose a record, but in a copy times never go back.
      record.time_us = std::max(record.time_us, time_us_);
      const bool begins = first || record.time_us != time_us_;
      if (Status put = writer_->put(record, begins); !put.ok()) return put;
      first = false;
      report.last_seq = record.seq;
      time_us_ = record.time_us;
      if (record.type != lost_record_type) report.records++;
    }
    return {};
  }

  // Records up to `seq` are lost: placeholders take their places, so that no sequence changes.
  Status lose(uint64_t seq, const Damage& damage) {
    report.losses.push_back({report.last_seq + 1, seq, damage.segment, damage.block, damage.what});
    for (bool first = true; report.last_seq < seq; first = false) {
      const RecordView lost{++report.last_seq, time_us_, lost_record_type, 0, {}};
      if (Status put = writer_->put(lost, first); !put.ok()) return put;
    }
    return {};
  }

  Status finish() { return writer_->finish(); }

  CopyReport report;

 private:
  sys::FileSystem& file_system_;
  std::optional<Directory> target_;
  std::optional<DenseWriter> writer_;
  uint64_t time_us_ = 0;
};

// Copies a sound store while it may be written to: everything that a reader shows, or fails.
class Backup final : private ReadVisitor {
 public:
  explicit Backup(Directory source)
      : from_(source.path()), source_(std::move(source)), copy_(source_.file_system()) {}

  sys::Result<CopyReport> run(const std::string& to, uint64_t durable_seq) {
    auto reader = Reader::open(std::move(source_), durable_seq);
    if (!reader.ok()) return reader.status();
    last_seq_ = reader.value()->last_seq();
    if (Status begun = copy_.begin(to, reader.value()->store()); !begun.ok()) return begun;
    if (Status walked = reader.value()->walk(*this); !walked.ok()) return walked;
    if (status_.ok() && copy_.report.last_seq < last_seq_) status_ = missing();
    if (status_.ok()) status_ = copy_.finish();
    if (!status_.ok()) return status_;
    return std::move(copy_.report);
  }

 private:
  bool frame(const FrameView& frame) override {
    if (!status_.ok()) return false;
    if (frame.seal()) return true;
    status_ = frame.header.first_seq > copy_.report.last_seq + 1 ? missing()
                                                                 : copy_.take(frame, last_seq_);
    return status_.ok();
  }

  void finding(const Finding& finding) override {
    copy_.report.findings.push_back(finding);
    if (finding.severity != Severity::damage || !status_.ok()) return;
    status_ = Status(finding.code, from_ + ": " + finding.text());
  }

  [[nodiscard]] Status missing() const {
    const Damage damage{0, 0, copy_.report.last_seq + 1, false, "durable records are not there"};
    return Status(Code::corrupt, from_ + ": " + damage.text());
  }

  const std::string from_;
  Directory source_;
  Copy copy_;
  Status status_;
  uint64_t last_seq_ = 0;
};

// Copies a damaged store that no process has open: all readable records, and lists the rest.
class Repair final : private ReadVisitor, private SalvageVisitor {
 public:
  explicit Repair(Directory source)
      : from_(source.path()), source_(std::move(source)), copy_(source_.file_system()) {}

  sys::Result<CopyReport> run(const std::string& to, uint64_t durable_seq,
                              const std::string& like) {
    std::optional<StoreFacts> kind;
    if (!like.empty()) {
      auto other = Directory::open(source_.file_system(), like, false, false);
      if (!other.ok()) return other.status();
      auto facts = other.value().read_store(false);
      if (!facts.ok()) return facts.status();
      kind = std::move(facts).value();
    }
    // A service would rewrite segments meanwhile, and what is missing would look like damage.
    if (source_.in_use()) return in_use();
    auto salvage = Salvage::open(source_, kind ? &*kind : nullptr);
    if (!salvage.ok()) return salvage.status();
    if (Status examined = examine(durable_seq); !examined.ok()) return examined;
    for (const Finding& finding : salvage.value()->findings()) {
      copy_.report.findings.push_back(finding);
    }
    if (Status begun = copy_.begin(to, salvage.value()->store()); !begun.ok()) return begun;
    if (Status walked = salvage.value()->walk(*this, durable_seq, copy_.report.damaged());
        !walked.ok()) {
      return walked;
    }
    if (source_.in_use()) return in_use();
    if (Status finished = copy_.finish(); !finished.ok()) return finished;
    return std::move(copy_.report);
  }

 private:
  [[nodiscard]] Status in_use() const {
    return Status(Code::locked,
                  from_ +
                      ": the store is open in another process; stop it first, a repair needs "
                      "files that stay as they are");
  }

  // Finds what is wrong with it as a store, whether or not a record was lost.
  Status examine(uint64_t durable_seq) {
    auto again = source_.again();
    if (!again.ok()) return again.status();
    auto reader = Reader::open(std::move(again).value(), durable_seq);
    if (reader.ok()) return reader.value()->walk(*this);
    const Code code = reader.status().code();
    // STORE is missing or unreadable: the salvage finds out more, and reports it itself.
    if (about_store(code) || code == Code::not_found) return {};
    return reader.status();
  }

  bool frame(const FrameView&) override { return true; }
  void finding(const Finding& finding) override { copy_.report.findings.push_back(finding); }
  Status records(const FrameView& frame, uint64_t, uint64_t last_seq) override {
    return copy_.take(frame, last_seq);
  }
  Status lost(uint64_t last_seq, const Damage& damage) override {
    return copy_.lose(last_seq, damage);
  }

  const std::string from_;
  Directory source_;
  Copy copy_;
};

}  // namespace

bool CopyReport::damaged() const noexcept {
  return !losses.empty() || std::any_of(findings.begin(), findings.end(), [](const Finding& each) {
    return each.severity == Severity::damage;
  });
}

sys::Result<CopyReport> copy_store(Directory from, const std::string& to, OnDamage on_damage,
                                   uint64_t durable_seq, const std::string& like) {
  if (on_damage == OnDamage::give_up) return Repair(std::move(from)).run(to, durable_seq, like);
  return Backup(std::move(from)).run(to, durable_seq);
}

}  // namespace espora::store
