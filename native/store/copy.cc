#include "store/copy.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "store/committer.h"
#include "store/dense.h"
#include "sys/limits.h"

namespace espora::store {

using format::block_bytes;
using sys::Code;
using sys::Status;

namespace {

// Writes dense segments one after the other, and at the end an empty one that they are closed by.
class DenseWriter {
 public:
  DenseWriter(Directory& directory, StoreFacts facts)
      : directory_(directory), facts_(std::move(facts)) {}

  // The next record in sequence.
  Status put(const RecordView& record, bool run_begins) {
    const uint64_t bytes = record_extent(record.bytes.size()) + sizeof(format::RunHeader);
    // Its frames must fit where a segment's would be, whatever padding comes to them.
    if (encoder_ && content_bytes_ + bytes > facts_.segment_bytes / 2) {
      if (Status ended = end(); !ended.ok()) return ended;
    }
    if (!encoder_) {
      if (Status begun = begin(true); !begun.ok()) return begun;
      run_begins = true;
    }
    encoder_->put(record, run_begins);
    content_bytes_ += bytes;
    last_seq_ = record.seq;
    time_us_ = record.time_us;
    return encoder_->ready().size() >= limits::housekeeping_step_bytes ? write_ready() : Status();
  }

  // Publishes the store: until then it is none.
  Status finish() {
    if (encoder_) {
      if (Status ended = end(); !ended.ok()) return ended;
    }
    if (Status begun = begin(false); !begun.ok()) return begun;
    const int allocated = fs().allocate(file_.get(), facts_.segment_bytes);
    if (allocated < 0) return error(allocated, "fallocate");
    if (Status published = publish_segment(); !published.ok()) return published;
    if (Status published = directory_.publish_store(facts_); !published.ok()) return published;
    return directory_.sync_path();
  }

 private:
  [[nodiscard]] sys::FileSystem& fs() const noexcept { return directory_.file_system(); }
  [[nodiscard]] std::string temporary() const { return dense_temporary_name(header_.number); }
  [[nodiscard]] Status error(int result, const char* call) const {
    return Status::from_errno(-result, call, directory_.path() + "/" + temporary());
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
    content_bytes_ = 0;
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
    // Nothing was rewritten here: any value does that the successor repeats.
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
    const int synced = fs().fsync(file_.get());
    if (synced < 0) return error(synced, "fsync");
    file_.reset();
    const int renamed =
        fs().rename(directory_.handle(), temporary().c_str(), segment_name(header_.number).c_str());
    if (renamed < 0) return error(renamed, "rename");
    return directory_.sync();
  }

  Directory& directory_;
  const StoreFacts facts_;
  format::SegmentHeader header_{};  // of the current segment, or of the last one
  sys::File file_;
  std::optional<DenseEncoder> encoder_;  // while a segment is written
  uint64_t content_bytes_ = 0;
  uint64_t last_seq_ = 0;
  uint64_t time_us_ = 0;
};

class Copy final : private ReadVisitor {
 public:
  Copy(Directory source, OnDamage on_damage)
      : file_system_(source.file_system()),
        from_(source.path()),
        on_damage_(on_damage),
        source_(std::move(source)) {}

  sys::Result<CopyReport> run(const std::string& to, uint64_t durable_seq) {
    auto walked_over = source_.again();
    if (!walked_over.ok()) return walked_over.status();
    auto reader = Reader::open(std::move(walked_over).value(), durable_seq);
    if (!reader.ok()) return reader.status();
    report_.source = reader.value()->store();
    proven_seq_ = reader.value()->last_seq();
    source_.set_direct(false);
    auto target = Directory::open(file_system_, to, true, false);
    if (!target.ok()) return target.status();
    if (Status empty = check_empty(target.value()); !empty.ok()) return empty;
    report_.copy = report_.source;
    const int filled = file_system_.random(std::as_writable_bytes(std::span(report_.copy.uuid)));
    if (filled < 0) return Status::from_errno(-filled, "getrandom", to);
    writer_.emplace(target.value(), report_.copy);

    if (Status walked = reader.value()->walk(*this); !walked.ok()) return walked;
    if (!status_.ok()) return status_;
    if (last_seq_ < proven_seq_) {
      if (Status lost = lose(proven_seq_); !lost.ok()) return lost;
    }
    if (Status finished = writer_->finish(); !finished.ok()) return finished;
    report_.last_seq = last_seq_;
    return std::move(report_);
  }

 private:
  static Status check_empty(const Directory& target) {
    Listing listing;
    if (Status listed = target.list(listing); !listed.ok()) return listed;
    if (!listing.has_store && listing.segments.empty() && listing.snapshots.empty() &&
        listing.temporaries.empty() && listing.foreign.empty()) {
      return {};
    }
    return Status(Code::exists, target.path() + ": is not empty, a copy needs a new directory");
  }

  bool frame(const FrameView& frame) override {
    if (!status_.ok()) return false;
    status_ = take(frame);
    return status_.ok();
  }

  void finding(const Finding& finding) override {
    report_.findings.push_back(finding);
    if (finding.severity != Severity::damage || !status_.ok()) return;
    if (on_damage_ == OnDamage::refuse) {
      status_ = Status(finding.code, from_ + ": " + finding.text());
      return;
    }
    damage_ = finding.place;
    if (finding.place.segment != 0 && finding.place.block != 0) status_ = salvage(finding.place);
  }

  Status take(const FrameView& frame) {
    if (frame.seal()) return {};
    if (frame.header.first_seq > last_seq_ + 1) {
      if (Status lost = lose(frame.header.first_seq - 1); !lost.ok()) return lost;
    }
    RecordCursor cursor(frame.header, frame.payload);
    RecordView record;
    bool first = true;
    while (cursor.next(record)) {
      if (record.seq <= last_seq_ || record.seq > proven_seq_) continue;
      const bool begins = first || record.time_us != time_us_;
      if (Status put = writer_->put(record, begins); !put.ok()) return put;
      first = false;
      last_seq_ = record.seq;
      time_us_ = record.time_us;
      if (record.type != lost_record_type) report_.records++;
    }
    return {};
  }

  // Records up to `seq` are gone: something stands in their place, so that no sequence changes.
  Status lose(uint64_t seq) {
    const Damage damage =
        damage_.value_or(Damage{0, 0, last_seq_ + 1, false, "durable records are not there"});
    report_.losses.push_back({last_seq_ + 1, seq, damage.segment, damage.block, damage.what});
    if (on_damage_ == OnDamage::refuse) return Status(Code::corrupt, from_ + ": " + damage.text());
    for (bool first = true; last_seq_ < seq; first = false) {
      const RecordView lost{++last_seq_, time_us_, lost_record_type, 0, {}};
      if (Status put = writer_->put(lost, first); !put.ok()) return put;
    }
    return {};
  }

  // Frames behind a damaged one of the same segment, each found by itself.
  Status salvage(const Damage& damage) {
    auto opened = source_.open_segment(damage.segment, report_.source.segment_bytes);
    if (!opened.ok()) return {};
    auto header = source_.read_header(opened.value());
    if (!header.ok()) return {};
    LoadedSegment loaded;
    const uint32_t blocks = blocks_of(opened.value().bytes);
    if (!source_.load(opened.value(), blocks, loaded).ok()) return {};
    const FrameWalk evidence(header.value(), loaded.image());
    for (uint32_t block = damage.block; block < blocks;) {
      const auto found = evidence.evidence_at(block);
      FrameView frame;
      if (!found || found->first_seq <= last_seq_ || found->first_seq > proven_seq_ ||
          FrameWalk(header.value(), loaded.image(),
                    {block, found->first_seq, found->previous_frame_crc, 0})
                  .next(frame) != FrameVerdict::accept) {
        block++;
        continue;
      }
      if (Status taken = take(frame); !taken.ok()) return taken;
      block += frame.blocks;
    }
    return {};
  }

  sys::FileSystem& file_system_;
  const std::string from_;
  const OnDamage on_damage_;
  Directory source_;
  std::optional<DenseWriter> writer_;
  CopyReport report_;
  Status status_;
  std::optional<Damage> damage_;  // the last that was seen
  uint64_t proven_seq_ = 0;
  uint64_t last_seq_ = 0;
  uint64_t time_us_ = 0;
};

}  // namespace

sys::Result<CopyReport> copy_store(Directory from, const std::string& to, OnDamage on_damage,
                                   uint64_t durable_seq) {
  return Copy(std::move(from), on_damage).run(to, durable_seq);
}

sys::Result<CopyReport> copy_store(sys::FileSystem& file_system, const std::string& from,
                                   const std::string& to, OnDamage on_damage,
                                   uint64_t durable_seq) {
  auto opened = Directory::open(file_system, from, false, true);
  if (!opened.ok()) return opened.status();
  return copy_store(std::move(opened).value(), to, on_damage, durable_seq);
}

}  // namespace espora::store
