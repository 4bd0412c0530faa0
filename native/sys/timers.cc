#include "sys/timers.h"

namespace espora::sys {

Timers::~Timers() {
  for (Timer* timer : heap_) timer->index_ = Timer::npos;
}

void Timers::arm(Timer& timer, uint64_t deadline_ms) {
  timer.deadline_ms_ = deadline_ms;
  if (timer.armed()) {
    if (deadline_ms >= timer.queued_ms_) return;  // fire() will find the later deadline
    timer.queued_ms_ = deadline_ms;
    sift_up(timer.index_);
    return;
  }
  timer.queued_ms_ = deadline_ms;
  heap_.push_back(&timer);
  timer.index_ = heap_.size() - 1;
  sift_up(timer.index_);
}

void Timers::disarm(Timer& timer) noexcept {
  if (!timer.armed()) return;
  const size_t index = timer.index_;
  timer.index_ = Timer::npos;
  Timer* last = heap_.back();
  heap_.pop_back();
  if (last == &timer) return;
  place(index, last);
  sift_up(index);
  sift_down(last->index_);
}

uint64_t Timers::next_ms() const noexcept {
  return heap_.empty() ? never_ms : heap_.front()->queued_ms_;
}

void Timers::fire(uint64_t now_ms) {
  // At most as many callbacks as timers, so that one that re-arms at once cannot starve the loop.
  size_t budget = heap_.size();
  while (budget > 0 && !heap_.empty() && heap_.front()->queued_ms_ <= now_ms) {
    Timer& timer = *heap_.front();
    if (timer.deadline_ms_ > now_ms) {
      timer.queued_ms_ = timer.deadline_ms_;
      sift_down(0);
      continue;
    }
    --budget;
    disarm(timer);
    timer.callback_(timer, timer.context_);
  }
}

void Timers::place(size_t index, Timer* timer) noexcept {
  heap_[index] = timer;
  timer->index_ = index;
}

void Timers::sift_up(size_t index) noexcept {
  Timer* timer = heap_[index];
  while (index > 0) {
    const size_t parent = (index - 1) / 2;
    if (heap_[parent]->queued_ms_ <= timer->queued_ms_) break;
    place(index, heap_[parent]);
    index = parent;
  }
  place(index, timer);
}

void Timers::sift_down(size_t index) noexcept {
  Timer* timer = heap_[index];
  for (;;) {
    size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1]->queued_ms_ < heap_[child]->queued_ms_) {
      ++child;
    }
    if (heap_[child]->queued_ms_ >= timer->queued_ms_) break;
    place(index, heap_[child]);
    index = child;
  }
  place(index, timer);
}

}  // namespace espora::sys
