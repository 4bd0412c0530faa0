// One client's connection: finds an upstream that accepts it, relays, and ends. Sessions belong to
// a SessionHost, live on its loop's thread, and delete themselves through EventLoop::retire.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "forward/buffer_pool.h"
#include "forward/proxy_protocol.h"
#include "forward/relay.h"
#include "forward/upstream_chooser.h"
#include "forward/upstreams.h"
#include "intake/handoff_receiver.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/ip_address.h"
#include "sys/pipe.h"
#include "sys/timers.h"

namespace espora::forward {

class Session;

enum class SessionEnd : uint8_t {
  normal,           // both streams ended
  client,           // the client's socket failed
  upstream,         // the upstream's socket failed
  unreachable,      // no upstream took the connection
  connect_timeout,  // none within the connect timeout
  idle,
  half_closed,
  lifetime,      // reached the longest duration of a session
  proxy_header,  // the client sent no valid PROXY header, though required
  stopped,
  handed,       // handed over to an upstream, and ended there
  local_error,  // a shortage of our own
  count_,
};

struct SessionDeadlines {
  uint64_t connect_ms;
  uint64_t idle_ms;         // 0: never
  uint64_t half_closed_ms;  // 0: never
  uint64_t lifetime_ms;     // 0: never
  uint64_t answer_ms;       // longest silence of an upstream that was sent something; 0: no limit
};

// Which clients must send a PROXY header, and whether upstreams get one.
struct ProxyOptions {
  std::vector<sys::IpNetwork> from;  // clients that must begin with a PROXY header
  bool from_unix = false;            // so must clients on unix sockets
  bool send = false;                 // upstreams get one, version 2

  // Whether a client must begin with a header. A client whose address is unknown must do so, so
  // that closing early does not circumvent the rule.
  [[nodiscard]] bool owed_by(bool tcp, const std::optional<sys::Endpoint>& peer) const noexcept;
};

// What all sessions of a forwarder share.
class SessionHost {
 public:
  SessionHost(sys::EventLoop& loop_in, std::span<std::byte> scratch_in, BufferPool& buffers_in,
              sys::PipePool& pipes_in, Upstreams& upstreams_in,
              const SessionDeadlines& deadlines_in, ProxyOptions proxy_in)
      : loop(loop_in),
        scratch(scratch_in),
        buffers(buffers_in),
        pipes(pipes_in),
        upstreams(upstreams_in),
        deadlines(deadlines_in),
        proxy(std::move(proxy_in)) {}

  sys::EventLoop& loop;
  std::span<std::byte> scratch;
  BufferPool& buffers;
  sys::PipePool& pipes;
  Upstreams& upstreams;
  SessionDeadlines deadlines;
  ProxyOptions proxy;

  virtual void on_retry() = 0;
  virtual void on_backlog_wait() = 0;
  // A shortage of our own. True if something was freed for it: try the same again, once.
  virtual bool on_local_error(int error) = 0;
  // Whether clients recently sent something before they were accepted.
  virtual bool expects_first_bytes() = 0;
  virtual void on_first_read(bool had_bytes) = 0;
  // A client that must send a PROXY header sent none or an invalid one: `why` completes the
  // sentence "the PROXY header …".
  virtual void on_header_refused(const std::optional<sys::Endpoint>& client, const char* why) = 0;
  // Last call of a session, in which the host must forget it.
  virtual void on_end(Session& session, SessionEnd reason) = 0;

 protected:
  ~SessionHost() = default;
};

class Session final : public sys::Retired, private SideOwner {
 public:
  // `peer`: the address of a TCP client, if already known. `client_shared`: another process may
  // have a descriptor of the client's socket.
  Session(SessionHost& host, sys::Fd client, bool client_tcp,
          const std::optional<sys::Endpoint>& peer, bool client_shared);

  // Begins; may end at once.
  void open();
  void end(SessionEnd reason);

  size_t index = 0;              // for the host
  intake::HandoffOrigin origin;  // for the host: which sender handed the client over

 private:
  enum class Phase : uint8_t {
    header,      // a PROXY header must arrive
    connecting,  // a connect is under way
    waiting,     // pauses before it tries again
    relaying,
    resetting,  // see Relay::State
    ended,
  };

  static constexpr uint64_t never_ms = UINT64_MAX;

  void on_side_events(Side& side, uint32_t events) override;
  void on_deadline();

  [[nodiscard]] bool owes_header() const noexcept;
  void refuse_header(const char* why);
  bool watch(Side& side);
  void await_header();
  void read_header(uint32_t events);
  void take_header(size_t bytes);
  [[nodiscard]] int send_header() noexcept;

  void dial();
  bool choose_upstream();
  void give_up_upstream();
  [[nodiscard]] Upstream& upstream() noexcept { return host_.upstreams.at(*upstream_); }
  void leave_upstream();
  sys::Connecting connect_once(const sys::ResolvedAddress& address);
  void address_failed(int error);
  void postpone(int error);
  void await_connect();
  void finish_connect(uint32_t events);
  void drop_attempt() noexcept;
  void wait_or_give_up();
  void start_relay();
  void after_relay();
  void note_first_byte();
  [[nodiscard]] SessionEnd reason() const noexcept;
  [[nodiscard]] SessionFacts facts(SessionEnd reason) const noexcept;
  void on_relay_deadline();
  [[nodiscard]] bool still_moves() noexcept;
  void arm(uint64_t delay_ms);
  void arm_relay(uint64_t silence_ms);
  void arm_nearest();

  SessionHost& host_;
  Relay relay_;
  sys::Timer timer_;
  Phase phase_ = Phase::connecting;
  bool connected_ = false;
  bool answered_ = false;                // a byte came from the upstream, and was reported
  bool silence_told_ = false;            // the upstream's silence was too long, and was reported
  bool full_ = false;                    // upstreams were at their limit of connections
  uint64_t rest_ms_ = 0;                 // waiting, resetting: length of the last pause
  uint64_t give_up_at_ms_ = 0;           // waiting, resetting: when to stop
  UpstreamChooser::Tried tried_;         // upstreams that must not be tried
  UpstreamChooser::Tried later_;         // of these, those to be tried again after a pause
  int later_error_ = 0;                  // the error of the last of these
  std::optional<size_t> upstream_;       // the one being tried or used
  Upstreams::TriedAddresses addresses_;  // of that upstream, including the one tried or used
  bool postponed_ = false;               // one of them could not be judged now
  int error_ = 0;                        // the error of the last failed one
  uint64_t accepted_ns_ = 0;             // of the monotonic clock, like the next
  uint64_t dialled_ns_ = 0;
  uint64_t connected_ms_ = 0;
  // Relaying, of the loop's clock:
  uint64_t ends_at_ms_ = never_ms;     // when the session's longest duration is reached
  uint64_t silent_at_ms_ = never_ms;   // when nothing has moved for too long
  uint64_t answer_at_ms_ = never_ms;   // when the upstream has been silent for too long
  uint64_t silence_ms_ = 0;            // longest silence now; 0: no limit
  size_t unread_bytes_ = SIZE_MAX;     // bytes that the peers had not taken at the last check
  std::optional<sys::Endpoint> peer_;  // the address of a TCP client, if known
  std::optional<ProxiedConnection> proxied_;  // what upstreams are told; nothing: unknown
};

}  // namespace espora::forward
