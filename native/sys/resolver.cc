#include "sys/resolver.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "sys/thread.h"

namespace espora::sys {

// Outlives the resolver for as long as its thread is stuck in a question.
struct Resolver::Shared {
  struct Question {
    Address address;
    Answer answer;
  };
  explicit Shared(EventLoop& loop_in) : loop(&loop_in) {}

  std::mutex mutex;
  std::condition_variable asked;
  EventLoop* loop;  // null once the resolver is gone; guarded by mutex, like what follows
  std::deque<Question> questions;
  bool started = false;
  // Read and written on the loop's thread: whether answers are still wanted.
  std::shared_ptr<bool> wanted = std::make_shared<bool>(true);

  static void run(const std::shared_ptr<Shared>& self) {
    std::unique_lock lock(self->mutex);
    while (self->loop != nullptr) {
      if (self->questions.empty()) {
        self->asked.wait(lock);
        continue;
      }
      Question question = std::move(self->questions.front());
      self->questions.pop_front();
      lock.unlock();
      auto found = sys::resolve(question.address);
      lock.lock();
      if (self->loop == nullptr) return;
      self->loop->post([wanted = self->wanted, answer = std::move(question.answer),
                        found = std::move(found)]() mutable {
        if (*wanted) answer(std::move(found));
      });
    }
  }
};

Resolver::Resolver(EventLoop& loop) : shared_(std::make_shared<Shared>(loop)) {}

Resolver::~Resolver() {
  *shared_->wanted = false;
  const std::lock_guard lock(shared_->mutex);
  shared_->loop = nullptr;
  shared_->questions.clear();
  shared_->asked.notify_all();
}

void Resolver::resolve(const Address& address, Answer answer) {
  const std::lock_guard lock(shared_->mutex);
  if (!shared_->started) {
    auto thread = start_thread("espora-resolve", [shared = shared_] { Shared::run(shared); });
    if (!thread.ok()) {
      // As a name that is not known now: whoever asks again later tries again.
      shared_->loop->post([wanted = shared_->wanted, answer = std::move(answer),
                           status = thread.status()]() mutable {
        if (*wanted) answer(std::move(status));
      });
      return;
    }
    thread.value().detach();
    shared_->started = true;
  }
  shared_->questions.push_back({address, std::move(answer)});
  shared_->asked.notify_all();
}

}  // namespace espora::sys
