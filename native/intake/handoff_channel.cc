#include "intake/handoff_channel.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "sys/check.h"
#include "sys/limits.h"
#include "sys/socket_passing.h"

namespace espora::intake {

using handoff::Kind;

bool HandoffChannel::start() {
  auto token = loop_.add(fd_.get(), sys::Events::readable, *this);
  if (!token.ok()) return false;
  token_ = token.value();
  return true;
}

HandoffChannel::Sent HandoffChannel::send(std::span<const uint64_t> clients,
                                          std::span<const int> sockets, uint64_t now_ms,
                                          bool report_at_once) {
  ESPORA_CHECK(clients.size() == sockets.size() && !clients.empty());
  if (state_ != State::ready) return Sent::leaving;
  const handoff::Packet packet(Kind::hand, clients, report_at_once ? handoff::report_at_once : 0);
  const sys::IoResult sent = sys::send_sockets(fd_.get(), packet.data(), packet.size(), sockets);
  if (sent.bytes != 0) {
    for (const uint64_t client : clients) offered_.push_back({client, now_ms});
    return Sent::sent;
  }
  if (sent.again) return Sent::full;
  if (sent.error == ETOOMANYREFS || sent.error == ENOMEM || sent.error == ENOBUFS) {
    return Sent::shortage;
  }
  // EPIPE, ECONNRESET, ENOTCONN: it shut down its side, or has ended. Acknowledgements may be
  // queued, so only reading decides when it has ended.
  state_ = State::leaving;
  watch_answers(true);
  loop_.redispatch(token_, sys::Events::readable);
  return Sent::leaving;
}

void HandoffChannel::on_events(uint32_t) {
  // Level-triggered: what is left is reported again, which costs less than asking.
  read_packet(false);
}

bool HandoffChannel::read_packet(bool failed_before) {
  std::array<char, handoff::packet_bytes_max> bytes;
  for (int tries = 0; state_ != State::ended; ++tries) {
    // No descriptors are expected here: any that arrive are closed at once.
    std::array<sys::Fd, 1> unwanted;
    const sys::SocketMessage got =
        sys::receive_sockets(fd_.get(), bytes.data(), bytes.size(), unwanted);
    // Not documented in unix(7): after a peer closed with unread data the first call returns
    // ECONNRESET, but what it sent before can still be read. So an error is not the end.
    if (got.io.error != 0 && tries < limits::handoff_reads_after_error_max) {
      failed_before = true;
      continue;
    }
    if (got.io.again && !failed_before) return false;
    const bool whole = got.io.bytes > 0 && !got.oversized;
    if (whole && understand({bytes.data(), got.io.bytes})) return state_ != State::ended;
    // A peer that sends nonsense cannot be trusted with clients either.
    if (got.io.bytes > 0 && state_ != State::ended) {
      cut();
    } else {
      end();
    }
    return false;
  }
  return false;
}

// False: no valid message of a receiver in its current state.
bool HandoffChannel::understand(std::string_view packet) {
  while (!packet.empty()) {
    const auto message = handoff::take_message(packet);
    if (!message.has_value() || !understand(*message)) return false;
    // The owner has closed it meanwhile, so the rest of the packet is irrelevant.
    if (state_ == State::ended) return true;
  }
  return true;
}

bool HandoffChannel::understand(const handoff::Parsed& message) {
  loop_.add_work(message.count);
  switch (message.kind) {
    case Kind::hello:
      if (state_ != State::greeting || message.count != 0) return state_ == State::leaving;
      state_ = State::ready;
      owner_.on_ready(*this);
      return true;
    case Kind::taken:
      for (size_t i = 0; i < message.count; ++i) {
        if (!settle(message.id(i))) return false;
        owner_.on_taken(*this, message.id(i));
      }
      return true;
    case Kind::refused:
      refusing_until_ms_ = loop_.now_ms() + limits::handoff_refusing_ms;
      for (size_t i = 0; i < message.count; ++i) {
        if (!settle(message.id(i))) return false;
        owner_.on_refused(*this, message.id(i));
      }
      return true;
    case Kind::ended:
      for (size_t i = 0; i < message.count; ++i) owner_.on_client_ended(*this, message.id(i));
      return true;
    case Kind::hand:
      break;
  }
  return false;
}

// False: that client was not offered.
bool HandoffChannel::settle(uint64_t client) {
  // Almost always the first: a receiver answers in order.
  const auto found = std::find_if(offered_.begin(), offered_.end(),
                                  [&](const Offered& each) { return each.client == client; });
  if (found == offered_.end()) return false;
  offered_.erase(found);
  return true;
}

void HandoffChannel::watch_answers(bool wanted) {
  if (wanted == watched_ || token_ == 0) return;
  watched_ = wanted;
  loop_.modify(token_, fd_.get(), wanted ? sys::Events::readable : 0);
}

void HandoffChannel::read_answers(size_t unanswered) {
  // Bounded: a receiver may keep reporting ended clients without answering.
  size_t left = limits::handoff_unacknowledged_max;
  while (left-- > 0 && offered_.size() > unanswered && read_packet(false)) {
  }
}

void HandoffChannel::cut() {
  if (state_ == State::ended) return;
  state_ = State::leaving;
  sys::shutdown_both(fd_.get());
  while (read_packet(true)) {
  }
  end();
}

void HandoffChannel::end() {
  if (state_ == State::ended) return;
  state_ = State::ended;
  if (token_ != 0) loop_.forget(token_);
  token_ = 0;
  fd_.reset();
  owner_.on_channel_ended(*this);
}

}  // namespace espora::intake
