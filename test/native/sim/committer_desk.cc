// The committer with a program that submits units and flushes, and takes outcomes when it is told.
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sim/checks.h"
#include "sim/desks.h"
#include "sim/weather.h"
#include "store/committer.h"
#include "sys/limits.h"

namespace espora::sim {

namespace {

// One that was submitted: the records of a unit, or a flush where there are none.
struct Asked {
  std::vector<std::string> records;
  bool known = false;  // its outcome came
  sys::Code code = sys::Code::ok;
  uint64_t first_seq = 0;
};

class Recovery final : public store::RecordVisitor {
 public:
  sys::Status record(const store::RecordView& record) override {
    stored.emplace_back(reinterpret_cast<const char*>(record.bytes.data()), record.bytes.size());
    return {};
  }
  std::vector<std::string> stored;
};

class CommitterDesk final : private store::CommitterEvents {
 public:
  CommitterDesk(uint64_t seed, FaultCounts& counts, bool trace)
      : random_(mix(seed ^ 0xC0DE)), weather_(counts, trace), disk_(mix(seed ^ 0xD15B), weather_) {}

  DeskResult run() {
    const size_t lives = random_.between(1, 3);
    for (size_t i = 0; i < lives && !findings_.any(); i++) life();
    if (!findings_.any()) recover();
    weather_.note("end", disk_.calls());
    return {findings_.first(), weather_.trace_hash()};
  }

 private:
  void wrong(int invariant, const std::string& what) {
    findings_.add(invariant, "committer: " + what);
  }
  static std::string named(size_t index) { return "submission " + std::to_string(index); }
  [[nodiscard]] bool going() const { return !findings_.any() && !disk_.stopped(); }

  void life() {
    weather_.note("life");
    weather_.clear_up();
    recover();
    if (!going()) return;
    options_ = {};
    options_.directory = store_path;
    options_.create = true;
    options_.segment_bytes = limits::segment_bytes_min;
    options_.kind = "bytes";
    options_.lock_retry_ms = 0;
    options_.sync = random_.pick(std::array{store::Sync::always, store::Sync::always,
                                            store::Sync::interval, store::Sync::never});
    store::CommitterEvents& events = *this;
    committer_ = std::make_unique<store::Committer>(disk_, options_, events);
    told_ = false;
    next_ = asked_.size();
    last_seq_ = floor_;
    const sys::Status opened = committer_->open();
    if (!opened.ok()) return wrong(progress_resumes, "it does not open: " + opened.message());
    committer_->engine().spare_preparer().set_on_ready([this] { committer_->wake(); });
    committer_->engine().housekeeping().set_on_news([this] { committer_->wake(); });
    plan();
    const size_t steps = random_.pick(std::array<size_t, 3>{20, 100, 250});
    for (size_t i = 0; i < steps && going(); i++) step();
    end();
  }

  void plan() {
    if (random_.chance(1, 5)) weather_.writes_left = random_.below(60);
    if (random_.chance(1, 5)) weather_.flushes_left = random_.below(60);
    if (random_.chance(1, 3)) {
      weather_.calls_left = random_.below(600);
      weather_.power = random_.chance(1, 2);
    }
    may_be_full_ = random_.chance(1, 2);
    may_copy_ = random_.chance(1, 3);
    prompt_ = random_.chance(1, 2);
    spare_steps_ = random_.pick(std::array<uint64_t, 3>{1, 3, 30});
  }

  void step() {
    for (uint64_t i = random_.below(4); i > 0; i--) submit();
    if (random_.chance(1, 12)) {
      asked_.emplace_back();
      committer_->flush();
    }
    if (random_.chance(2, 3)) step_beside();
    if (may_be_full_ && random_.chance(1, 30)) {
      weather_.full = !weather_.full;
      weather_.note("full", weather_.full ? 1 : 0);
    }
    if (may_copy_ && random_.chance(1, 10)) {
      weather_.no_overwrite = !weather_.no_overwrite;
      weather_.note("no overwrite", weather_.no_overwrite ? 1 : 0);
    }
    if (random_.chance(1, 10)) disk_.pass_ns(random_.below(2 * limits::spare_retry_ns));
    if (going() && random_.chance(3, 4) && committer_->ready()) (void)committer_->turn();
    if (going() && told_ && (prompt_ || random_.chance(1, 4))) take();
  }

  void step_beside() {
    store::Engine& engine = committer_->engine();
    for (uint64_t i = random_.below(spare_steps_ + 1); i > 0 && !disk_.stopped(); i--) {
      const uint64_t due = engine.spare_preparer().step();
      if (due == store::SparePreparer::never_ns) (void)engine.housekeeping().step();
    }
  }

  // One call with some units of some records, each of which says which one it is.
  void submit() {
    std::vector<std::byte> bytes;
    for (uint64_t units = random_.between(1, 4); units > 0; units--) {
      Asked unit;
      const size_t most = committer_->engine().batch_payload_bytes_max();
      const uint64_t records = random_.between(1, 4);
      for (uint64_t i = 0; i < records; i++) {
        std::string record = std::to_string(asked_.size()) + "." + std::to_string(i) + ".";
        const uint64_t kind = random_.below(40);
        record.append(kind == 0   ? most / records + random_.below(200)  // perhaps too large
                      : kind == 1 ? most / records * 3 / 4 - 200
                                  : random_.below(300),
                      static_cast<char>('a' + random_.below(26)));
        unit.records.push_back(std::move(record));
      }
      for (const std::string& record : unit.records) {
        const store::SubmittedRecord header{
            static_cast<uint32_t>(record.size()),
            &record == unit.records.data() ? static_cast<uint32_t>(unit.records.size()) : 0};
        const size_t at = bytes.size();
        bytes.resize(at + store::record_extent(record.size()));
        std::memcpy(bytes.data() + at, &header, sizeof header);
        std::memcpy(bytes.data() + at + sizeof header, record.data(), record.size());
      }
      asked_.push_back(std::move(unit));
    }
    committer_->submit(std::move(bytes));
  }

  // ---- outcomes ----

  void on_opened(const sys::Status&) override {}
  void on_closed(const sys::Status&) override {}
  void on_progress() override {
    if (std::exchange(told_, true))
      wrong(answered_once, "it told of progress twice for one take()");
  }

  void take() {
    told_ = false;
    std::vector<store::Outcome> outcomes;
    committer_->take(outcomes);
    for (const store::Outcome& each : outcomes) {
      if (!findings_.any()) judge(each);
    }
    // A roll whose batch was refused made something durable, too.
    if (!findings_.any()) promise(std::min(committer_->durable_seq(), last_seq_));
  }

  void judge(const store::Outcome& outcome) {
    const size_t count = outcome.units == 0 ? 1 : outcome.units;
    uint64_t seq = outcome.first_seq;
    for (size_t i = 0; i < count; i++) {
      if (next_ == asked_.size()) return wrong(answered_once, "an outcome of nothing");
      Asked& asked = asked_[next_];
      if (asked.records.empty() != (outcome.units == 0)) {
        return wrong(answered_once, named(next_) + " has the outcome of another");
      }
      asked.known = true;
      asked.code = outcome.status.code();
      asked.first_seq = seq;
      seq += asked.records.size();
      next_++;
    }
    if (!outcome.status.ok()) return;
    if (outcome.units != 0) {
      if (outcome.first_seq != last_seq_ + 1) {
        return wrong(exact_prefix, named(next_ - 1) + " took a sequence number that is not next");
      }
      last_seq_ = seq - 1;
    }
    // A flush covers what was acknowledged before it.
    const bool flushes = outcome.units == 0 || options_.sync == store::Sync::always;
    promise(flushes ? last_seq_ : std::min(outcome.durable_seq, last_seq_));
  }

  // Before the next segment, so that it is where device_holds() looks; what is taken late is looked
  // for by the next recovery alone.
  void promise(uint64_t seq) {
    if (seq <= floor_) return;
    if (prompt_ && !disk_.stopped() && !device_holds(disk_.storage(), seq - 1, seq)) {
      return wrong(acknowledged_is_there, "record " + std::to_string(seq) +
                                              " is said to be durable, and is not on the device");
    }
    floor_ = seq;
  }

  // ---- the end of a life ----

  // Everything has its outcome when it is closed, on a full disk, too.
  void close() {
    if (random_.chance(1, 2)) weather_.full = false;
    weather_.note("close", weather_.full ? 1 : 0);
    committer_->close();
    bool open = true;
    for (int i = 0; i < 20'000 && going() && open; i++) {
      if (committer_->ready()) open = committer_->turn();
      disk_.pass_ns(limits::spare_retry_ns / 16);
      if (open) (void)committer_->engine().spare_preparer().step();
      if (told_) take();
    }
    if (!going()) return;
    if (open) return wrong(progress_resumes, "it does not close");
    const sys::Status status = committer_->finish();
    if (disk_.stopped()) return;
    if (told_) take();
    if (next_ != asked_.size()) return wrong(answered_once, named(next_) + " has no outcome");
    if (status.ok() == weather_.failed()) {
      return wrong(nothing_after_failure, "its close says nothing of a failure, or invents one");
    }
    if (status.ok()) promise(last_seq_);
  }

  void end() {
    if (going() && random_.chance(3, 4)) close();
    if (!disk_.stopped()) disk_.stop(random_.chance(1, 2));
    committer_.reset();
    disk_.restart([this] { return random_.chance(1, 2); });
  }

  void recover() {
    weather_.clear_up();
    Recovery visitor;
    store::Options options = options_;
    options.directory = store_path;
    options.create = true;
    options.segment_bytes = limits::segment_bytes_min;
    options.kind = "bytes";
    auto opened = store::Engine::open(disk_, options, visitor);
    if (!opened.ok())
      return wrong(progress_resumes, "it does not open: " + opened.status().message());
    check(visitor.stored);
    (void)opened.value()->close();
  }

  void check(const std::vector<std::string>& stored) {
    std::map<std::string_view, uint64_t> found;
    for (size_t i = 0; i < stored.size(); i++) {
      if (!found.emplace(stored[i], i + 1).second) {
        return wrong(nothing_invented, "a record is there twice");
      }
    }
    if (stored.size() < floor_) {
      return wrong(acknowledged_is_there, std::to_string(floor_) + " records were durable, " +
                                              std::to_string(stored.size()) + " are there");
    }
    uint64_t behind = 0;
    size_t known = 0;
    for (size_t i = 0; i < asked_.size(); i++) {
      Asked& asked = asked_[i];
      for (size_t k = 0; k < asked.records.size(); k++) {
        const auto at = found.find(asked.records[k]);
        const bool there = at != found.end();
        known += there ? 1 : 0;
        if (there && at->second != behind + 1) {
          return wrong(exact_prefix, named(i) + " is not in the order of submission");
        }
        if (there) behind = at->second;
        if (there != (found.contains(asked.records.front()))) {
          return wrong(exact_prefix, named(i) + " is there in part");
        }
        if (!asked.known) continue;
        const bool refused = asked.code != sys::Code::ok && asked.code != sys::Code::indeterminate;
        if (refused && there) {
          return wrong(answered_once, named(i) + " was refused, and is stored");
        }
        if (asked.code == sys::Code::ok && there && at->second != asked.first_seq + k) {
          return wrong(answered_once, named(i) + " is not where its outcome said");
        }
        if (asked.code == sys::Code::ok && !there && asked.first_seq + k <= floor_) {
          return wrong(acknowledged_is_there, named(i) + " was acknowledged, and is not there");
        }
      }
      // What a cut took is gone: its number is given again.
      if (asked.code == sys::Code::ok && !asked.records.empty() &&
          !found.contains(asked.records.front())) {
        asked.known = false;
      }
    }
    if (known != stored.size()) return wrong(nothing_invented, "nobody submitted a record");
    floor_ = stored.size();
  }

  Random random_;
  Weather weather_;
  SimulatedDisk disk_;
  Findings findings_;
  store::Options options_;
  std::unique_ptr<store::Committer> committer_;
  std::vector<Asked> asked_;
  size_t next_ = 0;  // whose outcome comes next
  uint64_t last_seq_ = 0;
  uint64_t floor_ = 0;  // known to be durable
  uint64_t spare_steps_ = 1;
  bool may_be_full_ = false;
  bool may_copy_ = false;  // on write
  bool prompt_ = false;    // in taking outcomes
  bool told_ = false;
};

}  // namespace

DeskResult run_committer(uint64_t seed, FaultCounts& counts, bool trace) {
  return CommitterDesk(seed, counts, trace).run();
}

}  // namespace espora::sim
