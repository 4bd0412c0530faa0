#include "http/connection.h"

#include <algorithm>
#include <cstring>

#include "http/server.h"
#include "sys/check.h"
#include "sys/limits.h"
#include "sys/sockets.h"

namespace espora::http {

using sys::Events;

namespace {

// What the loop reports for every connection. Writability only while it is needed: a unix socket
// reports it after each read of its peer, which would cost a turn for nothing.
constexpr uint32_t basic_interest = Events::readable | Events::read_hang_up | Events::edge;

// Makes the response at `begin` of `output` announce that it is the connection's last. Connection
// is the last field of a head that has it.
void insert_close(OutputBuffer& output, size_t begin) {
  constexpr std::string_view keep_alive = "\r\nConnection: keep-alive";
  const std::string_view all = output.view();
  const size_t head_end = all.find("\r\n\r\n", begin);
  std::string_view head = all.substr(0, head_end);
  if (head.ends_with(keep_alive)) head.remove_suffix(keep_alive.size());
  OutputBuffer changed;
  changed.append(head);
  changed.append("\r\nConnection: close");
  changed.append(all.substr(head_end));
  output.swap(changed);
}

}  // namespace

Connection::Connection(Server& server, uint64_t id, sys::Fd fd, bool duplicated)
    : server_(server),
      id_(id),
      fd_(std::move(fd)),
      parser_(server.options_.body_bytes_max),
      deadline_([](sys::Timer&, void* self) { static_cast<Connection*>(self)->on_deadline(); },
                this),
      duplicated_(duplicated) {}

Connection::~Connection() { ESPORA_CHECK(!fd_.valid()); }

void Connection::start() {
  update_deadline();
  // Often the first request has already arrived: then it needs no event of its own.
  read();
  if (!fd_.valid()) return;
  auto token = server_.loop_.add(fd_.get(), interest(), *this);
  if (!token.ok()) {
    close();  // ENOMEM or ENOSPC of epoll_ctl(2): only this client is refused
    return;
  }
  token_ = token.value();
}

void Connection::close() {
  if (!fd_.valid()) return;
  server_.loop_.timers().disarm(deadline_);
  if (token_ != 0) {
    if (duplicated_) {
      server_.loop_.remove(token_, fd_.get());
    } else {
      server_.loop_.forget(token_);
    }
  }
  fd_.reset();
  output_.release();
  forget_held();
  account(0);
  server_.on_closed(*this);
}

void Connection::on_events(uint32_t events) {
  if ((events & (Events::read_hang_up | Events::hang_up | Events::error)) != 0) {
    end_announced_ = true;
    readable_ = true;
  }
  if ((events & Events::readable) != 0) readable_ = true;
  if ((events & Events::writable) != 0 && !writable_) {
    writable_ = true;
    go_on();
  }
  read();
}

uint32_t Connection::interest() const noexcept {
  return awaits_writable_ ? basic_interest | Events::writable : basic_interest;
}

// Does whatever is possible now: sends, parses what waits, and finally closes.
void Connection::go_on() {
  while (fd_.valid()) {
    if (!send()) return;
    if (!stalled_ || !may_parse()) break;
    parse_rest();
  }
  if (!fd_.valid()) return;
  if (output_.empty() && !current_.deferred && !lingering_) {
    if (input_ended_) {
      // An incomplete request is not answered (RFC 9112 8).
      close();
      return;
    }
    // Draining: the connection is idle and everything is answered. One without a request so far
    // gets a little longer, see timeout_ms().
    if (server_.draining_ && parser_.idle() && requests_ > 0) last_answer_ = true;
    if (last_answer_) {
      linger();
      return;
    }
  }
  update_deadline();
}

// --- Input ---------------------------------------------------------------------------------------

// Bounded, so that a peer that sends continuously does not keep the others waiting.
void Connection::read() {
  for (int portion = 0; fd_.valid() && readable_ && !input_ended_; ++portion) {
    if (!lingering_ && !may_parse()) return;
    if (portion == limits::http_reads_per_turn_max) {
      // If it is not registered yet, the loop will report what is left anyway.
      if (token_ != 0) server_.loop_.redispatch(token_, Events::readable);
      return;
    }
    if (lingering_) {
      drop_portion();
    } else {
      read_portion();
    }
  }
}

// Reads one portion from the socket, if there is one, parses it and goes on.
void Connection::read_portion() {
  std::vector<char>& buffer = server_.receive_buffer_;
  const size_t before = rest_.size();
  const size_t room = buffer.size() - before;
  ESPORA_CHECK(before < buffer.size());
  const sys::IoResult got = sys::receive(fd_.get(), buffer.data() + before, room);
  if (got.again) {
    readable_ = false;
    return;
  }
  if (got.error != 0) {
    // ECONNRESET, ETIMEDOUT: the peer has closed and gets no answers.
    close();
    return;
  }
  if (got.end) {
    input_ended_ = true;
    go_on();
    return;
  }
  server_.stats_.bytes_in.add(got.bytes);
  // epoll(7): a short read has emptied the socket. Not if an end of stream follows the bytes: this
  // event announced it, and there will be no other.
  if (got.bytes < room && !end_announced_) readable_ = false;
  if (before != 0) std::memcpy(buffer.data(), rest_.data(), before);
  parse(buffer.data(), buffer.data() + before + got.bytes);
  go_on();
}

// Reads and drops a portion while the connection lingers.
void Connection::drop_portion() {
  std::vector<char>& buffer = server_.receive_buffer_;
  const sys::IoResult got = sys::receive(fd_.get(), buffer.data(), buffer.size());
  if (got.again) {
    readable_ = false;
    return;
  }
  server_.stats_.bytes_in.add(got.bytes);
  lingered_bytes_ += got.bytes;
  if (got.end || got.error != 0 || lingered_bytes_ > limits::http_linger_bytes_max) {
    close();
  }
}

// Requests wait while an earlier one of the connection is deferred, and while the peer does not
// take its answers: then its sends meet a full socket.
bool Connection::may_parse() const noexcept {
  return !current_.deferred && !last_answer_ && output_.size() < limits::http_output_bytes_max;
}

void Connection::parse_rest() {
  std::vector<char>& buffer = server_.receive_buffer_;
  const size_t bytes = rest_.size();
  std::memcpy(buffer.data(), rest_.data(), bytes);
  parse(buffer.data(), buffer.data() + bytes);
}

// Parses and serves [begin, end), which lies in the receive buffer and holds everything that was
// received and not yet parsed; moves what is left of it to rest_.
void Connection::parse(char* begin, char* end) {
  stalled_ = false;
  while (begin < end) {
    if (!may_parse()) {
      stalled_ = true;
      break;
    }
    const RequestParser::Outcome outcome = parser_.parse({begin, end});
    if (outcome == RequestParser::Outcome::need_more) break;
    switch (outcome) {
      case RequestParser::Outcome::need_more:
        break;
      case RequestParser::Outcome::head:
        on_head(static_cast<size_t>(end - begin));
        break;
      case RequestParser::Outcome::complete:
        on_complete();
        begin += parser_.consumed();
        parser_.next();
        if (!current_.deferred) current_ = {};
        break;
      case RequestParser::Outcome::error:
        on_parse_error();
        break;
    }
  }
  if (last_answer_) {
    begin = end;  // nothing after the last answer is a request
    stalled_ = false;
  } else if (begin < end && current_.head_known) {
    end = begin + parser_.close_gap({begin, end});
  }
  if (rest_.capacity() > limits::http_rest_bytes_kept_max &&
      static_cast<size_t>(end - begin) <= limits::http_rest_bytes_kept_max) {
    std::vector<char>(begin, end).swap(rest_);
  } else {
    rest_.assign(begin, end);
  }
}

// `received`: bytes since the request's first one.
void Connection::on_head(size_t received) {
  const Request& request = parser_.request();
  current_.head_known = true;
  current_.to_head = request.method == "HEAD";
  current_.verdict = server_.handler_.on_head(request);
  if (current_.verdict.refusal == nullptr) {
    if (!parser_.awaits_continue(received)) return;
    if (output_.capacity() == 0) output_ = server_.take_buffer();
    append_continue(output_);
  } else if (request.expects_continue &&
             request.content_length <= server_.options_.body_bytes_max) {
    // RFC 9110 10.1.1: if the head decides, a client waiting for 100 Continue gets the final status
    // at once; also if its body has already arrived, so that cuts change nothing.
    current_.refused_early = true;
    count_request();
    choose_persistence(request);
    append({.error = current_.verdict.refusal, .allow = current_.verdict.allow});
  }
}

void Connection::on_complete() {
  const Request& request = parser_.request();
  progress_ = true;
  if (current_.refused_early) return;
  current_.head_known = false;  // none of it is left to read, though its answer may be deferred
  count_request();
  choose_persistence(request);
  if (current_.verdict.refusal != nullptr) {
    append({.error = current_.verdict.refusal, .allow = current_.verdict.allow});
    return;
  }
  server_.handler_.on_request(request, current_.verdict.tag, *this);
  ESPORA_CHECK(current_.answered || current_.deferred);
}

void Connection::count_request() {
  ++server_.stats_.requests;
  ++requests_;
}

void Connection::choose_persistence(const Request& request) {
  last_answer_ = server_.draining_ || !request.keep_alive;
  current_.persistence = last_answer_              ? Persistence::close
                         : request.says_keep_alive ? Persistence::say_keep_alive
                                                   : Persistence::keep;
}

void Connection::on_parse_error() {
  if (current_.refused_early) {
    last_answer_ = true;  // this request is already answered
    return;
  }
  count_request();
  // 404 and 405 come before 413 in the order of checks: they are sent with the body unread.
  if (current_.head_known && current_.verdict.refusal != nullptr && parser_.error().status == 413) {
    append_last(*current_.verdict.refusal, current_.verdict.allow);
  } else {
    append_last(parser_.error(), {});
  }
}

// --- Answers -------------------------------------------------------------------------------------

void Connection::answer(const Answer& answer) {
  ESPORA_CHECK(!current_.answered && !current_.deferred);
  current_.answered = true;
  append(answer);
}

void Connection::defer() {
  ESPORA_CHECK(!current_.answered && !current_.deferred);
  current_.deferred = true;
}

void Connection::answer_deferred(uint64_t request, const Answer& answer) {
  if (!current_.deferred || request != requests_) return;
  if (server_.draining_ || last_answer_) {
    // Persistence may have been decided before draining or the last answer.
    last_answer_ = true;
    current_.persistence = Persistence::close;
  }
  append(answer);
  current_ = {};
  go_on();
  read();
}

void Connection::append(const Answer& answer) {
  if (output_.capacity() == 0) output_ = server_.take_buffer();
  const uint64_t begin = output_end();
  ResponseHead head;
  head.persistence = current_.persistence;
  head.without_body = current_.to_head;
  write(head, answer);
  hold_or_count(begin, answer.gate, answer.status());
}

void Connection::write(const ResponseHead& head, const Answer& answer) {
  if (answer.error == nullptr) {
    append_response(output_, head, server_.date(), answer.body);
    return;
  }
  ResponseHead refusal = head;
  refusal.allow = answer.allow;
  append_error_response(output_, refusal, server_.date(), *answer.error);
}

// An answer after which the connection closes, even if the client asked to keep it.
void Connection::append_last(const Error& error, std::string_view allow) {
  last_answer_ = true;
  current_.persistence = Persistence::close;
  append({.error = &error, .allow = allow});
}

void Connection::hold_or_count(uint64_t begin, Gate gate, uint16_t status) {
  if (gate <= server_.gate_ && !holds()) {
    server_.count_answer(status);
    return;
  }
  if (!holds()) {
    server_.hold(id_);
  }
  const Gate before = holds() ? held_.back().gate : 0;  // answers leave in order
  held_.push_back({begin, output_end(), std::max(gate, before), gate, current_.verdict.tag, status,
                   current_.to_head, current_.persistence});
}

bool Connection::open_gate(Gate gate) {
  while (holds() && held_[held_first_].gate <= gate) {
    server_.count_answer(held_[held_first_].status);
    ++held_first_;
  }
  const bool still_holds = holds();
  if (!still_holds) forget_held();
  go_on();
  read();
  return still_holds;
}

void Connection::fail_held(const Error& error) {
  OutputBuffer kept = server_.take_buffer();
  kept.append(output_.view().substr(0, sendable_bytes()));
  output_.swap(kept);
  for (size_t i = held_first_; i < held_.size(); ++i) {
    ResponseHead head;
    head.without_body = held_[i].without_body;
    // A deferred answer may follow them: then that is the last.
    const bool last = i + 1 == held_.size() && !current_.deferred;
    head.persistence = last ? Persistence::close : Persistence::keep;
    append_error_response(output_, head, server_.date(), error);
    server_.count_answer(error.status);
  }
  forget_held();
  last_answer_ = true;
  stalled_ = false;
  rest_.clear();
  go_on();
}

void Connection::take_back(const Remake& remake) {
  OutputBuffer old = server_.take_buffer();
  old.append(output_.view().substr(0, sendable_bytes()));
  old.swap(output_);
  const auto keep = [&](uint64_t from, uint64_t to) {
    output_.append(old.view().substr(static_cast<size_t>(from - sent_), to - from));
  };
  const uint64_t end = sent_ + old.size();
  for (size_t i = held_first_; i < held_.size(); ++i) {
    const Held& held = held_[i];
    if (held.own_gate <= server_.gate_) {
      keep(held.begin, held.end);
      server_.count_answer(held.status);
    } else {
      const Answer answer = remake(held.tag);
      ESPORA_CHECK(answer.gate <= server_.gate_);
      ResponseHead head;
      head.without_body = held.without_body;
      head.persistence = held.persistence;
      write(head, answer);
      server_.count_answer(answer.status());
    }
    // 100 Continue of the request after it.
    keep(held.end, i + 1 < held_.size() ? held_[i + 1].begin : end);
  }
  server_.give_back(std::move(old));
  forget_held();
  go_on();
  read();
}

// Adds "Connection: close" to the last held answer, made before that was known.
void Connection::say_close() {
  insert_close(output_, static_cast<size_t>(held_.back().begin - sent_));
  held_.back().end = output_end();
  held_.back().persistence = Persistence::close;
  last_answer_ = true;
}

void Connection::forget_held() {
  held_.clear();
  held_first_ = 0;
  if (held_.capacity() > limits::http_held_kept_max) std::vector<Held>().swap(held_);
}

size_t Connection::sendable_bytes() const noexcept {
  return holds() ? static_cast<size_t>(held_[held_first_].begin - sent_) : output_.size();
}

// Sends what may leave. False: the connection is closed.
bool Connection::send() {
  while (writable_) {
    const size_t sendable = sendable_bytes();
    if (sendable == 0) break;
    const sys::IoResult put = sys::send(fd_.get(), output_.data(), sendable);
    if (put.again) {
      writable_ = false;
      watch_writable(true);
      break;
    }
    if (put.error != 0) {
      // EPIPE, ECONNRESET: the peer receives no more answers.
      close();
      return false;
    }
    server_.stats_.bytes_out.add(put.bytes);
    output_.consume(put.bytes);
    sent_ += put.bytes;
    progress_ = true;
  }
  if (writable_) watch_writable(false);
  if (output_.empty() && output_.capacity() != 0) server_.give_back(std::move(output_));
  return true;
}

void Connection::watch_writable(bool watch) {
  if (watch == awaits_writable_) return;
  awaits_writable_ = watch;
  if (token_ != 0) server_.loop_.modify(token_, fd_.get(), interest());
}

// RFC 9112 9.6: after the last answer our side is shut down first, and what still arrives is read
// and dropped: unread bytes would turn our close into a reset that destroys the answer.
void Connection::linger() {
  lingering_ = true;
  std::vector<char>().swap(rest_);
  sys::shutdown_write(fd_.get());
  progress_ = true;
  update_deadline();
  read();
}

// --- Ends ----------------------------------------------------------------------------------------

void Connection::drain() {
  readable_ = true;
  read();
  if (!fd_.valid() || last_answer_) return;
  if (holds() && !current_.deferred && parser_.idle()) say_close();
  progress_ = true;
  go_on();
}

Connection::Phase Connection::current_phase() const noexcept {
  if (lingering_) return Phase::lingering;
  if (!writable_ && sendable_bytes() != 0) return Phase::sending;
  if (holds() || current_.deferred) return Phase::answering;
  if (current_.head_known) return Phase::body;
  return parser_.idle() ? Phase::idle : Phase::head;
}

uint64_t Connection::timeout_ms(Phase phase) const noexcept {
  switch (phase) {
    case Phase::idle:
      // While draining, the first request of a client that just connected may be on its way.
      return server_.draining_ ? limits::http_drain_grace_ms
                               : server_.options_.keep_alive_timeout_ms;
    case Phase::head:
      return server_.options_.header_timeout_ms;
    case Phase::body:
      return server_.options_.body_timeout_ms;
    // Not caused by the peer: the deadline is set anew after the answer.
    case Phase::answering:
      return server_.options_.keep_alive_timeout_ms;
    case Phase::sending:
      return server_.options_.write_timeout_ms;
    case Phase::lingering:
      return limits::http_linger_ms;
  }
  return 0;
}

// A new phase, or a whole step within one, restarts the time; single bytes do not: waiting for a
// peer that trickles bytes is not worthwhile.
void Connection::update_deadline() {
  account(output_.capacity() + rest_.capacity() + held_.capacity() * sizeof(Held));
  const Phase phase = current_phase();
  if (phase == phase_ && !progress_) return;
  phase_ = phase;
  progress_ = false;
  if (phase == Phase::sending) untaken_bytes_ = sys::unacknowledged_bytes(fd_.get());
  server_.loop_.timers().arm(deadline_, server_.loop_.now_ms() + timeout_ms(phase));
}

void Connection::account(size_t held_bytes) {
  if (held_bytes == accounted_bytes_) return;
  // A negative difference wraps around, and so does the sum.
  server_.stats_.bytes_held.add(held_bytes - accounted_bytes_);
  accounted_bytes_ = held_bytes;
}

void Connection::on_deadline() {
  switch (phase_) {
    case Phase::answering:
      progress_ = true;
      update_deadline();
      return;
    case Phase::head:
    case Phase::body:
      ++server_.stats_.timeouts;
      if (current_.refused_early) {
        last_answer_ = true;
      } else {
        append_last(errors::request_timeout, {});
      }
      go_on();
      return;
    case Phase::sending:
      // A peer that slowly takes what the kernel holds for it raises no events for a long time.
      if (sys::unacknowledged_bytes(fd_.get()) != untaken_bytes_) {
        progress_ = true;
        update_deadline();
        return;
      }
      [[fallthrough]];
    case Phase::idle:
    case Phase::lingering:
      ++server_.stats_.timeouts;
      close();
      return;
  }
}

}  // namespace espora::http
