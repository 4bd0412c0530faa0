#include "forward/session.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "sys/limits.h"

namespace espora::forward {

using sys::Connecting;
using sys::ConnectOutcome;
using sys::Events;

Session::Session(SessionHost& host, sys::Fd client, bool client_tcp)
    : host_(host),
      relay_(host.loop, host.buffers, host.scratch, *this),
      timer_([](sys::Timer&, void* self) { static_cast<Session*>(self)->on_deadline(); }, this) {
  relay_.client.fd = std::move(client);
  relay_.client.tcp = client_tcp;
}

void Session::open() { dial(); }

void Session::end(SessionEnd reason) {
  phase_ = Phase::ended;
  host_.loop.timers().disarm(timer_);
  relay_.close();
  host_.on_end(*this, reason);
  host_.loop.retire(std::unique_ptr<sys::Retired>(this));
}

void Session::arm(uint64_t delay_ms) {
  if (delay_ms == 0) {
    host_.loop.timers().disarm(timer_);
  } else {
    host_.loop.timers().arm(timer_, host_.loop.now_ms() + delay_ms);
  }
}

void Session::on_side_events(Side& side, uint32_t events) {
  if (phase_ == Phase::connecting) {
    finish_connect(events);
    // The same edge may have told of bytes as well.
    if (phase_ != Phase::relaying) return;
  }
  relay_.on_events(side, events);
  after_relay();
}

// --- finding an upstream ---------------------------------------------------------------------

// Goes on with the attempts until one is under way, one succeeded, or none is left.
void Session::dial() {
  for (;;) {
    if (addresses_left_ == 0 && !choose_upstream()) {
      wait_or_give_up();
      return;
    }
    Connecting attempt = connect_once();
    relay_.upstream.fd = std::move(attempt.fd);
    switch (attempt.outcome) {
      case ConnectOutcome::connected:
        start_relay();
        return;
      case ConnectOutcome::in_progress:
        await_connect();
        return;
      case ConnectOutcome::backlog_full:
      case ConnectOutcome::local_error:
        postpone(attempt.error);
        break;
      case ConnectOutcome::refused:
        address_failed(attempt.error);
        break;
    }
  }
}

bool Session::choose_upstream() {
  const bool first = tried_.none();
  upstream_ = host_.choose(tried_);
  if (!upstream_.has_value()) return false;
  tried_.set(*upstream_);
  if (!first) host_.on_retry();
  const Upstream& upstream = host_.upstream(*upstream_);
  address_ = upstream.preferred;
  addresses_left_ = upstream.addresses.size();
  timed_out_ = false;
  return true;
}

Connecting Session::connect_once() {
  const sys::ResolvedAddress& address = host_.upstream(*upstream_).addresses[address_];
  Connecting attempt = sys::start_connect(address);
  if (attempt.outcome == ConnectOutcome::local_error && host_.on_local_error(attempt.error)) {
    attempt = sys::start_connect(address);
  }
  return attempt;
}

// The address that was tried last does not take us; after its last address the upstream has failed.
void Session::address_failed(int error) {
  drop_attempt();
  --addresses_left_;
  address_ = (address_ + 1) % host_.upstream(*upstream_).addresses.size();
  if (addresses_left_ == 0) host_.on_connect_failed(*upstream_, error);
}

// Says nothing about the upstream: its queue is full (unix sockets tell by no event when it no
// longer is) or we are short of something. Another address or upstream first, then this one again.
void Session::postpone(int error) {
  drop_attempt();
  later_error_ = error;
  --addresses_left_;
  address_ = (address_ + 1) % host_.upstream(*upstream_).addresses.size();
  if (addresses_left_ == 0) later_.set(*upstream_);
}

void Session::await_connect() {
  Side& side = relay_.upstream;
  side.wants_writable = true;
  auto token = host_.loop.add(side.fd.get(), Relay::interest(side), side);
  if (!token.ok()) {
    host_.on_local_error(token.status().error());
    end(SessionEnd::local_error);
    return;
  }
  side.token = token.value();
  phase_ = Phase::connecting;
  arm(host_.deadlines.connect_ms);
}

void Session::finish_connect(uint32_t events) {
  if ((events & (Events::writable | Events::error | Events::hang_up)) == 0) return;
  int error = sys::socket_error(relay_.upstream.fd.get());
  if (error == 0 && (events & Events::writable) == 0) error = ECONNRESET;
  if (error == 0 && sys::is_connected_to_itself(relay_.upstream.fd.get())) error = ECONNREFUSED;
  if (error == 0) {
    start_relay();
    return;
  }
  address_failed(error);
  dial();
}

void Session::drop_attempt() noexcept {
  Side& side = relay_.upstream;
  if (side.token != 0) host_.loop.forget(side.token);
  side.token = 0;
  side.wants_writable = false;
  side.fd.reset();
}

void Session::wait_or_give_up() {
  const uint64_t now_ms = host_.loop.now_ms();
  if (later_.none()) {
    end(timed_out_ ? SessionEnd::connect_timeout : SessionEnd::unreachable);
    return;
  }
  if (phase_ != Phase::waiting) {
    phase_ = Phase::waiting;
    rest_ms_ = limits::connect_retry_ms;
    if (give_up_at_ms_ == 0) give_up_at_ms_ = now_ms + host_.deadlines.connect_ms;
  } else {
    rest_ms_ = std::min(2 * rest_ms_, limits::connect_retry_ms_max);
  }
  const bool backlog = later_error_ == EAGAIN;
  if (now_ms >= give_up_at_ms_) {
    end(backlog ? SessionEnd::connect_timeout : SessionEnd::local_error);
    return;
  }
  if (backlog) host_.on_backlog_wait();
  tried_ &= ~later_;
  later_.reset();
  arm(std::min(rest_ms_, give_up_at_ms_ - now_ms));
}

// --- relaying --------------------------------------------------------------------------------

void Session::start_relay() {
  Upstream& upstream = host_.upstream(*upstream_);
  upstream.preferred = address_;
  phase_ = Phase::relaying;
  connected_ = true;
  host_.on_connected(*upstream_);
  relay_.upstream.tcp = upstream.tcp;
  relay_.upstream.sent_bytes = &upstream.bytes_to;
  relay_.client.sent_bytes = &upstream.bytes_from;
  arm(host_.deadlines.idle_ms);
  const bool read_first = host_.expects_first_bytes();
  const sys::Status status = relay_.start(read_first);
  if (!status.ok()) {
    host_.on_local_error(status.error());
    end(SessionEnd::local_error);
    return;
  }
  if (read_first) {
    host_.on_first_read(relay_.progress());
    after_relay();
  }
}

void Session::after_relay() {
  switch (relay_.state()) {
    case Relay::State::open:
      if (relay_.take_progress()) arm(host_.deadlines.idle_ms);
      break;
    case Relay::State::half_closed:
      if (!relay_.take_progress()) break;
      arm(host_.deadlines.half_closed_ms != 0 ? host_.deadlines.half_closed_ms
                                              : host_.deadlines.idle_ms);
      break;
    case Relay::State::resetting:
      if (phase_ == Phase::resetting) break;
      phase_ = Phase::resetting;
      rest_ms_ = limits::reset_check_ms;
      give_up_at_ms_ = host_.loop.now_ms() + limits::reset_wait_ms_max;
      arm(rest_ms_);
      break;
    case Relay::State::ended:
      end(reason());
      break;
  }
}

SessionEnd Session::reason() const noexcept {
  if (relay_.failed_side() == nullptr) return SessionEnd::normal;
  return relay_.failed_side() == &relay_.client ? SessionEnd::client : SessionEnd::upstream;
}

void Session::on_deadline() {
  switch (phase_) {
    case Phase::connecting:
      timed_out_ = true;
      addresses_left_ = 1;  // the time was for all of them
      address_failed(ETIMEDOUT);
      dial();
      break;
    case Phase::waiting:
      dial();
      break;
    case Phase::relaying:
      end(relay_.state() == Relay::State::half_closed ? SessionEnd::half_closed : SessionEnd::idle);
      break;
    case Phase::resetting:
      if (relay_.check_reset() || host_.loop.now_ms() >= give_up_at_ms_) {
        end(reason());
        break;
      }
      rest_ms_ = std::min(2 * rest_ms_, limits::reset_check_ms_max);
      arm(rest_ms_);
      break;
    case Phase::ended:
      break;
  }
}

}  // namespace espora::forward
