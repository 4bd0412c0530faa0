// For LD_PRELOAD: ends a process, or lies to it, at a chosen call of the C library. The campaigns
// use it where strace(1) would slow the process down too much.
//
//   CALL_HOOK_PROCESS=database   only a process that has this word among its arguments
//   CALL_HOOK_KILL=fdatasync     SIGKILL at a call of this name ...
//   CALL_HOOK_WHEN=8             ... the 8th in the process ...
//   CALL_HOOK_AFTER=1            ... when it has returned; otherwise before it begins
//   CALL_HOOK_ONCE=FILE          not if this file exists; it is made before the kill
//   CALL_HOOK_SKIP=fdatasync     calls of this name return 0 and do nothing ...
//   CALL_HOOK_EVERY=3            ... every 3rd of them
//
// Names: pwrite, pread, fdatasync, fsync, renameat, unlinkat, fallocate, send, sendmsg, recv.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace {

const char* text_of(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

long number_of(const char* name) {
  const long number = std::atol(text_of(name));
  return number > 0 ? number : 1;
}

// True if `word` is one of the arguments of this process, or no word is given.
bool is_meant(const char* word) {
  if (*word == '\0') return true;
  char arguments[4096];
  std::FILE* file = std::fopen("/proc/self/cmdline", "r");
  if (file == nullptr) return false;
  const size_t count = std::fread(arguments, 1, sizeof arguments - 1, file);
  std::fclose(file);
  arguments[count] = '\0';
  for (size_t at = 0; at < count; at += std::strlen(arguments + at) + 1) {
    if (std::strcmp(arguments + at, word) == 0) return true;
  }
  return false;
}

struct Plan {
  const bool meant = is_meant(text_of("CALL_HOOK_PROCESS"));
  const char* const kill = text_of("CALL_HOOK_KILL");
  const long when = number_of("CALL_HOOK_WHEN");
  const bool after = *text_of("CALL_HOOK_AFTER") != '\0';
  const char* const once = text_of("CALL_HOOK_ONCE");
  const char* const skip = text_of("CALL_HOOK_SKIP");
  const long every = number_of("CALL_HOOK_EVERY");
  std::atomic<long> kill_count{0};
  std::atomic<long> skip_count{0};
};

Plan& plan() {
  static Plan made;
  return made;
}

void die() {
  const Plan& mine = plan();
  if (*mine.once != '\0' && ::open(mine.once, O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0) return;
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

// Around one call. `skipped`: the call must not happen.
class Moment {
 public:
  explicit Moment(const char* name) {
    Plan& mine = plan();
    if (!mine.meant) return;
    skipped = std::strcmp(name, mine.skip) == 0 && ++mine.skip_count % mine.every == 0;
    last_ = std::strcmp(name, mine.kill) == 0 && ++mine.kill_count == mine.when;
    if (last_ && !mine.after) die();
  }
  Moment(const Moment&) = delete;
  Moment& operator=(const Moment&) = delete;
  ~Moment() {
    if (last_) die();
  }

  bool skipped = false;

 private:
  bool last_ = false;
};

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

EXPORTED ssize_t pwrite(int file, const void* bytes, size_t count, off_t offset) {
  static auto* const real = next<decltype(::pwrite)>("pwrite");
  const Moment moment("pwrite");
  return moment.skipped ? 0 : real(file, bytes, count, offset);
}

EXPORTED ssize_t pwrite64(int file, const void* bytes, size_t count, off64_t offset) {
  static auto* const real = next<decltype(::pwrite64)>("pwrite64");
  const Moment moment("pwrite");
  return moment.skipped ? 0 : real(file, bytes, count, offset);
}

EXPORTED ssize_t pread(int file, void* bytes, size_t count, off_t offset) {
  static auto* const real = next<decltype(::pread)>("pread");
  const Moment moment("pread");
  return moment.skipped ? 0 : real(file, bytes, count, offset);
}

EXPORTED ssize_t pread64(int file, void* bytes, size_t count, off64_t offset) {
  static auto* const real = next<decltype(::pread64)>("pread64");
  const Moment moment("pread");
  return moment.skipped ? 0 : real(file, bytes, count, offset);
}

EXPORTED int fdatasync(int file) {
  static auto* const real = next<decltype(::fdatasync)>("fdatasync");
  const Moment moment("fdatasync");
  return moment.skipped ? 0 : real(file);
}

EXPORTED int fsync(int file) {
  static auto* const real = next<decltype(::fsync)>("fsync");
  const Moment moment("fsync");
  return moment.skipped ? 0 : real(file);
}

EXPORTED int renameat(int from_directory, const char* from, int to_directory,
                      const char* to) noexcept {
  static auto* const real = next<decltype(::renameat)>("renameat");
  const Moment moment("renameat");
  return moment.skipped ? 0 : real(from_directory, from, to_directory, to);
}

EXPORTED int unlinkat(int directory, const char* name, int flags) noexcept {
  static auto* const real = next<decltype(::unlinkat)>("unlinkat");
  const Moment moment("unlinkat");
  return moment.skipped ? 0 : real(directory, name, flags);
}

EXPORTED int fallocate(int file, int mode, off_t offset, off_t length) {
  static auto* const real = next<decltype(::fallocate)>("fallocate");
  const Moment moment("fallocate");
  return moment.skipped ? 0 : real(file, mode, offset, length);
}

EXPORTED int fallocate64(int file, int mode, off64_t offset, off64_t length) {
  static auto* const real = next<decltype(::fallocate64)>("fallocate64");
  const Moment moment("fallocate");
  return moment.skipped ? 0 : real(file, mode, offset, length);
}

EXPORTED ssize_t send(int socket, const void* bytes, size_t count, int flags) {
  static auto* const real = next<decltype(::send)>("send");
  const Moment moment("send");
  return moment.skipped ? 0 : real(socket, bytes, count, flags);
}

EXPORTED ssize_t sendmsg(int socket, const msghdr* message, int flags) {
  static auto* const real = next<decltype(::sendmsg)>("sendmsg");
  const Moment moment("sendmsg");
  return moment.skipped ? 0 : real(socket, message, flags);
}

EXPORTED ssize_t recv(int socket, void* bytes, size_t count, int flags) {
  static auto* const real = next<decltype(::recv)>("recv");
  const Moment moment("recv");
  return moment.skipped ? 0 : real(socket, bytes, count, flags);
}
