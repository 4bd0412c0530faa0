#include "store/record_reader.h"

#include <algorithm>
#include <utility>

#include "sys/limits.h"

namespace espora::store {

using format::block_bytes;
using sys::Code;
using sys::Status;

sys::Result<std::unique_ptr<RecordReader>> RecordReader::open(Directory directory) {
  directory.set_direct(false);
  auto store = directory.read_store(false);
  if (!store.ok()) return store.status();
  std::unique_ptr<RecordReader> reader(
      new RecordReader(std::move(directory), std::move(store).value()));
  if (Status looked = reader->look(); !looked.ok()) return looked;
  return reader;
}

// Reads the headers of segments that are not known yet.
Status RecordReader::look() {
  Listing listing;
  if (Status listed = directory_.list(listing); !listed.ok()) return listed;
  for (const uint32_t number : listing.segments) {
    if (number <= first_seqs_.size()) continue;
    if (number != first_seqs_.size() + 1) {
      return Status(Code::corrupt, directory_.path() + ": segment " +
                                       std::to_string(first_seqs_.size() + 1) + " is missing");
    }
    format::SegmentHeader header;
    const auto file = directory_.open_segment(number, store_, nullptr, header);
    if (!file.ok()) return file.status();
    first_seqs_.push_back(header.first_seq);
  }
  if (first_seqs_.empty()) return Status(Code::corrupt, directory_.path() + ": no segment");
  return {};
}

Status RecordReader::read(const ReadPortion& portion, RecordSink& sink) {
  window_of_ = nullptr;  // the writer may have extended the blocks that it holds
  uint32_t records = 0;
  size_t bytes = 0;
  const auto full = [&] { return records >= portion.records_max || bytes >= portion.bytes_max; };
  const auto give = [&](const RecordView& record) {
    sink.record(record);
    records++;
    bytes += record_extent(record.bytes.size());
  };
  FrameView frame;
  RecordView record;
  if (!portion.reverse) {
    for (uint64_t next = portion.first; next <= portion.last && !full();) {
      if (Status found = find(next, frame); !found.ok()) return found;
      RecordCursor cursor(frame.header, frame.payload);
      while (!full() && cursor.next(record)) {
        if (record.seq < next) continue;
        if (record.seq > portion.last) return {};
        give(record);
        next = record.seq + 1;
      }
    }
    return {};
  }
  std::vector<RecordView> views;
  for (uint64_t next = portion.last; next >= portion.first && next != 0 && !full();) {
    if (Status found = find(next, frame); !found.ok()) return found;
    views.clear();
    RecordCursor cursor(frame.header, frame.payload);
    while (cursor.next(record) && record.seq <= next) {
      if (record.seq >= portion.first) views.push_back(record);
    }
    for (auto view = views.rbegin(); view != views.rend() && !full(); ++view) {
      give(*view);
      next = view->seq - 1;
    }
  }
  return {};
}

// Finds the frame that holds `seq`; valid until the next call.
Status RecordReader::find(uint64_t seq, FrameView& frame) {
  auto found = segment_of(seq);
  if (!found.ok()) return found.status();
  Segment& segment = *found.value();
  if (!segment.dense && segment.end.last_seq() < seq) {
    if (Status extended = extend(segment, seq); !extended.ok()) return extended;
  }
  const auto after =
      std::upper_bound(segment.frames.begin(), segment.frames.end(), seq,
                       [](uint64_t value, const auto& entry) { return value < entry.first_seq; });
  if (after != segment.frames.begin()) {
    if (Status loaded = load(segment, *(after - 1), frame); !loaded.ok()) return loaded;
    if (seq <= frame.last_seq()) return {};
  }
  return Status(Code::corrupt, directory_.path() + "/" + segment.file.name +
                                   ": does not hold sequence " + std::to_string(seq));
}

sys::Result<RecordReader::Segment*> RecordReader::segment_of(uint64_t seq) {
  const auto number_of = [&] {
    const auto after = std::upper_bound(first_seqs_.begin(), first_seqs_.end(), seq);
    return static_cast<uint32_t>(after - first_seqs_.begin());
  };
  uint32_t number = number_of();
  // The last known segment may have successors now.
  if (number == first_seqs_.size()) {
    const auto known = std::find_if(open_.begin(), open_.end(),
                                    [&](const auto& each) { return each->number == number; });
    if (known == open_.end() || (*known)->end.last_seq() < seq) {
      if (Status looked = look(); !looked.ok()) return looked;
      number = number_of();
    }
  }
  if (number == 0) {
    return Status(Code::corrupt,
                  directory_.path() + ": the store begins after sequence " + std::to_string(seq));
  }
  const auto at = std::find_if(open_.begin(), open_.end(),
                               [&](const auto& each) { return each->number == number; });
  if (at != open_.end()) {
    std::rotate(at, at + 1, open_.end());
    return open_.back().get();
  }
  auto segment = std::make_unique<Segment>();
  segment->number = number;
  auto file = directory_.open_segment(number, store_, nullptr, segment->header);
  if (!file.ok()) return file.status();
  segment->file = std::move(file).value();
  segment->end = start_of(segment->header);
  if (is_dense(segment->header)) {
    auto index = directory_.read_index(segment->file, segment->header);
    if (!index.ok()) return index.status();
    segment->dense = std::move(index).value();
    const auto entries = segment->dense->entries();
    segment->frames.assign(entries.begin(), entries.end());
  }
  if (open_.size() == limits::reader_segments_max) {
    if (window_of_ == open_.front().get()) window_of_ = nullptr;
    open_.pop_front();
  }
  open_.push_back(std::move(segment));
  return open_.back().get();
}

void RecordReader::look_at(Segment& segment) {
  if (window_of_ == &segment) return;
  window_.look_at(segment.file, static_cast<uint32_t>(segment.file.bytes / block_bytes));
  window_of_ = &segment;
}

// Reads frames after the known ones until one contains `seq`.
Status RecordReader::extend(Segment& segment, uint64_t seq) {
  look_at(segment);
  FrameWalk walk(segment.header, {}, segment.end);
  while (segment.end.last_seq() < seq) {
    FrameView frame;
    FrameVerdict verdict = FrameVerdict::nothing;
    if (Status read = walk.next(window_, frame, verdict); !read.ok()) return read;
    if (verdict != FrameVerdict::accept) {
      return directory_.status_of(walk.damage(verdict, std::string(verdict_text(verdict)) +
                                                           ", but sequence " + std::to_string(seq) +
                                                           " is known to be durable"));
    }
    if (!frame.seal()) {
      segment.frames.push_back({frame.header.first_seq, segment.end.block, frame.blocks});
    }
    segment.end = walk.chain();
  }
  return {};
}

Status RecordReader::load(Segment& segment, const format::IndexEntry& entry, FrameView& frame) {
  look_at(segment);
  SegmentImage image;
  Status read = window_.show(entry.block, entry.blocks, image);
  if (read.ok()) read = window_.readable(entry.block, entry.blocks);
  if (!read.ok()) return read;
  if (entry.block + entry.blocks > image.end_block()) {
    return Status(Code::corrupt, directory_.path() + "/" + segment.file.name + ", block " +
                                     std::to_string(entry.block) +
                                     ": the file ends before its content");
  }
  const Bytes bytes = image.bytes.subspan(size_t{entry.block - image.first_block} * block_bytes,
                                          size_t{entry.blocks} * block_bytes);
  if (segment.dense) {
    // The index's own entry: the entry after it tells where it ends.
    const format::IndexEntry* own = segment.dense->find(entry.first_seq);
    if (own != nullptr && segment.dense->frame(*own, bytes, frame)) return {};
  } else {
    // Its link to the previous frame was checked when it became known.
    format::FrameHeader header;
    if (decode_frame_header(bytes, frame_seed(segment.header.nonce), header)) {
      FrameWalk walk(segment.header, {bytes, {}, entry.block},
                     {entry.block, entry.first_seq, header.previous_frame_crc, 0});
      if (walk.next(frame) == FrameVerdict::accept) return {};
    }
  }
  return Status(Code::corrupt, directory_.path() + "/" + segment.file.name + ", block " +
                                   std::to_string(entry.block) + ": the frame of sequence " +
                                   std::to_string(entry.first_seq) + " is damaged");
}

}  // namespace espora::store
