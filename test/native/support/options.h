// The settings that native tests and benchmarks run with, but for what each is about. The library's
// own defaults are in the table of options (ts/options/table.ts), and C++ has none.
#pragma once

#include <cstdint>

#include "forward/forwarder.h"
#include "http/server.h"

namespace espora::test {

inline constexpr uint32_t request_body_bytes_max = 4 * 1024;

inline http::ServerOptions server_options() {
  http::ServerOptions options;
  options.connections_max = 16 * 1024;
  options.body_bytes_max = request_body_bytes_max;
  options.header_timeout_ms = 10'000;
  options.body_timeout_ms = 10'000;
  options.keep_alive_timeout_ms = 60'000;
  return options;
}

inline forward::CheckOptions check_options() {
  forward::CheckOptions options;
  options.interval_ms = 1'000;
  options.timeout_ms = 1'000;
  options.path = "/";
  options.status_min = 200;
  options.status_max = 399;
  return options;
}

// Nothing is ejected and nothing is checked, but all that this needs is set.
inline forward::ForwarderOptions forwarder_options() {
  forward::ForwarderOptions options;
  options.connect_timeout_ms = 5'000;
  options.idle_timeout_ms = 300'000;
  options.half_close_timeout_ms = 30'000;
  options.connections_max = 10'000;
  options.resolve_interval_ms = 10'000;
  options.health.eject_window_ms = 10'000;
  options.health.eject_time_ms = 1'000;
  options.health.eject_time_max_ms = 30'000;
  options.health.readmit_after = 2;
  options.health.fall = 3;
  options.health.rise = 2;
  options.check = check_options();
  return options;
}

}  // namespace espora::test
