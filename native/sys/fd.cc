#include "sys/fd.h"

#include <unistd.h>

namespace espora::sys {

void Fd::reset(int fd) noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

}  // namespace espora::sys
