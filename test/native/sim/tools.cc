#include "sim/tools.h"

#include <cerrno>
#include <memory>
#include <optional>
#include <string>

#include "store/copy.h"
#include "store/reader.h"
#include "support/by_path.h"

namespace espora::sim {

namespace {

constexpr const char* tools_copy_path = "data/copy";

class Silent final : public Director {
 public:
  Outcome before(const Call&) override { return {}; }
  void after(const Call&, int64_t) override {}
};

// A disk without room for anything new. What was written before may be written again, unless the
// file system copies on write.
class Full final : public Director {
 public:
  explicit Full(bool copies_on_write) noexcept : copies_on_write_(copies_on_write) {}

  Outcome before(const Call& call) override {
    const bool temporary = store::parse_name(call.name).kind == store::NameKind::temporary;
    // An empty LOCK takes no space.
    const bool makes = call.creates && call.name != store::lock_name;
    const bool grows = makes || call.kind == CallKind::allocate ||
                       (call.kind == CallKind::pwrite && temporary &&
                        (copies_on_write_ || call.name != store::reserve_name));
    if (grows) return {Outcome::Kind::fail, ENOSPC};
    return {};
  }
  void after(const Call&, int64_t) override {}

 private:
  const bool copies_on_write_;
};

// What was found, in order and without a gap, and the first damage.
class Shown final : public store::ReadVisitor {
 public:
  explicit Shown(const Model& model) noexcept : model_(model) {}

  bool frame(const store::FrameView& frame) override {
    store::RecordCursor cursor(frame.header, frame.payload);
    store::RecordView record;
    while (cursor.next(record)) {
      if (record.seq != rows_ + 1 && wrong_.empty()) {
        wrong_ = "record " + std::to_string(record.seq) + " is behind " + std::to_string(rows_);
      }
      if (wrong_.empty()) wrong_ = model_.mismatch(record);
      rows_ = record.seq;
    }
    return true;
  }
  void finding(const store::Finding& finding) override {
    if (finding.severity == store::Severity::damage && damage_.empty()) damage_ = finding.text();
  }
  [[nodiscard]] uint64_t rows() const noexcept { return rows_; }
  [[nodiscard]] const std::string& wrong() const noexcept { return wrong_; }
  [[nodiscard]] const std::string& damage() const noexcept { return damage_; }

 private:
  const Model& model_;
  uint64_t rows_ = 0;
  std::string wrong_;
  std::string damage_;
};

class AtRest {
 public:
  AtRest(const SimulatedDisk& disk, const store::Options& options, const Model& model,
         const ledger::AccountTable& accounts, bool trusting, Findings& findings)
      : disk_(disk),
        options_(options),
        model_(model),
        accounts_(accounts),
        trusting_(trusting),
        findings_(findings) {}

  void check() {
    const std::optional<uint64_t> taken = open(store_path);
    if (taken && *taken != 0) {
      for (const bool copies_on_write : {false, true}) start_full(*taken, copies_on_write);
    }
    if (findings_.any()) return;
    check_reader(taken);
    if (!findings_.any()) check_verify(taken);
    if (!findings_.any()) check_copy(taken);
  }

 private:
  [[nodiscard]] std::unique_ptr<SimulatedDisk> play() { return play(quiet_); }
  [[nodiscard]] std::unique_ptr<SimulatedDisk> play(Director& director) {
    auto disk = std::make_unique<SimulatedDisk>(1, director);
    disk->take_after(disk_);
    return disk;
  }

  // A start on a full disk, a power cut, and a start with space again.
  void start_full(uint64_t taken, bool copies_on_write) {
    Full full(copies_on_write);
    const auto disk = play(full);
    bool shown = false;
    {
      Findings ignored;
      Replay replay(*disk, options_, model_, ignored, accounts_, false, store::History::all);
      const sys::Status opened = replay.open();
      if (opened.ok()) {
        shown = replay.store().whole();
        if (shown && replay.rows() != taken) {
          findings_.add(full_start_is_no_older_state,
                        "a start on a full disk ends with record " + std::to_string(replay.rows()) +
                            ", one with space with " + std::to_string(taken));
        }
      }
      // Batches are flushed one by one: at most the newest and one that was under way are unproven.
      // A flush that lied may have lost the reserve with it.
      if (!shown && trusting_ && !copies_on_write && options_.sync == store::Sync::always) {
        findings_.add(progress_resumes,
                      "a start on a full disk shows nothing: " +
                          (opened.ok() ? std::string("no reserve") : opened.message()));
      }
    }
    if (!trusting_) return;
    disk->stop(true);
    disk->restart([] { return false; });
    const auto reader_disk = std::make_unique<SimulatedDisk>(1, quiet_);
    reader_disk->take_after(*disk);
    const std::optional<uint64_t> again = open(store_path, reader_disk.get());
    if (!again || (shown && *again != taken)) {
      findings_.add(again ? only_durable_visible : faults_never_corrupt,
                    "after a start on a full disk and a power cut: " +
                        (again ? "record " + std::to_string(*again) + " is the last one, not " +
                                     std::to_string(taken)
                               : refusal_));
    }
  }

  // The last record that opening takes; nothing if it refuses.
  std::optional<uint64_t> open(const std::string& path, SimulatedDisk* where = nullptr) {
    std::unique_ptr<SimulatedDisk> own;
    if (where == nullptr) own = play();
    SimulatedDisk& disk = where != nullptr ? *where : *own;
    Findings ignored;
    store::Options options = options_;
    options.directory = path;
    Replay replay(disk, options, model_, ignored, accounts_, false, store::History::all);
    const sys::Status opened = replay.open();
    refusal_ = opened.message();
    if (!opened.ok()) return std::nullopt;
    return replay.rows();
  }

  void differs(const char* tool, uint64_t rows, uint64_t taken) {
    findings_.add(tools_show_what_opening_takes, std::string(tool) + " ends with record " +
                                                     std::to_string(rows) + ", opening takes " +
                                                     std::to_string(taken));
  }
  void silent(const char* tool) {
    findings_.add(damage_never_silent, std::string(tool) + " finds nothing, opening refuses");
  }

  void check_reader(const std::optional<uint64_t>& taken) {
    const auto disk = play();
    auto reader = store::Reader::open(*disk, store_path);
    if (!reader.ok()) return;
    Shown shown(model_);
    if (!reader.value()->walk(shown).ok()) return;
    if (!shown.damage().empty()) return;
    if (!shown.wrong().empty()) findings_.add(nothing_invented, "a reader: " + shown.wrong());
    if (!taken) {
      silent("a reader");
    } else if (shown.rows() != *taken) {
      differs("a reader", shown.rows(), *taken);
    }
  }

  void check_verify(const std::optional<uint64_t>& taken) {
    const auto disk = play();
    const auto report = store::verify(*disk, store_path);
    if (!report.ok()) return;
    if (!taken) {
      if (!report.value().damaged()) silent("verify");
    } else if (!report.value().damaged() && report.value().records != *taken) {
      differs("verify", report.value().records, *taken);
    }
  }

  void check_copy(const std::optional<uint64_t>& taken) {
    const auto disk = play();
    const auto report =
        store::copy_store(*disk, store_path, tools_copy_path, store::OnDamage::refuse);
    if (!report.ok()) {
      const sys::Code code = report.status().code();
      // What opening makes anew, or does not read: damage of older segments.
      const bool expected = code == sys::Code::not_found ? taken == 0 : code == sys::Code::corrupt;
      if (taken && !expected) {
        findings_.add(progress_resumes, "a copy: " + report.status().message());
      }
      return;
    }
    if (!taken) return silent("a copy");
    if (report.value().last_seq != *taken) differs("a copy", report.value().last_seq, *taken);
    // It is a store, also after a power cut at once.
    disk->stop(true);
    disk->restart([] { return false; });
    const auto opened = open(tools_copy_path, disk.get());
    if (!opened) {
      findings_.add(faults_never_corrupt, "a copy: " + refusal_);
    } else if (*opened != *taken) {
      differs("an opened copy", *opened, *taken);
    }
  }

  const SimulatedDisk& disk_;
  const store::Options& options_;
  const Model& model_;
  const ledger::AccountTable& accounts_;
  const bool trusting_;
  Findings& findings_;
  Silent quiet_;
  std::string refusal_;  // of the last opening
};

}  // namespace

void check_at_rest(const SimulatedDisk& disk, const store::Options& options, const Model& model,
                   const ledger::AccountTable& accounts, bool trusting, Findings& findings) {
  AtRest(disk, options, model, accounts, trusting, findings).check();
}

}  // namespace espora::sim
