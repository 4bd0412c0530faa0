// Resolves names outside the event thread: getaddrinfo(3) may block for many seconds and cannot be
// cancelled. Several names are resolved at a time, each on a thread of its own, so that a dead name
// server delays no other name. Answers that arrive after the resolver is destroyed are dropped.
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
  // The lookup, which may block. Called on other threads, several at a time.
  using Ask = std::function<Found(const Address&)>;

  explicit Resolver(EventLoop& loop, Ask ask = sys::resolve);
  // The loop's thread, or after it ended. Does not wait for lookups.
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // The loop's thread. `answer` runs on it later, but never after the resolver is destroyed. At
  // most limits::resolver_threads_max lookups run at a time, further ones wait.
  void resolve(const Address& address, Answer answer);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

// The same for a caller that waits for the answer: `unavailable` after `patience_ms`.
Resolver::Found resolve_within(uint64_t patience_ms, std::function<Resolver::Found()> ask,
                               const std::string& name);

}  // namespace espora::sys
