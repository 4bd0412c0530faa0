// This process: its working directory, and its end.
#pragma once

#include <string>

#include "sys/status.h"

namespace espora::sys {

// `path` made independent of later changes of the working directory: a relative one is appended to
// the current directory, and nothing else is changed (".." after a symbolic link keeps the kernel's
// meaning). An empty path stays empty. Any thread.
Result<std::string> absolute_path(std::string path);

// _exit(2): ends at once, without handlers and without flushing possibly wrong data. Any thread.
[[noreturn]] void exit_now(int code) noexcept;

}  // namespace espora::sys
