// Dense segments as bytes: what the encoder makes, the walk and the index read back; every damage
// is found; and what a record costs.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "store/dense.h"
#include "store/format.h"
#include "store/recovery.h"
#include "store_rig.h"

namespace espora::store {
namespace {

using format::block_bytes;
using test::Row;
using test::row_of;
using test::text_of;

// A dense segment in memory.
struct DenseFile {
  format::SegmentHeader header{};
  format::SegmentHeader successor{};
  std::vector<std::byte> bytes;
  std::vector<Row> rows;

  [[nodiscard]] SegmentImage frames() const {
    return {Bytes(bytes).first(size_t{header.dense_index_block} * block_bytes), {}};
  }
  [[nodiscard]] Bytes index() const {
    return Bytes(bytes).subspan(size_t{header.dense_index_block} * block_bytes);
  }
};

// `batches`: the sizes of the records of each batch that the segment held.
DenseFile make_dense(const std::vector<std::vector<size_t>>& batches) {
  DenseFile file;
  format::SegmentHeader& header = file.header;
  header.number = 3;
  header.flags = format::segment_flag_dense;
  header.epoch = 2;
  header.block_bytes = block_bytes;
  header.segment_bytes = uint64_t{64} << 20;
  header.nonce = 0x1234567890ABCDEF;
  header.first_seq = 1001;
  header.durable_seq = header.previous_last_seq = 1000;
  header.previous_number = 2;
  header.previous_end_block = 77;
  header.previous_frame_crc = 0xC0FFEE;
  header.previous_time_us = 5'000;
  DenseEncoder encoder(header);
  uint64_t seq = header.first_seq;
  uint64_t time_us = header.previous_time_us;
  file.bytes.resize(block_bytes);
  const auto take = [&] {
    const Bytes ready = encoder.ready();
    EXPECT_EQ(encoder.block() * block_bytes, file.bytes.size());
    EXPECT_EQ(ready.size() % block_bytes, 0u);
    file.bytes.insert(file.bytes.end(), ready.begin(), ready.end());
    encoder.taken(blocks_of(ready.size()));
  };
  for (const std::vector<size_t>& batch : batches) {
    time_us += seq % 3;  // also batches of the same time
    bool begins = true;
    for (const size_t size : batch) {
      const std::string text = text_of(seq, size);
      const auto type = static_cast<uint16_t>(seq % 5);
      const auto flags = static_cast<uint16_t>(seq % 7);
      encoder.put({seq, time_us, type, flags, test::bytes_of(text)}, begins);
      file.rows.push_back({seq, time_us, type, flags, text});
      begins = false;
      seq++;
    }
    if (seq % 3 == 0) take();
  }
  encoder.finish();
  take();
  const std::vector<std::byte> index = encode_index(header, encoder.entries());
  file.bytes.insert(file.bytes.end(), index.begin(), index.end());
  header.dense_last_seq = seq - 1;
  header.dense_end_block = batches.empty() ? 1 : 900;
  header.dense_frame_crc = batches.empty() ? header.previous_frame_crc : 0xBEEF;
  header.dense_time_us = time_us;
  header.dense_file_bytes = file.bytes.size();
  header.dense_index_block = encoder.end_block();
  header.dense_frame_count = static_cast<uint32_t>(encoder.entries().size());
  encode_segment_header(header, std::span(file.bytes).first(block_bytes));
  EXPECT_EQ(decode_segment_header(Bytes(file.bytes).first(block_bytes), header),
            HeaderState::valid);

  file.successor = header;
  file.successor.flags = 0;
  file.successor.number = 4;
  file.successor.first_seq = seq;
  file.successor.durable_seq = file.successor.previous_last_seq = seq - 1;
  file.successor.previous_number = 3;
  file.successor.previous_end_block = header.dense_end_block;
  file.successor.previous_frame_crc = header.dense_frame_crc;
  file.successor.previous_time_us = header.dense_time_us;
  file.successor.dense_last_seq = file.successor.dense_time_us = file.successor.dense_file_bytes =
      0;
  file.successor.dense_end_block = file.successor.dense_frame_crc = 0;
  file.successor.dense_index_block = file.successor.dense_frame_count = 0;
  return file;
}

StoreFacts store_of(const DenseFile& file) {
  StoreFacts store;
  store.uuid = file.header.uuid;
  store.segment_bytes = file.header.segment_bytes;
  return store;
}

std::vector<Row> rows_by_walk(const DenseFile& file, std::optional<Damage>& damage) {
  std::vector<Row> rows;
  ClosedWalk walk(file.header, file.successor, file.frames());
  FrameView frame;
  while (walk.next(frame)) {
    RecordCursor cursor(frame.header, frame.payload);
    RecordView record;
    while (cursor.next(record)) rows.push_back(row_of(record));
    EXPECT_FALSE(cursor.damaged());
  }
  damage = walk.damage();
  return rows;
}

bool find_record(const FrameView& frame, uint64_t seq, RecordView& record) {
  RecordCursor cursor(frame.header, frame.payload);
  while (cursor.next(record)) {
    if (record.seq == seq) return true;
  }
  return false;
}

std::optional<Row> row_by_index(const DenseFile& file, const DenseIndex& index, uint64_t seq) {
  const format::IndexEntry* entry = index.find(seq);
  if (entry == nullptr) return std::nullopt;
  FrameView frame;
  RecordView record;
  if (!index.frame(
          *entry,
          Bytes(file.bytes)
              .subspan(size_t{entry->block} * block_bytes, size_t{entry->blocks} * block_bytes),
          frame) ||
      !find_record(frame, seq, record)) {
    return std::nullopt;
  }
  return row_of(record);
}

void expect_round_trip(const std::vector<std::vector<size_t>>& batches) {
  const DenseFile file = make_dense(batches);
  EXPECT_FALSE(check_header(file.header, 3, store_of(file), nullptr));
  EXPECT_FALSE(check_header(file.successor, 4, store_of(file), &file.header));
  std::optional<Damage> damage;
  EXPECT_EQ(rows_by_walk(file, damage), file.rows);
  EXPECT_FALSE(damage) << damage->text();
  const auto index = DenseIndex::decode(file.header, file.index());
  ASSERT_TRUE(index);
  EXPECT_FALSE(index->find(1000));
  EXPECT_FALSE(index->find(1001 + file.rows.size()));
  for (const Row& row : file.rows) ASSERT_EQ(row_by_index(file, *index, row.seq), row);
}

TEST(Dense, HoldsWhatItWasMadeOfWhateverTheBatchesWere) {
  expect_round_trip({});
  expect_round_trip({{0}});
  expect_round_trip({{48}, {48}, {1}, {7, 8, 9}});
  expect_round_trip(std::vector<std::vector<size_t>>(5'000, {48}));
  expect_round_trip({std::vector<size_t>(20'000, 40)});
  // Larger than a frame should be, up to the largest that a batch can hold.
  const size_t largest =
      limits::batch_bytes_max - sizeof(format::FrameHeader) - sizeof(format::RecordHeader);
  expect_round_trip({{10}, {largest}, {10, 70'000, 10}, {largest - 7}});
  std::mt19937_64 random(5);
  for (int round = 0; round < 30; round++) {
    std::vector<std::vector<size_t>> batches(random() % 200);
    for (auto& batch : batches) {
      batch.resize(1 + random() % 16);
      for (size_t& size : batch) size = random() % (round % 3 == 0 ? 9'000 : 90);
    }
    expect_round_trip(batches);
  }
}

// A ledger entry without key and with a description of 10 ASCII characters has 48 bytes.
TEST(Dense, ALedgersTransactionCostsAtMost96BytesAlsoAlone) {
  constexpr size_t records = 16'000;  // what fits a segment of 64 MiB one by one
  const DenseFile alone = make_dense(std::vector<std::vector<size_t>>(records, {48}));
  EXPECT_LE(alone.bytes.size(), records * 96);
  EXPECT_LE(alone.bytes.size(), records * 73);  // 72 and the frames around them
  const DenseFile together =
      make_dense(std::vector<std::vector<size_t>>(records / 16, std::vector<size_t>(16, 48)));
  EXPECT_LE(together.bytes.size(), records * 58);
}

TEST(Dense, AFlippedBitAnywhereIsFoundByWalkOrIndex) {
  DenseFile file = make_dense(std::vector<std::vector<size_t>>(3'000, {48}));
  const std::vector<std::byte> whole = file.bytes;
  std::mt19937_64 random(6);
  for (int round = 0; round < 400; round++) {
    file.bytes = whole;
    const size_t at = random() % whole.size();
    file.bytes[at] ^= std::byte{static_cast<uint8_t>(1u << (random() % 8))};
    if (at < block_bytes) {
      format::SegmentHeader header;
      EXPECT_EQ(decode_segment_header(Bytes(file.bytes).first(block_bytes), header),
                HeaderState::damaged);
      continue;
    }
    std::optional<Damage> damage;
    (void)rows_by_walk(file, damage);
    const auto index = DenseIndex::decode(file.header, file.index());
    const bool in_index = at >= size_t{file.header.dense_index_block} * block_bytes;
    EXPECT_EQ(damage.has_value(), !in_index) << at;
    EXPECT_EQ(index.has_value(), !in_index) << at;
    if (!in_index) {
      // Reading by index meets it too, exactly in the frame that it is in.
      size_t lost = 0;
      for (const format::IndexEntry& entry : index->entries()) {
        FrameView frame;
        const bool here = at / block_bytes >= entry.block &&
                          at / block_bytes < size_t{entry.block} + entry.blocks;
        const bool good = index->frame(
            entry,
            Bytes(file.bytes)
                .subspan(size_t{entry.block} * block_bytes, size_t{entry.blocks} * block_bytes),
            frame);
        EXPECT_EQ(good, !here);
        lost += good ? 0 : 1;
      }
      EXPECT_EQ(lost, 1u);
    }
  }
}

TEST(Dense, FramesSwappedOrOfAnotherFileAreFound) {
  DenseFile file = make_dense(std::vector<std::vector<size_t>>(3'000, {48}));
  const size_t frame = limits::dense_frame_bytes;
  std::vector<std::byte> first(
      file.bytes.begin() + block_bytes,
      file.bytes.begin() + static_cast<std::ptrdiff_t>(block_bytes + frame));
  std::memcpy(&file.bytes[block_bytes], &file.bytes[block_bytes + frame], frame);
  std::memcpy(&file.bytes[block_bytes + frame], first.data(), frame);
  std::optional<Damage> damage;
  EXPECT_TRUE(rows_by_walk(file, damage).empty());
  ASSERT_TRUE(damage);
  const auto index = DenseIndex::decode(file.header, file.index());
  ASSERT_TRUE(index);
  EXPECT_FALSE(row_by_index(file, *index, 1001));

  // The same records under another nonce.
  DenseFile other = make_dense({{48}});
  other.header.nonce++;
  EXPECT_TRUE(rows_by_walk(other, damage).empty());
  EXPECT_TRUE(damage);
  EXPECT_FALSE(DenseIndex::decode(other.header, other.index()));
}

TEST(Dense, RunsThatContradictThemselvesAreNoRecords) {
  DenseFile file = make_dense({{8, 8}, {8}});
  const size_t at = block_bytes + sizeof(format::FrameHeader);
  const auto spoiled = [&](size_t offset, uint64_t value, size_t size) {
    DenseFile changed = file;
    std::memcpy(&changed.bytes[at + offset], &value, size);
    // As if an engine had written it: with the right CRCs.
    format::FrameHeader header;
    std::memcpy(&header, &changed.bytes[block_bytes], sizeof header);
    (void)finish_frame(
        header, std::span(changed.bytes).subspan(block_bytes, sizeof header + header.payload_bytes),
        frame_seed(changed.header.nonce));
    std::optional<Damage> damage;
    EXPECT_TRUE(rows_by_walk(changed, damage).empty());
    return damage.has_value() && damage->what.find("not records") != std::string::npos;
  };
  EXPECT_TRUE(spoiled(0, 4'000, 8));      // before the segment's beginning
  EXPECT_TRUE(spoiled(0, 1'000'000, 8));  // then it would go back
  EXPECT_TRUE(spoiled(8, 0, 4));          // no record in a run
  EXPECT_TRUE(spoiled(8, 1, 4));          // fewer than its bytes
  EXPECT_TRUE(spoiled(8, 3, 4));          // more
  EXPECT_TRUE(spoiled(12, 16, 4));        // bytes of one record for two
  EXPECT_TRUE(spoiled(12, 1'000, 4));     // more than there are
}

TEST(Dense, HeadersThatCannotBeAreRefused) {
  const DenseFile file = make_dense({{48}, {48}});
  const auto refused = [&](auto change) {
    format::SegmentHeader header = file.header;
    change(header);
    return check_header(header, 3, store_of(file), nullptr).has_value() ||
           check_header(file.successor, 4, store_of(file), &header).has_value();
  };
  EXPECT_FALSE(refused([](format::SegmentHeader&) {}));
  EXPECT_TRUE(refused([](format::SegmentHeader& h) { h.dense_last_seq++; }));
  EXPECT_TRUE(refused([](format::SegmentHeader& h) { h.dense_last_seq = h.previous_last_seq; }));
  EXPECT_TRUE(refused([](format::SegmentHeader& h) { h.dense_end_block++; }));
  EXPECT_TRUE(refused([](format::SegmentHeader& h) { h.dense_end_block = 0; }));
  EXPECT_TRUE(refused([](format::SegmentHeader& h) { h.dense_end_block = 1; }));
  EXPECT_TRUE(refused([](format::SegmentHeader& h) { h.dense_frame_crc++; }));
  EXPECT_TRUE(refused([](format::SegmentHeader& h) { h.dense_time_us++; }));
  EXPECT_TRUE(refused([](format::SegmentHeader& h) { h.dense_file_bytes += block_bytes; }));
  EXPECT_TRUE(refused([](format::SegmentHeader& h) { h.dense_index_block = 1; }));
  EXPECT_TRUE(refused([](format::SegmentHeader& h) { h.dense_frame_count = 0; }));
  EXPECT_TRUE(refused([](format::SegmentHeader& h) { h.flags = 0; }));
  EXPECT_TRUE(check_last_header(file.header));
  EXPECT_FALSE(check_last_header(file.successor));
}

TEST(Snapshot, HoldsItsStateAndFindsEveryDamage) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4016}, size_t{4017}, size_t{50'000}}) {
    const std::string state = text_of(size, size);
    format::SnapshotHeader header{};
    header.uuid[3] = 9;
    header.seq = 77;
    header.time_us = 123;
    header.segment = 4;
    header.frame_crc = 0xABCD;
    std::vector<std::byte> file = encode_snapshot(header, test::bytes_of(state));
    EXPECT_EQ(file.size() % block_bytes, 0u);
    format::SnapshotHeader read{};
    Bytes bytes;
    ASSERT_EQ(decode_snapshot(file, read, bytes), HeaderState::valid);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), state);
    EXPECT_EQ(read.seq, 77u);
    EXPECT_EQ(read.frame_crc, 0xABCDu);
    for (size_t at = 0; at < file.size(); at += at < 90 ? 1 : 97) {
      std::vector<std::byte> changed = file;
      changed[at] ^= std::byte{0x10};
      EXPECT_EQ(decode_snapshot(changed, read, bytes), HeaderState::damaged) << at;
    }
    EXPECT_EQ(decode_snapshot(Bytes(file).first(file.size() - 1), read, bytes),
              HeaderState::damaged);
    file.resize(file.size() + block_bytes);
    EXPECT_EQ(decode_snapshot(file, read, bytes), HeaderState::damaged);
  }
}

TEST(Snapshot, TheDigestTellsZerosAndOrderApart) {
  const auto of = [](std::string_view text) { return digest(test::bytes_of(text)); };
  EXPECT_NE(of(""), of(std::string_view("\0", 1)));
  EXPECT_NE(of(std::string_view("\0", 1)), of(std::string_view("\0\0", 2)));
  EXPECT_NE(of("abcdefgh12345678"), of("12345678abcdefgh"));
  EXPECT_NE(digest(test::bytes_of("a"), 1), digest(test::bytes_of("a"), 2));
  EXPECT_EQ(of("abc"), of("abc"));
}

}  // namespace
}  // namespace espora::store
