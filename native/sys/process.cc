#include "sys/process.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>

namespace espora::sys {

Result<std::string> absolute_path(std::string path) {
  if (path.empty() || path.front() == '/') return path;
  // glibc allocates as much as needed, getcwd(3).
  const std::unique_ptr<char, decltype(&std::free)> here(::getcwd(nullptr, 0), &std::free);
  if (here == nullptr) {
    return Status::from_errno(errno, "getcwd", path + ": the working directory has no path");
  }
  std::string absolute(here.get());
  if (absolute.back() != '/') absolute += '/';
  return absolute + path;
}

void exit_now(int code) noexcept { ::_exit(code); }

}  // namespace espora::sys
