// The library's forwarder as a program of its own, without Node.js: what a trial measures is the
// data plane and nothing beside it.
//
//   forwarder (--port N | --unix PATH) --upstream ADDRESS [--upstream ADDRESS …]
//             [--mode relay | handoff]
//
// Prints "listening ADDRESS" when it does; at SIGTERM or SIGINT its counters, as one line of JSON.

#include <signal.h>
#include <sys/prctl.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "forward/forwarder.h"
#include "support/options.h"
#include "sys/thread.h"

int main(int argc, char** argv) {
  using namespace espora;
  forward::ForwarderOptions options = test::forwarder_options();
  options.name = "forwarder";
  options.listen.host = "127.0.0.1";
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--port") options.listen.port = static_cast<uint16_t>(std::atoi(argv[i + 1]));
    if (flag == "--unix") options.listen.unix_path = argv[i + 1];
    if (flag == "--mode" && std::string_view(argv[i + 1]) == "handoff") {
      options.mode = forward::ForwardMode::handoff;
    }
    if (flag == "--upstream") {
      auto address = sys::Address::parse(argv[i + 1]);
      if (!address.ok()) {
        std::fprintf(stderr, "forwarder: %s\n", address.status().message().c_str());
        return 2;
      }
      options.upstreams.push_back(std::move(address).value());
    }
  }
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  sigprocmask(SIG_BLOCK, &ending, nullptr);

  sys::EventLoop loop;
  sys::Status status = loop.init();
  if (!status.ok()) {
    std::fprintf(stderr, "forwarder: %s\n", status.message().c_str());
    return 1;
  }
  const std::string path = options.listen.unix_path;
  auto started = forward::Forwarder::start(loop, std::move(options), nullptr);
  if (!started.ok()) {
    std::fprintf(stderr, "forwarder: %s\n", started.status().message().c_str());
    return 1;
  }
  std::unique_ptr<forward::Forwarder> forwarder = std::move(started).value();
  if (path.empty()) {
    std::printf("listening 127.0.0.1:%u\n", forwarder->port());
  } else {
    std::printf("listening %s\n", path.c_str());
  }
  std::fflush(stdout);
  espora::sys::Thread looping = sys::start_thread("forward", [&] { loop.run(); }).value();
  int signal_number = 0;
  sigwait(&ending, &signal_number);
  loop.stop();
  looping.join();
  const forward::ForwarderStats stats = forwarder->stats();
  std::printf(
      "{\"accepted\": %llu, \"ended_normally\": %llu, \"ended_by_client\": %llu, "
      "\"ended_by_upstream\": %llu, \"passed\": %llu, \"buffers_peak\": %llu}\n",
      static_cast<unsigned long long>(stats.accepted),
      static_cast<unsigned long long>(stats.ended_normally),
      static_cast<unsigned long long>(stats.ended_by_client),
      static_cast<unsigned long long>(stats.ended_by_upstream),
      static_cast<unsigned long long>(stats.passed),
      static_cast<unsigned long long>(stats.buffers_peak));
  return 0;
}
