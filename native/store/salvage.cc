#include "store/salvage.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "store/mending.h"
#include "sys/crc32c.h"
#include "sys/limits.h"

namespace espora::store {

using format::block_bytes;
using sys::Code;
using sys::Status;

namespace {

// The most frequent key; nothing if there is none.
template <typename Key>
std::optional<Key> most(const std::map<Key, uint32_t>& votes) {
  const auto best = std::max_element(
      votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return best == votes.end() ? std::nullopt : std::optional(best->first);
}

// Whether a header's own fields are possible, while STORE is not known yet.
bool header_possible(const format::SegmentHeader& header) {
  StoreFacts own;
  own.uuid = header.uuid;
  own.segment_bytes = header.segment_bytes;
  return header.number != 0 && header.segment_bytes >= limits::segment_bytes_min &&
         header.segment_bytes <= limits::segment_bytes_max &&
         !check_header(header, header.number, own, nullptr);
}

// The highest sequence that a header mentions.
uint64_t claimed_seq(const format::SegmentHeader& header) {
  return std::max(
      {header.first_seq, header.durable_seq, header.previous_last_seq, header.dense_last_seq});
}

}  // namespace

uint64_t Salvage::Part::lowest_seq() const noexcept {
  if (header) return header->first_seq;
  for (const Place& place : places) {
    if (place.whole) return place.first_seq;
  }
  return UINT64_MAX;
}

sys::Result<std::unique_ptr<Salvage>> Salvage::open(Directory& directory, const StoreFacts* like) {
  Listing listing;
  if (Status listed = directory.list(listing); !listed.ok()) return listed;
  std::unique_ptr<Salvage> salvage(new Salvage(directory));
  for (const uint32_t number : listing.segments) {
    if (Status looked = salvage->look_at(number); !looked.ok()) return looked;
  }
  salvage->choose_uuid();
  if (Status read = salvage->read_store(listing, like); !read.ok()) return read;
  if (Status looked = salvage->look_at_snapshots(listing); !looked.ok()) return looked;
  if (Status looked = salvage->look(); !looked.ok()) return looked;
  return salvage;
}

void Salvage::note(std::string what) {
  findings_.push_back(
      {Severity::damage, Code::corrupt, {0, 0, 0, false, directory_.path() + what}});
}

// ---- headers ----------------------------------------------------------------------------------

// Takes the header as it is, or repaired; without one the frames must tell.
Status Salvage::look_at(uint32_t number) {
  Part part;
  part.number = number;
  part.name = segment_name(number);
  const auto give_up = [&](const Status& status) {
    if (!about_store(status.code())) return status;
    part.failure = Damage{number, 0, 0, status.code() == Code::unreadable, status.message()};
    parts_.push_back(std::move(part));
    return Status();
  };
  auto opened = directory_.open_segment(number, 0);
  if (!opened.ok()) return give_up(opened.status());
  file_bytes_max_ = std::max(file_bytes_max_, opened.value().bytes);
  const BlockBuffer block(block_bytes);
  RefusedBlocks refused;
  const Status read =
      directory_.read_blocks(opened.value(), 0, block.span(), Missing::is_zeros, refused);
  if (!read.ok()) return give_up(read);
  format::SegmentHeader header{};
  HeaderState state = HeaderState::damaged;
  if (refused.blocks.empty()) {
    state = decode_segment_header(block.span(), header);
    if (state == HeaderState::damaged &&
        mend_header(block.span(), format::segment_magic, sizeof header)) {
      state = decode_segment_header(block.span(), header);
    }
  }
  if (state == HeaderState::other_version) {
    return Status(Code::version,
                  directory_.path() + "/" + part.name + " has format version " +
                      std::to_string(header.version) + ", flags " + std::to_string(header.flags) +
                      "; this program reads version " + std::to_string(format::version) +
                      " and knows the flags " + std::to_string(format::segment_flags_known));
  }
  if (state == HeaderState::valid && header_possible(header)) part.header = header;
  parts_.push_back(std::move(part));
  return {};
}

void Salvage::choose_uuid() {
  std::map<Uuid, uint32_t> uuids;
  std::map<uint64_t, uint32_t> sizes;
  for (const Part& part : parts_) {
    if (!part.header) continue;
    uuids[part.header->uuid]++;
    sizes[part.header->segment_bytes]++;
  }
  uuid_ = most(uuids);
  segment_bytes_ = most(sizes).value_or(0);
}

// Reads STORE as it is, or with one byte corrected if the segments agree with the result, or takes
// it from another store of the same kind.
Status Salvage::read_store(const Listing& listing, const StoreFacts* like) {
  const std::string name = std::string("/") + store_name;
  std::string what = " is missing";
  if (listing.has_store) {
    auto bytes = directory_.read_store_bytes(false);
    if (!bytes.ok() && bytes.status().code() != Code::unreadable) return bytes.status();
    what = " is damaged";
    if (bytes.ok()) {
      HeaderState state = decode_store(bytes.value(), store_);
      const bool mended = state == HeaderState::damaged && mend_store(bytes.value());
      if (mended) state = decode_store(bytes.value(), store_);
      if (state == HeaderState::other_version) {
        return other_version(directory_.path() + name, store_.version);
      }
      const bool agrees =
          !uuid_ || (*uuid_ == store_.uuid && segment_bytes_ == store_.segment_bytes);
      if (state == HeaderState::valid && (!mended || agrees)) {
        if (mended) note(name + " is damaged in one place; its checksum tells what was there");
        return {};
      }
    }
  }
  if (parts_.empty() && listing.snapshots.empty()) {
    return Status(Code::not_found, directory_.path() + ": there is no store here");
  }
  if (like == nullptr) {
    return Status(Code::corrupt,
                  directory_.path() + name + what +
                      ", and only it says what the records are; name another store of the same "
                      "kind, a backup or a new one, with --like");
  }
  store_ = *like;
  if (uuid_) store_.uuid = *uuid_;
  if (segment_bytes_ != 0) store_.segment_bytes = segment_bytes_;
  note(name + what + "; kind and schema are those of the store that was named");
  return {};
}

// The newest snapshot whose name is possible for the segments' size; beyond that only an intact
// one. The number of segments comes from their headers: an empty file has a number, too.
Status Salvage::look_at_snapshots(const Listing& listing) {
  uint64_t most = 0;
  for (const Part& part : parts_) {
    if (part.header) most = std::max(most, seq_max(part.header->number));
  }
  std::vector<std::byte> bytes;
  Bytes state;
  for (size_t i = listing.snapshots.size(); i-- > 0 && snapshot_seq_ == 0;) {
    const uint64_t seq = listing.snapshots[i];
    bool believed = seq <= most;
    if (!believed) {
      const auto snapshot = directory_.read_snapshot(seq, bytes, state);
      const Code code = snapshot.status().code();
      if (!snapshot.ok() && !ends_for_good(code)) return snapshot.status();
      believed = snapshot.ok() && !check_snapshot(snapshot.value(), seq, store_);
    }
    if (believed) snapshot_seq_ = seq;
  }
  return {};
}

// ---- frames -----------------------------------------------------------------------------------

Status Salvage::look() {
  for (Part& part : parts_) {
    if (part.failure) continue;
    if (part.header && part.header->uuid != store_.uuid) {
      part.failure = Damage{part.number, 0, 0, false,
                            "belongs to store " + uuid_text(part.header->uuid) + ", this is " +
                                uuid_text(store_.uuid)};
      part.header.reset();
      continue;
    }
    if (part.header && claimed_seq(*part.header) > seq_max(part.header->number)) {
      part.header.reset();
    }
    if (Status found = find_frames(part); !found.ok()) return found;
  }
  // A file under a wrong name is what its header says. Of two with the same number the one with the
  // right name is used, unless only the other one has frames.
  for (Part& part : parts_) {
    if (part.header) part.number = part.header->number;
  }
  std::stable_sort(parts_.begin(), parts_.end(), [](const Part& a, const Part& b) {
    const auto rank = [](const Part& part) {
      return std::pair(part.places.empty(), part.name != segment_name(part.number));
    };
    return a.number != b.number ? a.number < b.number : rank(a) < rank(b);
  });
  const auto end = std::unique(parts_.begin(), parts_.end(),
                               [](const Part& a, const Part& b) { return a.number == b.number; });
  parts_.erase(end, parts_.end());
  return {};
}

// A frame at `block` that is intact with some seed: the CRCs of header and payload have the same
// one, so the seed derived from the header's CRC must fit the payload's.
std::optional<format::FrameHeader> Salvage::seeded_frame(SegmentWindow& window, uint32_t block,
                                                         uint32_t number, uint32_t& seed) {
  SegmentImage image;
  if (!window.show(block, frame_blocks_max, image).ok() || !window.readable(block, 1).ok())
    return std::nullopt;
  const Bytes rest = image.bytes.subspan(size_t{block - image.first_block} * block_bytes);
  format::FrameHeader header;
  std::memcpy(&header, rest.data(), sizeof header);
  if (header.magic != format::frame_magic || header.segment != number || header.block != block ||
      header.payload_bytes > std::min(rest.size(), limits::dense_frame_bytes_max) - sizeof header) {
    return std::nullopt;
  }
  seed = sys::crc32c_seed_of(rest.subspan(8, sizeof header - 8), header.header_crc);
  const Bytes payload = rest.subspan(sizeof header, header.payload_bytes);
  if (sys::crc32c(payload, seed) != header.payload_crc) return std::nullopt;
  return header;
}

// The nonce is lost with the header, and with it the CRCs' seed: every intact frame reveals it.
Status Salvage::assume_header(Part& part, SegmentWindow& window) {
  std::map<uint32_t, uint32_t> seeds;
  std::map<uint32_t, format::FrameHeader> examples;
  SegmentImage image;
  for (uint32_t block = 1; block < window.end_block(); block++) {
    if (Status shown = window.show(block, frame_blocks_max, image); !shown.ok()) return shown;
    uint32_t seed = 0;
    if (const auto frame = seeded_frame(window, block, part.number, seed)) {
      seeds[seed]++;
      examples.emplace(seed, *frame);
    }
  }
  const auto seed = most(seeds);
  if (!seed) {
    part.failure =
        Damage{part.number, 0, 0, false, "its header is damaged, and no frame in it is whole"};
    return {};
  }
  const format::FrameHeader& example = examples.at(*seed);
  part.seed = *seed;
  part.assumed.number = part.number;
  part.assumed.epoch = example.epoch;
  part.assumed.flags = example.type == static_cast<uint16_t>(format::FrameType::dense)
                           ? format::segment_flag_dense
                           : 0;
  return {};
}

Status Salvage::find_frames(Part& part) {
  auto opened = directory_.open_segment_as(part.name, 0);
  if (!opened.ok()) return opened.status();
  ReadFile file = std::move(opened).value();
  SegmentWindow window(directory_);
  window.look_at(file, blocks_of(file.bytes), Missing::is_zeros);
  if (part.header) {
    part.assumed = *part.header;
    part.seed = frame_seed(part.header->nonce);
  } else if (Status assumed = assume_header(part, window); !assumed.ok()) {
    return assumed;
  }
  if (part.failure) return {};
  SegmentImage image;
  for (uint32_t block = 1; block < window.end_block();) {
    if (Status shown = window.show(block, frame_blocks_max, image); !shown.ok()) return shown;
    const FrameWalk walk(part.assumed, image, {}, part.seed);
    const auto header = walk.evidence_at(block);
    if (!header) {
      block++;
      continue;
    }
    const uint64_t last_seq = header->first_seq + header->record_count - 1;
    if (std::max({header->first_seq, last_seq, header->durable_seq}) >
        seq_max(part.assumed.number)) {
      block++;
      continue;
    }
    part.durable_seq = std::max(part.durable_seq, header->durable_seq);
    FrameView frame;
    const Chain at{block, header->first_seq, header->previous_frame_crc, 0};
    FrameWalk one(part.assumed, image, at, part.seed);
    const bool whole = one.next(frame) == FrameVerdict::accept;
    part.places.push_back({block, frame.blocks, header->first_seq, last_seq, whole});
    block += whole ? frame.blocks : 1;
  }
  return {};
}

// ---- the log ----------------------------------------------------------------------------------

// Walks through the parts in order, and reports each record as read or lost.
class Salvage::Walk {
 public:
  Walk(Salvage& salvage, SalvageVisitor& visitor, uint64_t durable_seq, bool damaged)
      : salvage_(salvage),
        visitor_(visitor),
        damaged_(damaged),
        proven_seq_(durable_seq),
        limits_(salvage.parts_.size(), UINT64_MAX) {
    for (size_t i = limits_.size(); i-- > 1;) {
      limits_[i - 1] = std::min(limits_[i], salvage.parts_[i].lowest_seq());
    }
    for (const Part& part : salvage.parts_) {
      proven_seq_ = std::max({proven_seq_, part.durable_seq, salvage.snapshot_seq_});
      if (!part.header) continue;
      proven_seq_ = std::max({proven_seq_, proven_by(*part.header), part.header->dense_last_seq});
    }
  }

  Status run() {
    uint32_t expected = 1;
    for (size_t i = 0; i < salvage_.parts_.size(); i++) {
      const Part& part = salvage_.parts_[i];
      if (part.number > expected) {
        suspect_ = Damage{expected, 0, next_seq_, false,
                          "is missing, up to segment " + std::to_string(part.number)};
      }
      expected = part.number + 1;
      if (Status walked = walk(i); !walked.ok()) return walked;
      if (part.failure) suspect_ = part.failure;
    }
    const uint64_t end = damaged_ ? std::max(proven_seq_, claimed_seq_) : proven_seq_;
    return end >= next_seq_ ? lose(end) : Status();
  }

 private:
  // Records up to here are known to have existed. If a frame of them is missing it is damage, and
  // the frames after it belong to the log. Otherwise the log ended there, and what follows is left
  // over from interrupted writes.
  [[nodiscard]] uint64_t known_seq(size_t index, uint64_t limit) const noexcept {
    const std::vector<Part>& parts = salvage_.parts_;
    if (index + 1 == parts.size()) return damaged_ ? UINT64_MAX : proven_seq_;
    const Part& next = parts[index + 1];
    if (next.header && next.number == parts[index].number + 1) return limit - 1;
    return parts[index].durable_seq;
  }

  Status walk(size_t index) {
    const Part& part = salvage_.parts_[index];
    if (part.lowest_seq() != UINT64_MAX && part.lowest_seq() > next_seq_) {
      if (Status lost = lose(part.lowest_seq() - 1); !lost.ok()) return lost;
    }
    if (part.places.empty()) return {};
    auto opened = salvage_.directory_.open_segment_as(part.name, 0);
    if (!opened.ok()) return opened.status();
    ReadFile file = std::move(opened).value();
    SegmentWindow window(salvage_.directory_);
    window.look_at(file, blocks_of(file.bytes), Missing::is_zeros);
    const uint64_t limit = limits_[index];
    const uint64_t known = known_seq(index, limit);
    uint32_t block = 1;  // place of the next frame
    for (const Place& place : part.places) {
      // A seal, or an earlier record: only tells where the next frame should be.
      if (place.last_seq < next_seq_) {
        if (place.whole && place.block == block) block += place.blocks;
        continue;
      }
      if (place.first_seq >= limit) break;
      if (place.first_seq > next_seq_ || place.block != block) {
        if (known < next_seq_) break;
      }
      if (place.first_seq > next_seq_) {
        if (!suspect_) {
          if (Status seen = suspect(part, window, block); !seen.ok()) return seen;
        }
        if (place.whole) {
          if (Status lost = lose(place.first_seq - 1); !lost.ok()) return lost;
        }
      }
      if (!place.whole) {
        claimed_seq_ = std::max(claimed_seq_, std::min(place.last_seq, limit - 1));
        if (suspect_) continue;
        if (Status seen = suspect(part, window, place.block); !seen.ok()) return seen;
        continue;
      }
      if (Status taken = take(part, window, place, limit); !taken.ok()) return taken;
      block = place.block + place.blocks;
    }
    if (!suspect_ && next_seq_ < limit) return suspect(part, window, block);
    return {};
  }

  Status take(const Part& part, SegmentWindow& window, const Place& place, uint64_t limit) {
    SegmentImage image;
    if (Status shown = window.show(place.block, frame_blocks_max, image); !shown.ok()) return shown;
    FrameWalk walk(part.assumed, image, {}, part.seed);
    const auto header = walk.evidence_at(place.block);
    if (!header) return suspect(part, window, place.block);
    FrameView frame;
    walk = FrameWalk(part.assumed, image,
                     {place.block, header->first_seq, header->previous_frame_crc, 0}, part.seed);
    if (walk.next(frame) != FrameVerdict::accept) return suspect(part, window, place.block);
    const uint64_t last_seq = std::min(place.last_seq, limit - 1);
    const uint64_t first_seq = std::exchange(next_seq_, last_seq + 1);
    suspect_.reset();
    return visitor_.records(frame, first_seq, last_seq);
  }

  // Determines why there is no intact frame at `block`.
  Status suspect(const Part& part, SegmentWindow& window, uint32_t block) {
    SegmentImage image;
    FrameVerdict verdict = FrameVerdict::nothing;
    if (block < window.end_block()) {
      if (Status shown = window.show(block, frame_blocks_max, image); !shown.ok()) return shown;
      const FrameWalk walk(part.assumed, image, {}, part.seed);
      if (!window.readable(block, 1).ok()) {
        verdict = FrameVerdict::unreadable;
      } else if (walk.evidence_at(block)) {
        verdict = FrameVerdict::torn;
      }
    }
    suspect_ = Damage{part.number, block, next_seq_, verdict == FrameVerdict::unreadable,
                      std::string(verdict_text(verdict))};
    return {};
  }

  Status lose(uint64_t last_seq) {
    const Damage damage =
        suspect_.value_or(Damage{0, 0, next_seq_, false, "durable records are not there"});
    suspect_.reset();
    next_seq_ = last_seq + 1;
    return visitor_.lost(last_seq, damage);
  }

  Salvage& salvage_;
  SalvageVisitor& visitor_;
  const bool damaged_;
  uint64_t proven_seq_;
  std::vector<uint64_t> limits_;  // of each part: records from here on are in a later one
  uint64_t claimed_seq_ = 0;      // by a frame that is not intact
  uint64_t next_seq_ = 1;
  std::optional<Damage> suspect_;  // the reason given for the next loss
};

Status Salvage::walk(SalvageVisitor& visitor, uint64_t durable_seq, bool damaged) {
  return Walk(*this, visitor, durable_seq, damaged).run();
}

}  // namespace espora::store
