// Work for a loop that runs on another thread.
#pragma once

#include <future>
#include <memory>
#include <type_traits>

#include "sys/event_loop.h"

namespace espora::test {

// Runs `work` on the loop's thread and gives back what it returns.
template <typename Work>
auto call_on(sys::EventLoop& loop, const Work& work) {
  using Returned = std::invoke_result_t<const Work&>;
  // The loop's own: whoever waits is told, and may be gone, before set_value() has returned.
  const auto promise = std::make_shared<std::promise<Returned>>();
  std::future<Returned> future = promise->get_future();
  loop.post([promise, &work] {
    if constexpr (std::is_void_v<Returned>) {
      work();
      promise->set_value();
    } else {
      promise->set_value(work());
    }
  });
  return future.get();
}

}  // namespace espora::test
