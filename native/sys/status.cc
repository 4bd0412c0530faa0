#include "sys/status.h"

#include <array>
#include <cerrno>
#include <cstring>

namespace espora::sys {

namespace {

// In the order of Code.
constexpr std::array<std::string_view, static_cast<size_t>(Code::resources) + 1> code_names = {
    "ok",       "invalid",     "not_found",      "exists",
    "locked",   "permission",  "address_in_use", "unavailable",
    "no_space", "too_large",   "overloaded",     "io",
    "corrupt",  "version",     "indeterminate",  "failed",
    "closed",   "unsupported", "unreadable",     "resources"};

}  // namespace

std::string_view code_name(Code code) noexcept { return code_names[static_cast<size_t>(code)]; }

Code code_from_errno(int error) noexcept {
  switch (error) {
    case 0:
      return Code::ok;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
      return Code::invalid;
    case ENOENT:
      return Code::not_found;
    case EEXIST:
      return Code::exists;
    case EACCES:
    case EPERM:
    case EROFS:
      return Code::permission;
    case EADDRINUSE:
      return Code::address_in_use;
    case ECONNREFUSED:
    case EADDRNOTAVAIL:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return Code::unavailable;
    case ENOSPC:
    case EDQUOT:
      return Code::no_space;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case ENOLCK:
    case EAGAIN:
      return Code::resources;
    case EFBIG:
      return Code::too_large;
    case EOPNOTSUPP:
    case ENOSYS:
      return Code::unsupported;
    default:
      return Code::io;
  }
}

std::string errno_name(int error) {
  const char* name = strerrorname_np(error);  // glibc 2.32 and later
  return name != nullptr ? std::string(name) : "errno " + std::to_string(error);
}

Status Status::from_errno(Code code, int error, std::string_view call, std::string_view message) {
  char buffer[128];
  std::string text(message);
  text += ": ";
  text += call;
  text += ": ";
  text += strerror_r(error, buffer, sizeof buffer);
  text += " (" + errno_name(error) + ")";
  Status status(code, std::move(text));
  status.error_ = error;
  return status;
}

Status Status::from_errno(int error, std::string_view call, std::string_view message) {
  return from_errno(code_from_errno(error), error, call, message);
}

}  // namespace espora::sys
