// One client of the HTTP server: reads and parses what arrives, keeps answers in order, holds back
// those whose gate is closed, and handles deadlines and a close that loses nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "http/handler.h"
#include "http/output_buffer.h"
#include "http/request_parser.h"
#include "http/response_writer.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace espora::http {

class Server;

//  in:   socket → server's receive buffer → parser → Handler      (a rest waits in `rest_`)
//  out:  answers → output_ | may leave ........ | held back ........... |
//                                               ^ held_[held_first_].begin
//
// Lives on the server's loop thread. close() ends it; the object is freed after the loop's turn.
class Connection final : public sys::Retired, private sys::EventHandler, private Exchange {
 public:
  // `duplicated`: another process may have a descriptor of the same socket.
  Connection(Server& server, uint64_t id, sys::Fd fd, bool duplicated);
  ~Connection() override;

  // Serves what has already arrived, then registers with the loop. May close the connection.
  void start();
  [[nodiscard]] uint64_t id() const noexcept { return id_; }

  // The deferred answer of `request`; ignored if it was already answered.
  void answer_deferred(uint64_t request, const Answer& answer);
  // Lets held answers up to `gate` leave. True while others are still held.
  bool open_gate(Gate gate);
  // Replaces every held answer by `error`, and closes after the last.
  void fail_held(const Error& error);
  // Replaces those that wait for the gate by the results of `remake`; lets all of them leave.
  void take_back(const Remake& remake);
  // The server began to drain: requests that have arrived are answered, the last with a close.
  void drain();
  // Closes at once, whatever is unanswered.
  void close();

 private:
  // What the deadline is for.
  enum class Phase : uint8_t {
    idle,       // between requests
    head,       // a request has begun
    body,       // its head is known
    answering,  // an answer is due, and its delay is not caused by the peer
    sending,    // bytes wait for the peer to take them
    lingering,  // everything is sent; dropping what still arrives
  };
  // State of the request that is being read or answered. The next request starts from a fresh one,
  // because nothing is known of it.
  struct Current {
    HeadVerdict verdict;
    Persistence persistence = Persistence::keep;  // of its answer
    bool head_known = false;
    bool to_head = false;        // it is a HEAD request
    bool refused_early = false;  // already answered, its body is still being read
    bool answered = false;       // Exchange: in on_request
    bool deferred = false;       // waits for Server::answer
  };
  // An answer behind a closed gate. Offsets count from the first byte sent on the connection.
  struct Held {
    uint64_t begin;
    uint64_t end;
    Gate gate;      // includes the gates of earlier answers
    Gate own_gate;  // of its content
    Tag tag;        // of the request
    uint16_t status;
    bool without_body;
    Persistence persistence;
  };

  void on_events(uint32_t events) override;
  void answer(const Answer& answer) override;
  void defer() override;
  [[nodiscard]] Ticket ticket() const override { return {id_, requests_}; }

  void read();
  void read_portion();
  void drop_portion();
  [[nodiscard]] bool may_parse() const noexcept;
  void parse_rest();
  void parse(char* begin, char* end);
  void on_head(size_t received);
  void on_complete();
  void on_parse_error();
  void count_request();
  void choose_persistence(const Request& request);

  void append(const Answer& answer);
  void write(const ResponseHead& head, const Answer& answer);
  void append_last(const Error& error, std::string_view allow);
  void say_close();
  void hold_or_count(uint64_t begin, Gate gate, uint16_t status);
  [[nodiscard]] uint64_t output_end() const noexcept { return sent_ + output_.size(); }
  [[nodiscard]] bool holds() const noexcept { return held_first_ < held_.size(); }
  [[nodiscard]] size_t sendable_bytes() const noexcept;
  [[nodiscard]] uint32_t interest() const noexcept;
  void watch_writable(bool watch);
  void forget_held();
  bool send();
  void go_on();
  void linger();

  [[nodiscard]] Phase current_phase() const noexcept;
  [[nodiscard]] uint64_t timeout_ms(Phase phase) const noexcept;
  void update_deadline();
  void account(size_t held_bytes);
  void on_deadline();

  Server& server_;
  const uint64_t id_;
  sys::Fd fd_;
  sys::EventLoop::Token token_ = 0;  // 0: not registered yet

  RequestParser parser_;
  std::vector<char> rest_;  // received, not fully parsed
  Current current_;
  uint64_t requests_ = 0;  // so far; identifies deferred ones

  OutputBuffer output_;
  uint64_t sent_ = 0;  // bytes sent
  std::vector<Held> held_;
  size_t held_first_ = 0;

  sys::Timer deadline_;
  Phase phase_ = Phase::idle;
  size_t untaken_bytes_ = 0;  // sending: bytes that the kernel held when the deadline was set
  size_t lingered_bytes_ = 0;
  size_t accounted_bytes_ = 0;  // its part of ServerStats::bytes_held

  const bool duplicated_;
  bool readable_ = true;          // edge-triggered: until a read finds nothing
  bool end_announced_ = false;    // an event announced the end of the input
  bool input_ended_ = false;      // the peer shut down its side
  bool writable_ = true;          // until a write finds no room
  bool awaits_writable_ = false;  // the loop watches for it
  bool progress_ = true;          // since the deadline was last set
  bool stalled_ = false;          // rest_ holds bytes that the parser has not seen
  bool last_answer_ = false;      // "Connection: close" was sent: no further request
  bool lingering_ = false;
};

}  // namespace espora::http
