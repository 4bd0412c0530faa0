// The outcome of something that the system can refuse: a stable code, the errno and system call
// behind it, and a sentence for people. Our own bugs are not a Status: see check.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace espora::sys {

enum class Code : uint8_t {
  ok,
  invalid,         // a value that the caller gave is wrong
  not_found,       // no such file, socket or record
  exists,          // it already exists
  locked,          // another process holds it
  permission,      // EACCES, EPERM, EROFS
  address_in_use,  // EADDRINUSE
  unavailable,     // nothing listens, or not now
  no_space,        // definite refusal: ENOSPC, EDQUOT, or a full store; nothing else is
  too_large,       // above a named limit
  overloaded,      // a bounded queue is full
  io,              // a read, write or flush failed
  corrupt,         // what is on disk contradicts itself
  version,         // what is on disk was written by another version
  indeterminate,   // it may or may not have happened
  failed,          // an earlier failure forbids this
  closed,          // the object was closed
  unsupported,     // this kernel or file system does not support it
  unreadable,      // the device does not return what was stored: a read error
  resources,       // no descriptor, memory or thread is left: EMFILE, ENFILE, ENOMEM, EAGAIN, …
};

// Stable name of a code, for logs, JSON and error codes of the library ("no_space").
std::string_view code_name(Code code) noexcept;

class [[nodiscard]] Status {
 public:
  Status() noexcept = default;
  Status(Code code, std::string message) noexcept : code_(code), message_(std::move(message)) {}

  // A failed system call: "message: call: strerror (ERRNO)". The code follows from `error`.
  static Status from_errno(int error, std::string_view call, std::string_view message);
  // The same where the place of the failure decides the code.
  static Status from_errno(Code code, int error, std::string_view call, std::string_view message);

  [[nodiscard]] bool ok() const noexcept { return code_ == Code::ok; }
  [[nodiscard]] Code code() const noexcept { return code_; }
  [[nodiscard]] int error() const noexcept { return error_; }
  [[nodiscard]] const std::string& message() const noexcept { return message_; }

 private:
  Code code_ = Code::ok;
  int error_ = 0;  // errno, 0 where no system call failed
  std::string message_;
};

// A value, or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) noexcept : value_(std::move(value)) {}
  Result(Status status) noexcept : status_(std::move(status)) {}

  [[nodiscard]] bool ok() const noexcept { return value_.has_value(); }
  [[nodiscard]] const Status& status() const noexcept { return status_; }
  [[nodiscard]] T& value() & noexcept { return *value_; }
  [[nodiscard]] const T& value() const& noexcept { return *value_; }
  [[nodiscard]] T&& value() && noexcept { return std::move(*value_); }

 private:
  std::optional<T> value_;
  Status status_;
};

// The code for an errno if nothing more is known.
Code code_from_errno(int error) noexcept;

// "ENOSPC" for 28; "errno 1234" for one without a name.
std::string errno_name(int error);

}  // namespace espora::sys
