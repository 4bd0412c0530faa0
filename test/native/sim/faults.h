// Every fault that the simulation knows, by name, and how often each was hit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace espora::sim {

enum class Fault : uint8_t {
  power_cut,
  power_cut_in_recovery,
  power_cut_in_recovery_again,  // before the store was open since the last one
  kill,
  kill_in_recovery,
  write_error,
  write_error_with_effect,
  write_short,
  write_of_nothing,
  write_interrupted,
  flush_error_dropped,   // still shown, and the next flush succeeds
  flush_error_reverted,  // shows the old content
  rename_error,
  rename_error_with_effect,
  directory_flush_error,
  directory_flush_error_dropped,
  allocation_error,
  allocation_unsupported,
  no_space_to_create,
  no_space_to_allocate,
  no_space_to_write,
  no_space_to_flush,
  no_space_to_rename,
  space_again,
  read_error_in_recovery,
  read_interrupted,
  read_short,
  slow_flush,
  clock_back,
  clock_forward,
  leftover_file,
  second_opener,
  reader_beside,
  interval_mode,
  never_mode,
  direct_refused_at_open,
  direct_refused_at_transfer,
  limit_changed,
  // Damage to what was durable.
  bit_flip,
  sector_zeroed,
  sector_of_old,
  frame_copied,
  frames_swapped,
  segment_deleted,
  segment_truncated,
  segment_replaced,
  flush_lied,
  flush_late,
  count,
};

inline constexpr std::array<std::string_view, static_cast<size_t>(Fault::count)> fault_names = {
    "power cut",
    "power cut in recovery",
    "power cut in recovery, again",
    "kill",
    "kill in recovery",
    "write error",
    "write error, with effect",
    "short write",
    "write of nothing",
    "write interrupted",
    "flush error, pages dropped",
    "flush error, content reverts",
    "rename error",
    "rename error, with effect",
    "directory flush error",
    "directory flush error, dropped",
    "allocation error",
    "allocation unsupported",
    "no space to create",
    "no space to allocate",
    "no space to write",
    "no space to flush",
    "no space to rename",
    "space again",
    "read error in recovery",
    "read interrupted",
    "short read",
    "slow flush",
    "clock goes back",
    "clock jumps forward",
    "leftover temporary file",
    "second opener",
    "reader beside the service",
    "interval mode",
    "mode without flushes",
    "O_DIRECT refused at open",
    "O_DIRECT refused at transfer",
    "limits changed",
    "damage: bit flipped",
    "damage: sector zeroed",
    "damage: old version of a sector",
    "damage: frame copied",
    "damage: frames swapped",
    "damage: segment deleted",
    "damage: segment truncated",
    "damage: segment replaced",
    "damage: flush lied",
    "damage: flush reported late",
};

using FaultCounts = std::array<uint64_t, static_cast<size_t>(Fault::count)>;

}  // namespace espora::sim
