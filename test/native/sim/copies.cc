#include "sim/copies.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "ledger/books.h"
#include "sim/random.h"
#include "store/copy.h"
#include "store/reader.h"
#include "store/record.h"
#include "support/by_path.h"

namespace espora::sim {

namespace {

using store::OnDamage;
using sys::Code;

constexpr const char* copy_path = "data/copy";

// Cuts the power at one call, or never.
class Cutter final : public Director {
 public:
  explicit Cutter(uint64_t at = UINT64_MAX) noexcept : at_(at) {}
  Outcome before(const Call&) override {
    if (calls_++ != at_) return {};
    return {at_ % 2 == 0 ? Outcome::Kind::cut_before : Outcome::Kind::cut_after};
  }
  void after(const Call&, int64_t) override {}
  [[nodiscard]] uint64_t calls() const noexcept { return calls_; }

 private:
  const uint64_t at_;
  uint64_t calls_ = 0;
};

// A disk of its own with what another has on it.
struct Play {
  explicit Play(const SimulatedDisk& like, uint64_t cut_at = UINT64_MAX)
      : cutter(cut_at), disk(1, cutter) {
    disk.take_after(like);
  }
  Cutter cutter;
  SimulatedDisk disk;
};

// All records of a store as it can be read, and whether it is one.
class Contents final : private store::ReadVisitor {
 public:
  explicit Contents(SimulatedDisk& disk) {
    auto reader = store::Reader::open(disk, copy_path);
    if (!reader.ok()) return;
    is_store_ = true;
    whole_ = reader.value()->walk(*this).ok() && whole_;
  }
  [[nodiscard]] bool is_store() const noexcept { return is_store_; }
  [[nodiscard]] bool whole() const noexcept { return whole_; }
  [[nodiscard]] uint64_t rows() const noexcept { return rows_; }
  [[nodiscard]] uint64_t sum() const noexcept { return sum_; }

 private:
  bool frame(const store::FrameView& frame) override {
    store::RecordCursor cursor(frame.header, frame.payload);
    store::RecordView record;
    while (cursor.next(record)) {
      rows_++;
      sum_ = store::digest(record.bytes, sum_ ^ record.seq ^ record.type ^ record.time_us);
    }
    return true;
  }
  void finding(const store::Finding& finding) override {
    if (finding.severity == store::Severity::damage) whole_ = false;
  }

  bool is_store_ = false;
  bool whole_ = true;
  uint64_t rows_ = 0;
  uint64_t sum_ = 0;
};

// Opens what a repair made as the service does, lost records included.
class Mended final : public ledger::Books {
 public:
  // `damaged`: what says that an older record of the same sequence is superseded may be lost.
  Mended(SimulatedDisk& disk, const store::Options& options, const Model& model, bool damaged)
      : Books(disk, {options, {}}), model_(model), damaged_(damaged) {}
  [[nodiscard]] uint64_t rows() const noexcept { return rows_; }
  [[nodiscard]] const std::set<uint64_t>& lost() const noexcept { return lost_; }
  [[nodiscard]] const std::string& wrong() const noexcept { return wrong_; }

 private:
  [[nodiscard]] store::History history() const override { return store::History::all; }
  sys::Status record(const store::RecordView& record) override {
    rows_++;
    if (record.type == store::lost_record_type) {
      lost_.insert(record.seq);
    } else if (wrong_.empty() && !(damaged_ && model_.was_given_up(record))) {
      wrong_ = model_.mismatch(record);
    }
    return Books::record(record);
  }

  const Model& model_;
  const bool damaged_;
  uint64_t rows_ = 0;
  std::set<uint64_t> lost_;
  std::string wrong_;
};

class Copies {
 public:
  Copies(const SimulatedDisk& disk, const store::Options& options, const Model& model,
         Findings& findings, uint64_t proven, uint64_t seed)
      : disk_(disk),
        options_(options),
        model_(model),
        findings_(findings),
        proven_(proven),
        random_(seed) {}

  void check() {
    for (const OnDamage on_damage : {OnDamage::refuse, OnDamage::give_up}) {
      Play play(disk_);
      const auto report = store::copy_store(play.disk, store_path, copy_path, on_damage);
      if (on_damage == OnDamage::give_up) check_repair(play.disk, report);
      if (!report.ok() || findings_.any()) continue;
      const Contents before(play.disk);
      play.disk.stop(true);
      play.disk.restart([] { return false; });
      const Contents after(play.disk);
      if (!same(before, after)) {
        findings_.add(copies_are_durable, "a copy was reported, and a power cut takes of it: " +
                                              std::to_string(after.rows()) + " records of " +
                                              std::to_string(before.rows()));
      }
      cut(on_damage, before, play.cutter.calls());
    }
  }

 private:
  static bool same(const Contents& a, const Contents& b) {
    return a.is_store() && b.is_store() && a.whole() && b.whole() && a.rows() == b.rows() &&
           a.sum() == b.sum();
  }

  // Anywhere in the middle: there is all of it, or no store.
  void cut(OnDamage on_damage, const Contents& all, uint64_t calls) {
    for (int i = 0; i < 3 && !findings_.any(); i++) {
      // The last calls publish it.
      const uint64_t back = random_.below(random_.chance(1, 2) ? 12 : calls);
      Play play(disk_, calls - 1 - std::min(back, calls - 1));
      const auto report = store::copy_store(play.disk, store_path, copy_path, on_damage);
      if (!play.disk.stopped()) continue;
      play.disk.stop(true);
      const uint64_t keep = random_.pick(std::array<uint64_t, 3>{0, 128, 256});
      play.disk.restart([&] { return random_.chance(keep, 256); });
      const Contents left(play.disk);
      if (left.is_store() && (!left.whole() || left.rows() != all.rows())) {
        findings_.add(copies_are_durable, "a power cut in a copy leaves a store with " +
                                              std::to_string(left.rows()) + " records of " +
                                              std::to_string(all.rows()));
      }
    }
  }

  void check_repair(const SimulatedDisk& disk, const sys::Result<store::CopyReport>& report) {
    Play opening(disk_);
    store::Options options = options_;
    options.create = false;
    Mended original(opening.disk, options, model_, false);
    const sys::Status opened = original.open();
    const bool damaged = opened.code() == Code::corrupt;
    const auto wrong = [&](const std::string& what) {
      findings_.add(repair_keeps_what_is_there, "a repair " + what);
    };
    if (!report.ok()) {
      const bool none = report.status().code() == Code::not_found;
      // The damage to STORE that is played here can be put right; without STORE only another store
      // says what the records are.
      const Storage& storage = disk_.storage();
      const int directory = store_directory(storage, false);
      const bool store = directory != 0 && storage.find(directory, store::store_name, false) != 0;
      if (opened.ok() || (damaged && !none && store)) wrong("fails: " + report.status().message());
      return;
    }
    const store::CopyReport& said = report.value();
    if (damaged && !said.damaged()) wrong("finds nothing, opening refuses: " + opened.message());
    if (opened.ok() && !said.damaged() && said.last_seq != original.rows()) {
      wrong("ends with record " + std::to_string(said.last_seq) + ", opening takes " +
            std::to_string(original.rows()));
    }
    if (said.last_seq < proven_) {
      wrong("ends with record " + std::to_string(said.last_seq) + ", and record " +
            std::to_string(proven_) + " is proven" + (said.damaged() ? "; damaged" : "; sound") +
            (said.findings.empty() ? "" : ": " + said.findings.front().text()) +
            "; opening: " + opened.message());
    }
    Play again(disk);
    options.directory = copy_path;
    Mended mended(again.disk, options, model_, said.damaged());
    const sys::Status result = mended.open();
    if (!result.ok()) return wrong("gives a store that is refused: " + result.message());
    if (!mended.wrong().empty()) {
      return findings_.add(nothing_invented, "a repair: " + mended.wrong());
    }
    uint64_t counted = 0;
    for (const store::Loss& loss : said.losses) counted += loss.last_seq - loss.first_seq + 1;
    if (counted != mended.lost().size() || mended.rows() != said.last_seq ||
        said.records != said.last_seq - counted) {
      wrong("counts " + std::to_string(counted) + " lost records, there are " +
            std::to_string(mended.lost().size()));
    }
    for (const uint64_t seq : readable_records(disk_.storage(), proven_)) {
      if (seq <= mended.rows() && !mended.lost().contains(seq)) continue;
      return wrong("gives up record " + std::to_string(seq) + ", which lies whole on the disk");
    }
  }

  const SimulatedDisk& disk_;
  const store::Options& options_;
  const Model& model_;
  Findings& findings_;
  const uint64_t proven_;
  Random random_;
};

}  // namespace

void check_copies(const SimulatedDisk& disk, const store::Options& options, const Model& model,
                  Findings& findings, uint64_t proven, uint64_t seed) {
  Copies(disk, options, model, findings, proven, seed).check();
}

}  // namespace espora::sim
