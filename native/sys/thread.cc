#include "sys/thread.h"

#include <pthread.h>
#include <csignal>

#include "sys/check.h"

namespace espora::sys {

std::thread start_thread(const char* name, std::function<void()> body) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  // A thread inherits the mask of its creator; set it here so that no signal slips in between.
  ESPORA_CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
  std::thread thread([name, body = std::move(body)] {
    pthread_setname_np(pthread_self(), name);
    body();
  });
  ESPORA_CHECK(pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
  return thread;
}

}  // namespace espora::sys
