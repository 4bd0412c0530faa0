// One active check of one upstream at a time: connects, and optionally sends a GET and evaluates
// the status of the answer. Reports the result once; the caller decides when to check.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "forward/health.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/limits.h"
#include "sys/sockets.h"
#include "sys/timers.h"

namespace espora::forward {

// Settings have their defaults in the table of options (ts/options/table.ts).
struct CheckOptions {
  Check check = Check::none;
  uint64_t interval_ms = 0;
  uint64_t timeout_ms = 0;  // for connect and answer together
  std::string path;         // http
  std::string host;         // http: the Host field; empty: the upstream's own
  uint32_t status_min = 0;  // http: the range of good statuses
  uint32_t status_max = 0;
  bool send_proxy = false;  // begin with a PROXY header (LOCAL), as sessions do
};

// The status code of the HTTP/1 answer that begins with `begin`: nothing while the line is
// incomplete, 0 if it is not one. RFC 9112 4. Pure.
std::optional<unsigned> parse_status_line(std::string_view begin) noexcept;
// Finds the status of an answer in its bytes. Interim answers (1xx) are skipped, RFC 9110 15.2,
// except 101, which is not followed by another answer. Pure.
class StatusReader {
 public:
  // Nothing while more is needed, 0 if it is not HTTP; after any status do not call it again.
  std::optional<unsigned> read(std::string_view bytes) noexcept;

 private:
  size_t line_bytes_ = 0;  // of the status line; while skipping, of the current line
  bool skipping_ = false;  // an interim answer, up to its empty line
  unsigned skipped_ = 0;
  char line_[limits::check_answer_bytes_max];
};
std::string check_request(const CheckOptions& options, const std::string& upstream_name);

class HealthCheck final : private sys::EventHandler {
 public:
  enum class Outcome : uint8_t {
    good,
    bad,
    unknown,  // a shortage of our own: says nothing about the upstream
  };
  class Owner {
   public:
    // On the loop's thread, never within start(). `why` completes "the check …" if it was bad.
    virtual void on_checked(Check check, Outcome outcome, const std::string& why) = 0;

   protected:
    ~Owner() = default;
  };

  HealthCheck(sys::EventLoop& loop, const CheckOptions& options, std::string upstream_name,
              Owner& owner);
  ~HealthCheck();
  HealthCheck(const HealthCheck&) = delete;
  HealthCheck& operator=(const HealthCheck&) = delete;

  // Begins a check; only while none is running. `check` may be simpler than in the options.
  void start(Check check, const sys::ResolvedAddress& address);
  [[nodiscard]] bool under_way() const noexcept { return under_way_; }

 private:
  void on_events(uint32_t events) override;
  void on_connected();
  bool ask();
  void read_answer();
  void finish(Outcome outcome, std::string why);
  void finish_soon(Outcome outcome, std::string why);
  void on_timer();

  sys::EventLoop& loop_;
  const CheckOptions& options_;
  std::string upstream_name_;
  Owner& owner_;
  sys::Timer timer_;
  bool under_way_ = false;
  // The state of one check; each starts from a fresh one.
  struct Attempt {
    Check check = Check::none;
    bool connected = false;
    std::optional<Outcome> decided;  // known within start(); reported by the timer
    std::string why;
    sys::Fd fd;
    sys::EventLoop::Token token = 0;
    StatusReader status;
  } now_;
};

}  // namespace espora::forward
