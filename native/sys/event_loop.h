// One thread's epoll loop: descriptors, deadlines, work posted from other threads, and a hook at
// the end of each turn. A turn: wait → dispatch ready events → posted work → timers → hook → free
// retired objects. Nothing is freed during a dispatch. An event fetched before its descriptor was
// removed is dropped (its token carries a generation).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "sys/counter.h"
#include "sys/fd.h"
#include "sys/scheduling.h"
#include "sys/status.h"
#include "sys/timers.h"

namespace espora::sys {

// Bits of interest and of reported events, with the values of epoll(7).
struct Events {
  static constexpr uint32_t readable = 0x001;
  static constexpr uint32_t urgent = 0x002;
  static constexpr uint32_t writable = 0x004;
  static constexpr uint32_t error = 0x008;
  static constexpr uint32_t hang_up = 0x010;
  static constexpr uint32_t read_hang_up = 0x2000;
  static constexpr uint32_t edge = 1u << 31;
};

// Receives the events of one descriptor. Called on the loop's thread only.
class EventHandler {
 public:
  virtual void on_events(uint32_t events) = 0;

 protected:
  ~EventHandler() = default;
};

// Called once per turn, after all ready events were dispatched.
class TurnHook {
 public:
  virtual void on_turn_end() = 0;

 protected:
  ~TurnHook() = default;
};

// Base of objects that must not be deleted while events are dispatched: see EventLoop::retire.
class Retired {
 public:
  virtual ~Retired() = default;
};

class EventLoop {
 public:
  // Identifies a registered descriptor; 0 identifies none.
  using Token = uint64_t;

  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Call first. Fails with EMFILE and the like.
  Status init();

  // --- on the loop's thread (or before run) ---
  Result<Token> add(int fd, uint32_t events, EventHandler& handler);
  // Changes the interest. `fd` is the one that was passed to add().
  void modify(Token token, int fd, uint32_t events);
  // Call before closing the descriptor. Its events that were already fetched are dropped.
  void remove(Token token, int fd);
  // As remove, for a descriptor that is closed immediately afterwards and was never duplicated:
  // epoll(7) then drops it by itself, which saves a system call.
  void forget(Token token);
  // Passes `events` to the token's handler in the next turn, which then does not wait: for a
  // handler that had more to do than this turn had room for and gets no further edge. Dropped if
  // the token is removed first.
  void redispatch(Token token, uint32_t events);

  Timers& timers() noexcept { return timers_; }
  // The loop's clock: monotonic milliseconds, read once per turn.
  [[nodiscard]] uint64_t now_ms() const noexcept { return now_ms_; }
  // Whether the turn before this one took limits::long_turn_ns or more, not counting its wait for
  // events: it was held up, most likely by the disk, and much may have arrived meanwhile.
  [[nodiscard]] bool after_long_turn() const noexcept { return after_long_turn_; }
  // Deletes `object` after this turn.
  void retire(std::unique_ptr<Retired> object);
  void set_turn_hook(TurnHook* hook) noexcept { hook_ = hook; }
  // The next wait returns at once: the hook had more to do than this turn had room for.
  void run_again() noexcept { run_again_ = true; }

  // For a handler that did more than one unit of work for its event, such as accepting several
  // connections: how many more. The thread's scheduling follows this number.
  void add_work(size_t more) noexcept { work_ += static_cast<uint32_t>(more); }

  // Runs turns until stop(). Exactly one thread calls it.
  void run();

  // --- from any thread ---
  // Runs `work` on the loop's thread; work posted after the loop ended is dropped with the loop.
  void post(std::function<void()> work);
  void stop();
  // Turns so far. An idle loop makes none.
  [[nodiscard]] uint64_t turns() const noexcept { return turns_; }

 private:
  struct Slot {
    EventHandler* handler = nullptr;
    uint32_t generation = 1;
    uint32_t next_free = 0;
    uint32_t redispatched = 0;  // events waiting in redispatched_, at most one entry per slot
  };
  struct Redispatch {
    Token token;
    uint32_t events;
  };
  static constexpr uint32_t no_slot = UINT32_MAX;
  class Wakeup;

  void turn();
  void dispatch(Token token, uint32_t events);
  void run_posted();
  [[nodiscard]] int wait_ms() const noexcept;

  Fd epoll_;
  Fd wakeup_fd_;
  std::unique_ptr<Wakeup> wakeup_;
  Token wakeup_token_ = 0;
  std::vector<Slot> slots_;
  uint32_t free_slot_ = no_slot;
  Timers timers_;
  TurnHook* hook_ = nullptr;
  uint64_t now_ms_ = 0;
  bool after_long_turn_ = false;
  Counter turns_;
  uint32_t work_ = 0;  // in this turn
  Scheduling scheduling_;
  bool run_again_ = false;
  std::vector<Redispatch> redispatched_;
  std::vector<std::unique_ptr<Retired>> retired_;

  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by posted_mutex_
  std::atomic<bool> posted_any_{false};        // so that a turn without posted work takes no lock
  std::atomic<bool> stopping_{false};
};

}  // namespace espora::sys
