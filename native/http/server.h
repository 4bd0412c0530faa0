// HTTP/1.1 server on one event loop: accepts connections (or adopts sockets that were accepted
// elsewhere), reads requests, keeps answers in order and holds back those whose gate is closed.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http/connection.h"
#include "http/date.h"
#include "http/handler.h"
#include "sys/acceptor.h"
#include "sys/event_loop.h"
#include "sys/limits.h"

namespace espora::http {

// Defaults are in the table of options (ts/options/table.ts), of what it has.
struct ServerOptions {
  sys::ListenOptions listen;
  uint32_t connections_max = 0;
  uint32_t body_bytes_max = 0;                                // at most limits::http_body_bytes_max
  uint64_t header_timeout_ms = 0;                             // first byte to end of headers
  uint64_t body_timeout_ms = 0;                               // end of headers to end of body
  uint64_t keep_alive_timeout_ms = 0;                         // between requests
  uint64_t write_timeout_ms = limits::http_write_timeout_ms;  // a peer that takes nothing
};

// Counters since start, written by the loop's thread, read by any. An answer counts when its gate
// is open, not before.
struct ServerStats {
  std::atomic<uint64_t> connections_accepted{0};
  std::atomic<uint64_t> connections_active{0};
  std::atomic<uint64_t> requests{0};
  std::atomic<uint64_t> answers_2xx{0};
  std::atomic<uint64_t> answers_4xx{0};
  std::atomic<uint64_t> answers_5xx{0};
  std::atomic<uint64_t> timeouts{0};       // 408s, idle, stalled and lingering ends by deadline
  std::atomic<uint64_t> accept_pauses{0};  // limit reached or descriptors exhausted
  std::atomic<uint64_t> bytes_in{0};
  std::atomic<uint64_t> bytes_out{0};
  // Memory for requests that are not there to the end and answers that are not gone, now: what
  // slow senders and readers cost.
  std::atomic<uint64_t> bytes_held{0};
};

// Each counter by its name in ts/metrics/table.ts.
template <typename Each>
void for_each_counter(const ServerStats& stats, const Each& each) {
  each("connectionsAccepted", stats.connections_accepted);
  each("connectionsActive", stats.connections_active);
  each("requests", stats.requests);
  each("answers2xx", stats.answers_2xx);
  each("answers4xx", stats.answers_4xx);
  each("answers5xx", stats.answers_5xx);
  each("timeouts", stats.timeouts);
  each("acceptPauses", stats.accept_pauses);
  each("bytesIn", stats.bytes_in);
  each("bytesOut", stats.bytes_out);
  each("bytesHeld", stats.bytes_held);
}

// Adds to a counter that only this thread writes.
inline void add(std::atomic<uint64_t>& counter, uint64_t amount) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

// All calls on the loop's thread, except where a comment says otherwise.
class Server final : private sys::AcceptorOwner {
 public:
  Server(sys::EventLoop& loop, Handler& handler, ServerOptions options);
  ~Server();

  // Binds and listens; nothing is accepted before start(). Before the loop runs.
  sys::Status listen() { return acceptor_.listen(options_.listen); }
  sys::Status start() { return acceptor_.start(); }
  // The TCP port in use; 0 without TCP. Any thread, after listen().
  [[nodiscard]] uint16_t port() const noexcept { return acceptor_.port(); }
  [[nodiscard]] std::vector<std::string> addresses() const { return acceptor_.addresses(); }

  // Serves a connected, non-blocking stream socket that somebody else accepted, who may still hold
  // a descriptor of it. It counts as a connection but is never refused for want of room. What other
  // processes hand over arrives by itself, where there is a unix socket to listen on.
  void adopt(sys::Fd fd) { serve(std::move(fd), true, {}); }

  // Answers a deferred request; nothing happens when its connection is gone. Not from inside
  // calls of the Handler.
  void answer(Ticket ticket, const Answer& answer);

  // Every answer with a gate up to `gate` leaves now. `gate` never goes back. Not from inside calls
  // of the Handler, and neither are fail_held and take_back.
  void open_gate(Gate gate);
  // Every answer that is held back is replaced by `error`, and its connection closes after it.
  void fail_held(const Error& error);
  // What the gate was to open for will not be. Every answer that waits for it is made anew; those
  // that only stand behind one are kept. All of them leave.
  void take_back(const Remake& remake);

  // What waits in the listeners' queues is still accepted and answered, then they close. Answers
  // say that they are the last; idle connections close, others after the answer that they wait for.
  // `done` is called once, on the loop's thread and perhaps during this call, when nothing is left
  // or `deadline_ms` (of the loop's clock) has come and the rest was cut; it must not delete the
  // server. A further call can only bring the deadline forward.
  void drain(uint64_t deadline_ms, std::function<void()> done);
  [[nodiscard]] bool draining() const noexcept { return draining_; }
  // Closes whatever is left, unanswered.
  void close_all();

  [[nodiscard]] const ServerStats& stats() const noexcept { return stats_; }
  // Any thread.
  [[nodiscard]] const sys::HandoffReceiver::Counters& handoff_counters() const noexcept {
    return acceptor_.handoff_counters();
  }

 private:
  friend class Connection;

  void on_accepted(sys::Fd fd, bool, const std::optional<sys::Endpoint>&) override {
    serve(std::move(fd), false, {});
  }
  size_t room_for_handed() override {
    return options_.connections_max - std::min<size_t>(active(), options_.connections_max);
  }
  void on_handed(sys::Fd fd, bool, const sys::HandoffOrigin& origin) override {
    serve(std::move(fd), true, origin);
  }
  bool has_room() override { return active() < options_.connections_max; }
  void on_paused() override { add(stats_.accept_pauses, 1); }
  void on_drained() override { finish_drain(); }
  void serve(sys::Fd fd, bool duplicated, const sys::HandoffOrigin& origin);
  [[nodiscard]] size_t active() const noexcept { return slots_.size() - free_slots_.size(); }
  // For connections: one that ended; one that began to hold answers back; an answer that leaves.
  void on_closed(Connection& connection);
  void hold(uint64_t connection) { held_.push_back(connection); }
  void count_answer(uint16_t status) noexcept;
  Connection* find(uint64_t id) noexcept;
  OutputBuffer take_buffer();
  void give_back(OutputBuffer buffer);
  [[nodiscard]] std::string_view date() noexcept;
  void finish_drain();

  sys::EventLoop& loop_;
  Handler& handler_;
  const ServerOptions options_;
  sys::Acceptor acceptor_;
  ServerStats stats_;
  DateCache dates_;
  // A connection's id is its slot and, above it, the slot's generation: a late answer to one that
  // is gone finds nobody.
  struct Slot {
    std::unique_ptr<Connection> connection;
    uint32_t generation = 0;
    sys::HandoffOrigin origin;  // who handed it to us
  };
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  // Connections with held answers, in the order in which they began to hold.
  std::vector<uint64_t> held_;
  // Where every connection receives: what a turn leaves unfinished moves to the connection.
  std::vector<char> receive_buffer_;
  // Buffers of connections that owe nothing, so that idle ones cost nothing and busy ones need not
  // allocate.
  std::vector<OutputBuffer> spare_buffers_;
  Gate gate_ = 0;
  bool draining_ = false;
  sys::Timer drain_timer_;
  std::vector<std::function<void()>> done_;  // who waits for the end of draining
};

}  // namespace espora::http
