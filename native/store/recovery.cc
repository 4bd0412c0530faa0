#include "store/recovery.h"

#include <algorithm>
#include <cstring>

#include "store/defects.h"
#include "sys/check.h"
#include "sys/crc32c.h"

namespace espora::store {

using sys::Status;

namespace {

constexpr Trit n = Trit::no;
constexpr Trit y = Trit::yes;
constexpr Trit x = Trit::any;

template <size_t facts, size_t rows, typename Verdict>
Verdict judge(const std::array<Case<facts, Verdict>, rows>& cases,
              const std::array<bool, facts>& given) noexcept {
  for (const auto& row : cases) {
    if (row.meets(given)) return row.then;
  }
  ESPORA_CHECK(false && "a table of cases has a hole");
}

bool all_zero(Bytes bytes) noexcept {
  // Compares the bytes with themselves shifted by one: needs no table of zeros.
  return bytes.empty() || (bytes[0] == std::byte{0} &&
                           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

// clang-format off
const std::array<Case<4, DirectoryVerdict>, 7> directory_cases = {{
    // STORE segments snapshots one-and-empty
    {{y, y, x, x}, DirectoryVerdict::open},
    // E.g. only STORE was copied: opening it as an empty store would hide that records are gone.
    {{y, n, x, x}, DirectoryVerdict::without_segments},
    {{n, n, n, x}, DirectoryVerdict::nothing},
    {{n, n, y, x}, DirectoryVerdict::without_store},
    {{n, y, y, x}, DirectoryVerdict::without_store},
    // E.g. killed between the renames of 00000001.seg and STORE: no append was possible yet.
    {{n, y, n, y}, DirectoryVerdict::unfinished},
    // E.g. STORE was deleted: 00000001.seg has frames, but nothing tells the kind of their records.
    {{n, y, n, n}, DirectoryVerdict::without_store},
}};

const std::array<Case<8, FrameVerdict>, 9> frame_cases = {{
    // readable header place sequence chain possible body records
    {{n, x, x, x, x, x, x, x}, FrameVerdict::unreadable},
    // E.g. zeros, or a frame of another segment, whose CRC has another seed.
    {{y, n, x, x, x, x, x, x}, FrameVerdict::nothing},
    // E.g. block 17 holds a frame that names block 9: the device wrote it to the wrong place.
    {{y, y, n, x, x, x, x, x}, FrameVerdict::misplaced},
    // E.g. the frame before ends with record 40, and this one begins with 42: a frame is missing.
    {{y, y, y, n, x, x, x, x}, FrameVerdict::out_of_sequence},
    // E.g. it begins with 41 as it should, but was written after another frame that ended with 40.
    {{y, y, y, y, n, x, x, x}, FrameVerdict::out_of_chain},
    // E.g. a frame that begins with 41 says that 41 is durable already.
    {{y, y, y, y, y, n, x, x}, FrameVerdict::impossible},
    // E.g. a batch of three blocks, of which only the first and the last reached the device.
    {{y, y, y, y, y, y, n, x}, FrameVerdict::torn},
    // E.g. both CRCs are right, but the header counts three records and the payload has two.
    {{y, y, y, y, y, y, y, n}, FrameVerdict::malformed},
    {{y, y, y, y, y, y, y, y}, FrameVerdict::accept},
}};

const std::array<Case<5, TailVerdict>, 6> tail_cases = {{
    // unreadable contradiction lost split garbage
    // E.g. frames end with record 40, and block 17 gives EIO: a frame there may prove 41 durable.
    {{y, x, x, x, x}, TailVerdict::unreadable},
    // E.g. record 40 is followed by a whole frame that begins with 42.
    {{n, y, x, x, x}, TailVerdict::corrupt},
    // E.g. frames end with record 40, but a header behind them says that 45 was durable.
    {{n, n, y, x, x}, TailVerdict::corrupt},
    // E.g. 45 is proven durable, and the batch here has 44 to 46: this is not what was proven,
    // because a batch becomes durable as a whole.
    {{n, n, n, y, x}, TailVerdict::corrupt},
    // E.g. frames end with record 40, nothing proves more, and half of a batch from 41 on follows:
    // its write was cut short, so it was never flushed.
    {{n, n, n, n, y}, TailVerdict::torn},
    {{n, n, n, n, n}, TailVerdict::clean},
}};

const std::array<Case<3, Placement>, 4> placement_cases = {{
    // holds-proven fits-one-batch written-to
    // E.g. segment 3 holds 41 to 45, of which none is proven: a new segment 3 gets all of them.
    {{n, x, x}, Placement::replace},
    // E.g. 41 to 45 fit in one batch: copying all of them saves a segment that is nearly empty.
    {{y, y, x}, Placement::replace},
    // E.g. segment 3 holds just what was copied into it before it got its name. A power cut could
    // take that name back and leave a segment 4 without it, so a new segment 3 gets the records.
    {{y, n, n}, Placement::replace},
    // E.g. segment 3 holds 41 to 900, of which 880 is proven: segment 4 gets 881 to 900.
    {{y, n, y}, Placement::follow},
}};
// clang-format on

DirectoryVerdict judge_directory(const DirectoryFacts& facts) noexcept {
  return judge(directory_cases, facts);
}
FrameVerdict judge_frame(const FrameFacts& facts) noexcept { return judge(frame_cases, facts); }
TailVerdict judge_tail(const TailFacts& facts) noexcept { return judge(tail_cases, facts); }
Placement judge_placement(const PlacementFacts& facts) noexcept {
  return judge(placement_cases, facts);
}

std::string_view verdict_text(FrameVerdict verdict) noexcept {
  switch (verdict) {
    case FrameVerdict::accept:
      return "a whole frame";
    case FrameVerdict::nothing:
      return "no frame";
    case FrameVerdict::torn:
      return "a frame whose payload is not whole";
    case FrameVerdict::unreadable:
      return "the device cannot read the block";
    case FrameVerdict::misplaced:
      return "a frame that belongs to another place";
    case FrameVerdict::out_of_sequence:
      return "a frame with another sequence number";
    case FrameVerdict::out_of_chain:
      return "a frame that does not follow the one before it";
    case FrameVerdict::impossible:
      return "a frame with impossible fields";
    case FrameVerdict::malformed:
      return "a frame whose payload is not records";
  }
  return "unknown";
}

// ---- frames -----------------------------------------------------------------------------------

FrameWalk::FrameWalk(const format::SegmentHeader& header, const SegmentImage& image) noexcept
    : FrameWalk(header, image, start_of(header)) {}

FrameWalk::FrameWalk(const format::SegmentHeader& header, const SegmentImage& image,
                     const Chain& chain) noexcept
    : FrameWalk(header, image, chain, frame_seed(header.nonce)) {}

bool FrameWalk::readable(uint32_t block, uint32_t count) const noexcept {
  const auto bad = std::lower_bound(image_.unreadable.begin(), image_.unreadable.end(), block);
  return bad == image_.unreadable.end() || *bad >= block + count;
}

namespace {

// Whether fields that do not depend on neighbouring frames are possible; `dense`: the segment is.
bool possible(const format::FrameHeader& frame, bool dense, uint64_t payload_room,
              uint64_t time_us) noexcept {
  const bool many = frame.type == static_cast<uint16_t>(format::FrameType::dense) &&
                    frame.record_count != 0 &&
                    frame.payload_bytes / sizeof(format::RecordHeader) > frame.record_count;
  const bool batch = frame.type == static_cast<uint16_t>(format::FrameType::batch) &&
                     frame.record_count != 0 &&
                     frame.payload_bytes / sizeof(format::RecordHeader) >= frame.record_count;
  const bool seal = frame.type == static_cast<uint16_t>(format::FrameType::seal) &&
                    frame.record_count == 0 && frame.payload_bytes == 0;
  return (dense ? many : batch || seal) && frame.flags == 0 &&
         frame.payload_bytes <= payload_room && frame.durable_seq < frame.first_seq &&
         frame.time_us >= time_us && frame.first_seq + frame.record_count > frame.record_count;
}

// Whether there are as many records as the header says, in a dense frame with times that never
// decrease from the previous frame's up to its own.
bool records_whole(const FrameView& frame, uint64_t time_us) noexcept {
  RecordCursor cursor(frame.header, frame.payload);
  RecordView record;
  uint64_t count = 0;
  while (cursor.next(record)) {
    if (record.time_us < time_us) return false;
    time_us = record.time_us;
    count++;
  }
  return !cursor.damaged() && count == frame.header.record_count &&
         (count == 0 || time_us == frame.header.time_us);
}

}  // namespace

FrameFacts FrameWalk::examine(FrameView& frame) const noexcept {
  FrameFacts facts{};
  auto& [is_readable, header_whole, in_place, in_sequence, in_chain, is_possible, body_whole,
         are_records] = facts;
  is_readable = readable(chain_.block, 1);
  if (!is_readable) return facts;
  const Bytes rest = from(chain_.block);
  format::FrameHeader& header = frame.header;
  header_whole = decode_frame_header(rest, seed_, header);
  if (!header_whole) return facts;
  in_place = header.segment == header_.number && header.block == chain_.block &&
             header.epoch == header_.epoch;
  in_sequence = header.first_seq == chain_.next_seq;
  in_chain = header.previous_frame_crc == chain_.frame_crc;
  const bool dense = is_dense(header_);
  const size_t room =
      std::min(rest.size(), dense ? limits::dense_frame_bytes_max : limits::batch_bytes_max);
  is_possible = possible(header, dense, room - sizeof header, chain_.time_us);
  if (!is_possible) return facts;
  const size_t bytes = sizeof header + header.payload_bytes;
  frame.blocks = blocks_of(bytes);
  frame.payload = rest.subspan(sizeof header, header.payload_bytes);
  is_readable = readable(chain_.block, frame.blocks);
  if (!is_readable) return facts;
  body_whole = header.payload_crc == sys::crc32c(frame.payload, seed_) &&
               all_zero(rest.subspan(bytes, uint64_t{frame.blocks} * format::block_bytes - bytes));
  are_records = body_whole && records_whole(frame, chain_.time_us);
  return facts;
}

FrameVerdict FrameWalk::next(FrameView& frame) noexcept {
  if (chain_.block >= image_.end_block()) return FrameVerdict::nothing;
  const FrameVerdict verdict = judge_frame(examine(frame));
  if (verdict == FrameVerdict::accept) {
    chain_.block += frame.blocks;
    chain_.next_seq += frame.header.record_count;
    chain_.frame_crc = frame.header.header_crc;
    chain_.time_us = frame.header.time_us;
  }
  return verdict;
}

Status FrameWalk::next(SegmentBlocks& blocks, FrameView& frame, FrameVerdict& verdict) {
  if (Status shown = blocks.show(chain_.block, frame_blocks_max, image_); !shown.ok()) return shown;
  verdict = next(frame);
  return {};
}

std::optional<format::FrameHeader> FrameWalk::evidence_at(uint32_t block) const noexcept {
  if (!readable(block, 1)) return std::nullopt;
  format::FrameHeader header;
  if (!decode_frame_header(from(block), seed_, header)) return std::nullopt;
  if (header.segment != header_.number || header.block != block || header.epoch != header_.epoch) {
    return std::nullopt;
  }
  return header;
}

// ---- damage -----------------------------------------------------------------------------------

std::string Damage::text() const {
  return "segment " + std::to_string(segment) + ", block " + std::to_string(block) + ", sequence " +
         std::to_string(seq) + ": " + what;
}

Damage FrameWalk::damage(FrameVerdict verdict, std::string what) const {
  Damage damage{header_.number, chain_.block, chain_.next_seq, false, std::move(what)};
  if (verdict == FrameVerdict::unreadable) {
    const auto bad =
        std::lower_bound(image_.unreadable.begin(), image_.unreadable.end(), chain_.block);
    damage.block = bad != image_.unreadable.end() ? *bad : image_.unreadable.back();
    damage.unreadable = true;
  }
  return damage;
}

namespace {

// Whether the dense fields are consistent with the flag.
bool dense_possible(const format::SegmentHeader& header) noexcept {
  if (!is_dense(header)) {
    return header.dense_last_seq == 0 && header.dense_end_block == 0 &&
           header.dense_frame_crc == 0 && header.dense_time_us == 0 &&
           header.dense_file_bytes == 0 && header.dense_index_block == 0 &&
           header.dense_frame_count == 0;
  }
  const bool empty = header.dense_last_seq == header.previous_last_seq;
  const uint64_t index_bytes =
      sizeof(format::IndexHeader) + uint64_t{header.dense_frame_count} * sizeof(format::IndexEntry);
  return header.dense_last_seq >= header.durable_seq && empty == (header.dense_frame_count == 0) &&
         empty == (header.dense_end_block == 1) && header.dense_end_block >= 1 &&
         header.dense_end_block <= blocks_of(header.segment_bytes) &&
         header.dense_index_block > header.dense_frame_count &&
         header.dense_file_bytes == uint64_t{format::block_bytes} * header.dense_index_block +
                                        round_up(index_bytes, format::block_bytes);
}

bool dense_ends_where(const format::SegmentHeader& header,
                      const format::SegmentHeader& successor) noexcept {
  return header.dense_end_block == successor.previous_end_block &&
         header.dense_last_seq == successor.previous_last_seq &&
         header.dense_frame_crc == successor.previous_frame_crc &&
         header.dense_time_us == successor.previous_time_us;
}

}  // namespace

std::optional<Damage> check_header(const format::SegmentHeader& header, uint32_t number,
                                   const StoreFacts& store, const format::SegmentHeader* before) {
  const auto damage = [&](std::string what) {
    return Damage{number, 0, header.first_seq, false, std::move(what)};
  };
  if (header.uuid != store.uuid) {
    return damage("belongs to store " + uuid_text(header.uuid) + ", this is " +
                  uuid_text(store.uuid));
  }
  if (header.number != number) {
    return damage("its header has number " + std::to_string(header.number));
  }
  if (header.block_bytes != format::block_bytes || header.segment_bytes != store.segment_bytes) {
    return damage("its header has a segment size of " + std::to_string(header.segment_bytes) +
                  " bytes, the store of " + std::to_string(store.segment_bytes));
  }
  const bool first = number == 1;
  const uint32_t blocks = blocks_of(header.segment_bytes);
  const bool possible =
      header.first_seq == header.previous_last_seq + 1 &&
      header.durable_seq >= header.previous_last_seq && header.epoch != 0 &&
      header.previous_number == number - 1 &&
      (first ? header.previous_last_seq == 0 && header.previous_end_block == 0
             : header.previous_end_block >= 1 && header.previous_end_block <= blocks) &&
      dense_possible(header);
  if (!possible) return damage("its header has impossible fields");
  if (before == nullptr) return std::nullopt;
  const bool empty = header.previous_last_seq == before->previous_last_seq;
  const bool follows = header.previous_last_seq >= proven_by(*before) &&
                       header.epoch >= before->epoch &&
                       header.previous_time_us >= before->previous_time_us &&
                       empty == (header.previous_end_block == 1) &&
                       (!empty || header.previous_frame_crc == before->previous_frame_crc) &&
                       (!is_dense(*before) || dense_ends_where(*before, header));
  if (!follows) return damage("its header does not follow that of the segment before it");
  return std::nullopt;
}

std::optional<Damage> check_last_header(const format::SegmentHeader& header) {
  if (!is_dense(header)) return std::nullopt;
  return Damage{header.number, 0, header.dense_last_seq + 1, false,
                "was rewritten densely, but the segment after it is missing"};
}

bool ends_where(const Chain& end, const format::SegmentHeader& header,
                const format::SegmentHeader& successor) noexcept {
  if (is_dense(header)) {
    // Its frames are not those that the successor follows; the header keeps the original end.
    return end.block == header.dense_index_block && end.last_seq() == header.dense_last_seq &&
           end.time_us == header.dense_time_us && dense_ends_where(header, successor);
  }
  return end.block == successor.previous_end_block &&
         end.last_seq() == successor.previous_last_seq &&
         end.frame_crc == successor.previous_frame_crc && end.time_us == successor.previous_time_us;
}

bool ClosedWalk::next(FrameView& batch) {
  while (!damage_) {
    if (walk_.chain().block >= end_block_) break;
    const FrameVerdict verdict = walk_.next(batch);
    if (verdict != FrameVerdict::accept) {
      damage_ = walk_.damage(verdict, std::string(verdict_text(verdict)) +
                                          ", but the next segment follows on sequence " +
                                          std::to_string(successor_.previous_last_seq));
      return false;
    }
    if (!batch.seal()) return true;
  }
  if (!damage_ && !ends_where(walk_.chain(), header_, successor_)) {
    damage_ = walk_.damage(FrameVerdict::nothing, "does not end where the next segment says");
  }
  return false;
}

// ---- snapshots --------------------------------------------------------------------------------

std::optional<Damage> check_snapshot(const format::SnapshotHeader& snapshot, uint64_t seq,
                                     const StoreFacts& store) {
  const auto damage = [&](std::string what) {
    return Damage{0, 0, seq, false, snapshot_name(seq) + " " + std::move(what)};
  };
  if (snapshot.uuid != store.uuid) {
    return damage("belongs to store " + uuid_text(snapshot.uuid) + ", this is " +
                  uuid_text(store.uuid));
  }
  if (snapshot.seq != seq) {
    return damage("holds the state at sequence " + std::to_string(snapshot.seq));
  }
  if (snapshot.segment == 0) return damage("has a header with impossible fields");
  return std::nullopt;
}

std::optional<Damage> check_snapshot_place(const format::SnapshotHeader& snapshot,
                                           const format::SegmentHeader& successor) {
  if (successor.previous_number == snapshot.segment &&
      successor.previous_last_seq == snapshot.seq &&
      successor.previous_frame_crc == snapshot.frame_crc &&
      successor.previous_time_us == snapshot.time_us) {
    return std::nullopt;
  }
  return Damage{0, 0, snapshot.seq, false,
                snapshot_name(snapshot.seq) + " is not the state at the end of segment " +
                    std::to_string(snapshot.segment) + ": the next segment follows on sequence " +
                    std::to_string(successor.previous_last_seq)};
}

// ---- the last segment -------------------------------------------------------------------------

namespace {

// Looks at blocks from `first` to `end`, in which frames may be incomplete.
Status look_at(const format::SegmentHeader& header, SegmentBlocks& blocks, uint32_t first,
               uint32_t end, Evidence& evidence) {
  SegmentImage image;
  if (Status shown = blocks.show(first, end - first, image); !shown.ok()) return shown;
  const FrameWalk walk(header, image);
  for (uint32_t block = first; block < end; block++) {
    if (const auto frame = walk.evidence_at(block)) {
      evidence.any = true;
      evidence.proven_seq = std::max(evidence.proven_seq, frame->durable_seq);
    }
    const size_t at = size_t{block - image.first_block} * format::block_bytes;
    if (!all_zero(image.bytes.subspan(at, format::block_bytes))) {
      evidence.used_blocks = std::max(evidence.used_blocks, block + 1);
    }
  }
  return {};
}

constexpr uint32_t look_blocks = blocks_of(limits::store_read_bytes);

}  // namespace

Status look_from_behind(const format::SegmentHeader& header, SegmentBlocks& blocks,
                        Evidence& evidence) {
  evidence.first_block = blocks.end_block();
  while (!evidence.any && evidence.first_block > 1) {
    const uint32_t end = evidence.first_block;
    evidence.first_block = end > look_blocks ? end - look_blocks : 1;
    const Status looked = look_at(header, blocks, evidence.first_block, end, evidence);
    if (!looked.ok()) return looked;
  }
  return {};
}

void BatchRange::take(const FrameView& batch) noexcept {
  end = {batch.header.block + batch.blocks, batch.last_seq() + 1, batch.header.header_crc,
         batch.header.time_us};
  count++;
  payload_bytes += batch.payload.size();
  blocks += batch.blocks;
}

Status examine_tail(const format::SegmentHeader& header, SegmentBlocks& blocks,
                    const Evidence& evidence, const BatchVisitor& show, Tail& tail) {
  tail = {};
  tail.proven_seq = std::max(evidence.proven_seq, proven_by(header));
  tail.all.end = tail.proven.end = start_of(header);
  FrameWalk walk(header, {});
  FrameView frame;
  for (;;) {
    if (Status shown = walk.next(blocks, frame, tail.stop); !shown.ok()) return shown;
    if (tail.stop != FrameVerdict::accept) break;
    tail.proven_seq = std::max(tail.proven_seq, frame.header.durable_seq);
    if (frame.seal()) continue;
    const bool first_unshown = tail.proven.count == tail.all.count;
    tail.all.take(frame);
    if (!first_unshown || frame.last_seq() > tail.proven_seq) continue;
    if (Status seen = show(frame); !seen.ok()) return seen;
    tail.proven = tail.all;
  }
  tail.end = walk.chain();
  Evidence behind = evidence;
  behind.proven_seq = tail.proven_seq;
  for (uint32_t block = tail.end.block; block < evidence.first_block;) {
    const uint32_t end = std::min(block + look_blocks, evidence.first_block);
    const Status looked = look_at(header, blocks, block, end, behind);
    if (!looked.ok()) return looked;
    block = end;
  }
  tail.proven_seq = behind.proven_seq;
  ESPORA_DEFECT(stop_at_bad_frame) {
    tail.stop = FrameVerdict::nothing;
    tail.proven_seq = std::min(tail.proven_seq, tail.end.last_seq());
  }
  // Then the batches that only later evidence proves durable.
  FrameWalk again(header, {}, tail.proven.end);
  bool split = false;
  while (tail.proven.count < tail.all.count && again.chain().last_seq() < tail.proven_seq) {
    FrameVerdict verdict = FrameVerdict::nothing;
    if (Status shown = again.next(blocks, frame, verdict); !shown.ok()) return shown;
    if (verdict != FrameVerdict::accept) {
      tail.stop = verdict;
      tail.end = again.chain();
      walk = again;
      break;
    }
    if (frame.seal()) continue;
    split = frame.last_seq() > tail.proven_seq;
    if (split) break;
    if (Status seen = show(frame); !seen.ok()) return seen;
    tail.proven.take(frame);
  }

  const bool unreadable = !blocks.unreadable().empty();
  const bool contradiction = !ends_log(tail.stop);
  const bool lost = tail.end.last_seq() < tail.proven_seq;
  const bool garbage = behind.used_blocks > tail.end.block;
  tail.verdict = judge_tail({unreadable, contradiction, lost, split, garbage});
  walk.move_to({{}, blocks.unreadable(), tail.end.block});

  const std::string known =
      "records up to sequence " + std::to_string(tail.proven_seq) + " are known to be durable";
  if (tail.verdict == TailVerdict::unreadable) {
    tail.damage = walk.damage(FrameVerdict::unreadable,
                              std::string(verdict_text(FrameVerdict::unreadable)) + "; " + known);
  } else if (tail.verdict == TailVerdict::corrupt) {
    const std::string_view found =
        lost || contradiction ? verdict_text(tail.stop) : "the end of a longer batch";
    tail.damage = walk.damage(tail.stop, std::string(found) + ", but " + known);
  }
  return {};
}

Status walk_again(const format::SegmentHeader& header, SegmentBlocks& blocks, const Chain& from,
                  uint64_t last_seq, const BatchVisitor& visitor, std::optional<Damage>& damage) {
  FrameWalk walk(header, {}, from);
  FrameView frame;
  while (walk.chain().last_seq() < last_seq) {
    FrameVerdict verdict = FrameVerdict::nothing;
    if (Status shown = walk.next(blocks, frame, verdict); !shown.ok()) return shown;
    if (verdict != FrameVerdict::accept) {
      damage = walk.damage(verdict, std::string(verdict_text(verdict)) +
                                        ", but a moment ago there was one that is whole");
      return {};
    }
    if (frame.seal()) continue;
    if (Status seen = visitor(frame); !seen.ok()) return seen;
  }
  return {};
}

// ---- the segment that opening makes -----------------------------------------------------------

FreshSegment plan_first_segment(const StoreFacts& store) noexcept {
  FreshSegment fresh;
  fresh.header.uuid = store.uuid;
  fresh.header.number = 1;
  fresh.header.epoch = 1;
  fresh.header.block_bytes = format::block_bytes;
  fresh.header.segment_bytes = store.segment_bytes;
  fresh.header.first_seq = 1;
  return fresh;
}

FreshSegment plan_fresh_segment(const format::SegmentHeader& last, const Tail& tail, bool least) {
  ESPORA_CHECK(!tail.damage);
  const size_t room = batch_bytes_max_of(last.segment_bytes) - sizeof(format::FrameHeader);
  const Placement placement =
      judge_placement({tail.proven.count != 0, !least && tail.all.payload_bytes <= room,
                       tail.end.last_seq() > last.durable_seq});

  FreshSegment fresh;
  fresh.header = last;
  fresh.header.epoch = last.epoch + 1;
  fresh.copied_from = start_of(last);
  fresh.copied_blocks = tail.all.blocks;
  if (placement == Placement::follow) {
    const Chain& end = tail.proven.end;
    fresh.copied_from = end;
    fresh.copied_blocks -= tail.proven.blocks;
    fresh.header.number = last.number + 1;
    fresh.header.first_seq = end.next_seq;
    fresh.header.previous_number = last.number;
    fresh.header.previous_end_block = end.block;
    fresh.header.previous_last_seq = end.last_seq();
    fresh.header.previous_frame_crc = end.frame_crc;
    fresh.header.previous_time_us = end.time_us;
    ESPORA_DEFECT(seal_as_end) if (tail.proven.count == tail.all.count) {
      fresh.header.previous_end_block = tail.end.block;
      fresh.header.previous_frame_crc = tail.end.frame_crc;
      fresh.header.previous_time_us = tail.end.time_us;
    }
  }
  fresh.header.durable_seq = tail.end.last_seq();
  fresh.proven_seq = tail.proven_seq;
  return fresh;
}

}  // namespace espora::store
