// HTTP/1.1 server on one event loop: accepts connections (or adopts sockets that another process
// accepted), reads requests, keeps answers in order and holds back those whose gate is closed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http/connection.h"
#include "http/date.h"
#include "http/handler.h"
#include "intake/acceptor.h"
#include "sys/counter.h"
#include "sys/event_loop.h"
#include "sys/limits.h"

namespace espora::http {

// Settings have their defaults in the table of options (ts/options/table.ts).
struct ServerOptions {
  intake::ListenOptions listen;
  uint32_t connections_max = 0;
  uint32_t body_bytes_max = 0;                                // at most limits::http_body_bytes_max
  uint64_t header_timeout_ms = 0;                             // first byte to end of headers
  uint64_t body_timeout_ms = 0;                               // end of headers to end of body
  uint64_t keep_alive_timeout_ms = 0;                         // between requests
  uint64_t write_timeout_ms = limits::http_write_timeout_ms;  // a peer that takes nothing
};

// Counters since start, written by the loop's thread. An answer counts once its gate is open.
struct ServerStats {
  sys::Counter connections_accepted;
  sys::Counter connections_active;
  sys::Counter requests;
  sys::Counter answers_2xx;
  sys::Counter answers_4xx;
  sys::Counter answers_5xx;
  sys::Counter timeouts;       // 408s, idle, stalled and lingering ends by deadline
  sys::Counter accept_pauses;  // limit reached or descriptors exhausted
  sys::Counter bytes_in;
  sys::Counter bytes_out;
  // Memory currently held for slow peers: unfinished requests and unsent answers.
  sys::Counter bytes_held;
};

// Each counter, under its name in ts/metrics/table.ts.
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

// All calls on the loop's thread, except where a comment says otherwise.
class Server final : private intake::AcceptorOwner {
 public:
  Server(sys::EventLoop& loop, Handler& handler, ServerOptions options);
  ~Server();

  // Binds and listens; accepts nothing before start(). Before the loop runs.
  sys::Status listen() { return acceptor_.listen(options_.listen); }
  sys::Status start() { return acceptor_.start(); }
  // The TCP port in use; 0 without TCP. Any thread, after listen().
  [[nodiscard]] uint16_t port() const noexcept { return acceptor_.port(); }
  [[nodiscard]] std::vector<std::string> addresses() const { return acceptor_.addresses(); }

  // Serves a connected, non-blocking stream socket that another process accepted and may still have
  // a descriptor of. It counts as a connection but is never refused for lack of room. Sockets that
  // other processes hand over arrive by themselves if a unix socket is listened on.
  void adopt(sys::Fd fd) { serve(std::move(fd), true, {}); }

  // Answers a deferred request, unless its connection has closed. Not within calls of Handler.
  void answer(Ticket ticket, const Answer& answer);

  // Sends every answer with a gate up to `gate`, which must not decrease. Not from inside calls of
  // the Handler; the same goes for fail_held and take_back.
  void open_gate(Gate gate);
  // Replaces every held answer by `error`; its connection closes after it.
  void fail_held(const Error& error);
  // The gate's condition will not come true. Every answer that waits for it is made again; those
  // that are only queued after such an answer are kept. All of them leave.
  void take_back(const Remake& remake);

  // Accepts and answers what waits in the listeners' queues, then closes the listeners. Answers
  // announce that they are the last; idle connections close, others after the answer that is due.
  // `done` is called once, on the loop's thread and perhaps during this call, when no connection is
  // left or `deadline_ms` (of the loop's clock) has passed and the rest was cut off; it must not
  // delete the server. A further call can only bring the deadline forward.
  void drain(uint64_t deadline_ms, std::function<void()> done);
  [[nodiscard]] bool draining() const noexcept { return draining_; }
  // Closes all remaining connections, unanswered.
  void close_all();

  [[nodiscard]] const ServerStats& stats() const noexcept { return stats_; }
  // Any thread.
  [[nodiscard]] const intake::HandoffReceiver::Counters& handoff_counters() const noexcept {
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
  void on_handed(sys::Fd fd, bool, const intake::HandoffOrigin& origin) override {
    serve(std::move(fd), true, origin);
  }
  bool has_room() override { return active() < options_.connections_max; }
  void on_paused() override { ++stats_.accept_pauses; }
  void on_drained() override { finish_drain(); }
  void serve(sys::Fd fd, bool duplicated, const intake::HandoffOrigin& origin);
  [[nodiscard]] size_t active() const noexcept { return slots_.size() - free_slots_.size(); }
  // Called by connections: one that ended; one that began to hold answers; an answer that leaves.
  void on_closed(Connection& connection);
  void hold(uint64_t connection) { held_.push_back(connection); }
  void count_answer(uint16_t status) noexcept;
  Connection* find(uint64_t id) noexcept;
  template <typename Visit>
  void each_held(const Visit& visit);
  OutputBuffer take_buffer();
  void give_back(OutputBuffer buffer);
  [[nodiscard]] std::string_view date() noexcept;
  void finish_drain();

  sys::EventLoop& loop_;
  Handler& handler_;
  const ServerOptions options_;
  intake::Acceptor acceptor_;
  ServerStats stats_;
  DateCache dates_;
  // A connection's id is its slot and, in the upper bits, the slot's generation: a late answer to a
  // closed connection finds none.
  struct Slot {
    std::unique_ptr<Connection> connection;
    uint32_t generation = 0;
    intake::HandoffOrigin origin;  // which sender handed it over
  };
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  // Connections with held answers, in the order in which they began to hold.
  std::vector<uint64_t> held_;
  // Every connection receives into this; what a turn leaves unfinished moves to the connection.
  std::vector<char> receive_buffer_;
  // Buffers of connections without pending answers: idle ones hold none, busy ones need not
  // allocate.
  std::vector<OutputBuffer> spare_buffers_;
  Gate gate_ = 0;
  bool draining_ = false;
  sys::Timer drain_timer_;
  std::vector<std::function<void()>> done_;  // called at the end of draining
};

}  // namespace espora::http
