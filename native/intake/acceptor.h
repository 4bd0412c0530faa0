// Accepts connections from TCP and unix listeners on one event loop, for all services, and receives
// connections that other services accepted and hand over (always, next to its unix socket). Bursts
// are bounded. A connection limit or exhausted descriptors pause it without spinning; connections
// then queue in the kernel's backlog. Draining first accepts what is already waiting.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "intake/burst.h"
#include "intake/handoff_receiver.h"
#include "sys/counter.h"
#include "sys/event_loop.h"
#include "sys/limits.h"
#include "sys/sockets.h"

namespace espora::intake {

struct ListenOptions {
  std::string host;              // TCP: host to listen on, at all its addresses; used with `port`
  std::optional<uint16_t> port;  // 0 lets the kernel choose; absent: no TCP
  std::string unix_path;         // empty: no unix socket
  uint32_t unix_mode = 0600;     // permissions of the unix socket and of the handoff socket
  std::vector<int> inherited;    // descriptors that already listen, see sys::Listener::inherited
  // Users besides our own that may hand connections over.
  std::vector<uint32_t> handoff_users;
};

class AcceptorOwner {
 public:
  // One new connection, non-blocking. `tcp` is false for a unix socket, which has no `peer`.
  virtual void on_accepted(sys::Fd fd, bool tcp, const std::optional<sys::Endpoint>& peer) = 0;
  // Whether there is room for one more. After false, accepting pauses until Acceptor::resume().
  virtual bool has_room() = 0;
  // Accepting pauses for a while: EMFILE, ENFILE, ENOBUFS, ENOMEM.
  virtual void on_exhausted(int error) { static_cast<void>(error); }
  // Accepting pauses: no room, or descriptors are exhausted. For counting only.
  virtual void on_paused() {}
  // How many more handed-over connections can be held; any beyond that are refused.
  virtual size_t room_for_handed() = 0;
  // As on_accepted, for a connection that another process accepted: HandoffOwner::on_handed. When
  // it has ended, call Acceptor::report_ended.
  virtual void on_handed(sys::Fd fd, bool tcp, const HandoffOrigin& origin) = 0;
  // Acceptor::drain() has closed the last listener. May be called during drain().
  virtual void on_drained() {}

 protected:
  ~AcceptorOwner() = default;
};

class Acceptor final : private HandoffOwner {
 public:
  struct Counters {
    sys::Counter accepted;
    sys::Counter exhausted;      // pauses for EMFILE, ENFILE, ENOBUFS or ENOMEM
    sys::Counter limit_reached;  // pauses for lack of room
    sys::Counter aborted;        // connections that ended before they were accepted
  };

  Acceptor(sys::EventLoop& loop, AcceptorOwner& owner);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // Binds and listens, but accepts nothing yet. Any thread, before the loop runs.
  sys::Status listen(const ListenOptions& options);
  // Starts accepting connections. The loop's thread, or before the loop runs.
  sys::Status start();
  // Call whenever room may have become free; cheap when nothing was paused.
  void resume();
  // A connection that was handed to this process has ended.
  void report_ended(const HandoffOrigin& origin) { receiver_.report_ended(origin); }
  // Accepts every connection that is already waiting, then closes the listeners; closing first
  // would reset those connections. If room or descriptors run out, draining continues as they
  // become free; close() abandons the rest.
  void drain();
  void close();

  // The TCP port in use; 0 without TCP.
  [[nodiscard]] uint16_t port() const noexcept;
  // The addresses under which clients reach its listeners, see Listener::address.
  [[nodiscard]] std::vector<std::string> addresses() const;
  // Whether at least one listener is open.
  [[nodiscard]] bool listening() const noexcept;
  // Readable from any thread.
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  [[nodiscard]] const HandoffReceiver::Counters& handoff_counters() const noexcept {
    return receiver_.counters();
  }

 private:
  struct Door final : sys::EventHandler {
    Door(Acceptor& acceptor_in, sys::Listener listener_in)
        : acceptor(acceptor_in), listener(std::move(listener_in)), tcp(listener.tcp()) {}
    void on_events(uint32_t) override { acceptor.accept_burst(*this, acceptor.draining_); }
    Acceptor& acceptor;
    sys::Listener listener;
    sys::EventLoop::Token token = 0;
    bool tcp;
    Burst burst{limits::accepts_per_event_max};
  };

  size_t room_for_handed() override { return owner_.room_for_handed(); }
  void on_handed(sys::Fd fd, bool tcp, const HandoffOrigin& origin) override {
    owner_.on_handed(std::move(fd), tcp, origin);
  }

  void accept_burst(Door& door, bool all);
  void shut(Door& door);
  void pause(sys::Counter& reason);
  static void on_pause_over(sys::Timer& timer, void* self);

  sys::EventLoop& loop_;
  AcceptorOwner& owner_;
  std::vector<std::unique_ptr<Door>> doors_;
  sys::Timer pause_timer_;
  bool paused_ = false;
  bool draining_ = false;
  Counters counters_;
  HandoffReceiver receiver_;
};

}  // namespace espora::intake
