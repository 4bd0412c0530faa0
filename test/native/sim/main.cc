// The simulation as a program: `run` for seeds, `scope` for the exhaustive small scope, `teeth` for
// the deliberately broken builds. What it prints is read by people and by scripts/prove.mjs.
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "sim/desks.h"
#include "sim/faults.h"
#include "sim/model.h"
#include "sim/scope.h"
#include "sim/world.h"
#include "store/defects.h"
#include "sys/limits.h"

namespace espora::sim {
namespace {

struct Arguments {
  std::string_view command;
  uint64_t seed = 1;
  uint64_t seeds = 2'000;
  bool trace = false;
  std::string_view defect;
  unsigned operations = 2;
  unsigned shard = 0;
  unsigned shards = 1;
};

// Of the seed that runs: a broken ESPORA_CHECK ends the process, and is a finding.
volatile uint64_t seed_running = 0;

void on_abort(int) {
  char text[96];
  const int size = std::snprintf(text, sizeof text, "FAILED: seed %llu, an internal check failed\n",
                                 static_cast<unsigned long long>(seed_running));
  if (::write(STDOUT_FILENO, text, static_cast<size_t>(size)) < 0) _exit(3);
}

int usage(const char* what) {
  std::fprintf(stderr,
               "%s\nusage: espora_sim run [--seed S] [--seeds N] [--trace] [--defect NAME]\n"
               "       espora_sim teeth [--seed S] [--seeds N] [--defect NAME]\n"
               "       espora_sim scope [--operations N] [--seed S] [--shard K --shards N]\n",
               what);
  return 2;
}

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

void print_violation(uint64_t seed, const SeedResult& result) {
  std::printf("FAILED: seed %llu, invariant %d: %s\n  %s\n  %s\n",
              static_cast<unsigned long long>(seed), result.violation.invariant,
              invariant_text(result.violation.invariant), result.violation.what.c_str(),
              result.options.c_str());
}

void print_counts(const FaultCounts& counts) {
  for (size_t i = 0; i < counts.size(); i++) {
    std::printf("  %-34s %10llu%s\n", fault_names[i].data(),
                static_cast<unsigned long long>(counts[i]), counts[i] == 0 ? "  NEVER HIT" : "");
  }
}

// A seed: of the store with its ledger, and of both desks. These are about segments that fill:
// where they are large, and filled slowly, every fourth seed does.
SeedResult play(uint64_t seed, FaultCounts& counts, bool trace) {
  SeedResult result = World(seed, counts, trace).run();
  constexpr uint64_t desk_seeds = limits::segment_bytes_min < (1U << 20) ? 1 : 4;
  if (seed % desk_seeds != 0) return result;
  for (const auto& desk : {run_teller, run_committer}) {
    if (result.violation.invariant != 0) break;
    DeskResult more = desk(seed, counts, trace);
    result.violation = std::move(more.violation);
    result.trace_hash ^= more.trace_hash;
  }
  return result;
}

// Every seed; every sixteenth twice, which must give the same trace. A fault that was never hit is
// a failure where there were enough seeds to hit it.
int run(const Arguments& arguments) {
  constexpr uint64_t enough_seeds = 2'000;
  constexpr uint64_t failures_shown = 5;
  FaultCounts counts{};
  uint64_t failures = 0;
  uint64_t records = 0;
  uint64_t lives = 0;
  uint64_t calls = 0;
  const auto began = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < arguments.seeds; i++) {
    const uint64_t seed = arguments.seed + i;
    seed_running = seed;
    SeedResult result = play(seed, counts, arguments.trace);
    if (seed % 16 == 0 && result.violation.invariant == 0) {
      FaultCounts ignored{};
      if (play(seed, ignored, false).trace_hash != result.trace_hash) {
        result.violation = {same_seed_same_trace, "the second run gave another trace"};
      }
    }
    records += result.records;
    lives += result.lives;
    calls += result.calls;
    if (result.violation.invariant == 0) continue;
    if (++failures <= failures_shown) print_violation(seed, result);
  }
  const double took = seconds_since(began);
  print_counts(counts);
  uint64_t missed = 0;
  for (const uint64_t count : counts) missed += count == 0 ? 1 : 0;
  if (arguments.seeds < enough_seeds) missed = 0;
  if (missed != 0) {
    std::printf("FAILED: %llu faults were never hit\n", static_cast<unsigned long long>(missed));
  }
  std::printf(
      "%llu seeds, %llu lives, %llu calls, %llu records at their ends, %.1f s, %.0f seeds/s: "
      "%llu failed\n",
      static_cast<unsigned long long>(arguments.seeds), static_cast<unsigned long long>(lives),
      static_cast<unsigned long long>(calls), static_cast<unsigned long long>(records), took,
      static_cast<double>(arguments.seeds) / took, static_cast<unsigned long long>(failures));
  return failures == 0 && missed == 0 ? 0 : 1;
}

#ifdef ESPORA_SIMULATION

using store::Defect;

struct Tooth {
  Defect defect;
  int invariant;  // that must notice it
};

constexpr std::array teeth = {
    Tooth{Defect::acknowledge_before_flush, acknowledged_is_there},
    Tooth{Defect::skip_flush, acknowledged_is_there},
    Tooth{Defect::retry_failed_flush, nothing_after_failure},
    Tooth{Defect::skip_directory_flush, acknowledged_is_there},
    Tooth{Defect::no_header_crc, nothing_invented},
    Tooth{Defect::stop_at_bad_frame, damage_never_silent},
    Tooth{Defect::reuse_segment, faults_never_corrupt},
    Tooth{Defect::rewrite_partial_block, acknowledged_is_there},
    Tooth{Defect::drop_durable_seq, damage_never_silent},
    Tooth{Defect::publish_snapshot_unflushed, faults_never_corrupt},
    Tooth{Defect::snapshot_of_live_memory, ledger_is_model},
    Tooth{Defect::show_unproven, only_durable_visible},
    Tooth{Defect::trust_tail_in_place, only_durable_visible},
    Tooth{Defect::copy_after_publication, faults_never_corrupt},
    Tooth{Defect::read_error_as_torn, acknowledged_is_there},
    Tooth{Defect::refuse_after_applying, ledger_is_model},
    Tooth{Defect::roll_without_flush, faults_never_corrupt},
    Tooth{Defect::seal_as_end, faults_never_corrupt},
    Tooth{Defect::ignore_failed_rename, nothing_after_failure},
    Tooth{Defect::continue_failed_spare, acknowledged_is_there},
    Tooth{Defect::serve_tail_without_space, only_durable_visible},
    Tooth{Defect::hide_tail_from_tools, tools_show_what_opening_takes},
    Tooth{Defect::overtake_who_waits, answered_once},
    Tooth{Defect::forget_who_waits, answered_once},
    Tooth{Defect::leave_batch_open, answered_once},
    Tooth{Defect::show_before_flush, only_durable_visible},
    Tooth{Defect::refuse_before_commit, answered_once},
    Tooth{Defect::close_with_backlog, answered_once},
    Tooth{Defect::lock_by_name_only, nothing_invented},
    Tooth{Defect::read_by_path, faults_never_corrupt},
    Tooth{Defect::any_failure_is_full, progress_resumes},
    Tooth{Defect::take_given_schema, ledger_is_model},
    Tooth{Defect::append_before_schema, damage_never_silent},
    Tooth{Defect::start_with_an_older_state, full_start_is_no_older_state},
    Tooth{Defect::no_reserve, progress_resumes},
    Tooth{Defect::copy_unflushed, faults_never_corrupt},
    Tooth{Defect::copy_directory_unflushed, copies_are_durable},
    Tooth{Defect::copy_path_unflushed, copies_are_durable},
    Tooth{Defect::refuse_without_looking, nothing_invented},
};

static_assert(teeth.size() == static_cast<size_t>(Defect::count) - 1, "a defect without a tooth");

// Runs each broken build until the invariant named for it notices.
int bite(const Arguments& arguments) {
  std::printf("%-28s %-9s %6s   %s\n", "defect", "invariant", "seed", "noticed first");
  uint64_t missed = 0;
  for (const Tooth& tooth : teeth) {
    const std::string_view name = store::defect_names[static_cast<size_t>(tooth.defect)];
    if (!arguments.defect.empty() && arguments.defect != name) continue;
    store::defect_in_force = tooth.defect;
    FaultCounts counts{};
    std::string first;
    bool caught = false;
    for (uint64_t i = 0; i < arguments.seeds && !caught; i++) {
      const uint64_t seed = arguments.seed + i;
      seed_running = seed;
      const SeedResult result = play(seed, counts, false);
      if (result.violation.invariant == 0) continue;
      if (first.empty()) {
        first = "by " + std::to_string(result.violation.invariant) + " at seed " +
                std::to_string(seed) + ": " + result.violation.what;
      }
      if (result.violation.invariant != tooth.invariant) continue;
      caught = true;
      std::printf("%-28s %9d %6llu   %s\n", name.data(), tooth.invariant,
                  static_cast<unsigned long long>(seed), first.c_str());
    }
    if (!caught) {
      missed++;
      std::printf("%-28s %9d   NOT CAUGHT%s%s\n", name.data(), tooth.invariant,
                  first.empty() ? "" : ", but ", first.c_str());
    }
    std::fflush(stdout);
  }
  store::defect_in_force = Defect::none;
  std::printf("teeth: %zu defects, %llu not caught\n", teeth.size(),
              static_cast<unsigned long long>(missed));
  return missed == 0 ? 0 : 1;
}

bool set_defect(std::string_view name) {
  for (size_t i = 0; i < store::defect_names.size(); i++) {
    if (store::defect_names[i] != name) continue;
    store::defect_in_force = static_cast<Defect>(i);
    return true;
  }
  return name.empty();
}

#else

int bite(const Arguments&) { return usage("teeth: only the simulator's own build has defects"); }
bool set_defect(std::string_view name) { return name.empty(); }

#endif

int scope(const Arguments& arguments) {
  const auto began = std::chrono::steady_clock::now();
  const ScopeResult result =
      explore(arguments.operations, arguments.seed, arguments.shard, arguments.shards);
  if (result.violation.invariant != 0) {
    std::printf("FAILED: invariant %d: %s\n  %s\n  %s\n", result.violation.invariant,
                invariant_text(result.violation.invariant), result.violation.what.c_str(),
                result.where.c_str());
  }
  std::printf("%llu workloads, %llu crash points (%llu of them sampled), %llu states, %.1f s\n",
              static_cast<unsigned long long>(result.workloads),
              static_cast<unsigned long long>(result.crash_points),
              static_cast<unsigned long long>(result.sampled),
              static_cast<unsigned long long>(result.states), seconds_since(began));
  return result.violation.invariant == 0 ? 0 : 1;
}

int main_of(int count, char** values) {
  Arguments arguments;
  std::signal(SIGABRT, on_abort);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  if (count < 2) return usage("A command is missing.");
  arguments.command = values[1];
  for (int i = 2; i < count; i++) {
    const std::string_view option = values[i];
    if (option == "--trace") {
      arguments.trace = true;
      continue;
    }
    if (i + 1 == count) return usage("An option lacks its value, or is unknown.");
    const char* value = values[++i];
    if (option == "--seed") {
      arguments.seed = std::strtoull(value, nullptr, 10);
    } else if (option == "--seeds") {
      arguments.seeds = std::strtoull(value, nullptr, 10);
    } else if (option == "--defect") {
      arguments.defect = value;
    } else if (option == "--operations") {
      arguments.operations = static_cast<unsigned>(std::strtoul(value, nullptr, 10));
    } else if (option == "--shard") {
      arguments.shard = static_cast<unsigned>(std::strtoul(value, nullptr, 10));
    } else if (option == "--shards") {
      arguments.shards = static_cast<unsigned>(std::strtoul(value, nullptr, 10));
    } else {
      return usage("There is an unknown option.");
    }
  }
  if (arguments.command == "teeth") return bite(arguments);
  if (!set_defect(arguments.defect)) return usage("There is no such defect.");
  if (arguments.command == "run") return run(arguments);
  if (arguments.command == "scope") return scope(arguments);
  return usage("There is no such command.");
}

}  // namespace
}  // namespace espora::sim

int main(int count, char** values) { return espora::sim::main_of(count, values); }
