// The floor of a durable append: pwrite of whole blocks and fdatasync, one after the other, into a
// file that was allocated, zero-filled and flushed before, past the page cache where the file
// system allows it. Written against the system calls, and against nothing of the store.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "measure.h"
#include "sys/clock.h"
#include "sys/fd.h"
#include "sys/status.h"
#include "trials.h"
#include "values.h"

namespace espora::bench {
namespace {

constexpr size_t block_bytes = 4096;
constexpr size_t fill_bytes = size_t{1} << 20;

struct Free {
  void operator()(std::byte* bytes) const noexcept { std::free(bytes); }
};
using Blocks = std::unique_ptr<std::byte, Free>;

Blocks make_blocks(size_t bytes) {
  return Blocks(static_cast<std::byte*>(std::aligned_alloc(block_bytes, bytes)));
}

class BareLoop final : public Napi::ObjectWrap<BareLoop> {
 public:
  // new BareLoop(path, fileBytes, writeBytes): both sizes in whole MiB and whole blocks
  explicit BareLoop(const Napi::CallbackInfo& info)
      : ObjectWrap(info),
        file_bytes_(iterations_of(info, 1)),
        write_bytes_(iterations_of(info, 2)) {
    if (file_bytes_ % fill_bytes != 0 || write_bytes_ % block_bytes != 0 ||
        write_bytes_ > file_bytes_) {
      throw Napi::TypeError::New(info.Env(), "sizes are not whole MiB and blocks");
    }
    constexpr int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    const std::string path = info[0].As<Napi::String>();
    file_ = sys::Fd(::open(path.c_str(), flags | O_DIRECT, 0600));
    if (!file_.valid() && errno == EINVAL) {
      direct_ = false;
      ::unlink(path.c_str());  // some kernels make the file before they refuse
      file_ = sys::Fd(::open(path.c_str(), flags, 0600));
    }
    if (!file_.valid()) fail(info.Env(), "open");
    fill(info.Env());
    data_ = make_blocks(write_bytes_);
    for (size_t i = 0; i < write_bytes_; i++) data_.get()[i] = static_cast<std::byte>(i * 31 + 7);
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "BareLoop",
        {InstanceMethod<&BareLoop::round>("round"), InstanceMethod<&BareLoop::one>("one"),
         InstanceAccessor<&BareLoop::direct>("direct")});
  }

 private:
  [[noreturn]] static void fail(Napi::Env env, const char* call) {
    throw to_error(env, sys::Status::from_errno(errno, call, "bare loop"));
  }

  void fill(Napi::Env env) {
    if (::fallocate(file_.get(), 0, 0, static_cast<off_t>(file_bytes_)) < 0) fail(env, "fallocate");
    const Blocks zeros = make_blocks(fill_bytes);
    std::memset(zeros.get(), 0, fill_bytes);
    for (uint64_t at = 0; at < file_bytes_; at += fill_bytes) {
      if (::pwrite(file_.get(), zeros.get(), fill_bytes, static_cast<off_t>(at)) !=
          static_cast<ssize_t>(fill_bytes)) {
        fail(env, "pwrite");
      }
    }
    if (::fsync(file_.get()) < 0) fail(env, "fsync");
  }

  void write_next(Napi::Env env) {
    if (offset_ + write_bytes_ > file_bytes_) offset_ = 0;
    if (::pwrite(file_.get(), data_.get(), write_bytes_, static_cast<off_t>(offset_)) !=
        static_cast<ssize_t>(write_bytes_)) {
      fail(env, "pwrite");
    }
    if (::fdatasync(file_.get()) < 0) fail(env, "fdatasync");
    offset_ += write_bytes_;
  }

  // round(milliseconds): the time of each write with its flush, in nanoseconds; at least one
  Napi::Value round(const Napi::CallbackInfo& info) {
    return to_array(info.Env(), times_ns(iterations_of(info, 0), [&] { write_next(info.Env()); }));
  }

  // one(): the time of one write with its flush, in nanoseconds
  Napi::Value one(const Napi::CallbackInfo& info) {
    const uint64_t begin = sys::monotonic_ns();
    write_next(info.Env());
    return Napi::Number::New(info.Env(), static_cast<double>(sys::monotonic_ns() - begin));
  }

  Napi::Value direct(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), direct_);
  }

  uint64_t file_bytes_;
  uint64_t write_bytes_;
  uint64_t offset_ = 0;
  sys::Fd file_;
  bool direct_ = true;
  Blocks data_;
};

}  // namespace

Napi::Function define_bare_loop(Napi::Env env) { return BareLoop::define(env); }

}  // namespace espora::bench
