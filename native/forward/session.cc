#include "forward/session.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "sys/clock.h"
#include "sys/limits.h"

namespace espora::forward {

using sys::Connecting;
using sys::ConnectOutcome;
using sys::Events;

namespace {

uint64_t microseconds_since(uint64_t then_ns) noexcept {
  return (sys::monotonic_ns() - then_ns) / 1'000;
}

}  // namespace

Session::Session(SessionHost& host, sys::Fd client, bool client_tcp,
                 const std::optional<sys::Endpoint>& peer, bool client_shared)
    : host_(host),
      relay_(host.loop, host.buffers, host.pipes, host.scratch, *this),
      timer_([](sys::Timer&, void* self) { static_cast<Session*>(self)->on_deadline(); }, this),
      accepted_ns_(sys::monotonic_ns()),
      peer_(peer) {
  relay_.client.fd = std::move(client);
  relay_.client.tcp = client_tcp;
  relay_.client.shared = client_shared;
}

void Session::open() {
  const ProxyOptions& proxy = host_.proxy;
  if (relay_.client.tcp && !peer_.has_value() && (proxy.send || !proxy.from.empty())) {
    peer_ = sys::peer_endpoint(relay_.client.fd.get());
  }
  if (relay_.client.tcp && proxy.send) {
    const auto destination = sys::local_endpoint(relay_.client.fd.get());
    if (!peer_.has_value() || !destination.has_value()) {
      // It has closed, and upstreams would take our own address for the client's.
      end(SessionEnd::client);
      return;
    }
    proxied_ = {*peer_, *destination};
  }
  if (owes_header()) {
    await_header();
  } else {
    dial();
  }
}

void Session::end(SessionEnd reason) {
  phase_ = Phase::ended;
  host_.loop.timers().disarm(timer_);
  relay_.close();
  if (connected_) {
    host_.upstreams.on_session_end(*upstream_, addresses_, facts(reason),
                                   microseconds_since(accepted_ns_));
  }
  leave_upstream();
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

// Something has just moved: nothing may move for another `silence_ms` (0: no limit), and the
// upstream's time for an answer starts again.
void Session::arm_relay(uint64_t silence_ms) {
  const uint64_t now_ms = host_.loop.now_ms();
  const auto in = [&](uint64_t delay_ms) { return delay_ms == 0 ? never_ms : now_ms + delay_ms; };
  const bool owes_answer = relay_.client.spoke && !answered_ && !silence_told_;
  silence_ms_ = silence_ms;
  silent_at_ms_ = in(silence_ms);
  answer_at_ms_ = owes_answer ? in(host_.deadlines.answer_ms) : never_ms;
  unread_bytes_ = SIZE_MAX;
  arm_nearest();
}

void Session::arm_nearest() {
  const uint64_t nearest_ms = std::min({silent_at_ms_, answer_at_ms_, ends_at_ms_});
  if (nearest_ms == never_ms) {
    host_.loop.timers().disarm(timer_);
  } else {
    host_.loop.timers().arm(timer_, nearest_ms);
  }
}

void Session::on_side_events(Side& side, uint32_t events) {
  if (phase_ == Phase::header) {
    read_header(events);
    return;
  }
  if (phase_ == Phase::connecting) {
    finish_connect(events);
    // The same event may have reported bytes as well.
    if (phase_ != Phase::relaying) return;
  }
  relay_.on_events(side, events);
  after_relay();
}

// --- the PROXY header ------------------------------------------------------------------------

bool ProxyOptions::owed_by(bool tcp, const std::optional<sys::Endpoint>& peer) const noexcept {
  if (!tcp) return from_unix;
  if (from.empty()) return false;
  return !peer.has_value() ||
         std::any_of(from.begin(), from.end(),
                     [&](const sys::IpNetwork& network) { return network.contains(peer->ip); });
}

bool Session::owes_header() const noexcept { return host_.proxy.owed_by(relay_.client.tcp, peer_); }

void Session::refuse_header(const char* why) {
  host_.on_header_refused(peer_, why);
  end(SessionEnd::proxy_header);
}

// Asks the loop for the events of a side. False: it could not, and the session has ended.
bool Session::watch(Side& side) {
  auto token = host_.loop.add(side.fd.get(), Relay::interest(side), side);
  if (!token.ok()) {
    host_.on_local_error(token.status().error());
    end(SessionEnd::local_error);
    return false;
  }
  side.token = token.value();
  return true;
}

void Session::await_header() {
  phase_ = Phase::header;
  if (!watch(relay_.client)) return;
  arm(limits::proxy_header_wait_ms);
}

// The bytes stay in the socket until the header is complete; what follows it stays anyway.
void Session::read_header(uint32_t events) {
  const sys::IoResult seen =
      sys::peek(relay_.client.fd.get(), host_.scratch.data(), limits::proxy_header_bytes_max);
  if (seen.again) return;
  if (seen.bytes == 0) {
    end(SessionEnd::client);
    return;
  }
  const ProxyHeader header = parse_proxy_header(host_.scratch.first(seen.bytes));
  constexpr uint32_t ending = Events::read_hang_up | Events::hang_up | Events::error;
  if (header.outcome == ProxyParse::invalid) {
    refuse_header(header.why);
    return;
  }
  if (header.outcome == ProxyParse::incomplete && (events & ending) != 0) {
    refuse_header("was cut off: the client ended its stream inside it");
    return;
  }
  if (header.outcome == ProxyParse::incomplete) return;
  // One without addresses (LOCAL, UNKNOWN) leaves the socket's own addresses in effect.
  if (header.connection.has_value()) proxied_ = header.connection;
  take_header(header.bytes);
}

void Session::take_header(size_t bytes) {
  for (size_t left = bytes; left > 0;) {
    const sys::IoResult taken = sys::receive(relay_.client.fd.get(), host_.scratch.data(), left);
    if (taken.bytes == 0) {
      end(SessionEnd::client);
      return;
    }
    left -= taken.bytes;
  }
  // The relay registers it again, and is then told what happened meanwhile.
  host_.loop.remove(std::exchange(relay_.client.token, 0), relay_.client.fd.get());
  host_.loop.timers().disarm(timer_);
  dial();
}

// Begins the upstream's stream with the client's address. 0 or an errno.
int Session::send_header() noexcept {
  if (!host_.proxy.send) return 0;
  std::byte header[limits::proxy_header_written_bytes];
  const size_t count = write_proxy_header(proxied_, header);
  const sys::IoResult sent = sys::send(relay_.upstream.fd.get(), header, count);
  // A new connection takes this much at once.
  return sent.bytes == count ? 0 : (sent.error != 0 ? sent.error : ECONNRESET);
}

// --- finding an upstream ---------------------------------------------------------------------

// Continues the attempts until one is under way, one succeeded, or none is left.
void Session::dial() {
  for (;;) {
    if (!upstream_.has_value() && !choose_upstream()) {
      wait_or_give_up();
      return;
    }
    const sys::ResolvedAddress* address = host_.upstreams.next_address(*upstream_, addresses_);
    if (address == nullptr) {
      give_up_upstream();
      continue;
    }
    Connecting attempt = connect_once(*address);
    relay_.upstream.fd = std::move(attempt.fd);
    switch (attempt.outcome) {
      case ConnectOutcome::connected:
        if (const int error = send_header(); error != 0) {
          address_failed(error);
          break;
        }
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
  const UpstreamChooser::Choice choice = host_.upstreams.choose(tried_);
  full_ = choice.kind == UpstreamChooser::Choice::Kind::full;
  if (choice.kind != UpstreamChooser::Choice::Kind::chosen) return false;
  upstream_ = choice.upstream;
  tried_.set(*upstream_);
  if (!first) host_.on_retry();
  addresses_ = {};
  postponed_ = false;
  error_ = 0;
  return true;
}

void Session::leave_upstream() {
  if (!upstream_.has_value()) return;
  host_.upstreams.leave(*upstream_);
  upstream_.reset();
}

Connecting Session::connect_once(const sys::ResolvedAddress& address) {
  dialled_ns_ = sys::monotonic_ns();
  Connecting attempt = sys::start_connect(address);
  if (attempt.outcome == ConnectOutcome::local_error && host_.on_local_error(attempt.error)) {
    attempt = sys::start_connect(address);
  }
  return attempt;
}

// The address that was tried last did not accept.
void Session::address_failed(int error) {
  drop_attempt();
  error_ = error;
  host_.upstreams.on_address_failed(*upstream_, addresses_);
}

// Says nothing about the address: its queue is full (unix sockets have no event for its end) or we
// lack a resource. Another address or upstream is tried first, then this one again.
void Session::postpone(int error) {
  drop_attempt();
  later_error_ = error;
  postponed_ = true;
}

// None of its addresses accepted.
void Session::give_up_upstream() {
  if (postponed_) {
    later_.set(*upstream_);
  } else {
    host_.upstreams.on_connect_failed(*upstream_, error_);
  }
  leave_upstream();
}

void Session::await_connect() {
  relay_.upstream.wants_writable = true;
  if (!watch(relay_.upstream)) return;
  phase_ = Phase::connecting;
  arm(host_.deadlines.connect_ms);
}

void Session::finish_connect(uint32_t events) {
  if ((events & (Events::writable | Events::error | Events::hang_up)) == 0) return;
  int error = sys::socket_error(relay_.upstream.fd.get());
  if (error == 0 && (events & Events::writable) == 0) error = ECONNRESET;
  if (error == 0 && sys::is_connected_to_itself(relay_.upstream.fd.get())) error = ECONNREFUSED;
  if (error == 0) error = send_header();
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
  if (full_) later_error_ = EAGAIN;
  if (later_.none() && !full_) {
    end(error_ == ETIMEDOUT ? SessionEnd::connect_timeout : SessionEnd::unreachable);
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
  Upstream& taken = upstream();
  host_.upstreams.on_address_connected(*upstream_, addresses_);
  phase_ = Phase::relaying;
  connected_ = true;
  host_.upstreams.on_connected(*upstream_, microseconds_since(dialled_ns_));
  relay_.upstream.tcp = taken.tcp;
  relay_.upstream.sent_bytes = &taken.counters->bytes_to;
  relay_.client.sent_bytes = &taken.counters->bytes_from;
  connected_ms_ = host_.loop.now_ms();
  if (host_.deadlines.lifetime_ms != 0) ends_at_ms_ = connected_ms_ + host_.deadlines.lifetime_ms;
  arm_relay(host_.deadlines.idle_ms);
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
  note_first_byte();
  switch (relay_.state()) {
    case Relay::State::open:
      if (relay_.take_progress()) arm_relay(host_.deadlines.idle_ms);
      break;
    case Relay::State::half_closed:
      if (!relay_.take_progress()) break;
      arm_relay(host_.deadlines.half_closed_ms != 0 ? host_.deadlines.half_closed_ms
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

void Session::note_first_byte() {
  if (answered_ || !relay_.upstream.spoke) return;
  answered_ = true;
  host_.upstreams.on_first_byte(*upstream_, addresses_);
}

SessionFacts Session::facts(SessionEnd reason) const noexcept {
  return {
      .upstream_spoke = relay_.upstream.spoke,
      .client_spoke = relay_.client.spoke,
      .upstream_ended_first = relay_.first_ended() == &relay_.upstream,
      .early = host_.loop.now_ms() - connected_ms_ <= limits::early_end_ms,
      .silent_too_long = reason == SessionEnd::idle || reason == SessionEnd::half_closed,
      // A timeout of its answer was already reported.
      .by_us = reason == SessionEnd::stopped || reason == SessionEnd::local_error || silence_told_,
  };
}

SessionEnd Session::reason() const noexcept {
  if (relay_.failed_side() == nullptr) return SessionEnd::normal;
  return relay_.failed_side() == &relay_.client ? SessionEnd::client : SessionEnd::upstream;
}

// A peer that slowly takes what the kernel holds for it raises no events for a long time.
bool Session::still_moves() noexcept {
  const size_t before = unread_bytes_;
  unread_bytes_ = sys::unacknowledged_bytes(relay_.client.fd.get()) +
                  sys::unacknowledged_bytes(relay_.upstream.fd.get());
  return unread_bytes_ != 0 && unread_bytes_ != before;
}

void Session::on_relay_deadline() {
  const uint64_t now_ms = host_.loop.now_ms();
  if (now_ms >= ends_at_ms_) {
    end(SessionEnd::lifetime);
    return;
  }
  if (now_ms >= silent_at_ms_) {
    if (!still_moves()) {
      end(relay_.state() == Relay::State::half_closed ? SessionEnd::half_closed : SessionEnd::idle);
      return;
    }
    silent_at_ms_ = now_ms + std::max(silence_ms_ / limits::idle_looks, uint64_t{1});
  }
  if (now_ms >= answer_at_ms_) {
    answer_at_ms_ = never_ms;
    silence_told_ = true;
    host_.upstreams.on_silence(*upstream_, addresses_);
  }
  arm_nearest();
}

void Session::on_deadline() {
  switch (phase_) {
    case Phase::header:
      refuse_header("did not arrive in time");
      break;
    case Phase::connecting:
      address_failed(ETIMEDOUT);
      dial();
      break;
    case Phase::waiting:
      dial();
      break;
    case Phase::relaying:
      on_relay_deadline();
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
