// Deliberate defects, of which one at a time is active: they prove that the simulation notices when
// the store breaks its promise. They exist only in the simulator's build (ESPORA_SIMULATION); in
// every other build ESPORA_DEFECT is `if constexpr (false)`, which compiles to nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace espora::store {

enum class Defect : uint8_t {
  none,
  acknowledge_before_flush,
  skip_flush,
  retry_failed_flush,
  skip_directory_flush,
  no_header_crc,
  stop_at_bad_frame,
  reuse_segment,
  rewrite_partial_block,
  drop_durable_seq,
  publish_snapshot_unflushed,
  snapshot_of_live_memory,
  show_unproven,
  trust_tail_in_place,
  copy_after_publication,
  read_error_as_torn,
  refuse_after_applying,
  roll_without_flush,
  seal_as_end,
  ignore_failed_rename,
  continue_failed_spare,
  serve_tail_without_space,
  hide_tail_from_tools,
  overtake_who_waits,
  forget_who_waits,
  leave_batch_open,
  show_before_flush,
  refuse_before_commit,
  close_with_backlog,
  lock_by_name_only,
  read_by_path,
  any_failure_is_full,
  take_given_schema,
  append_before_schema,
  start_with_an_older_state,
  no_reserve,
  copy_unflushed,
  copy_directory_unflushed,
  copy_path_unflushed,
  refuse_without_looking,
  count,
};

inline constexpr std::array<std::string_view, static_cast<size_t>(Defect::count)> defect_names = {
    "none",
    "acknowledge_before_flush",
    "skip_flush",
    "retry_failed_flush",
    "skip_directory_flush",
    "no_header_crc",
    "stop_at_bad_frame",
    "reuse_segment",
    "rewrite_partial_block",
    "drop_durable_seq",
    "publish_snapshot_unflushed",
    "snapshot_of_live_memory",
    "show_unproven",
    "trust_tail_in_place",
    "copy_after_publication",
    "read_error_as_torn",
    "refuse_after_applying",
    "roll_without_flush",
    "seal_as_end",
    "ignore_failed_rename",
    "continue_failed_spare",
    "serve_tail_without_space",
    "hide_tail_from_tools",
    "overtake_who_waits",
    "forget_who_waits",
    "leave_batch_open",
    "show_before_flush",
    "refuse_before_commit",
    "close_with_backlog",
    "lock_by_name_only",
    "read_by_path",
    "any_failure_is_full",
    "take_given_schema",
    "append_before_schema",
    "start_with_an_older_state",
    "no_reserve",
    "copy_unflushed",
    "copy_directory_unflushed",
    "copy_path_unflushed",
    "refuse_without_looking",
};

#ifdef ESPORA_SIMULATION
inline Defect defect_in_force = Defect::none;
#define ESPORA_DEFECT(name) if (::espora::store::defect_in_force == ::espora::store::Defect::name)
#else
#define ESPORA_DEFECT(name) if constexpr (false)
#endif

}  // namespace espora::store
