// This process: where it is, and its end.
#pragma once

#include <string>

#include "sys/status.h"

namespace espora::sys {

// `path` as it is now, whatever the working directory becomes: a relative one goes behind it, and
// nothing else is changed (a ".." behind a symbolic link means what it means to the kernel). An
// empty one stays empty. Any thread.
Result<std::string> absolute_path(std::string path);

// _exit(2): no handlers, no flushes of what may be wrong, at once. Any thread.
[[noreturn]] void exit_now(int code) noexcept;

}  // namespace espora::sys
