#include "store/format.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "store/defects.h"
#include "sys/check.h"
#include "sys/crc32c.h"

namespace espora::store {

namespace {

using format::block_bytes;

// Digits only, without a sign; `width` 0 for any width without leading zeros.
bool parse_number(std::string_view text, size_t width, uint64_t& number) noexcept {
  if (text.empty() || (width != 0 && text.size() != width)) return false;
  if (width == 0 && text.size() > 1 && text[0] == '0') return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool cut(std::string_view& text, std::string_view prefix, std::string_view suffix) noexcept {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

bool parse_between(std::string_view name, std::string_view prefix, std::string_view suffix,
                   size_t width, uint64_t& number) noexcept {
  return cut(name, prefix, suffix) && parse_number(name, width, number);
}

uint32_t header_crc_of(Bytes bytes) noexcept {
  return sys::crc32c(bytes.subspan(format::header_crc_from));
}

}  // namespace

Name parse_name(std::string_view name) noexcept {
  uint64_t number = 0;
  if (name == lock_name) return {NameKind::lock, 0};
  if (name == store_name) return {NameKind::store, 0};
  if (name == store_temporary_name) return {NameKind::temporary, 0};
  if (parse_between(name, "", ".seg", 8, number)) return {NameKind::segment, number};
  if (parse_between(name, "SNAP-", "", 0, number)) return {NameKind::snapshot, number};
  if (parse_between(name, "SNAP-", ".tmp", 0, number)) return {NameKind::temporary, number};
  if (parse_between(name, "spare-", ".tmp", 0, number)) return {NameKind::temporary, number};
  if (parse_between(name, "dense-", ".tmp", 0, number)) return {NameKind::temporary, number};
  return {};
}

std::string segment_name(uint32_t number) {
  char text[24];
  std::snprintf(text, sizeof text, "%08u.seg", number);
  return text;
}

std::string spare_name(uint64_t count) { return "spare-" + std::to_string(count) + ".tmp"; }

std::string dense_temporary_name(uint32_t number) {
  return "dense-" + std::to_string(number) + ".tmp";
}

std::string snapshot_name(uint64_t seq) { return "SNAP-" + std::to_string(seq); }

std::string snapshot_temporary_name(uint64_t seq) { return snapshot_name(seq) + ".tmp"; }

uint32_t frame_seed(uint64_t nonce) noexcept {
  return sys::crc32c(std::as_bytes(std::span(&nonce, 1)));
}

void encode_segment_header(format::SegmentHeader header, std::span<std::byte> block) noexcept {
  ESPORA_CHECK(block.size() == block_bytes);
  header.magic = format::segment_magic;
  header.version = format::version;
  header.block_bytes = block_bytes;
  std::memset(block.data(), 0, block.size());
  std::memcpy(block.data(), &header, sizeof header);
  header.crc = header_crc_of(block);
  std::memcpy(block.data(), &header, sizeof header);
}

HeaderState decode_segment_header(Bytes block, format::SegmentHeader& header) noexcept {
  ESPORA_CHECK(block.size() == block_bytes);
  std::memcpy(&header, block.data(), sizeof header);
  if (header.magic != format::segment_magic) return HeaderState::damaged;
  if (header.crc != header_crc_of(block)) return HeaderState::damaged;
  if (header.version != format::version || (header.flags & ~format::segment_flags_known) != 0) {
    return HeaderState::other_version;
  }
  return HeaderState::valid;
}

std::string encode_store(const StoreFacts& facts) {
  ESPORA_CHECK(facts.kind.size() <= limits::store_kind_bytes_max);
  ESPORA_CHECK(facts.schema.size() <= limits::store_schema_bytes_max);
  format::StoreHeader header{};
  header.magic = format::store_magic;
  header.version = format::version;
  header.uuid = facts.uuid;
  header.block_bytes = block_bytes;
  header.kind_bytes = static_cast<uint16_t>(facts.kind.size());
  header.segment_bytes = facts.segment_bytes;
  header.schema_bytes = static_cast<uint32_t>(facts.schema.size());
  std::string file(sizeof header, '\0');
  std::memcpy(file.data(), &header, sizeof header);
  file += facts.kind;
  file += facts.schema;
  file.resize(round_up(file.size(), block_bytes));
  header.crc = header_crc_of(std::as_bytes(std::span(file)));
  std::memcpy(file.data(), &header, sizeof header);
  return file;
}

HeaderState decode_store(Bytes file, StoreFacts& facts) {
  format::StoreHeader header;
  if (file.size() < block_bytes || file.size() % block_bytes != 0) return HeaderState::damaged;
  std::memcpy(&header, file.data(), sizeof header);
  if (header.magic != format::store_magic) return HeaderState::damaged;
  if (header.crc != header_crc_of(file)) return HeaderState::damaged;
  facts.version = header.version;
  if (header.version != format::version) return HeaderState::other_version;
  const uint64_t end = uint64_t{sizeof header} + header.kind_bytes + header.schema_bytes;
  if (header.block_bytes != block_bytes || round_up(end, block_bytes) != file.size()) {
    return HeaderState::damaged;
  }
  const char* text = reinterpret_cast<const char*>(file.data()) + sizeof header;
  facts.uuid = header.uuid;
  facts.segment_bytes = header.segment_bytes;
  facts.kind.assign(text, header.kind_bytes);
  facts.schema.assign(text + header.kind_bytes, header.schema_bytes);
  return HeaderState::valid;
}

uint32_t finish_frame(format::FrameHeader header, std::span<std::byte> frame,
                      uint32_t seed) noexcept {
  ESPORA_CHECK(frame.size() == sizeof header + header.payload_bytes);
  header.magic = format::frame_magic;
  header.payload_crc = sys::crc32c(frame.subspan(sizeof header), seed);
  header.header_crc = sys::crc32c(std::as_bytes(std::span(&header, 1)).subspan(8), seed);
  std::memcpy(frame.data(), &header, sizeof header);
  return header.header_crc;
}

bool decode_frame_header(Bytes block, uint32_t seed, format::FrameHeader& header) noexcept {
  std::memcpy(&header, block.data(), sizeof header);
  ESPORA_DEFECT(no_header_crc) return header.magic == format::frame_magic;
  return header.magic == format::frame_magic &&
         header.header_crc == sys::crc32c(block.subspan(8, sizeof header - 8), seed);
}

uint64_t digest(Bytes bytes, uint64_t seed) noexcept {
  // Multiply and rotate, word by word; including the length, so that zeros at the end count.
  constexpr uint64_t odd_a = 0x9E3779B97F4A7C15;
  constexpr uint64_t odd_b = 0xC2B2AE3D27D4EB4F;
  uint64_t sum = seed ^ (bytes.size() * odd_a);
  for (size_t at = 0; at < bytes.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min<size_t>(8, bytes.size() - at));
    sum = std::rotl(sum ^ (word * odd_a), 29) * odd_b;
  }
  sum = (sum ^ (sum >> 32)) * odd_a;
  return sum ^ (sum >> 29);
}

std::vector<std::byte> encode_snapshot(format::SnapshotHeader header, Bytes state) {
  header.magic = format::snapshot_magic;
  header.version = format::version;
  header.state_bytes = state.size();
  header.state_digest = digest(state);
  header.zero = 0;
  std::vector<std::byte> file(round_up(sizeof header + state.size(), block_bytes));
  std::memcpy(file.data(), &header, sizeof header);
  if (!state.empty()) std::memcpy(file.data() + sizeof header, state.data(), state.size());
  header.crc = header_crc_of(file);
  std::memcpy(file.data(), &header, sizeof header);
  return file;
}

HeaderState decode_snapshot(Bytes file, format::SnapshotHeader& header, Bytes& state) noexcept {
  if (file.size() < block_bytes || file.size() % block_bytes != 0) return HeaderState::damaged;
  std::memcpy(&header, file.data(), sizeof header);
  if (header.magic != format::snapshot_magic) return HeaderState::damaged;
  if (header.crc != header_crc_of(file)) return HeaderState::damaged;
  if (header.version != format::version) return HeaderState::other_version;
  if (header.state_bytes > file.size() - sizeof header ||
      round_up(sizeof header + header.state_bytes, block_bytes) != file.size()) {
    return HeaderState::damaged;
  }
  state = file.subspan(sizeof header, header.state_bytes);
  return header.state_digest == digest(state) ? HeaderState::valid : HeaderState::damaged;
}

std::string uuid_text(const Uuid& uuid) {
  std::string text;
  for (size_t i = 0; i < uuid.size(); i++) {
    char byte[3];
    std::snprintf(byte, sizeof byte, "%02x", uuid[i]);
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += byte;
  }
  return text;
}

}  // namespace espora::store
