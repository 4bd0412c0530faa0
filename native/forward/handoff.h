// Hands clients to upstreams instead of relaying for them: chooses an upstream, passes the socket,
// keeps a copy until the upstream acknowledges it, and remembers which upstream holds it until that
// reports its end. After that the hop costs nothing per request.
//
//   pass() ──▶ waiting ──▶ offered ──taken──▶ held by the upstream ──ended──▶ gone
//                 ▲           │
//                 └───────────┘ refused, or its channel ended
//
// A client belongs to this process until it is taken, and is never read here. It is in no epoll: if
// a client closes meanwhile, the process that takes it notices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "forward/session.h"
#include "forward/upstream_chooser.h"
#include "intake/handoff_channel.h"
#include "intake/handoff_receiver.h"
#include "sys/counter.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/sockets.h"
#include "sys/timers.h"

namespace espora::forward {

struct HandoffOptions {
  uint64_t connect_timeout_ms;  // for a live upstream to take what it was offered
  uint64_t idle_timeout_ms;     // the same while no other could take it; 0: never
  std::vector<uint32_t> users;  // besides our own, whose processes may be receivers
};

// Counters since the start unless stated otherwise.
struct HandoffCounters {
  sys::Counter passed;               // taken by an upstream
  sys::Counter passed_active;        // now: taken, and not yet reported ended
  sys::Counter pass_unacknowledged;  // now: offered and not answered
  sys::Counter pass_messages;        // that carried sockets
  sys::Counter pass_refused;         // an upstream had no room; offered again elsewhere or later
  sys::Counter pass_returned;        // a channel ended before the answer; offered again
  sys::Counter pass_full;            // an upstream was skipped: too many unacknowledged
  sys::Counter pass_shortages;       // ETOOMANYREFS and the like
  sys::Counter pass_unreported;      // clients held by an upstream whose channel ended
  sys::Counter channels_lost;        // that ended while they were in use
  sys::Counter channels_cut;         // that we gave up: no answer in time, or an invalid one
};

// Each counter, under its name in ts/metrics/table.ts.
template <typename Each>
void for_each_counter(const HandoffCounters& counters, const Each& each) {
  each("passed", counters.passed);
  each("passedActive", counters.passed_active);
  each("passUnacknowledged", counters.pass_unacknowledged);
  each("passMessages", counters.pass_messages);
  each("passRefused", counters.pass_refused);
  each("passReturned", counters.pass_returned);
  each("passFull", counters.pass_full);
  each("passShortages", counters.pass_shortages);
  each("passUnreported", counters.pass_unreported);
  each("channelsLost", counters.channels_lost);
  each("channelsCut", counters.channels_cut);
}

// What a forwarder does for it. On the loop's thread.
class HandoffHost {
 public:
  // The upstream that takes this client, which is counted there until leave_after_handoff().
  virtual UpstreamChooser::Choice choose_for_handoff(const UpstreamChooser::Tried& tried) = 0;
  // `held`: it had been taken. `elapsed_ms`: since the client arrived.
  virtual void leave_after_handoff(size_t upstream, bool held, uint64_t elapsed_ms) = 0;
  // Whether this upstream must report ended clients at once, because their number matters now.
  virtual bool handoff_counts_matter(size_t upstream) = 0;
  // The path of an upstream's unix socket.
  virtual const std::string& handoff_path(size_t upstream) = 0;
  virtual void on_handoff_taken(size_t upstream, uint64_t elapsed_ms) = 0;
  virtual void on_handoff_failed(size_t upstream, int error) = 0;
  virtual void on_handoff_retry() = 0;
  // A shortage of our own. True if something was freed for it: try the same again, once.
  virtual bool on_handoff_shortage(int error) = 0;
  // A client has ended, or no upstream took it.
  virtual void on_handoff_end(const intake::HandoffOrigin& origin, SessionEnd reason) = 0;
  // There may be room for more clients.
  virtual void on_handoff_room() = 0;

 protected:
  ~HandoffHost() = default;
};

// All on the loop's thread or before it runs.
class Handoff final : private intake::HandoffChannelOwner {
 public:
  Handoff(sys::EventLoop& loop, HandoffHost& host, HandoffOptions options);
  ~Handoff();
  Handoff(const Handoff&) = delete;
  Handoff& operator=(const Handoff&) = delete;

  // The address at which the service at this path listens for channels.
  [[nodiscard]] static sys::Address receiver_of(const std::string& path);
  // Opens a channel to this upstream, so that it is ready for the first client.
  void prepare(size_t upstream);
  void pass(sys::Fd client, const intake::HandoffOrigin& origin);
  // All clients, including those that upstreams hold.
  [[nodiscard]] size_t clients() const noexcept { return clients_.size() - free_.size(); }
  // Clients that no upstream has taken yet.
  [[nodiscard]] size_t ours() const noexcept { return clients() - counters_.passed_active; }
  // False while many wait for room.
  [[nodiscard]] bool has_room() const noexcept;
  // Ends the clients that no upstream has taken.
  void cut();

  [[nodiscard]] const HandoffCounters& counters() const noexcept { return counters_; }

 private:
  struct Client {
    enum class State : uint8_t { free, waiting, queued, offered, held };
    State state = State::free;
    bool at_limit = false;   // upstreams are at their limit of clients
    bool only_full = false;  // waiting: only because upstreams are full
    uint32_t generation = 0;
    sys::Fd fd;  // until it is held
    intake::HandoffOrigin origin;
    uint64_t since_ms = 0;
    uint64_t rest_ms = 0;                // pause before it is tried again
    uint64_t channel = 0;                // queued, offered, held: the channel
    size_t upstream = 0;                 // the same: the upstream
    UpstreamChooser::Tried tried;        // upstreams that must not be tried
    UpstreamChooser::Tried later;        // of these, those to be tried again
    UpstreamChooser::Tried passed_over;  // of these, those never asked: not ready, or full
    bool timed_out = false;  // the last upstream it was offered to did not answer in time
  };
  // An upstream's current channel, and the clients that leave on it at the end of this turn.
  struct Door {
    std::string path;  // of the upstream's unix socket: its index may be reused
    std::unique_ptr<intake::HandoffChannel> channel;
    std::vector<uint64_t> queue;
    size_t sent = 0;  // clients sent since answers were read: unlikely to be answered yet
  };

  void on_ready(intake::HandoffChannel& channel) override;
  void on_taken(intake::HandoffChannel& channel, uint64_t client) override;
  void on_refused(intake::HandoffChannel& channel, uint64_t client) override;
  void on_client_ended(intake::HandoffChannel& channel, uint64_t client) override;
  void on_channel_ended(intake::HandoffChannel& channel) override;

  enum class Opened : uint8_t {
    yes,
    no,     // nothing listens there; the host was told
    later,  // its queue is full, or a shortage of our own: not its fault
  };

  Client* find(uint64_t id) noexcept;
  void place(uint64_t id);
  [[nodiscard]] bool offer(uint64_t id, size_t upstream);
  void wait(uint64_t id);
  [[nodiscard]] bool has_successor(const Client& client) const noexcept;
  void take_back(uint64_t id, bool again_later);
  void retire_channel(Door& door);
  void release(uint64_t id, SessionEnd reason);
  Door& door_of(size_t upstream);
  Opened open(size_t upstream);
  void flush();
  void flush(Door& door);
  void read_answers();
  void on_reading_due();
  void watch_answers(intake::HandoffChannel& channel, bool needs_exact_counts);
  void serve_waiting(bool all);
  void check_answers();
  [[nodiscard]] bool others_ready(const intake::HandoffChannel& channel) const noexcept;
  [[nodiscard]] bool is_late(const intake::HandoffChannel& channel) const noexcept;
  void arm_answers();

  sys::EventLoop& loop_;
  HandoffHost& host_;
  HandoffOptions options_;
  HandoffCounters counters_;
  std::vector<Client> clients_;
  std::vector<uint32_t> free_;
  std::deque<uint64_t> waiting_;
  std::map<size_t, Door> doors_;
  // Channels that take no more clients, but still report what they hold.
  std::unordered_map<uint64_t, std::unique_ptr<intake::HandoffChannel>> leaving_;
  uint64_t next_channel_ = 1;
  bool closing_ = false;
  bool serving_ = false;      // in serve_waiting()
  sys::Timer flush_timer_;    // due at once: fires after the events of its turn
  sys::Timer reading_timer_;  // for answers that are not watched for
  sys::Timer retry_timer_;    // waiting clients try again
  sys::Timer answers_timer_;  // an offer has waited too long for its answer
};

}  // namespace espora::forward
