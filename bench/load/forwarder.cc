// The library's forwarder as a program of its own, without Node.js: what a trial measures is the
// data plane and nothing beside it.
//
//   forwarder --port N --upstream ADDRESS [--upstream ADDRESS …] [--mode relay | handoff]

#include <utility>

#include "forward/forwarder.h"
#include "program.h"
#include "support/options.h"

int main(int argc, char** argv) {
  using namespace espora;
  forward::ForwarderOptions options = test::forwarder_options();
  options.name = "forwarder";
  options.listen.host = "127.0.0.1";
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--port") options.listen.port = static_cast<uint16_t>(std::atoi(argv[i + 1]));
    if (flag == "--mode" && std::string_view(argv[i + 1]) == "handoff") {
      options.mode = forward::ForwardMode::handoff;
    }
    if (flag == "--upstream") {
      options.upstreams.push_back(sys::Address::parse(argv[i + 1]).value());
    }
  }
  if (options.upstreams.empty()) bench::usage("--port N --upstream ADDRESS [--mode MODE]");
  bench::end_with_parent();

  sys::EventLoop loop;
  sys::Status status = loop.init();
  if (status.ok()) {
    auto started = forward::Forwarder::start(loop, std::move(options), nullptr);
    if (started.ok()) {
      loop.run();
      return 0;
    }
    status = started.status();
  }
  std::fprintf(stderr, "forwarder: %s\n", status.message().c_str());
  return 1;
}
