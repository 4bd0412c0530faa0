#include "sys/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "sys/check.h"
#include "sys/clock.h"
#include "sys/limits.h"
#include "sys/slot_id.h"

namespace espora::sys {

static_assert(Events::readable == EPOLLIN && Events::writable == EPOLLOUT);
static_assert(Events::urgent == EPOLLPRI);
static_assert(Events::error == EPOLLERR && Events::hang_up == EPOLLHUP);
static_assert(Events::read_hang_up == EPOLLRDHUP);
static_assert(Events::edge == static_cast<uint32_t>(EPOLLET));

// Empties the eventfd; the posted work itself runs later in the turn.
class EventLoop::Wakeup final : public EventHandler {
 public:
  explicit Wakeup(int fd) noexcept : fd_(fd) {}
  void on_events(uint32_t) override {
    uint64_t count;
    // EAGAIN: already emptied.
    while (::read(fd_, &count, sizeof count) < 0 && errno == EINTR) {
    }
  }

 private:
  int fd_;
};

EventLoop::EventLoop() = default;
EventLoop::~EventLoop() = default;

Status EventLoop::init() {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return Status::from_errno(errno, "epoll_create1", "cannot start event loop");
  wakeup_fd_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup_fd_.valid()) return Status::from_errno(errno, "eventfd", "cannot start event loop");
  wakeup_ = std::make_unique<Wakeup>(wakeup_fd_.get());
  auto token = add(wakeup_fd_.get(), Events::readable, *wakeup_);
  if (!token.ok()) return token.status();
  wakeup_token_ = token.value();
  now_ms_ = monotonic_ns() / 1'000'000;
  return {};
}

Result<EventLoop::Token> EventLoop::add(int fd, uint32_t events, EventHandler& handler) {
  if (free_slot_ == no_slot) {
    slots_.emplace_back();
    free_slot_ = static_cast<uint32_t>(slots_.size() - 1);
    slots_.back().next_free = no_slot;
  }
  const uint32_t index = free_slot_;
  Slot& slot = slots_[index];
  const Token token = slot_id(slot.generation, index);
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    // ENOSPC is not about a disk here, see epoll_ctl(2); ENOMEM. All others would be our bug.
    if (errno == ENOSPC) {
      return Status::from_errno(Code::resources, errno, "epoll_ctl",
                                "cannot watch a descriptor, fs.epoll.max_user_watches is reached");
    }
    return Status::from_errno(errno, "epoll_ctl", "cannot watch a descriptor");
  }
  free_slot_ = slot.next_free;
  slot.handler = &handler;
  return token;
}

void EventLoop::modify(Token token, int fd, uint32_t events) {
  ESPORA_CHECK(slots_[slot_of(token)].generation == generation_of(token));
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  ESPORA_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

void EventLoop::remove(Token token, int fd) {
  ESPORA_CHECK(slots_[slot_of(token)].generation == generation_of(token));
  ESPORA_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr) == 0);
  forget(token);
}

void EventLoop::forget(Token token) {
  Slot& slot = slots_[slot_of(token)];
  ESPORA_CHECK(slot.generation == generation_of(token));
  slot.handler = nullptr;
  slot.redispatched = 0;
  if (++slot.generation == 0) slot.generation = 1;  // so that no token is 0
  slot.next_free = free_slot_;
  free_slot_ = slot_of(token);
}

void EventLoop::redispatch(Token token, uint32_t events) {
  Slot& slot = slots_[slot_of(token)];
  ESPORA_CHECK(slot.generation == generation_of(token) && events != 0);
  if (slot.redispatched == 0) redispatched_.push_back({token, 0});
  slot.redispatched |= events;
}

void EventLoop::retire(std::unique_ptr<Retired> object) { retired_.push_back(std::move(object)); }

int EventLoop::wait_ms() const noexcept {
  if (run_again_ || !redispatched_.empty()) return 0;
  const uint64_t next = timers_.next_ms();
  if (next == Timers::never_ms) return -1;
  if (next <= now_ms_) return 0;
  return static_cast<int>(std::min<uint64_t>(next - now_ms_, INT_MAX));
}

void EventLoop::dispatch(Token token, uint32_t events) {
  const Slot& slot = slots_[slot_of(token)];
  if (slot.generation != generation_of(token)) return;  // removed in the meantime
  slot.handler->on_events(events);
}

void EventLoop::turn() {
  epoll_event ready[limits::loop_events_max];
  const int timeout = wait_ms();
  run_again_ = false;
  const int count = ::epoll_wait(epoll_.get(), ready, limits::loop_events_max, timeout);
  ESPORA_CHECK(count >= 0 || errno == EINTR);
  ++turns_;
  work_ = count > 0 ? static_cast<uint32_t>(count) : 0;
  const uint64_t began_ns = monotonic_ns();
  now_ms_ = began_ns / 1'000'000;
  // Only what earlier turns left over; what these calls leave over waits for the next turn.
  std::vector<Redispatch> leftovers = std::move(redispatched_);
  redispatched_.clear();
  add_work(leftovers.size());
  for (Redispatch& each : leftovers) {
    Slot& slot = slots_[slot_of(each.token)];
    if (slot.generation == generation_of(each.token)) {
      each.events = std::exchange(slot.redispatched, 0);
    }
  }
  for (int i = 0; i < count; ++i) dispatch(ready[i].data.u64, ready[i].events);
  for (const Redispatch& each : leftovers) dispatch(each.token, each.events);
  if (posted_any_.load(std::memory_order_acquire)) run_posted();
  timers_.fire(now_ms_);
  if (hook_ != nullptr) hook_->on_turn_end();
  // Objects retired while these are deleted are freed one turn later.
  std::vector<std::unique_ptr<Retired>> retired = std::move(retired_);
  retired_.clear();
  after_long_turn_ = monotonic_ns() - began_ns >= limits::long_turn_ns;
}

void EventLoop::run_posted() {
  std::vector<std::function<void()>> posted;
  {
    const std::lock_guard lock(posted_mutex_);
    posted_any_.store(false, std::memory_order_relaxed);
    posted.swap(posted_);
  }
  for (auto& work : posted) work();
}

void EventLoop::run() {
  scheduling_.begin(now_ms_);
  while (!stopping_.load(std::memory_order_acquire)) {
    turn();
    scheduling_.turn(work_, now_ms_);
  }
  scheduling_.end();
}

void EventLoop::post(std::function<void()> work) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(work));
    posted_any_.store(true, std::memory_order_release);
    if (posted_.size() > 1) return;  // the first post since the last turn wakes the loop
  }
  const uint64_t one = 1;
  // EAGAIN means that the counter is full: the loop is already awake.
  while (::write(wakeup_fd_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void EventLoop::stop() {
  post([this] { stopping_.store(true, std::memory_order_release); });
}

}  // namespace espora::sys
