// The bytes on disk: golden ones (made from FORMAT.md by another program), names, and refusals.
#include "store/format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "store/record.h"
#include "store_rig.h"
#include "sys/crc32c.h"

namespace espora::store {
namespace {

using test::bytes_of;

std::string hex(Bytes bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(byte));
    text += digits;
  }
  return text;
}

Uuid some_uuid() {
  Uuid uuid;
  for (size_t i = 0; i < uuid.size(); i++) uuid[i] = static_cast<uint8_t>(0x10 + i);
  return uuid;
}

format::SegmentHeader some_header() {
  format::SegmentHeader header{};
  header.uuid = some_uuid();
  header.number = 2;
  header.epoch = 3;
  header.segment_bytes = 1 << 20;
  header.nonce = 0x1122334455667788;
  header.first_seq = 101;
  header.durable_seq = 100;
  header.previous_number = 1;
  header.previous_end_block = 200;
  header.previous_last_seq = 100;
  header.previous_frame_crc = 0xDEADBEEF;
  header.previous_time_us = 1'700'000'000'000'000;
  return header;
}

TEST(Format, GoldenStore) {
  const StoreFacts facts{some_uuid(), 1 << 20, "ledger", "{\"a\":1}"};
  const std::string file = encode_store(facts);
  ASSERT_EQ(file.size(), 4096u);
  EXPECT_EQ(
      hex(bytes_of(file).first(80)),
      "4553504f5253544fd1833d5001000000101112131415161718191a1b1c1d1e1f001000000600000000001000"
      "00000000070000000000000000000000000000006c65646765727b2261223a317d000000");
  EXPECT_TRUE(std::all_of(file.begin() + 80, file.end(), [](char c) { return c == 0; }));
  StoreFacts back;
  ASSERT_EQ(decode_store(bytes_of(file), back), HeaderState::valid);
  EXPECT_EQ(back.uuid, facts.uuid);
  EXPECT_EQ(back.segment_bytes, facts.segment_bytes);
  EXPECT_EQ(back.kind, facts.kind);
  EXPECT_EQ(back.schema, facts.schema);
}

TEST(Format, GoldenSegmentHeader) {
  std::vector<std::byte> block(format::block_bytes, std::byte{0xAA});
  encode_segment_header(some_header(), block);
  EXPECT_EQ(
      hex(Bytes(block).first(128)),
      "4553504f52534547c6df55ac01000000101112131415161718191a1b1c1d1e1f020000000000000003000000"
      "00100000000010000000000088776655443322116500000000000000640000000000000001000000c8000000"
      "6400000000000000efbeadde0000000000401e18240a060000000000000000000000000000000000");
  EXPECT_TRUE(std::all_of(block.begin() + 128, block.end(),
                          [](std::byte byte) { return byte == std::byte{0}; }));
}

TEST(Format, GoldenFrames) {
  std::vector<std::byte> bytes(64 + 24, std::byte{0xAA});
  std::byte* at = bytes.data() + 64;
  std::memcpy(put_record(at, 7, 1, 5), "hello", 5);
  at += record_extent(5);
  put_record(at, 8, 0, 0);
  format::FrameHeader header{};
  header.type = 1;
  header.segment = 2;
  header.block = 1;
  header.epoch = 3;
  header.first_seq = 101;
  header.durable_seq = 100;
  header.time_us = 1'700'000'000'000'001;
  header.record_count = 2;
  header.payload_bytes = 24;
  header.previous_frame_crc = 0xDEADBEEF;
  const uint32_t seed = frame_seed(0x1122334455667788);
  EXPECT_EQ(finish_frame(header, bytes, seed), 0x89a06fb4u);
  EXPECT_EQ(
      hex(bytes),
      "4546524db46fa089010000000200000001000000030000006500000000000000640000000000000001401e18"
      "240a06000200000018000000fe25358defbeadde050000000700010068656c6c6f0000000000000008000000");

  format::FrameHeader seal{};
  seal.type = 2;
  seal.segment = 2;
  seal.block = 2;
  seal.epoch = 3;
  seal.first_seq = 103;
  seal.durable_seq = 102;
  seal.time_us = 1'700'000'000'000'001;
  seal.previous_frame_crc = 0x89a06fb4;
  std::vector<std::byte> sealed(64);
  finish_frame(seal, sealed, seed);
  EXPECT_EQ(
      hex(sealed),
      "4546524dfbd0449e020000000200000002000000030000006700000000000000660000000000000001401e18"
      "240a06000000000000000000165159afb46fa089");
}

TEST(Format, EveryFlippedBitOfASegmentHeaderIsSeen) {
  std::vector<std::byte> block(format::block_bytes);
  encode_segment_header(some_header(), block);
  format::SegmentHeader header;
  ASSERT_EQ(decode_segment_header(block, header), HeaderState::valid);
  for (size_t bit = 0; bit < block.size() * 8; bit++) {
    block[bit / 8] ^= std::byte{1} << (bit % 8);
    ASSERT_EQ(decode_segment_header(block, header), HeaderState::damaged) << "bit " << bit;
    block[bit / 8] ^= std::byte{1} << (bit % 8);
  }
}

TEST(Format, EveryFlippedBitOfStoreIsSeen) {
  std::string file = encode_store({some_uuid(), 1 << 20, "ledger", "schema"});
  StoreFacts facts;
  for (size_t bit = 0; bit < file.size() * 8; bit++) {
    file[bit / 8] = static_cast<char>(file[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_EQ(decode_store(bytes_of(file), facts), HeaderState::damaged) << "bit " << bit;
    file[bit / 8] = static_cast<char>(file[bit / 8] ^ (1 << (bit % 8)));
  }
  for (size_t size = 0; size < file.size(); size += 64) {
    EXPECT_EQ(decode_store(bytes_of(file).first(size), facts), HeaderState::damaged);
  }
  EXPECT_EQ(decode_store(bytes_of(file + file), facts), HeaderState::damaged);
}

// A later version is told from damage: its CRC is right.
TEST(Format, AnotherVersionIsNotDamage) {
  std::vector<std::byte> block(format::block_bytes);
  encode_segment_header(some_header(), block);
  const auto reseal = [](std::span<std::byte> bytes) {
    const uint32_t crc = sys::crc32c(Bytes(bytes).subspan(format::header_crc_from));
    std::memcpy(bytes.data() + format::header_crc_offset, &crc, sizeof crc);
  };
  format::SegmentHeader header;
  block[offsetof(format::SegmentHeader, version)] = std::byte{2};
  reseal(block);
  EXPECT_EQ(decode_segment_header(block, header), HeaderState::other_version);
  EXPECT_EQ(header.version, 2u);

  encode_segment_header(some_header(), block);
  block[offsetof(format::SegmentHeader, flags)] = std::byte{format::segment_flag_dense};
  reseal(block);
  EXPECT_EQ(decode_segment_header(block, header), HeaderState::valid);
  block[offsetof(format::SegmentHeader, flags)] = std::byte{format::segment_flags_known + 1};
  reseal(block);
  EXPECT_EQ(decode_segment_header(block, header), HeaderState::other_version);

  std::string file = encode_store({some_uuid(), 1 << 20, "k", ""});
  file[offsetof(format::StoreHeader, version)] = 9;
  reseal(std::as_writable_bytes(std::span(file)));
  StoreFacts facts;
  EXPECT_EQ(decode_store(bytes_of(file), facts), HeaderState::other_version);
  EXPECT_EQ(facts.version, 9u);
}

TEST(Format, SchemasOfEverySizeFit) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4096 - 64 - 1}, size_t{4096 - 64},
                            size_t{100'000}, limits::store_schema_bytes_max}) {
    const StoreFacts facts{some_uuid(), 1 << 20, "", std::string(size, 'x')};
    const std::string file = encode_store(facts);
    EXPECT_EQ(file.size() % 4096, 0u);
    StoreFacts back;
    ASSERT_EQ(decode_store(bytes_of(file), back), HeaderState::valid) << size;
    EXPECT_EQ(back.schema, facts.schema);
  }
}

TEST(Format, Names) {
  const auto kind = [](std::string_view name) { return parse_name(name).kind; };
  EXPECT_EQ(kind("LOCK"), NameKind::lock);
  EXPECT_EQ(kind("STORE"), NameKind::store);
  EXPECT_EQ(kind("STORE.tmp"), NameKind::temporary);
  EXPECT_EQ(kind("spare-17.tmp"), NameKind::temporary);
  EXPECT_EQ(kind("SNAP-12.tmp"), NameKind::temporary);
  EXPECT_EQ(kind("00000001.seg"), NameKind::segment);
  EXPECT_EQ(parse_name("00012345.seg").number, 12345u);
  EXPECT_EQ(kind("SNAP-0"), NameKind::snapshot);
  EXPECT_EQ(parse_name("SNAP-18446744073709551615").number, UINT64_MAX);
  for (const char* name : {"",
                           "lock",
                           "STORE ",
                           "1.seg",
                           "000000001.seg",
                           "0000000a.seg",
                           "-0000001.seg",
                           "+0000001.seg",
                           "00000001.seg.tmp",
                           "00000001.SEG",
                           "SNAP-",
                           "SNAP-x",
                           "SNAP-01",
                           "SNAP-18446744073709551616",
                           "SNAP--1",
                           "spare-.tmp",
                           "spare-1",
                           "notes.tmp",
                           "lost+found",
                           "STORE.bak",
                           ".tmp",
                           ".seg"}) {
    EXPECT_EQ(kind(name), NameKind::foreign) << name;
  }
  EXPECT_EQ(segment_name(1), "00000001.seg");
  EXPECT_EQ(segment_name(limits::segment_number_max), "99999999.seg");
  EXPECT_EQ(kind(segment_name(limits::segment_number_max)), NameKind::segment);
  EXPECT_EQ(kind(spare_name(UINT64_MAX)), NameKind::temporary);
}

// ---- records ----------------------------------------------------------------------------------

TEST(Record, EveryLengthComesBackAndGapsAreZero) {
  std::vector<std::byte> payload;
  for (size_t size = 0; size <= 40; size++) {
    const size_t at = payload.size();
    payload.resize(at + record_extent(size), std::byte{0xEE});
    std::byte* place = put_record(payload.data() + at, static_cast<uint16_t>(size), 9, size);
    std::memset(place, 0x55, size);
    for (size_t gap = at + 8 + size; gap < payload.size(); gap++) {
      ASSERT_EQ(payload[gap], std::byte{0}) << size;
    }
  }
  format::FrameHeader frame{};
  frame.first_seq = 1000;
  frame.time_us = 77;
  RecordCursor cursor(frame, payload);
  RecordView record;
  for (size_t size = 0; size <= 40; size++) {
    ASSERT_TRUE(cursor.next(record));
    EXPECT_EQ(record.seq, 1000 + size);
    EXPECT_EQ(record.time_us, 77u);
    EXPECT_EQ(record.type, size);
    EXPECT_EQ(record.flags, 9);
    EXPECT_EQ(record.bytes.size(), size);
  }
  EXPECT_FALSE(cursor.next(record));
  EXPECT_FALSE(cursor.damaged());
}

TEST(Record, APayloadCutAnywhereIsDamaged) {
  std::vector<std::byte> payload(record_extent(20) + record_extent(3));
  put_record(payload.data(), 1, 0, 20);
  put_record(payload.data() + record_extent(20), 1, 0, 3);
  for (size_t size = 1; size < payload.size(); size++) {
    // Memory of exactly this size: reading past it is seen by the address sanitizer.
    const std::vector<std::byte> part(payload.begin(),
                                      payload.begin() + static_cast<ptrdiff_t>(size));
    RecordCursor cursor({}, part);
    RecordView record;
    size_t count = 0;
    while (cursor.next(record)) count++;
    EXPECT_EQ(cursor.damaged(), size != record_extent(20)) << size;
    EXPECT_LE(count, 1u);
  }
}

TEST(Record, AnImpossibleLengthIsDamaged) {
  std::vector<std::byte> payload(32);
  for (const uint32_t length : {uint32_t{25}, uint32_t{1000}, UINT32_MAX, UINT32_MAX - 7}) {
    put_record(payload.data(), 1, 0, 0);
    std::memcpy(payload.data(), &length, sizeof length);
    RecordCursor cursor({}, payload);
    RecordView record;
    EXPECT_FALSE(cursor.next(record));
    EXPECT_TRUE(cursor.damaged());
  }
}

}  // namespace
}  // namespace espora::store
