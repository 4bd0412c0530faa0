// Starts threads of the data plane: named, and with every signal blocked, so that signals always
// reach Node's main thread and no write of a commit is interrupted.
#pragma once

#include <functional>
#include <thread>

namespace espora::sys {

// `name` is at most 15 bytes, pthread_setname_np(3).
std::thread start_thread(const char* name, std::function<void()> body);

}  // namespace espora::sys
