// The end of this process.
#pragma once

namespace espora::sys {

// _exit(2): no handlers, no flushes of what may be wrong, at once. Any thread.
[[noreturn]] void exit_now(int code) noexcept;

}  // namespace espora::sys
