// One seed: the books that ship, driven step by step as the service drives them, on a simulated
// disk, through crashes, errors, full disks and restarts; or, in a fifth of the seeds, damage to
// what was durable.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sim/checks.h"
#include "sim/disk.h"
#include "sim/faults.h"
#include "sim/model.h"
#include "store/format.h"
#include "store/reader.h"
#include "store/record_reader.h"

namespace espora::sim {

inline bool is_segment(std::string_view name) {
  return store::parse_name(name).kind == store::NameKind::segment;
}

struct SeedResult {
  Violation violation;
  std::string options;  // of the store, and what the seed turned on
  uint64_t trace_hash = 0;
  uint64_t records = 0;
  uint64_t lives = 0;
  uint64_t calls = 0;
};

class World final : private Director {
 public:
  World(uint64_t seed, FaultCounts& counts, bool trace);
  SeedResult run();

 private:
  // What a life may meet, in parts of 4096 per call; 0 for never.
  struct Rates {
    unsigned write = 0;
    unsigned flush = 0;
    unsigned rename = 0;
    unsigned directory = 0;
    unsigned allocate = 0;
    unsigned read = 0;
    unsigned lie = 0;
  };
  enum class NoSpace : uint8_t { never, create, allocate, write, flush, rename, overwrite };
  // A segment that is to be damaged, among all of its store.
  struct Victim {
    int directory = 0;
    std::vector<std::pair<std::string, int>> segments;  // all, with their inodes
    std::string name;
    int inode = 0;
    std::vector<uint64_t> pages;   // that hold something
    std::vector<uint64_t> frames;  // where one begins
  };

  // The header of a frame or segment that was written, and what it proves.
  struct Evidence {
    int inode;
    uint64_t offset;
    std::array<std::byte, sizeof(store::format::SegmentHeader)> bytes;
    size_t count;
    uint64_t durable;
  };

  Outcome before(const Call& call) override;
  void after(const Call& call, int64_t result) override;
  void during_flush(const Call& call) override;
  Outcome fault_of(const Call& call);
  Outcome write_fault(const Call& call);
  Outcome flush_fault(const Call& call);
  Outcome read_fault(const Call& call);
  void note_failure(const Call& call, const Outcome& outcome);
  void take_evidence(const Call& call);

  void plan();
  void plan_life();
  void life(size_t steps);
  void give_other_accounts();
  void check_accounts();
  bool open();
  void judge_refusal(const sys::Status& status, uint64_t changes_before);
  void check_recovered();
  void install();
  void act();
  void append();
  void post();
  void fill();
  void submit_filler(size_t count, size_t size);
  void fail_a_seal();
  void begin();
  void step();
  void step_spare();
  void keep_house();
  void maintain();
  void read_beside();
  bool damage_snapshot();
  void damage_store();
  void open_second();
  void move_directory();
  void move_back();
  [[nodiscard]] const char* path() const noexcept { return moved_ ? moved_path : store_path; }
  sys::Result<store::Directory> directory_beside();
  std::string read_records_beside();
  void poll();
  void complete();
  void refused();
  void end_life();
  void close();
  void restart();
  void leave_files();
  void settle_down();
  void damage();
  uint64_t any_page(const Victim& victim);
  int any_segment(const Victim& victim);
  // One of eight things done to a page, and one of three to the whole segment, by their numbers.
  void damage_page(uint64_t what, const Victim& victim, uint64_t at, size_t sector);
  void damage_segment(uint64_t what, const Victim& victim);
  void judge_damage();
  uint64_t proven_by_evidence() const;

  bool hit(Fault fault) noexcept;
  bool dice(unsigned rate) { return rate != 0 && random_.below(4096) < rate; }
  void note(const char* what, uint64_t value = 0);
  [[nodiscard]] bool strict() const noexcept { return options_.sync == store::Sync::always; }
  [[nodiscard]] bool over() const noexcept { return findings_.any(); }

  const uint64_t seed_;
  FaultCounts& counts_;
  const bool trace_;
  Random random_;
  Findings findings_;
  Model model_;
  SimulatedDisk disk_;
  store::Options options_;
  ledger::AccountTable accounts_;       // as they are given
  std::map<uint32_t, int64_t> limits_;  // of the accounts that were in force
  std::unique_ptr<Replay> replay_;
  store::Engine* engine_ = nullptr;  // its store, once it is open
  SeedResult result_;

  bool store_damaged_ = false;
  bool damages_ = false;  // this seed damages, so that it has no errors before
  bool errors_ = false;
  Rates rates_;
  NoSpace no_space_ = NoSpace::never;
  bool space_was_short_ = false;  // a call of this life said ENOSPC or EDQUOT
  bool quiet_ = false;            // no fault of any kind
  bool moved_ = false;            // the open store's directory has another name
  bool opening_ = false;
  bool stepping_ = false;
  bool reading_ = false;
  bool sealing_ = false;
  bool keeping_ = false;  // housekeeping has its turn
  bool failing_ = false;  // it failed for good; what the engine has begun may still end
  int provoked_ = 0;  // 2: a flush left behind what the next life is to see, and the one after not
  bool drop_next_flush_ = false;
  bool closing_ = false;
  bool trusting_ = true;  // flushes of this life did what they said
  bool was_appendable_ = false;
  bool cut_in_recovery_ = false;
  uint64_t faults_in_open_ = 0;
  uint64_t read_faults_ = 0;
  bool bad_page_planned_ = false;  // a page of a segment that can't be read in this life
  int bad_inode_ = 0;
  uint64_t bad_page_ = 0;
  uint64_t cut_in_calls_ = UINT64_MAX;
  bool cut_is_kill_ = false;
  unsigned keep_ = 0;
  bool failed_ = false;  // a published write or flush failed in this process
  uint64_t floor_at_failure_ = 0;
  uint64_t batch_ = 1;
  uint64_t repeated_ = UINT64_MAX;  // rows of the last recovery, while nothing was appended since
  std::vector<Evidence> evidence_;
  Storage old_;  // as it was at the end of some earlier life
};

}  // namespace espora::sim
