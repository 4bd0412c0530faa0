#include "sys/status.h"

#include <cerrno>
#include <cstring>

namespace espora::sys {

std::string_view code_name(Code code) noexcept {
  switch (code) {
    case Code::ok:
      return "ok";
    case Code::invalid:
      return "invalid";
    case Code::not_found:
      return "not_found";
    case Code::exists:
      return "exists";
    case Code::locked:
      return "locked";
    case Code::permission:
      return "permission";
    case Code::address_in_use:
      return "address_in_use";
    case Code::unavailable:
      return "unavailable";
    case Code::no_space:
      return "no_space";
    case Code::too_large:
      return "too_large";
    case Code::overloaded:
      return "overloaded";
    case Code::io:
      return "io";
    case Code::corrupt:
      return "corrupt";
    case Code::version:
      return "version";
    case Code::indeterminate:
      return "indeterminate";
    case Code::failed:
      return "failed";
    case Code::closed:
      return "closed";
    case Code::unsupported:
      return "unsupported";
    case Code::unreadable:
      return "unreadable";
    case Code::resources:
      return "resources";
  }
  return "unknown";
}

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
