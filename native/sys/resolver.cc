#include "sys/resolver.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <utility>

#include "sys/limits.h"
#include "sys/thread.h"

namespace espora::sys {

// Outlives the resolver while a thread of it is still blocked in a lookup.
struct Resolver::Shared {
  struct Question {
    Address address;
    Answer answer;
  };
  Shared(EventLoop& loop_in, Ask ask_in) : ask(std::move(ask_in)), loop(&loop_in) {}

  const Ask ask;
  std::mutex mutex;
  EventLoop* loop;  // null once the resolver is destroyed; guarded by mutex, like what follows
  std::deque<Question> questions;
  size_t threads = 0;  // that look for questions, or ask one
  // Accessed on the loop's thread only: whether answers are still wanted.
  std::shared_ptr<bool> wanted = std::make_shared<bool>(true);

  // Call with the mutex held, while there is a loop.
  void tell(Question question, Found found) {
    loop->post(
        [wanted = wanted, answer = std::move(question.answer), found = std::move(found)]() mutable {
          if (*wanted) answer(std::move(found));
        });
  }

  // A thread: asks until no question is left.
  static void run(const std::shared_ptr<Shared>& self) {
    std::unique_lock lock(self->mutex);
    while (self->loop != nullptr && !self->questions.empty()) {
      Question question = std::move(self->questions.front());
      self->questions.pop_front();
      lock.unlock();
      Found found = self->ask(question.address);
      lock.lock();
      if (self->loop != nullptr) self->tell(std::move(question), std::move(found));
    }
    --self->threads;
  }
};

Resolver::Resolver(EventLoop& loop, Ask ask)
    : shared_(std::make_shared<Shared>(loop, std::move(ask))) {}

Resolver::~Resolver() {
  *shared_->wanted = false;
  const std::lock_guard lock(shared_->mutex);
  shared_->loop = nullptr;
  shared_->questions.clear();
}

void Resolver::resolve(const Address& address, Answer answer) {
  const std::lock_guard lock(shared_->mutex);
  shared_->questions.push_back({address, std::move(answer)});
  if (shared_->threads == limits::resolver_threads_max) return;
  auto thread = start_thread("espora-resolve", [shared = shared_] { Shared::run(shared); });
  if (thread.ok()) {
    thread.value().detach();
    ++shared_->threads;
  } else if (shared_->threads == 0) {
    // Treated like a name that does not resolve now: it is asked for again later.
    Shared::Question question = std::move(shared_->questions.back());
    shared_->questions.pop_back();
    shared_->tell(std::move(question), thread.status());
  }
}

Resolver::Found resolve_within(uint64_t patience_ms, std::function<Resolver::Found()> ask,
                               const std::string& name) {
  auto promise = std::make_shared<std::promise<Resolver::Found>>();
  std::future<Resolver::Found> found = promise->get_future();
  auto thread = start_thread("espora-resolve",
                             [promise, ask = std::move(ask)] { promise->set_value(ask()); });
  if (!thread.ok()) return thread.status();
  thread.value().detach();
  if (found.wait_for(std::chrono::milliseconds(patience_ms)) == std::future_status::ready) {
    return found.get();
  }
  return Status(Code::unavailable, "cannot resolve \"" + name +
                                       "\": no name server answered within " +
                                       std::to_string(patience_ms / 1000) + " s");
}

}  // namespace espora::sys
