// One client's connection: finds an upstream that takes it, relays, and ends. Sessions belong to a
// SessionHost, live on its loop's thread, and delete themselves through EventLoop::retire.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "forward/buffer_pool.h"
#include "forward/relay.h"
#include "forward/upstream.h"
#include "forward/upstream_set.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/timers.h"

namespace espora::forward {

class Session;

enum class SessionEnd : uint8_t {
  normal,           // both streams ended
  client,           // the client's socket failed
  upstream,         // the upstream's socket failed
  unreachable,      // no upstream took the connection
  connect_timeout,  // nor in time
  idle,
  half_closed,
  stopped,
  local_error,  // a shortage of our own
  count_,
};

struct SessionDeadlines {
  uint64_t connect_ms;
  uint64_t idle_ms;         // 0: never
  uint64_t half_closed_ms;  // 0: never
};

// What all sessions of a forwarder share.
class SessionHost {
 public:
  SessionHost(sys::EventLoop& loop_in, std::span<std::byte> scratch_in, BufferPool& buffers_in,
              const SessionDeadlines& deadlines_in)
      : loop(loop_in), scratch(scratch_in), buffers(buffers_in), deadlines(deadlines_in) {}

  sys::EventLoop& loop;
  std::span<std::byte> scratch;
  BufferPool& buffers;
  SessionDeadlines deadlines;

  virtual std::optional<size_t> choose(const UpstreamSet::Tried& tried) = 0;
  virtual Upstream& upstream(size_t index) = 0;
  virtual void on_connected(size_t upstream) = 0;
  virtual void on_connect_failed(size_t upstream, int error) = 0;
  virtual void on_retry() = 0;
  virtual void on_backlog_wait() = 0;
  // A shortage of our own. True if something was freed for it: try the same again, once.
  virtual bool on_local_error(int error) = 0;
  // Whether clients of late had spoken before they were accepted.
  virtual bool expects_first_bytes() = 0;
  virtual void on_first_read(bool had_bytes) = 0;
  // Last call of a session; the host forgets it here.
  virtual void on_end(Session& session, SessionEnd reason) = 0;

 protected:
  ~SessionHost() = default;
};

class Session final : public sys::Retired, private SideOwner {
 public:
  Session(SessionHost& host, sys::Fd client, bool client_tcp);

  // Begins; may end at once.
  void open();
  void end(SessionEnd reason);

  // The upstream that took the connection, if one has.
  [[nodiscard]] std::optional<size_t> connected_upstream() const noexcept {
    return connected_ ? upstream_ : std::nullopt;
  }

  size_t index = 0;  // the host's own

 private:
  enum class Phase : uint8_t {
    connecting,  // a connect is under way
    waiting,     // rests before it tries again
    relaying,
    resetting,  // see Relay::State
    ended,
  };

  void on_side_events(Side& side, uint32_t events) override;
  void on_deadline();

  void dial();
  bool choose_upstream();
  sys::Connecting connect_once();
  void address_failed(int error);
  void postpone(int error);
  void await_connect();
  void finish_connect(uint32_t events);
  void drop_attempt() noexcept;
  void wait_or_give_up();
  void start_relay();
  void after_relay();
  [[nodiscard]] SessionEnd reason() const noexcept;
  void arm(uint64_t delay_ms);

  SessionHost& host_;
  Relay relay_;
  sys::Timer timer_;
  Phase phase_ = Phase::connecting;
  bool connected_ = false;
  bool timed_out_ = false;          // the last upstream failed by not answering in time
  uint64_t rest_ms_ = 0;            // waiting, resetting: how long the last rest was
  uint64_t give_up_at_ms_ = 0;      // waiting, resetting: when to stop
  UpstreamSet::Tried tried_;        // upstreams that are out of the question
  UpstreamSet::Tried later_;        // those among them to be tried again after a rest
  int later_error_ = 0;             // why, of the last of them
  std::optional<size_t> upstream_;  // which one is being tried or used
  size_t address_ = 0;              // which of its addresses is being tried
  size_t addresses_left_ = 0;       // how many of them, with this one, are still to be tried
};

}  // namespace espora::forward
