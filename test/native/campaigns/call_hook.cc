// For LD_PRELOAD: ends a process, fails it or lies to it at chosen calls of the C library. The
// campaigns use it where strace(1) would slow the process down too much.
//
//   CALL_HOOK_PROCESS=database  only a process that has this word among its arguments
//   CALL_HOOK_KILL=fdatasync    SIGKILL at a call of this name ...
//   CALL_HOOK_WHEN=8            ... the 8th in the process ...
//   CALL_HOOK_AFTER=1           ... when it has returned; otherwise before it begins
//   CALL_HOOK_ONCE=FILE         not if this file exists; it is made before the kill
//   CALL_HOOK_FAIL=pwrite       calls of this name fail and do nothing ...
//   CALL_HOOK_ERRNO=5           ... with this error; 0: they return 0; -1: they do half of it; -2:
//                               they say that they did all of it (pwrite, pread) ...
//   CALL_HOOK_FROM=3            ... from the 3rd in the process on ...
//   CALL_HOOK_TIMES=2           ... twice; without this always ...
//   CALL_HOOK_EVERY=3           ... and of those only every 3rd
//
// Only calls of the addon count. Names: pwrite, pread, fdatasync, fsync, renameat, unlinkat,
// fallocate, send, sendmsg, recv, pthread_create. What can't be done by half (everything but
// pwrite, pread, send, recv) is done whole.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
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
  const char* const fail = text_of("CALL_HOOK_FAIL");
  const int error = std::atoi(text_of("CALL_HOOK_ERRNO"));
  const long from = number_of("CALL_HOOK_FROM");
  const long times = std::atol(text_of("CALL_HOOK_TIMES"));
  const long every = number_of("CALL_HOOK_EVERY");
  std::atomic<long> kill_count{0};
  std::atomic<long> fail_count{0};
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

constexpr int by_half = -1;
constexpr int lost = -2;

// Node.js makes calls of its own: only those of the addon count.
bool is_addon(void* caller) {
  Dl_info found{};
  if (::dladdr(caller, &found) == 0 || found.dli_fname == nullptr) return false;
  constexpr const char* addon = "/espora.node";
  const size_t length = std::strlen(found.dli_fname);
  return length > std::strlen(addon) &&
         std::strcmp(found.dli_fname + length - std::strlen(addon), addon) == 0;
}

// Around one call.
class Moment {
 public:
  Moment(const char* name, void* caller) {
    Plan& mine = plan();
    const bool fail = std::strcmp(name, mine.fail) == 0;
    const bool kill = std::strcmp(name, mine.kill) == 0;
    if (!mine.meant || !(fail || kill) || !is_addon(caller)) return;
    if (fail) {
      const long nth = ++mine.fail_count - mine.from + 1;
      fails_ = nth >= 1 && (mine.times <= 0 || nth <= mine.times) && nth % mine.every == 0;
    }
    last_ = kill && ++mine.kill_count == mine.when;
    if (last_ && !mine.after) die();
  }
  Moment(const Moment&) = delete;
  Moment& operator=(const Moment&) = delete;
  ~Moment() {
    if (last_) die();
  }

  // True if the call must not happen; then result(), or failure() where there is no count, is what
  // it returns.
  [[nodiscard]] bool fails() const { return fails_ && plan().error != by_half; }
  [[nodiscard]] static ssize_t result(size_t count) {
    return plan().error == lost ? static_cast<ssize_t>(count) : failure();
  }
  [[nodiscard]] static int failure() {
    const int error = plan().error;
    if (error <= 0) return 0;
    errno = error;
    return -1;
  }
  // How much of `count` bytes is to be done, in sectors where that is possible.
  [[nodiscard]] size_t share_of(size_t count) const {
    if (!fails_ || count < 2) return count;
    return count < 1024 ? count / 2 : count / 1024 * 512;
  }

 private:
  bool fails_ = false;
  bool last_ = false;
};

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

EXPORTED ssize_t pwrite(int file, const void* bytes, size_t count, off_t offset) {
  static auto* const real = next<decltype(::pwrite)>("pwrite");
  const Moment moment("pwrite", __builtin_return_address(0));
  if (moment.fails()) return Moment::result(count);
  return real(file, bytes, moment.share_of(count), offset);
}

EXPORTED ssize_t pwrite64(int file, const void* bytes, size_t count, off64_t offset) {
  static auto* const real = next<decltype(::pwrite64)>("pwrite64");
  const Moment moment("pwrite", __builtin_return_address(0));
  if (moment.fails()) return Moment::result(count);
  return real(file, bytes, moment.share_of(count), offset);
}

EXPORTED ssize_t pread(int file, void* bytes, size_t count, off_t offset) {
  static auto* const real = next<decltype(::pread)>("pread");
  const Moment moment("pread", __builtin_return_address(0));
  if (moment.fails()) return Moment::result(count);
  return real(file, bytes, moment.share_of(count), offset);
}

EXPORTED ssize_t pread64(int file, void* bytes, size_t count, off64_t offset) {
  static auto* const real = next<decltype(::pread64)>("pread64");
  const Moment moment("pread", __builtin_return_address(0));
  if (moment.fails()) return Moment::result(count);
  return real(file, bytes, moment.share_of(count), offset);
}

EXPORTED int fdatasync(int file) {
  static auto* const real = next<decltype(::fdatasync)>("fdatasync");
  const Moment moment("fdatasync", __builtin_return_address(0));
  return moment.fails() ? Moment::failure() : real(file);
}

EXPORTED int fsync(int file) {
  static auto* const real = next<decltype(::fsync)>("fsync");
  const Moment moment("fsync", __builtin_return_address(0));
  return moment.fails() ? Moment::failure() : real(file);
}

EXPORTED int renameat(int from_directory, const char* from, int to_directory,
                      const char* to) noexcept {
  static auto* const real = next<decltype(::renameat)>("renameat");
  const Moment moment("renameat", __builtin_return_address(0));
  return moment.fails() ? Moment::failure() : real(from_directory, from, to_directory, to);
}

EXPORTED int unlinkat(int directory, const char* name, int flags) noexcept {
  static auto* const real = next<decltype(::unlinkat)>("unlinkat");
  const Moment moment("unlinkat", __builtin_return_address(0));
  return moment.fails() ? Moment::failure() : real(directory, name, flags);
}

EXPORTED int fallocate(int file, int mode, off_t offset, off_t length) {
  static auto* const real = next<decltype(::fallocate)>("fallocate");
  const Moment moment("fallocate", __builtin_return_address(0));
  return moment.fails() ? Moment::failure() : real(file, mode, offset, length);
}

EXPORTED int fallocate64(int file, int mode, off64_t offset, off64_t length) {
  static auto* const real = next<decltype(::fallocate64)>("fallocate64");
  const Moment moment("fallocate", __builtin_return_address(0));
  return moment.fails() ? Moment::failure() : real(file, mode, offset, length);
}

EXPORTED ssize_t send(int socket, const void* bytes, size_t count, int flags) {
  static auto* const real = next<decltype(::send)>("send");
  const Moment moment("send", __builtin_return_address(0));
  return moment.fails() ? Moment::failure() : real(socket, bytes, moment.share_of(count), flags);
}

EXPORTED ssize_t sendmsg(int socket, const msghdr* message, int flags) {
  static auto* const real = next<decltype(::sendmsg)>("sendmsg");
  const Moment moment("sendmsg", __builtin_return_address(0));
  return moment.fails() ? Moment::failure() : real(socket, message, flags);
}

EXPORTED int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                            void* (*body)(void*), void* argument) noexcept {
  static auto* const real = next<decltype(::pthread_create)>("pthread_create");
  const Moment moment("pthread_create", __builtin_return_address(0));
  if (moment.fails()) return plan().error;
  return real(thread, attributes, body, argument);
}

EXPORTED ssize_t recv(int socket, void* bytes, size_t count, int flags) {
  static auto* const real = next<decltype(::recv)>("recv");
  const Moment moment("recv", __builtin_return_address(0));
  return moment.fails() ? Moment::failure() : real(socket, bytes, moment.share_of(count), flags);
}
