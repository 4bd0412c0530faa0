#include "store/housekeeping_thread.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "sys/thread.h"

namespace espora::store {

HousekeepingThread::HousekeepingThread(sys::FileSystem& file_system, SparePreparer& spares,
                                       std::function<void()> on_ready, Housekeeping* housekeeping)
    : file_system_(file_system), spares_(spares), housekeeping_(housekeeping) {
  if (housekeeping_ != nullptr) {
    housekeeping_->set_on_news(on_ready);
    housekeeping_->set_on_wanted([this] { wake(false); });
  }
  spares_.set_on_ready(std::move(on_ready));
  spares_.set_on_wanted([this] { wake(false); });
  auto thread = sys::start_thread("espora-house", [this] { run(); });
  started_ = thread.status();
  if (thread.ok()) {
    thread_ = std::move(thread).value();
  } else {
    let_go();
  }
}

void HousekeepingThread::stop() {
  if (!thread_.joinable()) return;
  wake(true);
  thread_.join();
  let_go();
}

void HousekeepingThread::let_go() {
  spares_.set_on_ready({});
  spares_.set_on_wanted({});
  if (housekeeping_ != nullptr) {
    housekeeping_->set_on_news({});
    housekeeping_->set_on_wanted({});
  }
}

// A spare that an append waits for comes before everything else.
uint64_t HousekeepingThread::step() {
  const uint64_t due_ns = spares_.step();
  if (due_ns == 0 || housekeeping_ == nullptr) return due_ns;
  return std::min(due_ns, housekeeping_->step());
}

void HousekeepingThread::wake(bool stop) {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    if (stop) stopping_ = true;
  }
  changed_.notify_one();
}

void HousekeepingThread::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    woken_ = false;
    lock.unlock();
    const uint64_t due_ns = step();
    const uint64_t now_ns =
        due_ns == 0 || due_ns == SparePreparer::never_ns ? 0 : file_system_.monotonic_ns();
    lock.lock();
    const auto woken = [this] { return woken_; };
    if (due_ns == SparePreparer::never_ns) {
      changed_.wait(lock, woken);
    } else if (due_ns > now_ns) {
      changed_.wait_for(lock, std::chrono::nanoseconds(due_ns - now_ns), woken);
    }
  }
}

}  // namespace espora::store
