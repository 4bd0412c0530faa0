// Owner of one file descriptor.
#pragma once

#include <utility>

namespace espora::sys {

class Fd {
 public:
  Fd() noexcept = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Fd() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] bool valid() const noexcept { return fd_ >= 0; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  // Closes the owned descriptor. An error of close(2) is not reported: nothing that must be durable
  // relies on it (those files are flushed before), and a retry could close another file.
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

}  // namespace espora::sys
