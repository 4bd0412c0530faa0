// Resolves names away from the event thread: getaddrinfo(3) may block for many seconds and cannot
// be called off. Several names are asked for at a time, each on a thread of its own, so that a dead
// name server holds up nobody else; what comes after the resolver is gone is dropped.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sys/event_loop.h"
#include "sys/sockets.h"

namespace espora::sys {

class Resolver {
 public:
  using Found = Result<std::vector<ResolvedAddress>>;
  using Answer = std::function<void(Found)>;
  // What is asked, and may block. Called on other threads, several at a time.
  using Ask = std::function<Found(const Address&)>;

  explicit Resolver(EventLoop& loop, Ask ask = sys::resolve);
  // The loop's thread, or after it ended. Waits for nobody.
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // The loop's thread. `answer` runs on it later, and never once the resolver is gone. At most
  // limits::resolver_threads_max are asked for at a time, further ones wait.
  void resolve(const Address& address, Answer answer);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

// The same for somebody who has to wait for the answer, but not for ever: `unavailable` after
// `patience_ms`.
Resolver::Found resolve_within(uint64_t patience_ms, std::function<Resolver::Found()> ask,
                               const std::string& name);

}  // namespace espora::sys
