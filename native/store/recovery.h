// What the bytes of a store mean when it is opened: pure decisions, each a table of cases of which
// exactly one matches every combination of facts. No call here touches a file: a segment's blocks
// are requested, a piece at a time (SegmentBlocks).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/format.h"
#include "store/record.h"
#include "sys/limits.h"
#include "sys/status.h"

namespace espora::store {

// A fact's value in a case: no, yes, or irrelevant.
enum class Trit : uint8_t { no, yes, any };

// A row of a table: the verdict if every fact has the row's value.
template <size_t facts, typename Verdict>
struct Case {
  std::array<Trit, facts> when;
  Verdict then;

  [[nodiscard]] constexpr bool meets(const std::array<bool, facts>& given) const noexcept {
    for (size_t i = 0; i < facts; i++) {
      if (when[i] != Trit::any && (when[i] == Trit::yes) != given[i]) return false;
    }
    return true;
  }
};

// ---- the directory ----------------------------------------------------------------------------

// In this order: STORE exists; a segment exists; a snapshot exists; there is exactly one segment,
// with number 1, a valid header and no frame.
using DirectoryFacts = std::array<bool, 4>;
enum class DirectoryVerdict : uint8_t {
  nothing,     // no store here
  unfinished,  // its creation was interrupted before anything was stored: starts anew
  open,
  without_store,     // corrupt: records or a snapshot, but no STORE
  without_segments,  // corrupt: STORE, but no segment
};
extern const std::array<Case<4, DirectoryVerdict>, 7> directory_cases;
DirectoryVerdict judge_directory(const DirectoryFacts& facts) noexcept;

// ---- one frame --------------------------------------------------------------------------------

// At the place where the next frame is expected: its blocks can be read; a header with the right
// magic and CRC is there; it names this segment, block and epoch; it continues the sequence; it
// continues the chain of CRCs; its other fields are possible; payload and padding are intact; the
// payload consists of as many records as it says.
using FrameFacts = std::array<bool, 8>;
enum class FrameVerdict : uint8_t {
  accept,
  nothing,          // no whole header here: the log ends, if nothing proves more
  torn,             // a whole header here, but not the whole frame: likewise
  unreadable,       // the device refuses: never taken as the end
  misplaced,        // corrupt: a valid frame of another place
  out_of_sequence,  // corrupt: a gap or a repeat
  out_of_chain,     // corrupt: does not follow the previous frame
  impossible,       // corrupt: fields that no engine writes
  malformed,        // corrupt: intact, but not records
};
extern const std::array<Case<8, FrameVerdict>, 9> frame_cases;
FrameVerdict judge_frame(const FrameFacts& facts) noexcept;
// True for the verdicts with which the log may end.
constexpr bool ends_log(FrameVerdict verdict) noexcept {
  return verdict == FrameVerdict::nothing || verdict == FrameVerdict::torn;
}
std::string_view verdict_text(FrameVerdict verdict) noexcept;

// ---- a segment --------------------------------------------------------------------------------

// The largest frame of any segment.
inline constexpr uint32_t frame_blocks_max = blocks_of(limits::dense_frame_bytes_max);
static_assert(limits::batch_bytes_max <= limits::dense_frame_bytes_max);

// A piece of a segment's file.
struct SegmentImage {
  Bytes bytes;                           // from `first_block` on, whole blocks
  std::span<const uint32_t> unreadable;  // refused by the device, ascending; bytes undefined
  uint32_t first_block = 0;

  [[nodiscard]] uint32_t end_block() const noexcept {
    return first_block + blocks_of(bytes.size());
  }
};

// Provides a segment's blocks a piece at a time, so that not all are in memory.
class SegmentBlocks {
 public:
  virtual ~SegmentBlocks() = default;
  // The blocks end here.
  [[nodiscard]] virtual uint32_t end_block() const noexcept = 0;
  // The blocks that the device refused among all requested so far, ascending.
  [[nodiscard]] virtual std::span<const uint32_t> unreadable() const noexcept = 0;
  // `image` has `count` blocks from `block` on, or all up to the end if that is nearer, and perhaps
  // more. Valid until the next call. Fails for other reasons than refused blocks.
  virtual sys::Status show(uint32_t block, uint32_t count, SegmentImage& image) = 0;
};

struct FrameView {
  format::FrameHeader header;
  uint32_t blocks = 0;
  Bytes payload;

  [[nodiscard]] bool seal() const noexcept { return header.record_count == 0; }
  [[nodiscard]] uint64_t last_seq() const noexcept {
    return header.first_seq + header.record_count - 1;
  }
};

// Sees one batch, or dense frame; any Status but ok ends the walk.
using BatchVisitor = std::function<sys::Status(const FrameView& batch)>;

// The state of a walk: the next frame's block, and what it must continue.
struct Chain {
  uint32_t block = 1;
  uint64_t next_seq = 1;
  uint32_t frame_crc = 0;
  uint64_t time_us = 0;

  [[nodiscard]] uint64_t last_seq() const noexcept { return next_seq - 1; }
};

// The state before the first frame of a segment.
constexpr Chain start_of(const format::SegmentHeader& header) noexcept {
  return {1, header.first_seq, header.previous_frame_crc, header.previous_time_us};
}

// Where and how a store contradicts itself.
struct Damage {
  uint32_t segment = 0;
  uint32_t block = 0;
  uint64_t seq = 0;  // the sequence expected there
  bool unreadable = false;
  std::string what;

  // "segment 3, block 17, sequence 4711: …"
  [[nodiscard]] std::string text() const;
};

// Reads frames one by one from the start of a segment.
class FrameWalk {
 public:
  FrameWalk(const format::SegmentHeader& header, const SegmentImage& image) noexcept;
  // From `chain` on: somewhere inside the segment.
  FrameWalk(const format::SegmentHeader& header, const SegmentImage& image,
            const Chain& chain) noexcept;
  // The same if the nonce was lost but the seed is known.
  FrameWalk(const format::SegmentHeader& header, const SegmentImage& image, const Chain& chain,
            uint32_t seed) noexcept
      : header_(header), image_(image), seed_(seed), chain_(chain) {}

  // Looks at the next place; only accept fills `frame` and advances. `nothing` if no block is left.
  FrameVerdict next(FrameView& frame) noexcept;
  // The same, requesting its piece from `blocks`; fails as SegmentBlocks::show() does.
  sys::Status next(SegmentBlocks& blocks, FrameView& frame, FrameVerdict& verdict);
  [[nodiscard]] const Chain& chain() const noexcept { return chain_; }
  // Continues in another part of the file, which must contain the block at chain() and enough
  // blocks for the largest frame after it, or all that the file has.
  void move_to(const SegmentImage& image) noexcept { image_ = image; }
  // The place of the contradiction, after next() returned `verdict` at chain().
  [[nodiscard]] Damage damage(FrameVerdict verdict, std::string what) const;

  // The header at `block` if it is one of this segment in its right place; its payload need not be
  // intact, because its statements were true when it was built.
  [[nodiscard]] std::optional<format::FrameHeader> evidence_at(uint32_t block) const noexcept;

 private:
  [[nodiscard]] FrameFacts examine(FrameView& frame) const noexcept;
  [[nodiscard]] bool readable(uint32_t block, uint32_t count) const noexcept;
  [[nodiscard]] Bytes from(uint32_t block) const noexcept {
    return image_.bytes.subspan(uint64_t{block - image_.first_block} * format::block_bytes);
  }

  format::SegmentHeader header_;
  SegmentImage image_;
  uint32_t seed_;
  Chain chain_;
};

// Checks a header of the file with `number` against STORE and the header before it (or null).
std::optional<Damage> check_header(const format::SegmentHeader& header, uint32_t number,
                                   const StoreFacts& store, const format::SegmentHeader* before);

// The last segment's header must not be dense: only segments with a successor are rewritten.
std::optional<Damage> check_last_header(const format::SegmentHeader& header);

// The sequence that a header alone proves durable.
constexpr uint64_t proven_by(const format::SegmentHeader& header) noexcept {
  return header.durable_seq > header.previous_last_seq ? header.durable_seq
                                                       : header.previous_last_seq;
}

// The frames of a segment with a successor end before this block.
constexpr uint32_t frames_end(const format::SegmentHeader& header,
                              const format::SegmentHeader& successor) noexcept {
  return is_dense(header) ? header.dense_index_block : successor.previous_end_block;
}

// Whether a segment whose frames were all accepted up to `end` ends where its successor says.
bool ends_where(const Chain& end, const format::SegmentHeader& header,
                const format::SegmentHeader& successor) noexcept;

// A segment with a successor: its frames must reach exactly the end given by the successor's
// header, or by a dense segment's own header. `image` needs no more blocks than that. Returns each
// batch, or dense frame, in order.
class ClosedWalk {
 public:
  ClosedWalk(const format::SegmentHeader& header, const format::SegmentHeader& successor,
             const SegmentImage& image) noexcept
      : walk_(header, image),
        header_(header),
        successor_(successor),
        end_block_(frames_end(header, successor)) {}

  // False at the end, and at damage. Seals are skipped.
  bool next(FrameView& batch);
  [[nodiscard]] const std::optional<Damage>& damage() const noexcept { return damage_; }

  // For reading the file in portions: where next() looks, where it ends, and the next portion (see
  // FrameWalk::move_to).
  [[nodiscard]] uint32_t block() const noexcept { return walk_.chain().block; }
  [[nodiscard]] uint32_t end_block() const noexcept { return end_block_; }
  void move_to(const SegmentImage& image) noexcept { walk_.move_to(image); }

 private:
  FrameWalk walk_;
  format::SegmentHeader header_;
  format::SegmentHeader successor_;
  uint32_t end_block_;
  std::optional<Damage> damage_;
};

// ---- snapshots --------------------------------------------------------------------------------

// Checks the snapshot with `seq` in its name against STORE.
std::optional<Damage> check_snapshot(const format::SnapshotHeader& snapshot, uint64_t seq,
                                     const StoreFacts& store);
// Checks it against the header of the segment after the one that it ends with.
std::optional<Damage> check_snapshot_place(const format::SnapshotHeader& snapshot,
                                           const format::SegmentHeader& successor);

// ---- the last segment -------------------------------------------------------------------------

// In this order: some block cannot be read; the chain ends at a frame that contradicts it; the last
// accepted sequence is below the proven one; the proven records end inside a batch; there are bytes
// other than zero after the end.
using TailFacts = std::array<bool, 5>;
enum class TailVerdict : uint8_t { clean, torn, corrupt, unreadable };
extern const std::array<Case<5, TailVerdict>, 6> tail_cases;
TailVerdict judge_tail(const TailFacts& facts) noexcept;

// What a segment proves, as far as its blocks were read from the back.
struct Evidence {
  uint64_t proven_seq = 0;   // the highest sequence that is proven durable
  uint32_t first_block = 0;  // blocks were read from here on
  uint32_t used_blocks = 0;  // end of the last block that is not zero; 0 for none
  bool any = false;          // the header of a frame was found there
};

// Reads from the back until a frame is found: the newest frames prove everything before them.
// `evidence` must contain what headers and snapshots prove.
sys::Status look_from_behind(const format::SegmentHeader& header, SegmentBlocks& blocks,
                             Evidence& evidence);

// The first batches of a segment, without seals.
struct BatchRange {
  Chain end;  // after the last of them
  uint64_t count = 0;
  uint64_t payload_bytes = 0;
  uint64_t blocks = 0;

  void take(const FrameView& batch) noexcept;
};

struct Tail {
  TailVerdict verdict = TailVerdict::clean;
  FrameVerdict stop = FrameVerdict::nothing;
  Chain end;                     // after the last accepted frame
  uint64_t proven_seq = 0;       // the highest sequence that is proven durable
  BatchRange all;                // all accepted batches
  BatchRange proven;             // those at or below proven_seq
  std::optional<Damage> damage;  // with corrupt and unreadable
};

// Reads the frames from the first on, and what follows them. `show` gets each proven batch, in
// order, while it is read: if the store turns out to be damaged, some were already shown.
sys::Status examine_tail(const format::SegmentHeader& header, SegmentBlocks& blocks,
                         const Evidence& evidence, const BatchVisitor& show, Tail& tail);

// Reads accepted batches again, from `from` up to `last_seq`. `damage` if one has disappeared.
sys::Status walk_again(const format::SegmentHeader& header, SegmentBlocks& blocks,
                       const Chain& from, uint64_t last_seq, const BatchVisitor& visitor,
                       std::optional<Damage>& damage);

// ---- the segment that opening makes -----------------------------------------------------------

// In this order: the last segment holds a record that is proven durable; all of its records fit in
// one batch; it holds a record that was written after its publication. Without one, nothing proves
// that the directory's flush which published it succeeded: a successor might survive it.
using PlacementFacts = std::array<bool, 3>;
enum class Placement : uint8_t {
  replace,  // the same number: all records of the last segment are copied
  follow,   // the next number: unproven records are copied
};
extern const std::array<Case<3, Placement>, 4> placement_cases;
Placement judge_placement(const PlacementFacts& facts) noexcept;

struct FreshSegment {
  // The nonce is filled in later.
  format::SegmentHeader header{};
  // The last segment's batches to copy, with their sequences and times: up to header.durable_seq.
  Chain copied_from;
  uint64_t copied_blocks = 0;
  uint64_t proven_seq = 0;  // the highest sequence that was durable before the copy
};

FreshSegment plan_first_segment(const StoreFacts& store) noexcept;
// `least`: if space is short, copies only what must be copied.
FreshSegment plan_fresh_segment(const format::SegmentHeader& last, const Tail& tail,
                                bool least = false);

}  // namespace espora::store
