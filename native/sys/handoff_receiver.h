// The receiving end of handoff: listens for channels, takes the sockets that come on them, says so
// before the first byte of them is read, and reports when a client is gone. sys/handoff_protocol.h
// has the messages.
//
// A socket has one owner at every moment. It is the sender until the receiver's "taken" is in the
// sender's queue, and the receiver from then on: where "taken" cannot be said any more (the sender
// is gone, or gave up on us and shut the channel) what came is closed unread and without a
// shutdown, because somebody else may serve it by now.
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

namespace espora::sys {

// Who handed a client to us, for the report of its end. Of one that was accepted here: nobody.
struct HandoffOrigin {
  uint64_t channel = 0;
  uint64_t id = 0;
  [[nodiscard]] explicit operator bool() const noexcept { return channel != 0; }
};

class HandoffOwner {
 public:
  // How many more clients can be held; those above it are refused, and their sender looks
  // elsewhere.
  virtual size_t room_for_handed() = 0;
  // A connected, non-blocking stream socket that is ours now. Its sender has a descriptor of it
  // for a little longer, so it must leave epoll before it is closed: EventLoop::remove. `tcp` is
  // false for a unix socket.
  virtual void on_handed(Fd fd, bool tcp, const HandoffOrigin& origin) = 0;

 protected:
  ~HandoffOwner() = default;
};

// All on the loop's thread (or before it runs), the counters from any.
class HandoffReceiver {
 public:
  struct Counters {
    Counter channels;        // that were opened to us
    Counter received;        // sockets taken
    Counter refused;         // sockets for which there was no room
    Counter truncated;       // sockets lost on their way for lack of descriptors, refused as well
    Counter strays;          // descriptors that are no connected stream, and malformed messages
    Counter unacknowledged;  // sockets closed unread: their sender heard of nothing any more
    Counter denied;          // channels of a user who may not
  };

  HandoffReceiver(EventLoop& loop, HandoffOwner& owner);
  ~HandoffReceiver();
  HandoffReceiver(const HandoffReceiver&) = delete;
  HandoffReceiver& operator=(const HandoffReceiver&) = delete;

  // At `socket_path` + ".handoff". Besides our own user only `users` may open channels. Nothing is
  // taken before start().
  Status listen(const std::string& socket_path, uint32_t mode, std::vector<uint32_t> users);
  Status start();
  // The client of that origin is gone; nothing happens if its channel is, too. Said at once where
  // the sender wants it so, else with what is said next or within limits::handoff_report_delay_ms.
  void report_ended(const HandoffOrigin& origin);
  // Takes what is under way, then no more; channels stay for reports.
  void drain();
  // Everything at once. Clients that were taken stay whose they are.
  void close();

  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  class Channel;
  struct Door final : EventHandler {
    explicit Door(HandoffReceiver& receiver_in) : receiver(receiver_in) {}
    void on_events(uint32_t) override { receiver.accept_channels(); }
    HandoffReceiver& receiver;
    Listener listener;
    EventLoop::Token token = 0;
  };

  void accept_channels();
  void open_channel(Fd fd);
  [[nodiscard]] bool may_send(int fd) const noexcept;
  void drop(Channel& channel);
  void flush_reports();
  void forget_unreported(uint64_t channel);
  void shut_door();

  EventLoop& loop_;
  HandoffOwner& owner_;
  Door door_;
  std::vector<uint32_t> users_;
  std::unordered_map<uint64_t, std::unique_ptr<Channel>> channels_;
  uint64_t next_channel_ = 1;
  Timer pause_timer_;                 // accepting channels rests for lack of descriptors
  Timer flush_timer_;                 // reports that nothing else took along
  std::vector<uint64_t> unreported_;  // channels with something to report
  bool draining_ = false;
  Counters counters_;
};

// Each counter that is a metric, by its name in ts/metrics/table.ts.
template <typename Each>
void for_each_counter(const HandoffReceiver::Counters& counters, const Each& each) {
  each("received", counters.received);
  each("receiveRefused", counters.refused);
  each("receiveTruncated", counters.truncated);
  each("receiveStrays", counters.strays);
  each("receiveUnacknowledged", counters.unacknowledged);
  each("channelsDenied", counters.denied);
}

}  // namespace espora::sys
