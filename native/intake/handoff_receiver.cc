#include "intake/handoff_receiver.h"

#include <algorithm>
#include <array>
#include <climits>
#include <span>
#include <string_view>
#include <utility>

#include "intake/burst.h"
#include "intake/handoff_protocol.h"
#include "sys/limits.h"
#include "sys/socket_passing.h"

namespace espora::intake {

namespace {

using handoff::Kind;
using handoff::Packet;

}  // namespace

// One sender. Messages leave in this order: hello, taken, refused, ended.
class HandoffReceiver::Channel final : public sys::EventHandler, public sys::Retired {
 public:
  Channel(HandoffReceiver& receiver, uint64_t id, sys::Fd fd)
      : receiver_(receiver), id_(id), fd_(std::move(fd)) {}

  [[nodiscard]] uint64_t id() const noexcept { return id_; }
  [[nodiscard]] bool open() const noexcept { return fd_.valid(); }

  // False if the channel cannot be watched.
  bool start() {
    auto token = receiver_.loop_.add(fd_.get(), interest_, *this);
    if (!token.ok()) return false;
    token_ = token.value();
    flush();
    return true;
  }

  void on_events(uint32_t events) override {
    constexpr uint32_t ending = sys::Events::error | sys::Events::hang_up;
    if (read_done_ && (events & ending) != 0) {
      receiver_.drop(*this);
      return;
    }
    if ((events & (sys::Events::writable | ending)) != 0) flush();
    read(burst_.limit(receiver_.loop_.after_long_turn()));
  }

  void add_ended(uint64_t client) { ended_.push_back(client); }
  [[nodiscard]] bool has_reports() const noexcept { return !ended_.empty(); }
  // Whether reports must not wait.
  [[nodiscard]] bool prompt() const noexcept {
    return prompt_ || ended_.size() >= limits::handoff_ids_max;
  }

  void drain() {
    sys::shutdown_read(fd_.get());
    read(INT_MAX);
  }

  void close() {
    if (!fd_.valid()) return;
    if (token_ != 0) receiver_.loop_.remove(std::exchange(token_, 0), fd_.get());
    receiver_.counters_.unacknowledged.add(taken_.size());
    taken_.clear();
    fd_.reset();
  }

  // Sends all pending messages. May end the channel.
  void flush() {
    while (fd_.valid() && has_something_to_say()) {
      if (!say_next()) break;
    }
    if (!has_reports()) receiver_.forget_unreported(id_);
    if (fd_.valid() && !has_something_to_say()) watch(read_done_ ? 0 : sys::Events::readable);
  }

 private:
  struct Taken {
    uint64_t id;
    sys::Fd fd;
    bool tcp;
  };

  [[nodiscard]] bool has_something_to_say() const noexcept {
    return !greeted_ || !taken_.empty() || !refused_.empty() || !ended_.empty();
  }

  // Sends one packet. False: nothing more can be sent now, or ever.
  bool say_next() {
    if (!greeted_) {
      greeted_ = send(Packet(Kind::hello, {}));
      return greeted_;
    }
    Packet packet;
    // Both answer one received packet, so they fit.
    const size_t answers = taken_.size() + refused_.size();
    if (!taken_.empty()) {
      std::array<uint64_t, limits::handoff_sockets_max> ids;
      for (size_t i = 0; i < taken_.size(); ++i) ids[i] = taken_[i].id;
      packet.add(Kind::taken, std::span(ids).first(taken_.size()));
    }
    if (!refused_.empty()) packet.add(Kind::refused, refused_);
    const size_t reported = std::min(ended_.size(), limits::handoff_ids_max - answers);
    if (reported > 0) packet.add(Kind::ended, std::span(ended_).first(reported));
    if (!send(packet)) return false;
    refused_.clear();
    ended_.erase(ended_.begin(), ended_.begin() + static_cast<ptrdiff_t>(reported));
    // From this moment on this process owns these sockets.
    std::vector<Taken> ours = std::exchange(taken_, {});
    receiver_.counters_.received.add(ours.size());
    for (Taken& each : ours) {
      receiver_.owner_.on_handed(std::move(each.fd), each.tcp, {id_, each.id});
    }
    // The owner may have closed the receiver meanwhile.
    return fd_.valid();
  }

  bool send(const Packet& packet) {
    const sys::IoResult sent = sys::send_sockets(fd_.get(), packet.data(), packet.size(), {});
    if (sent.bytes != 0) return true;
    if (sent.again) {
      // Nothing is received while the answer to an earlier packet waits.
      watch(sys::Events::writable);
      return false;
    }
    receiver_.drop(*this);
    return false;
  }

  [[nodiscard]] bool may_read() const noexcept {
    return fd_.valid() && !read_done_ && taken_.empty() && refused_.empty();
  }

  void read(int packets_max) {
    for (int count = 0; may_read(); ++count) {
      // Level-triggered: what is left is reported again.
      if (count == packets_max) {
        burst_.full(receiver_.loop_.turns());
        return;
      }
      if (!read_packet()) {
        burst_.emptied(count);
        return;
      }
    }
  }

  // False: there is no packet now.
  bool read_packet() {
    std::array<char, handoff::packet_bytes_max> bytes;
    std::array<sys::Fd, limits::handoff_sockets_max> sockets;
    const sys::SocketMessage got =
        sys::receive_sockets(fd_.get(), bytes.data(), bytes.size(), sockets);
    if (got.io.again) return false;
    if (got.io.end && receiver_.draining_) {
      // Caused by drain(): the channel stays for reports, and an event tells when it ends.
      read_done_ = true;
      watch(0);
      return false;
    }
    if (got.io.end || got.io.error != 0) {
      // No acknowledgement can arrive any more: what waits in the channel is closed with it.
      receiver_.drop(*this);
      return false;
    }
    std::string_view rest(bytes.data(), got.io.bytes);
    const auto message = got.oversized ? std::nullopt : handoff::take_message(rest);
    if (!message.has_value() || !rest.empty() || message->kind != Kind::hand ||
        message->count > limits::handoff_sockets_max || got.sockets > message->count) {
      ++receiver_.counters_.strays;
      receiver_.drop(*this);
      return false;
    }
    prompt_ = (message->flags & handoff::report_at_once) != 0;
    receiver_.loop_.add_work(got.sockets);
    sort(*message, std::span(sockets).first(got.sockets));
    flush();
    return true;
  }

  // Decides about each socket of a message.
  void sort(const handoff::Parsed& message, std::span<sys::Fd> sockets) {
    const size_t room = std::min(sockets.size(), receiver_.owner_.room_for_handed());
    for (size_t i = 0; i < room; ++i) {
      const sys::PassedKind kind = sys::adopt_socket(sockets[i].get());
      if (kind == sys::PassedKind::other) {
        ++receiver_.counters_.strays;
        refused_.push_back(message.id(i));
      } else {
        taken_.push_back({message.id(i), std::move(sockets[i]), kind == sys::PassedKind::tcp});
      }
    }
    receiver_.counters_.refused.add(sockets.size() - room);
    receiver_.counters_.truncated.add(message.count - sockets.size());
    for (size_t i = room; i < message.count; ++i) refused_.push_back(message.id(i));
  }

  void watch(uint32_t interest) {
    if (interest == interest_ || token_ == 0) return;
    interest_ = interest;
    receiver_.loop_.modify(token_, fd_.get(), interest);
  }

  HandoffReceiver& receiver_;
  const uint64_t id_;
  sys::Fd fd_;
  sys::EventLoop::Token token_ = 0;
  uint32_t interest_ = sys::Events::readable;
  Burst burst_{limits::handoff_packets_per_event_max};
  bool greeted_ = false;
  bool prompt_ = true;             // ended clients are reported at once
  bool read_done_ = false;         // draining: everything that was on its way has arrived
  std::vector<Taken> taken_;       // received, "taken" not yet sent
  std::vector<uint64_t> refused_;  // "refused" not yet sent
  std::vector<uint64_t> ended_;    // "ended" not yet sent
};

HandoffReceiver::HandoffReceiver(sys::EventLoop& loop, HandoffOwner& owner)
    : loop_(loop),
      owner_(owner),
      door_(*this),
      pause_timer_(
          [](sys::Timer&, void* self) {
            auto* receiver = static_cast<HandoffReceiver*>(self);
            if (receiver->door_.token == 0) return;
            receiver->loop_.modify(receiver->door_.token, receiver->door_.listener.fd(),
                                   sys::Events::readable);
          },
          this),
      flush_timer_(
          [](sys::Timer&, void* self) { static_cast<HandoffReceiver*>(self)->flush_reports(); },
          this) {}

HandoffReceiver::~HandoffReceiver() { close(); }

sys::Status HandoffReceiver::listen(const std::string& socket_path, uint32_t mode,
                                    std::vector<uint32_t> users) {
  users_ = std::move(users);
  auto listener = sys::Listener::unix_path(socket_path + std::string(handoff::path_suffix), mode,
                                           sys::SocketType::seqpacket);
  if (!listener.ok()) return listener.status();
  door_.listener = std::move(listener).value();
  return {};
}

sys::Status HandoffReceiver::start() {
  if (!door_.listener.valid()) return {};
  auto token = loop_.add(door_.listener.fd(), sys::Events::readable, door_);
  if (!token.ok()) return token.status();
  door_.token = token.value();
  return {};
}

void HandoffReceiver::accept_channels() {
  while (door_.listener.valid()) {
    sys::Accepted accepted = sys::accept_connection(door_.listener.fd());
    switch (accepted.outcome) {
      case sys::AcceptOutcome::accepted:
        open_channel(std::move(accepted.fd));
        break;
      case sys::AcceptOutcome::retry:
        break;
      case sys::AcceptOutcome::none:
        return;
      case sys::AcceptOutcome::exhausted:
        if (door_.token != 0) loop_.modify(door_.token, door_.listener.fd(), 0);
        loop_.timers().arm(pause_timer_, loop_.now_ms() + limits::accept_pause_ms);
        return;
    }
  }
}

void HandoffReceiver::open_channel(sys::Fd fd) {
  if (channels_.size() >= limits::handoff_channels_max || !sys::is_trusted_peer(fd.get(), users_)) {
    ++counters_.denied;
    return;
  }
  const uint64_t id = next_channel_++;
  auto channel = std::make_unique<Channel>(*this, id, std::move(fd));
  Channel& opened = *channel;
  channels_.emplace(id, std::move(channel));
  ++counters_.channels;
  if (!opened.start()) drop(opened);
}

void HandoffReceiver::drop(Channel& channel) {
  const auto found = channels_.find(channel.id());
  if (found == channels_.end()) return;
  channel.close();
  loop_.retire(std::move(found->second));
  channels_.erase(found);
}

void HandoffReceiver::report_ended(const HandoffOrigin& origin) {
  const auto found = channels_.find(origin.channel);
  if (found == channels_.end()) return;
  Channel& channel = *found->second;
  if (!channel.has_reports()) unreported_.push_back(origin.channel);
  channel.add_ended(origin.id);
  // A timer that is due at once fires after the events of this turn.
  const uint64_t due_ms = loop_.now_ms() + (channel.prompt() ? 0 : limits::handoff_report_delay_ms);
  if (!flush_timer_.armed() || due_ms < flush_timer_.deadline_ms()) {
    loop_.timers().arm(flush_timer_, due_ms);
  }
}

void HandoffReceiver::flush_reports() {
  for (const uint64_t id : std::exchange(unreported_, {})) {
    const auto found = channels_.find(id);
    if (found != channels_.end()) found->second->flush();
  }
}

// The reports left with another message.
void HandoffReceiver::forget_unreported(uint64_t channel) {
  std::erase(unreported_, channel);
  if (unreported_.empty()) loop_.timers().disarm(flush_timer_);
}

void HandoffReceiver::drain() {
  if (std::exchange(draining_, true)) return;
  accept_channels();
  shut_door();
  std::vector<uint64_t> ids;
  for (const auto& [id, channel] : channels_) ids.push_back(id);
  for (const uint64_t id : ids) {
    const auto found = channels_.find(id);
    if (found != channels_.end()) found->second->drain();
  }
}

void HandoffReceiver::shut_door() {
  loop_.timers().disarm(pause_timer_);
  if (door_.token != 0) loop_.remove(std::exchange(door_.token, 0), door_.listener.fd());
  door_.listener.close();
}

void HandoffReceiver::close() {
  shut_door();
  flush_reports();  // as far as they can be sent
  loop_.timers().disarm(flush_timer_);
  for (auto& [id, channel] : std::exchange(channels_, {})) {
    channel->close();
    loop_.retire(std::move(channel));
  }
}

}  // namespace espora::intake
