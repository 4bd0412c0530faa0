#include "store/reader.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "store/defects.h"
#include "sys/limits.h"

namespace espora::store {

using sys::Code;
using sys::Status;

namespace {

Finding finding_of(Damage damage) {
  const Code code = damage.unreadable ? Code::unreadable : Code::corrupt;
  return {Severity::damage, code, std::move(damage)};
}

// Of a Status that is about the store.
Finding finding_of(uint32_t segment, uint32_t block, uint64_t seq, const Status& status) {
  return finding_of({segment, block, seq, status.code() == Code::unreadable, status.message()});
}

Finding note_of(std::string what) {
  return {Severity::note, Code::ok, {0, 0, 0, false, std::move(what)}};
}

// How often to look again because a service started or stopped in the meantime.
constexpr int looks_max = 4;

std::string records_text(uint64_t first, uint64_t last) {
  return first == last ? "record " + std::to_string(first)
                       : "records " + std::to_string(first) + " to " + std::to_string(last);
}

// What a missing STORE means: no store, an interrupted creation, or damage.
Status without_store(Directory& directory, const Listing& listing) {
  const auto verdict = directory.judge(listing);
  if (!verdict.ok()) return verdict.status();
  if (verdict.value() == DirectoryVerdict::nothing) {
    return Status(Code::not_found, directory.path() + ": there is no store here");
  }
  if (verdict.value() == DirectoryVerdict::unfinished) {
    return Status(Code::not_found, directory.path() +
                                       ": there is no store here yet, its creation was cut short; "
                                       "the next start makes it anew");
  }
  return Status(Code::corrupt,
                directory.path() + ": there are segments or snapshots, but no file STORE");
}

}  // namespace

std::string Finding::text() const { return place.segment == 0 ? place.what : place.text(); }

sys::Result<std::unique_ptr<Reader>> Reader::open(sys::FileSystem& file_system,
                                                  const std::string& directory, bool direct_io,
                                                  uint64_t durable_seq) {
  auto opened = Directory::open(file_system, directory, false, direct_io);
  if (!opened.ok()) return opened.status();
  return open(std::move(opened).value(), durable_seq);
}

sys::Result<std::unique_ptr<Reader>> Reader::open(Directory directory, uint64_t durable_seq) {
  Listing listing;
  if (Status listed = directory.list(listing); !listed.ok()) return listed;
  if (!listing.has_store) return without_store(directory, listing);
  auto facts = directory.read_store(false);
  if (!facts.ok()) return facts.status();
  std::unique_ptr<Reader> reader(
      new Reader(std::move(directory), std::move(facts).value(), durable_seq));
  bool changed = true;
  for (int left = looks_max; changed; left--) {
    changed = false;
    if (Status looked = reader->look(left > 1, changed); !looked.ok()) return looked;
  }
  return reader;
}

// The directory is listed again after STORE was read, because a new store gets its segment before
// its STORE. It is listed twice: a concurrent rename may hide a name from one listing, and a
// snapshot in the first has its segments in the second.
//
// After the last segment was opened, checks whether a process has the store open, and then whether
// that segment is still the last. If no process has, and it is, it is never written to again: every
// later opening writes into a segment of its own. `changed`: it is not the last, look again.
Status Reader::look(bool may_look_again, bool& changed) {
  proven_seq_ = last_seq_ = 0;
  segments_.clear();
  snapshots_.clear();
  findings_.clear();
  Listing earlier;
  Listing listing;
  if (Status listed = directory_.list(earlier); !listed.ok()) return listed;
  if (Status listed = directory_.list(listing); !listed.ok()) return listed;
  std::vector<uint32_t> segments;
  std::set_union(earlier.segments.begin(), earlier.segments.end(), listing.segments.begin(),
                 listing.segments.end(), std::back_inserter(segments));
  listing.segments = std::move(segments);
  listing.snapshots = std::move(earlier.snapshots);
  for (const std::string& name : listing.foreign) {
    findings_.push_back(note_of(name + " is not a file of the store"));
  }
  for (const std::string& name : listing.temporaries) note_obstacle(name);
  note_obstacle(lock_name);
  if (!listing.snapshots.empty()) proven_seq_ = listing.snapshots.back();
  if (listing.segments.empty()) {
    findings_.push_back(finding_of({0, 0, 0, false, "there is no segment"}));
    proven_seq_ = last_seq_ = std::max(proven_seq_, durable_seq_);
    return {};
  }
  if (Status headers = look_at_headers(listing); !headers.ok()) return headers;
  bool in_use = directory_.in_use();
  if (segments_.back().whole_header) {
    const auto last = is_last(segments_.back().header);
    if (!last.ok()) return last.status();
    changed = !last.value() && may_look_again;
    if (changed) return {};
    in_use = in_use || !last.value();
  }
  ESPORA_DEFECT(hide_tail_from_tools) in_use = true;
  if (Status evidence = take_evidence(in_use); !evidence.ok()) return evidence;
  return look_at_snapshots(listing);
}

// Whether the file with this header is still there under its name, and still the last.
sys::Result<bool> Reader::is_last(const format::SegmentHeader& header) const {
  Listing listing;
  if (Status listed = directory_.list(listing); !listed.ok()) return listed;
  if (listing.segments.empty() || listing.segments.back() != header.number) return false;
  auto directory = directory_.again();
  if (!directory.ok()) return directory.status();
  auto file = directory.value().open_segment(header.number, store_.segment_bytes);
  if (file.status().code() == Code::not_found) return false;
  if (!file.ok()) return file.status();
  const auto found = directory.value().read_header(file.value());
  if (!found.ok() && !about_store(found.status().code())) return found.status();
  return found.ok() && found.value().nonce == header.nonce;
}

// It holds no record, but the next start will be refused.
void Reader::note_obstacle(const std::string& name) {
  const Status passable = directory_.check_passable(name);
  if (!passable.ok()) findings_.push_back(note_of(passable.message() + " before the next start"));
}

// True if the failure was about the store, and is now a finding.
bool Reader::note_failure(uint32_t number, uint32_t block, const Status& status) {
  if (!about_store(status.code())) return false;
  findings_.push_back(finding_of(number, block, 0, status));
  return true;
}

Status Reader::look_at_headers(const Listing& listing) {
  uint32_t expected = 1;
  for (const uint32_t number : listing.segments) {
    if (number != expected) {
      Damage missing{expected, 0, 0, false, "is missing, up to segment " + std::to_string(number)};
      findings_.push_back(finding_of(std::move(missing)));
    }
    const bool follows = number == expected && !segments_.empty() && segments_.back().whole_header;
    expected = number + 1;
    SegmentFacts facts;
    facts.number = number;
    auto file = directory_.open_segment(number, store_.segment_bytes);
    const auto header = file.ok() ? directory_.read_header(file.value())
                                  : sys::Result<format::SegmentHeader>(file.status());
    if (!header.ok()) {
      if (!note_failure(number, 0, header.status())) return header.status();
      segments_.push_back(facts);
      continue;
    }
    facts.header = header.value();
    facts.file_bytes = file.value().bytes;
    auto damage =
        check_header(facts.header, number, store_, follows ? &segments_.back().header : nullptr);
    if (!damage && number == listing.segments.back()) damage = check_last_header(facts.header);
    facts.whole_header = !damage;
    if (damage) findings_.push_back(finding_of(std::move(*damage)));
    if (facts.whole_header) proven_seq_ = std::max(proven_seq_, proven_by(facts.header));
    segments_.push_back(facts);
    if (number == listing.segments.back()) last_file_ = std::move(file).value();
  }
  return {};
}

// Only evidence is taken from this pass: the records seen in it may be older than the evidence,
// read a moment later, that they are durable.
Status Reader::take_evidence(bool in_use) {
  const SegmentFacts& last = segments_.back();
  std::optional<Tail> tail;
  if (last.whole_header && last_file_.file.valid()) {
    window_.look_at(last_file_, blocks_of(store_.segment_bytes));
    Evidence evidence;
    evidence.proven_seq = proven_seq_;
    Status read = look_from_behind(last.header, window_, evidence);
    if (read.ok()) {
      read = examine_tail(
          last.header, window_, evidence, [](const auto&) { return Status(); }, tail.emplace());
    }
    if (!read.ok() && !note_failure(last.number, 0, read)) return read;
    if (!read.ok()) tail.reset();
    if (tail) proven_seq_ = tail->proven_seq;
  }
  proven_seq_ = std::max(proven_seq_, durable_seq_);
  last_seq_ = proven_seq_;
  if (!tail || tail->damage || tail->end.last_seq() <= proven_seq_) return {};
  const uint64_t end = tail->end.last_seq();
  ESPORA_DEFECT(show_unproven) in_use = false;
  if (!in_use) {
    last_seq_ = end;
    findings_.push_back(note_of(
        records_text(proven_seq_ + 1, end) +
        ": written whole, but nothing proves yet that the device has it all; shown, because the "
        "next start takes it"));
  } else if (durable_seq_ == 0) {
    findings_.push_back(
        note_of(records_text(proven_seq_ + 1, end) +
                ": left out, because the store is open in another process and nothing proves yet "
                "that the device has it all"));
  }
  return {};
}

// After the segments: a snapshot made meanwhile may have a successor that is not known here, but
// then its name was not in the listing either.
Status Reader::look_at_snapshots(const Listing& listing) {
  for (const uint64_t seq : listing.snapshots) {
    SnapshotFacts facts;
    facts.seq = seq;
    std::vector<std::byte> bytes;
    Bytes state;
    auto header = directory_.read_snapshot(seq, bytes, state);
    if (header.status().code() == Code::not_found) continue;  // replaced by a newer one
    if (!header.ok()) {
      if (!about_store(header.status().code())) return header.status();
      findings_.push_back(finding_of(0, 0, seq, header.status()));
      snapshots_.push_back(facts);
      continue;
    }
    facts.header = header.value();
    facts.file_bytes = bytes.size();
    auto damage = check_snapshot(facts.header, seq, store_);
    if (!damage) damage = misplaced(facts.header);
    facts.whole = !damage;
    if (damage) findings_.push_back(finding_of(std::move(*damage)));
    snapshots_.push_back(facts);
  }
  return {};
}

// Nothing if the successor's header cannot be read, which is a finding of its own.
std::optional<Damage> Reader::misplaced(const format::SnapshotHeader& snapshot) const {
  const uint64_t successor = uint64_t{snapshot.segment} + 1;
  for (const SegmentFacts& segment : segments_) {
    if (segment.number != successor) continue;
    if (!segment.whole_header) return std::nullopt;
    return check_snapshot_place(snapshot, segment.header);
  }
  return Damage{0, 0, snapshot.seq, false,
                snapshot_name(snapshot.seq) + " is the state at the end of segment " +
                    std::to_string(snapshot.segment) + ", but the segment after it is missing"};
}

Status Reader::walk(ReadVisitor& visitor, uint32_t first_segment) {
  for (const Finding& finding : findings_) visitor.finding(finding);
  for (const SnapshotFacts& snapshot : snapshots_) visitor.snapshot(snapshot);
  bool go_on = true;
  for (size_t i = 0; i < segments_.size() && go_on; i++) {
    if (segments_[i].number < first_segment) continue;
    visitor.segment(segments_[i]);
    if (!segments_[i].whole_header) continue;
    if (Status walked = walk_segment(i, visitor, go_on); !walked.ok()) return walked;
  }
  return {};
}

// Where the frames of a segment must reach: the end given by the next segment's header or, in the
// last segment, last_seq(). If the next header is missing or damaged the end is unknown.
struct Reader::Extent {
  const format::SegmentHeader* successor = nullptr;
  bool last = false;
  uint64_t seq = 0;
};

Reader::Extent Reader::extent_of(size_t index) const noexcept {
  const bool last = index + 1 == segments_.size();
  if (last) return {nullptr, true, last_seq_};
  const SegmentFacts& next = segments_[index + 1];
  if (!next.whole_header || next.number != segments_[index].number + 1) {
    return {nullptr, false, last_seq_};
  }
  return {&next.header, false, next.header.previous_last_seq};
}

// Opens a segment for the window. `header` is that of the opened file, which may have been
// rewritten since its header was first read.
Status Reader::open_segment(size_t index, const Extent& extent, ReadFile& file,
                            format::SegmentHeader& header) {
  header = segments_[index].header;
  if (extent.last) {
    window_.look_at(last_file_, blocks_of(store_.segment_bytes));
    return {};
  }
  auto opened = directory_.open_segment(segments_[index].number, store_, nullptr, header);
  if (!opened.ok()) return opened.status();
  file = std::move(opened).value();
  uint32_t blocks = blocks_of(store_.segment_bytes);
  if (is_dense(header)) {
    blocks = header.dense_index_block;
  } else if (extent.successor != nullptr) {
    blocks = extent.successor->previous_end_block;
  }
  window_.look_at(file, blocks);
  return {};
}

// The frames of a dense segment are intact; its index must be, too.
Status Reader::check_index(size_t index, const format::SegmentHeader& header,
                           ReadVisitor& visitor) {
  auto opened = directory_.open_segment(segments_[index].number, store_.segment_bytes);
  if (!opened.ok()) return opened.status();
  auto read = directory_.read_index(opened.value(), header);
  if (read.ok()) return {};
  if (!about_store(read.status().code())) return read.status();
  visitor.finding(finding_of(header.number, header.dense_index_block, header.dense_last_seq + 1,
                             read.status()));
  return {};
}

Status Reader::walk_segment(size_t index, ReadVisitor& visitor, bool& go_on) {
  const SegmentFacts& segment = segments_[index];
  const Extent extent = extent_of(index);
  format::SegmentHeader header;
  ReadFile file;
  const auto failed = [&](const Status& status) {
    if (!about_store(status.code())) return status;
    visitor.finding(finding_of(segment.number, 0, segment.header.first_seq, status));
    return Status();
  };
  if (Status opened = open_segment(index, extent, file, header); !opened.ok()) {
    return failed(opened);
  }
  const bool dense = is_dense(header);
  const bool ended = dense || extent.successor != nullptr;

  FrameWalk walk(header, {});
  FrameView frame;
  const auto damaged = [&](FrameVerdict verdict, std::string what) {
    visitor.finding(finding_of(walk.damage(verdict, std::move(what))));
  };
  const std::string known =
      "records up to sequence " + std::to_string(extent.seq) + " are known to be durable";
  for (;;) {
    const Chain& at = walk.chain();
    if (ended ? at.block >= window_.end_block() : at.last_seq() >= extent.seq) break;
    FrameVerdict verdict = FrameVerdict::nothing;
    if (Status read = walk.next(window_, frame, verdict); !read.ok()) return failed(read);
    if (verdict == FrameVerdict::accept) {
      go_on = visitor.frame(frame);
      if (!go_on) return {};
      continue;
    }
    if (extent.last || ended || !ends_log(verdict)) {
      damaged(verdict, std::string(verdict_text(verdict)) + ", but " + known);
    }
    return {};
  }

  const Chain& end = walk.chain();
  if (extent.successor != nullptr && !ends_where(end, header, *extent.successor)) {
    damaged(FrameVerdict::nothing, "does not end where the next segment says");
  }
  if (dense) return check_index(index, header, visitor);
  if (extent.last && end.last_seq() > extent.seq) {
    damaged(FrameVerdict::nothing, "the end of a longer batch, but " + known);
  }
  if (extent.last) {
    if (Status read = look_behind(walk, extent.seq, visitor); !read.ok()) return failed(read);
  }
  return {};
}

// Nothing after the end of the log is used, but opening the store would fail at an intact frame
// that does not belong there, or at a block that the device does not return.
Status Reader::look_behind(FrameWalk& walk, uint64_t known_seq, ReadVisitor& visitor) {
  const Chain& end = walk.chain();
  if (end.last_seq() == known_seq) {
    FrameWalk behind = walk;
    FrameView frame;
    FrameVerdict verdict = FrameVerdict::accept;
    while (verdict == FrameVerdict::accept) {
      if (Status read = behind.next(window_, frame, verdict); !read.ok()) return read;
    }
    if (!ends_log(verdict) && verdict != FrameVerdict::unreadable) {
      visitor.finding(finding_of(
          behind.damage(verdict, std::string(verdict_text(verdict)) + " behind the end")));
    }
  }
  if (Status read = window_.look_through(end.block); !read.ok()) return read;
  const auto unreadable = window_.unreadable();
  if (!unreadable.empty() && unreadable.back() >= end.block) {
    walk.move_to({{}, unreadable, end.block});
    visitor.finding(finding_of(walk.damage(FrameVerdict::unreadable,
                                           std::string(verdict_text(FrameVerdict::unreadable)))));
  }
  return {};
}

// ---- verify -----------------------------------------------------------------------------------

bool VerifyReport::damaged() const noexcept {
  return std::any_of(findings.begin(), findings.end(),
                     [](const Finding& f) { return f.severity == Severity::damage; });
}

namespace {

uint64_t runs_in(const FrameView& frame) {
  if (frame.header.type != static_cast<uint16_t>(format::FrameType::dense)) return 1;
  RecordCursor cursor(frame.header, frame.payload);
  RecordView record;
  uint64_t runs = 0;
  while (cursor.next(record)) runs += cursor.run_records() == 0 ? 1 : 0;
  return runs;
}

class Counter final : public ReadVisitor {
 public:
  Counter(VerifyReport& report, std::unique_ptr<SnapshotState> state) noexcept
      : report_(report), state_(std::move(state)) {}

  void segment(const SegmentFacts& segment) override {
    report_.segments++;
    report_.disk_bytes += segment.file_bytes;
    if (segment.whole_header && is_dense(segment.header)) report_.dense_segments++;
  }
  void snapshot(const SnapshotFacts& snapshot) override {
    report_.snapshots++;
    report_.disk_bytes += snapshot.file_bytes;
    if (snapshot.whole) snapshots_.push_back(snapshot.header);
  }
  bool frame(const FrameView& frame) override {
    if (frame.seal()) {
      report_.seals++;
    } else {
      report_.batches += runs_in(frame);
    }
    report_.records += frame.header.record_count;
    report_.payload_bytes += frame.payload.size();
    report_.last_time_us = frame.header.time_us;
    RecordCursor cursor(frame.header, frame.payload);
    RecordView record;
    while (cursor.next(record)) {
      count_lost(record);
      if (state_ != nullptr) replay(record, frame.header);
    }
    return true;
  }
  void finding(const Finding& finding) override { report_.findings.push_back(finding); }
  void finish() {
    end_of_lost();
    if (state_ == nullptr) return;
    for (std::string& doubt : state_->doubts()) finding(note_of(std::move(doubt)));
  }

 private:
  void count_lost(const RecordView& record) {
    if (record.type != lost_record_type) return end_of_lost();
    if (lost_from_ == 0) lost_from_ = record.seq;
    lost_to_ = record.seq;
    report_.lost_records++;
  }
  void end_of_lost() {
    if (lost_from_ == 0) return;
    const std::string from = std::to_string(std::exchange(lost_from_, 0));
    finding(note_of("sequences " + from + " to " + std::to_string(lost_to_) +
                    " are lost: a repair could not read these records"));
  }
  // Ends where records are missing: that is already a finding, and later states would be wrong.
  void replay(const RecordView& record, const format::FrameHeader& frame) {
    if (record.seq != ++replayed_seq_) return state_.reset();
    if (Status seen = state_->apply(record); !seen.ok()) {
      finding(finding_of({frame.segment, frame.block, record.seq, false, seen.message()}));
      return state_.reset();
    }
    if (std::string remark = state_->remark(record); !remark.empty()) {
      finding(note_of(std::move(remark)));
    }
    compare_snapshots();
  }
  void compare_snapshots() {
    for (const format::SnapshotHeader& snapshot : snapshots_) {
      if (snapshot.seq != replayed_seq_ || snapshot.state_digest == digest(state_->encode())) {
        continue;
      }
      finding(finding_of(
          {0, 0, snapshot.seq, false,
           snapshot_name(snapshot.seq) + " holds another state than the records before it"}));
    }
  }

  VerifyReport& report_;
  std::unique_ptr<SnapshotState> state_;
  std::vector<format::SnapshotHeader> snapshots_;
  uint64_t replayed_seq_ = 0;
  uint64_t lost_from_ = 0;  // of the current run of lost records; 0 for none
  uint64_t lost_to_ = 0;
};

}  // namespace

sys::Result<VerifyReport> verify(Directory directory, const StateMaker& make_state,
                                 uint64_t durable_seq) {
  VerifyReport report;
  auto opened = Reader::open(std::move(directory), durable_seq);
  if (!opened.ok()) {
    const Status& status = opened.status();
    if (!about_store(status.code())) return status;
    report.findings.push_back(finding_of(0, 0, 0, status));
    return report;
  }
  Reader& reader = *opened.value();
  report.store = reader.store();
  report.proven_seq = reader.proven_seq();
  report.last_seq = reader.last_seq();
  Counter counter(report, make_state ? make_state(report.store) : nullptr);
  if (Status walked = reader.walk(counter); !walked.ok()) return walked;
  counter.finish();
  return report;
}

}  // namespace espora::store
