#include "sys/thread.h"

#include <sys/prctl.h>

#include <csignal>
#include <memory>
#include <string>

#include "sys/check.h"

namespace espora::sys {

namespace {

struct Start {
  const char* name;
  std::function<void()> body;
};

void* run(void* given) {
  const std::unique_ptr<Start> start(static_cast<Start*>(given));
  (void)::prctl(PR_SET_NAME, start->name);  // only for diagnosis
  start->body();
  return nullptr;
}

}  // namespace

Thread::~Thread() { ESPORA_CHECK(!joinable_); }

Thread& Thread::operator=(Thread&& other) noexcept {
  ESPORA_CHECK(!joinable_);
  handle_ = other.handle_;
  joinable_ = std::exchange(other.joinable_, false);
  return *this;
}

void Thread::join() {
  ESPORA_CHECK(std::exchange(joinable_, false));
  ESPORA_CHECK(::pthread_join(handle_, nullptr) == 0);
}

void Thread::detach() {
  ESPORA_CHECK(std::exchange(joinable_, false));
  ESPORA_CHECK(::pthread_detach(handle_) == 0);
}

Result<Thread> start_thread(const char* name, std::function<void()> body) {
  auto start = std::make_unique<Start>(Start{name, std::move(body)});
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  // A thread inherits the mask of its creator; set it here so that no signal slips in between.
  ESPORA_CHECK(::pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
  pthread_t handle{};
  const int error = ::pthread_create(&handle, nullptr, run, start.get());
  ESPORA_CHECK(::pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
  if (error != 0) {
    return Status::from_errno(error, "pthread_create",
                              "no thread can be started: " + std::string(name));
  }
  (void)start.release();
  return Thread(handle);
}

}  // namespace espora::sys
