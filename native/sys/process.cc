#include "sys/process.h"

#include <unistd.h>

namespace espora::sys {

void exit_now(int code) noexcept { ::_exit(code); }

}  // namespace espora::sys
