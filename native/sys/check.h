// Invariants of our own code. A violated one ends the process at once, with the condition and its
// place on stderr: continuing in an impossible state would endanger what is on disk.
#pragma once

namespace espora::sys {

[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace espora::sys

// Evaluated in every build, also with NDEBUG.
#define ESPORA_CHECK(condition)                                    \
  do {                                                             \
    if (!(condition)) [[unlikely]] {                               \
      ::espora::sys::check_failed(#condition, __FILE__, __LINE__); \
    }                                                              \
  } while (false)
