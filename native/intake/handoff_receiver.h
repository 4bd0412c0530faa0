// The receiving end of handoff: listens for channels, takes the sockets that arrive on them,
// acknowledges each before reading its first byte, and reports when a client has ended.
// intake/handoff_protocol.h has the messages.
//
// A socket has exactly one owner at any time: the sender until the receiver's "taken" is in the
// sender's queue, the receiver from then on. If "taken" can no longer be sent (the sender has
// ended, or gave this receiver up and shut the channel) the socket is closed unread and without a
// shutdown, because another process may be serving it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "sys/counter.h"
#include "sys/event_loop.h"
#include "sys/sockets.h"
#include "sys/timers.h"

namespace espora::intake {

// Which sender handed a client over, for the report of its end. Empty for a client accepted here.
struct HandoffOrigin {
  uint64_t channel = 0;
  uint64_t id = 0;
  [[nodiscard]] explicit operator bool() const noexcept { return channel != 0; }
};

class HandoffOwner {
 public:
  // How many more clients can be held; others are refused, and offered to other receivers.
  virtual size_t room_for_handed() = 0;
  // A connected, non-blocking stream socket that this process now owns. Its sender keeps a
  // descriptor of it a little longer, so it must be removed from epoll before it is closed:
  // EventLoop::remove. `tcp` is false for a unix socket.
  virtual void on_handed(sys::Fd fd, bool tcp, const HandoffOrigin& origin) = 0;

 protected:
  ~HandoffOwner() = default;
};

// All calls on the loop's thread (or before it runs); the counters from any thread.
class HandoffReceiver {
 public:
  struct Counters {
    sys::Counter channels;   // opened by senders
    sys::Counter received;   // sockets taken
    sys::Counter refused;    // sockets for which there was no room
    sys::Counter truncated;  // sockets lost on their way for lack of descriptors; refused as well
    sys::Counter strays;     // descriptors that are not a connected stream, and malformed messages
    sys::Counter unacknowledged;  // sockets closed unread: their sender could no longer be told
    sys::Counter denied;          // channels of a user that is not allowed to
  };

  HandoffReceiver(sys::EventLoop& loop, HandoffOwner& owner);
  ~HandoffReceiver();
  HandoffReceiver(const HandoffReceiver&) = delete;
  HandoffReceiver& operator=(const HandoffReceiver&) = delete;

  // Listens at `socket_path` + ".handoff". Besides our own user only `users` may open channels.
  // Nothing is received before start().
  sys::Status listen(const std::string& socket_path, uint32_t mode, std::vector<uint32_t> users);
  sys::Status start();
  // The client of `origin` has ended; no effect if its channel has ended, too. Reported at once if
  // the sender asked for that, otherwise with the next message or within
  // limits::handoff_report_delay_ms.
  void report_ended(const HandoffOrigin& origin);
  // Takes what is on its way, then no more; channels stay for reports.
  void drain();
  // Closes everything at once. Clients that were taken stay with their owner.
  void close();

  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  class Channel;
  struct Door final : sys::EventHandler {
    explicit Door(HandoffReceiver& receiver_in) : receiver(receiver_in) {}
    void on_events(uint32_t) override { receiver.accept_channels(); }
    HandoffReceiver& receiver;
    sys::Listener listener;
    sys::EventLoop::Token token = 0;
  };

  void accept_channels();
  void open_channel(sys::Fd fd);
  void drop(Channel& channel);
  void flush_reports();
  void forget_unreported(uint64_t channel);
  void shut_door();

  sys::EventLoop& loop_;
  HandoffOwner& owner_;
  Door door_;
  std::vector<uint32_t> users_;
  std::unordered_map<uint64_t, std::unique_ptr<Channel>> channels_;
  uint64_t next_channel_ = 1;
  sys::Timer pause_timer_;            // accepting channels pauses for lack of descriptors
  sys::Timer flush_timer_;            // for reports that leave with no other message
  std::vector<uint64_t> unreported_;  // channels with a pending report
  bool draining_ = false;
  Counters counters_;
};

// Each counter that is a metric, under its name in ts/metrics/table.ts.
template <typename Each>
void for_each_counter(const HandoffReceiver::Counters& counters, const Each& each) {
  each("received", counters.received);
  each("receiveRefused", counters.refused);
  each("receiveTruncated", counters.truncated);
  each("receiveStrays", counters.strays);
  each("receiveUnacknowledged", counters.unacknowledged);
  each("channelsDenied", counters.denied);
}

}  // namespace espora::intake
