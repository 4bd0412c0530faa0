#include "sys/check.h"

#include <cstdio>
#include <cstdlib>

namespace espora::sys {

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "espora: internal error: %s does not hold (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace espora::sys
