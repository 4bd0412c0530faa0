#include "sim/checks.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "ledger/ledger_state.h"
#include "store/defects.h"
#include "store/format.h"
#include "sys/crc32c.h"

namespace espora::sim {

namespace {

int inode_of(const Storage& storage, std::string_view path, bool device) {
  int at = Storage::root;
  while (at != 0 && !path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    at = storage.find(at, path.substr(0, slash), device);
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return at;
}

}  // namespace

int store_directory(const Storage& storage, bool device) {
  const int moved = inode_of(storage, moved_path, device);
  return moved != 0 ? moved : inode_of(storage, store_path, device);
}

namespace {

template <typename T>
bool read_device(const Storage& storage, int inode, uint64_t offset, T& value) {
  if (offset + sizeof value > storage.at(inode).device_size) return false;
  storage.read(inode, offset, reinterpret_cast<std::byte*>(&value), sizeof value, View::device);
  return true;
}

// Takes the records of one segment's frames off the front of what is still missing, (after, seq].
void take_frames(const Storage& storage, int inode, uint64_t& after, uint64_t seq) {
  store::format::SegmentHeader header{};
  if (!read_device(storage, inode, 0, header) || header.magic != store::format::segment_magic) {
    return;
  }
  const uint32_t seed = sys::crc32c(std::as_bytes(std::span(&header.nonce, 1)));
  uint64_t block = 1;
  store::format::FrameHeader frame{};
  std::vector<std::byte> payload;
  while (after < seq && read_device(storage, inode, block * page_bytes, frame)) {
    const uint64_t bytes = sizeof frame + uint64_t{frame.payload_bytes};
    if (frame.magic != store::format::frame_magic || frame.segment != header.number ||
        frame.block != block || bytes > limits::batch_bytes_max ||
        block * page_bytes + bytes > storage.at(inode).device_size) {
      return;
    }
    const uint64_t last = frame.first_seq + frame.record_count - 1;
    if (frame.record_count != 0 && frame.first_seq <= after + 1 && last > after) {
      payload.resize(frame.payload_bytes);
      storage.read(inode, block * page_bytes + sizeof frame, payload.data(), payload.size(),
                   View::device);
      if (sys::crc32c(payload, seed) != frame.payload_crc) return;
      after = last;
    }
    block += (bytes + page_bytes - 1) / page_bytes;
  }
}

}  // namespace

namespace {

struct ReadSegment {
  int inode = 0;
  uint32_t number = 0;
  store::format::SegmentHeader header{};
  bool whole = false;
};

// As a reader sees it and as the device has it: nothing is asked of what they disagree about.
bool read_both(const Storage& storage, int inode, uint64_t offset, std::span<std::byte> bytes) {
  const Inode& file = storage.at(inode);
  if (offset + bytes.size() > std::min(file.size, file.device_size)) return false;
  std::vector<std::byte> device(bytes.size());
  storage.read(inode, offset, bytes.data(), bytes.size(), View::cached);
  storage.read(inode, offset, device.data(), device.size(), View::device);
  return std::memcmp(bytes.data(), device.data(), device.size()) == 0;
}

void take_whole_frames(const Storage& storage, const ReadSegment& segment, uint64_t last_seq,
                       std::set<uint64_t>& found) {
  const uint32_t seed = sys::crc32c(std::as_bytes(std::span(&segment.header.nonce, 1)));
  const uint64_t size = storage.at(segment.inode).size;
  std::vector<std::byte> bytes;
  for (uint64_t block = 1; (block + 1) * page_bytes <= size; block++) {
    store::format::FrameHeader frame{};
    const std::span<std::byte> head = std::as_writable_bytes(std::span(&frame, 1));
    if (!read_both(storage, segment.inode, block * page_bytes, head) ||
        frame.magic != store::format::frame_magic || frame.segment != segment.number ||
        frame.block != block || frame.epoch != segment.header.epoch || frame.record_count == 0 ||
        frame.header_crc != sys::crc32c(store::Bytes(head).subspan(8), seed)) {
      continue;
    }
    bytes.resize(store::round_up(sizeof frame + frame.payload_bytes, page_bytes));
    if (!read_both(storage, segment.inode, block * page_bytes, bytes)) continue;
    const store::Bytes payload = store::Bytes(bytes).subspan(sizeof frame, frame.payload_bytes);
    const auto padding = bytes.begin() + static_cast<std::ptrdiff_t>(sizeof frame + payload.size());
    if (sys::crc32c(payload, seed) != frame.payload_crc ||
        std::any_of(padding, bytes.end(), [](std::byte each) { return each != std::byte{0}; })) {
      continue;
    }
    for (uint32_t i = 0; i < frame.record_count; i++) {
      if (frame.first_seq + i <= last_seq) found.insert(frame.first_seq + i);
    }
  }
}

}  // namespace

std::set<uint64_t> readable_records(const Storage& storage, uint64_t proven) {
  std::set<uint64_t> found;
  const int directory = store_directory(storage, false);
  if (directory == 0) return found;
  std::vector<ReadSegment> segments;
  for (const auto& [name, inode] : storage.at(directory).entries) {
    const store::Name parsed = store::parse_name(name);
    if (parsed.kind != store::NameKind::segment) continue;
    ReadSegment segment{inode, static_cast<uint32_t>(parsed.number), {}, false};
    std::array<std::byte, page_bytes> block{};
    segment.whole =
        read_both(storage, inode, 0, block) &&
        store::decode_segment_header(block, segment.header) == store::HeaderState::valid &&
        segment.header.number == segment.number;
    segments.push_back(segment);
  }
  for (size_t i = 0; i < segments.size(); i++) {
    if (!segments[i].whole) continue;
    uint64_t last_seq = proven;
    if (i + 1 < segments.size()) {
      const ReadSegment& next = segments[i + 1];
      if (!next.whole || next.number != segments[i].number + 1) continue;
      last_seq = next.header.first_seq - 1;
    }
    take_whole_frames(storage, segments[i], last_seq, found);
  }
  return found;
}

bool device_holds(const Storage& storage, uint64_t after, uint64_t seq) {
  if (seq <= after) return true;
  const int directory = store_directory(storage, true);
  if (directory == 0 || storage.find(directory, store::store_name, true) == 0) return false;
  // Names sort like numbers, and the newest two segments hold whatever is new.
  std::vector<int> segments;
  for (const auto& [name, inode] : storage.at(directory).device_entries) {
    if (store::parse_name(name).kind == store::NameKind::segment) segments.push_back(inode);
  }
  const size_t from = segments.size() > 2 ? segments.size() - 2 : 0;
  for (size_t i = from; i < segments.size(); i++) take_frames(storage, segments[i], after, seq);
  return after >= seq;
}

// The state that a snapshot holds is the one that all the records before it make.
sys::Status Replay::restore(store::Bytes state, uint64_t seq) {
  rows_ = seq;
  if (sys::Status restored = Books::restore(state, seq); !restored.ok()) return restored;
  if (seq > model_.last()) {
    findings_.add(nothing_invented, "a snapshot holds record " + std::to_string(seq) +
                                        ", the last one submitted is " +
                                        std::to_string(model_.last()));
  } else if (std::string wrong = model_.ledger_mismatch(ledger(), seq); !wrong.empty()) {
    findings_.add(ledger_is_model, "the snapshot at record " + std::to_string(seq) + ": " + wrong);
  }
  return {};
}

namespace {

// Defect::snapshot_of_live_memory: of the ledger that serves, instead of one that sees closed
// segments only.
class LiveState final : public store::SnapshotState {
 public:
  explicit LiveState(const ledger::Ledger& ledger) : ledger_(ledger) {}
  sys::Status restore(store::Bytes) override { return {}; }
  sys::Status apply(const store::RecordView&) override { return {}; }
  [[nodiscard]] std::vector<std::byte> encode() const override { return ledger_.encode_state(); }

 private:
  const ledger::Ledger& ledger_;
};

}  // namespace

std::unique_ptr<store::SnapshotState> Replay::make_state() {
  ESPORA_DEFECT(snapshot_of_live_memory) return std::make_unique<LiveState>(ledger());
  return Books::make_state();
}

sys::Status Replay::record(const store::RecordView& record) {
  if (record.seq != rows_ + 1) {
    findings_.add(nothing_invented, "record " + std::to_string(record.seq) +
                                        " is shown as the one behind " + std::to_string(rows_));
  }
  rows_++;
  if (std::string wrong = model_.mismatch(record); !wrong.empty()) {
    findings_.add(nothing_invented, std::move(wrong));
  }
  if (record.time_us < last_time_us_) {
    findings_.add(time_never_decreases,
                  "record " + std::to_string(record.seq) + " is older than the one before it");
  }
  last_time_us_ = record.time_us;
  if (strict_ && record.seq > model_.floor() &&
      !device_holds(storage_, record.seq - 1, record.seq)) {
    findings_.add(only_durable_visible, "record " + std::to_string(record.seq) +
                                            " is shown, and the device does not hold it");
  }
  return Books::record(record);
}

store::Options store_options(const ledger::AccountTable& accounts, store::Sync sync,
                             uint64_t segment_bytes) {
  store::Options options;
  options.directory = store_path;
  options.create = true;
  options.segment_bytes = segment_bytes;
  options.sync = sync;
  options.kind = "ledger";
  options.schema = accounts.encode();
  options.lock_retry_ms = 0;
  return options;
}

}  // namespace espora::sim
