// Recovery without files: the tables have exactly one case for every combination, and images of
// segments, whole and damaged everywhere, are judged as FORMAT.md says.
#include "store/recovery.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "store_rig.h"
#include "sys/crc32c.h"

namespace espora::store {
namespace {

using format::block_bytes;

// ---- tables -----------------------------------------------------------------------------------

template <size_t facts, size_t rows, typename Verdict>
void expect_exactly_one(const std::array<Case<facts, Verdict>, rows>& cases,
                        Verdict (*judge)(const std::array<bool, facts>&) noexcept) {
  std::array<size_t, rows> hits{};
  for (size_t bits = 0; bits < size_t{1} << facts; bits++) {
    std::array<bool, facts> given;
    for (size_t i = 0; i < facts; i++) given[i] = (bits >> i & 1) != 0;
    size_t met = 0;
    for (size_t row = 0; row < rows; row++) {
      if (!cases[row].meets(given)) continue;
      met++;
      hits[row]++;
      EXPECT_EQ(judge(given), cases[row].then) << bits;
    }
    EXPECT_EQ(met, 1u) << "combination " << bits;
  }
  for (size_t row = 0; row < rows; row++) EXPECT_GT(hits[row], 0u) << "row " << row;
}

TEST(Tables, EachCombinationMeetsExactlyOneCase) {
  expect_exactly_one(directory_cases, judge_directory);
  expect_exactly_one(frame_cases, judge_frame);
  expect_exactly_one(tail_cases, judge_tail);
  expect_exactly_one(placement_cases, judge_placement);
}

// Only these may end a log; every other verdict on a frame must refuse.
TEST(Tables, OnlyAMissingOrTornFrameEndsALog) {
  for (const auto& row : frame_cases) {
    const bool ends = row.then == FrameVerdict::nothing || row.then == FrameVerdict::torn;
    EXPECT_EQ(ends_log(row.then), ends);
  }
}

// ---- images -----------------------------------------------------------------------------------

constexpr uint32_t segment_blocks = 16;
constexpr uint64_t segment_bytes = uint64_t{segment_blocks} * 4096;

StoreFacts some_store() {
  StoreFacts store;
  store.uuid.fill(7);
  store.segment_bytes = segment_bytes;
  return store;
}

format::SegmentHeader first_header() {
  format::SegmentHeader header = plan_first_segment(some_store()).header;
  header.nonce = 0x0123456789ABCDEF;
  return header;
}

// Builds the image of a segment frame by frame, as an engine would.
class Image {
 public:
  explicit Image(const format::SegmentHeader& header = first_header())
      : header_(header), bytes_(header.segment_bytes) {
    encode_segment_header(header, std::span(bytes_).first(block_bytes));
    chain_ = {1, header.first_seq, header.previous_frame_crc, header.previous_time_us};
    durable_ = header.durable_seq;
  }

  // A batch; `durable` defaults to everything before it.
  Image& batch(uint32_t records, size_t size, std::optional<uint64_t> durable = std::nullopt) {
    std::vector<std::byte> frame(sizeof(format::FrameHeader) + records * record_extent(size));
    std::byte* at = frame.data() + sizeof(format::FrameHeader);
    for (uint32_t i = 0; i < records; i++, at += record_extent(size)) {
      const std::string text = test::text_of(chain_.next_seq + i, size);
      std::memcpy(put_record(at, 1, 0, size), text.data(), size);
    }
    return put(std::move(frame), format::FrameType::batch, records, durable);
  }
  Image& seal() {
    return put(std::vector<std::byte>(sizeof(format::FrameHeader)), format::FrameType::seal, 0,
               std::nullopt);
  }

  // Rewrites a header that is there, with right CRCs.
  void edit(uint32_t block, const std::function<void(format::FrameHeader&)>& change) {
    std::byte* at = bytes_.data() + block * block_bytes;
    format::FrameHeader header;
    std::memcpy(&header, at, sizeof header);
    const uint32_t payload = header.payload_bytes;
    change(header);
    const uint32_t claimed = header.payload_bytes;
    header.payload_bytes = payload;
    // The payload's CRC of what is there, the header's of what is claimed.
    finish_frame(header, {at, sizeof header + payload}, seed());
    std::memcpy(&header, at, sizeof header);
    header.payload_bytes = claimed;
    header.header_crc = sys::crc32c(std::as_bytes(std::span(&header, 1)).subspan(8), seed());
    std::memcpy(at, &header, sizeof header);
  }

  [[nodiscard]] uint32_t seed() const { return frame_seed(header_.nonce); }
  [[nodiscard]] std::vector<std::byte>& bytes() { return bytes_; }
  [[nodiscard]] const format::SegmentHeader& header() const { return header_; }
  [[nodiscard]] const Chain& chain() const { return chain_; }
  [[nodiscard]] SegmentImage image() const { return {bytes_, unreadable}; }
  // What a whole reading finds, in pieces of the least size and of one that takes all: the same.
  [[nodiscard]] Tail tail(uint64_t proven = 0) const {
    std::vector<uint64_t> shown;
    Tail whole = tail_in_pieces(blocks_of(bytes_.size()), proven, shown);
    std::vector<uint64_t> shown_in_pieces;
    const Tail pieces = tail_in_pieces(0, proven, shown_in_pieces);
    EXPECT_EQ(pieces.verdict, whole.verdict);
    EXPECT_EQ(pieces.stop, whole.stop);
    EXPECT_EQ(pieces.end.block, whole.end.block);
    EXPECT_EQ(pieces.end.next_seq, whole.end.next_seq);
    EXPECT_EQ(pieces.proven_seq, whole.proven_seq);
    EXPECT_EQ(pieces.all.count, whole.all.count);
    EXPECT_EQ(pieces.proven.end.block, whole.proven.end.block);
    EXPECT_EQ(pieces.damage.has_value(), whole.damage.has_value());
    EXPECT_EQ(pieces.damage ? pieces.damage->text() : "", whole.damage ? whole.damage->text() : "");
    EXPECT_EQ(shown_in_pieces, shown);
    return whole;
  }
  [[nodiscard]] Tail tail_in_pieces(uint32_t more, uint64_t proven,
                                    std::vector<uint64_t>& shown) const {
    Pieces pieces(*this, more);
    Evidence evidence;
    evidence.proven_seq = proven;
    EXPECT_TRUE(look_from_behind(header_, pieces, evidence).ok());
    Tail tail;
    const auto show = [&](const FrameView& batch) {
      for (uint64_t seq = batch.header.first_seq; seq <= batch.last_seq(); seq++) {
        shown.push_back(seq);
      }
      return sys::Status();
    };
    EXPECT_TRUE(examine_tail(header_, pieces, evidence, show, tail).ok());
    EXPECT_EQ(shown.size(), tail.proven.end.next_seq - header_.first_seq);
    return tail;
  }
  [[nodiscard]] std::optional<Damage> walk_again(const Chain& from, uint64_t last_seq,
                                                 const BatchVisitor& visitor) const {
    Pieces pieces(*this, 0);
    std::optional<Damage> damage;
    EXPECT_TRUE(store::walk_again(header_, pieces, from, last_seq, visitor, damage).ok());
    return damage;
  }
  // The header of a segment that follows this one as it stands.
  [[nodiscard]] format::SegmentHeader successor() const {
    format::SegmentHeader next = header_;
    next.number++;
    next.first_seq = end_.next_seq;
    next.durable_seq = end_.last_seq();
    next.previous_number = header_.number;
    next.previous_end_block = end_.block;
    next.previous_last_seq = end_.last_seq();
    next.previous_frame_crc = end_.frame_crc;
    next.previous_time_us = end_.time_us;
    return next;
  }

  std::vector<uint32_t> unreadable;

 private:
  // Gives what is asked for, and `more` blocks behind it, from memory of its own that is gone with
  // the next call.
  class Pieces final : public SegmentBlocks {
   public:
    Pieces(const Image& image, uint32_t more) : image_(image), more_(more) {}
    [[nodiscard]] uint32_t end_block() const noexcept override {
      return blocks_of(image_.bytes_.size());
    }
    [[nodiscard]] std::span<const uint32_t> unreadable() const noexcept override { return seen_; }
    sys::Status show(uint32_t block, uint32_t count, SegmentImage& image) override {
      const uint32_t first = std::min(block, end_block());
      const uint32_t end = std::min(end_block(), first + count + more_);
      piece_ = std::make_unique<std::vector<std::byte>>(
          image_.bytes_.begin() + size_t{first} * block_bytes,
          image_.bytes_.begin() + size_t{end} * block_bytes);
      for (const uint32_t bad : image_.unreadable) {
        if (bad >= first && bad < end)
          seen_.insert(std::upper_bound(seen_.begin(), seen_.end(), bad), bad);
      }
      seen_.erase(std::unique(seen_.begin(), seen_.end()), seen_.end());
      image = {*piece_, seen_, first};
      return {};
    }

   private:
    const Image& image_;
    const uint32_t more_;
    std::vector<uint32_t> seen_;
    std::unique_ptr<std::vector<std::byte>> piece_;
  };

  Image& put(std::vector<std::byte> frame, format::FrameType type, uint32_t records,
             std::optional<uint64_t> durable) {
    format::FrameHeader header{};
    header.type = static_cast<uint16_t>(type);
    header.segment = header_.number;
    header.block = chain_.block;
    header.epoch = header_.epoch;
    header.first_seq = chain_.next_seq;
    header.durable_seq = durable.value_or(chain_.last_seq());
    header.time_us = chain_.time_us + 10;
    header.record_count = records;
    header.payload_bytes = static_cast<uint32_t>(frame.size() - sizeof header);
    header.previous_frame_crc = chain_.frame_crc;
    chain_.frame_crc = finish_frame(header, frame, seed());
    std::memcpy(bytes_.data() + chain_.block * block_bytes, frame.data(), frame.size());
    chain_.block += blocks_of(frame.size());
    chain_.next_seq += records;
    chain_.time_us = header.time_us;
    if (records != 0) end_ = chain_;
    return *this;
  }

  format::SegmentHeader header_;
  std::vector<std::byte> bytes_;
  Chain chain_;
  Chain end_{1, header_.first_seq, header_.previous_frame_crc, header_.previous_time_us};
  uint64_t durable_ = 0;
};

TEST(Tail, AnEmptySegmentIsClean) {
  const Image image;
  const Tail tail = image.tail();
  EXPECT_EQ(tail.verdict, TailVerdict::clean);
  EXPECT_EQ(tail.end.last_seq(), 0u);
  EXPECT_EQ(tail.proven_seq, 0u);
}

TEST(Tail, EachFrameProvesTheOnesBeforeIt) {
  Image image;
  image.batch(1, 30).batch(3, 100).batch(2, 5000);
  Tail tail = image.tail();
  EXPECT_EQ(tail.verdict, TailVerdict::clean);
  EXPECT_EQ(tail.end.last_seq(), 6u);
  EXPECT_EQ(tail.proven_seq, 4u);
  EXPECT_EQ(tail.all.count, 3u);
  EXPECT_EQ(tail.proven.count, 2u);
  image.seal();
  tail = image.tail();
  EXPECT_EQ(tail.proven_seq, 6u);
  EXPECT_EQ(tail.all.count, 3u);
  EXPECT_EQ(tail.proven.count, 3u);
  EXPECT_EQ(tail.end.block, image.chain().block);
}

TEST(Tail, HeaderAndSnapshotProveToo) {
  format::SegmentHeader header = first_header();
  header.durable_seq = 3;  // three records were copied in before it was published
  Image image(header);
  image.batch(3, 10, 0).batch(1, 10);
  EXPECT_EQ(image.tail().proven_seq, 3u);
  EXPECT_EQ(image.tail(4).proven.count, 2u);
  const Tail lost = image.tail(5);
  EXPECT_EQ(lost.verdict, TailVerdict::corrupt);
  ASSERT_TRUE(lost.damage);
  EXPECT_EQ(lost.damage->segment, 1u);
  EXPECT_EQ(lost.damage->block, image.chain().block);
  EXPECT_EQ(lost.damage->seq, 5u);
}

// In the order in which a crash may leave it: any prefix of the last batch's sectors, or any
// subset.
TEST(Tail, ATornLastBatchEndsTheLogAndNothingElse) {
  Image image;
  image.batch(1, 30).batch(2, 40).batch(30, 300);
  const Image whole = image;
  const uint32_t start = 3;
  const uint32_t end = image.chain().block;
  ASSERT_GT(end - start, 2u);
  const size_t sectors = (end - start) * 8;
  std::mt19937_64 random(1);
  for (size_t round = 0; round < 2'000; round++) {
    image = whole;
    bool changed = false;
    for (size_t sector = 0; sector < sectors; sector++) {
      const bool lost = round < sectors ? sector >= round : random() % 2 == 0;
      if (!lost) continue;
      std::byte* at = image.bytes().data() + start * block_bytes + sector * 512;
      changed |= std::memcmp(at, std::vector<std::byte>(512).data(), 512) != 0;
      std::memset(at, 0, 512);
    }
    const Tail tail = image.tail();
    ASSERT_EQ(tail.end.last_seq(), changed ? 3u : 33u) << round;
    ASSERT_FALSE(tail.damage) << tail.damage->text();
  }
}

TEST(Tail, EveryByteOfTheLastBatchGarbledEndsTheLogBeforeIt) {
  Image image;
  image.batch(1, 30).batch(2, 40).batch(5, 700);
  const size_t from = 3 * block_bytes;
  const size_t to = image.chain().block * block_bytes;
  for (size_t at = from; at < to; at++) {
    image.bytes()[at] ^= std::byte{0x40};
    const Tail tail = image.tail();
    ASSERT_EQ(tail.end.last_seq(), 3u) << at;
    ASSERT_EQ(tail.verdict, TailVerdict::torn) << at;
    image.bytes()[at] ^= std::byte{0x40};
  }
}

// The heart of the matter: what is proven durable is there, or the store says that it is not.
TEST(Tail, EveryFlippedByteAtOrBelowTheProofIsCorrupt) {
  Image image;
  image.batch(1, 30).batch(2, 40).batch(2, 3000).batch(1, 10).seal();
  const uint32_t proven_end = image.chain().block - 1;  // the seal itself may go unnoticed
  const Tail whole = image.tail();
  ASSERT_EQ(whole.proven_seq, 6u);
  for (size_t at = block_bytes; at < proven_end * block_bytes; at++) {
    for (const uint8_t mask : {uint8_t{0x01}, uint8_t{0x80}}) {
      image.bytes()[at] ^= std::byte{mask};
      const Tail tail = image.tail();
      ASSERT_EQ(tail.verdict, TailVerdict::corrupt) << "byte " << at;
      ASSERT_TRUE(tail.damage);
      ASSERT_EQ(tail.damage->block, at / block_bytes < 4 ? std::min<size_t>(at / block_bytes, 3)
                                                         : (at / block_bytes == 4 ? 3 : 5))
          << at;
      image.bytes()[at] ^= std::byte{mask};
    }
  }
}

TEST(Tail, ProofBehindGarbageCounts) {
  Image image;
  image.batch(1, 30).batch(1, 30).batch(1, 30).batch(1, 30);
  // The second frame is gone; the fourth still says that the third was durable.
  std::memset(image.bytes().data() + 2 * block_bytes, 0, block_bytes);
  const Tail tail = image.tail();
  EXPECT_EQ(tail.proven_seq, 3u);
  EXPECT_EQ(tail.verdict, TailVerdict::corrupt);
  ASSERT_TRUE(tail.damage);
  EXPECT_EQ(tail.damage->block, 2u);
  EXPECT_EQ(tail.damage->seq, 2u);
}

// A frame whose payload is torn was still begun by an engine that knew what was durable.
TEST(Tail, ATornFramesHeaderIsEvidence) {
  Image image;
  image.batch(1, 30).batch(1, 30).batch(1, 6000);
  std::memset(image.bytes().data() + 4 * block_bytes, 0, block_bytes);  // half of the third's
  std::memset(image.bytes().data() + 1 * block_bytes, 0, block_bytes);  // the first
  const Tail tail = image.tail();
  EXPECT_EQ(tail.proven_seq, 2u);
  EXPECT_EQ(tail.verdict, TailVerdict::corrupt);
}

// Relaxed modes: a later batch may survive an earlier one that nobody promised.
TEST(Tail, WithoutProofALostBatchTakesTheLaterOnesWithIt) {
  Image image;
  image.batch(1, 30, 0).batch(1, 30, 0).batch(1, 30, 0);
  std::memset(image.bytes().data() + 2 * block_bytes, 0, block_bytes);
  const Tail tail = image.tail();
  EXPECT_EQ(tail.verdict, TailVerdict::torn);
  EXPECT_EQ(tail.end.last_seq(), 1u);
  EXPECT_EQ(tail.proven_seq, 0u);
}

TEST(Tail, ContradictionsAtTheNextPlaceAreCorruptEvenAboveTheProof) {
  const auto verdict_of = [](const std::function<void(format::FrameHeader&)>& change) {
    Image image;
    image.batch(1, 30, 0).batch(1, 30, 0);
    image.edit(2, change);
    const Tail tail = image.tail();
    const bool whole = tail.end.last_seq() == 2;
    EXPECT_EQ(tail.verdict, whole                 ? TailVerdict::clean
                            : ends_log(tail.stop) ? TailVerdict::torn
                                                  : TailVerdict::corrupt);
    return tail.stop;
  };
  using Frame = format::FrameHeader;
  EXPECT_EQ(verdict_of([](Frame&) {}), FrameVerdict::nothing);
  EXPECT_EQ(verdict_of([](Frame& f) { f.segment++; }), FrameVerdict::misplaced);
  EXPECT_EQ(verdict_of([](Frame& f) { f.block++; }), FrameVerdict::misplaced);
  EXPECT_EQ(verdict_of([](Frame& f) { f.epoch++; }), FrameVerdict::misplaced);
  EXPECT_EQ(verdict_of([](Frame& f) { f.first_seq++; }), FrameVerdict::out_of_sequence);
  EXPECT_EQ(verdict_of([](Frame& f) { f.first_seq--; }), FrameVerdict::out_of_sequence);
  EXPECT_EQ(verdict_of([](Frame& f) { f.previous_frame_crc++; }), FrameVerdict::out_of_chain);
  EXPECT_EQ(verdict_of([](Frame& f) { f.type = 3; }), FrameVerdict::impossible);
  EXPECT_EQ(verdict_of([](Frame& f) { f.type = 2; }), FrameVerdict::impossible);
  EXPECT_EQ(verdict_of([](Frame& f) { f.flags = 1; }), FrameVerdict::impossible);
  EXPECT_EQ(verdict_of([](Frame& f) { f.durable_seq = f.first_seq; }), FrameVerdict::impossible);
  EXPECT_EQ(verdict_of([](Frame& f) { f.time_us = 0; }), FrameVerdict::impossible);
  EXPECT_EQ(verdict_of([](Frame& f) { f.record_count = 0; }), FrameVerdict::impossible);
  EXPECT_EQ(verdict_of([](Frame& f) { f.record_count = 100; }), FrameVerdict::impossible);
  EXPECT_EQ(verdict_of([](Frame& f) { f.payload_bytes = UINT32_MAX; }), FrameVerdict::impossible);
  EXPECT_EQ(verdict_of([](Frame& f) { f.payload_bytes = segment_bytes; }),
            FrameVerdict::impossible);
  EXPECT_EQ(verdict_of([](Frame& f) { f.record_count = 2; }), FrameVerdict::malformed);
  EXPECT_EQ(verdict_of([](Frame& f) { f.payload_bytes += 8; }), FrameVerdict::torn);
}

TEST(Tail, AProofThatSplitsABatchIsCorrupt) {
  Image image;
  image.batch(4, 30, 0);
  const Tail tail = image.tail(2);
  EXPECT_EQ(tail.verdict, TailVerdict::corrupt);
  ASSERT_TRUE(tail.damage);
}

TEST(Tail, AnUnreadableBlockIsNeverAnEnd) {
  for (uint32_t block = 1; block < segment_blocks; block++) {
    Image image;
    image.batch(1, 30).batch(2, 6000).batch(1, 20);
    image.unreadable = {block};
    std::memset(image.bytes().data() + block * block_bytes, 0, block_bytes);
    const Tail tail = image.tail();
    EXPECT_EQ(tail.verdict, TailVerdict::unreadable) << block;
    ASSERT_TRUE(tail.damage);
    EXPECT_TRUE(tail.damage->unreadable);
    EXPECT_NE(tail.damage->text().find("block " + std::to_string(block)), std::string::npos);
  }
}

TEST(Tail, AFrameOfAnotherNonceIsNoFrame) {
  format::SegmentHeader other = first_header();
  other.nonce++;
  Image copied(other);
  copied.batch(1, 30).batch(1, 30).batch(1, 30);
  Image image;
  image.batch(1, 30);
  // As it would lie after a copy by another hand, or inside a payload: at its right place even.
  std::memcpy(image.bytes().data() + 2 * block_bytes, copied.bytes().data() + 2 * block_bytes,
              2 * block_bytes);
  const Tail tail = image.tail();
  EXPECT_EQ(tail.verdict, TailVerdict::torn);
  EXPECT_EQ(tail.end.last_seq(), 1u);
  EXPECT_EQ(tail.proven_seq, 0u);
}

TEST(Tail, AFrameMovedInsideTheSegmentIsCorruptAtTheNextPlaceAndNothingElsewhere) {
  Image image;
  image.batch(1, 30).batch(1, 30);
  std::byte* base = image.bytes().data();
  std::memcpy(base + 10 * block_bytes, base + 2 * block_bytes, block_bytes);
  EXPECT_EQ(image.tail().verdict, TailVerdict::torn);
  EXPECT_EQ(image.tail().proven_seq, 1u);
  std::memcpy(base + 3 * block_bytes, base + 2 * block_bytes, block_bytes);
  EXPECT_EQ(image.tail().stop, FrameVerdict::misplaced);
  EXPECT_EQ(image.tail().verdict, TailVerdict::corrupt);
}

TEST(Tail, ASegmentFilledToTheLastBlock) {
  Image image;
  while (image.chain().block < segment_blocks) image.batch(1, 30);
  const Tail tail = image.tail();
  EXPECT_EQ(tail.verdict, TailVerdict::clean);
  EXPECT_EQ(tail.end.last_seq(), segment_blocks - 1);
  EXPECT_EQ(tail.proven_seq, segment_blocks - 2);
}

TEST(Tail, RandomBytesNeverMakeARecord) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 200; round++) {
    Image image;
    image.batch(1, 30);
    for (size_t at = 2 * block_bytes; at < segment_bytes; at += 8) {
      const uint64_t word = random();
      std::memcpy(image.bytes().data() + at, &word, 8);
    }
    if (round % 2 != 0) std::memcpy(image.bytes().data() + 2 * block_bytes, "EFRM", 4);
    ASSERT_EQ(image.tail().end.last_seq(), 1u);
    ASSERT_EQ(image.tail().verdict, TailVerdict::torn);
  }
}

// ---- closed segments --------------------------------------------------------------------------

// The number of batches that come out before the end, or nothing with damage.
std::optional<size_t> walk_closed(const Image& image, const format::SegmentHeader& successor) {
  ClosedWalk walk(image.header(), successor, image.image());
  FrameView batch;
  size_t count = 0;
  while (walk.next(batch)) count++;
  if (walk.damage()) return std::nullopt;
  return count;
}

TEST(Closed, EndsWhereTheSuccessorSays) {
  Image image;
  image.batch(1, 30).seal().batch(2, 40);
  const format::SegmentHeader successor = image.successor();
  // What follows was never durable, or is a seal whose flush nobody waited for.
  image.seal().batch(1, 10);
  EXPECT_EQ(walk_closed(image, successor), 2u);
  std::memset(image.bytes().data() + 4 * block_bytes, 0xFF, block_bytes);
  EXPECT_EQ(walk_closed(image, successor), 2u);
}

TEST(Closed, WithoutRecordsEndsBehindItsHeader) {
  const Image image;
  const format::SegmentHeader successor = image.successor();
  EXPECT_EQ(successor.previous_end_block, 1u);
  EXPECT_EQ(walk_closed(image, successor), 0u);
  EXPECT_FALSE(check_header(successor, 2, some_store(), &image.header()));
}

TEST(Closed, EveryFlippedByteIsCorrupt) {
  Image image;
  image.batch(1, 30).seal().batch(2, 3000).batch(1, 4);
  const format::SegmentHeader successor = image.successor();
  ASSERT_EQ(walk_closed(image, successor), 3u);
  for (size_t at = block_bytes; at < image.chain().block * block_bytes; at++) {
    image.bytes()[at] ^= std::byte{0x10};
    ASSERT_EQ(walk_closed(image, successor), std::nullopt) << at;
    image.bytes()[at] ^= std::byte{0x10};
  }
}

TEST(Closed, AnotherEndIsCorrupt) {
  Image image;
  image.batch(1, 30).batch(2, 40).batch(1, 10);
  const format::SegmentHeader good = image.successor();
  ASSERT_EQ(walk_closed(image, good), 3u);
  const auto with = [&](const std::function<void(format::SegmentHeader&)>& change) {
    format::SegmentHeader header = good;
    change(header);
    return walk_closed(image, header);
  };
  using Header = format::SegmentHeader;
  EXPECT_EQ(with([](Header& h) { h.previous_end_block--; }), std::nullopt);
  EXPECT_EQ(with([](Header& h) { h.previous_end_block++; }), std::nullopt);
  EXPECT_EQ(with([](Header& h) { h.previous_last_seq++; }), std::nullopt);
  EXPECT_EQ(with([](Header& h) { h.previous_frame_crc++; }), std::nullopt);
  EXPECT_EQ(with([](Header& h) { h.previous_time_us++; }), std::nullopt);
}

TEST(Headers, EveryContradictionIsDamage) {
  Image image;
  image.batch(1, 30).batch(2, 40);
  const format::SegmentHeader before = image.header();
  const format::SegmentHeader good = image.successor();
  const StoreFacts store = some_store();
  EXPECT_FALSE(check_header(before, 1, store, nullptr));
  EXPECT_FALSE(check_header(good, 2, store, &before));
  const auto damaged = [&](const std::function<void(format::SegmentHeader&)>& change) {
    format::SegmentHeader header = good;
    change(header);
    return check_header(header, 2, store, &before).has_value();
  };
  using Header = format::SegmentHeader;
  EXPECT_TRUE(damaged([](Header& h) { h.uuid[3]++; }));
  EXPECT_TRUE(damaged([](Header& h) { h.number = 3; }));
  EXPECT_TRUE(damaged([](Header& h) { h.block_bytes = 512; }));
  EXPECT_TRUE(damaged([](Header& h) { h.segment_bytes *= 2; }));
  EXPECT_TRUE(damaged([](Header& h) { h.first_seq++; }));
  EXPECT_TRUE(damaged([](Header& h) { h.previous_last_seq++; }));
  EXPECT_TRUE(damaged([](Header& h) { h.durable_seq = h.previous_last_seq - 1; }));
  EXPECT_TRUE(damaged([](Header& h) { h.epoch = 0; }));
  EXPECT_TRUE(damaged([](Header& h) { h.previous_number = 0; }));
  EXPECT_TRUE(damaged([](Header& h) { h.previous_end_block = 0; }));
  EXPECT_TRUE(damaged([](Header& h) { h.previous_end_block = 65; }));
  EXPECT_TRUE(damaged([](Header& h) { h.previous_end_block = 1; }));
  EXPECT_TRUE(damaged([](Header& h) {
    h.previous_last_seq = 0;
    h.first_seq = 1;
    h.durable_seq = 0;
  }));
  format::SegmentHeader later = before;
  later.epoch = 9;
  EXPECT_TRUE(check_header(good, 2, store, &later));
  later = before;
  later.durable_seq = 4;  // was durable, and its successor says the log ended before
  EXPECT_TRUE(check_header(good, 2, store, &later));
  later = before;
  later.previous_time_us = good.previous_time_us + 1;
  EXPECT_TRUE(check_header(good, 2, store, &later));
}

// ---- the fresh segment ------------------------------------------------------------------------

// The batches that a fresh segment gets.
std::vector<format::FrameHeader> copies_of(const Image& image, const FreshSegment& fresh) {
  std::vector<format::FrameHeader> copies;
  uint64_t blocks = 0;
  const auto take = [&](const FrameView& batch) {
    copies.push_back(batch.header);
    blocks += batch.blocks;
    return sys::Status();
  };
  const auto damage = image.walk_again(fresh.copied_from, fresh.header.durable_seq, take);
  EXPECT_FALSE(damage) << damage->text();
  EXPECT_EQ(blocks, fresh.copied_blocks);
  return copies;
}

TEST(Fresh, ReplacesASegmentWithoutProvenRecordsAndCopiesTheRest) {
  Image image;
  image.batch(1, 30, 0).batch(2, 40, 0);
  const FreshSegment fresh = plan_fresh_segment(image.header(), image.tail());
  EXPECT_EQ(fresh.header.number, 1u);
  EXPECT_EQ(fresh.header.epoch, 2u);
  EXPECT_EQ(fresh.header.first_seq, 1u);
  EXPECT_EQ(fresh.header.durable_seq, 3u);
  EXPECT_EQ(fresh.header.previous_number, 0u);
  EXPECT_EQ(fresh.proven_seq, 0u);
  const auto copies = copies_of(image, fresh);
  ASSERT_EQ(copies.size(), 2u);
  EXPECT_EQ(copies[1].first_seq, 2u);
  EXPECT_EQ(copies[1].record_count, 2u);
  EXPECT_EQ(copies[1].time_us, 20u);
}

TEST(Fresh, ReplacesASmallSegmentAndCopiesAllOfIt) {
  Image image;
  image.batch(1, 30).seal().batch(2, 40);
  const FreshSegment fresh = plan_fresh_segment(image.header(), image.tail());
  EXPECT_EQ(fresh.header.number, 1u);
  EXPECT_EQ(fresh.header.durable_seq, 3u);
  EXPECT_EQ(fresh.proven_seq, 1u);
  EXPECT_EQ(copies_of(image, fresh).size(), 2u);
}

// The flush of the directory that gave the copy its name may have failed, and the name be lost with
// the next power cut: a successor would then follow on a segment that is missing.
TEST(Fresh, ReplacesALargeCopyThatNothingWasAddedTo) {
  StoreFacts store = some_store();
  store.segment_bytes = uint64_t{2} << 20;
  format::SegmentHeader header = first_header();
  header.segment_bytes = store.segment_bytes;
  header.durable_seq = 3;
  Image image(header);
  for (int i = 0; i < 3; i++) image.batch(1, 400'000, 0);
  const Tail copied = image.tail();
  ASSERT_FALSE(copied.damage);
  EXPECT_EQ(copied.proven.count, 3u);
  const FreshSegment again = plan_fresh_segment(image.header(), copied);
  EXPECT_EQ(again.header.number, 1u);
  EXPECT_EQ(again.header.durable_seq, 3u);
  EXPECT_EQ(copies_of(image, again).size(), 3u);

  image.batch(1, 10, 3);
  EXPECT_EQ(plan_fresh_segment(image.header(), image.tail()).header.number, 2u);
}

TEST(Fresh, FollowsALargeOneAndCopiesOnlyWhatIsNotProven) {
  StoreFacts store = some_store();
  store.segment_bytes = uint64_t{2} << 20;
  format::SegmentHeader header = first_header();
  header.segment_bytes = store.segment_bytes;
  Image image(header);
  for (int i = 0; i < 3; i++) image.batch(1, 400'000);
  image.seal();
  image.batch(2, 40, 3);
  const Tail tail = image.tail();
  ASSERT_FALSE(tail.damage) << tail.damage->text();
  const FreshSegment fresh = plan_fresh_segment(image.header(), tail);
  EXPECT_EQ(fresh.header.number, 2u);
  EXPECT_EQ(fresh.header.first_seq, 4u);
  EXPECT_EQ(fresh.header.durable_seq, 5u);
  EXPECT_EQ(fresh.header.previous_number, 1u);
  EXPECT_EQ(fresh.header.previous_last_seq, 3u);
  // Behind the third batch, not behind the seal.
  EXPECT_EQ(fresh.header.previous_end_block, 1 + 3 * blocks_of(64 + record_extent(400'000)));
  const auto copies = copies_of(image, fresh);
  ASSERT_EQ(copies.size(), 1u);
  EXPECT_EQ(copies[0].first_seq, 4u);
  EXPECT_FALSE(check_header(fresh.header, 2, store, &image.header()));
  ClosedWalk walk(image.header(), fresh.header, image.image());
  FrameView batch;
  size_t batches = 0;
  while (walk.next(batch)) batches++;
  EXPECT_FALSE(walk.damage());
  EXPECT_EQ(batches, 3u);
}

}  // namespace
}  // namespace espora::store
