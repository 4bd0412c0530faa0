// Every byte on disk, as structures with asserted offsets; FORMAT.md describes the same in prose.
// All integers are little-endian; a block is 4096 bytes; every CRC is CRC-32C.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sys/limits.h"

namespace espora::store {

static_assert(std::endian::native == std::endian::little);

using Bytes = std::span<const std::byte>;
using Uuid = std::array<uint8_t, 16>;

namespace format {

inline constexpr uint32_t version = 1;
inline constexpr size_t block_bytes = 4096;

inline constexpr std::array<char, 8> store_magic = {'E', 'S', 'P', 'O', 'R', 'S', 'T', 'O'};
inline constexpr std::array<char, 8> segment_magic = {'E', 'S', 'P', 'O', 'R', 'S', 'E', 'G'};
inline constexpr uint32_t frame_magic = 0x4D524645;  // "EFRM"

// ---- STORE ------------------------------------------------------------------------------------
// The file is these bytes, then kind, then schema, then zeros up to a whole block.
struct StoreHeader {
  std::array<char, 8> magic;
  uint32_t crc;  // of the file from byte 12 to its end
  uint32_t version;
  Uuid uuid;
  uint32_t block_bytes;
  uint16_t kind_bytes;
  uint16_t zero_a;
  uint64_t segment_bytes;
  uint32_t schema_bytes;
  uint32_t zero_b;
  uint64_t zero_c;
};
static_assert(sizeof(StoreHeader) == 64);
static_assert(offsetof(StoreHeader, crc) == 8);
static_assert(offsetof(StoreHeader, version) == 12);
static_assert(offsetof(StoreHeader, uuid) == 16);
static_assert(offsetof(StoreHeader, block_bytes) == 32);
static_assert(offsetof(StoreHeader, kind_bytes) == 36);
static_assert(offsetof(StoreHeader, segment_bytes) == 40);
static_assert(offsetof(StoreHeader, schema_bytes) == 48);

// ---- NNNNNNNN.seg, block 0 --------------------------------------------------------------------
// The rest of the block is zero. In every version of the format bytes 0 … 15 and the CRC's extent
// (from byte 12 on) are the same, so that another version can be told from damage.
struct SegmentHeader {
  std::array<char, 8> magic;
  uint32_t crc;  // of the block from byte 12 on
  uint32_t version;
  Uuid uuid;        // of the store
  uint32_t number;  // 1, 2, 3, …
  uint32_t flags;   // segment_flag_…
  uint32_t epoch;   // how many times the store was opened, including this opening
  uint32_t block_bytes;
  uint64_t segment_bytes;  // size of the file
  uint64_t nonce;          // random: seeds the CRCs of the segment's frames
  uint64_t first_seq;      // of the first record that it holds or would hold
  // Everything up to here was durable before this segment's name appeared: previous_last_seq, or
  // the last of the records that were copied into it before that.
  uint64_t durable_seq;
  // The end of the previous segment: the last of its records that was durable when this header was
  // written. Number 0 for none.
  uint32_t previous_number;
  uint32_t previous_end_block;  // first block after the frame of that record
  uint64_t previous_last_seq;
  uint32_t previous_frame_crc;  // that frame's header_crc: the first frame here continues from it
  uint32_t zero_a;
  uint64_t previous_time_us;
  // Zero unless segment_flag_dense. The first four describe the segment's end before it was
  // rewritten, as in its successor's header.
  uint64_t dense_last_seq;
  uint32_t dense_end_block;
  uint32_t dense_frame_crc;
  uint64_t dense_time_us;
  uint64_t dense_file_bytes;   // size of this file; segment_bytes stays the store's
  uint32_t dense_index_block;  // first block after the frames
  uint32_t dense_frame_count;  // frames, and entries of the index
  uint64_t zero_b;
};
static_assert(sizeof(SegmentHeader) == 160);
static_assert(offsetof(SegmentHeader, crc) == 8);
static_assert(offsetof(SegmentHeader, version) == 12);
static_assert(offsetof(SegmentHeader, uuid) == 16);
static_assert(offsetof(SegmentHeader, number) == 32);
static_assert(offsetof(SegmentHeader, flags) == 36);
static_assert(offsetof(SegmentHeader, epoch) == 40);
static_assert(offsetof(SegmentHeader, block_bytes) == 44);
static_assert(offsetof(SegmentHeader, segment_bytes) == 48);
static_assert(offsetof(SegmentHeader, nonce) == 56);
static_assert(offsetof(SegmentHeader, first_seq) == 64);
static_assert(offsetof(SegmentHeader, durable_seq) == 72);
static_assert(offsetof(SegmentHeader, previous_number) == 80);
static_assert(offsetof(SegmentHeader, previous_end_block) == 84);
static_assert(offsetof(SegmentHeader, previous_last_seq) == 88);
static_assert(offsetof(SegmentHeader, previous_frame_crc) == 96);
static_assert(offsetof(SegmentHeader, previous_time_us) == 104);
static_assert(offsetof(SegmentHeader, dense_last_seq) == 112);
static_assert(offsetof(SegmentHeader, dense_end_block) == 120);
static_assert(offsetof(SegmentHeader, dense_frame_crc) == 124);
static_assert(offsetof(SegmentHeader, dense_time_us) == 128);
static_assert(offsetof(SegmentHeader, dense_file_bytes) == 136);
static_assert(offsetof(SegmentHeader, dense_index_block) == 144);
static_assert(offsetof(SegmentHeader, dense_frame_count) == 148);

// With an index, and without padding of single batches. Only with a successor.
inline constexpr uint32_t segment_flag_dense = 1;
inline constexpr uint32_t segment_flags_known = segment_flag_dense;

// ---- frames, from block 1 on ------------------------------------------------------------------
// Starts on a block; payload_bytes of records follow, then zeros up to a whole block.
struct FrameHeader {
  uint32_t magic;
  uint32_t header_crc;  // of bytes 8 … 63, seeded with the segment's nonce
  uint16_t type;        // FrameType
  uint16_t flags;       // zero
  uint32_t segment;     // the segment it lies in
  uint32_t block;
  uint32_t epoch;         // the segment's
  uint64_t first_seq;     // of its first record; of the next record, in a seal
  uint64_t durable_seq;   // highest sequence known durable when it was built, < first_seq
  uint64_t time_us;       // of its records, since 1970; never decreasing
  uint32_t record_count;  // 0 in a seal
  uint32_t payload_bytes;
  uint32_t payload_crc;         // seeded like header_crc
  uint32_t previous_frame_crc;  // header_crc of the previous frame, including seals
};
static_assert(sizeof(FrameHeader) == 64);
static_assert(offsetof(FrameHeader, header_crc) == 4);
static_assert(offsetof(FrameHeader, type) == 8);
static_assert(offsetof(FrameHeader, flags) == 10);
static_assert(offsetof(FrameHeader, segment) == 12);
static_assert(offsetof(FrameHeader, block) == 16);
static_assert(offsetof(FrameHeader, epoch) == 20);
static_assert(offsetof(FrameHeader, first_seq) == 24);
static_assert(offsetof(FrameHeader, durable_seq) == 32);
static_assert(offsetof(FrameHeader, time_us) == 40);
static_assert(offsetof(FrameHeader, record_count) == 48);
static_assert(offsetof(FrameHeader, payload_bytes) == 52);
static_assert(offsetof(FrameHeader, payload_crc) == 56);
static_assert(offsetof(FrameHeader, previous_frame_crc) == 60);

enum class FrameType : uint16_t {
  batch = 1,
  seal = 2,   // states that everything before it is durable; holds no record
  dense = 3,  // many batches in one frame; in dense segments, which have no others
};

// ---- records, inside a batch's payload --------------------------------------------------------
// Each starts on a multiple of 8; zeros fill the gap. type and flags are the caller's.
struct RecordHeader {
  uint32_t length;  // of the bytes that follow
  uint16_t type;
  uint16_t flags;
};
static_assert(sizeof(RecordHeader) == 8);
static_assert(offsetof(RecordHeader, type) == 4);
static_assert(offsetof(RecordHeader, flags) == 6);

// ---- dense frames -----------------------------------------------------------------------------
// The payload consists of runs: this header, then its records. A run holds the records of one
// batch, or a part of them if a frame was full.
struct RunHeader {
  uint64_t time_us;  // of all its records
  uint32_t record_count;
  uint32_t record_bytes;  // of the records that follow, with their headers and padding
};
static_assert(sizeof(RunHeader) == 16);
static_assert(offsetof(RunHeader, record_count) == 8);
static_assert(offsetof(RunHeader, record_bytes) == 12);

// ---- the index of a dense segment, after its frames -------------------------------------------
// This header, one entry for each frame, zeros up to a whole block; then the file ends.
inline constexpr uint32_t index_magic = 0x58444945;  // "EIDX"

struct IndexHeader {
  uint32_t magic;
  uint32_t crc;  // from byte 8 to the end of the file, seeded like a frame's
  uint32_t entry_count;
  uint32_t zero;
};
static_assert(sizeof(IndexHeader) == 16);
static_assert(offsetof(IndexHeader, crc) == 4);
static_assert(offsetof(IndexHeader, entry_count) == 8);

struct IndexEntry {
  uint64_t first_seq;  // of the frame
  uint32_t block;      // where it starts
  uint32_t blocks;     // its number of blocks
};
static_assert(sizeof(IndexEntry) == 16);
static_assert(offsetof(IndexEntry, block) == 8);
static_assert(offsetof(IndexEntry, blocks) == 12);

// ---- SNAP-<seq> -------------------------------------------------------------------------------
// These bytes, the state, zeros up to a whole block.
inline constexpr std::array<char, 8> snapshot_magic = {'E', 'S', 'P', 'O', 'R', 'S', 'N', 'P'};

struct SnapshotHeader {
  std::array<char, 8> magic;
  uint32_t crc;  // of the file from byte 12 to its end
  uint32_t version;
  Uuid uuid;              // of the store
  uint64_t seq;           // as in the name: the last record of `segment`
  uint64_t time_us;       // of that record
  uint64_t state_bytes;   // size of the state that the owner made of all records up to seq
  uint64_t state_digest;  // digest() of these bytes
  uint32_t segment;
  uint32_t frame_crc;  // previous_frame_crc of the successor of `segment`
  uint64_t zero;
};
static_assert(sizeof(SnapshotHeader) == 80);
static_assert(offsetof(SnapshotHeader, crc) == 8);
static_assert(offsetof(SnapshotHeader, version) == 12);
static_assert(offsetof(SnapshotHeader, uuid) == 16);
static_assert(offsetof(SnapshotHeader, seq) == 32);
static_assert(offsetof(SnapshotHeader, time_us) == 40);
static_assert(offsetof(SnapshotHeader, state_bytes) == 48);
static_assert(offsetof(SnapshotHeader, state_digest) == 56);
static_assert(offsetof(SnapshotHeader, segment) == 64);
static_assert(offsetof(SnapshotHeader, frame_crc) == 68);

// The CRC is at the same place in all block-0 headers and covers what follows it.
inline constexpr size_t header_crc_offset = 8;
inline constexpr size_t header_crc_from = 12;

}  // namespace format

constexpr uint64_t round_up(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

constexpr uint32_t blocks_of(uint64_t bytes) {
  return static_cast<uint32_t>(round_up(bytes, format::block_bytes) / format::block_bytes);
}

// The bytes that a record of `size` bytes takes in a payload.
constexpr size_t record_extent(size_t size) {
  return sizeof(format::RecordHeader) + round_up(size, 8);
}

// The largest batch in bytes of whole blocks: the limit, or the room of a segment without its
// header and the block that is kept free for a seal.
constexpr size_t batch_bytes_max_of(uint64_t segment_bytes) {
  const uint64_t room = segment_bytes - 2 * uint64_t{format::block_bytes};
  return room < limits::batch_bytes_max ? room : limits::batch_bytes_max;
}

// ---- names ------------------------------------------------------------------------------------

inline constexpr const char* lock_name = "LOCK";
inline constexpr const char* store_name = "STORE";
inline constexpr const char* store_temporary_name = "STORE.tmp";

enum class NameKind : uint8_t {
  lock,
  store,
  segment,    // NNNNNNNN.seg; `number` is the segment's
  snapshot,   // SNAP-<seq>; `number` is the sequence
  temporary,  // STORE.tmp, spare-<n>.tmp, dense-<n>.tmp, SNAP-<seq>.tmp: ours, unpublished
  foreign,    // not the store's: left alone
};

struct Name {
  NameKind kind = NameKind::foreign;
  uint64_t number = 0;
};

Name parse_name(std::string_view name) noexcept;
std::string segment_name(uint32_t number);
std::string spare_name(uint64_t count);  // from 1 on
// The reserve: a file of a segment's size of which only the header and two batches have allocated
// space on the device. See Engine::make_reserve().
inline constexpr const char* reserve_name = "spare-0.tmp";
inline constexpr const char* reserve_temporary_name = "dense-0.tmp";
constexpr uint64_t reserve_bytes_of(uint64_t segment_bytes) {
  const uint64_t bytes = format::block_bytes + uint64_t{2} * limits::batch_bytes_max;
  return bytes < segment_bytes ? bytes : segment_bytes;
}
// The name of segment `number` while it is rewritten.
std::string dense_temporary_name(uint32_t number);
std::string snapshot_name(uint64_t seq);
std::string snapshot_temporary_name(uint64_t seq);

// ---- bytes ------------------------------------------------------------------------------------

// The seed of the CRCs of a segment's frames.
uint32_t frame_seed(uint64_t nonce) noexcept;

// The result of reading a block-0 header.
enum class HeaderState : uint8_t {
  valid,
  damaged,        // magic or CRC: nothing in it can be trusted
  other_version,  // whole, but of another version, or with a flag of a later one
};

// Fills a whole block from `header`, and sets version, magic, sizes and CRC.
void encode_segment_header(format::SegmentHeader header, std::span<std::byte> block) noexcept;
// Reads `block` (one whole block). With other_version only version and flags are filled in.
HeaderState decode_segment_header(Bytes block, format::SegmentHeader& header) noexcept;

struct StoreFacts {
  Uuid uuid{};
  uint64_t segment_bytes = 0;
  std::string kind;
  std::string schema;  // bytes
  uint32_t version = format::version;
};

// The whole file STORE.
std::string encode_store(const StoreFacts& facts);
HeaderState decode_store(Bytes file, StoreFacts& facts);

// Completes `header` (magic and both CRCs) over its payload and writes it in front of it: `frame`
// has both. Returns header_crc, the next frame's previous_frame_crc.
uint32_t finish_frame(format::FrameHeader header, std::span<std::byte> frame,
                      uint32_t seed) noexcept;
// Reads a header at the start of `block`; false unless magic and CRC are right.
bool decode_frame_header(Bytes block, uint32_t seed, format::FrameHeader& header) noexcept;

constexpr bool is_dense(const format::SegmentHeader& header) noexcept {
  return (header.flags & format::segment_flag_dense) != 0;
}

// A 64-bit digest of `bytes`, continuing from `seed`: a check in addition to the CRC, computed
// differently. Not against malice.
uint64_t digest(Bytes bytes, uint64_t seed = 0) noexcept;

// The whole file; fills in everything but uuid, seq, time_us, segment and frame_crc of `header`.
std::vector<std::byte> encode_snapshot(format::SnapshotHeader header, Bytes state);
// `state` is a view into `file`.
HeaderState decode_snapshot(Bytes file, format::SnapshotHeader& header, Bytes& state) noexcept;

// Lower-case hexadecimal in the usual groups.
std::string uuid_text(const Uuid& uuid);

}  // namespace espora::store
