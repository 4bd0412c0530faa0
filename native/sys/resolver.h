// Resolves names away from the event thread: getaddrinfo(3) may block for seconds. One thread per
// resolver, started at the first question; an answer runs on the loop.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "sys/event_loop.h"
#include "sys/sockets.h"

namespace espora::sys {

class Resolver {
 public:
  using Answer = std::function<void(Result<std::vector<ResolvedAddress>>)>;

  explicit Resolver(EventLoop& loop);
  // The loop's thread, or after it ended. Waits for nobody: a name server that does not answer may
  // hold the thread longer than us; what it finds then is dropped.
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // The loop's thread. `answer` runs on it later, and never once the resolver is gone.
  void resolve(const Address& address, Answer answer);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace espora::sys
