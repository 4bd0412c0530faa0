#include "intake/acceptor.h"

#include "sys/limits.h"

namespace espora::intake {

Acceptor::Acceptor(sys::EventLoop& loop, AcceptorOwner& owner)
    : loop_(loop),
      owner_(owner),
      pause_timer_(&Acceptor::on_pause_over, this),
      receiver_(loop, *this) {}

Acceptor::~Acceptor() { close(); }

sys::Status Acceptor::listen(const ListenOptions& options) {
  if (options.port.has_value()) {
    auto listeners = sys::Listener::tcp(options.host, *options.port);
    if (!listeners.ok()) return listeners.status();
    for (sys::Listener& listener : listeners.value()) {
      doors_.push_back(std::make_unique<Door>(*this, std::move(listener)));
    }
  }
  if (!options.unix_path.empty()) {
    auto listener = sys::Listener::unix_path(options.unix_path, options.unix_mode);
    if (!listener.ok()) return listener.status();
    doors_.push_back(std::make_unique<Door>(*this, std::move(listener).value()));
  }
  for (const int fd : options.inherited) {
    auto listener = sys::Listener::inherited(fd);
    if (!listener.ok()) return listener.status();
    doors_.push_back(std::make_unique<Door>(*this, std::move(listener).value()));
  }
  if (!options.unix_path.empty()) {
    sys::Status status =
        receiver_.listen(options.unix_path, options.unix_mode, options.handoff_users);
    if (!status.ok()) return status;
  }
  if (doors_.empty()) {
    return sys::Status(sys::Code::invalid,
                       "nowhere to listen: give a port, a unix socket, or both");
  }
  return {};
}

sys::Status Acceptor::start() {
  for (auto& door : doors_) {
    auto token = loop_.add(door->listener.fd(), sys::Events::readable, *door);
    if (!token.ok()) return token.status();
    door->token = token.value();
  }
  return receiver_.start();
}

uint16_t Acceptor::port() const noexcept {
  for (const auto& door : doors_) {
    if (door->tcp) return door->listener.port();
  }
  return 0;
}

std::vector<std::string> Acceptor::addresses() const {
  std::vector<std::string> all;
  for (const auto& door : doors_) all.push_back(door->listener.address());
  return all;
}

// `all`: accept until the queue is empty, then close the listener, as draining needs it.
void Acceptor::accept_burst(Door& door, bool all) {
  if (paused_ && !all) return;  // another listener paused it after this event was fetched
  const int most = door.burst.limit(loop_.after_long_turn());
  for (int taken = 0; all || taken < most; ++taken) {
    if (!door.listener.valid()) return;  // the owner closed the acceptor in on_accepted()
    if (!owner_.has_room()) {
      pause(counters_.limit_reached);
      return;
    }
    sys::Accepted accepted = sys::accept_connection(door.listener.fd());
    switch (accepted.outcome) {
      case sys::AcceptOutcome::accepted:
        ++counters_.accepted;
        if (taken > 0) loop_.add_work(1);
        owner_.on_accepted(std::move(accepted.fd), door.tcp, accepted.peer);
        break;
      case sys::AcceptOutcome::retry:
        ++counters_.aborted;
        break;
      case sys::AcceptOutcome::none:
        if (all) {
          shut(door);
          if (!listening()) owner_.on_drained();
        }
        door.burst.emptied(taken);
        return;
      case sys::AcceptOutcome::exhausted:
        pause(counters_.exhausted);
        loop_.timers().arm(pause_timer_, loop_.now_ms() + limits::accept_pause_ms);
        owner_.on_exhausted(accepted.error);
        return;
    }
  }
  door.burst.full(loop_.turns());
}

// A level-triggered listener that is not read would wake the loop in every turn.
void Acceptor::pause(sys::Counter& reason) {
  if (paused_) return;
  paused_ = true;
  ++reason;
  owner_.on_paused();
  for (auto& door : doors_) {
    if (door->token != 0) loop_.modify(door->token, door->listener.fd(), 0);
  }
}

void Acceptor::resume() {
  // While descriptors are exhausted only the timer resumes; otherwise each closed connection would
  // run into EMFILE again at once.
  if (!paused_ || pause_timer_.armed()) return;
  paused_ = false;
  for (auto& door : doors_) {
    if (door->token == 0) continue;
    loop_.modify(door->token, door->listener.fd(), sys::Events::readable);
    // An empty queue raises no event, but draining must notice it.
    if (draining_) loop_.redispatch(door->token, sys::Events::readable);
  }
}

bool Acceptor::listening() const noexcept {
  for (const auto& door : doors_) {
    if (door->listener.valid()) return true;
  }
  return false;
}

void Acceptor::shut(Door& door) {
  if (door.token != 0) loop_.remove(door.token, door.listener.fd());
  door.token = 0;
  door.listener.close();
}

void Acceptor::on_pause_over(sys::Timer&, void* self) { static_cast<Acceptor*>(self)->resume(); }

void Acceptor::drain() {
  draining_ = true;
  receiver_.drain();
  for (auto& door : doors_) {
    if (door->listener.valid()) accept_burst(*door, true);
  }
}

void Acceptor::close() {
  loop_.timers().disarm(pause_timer_);
  for (auto& door : doors_) shut(*door);
  receiver_.close();
}

}  // namespace espora::intake
