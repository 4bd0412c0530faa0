// The sending end of one handoff channel: a connection to an upstream that carries client sockets
// to it, and its reports on which of them it took, refused, or saw end. Knows only the clients'
// ids; intake/handoff_protocol.h has the messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "intake/handoff_protocol.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/sockets.h"

namespace espora::intake {

class HandoffChannel;

// Called on the loop's thread. A channel may be closed from within.
class HandoffChannelOwner {
 public:
  virtual void on_ready(HandoffChannel& channel) = 0;
  // It has taken this client: our copy of the socket must be closed.
  virtual void on_taken(HandoffChannel& channel, uint64_t client) = 0;
  // It has no room for this client.
  virtual void on_refused(HandoffChannel& channel, uint64_t client) = 0;
  // This client, which it had taken, has ended.
  virtual void on_client_ended(HandoffChannel& channel, uint64_t client) = 0;
  // Everything it sent was read: clients in unacknowledged() are ours again. Last call.
  virtual void on_channel_ended(HandoffChannel& channel) = 0;

 protected:
  ~HandoffChannelOwner() = default;
};

class HandoffChannel final : public sys::Retired, private sys::EventHandler {
 public:
  enum class State : uint8_t {
    greeting,  // connected; the receiver has not sent its hello
    ready,
    leaving,  // takes no more clients, and still reports
    ended,
  };
  enum class Sent : uint8_t {
    sent,
    full,      // the channel or the number of unacknowledged sockets is at a limit
    shortage,  // ETOOMANYREFS, ENOMEM, ENOBUFS: our own
    leaving,   // it takes no more clients
  };

  // `fd`: connected to the receiver of `upstream`.
  HandoffChannel(sys::EventLoop& loop, HandoffChannelOwner& owner, size_t upstream, uint64_t id,
                 sys::Fd fd)
      : loop_(loop), owner_(owner), upstream_(upstream), id_(id), fd_(std::move(fd)) {}

  // False if it cannot be watched.
  [[nodiscard]] bool start();
  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] size_t upstream() const noexcept { return upstream_; }
  [[nodiscard]] uint64_t id() const noexcept { return id_; }

  // Sends one message: these clients and their sockets, 1 to limits::handoff_sockets_max. The
  // sockets stay open here until on_taken(). `report_at_once`: ended clients must be reported at
  // once, see handoff_protocol.h.
  Sent send(std::span<const uint64_t> clients, std::span<const int> sockets, uint64_t now_ms,
            bool report_at_once);
  // Offered and neither taken nor refused, oldest first.
  struct Offered {
    uint64_t client;
    uint64_t at_ms;
  };
  [[nodiscard]] const std::deque<Offered>& unacknowledged() const noexcept { return offered_; }
  [[nodiscard]] bool refused_lately() const noexcept { return loop_.now_ms() < refusing_until_ms_; }
  // Whether the loop reports each packet. If not, packets wait for read_answers(); the receiver's
  // end is reported in any case.
  void watch_answers(bool wanted);
  [[nodiscard]] bool watched() const noexcept { return watched_; }
  // Reads packets until at most `unanswered` offers are unanswered.
  void read_answers(size_t unanswered);
  // Gives up on it: nothing that it sends from now on arrives, so that it closes what it has not
  // taken unread. What it sent before is read first; then on_channel_ended().
  void cut();

 private:
  void on_events(uint32_t events) override;
  // False: there is nothing to read now.
  bool read_packet(bool failed_before);
  bool understand(std::string_view packet);
  bool understand(const handoff::Parsed& message);
  bool settle(uint64_t client);
  void end();

  sys::EventLoop& loop_;
  HandoffChannelOwner& owner_;
  const size_t upstream_;
  const uint64_t id_;
  sys::Fd fd_;
  sys::EventLoop::Token token_ = 0;
  bool watched_ = true;
  uint64_t refusing_until_ms_ = 0;  // of the loop's clock; 0: it never refused
  State state_ = State::greeting;
  std::deque<Offered> offered_;
};

}  // namespace espora::intake
