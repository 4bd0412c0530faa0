#include "forward/forwarder.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "forward/buffer_pool.h"
#include "forward/handoff.h"
#include "forward/session.h"
#include "forward/upstreams.h"
#include "intake/handoff_protocol.h"
#include "sys/check.h"
#include "sys/counter.h"
#include "sys/limits.h"
#include "sys/pipe.h"

namespace espora::forward {

using sys::Code;
using sys::Result;
using sys::Status;

namespace {

// Whether clients usually send before they are accepted. If so, reading right after the connect
// saves an event; otherwise it would only cost a system call.
class FirstBytes {
 public:
  bool expected() noexcept { return hits_ >= 0 || ++skipped_ % probe_every == 0; }
  void note(bool had_bytes) noexcept {
    hits_ = std::clamp(hits_ + (had_bytes ? 1 : -2), -most, most);
  }

 private:
  static constexpr int most = 8;
  static constexpr unsigned probe_every = 32;
  int hits_ = 0;
  unsigned skipped_ = 0;
};

// Whether a client can be handed to this upstream.
Status check_receiver(const std::string& name, const sys::Address& upstream) {
  if (upstream.kind == sys::Address::Kind::unix_path) {
    return sys::resolve(Handoff::receiver_of(upstream.path)).status();
  }
  return Status(Code::invalid, name + ": handoff cannot reach " + upstream.to_string() +
                                   ": name the path of a unix socket on this machine, or choose "
                                   "the mode relay");
}

Status check_handoff(const std::string& name, const ForwarderOptions& options) {
  const ProxyOptions& proxy = options.proxy;
  if (proxy.send || proxy.from_unix || !proxy.from.empty()) {
    return Status(Code::invalid, name +
                                     ": the PROXY protocol and handoff exclude each other here: "
                                     "the service that gets the client itself reads the header");
  }
  for (const sys::Address& each : options.upstreams) {
    Status status = check_receiver(name, each);
    if (!status.ok()) return status;
  }
  return {};
}

Status check_options(const ForwarderOptions& options) {
  const std::string name = options.name.empty() ? "forwarder" : options.name;
  if (options.upstreams.empty()) {
    return Status(Code::invalid, name + ": no upstreams: name at least one");
  }
  if (options.upstreams.size() > limits::upstreams_max) {
    return Status(Code::invalid, name + ": " + std::to_string(options.upstreams.size()) +
                                     " upstreams; at most " +
                                     std::to_string(limits::upstreams_max) + " are possible");
  }
  if (!options.weights.empty() && options.weights.size() != options.upstreams.size()) {
    return Status(Code::invalid, name + ": as many weights as upstreams are needed, or none");
  }
  for (const uint32_t weight : options.weights) {
    Status status = check_weight(name, weight);
    if (!status.ok()) return status;
  }
  if (options.health.eject_after > limits::eject_after_max) {
    return Status(Code::invalid, name + ": ejecting after " +
                                     std::to_string(options.health.eject_after) +
                                     " failures; at most " +
                                     std::to_string(limits::eject_after_max) + " are possible");
  }
  if (options.mode == ForwardMode::handoff) {
    Status status = check_handoff(name, options);
    if (!status.ok()) return status;
  }
  if (options.connect_timeout_ms == 0) {
    return Status(Code::invalid, name + ": the connect timeout must be at least 1 ms");
  }
  if (options.connections_max == 0) {
    return Status(Code::invalid, name + ": the most connections must be at least 1");
  }
  return {};
}

}  // namespace

class Forwarder::Impl final : private intake::AcceptorOwner,
                              private SessionHost,
                              private UpstreamsOwner,
                              private HandoffHost {
 public:
  Impl(sys::EventLoop& loop_in, const ForwarderOptions& options, ForwarderEvents* events);
  ~Impl();

  Status start(const ForwarderOptions& options);
  [[nodiscard]] uint16_t port() const noexcept { return acceptor_.port(); }
  [[nodiscard]] std::vector<std::string> addresses() const { return acceptor_.addresses(); }
  [[nodiscard]] ForwarderStats stats() const;
  [[nodiscard]] sys::EventLoop& event_loop() noexcept { return loop; }
  [[nodiscard]] Upstreams& all_upstreams() noexcept { return upstreams_; }
  void drain(uint64_t patience_ms, std::function<void()> done);
  [[nodiscard]] Status check_new(const sys::Address& upstream) const {
    return mode_ == ForwardMode::handoff ? check_receiver(name_, upstream) : Status();
  }

 private:
  // intake::AcceptorOwner
  void on_accepted(sys::Fd fd, bool tcp, const std::optional<sys::Endpoint>& peer) override {
    serve(std::move(fd), tcp, peer, false, {});
  }
  bool has_room() override;
  size_t room_for_handed() override {
    return connections_max_ - std::min<size_t>(clients(), connections_max_);
  }
  void on_handed(sys::Fd fd, bool tcp, const intake::HandoffOrigin& origin) override;
  void on_exhausted(int error) override;
  void on_drained() override { finish_drain_if_empty(); }

  // SessionHost
  void on_retry() override { ++retries_; }
  void on_backlog_wait() override { ++backlog_waits_; }
  bool on_local_error(int error) override;
  bool expects_first_bytes() override { return first_bytes_.expected(); }
  void on_first_read(bool had_bytes) override { first_bytes_.note(had_bytes); }
  void on_header_refused(const std::optional<sys::Endpoint>& client, const char* why) override;
  void on_end(Session& session, SessionEnd reason) override;

  // UpstreamsOwner
  void on_upstream_unreachable(size_t index, const Status& reason) override {
    if (events_ != nullptr) {
      events_->on_upstream_unreachable(index, upstreams_.at(index).name, reason);
    }
  }
  void on_upstream_reachable(size_t index) override {
    if (events_ != nullptr) {
      events_->on_upstream_reachable(index, upstreams_.at(index).name);
    }
  }
  void on_upstream_change(const UpstreamChange& change) override {
    if (events_ != nullptr) events_->on_upstream_change(change);
  }
  void on_upstream_room() override { acceptor_.resume(); }

  // HandoffHost
  UpstreamChooser::Choice choose_for_handoff(const UpstreamChooser::Tried& tried) override {
    return upstreams_.choose(tried);
  }
  void leave_after_handoff(size_t index, bool held, uint64_t elapsed_ms) override;
  bool handoff_counts_matter(size_t index) override {
    return upstreams_.needs_exact_counts(index) || 2 * clients() >= connections_max_;
  }
  const std::string& handoff_path(size_t index) override { return upstreams_.at(index).name; }
  void on_handoff_taken(size_t index, uint64_t elapsed_ms) override;
  void on_handoff_failed(size_t index, int error) override {
    upstreams_.on_connect_failed(index, error);
  }
  void on_handoff_retry() override { ++retries_; }
  bool on_handoff_shortage(int error) override { return on_local_error(error); }
  void on_handoff_end(const intake::HandoffOrigin& origin, SessionEnd reason) override {
    forget_client(origin, reason);
  }
  void on_handoff_room() override { acceptor_.resume(); }

  [[nodiscard]] size_t clients() const noexcept {
    return sessions_.size() + (handoff_ != nullptr ? handoff_->clients() : 0);
  }
  void serve(sys::Fd fd, bool tcp, const std::optional<sys::Endpoint>& peer, bool shared,
             const intake::HandoffOrigin& origin);
  void forget_client(const intake::HandoffOrigin& origin, SessionEnd reason);
  void pause_for_shortage(int error);
  void cut_all();
  void finish_drain_if_empty();

  const std::string name_;
  ForwarderEvents* events_;
  uint32_t connections_max_;
  std::unique_ptr<std::byte[]> scratch_memory_;
  BufferPool buffer_pool_;
  sys::PipePool pipe_pool_;
  Upstreams upstreams_;
  std::vector<Session*> sessions_;  // each has its index
  const ForwardMode mode_;
  std::unique_ptr<Handoff> handoff_;  // in that mode
  FirstBytes first_bytes_;
  // Held in reserve so that an accepted connection gets its upstream socket even if descriptors run
  // out between the two; accepting pauses until it is available again.
  sys::Fd spare_;
  sys::Timer shortage_timer_;
  uint64_t shortage_quiet_until_ms_ = 0;
  uint64_t refusal_quiet_until_ms_ = 0;
  uint64_t refusals_unsaid_ = 0;
  bool draining_ = false;
  uint64_t drain_deadline_ms_ = 0;
  sys::Timer drain_timer_;
  std::vector<std::function<void()>> on_drained_;

  sys::Counter active_;
  sys::Counter retries_;
  sys::Counter backlog_waits_;
  sys::Counter local_errors_;
  sys::Counter shortage_pauses_;
  sys::Counter limit_pauses_;
  std::array<sys::Counter, static_cast<size_t>(SessionEnd::count_)> ends_;

  intake::Acceptor acceptor_;  // last, so that it is destroyed first
};

Forwarder::Impl::Impl(sys::EventLoop& loop_in, const ForwarderOptions& options,
                      ForwarderEvents* events)
    : SessionHost(loop_in, {}, buffer_pool_, pipe_pool_, upstreams_,
                  SessionDeadlines{options.connect_timeout_ms, options.idle_timeout_ms,
                                   options.half_close_timeout_ms, options.session_timeout_ms,
                                   options.eject_silence_ms},
                  options.proxy),
      name_(options.name),
      events_(events),
      connections_max_(options.connections_max),
      scratch_memory_(std::make_unique_for_overwrite<std::byte[]>(limits::relay_buffer_bytes)),
      buffer_pool_(limits::relay_buffer_bytes, limits::relay_buffers_max),
      pipe_pool_(options.pipes_max),
      upstreams_(loop_in, options.name,
                 UpstreamsOptions{options.balance, options.upstream_connections_max, options.health,
                                  options.check, options.resolve_interval_ms, options.resolve},
                 *this),
      mode_(options.mode),
      shortage_timer_([](sys::Timer&, void* self) { static_cast<Impl*>(self)->acceptor_.resume(); },
                      this),
      drain_timer_(
          [](sys::Timer&, void* self) {
            static_cast<Impl*>(self)->cut_all();
            static_cast<Impl*>(self)->finish_drain_if_empty();
          },
          this),
      acceptor_(loop_in, *this) {
  scratch = {scratch_memory_.get(), limits::relay_buffer_bytes};
  if (mode_ == ForwardMode::handoff) {
    HandoffHost& host = *this;
    handoff_ = std::make_unique<Handoff>(
        loop_in, host,
        HandoffOptions{options.connect_timeout_ms, options.idle_timeout_ms,
                       options.listen.handoff_users});
  }
}

Forwarder::Impl::~Impl() {
  cut_all();
  handoff_.reset();  // it reports ends of clients
  loop.timers().disarm(shortage_timer_);
  loop.timers().disarm(drain_timer_);
}

Status Forwarder::Impl::start(const ForwarderOptions& options) {
  std::vector<UpstreamAddress> addresses;
  for (size_t index = 0; index < options.upstreams.size(); ++index) {
    const uint32_t weight = options.weights.empty() ? 1 : options.weights[index];
    addresses.push_back({options.upstreams[index], weight});
  }
  Status status = upstreams_.start(addresses);
  if (status.ok() && handoff_ != nullptr) {
    for (size_t index = 0; index < addresses.size(); ++index) handoff_->prepare(index);
  }
  if (status.ok()) status = acceptor_.listen(options.listen);
  if (status.ok()) status = acceptor_.start();
  return status;
}

// --- accepting -------------------------------------------------------------------------------

void Forwarder::Impl::on_handed(sys::Fd fd, bool tcp, const intake::HandoffOrigin& origin) {
  serve(std::move(fd), tcp, std::nullopt, true, origin);
}

void Forwarder::Impl::serve(sys::Fd fd, bool tcp, const std::optional<sys::Endpoint>& peer,
                            bool shared, const intake::HandoffOrigin& origin) {
  ++active_;
  if (handoff_ != nullptr) {
    handoff_->pass(std::move(fd), origin);
    return;
  }
  auto* session = new Session(*this, std::move(fd), tcp, peer, shared);
  session->origin = origin;
  session->index = sessions_.size();
  sessions_.push_back(session);
  session->open();
}

bool Forwarder::Impl::has_room() {
  if (clients() >= connections_max_ || !upstreams_.has_room() ||
      (handoff_ != nullptr && !handoff_->has_room())) {
    ++limit_pauses_;
    return false;
  }
  if (spare_.valid()) return true;
  spare_ = sys::open_spare_descriptor();
  if (spare_.valid()) return true;
  ++shortage_pauses_;
  pause_for_shortage(EMFILE);
  return false;
}

void Forwarder::Impl::on_exhausted(int error) {
  pipe_pool_.trim();
  pause_for_shortage(error);
}

void Forwarder::Impl::pause_for_shortage(int error) {
  loop.timers().arm(shortage_timer_, loop.now_ms() + limits::accept_pause_ms);
  const uint64_t quiet_until_ms =
      std::exchange(shortage_quiet_until_ms_, loop.now_ms() + limits::shortage_report_ms);
  if (loop.now_ms() < quiet_until_ms || events_ == nullptr) return;
  events_->on_accept_paused(
      Status::from_errno(error, "accept4", name_ + ": accepting connections is paused"));
}

// --- what sessions ask and tell --------------------------------------------------------------

bool Forwarder::Impl::on_local_error(int error) {
  ++local_errors_;
  if (error != EMFILE && error != ENFILE) return false;
  pipe_pool_.trim();
  if (!spare_.valid()) return false;
  spare_.reset();
  return true;
}

void Forwarder::Impl::on_header_refused(const std::optional<sys::Endpoint>& client,
                                        const char* why) {
  if (events_ == nullptr) return;
  if (loop.now_ms() < refusal_quiet_until_ms_) {
    ++refusals_unsaid_;
    return;
  }
  refusal_quiet_until_ms_ = loop.now_ms() + limits::refusal_report_ms;
  const uint64_t others = std::exchange(refusals_unsaid_, 0);
  std::string message = name_ + ": a client ";
  message += client.has_value() ? "from " + client->to_string() : "that left no address";
  message += std::string(" was turned away: the PROXY header that it owes ") + why;
  if (others != 0) message += " (and " + std::to_string(others) + " more since this was last said)";
  events_->on_header_refused(message);
}

void Forwarder::Impl::leave_after_handoff(size_t index, bool held, uint64_t elapsed_ms) {
  // What the client and the upstream sent each other is unknown here.
  if (held) upstreams_.on_session_end(index, {}, SessionFacts{.by_us = true}, elapsed_ms * 1000);
  upstreams_.leave(index);
}

void Forwarder::Impl::on_handoff_taken(size_t index, uint64_t elapsed_ms) {
  upstreams_.on_connected(index, elapsed_ms * 1000);
  upstreams_.on_first_byte(index, {});  // it is alive: only its own loop acknowledges a client
  if (draining_) finish_drain_if_empty();
}

void Forwarder::Impl::forget_client(const intake::HandoffOrigin& origin, SessionEnd reason) {
  ++ends_[static_cast<size_t>(reason)];
  --active_;
  if (origin) acceptor_.report_ended(origin);
  acceptor_.resume();
  if (draining_) finish_drain_if_empty();
}

void Forwarder::Impl::on_end(Session& session, SessionEnd reason) {
  ESPORA_CHECK(sessions_[session.index] == &session);
  sessions_[session.index] = sessions_.back();
  sessions_[session.index]->index = session.index;
  sessions_.pop_back();
  forget_client(session.origin, reason);
}

// --- ending ----------------------------------------------------------------------------------

void Forwarder::Impl::drain(uint64_t patience_ms, std::function<void()> done) {
  on_drained_.push_back(std::move(done));
  const uint64_t deadline_ms =
      patience_ms > UINT64_MAX - loop.now_ms() ? UINT64_MAX : loop.now_ms() + patience_ms;
  const bool first = !std::exchange(draining_, true);
  drain_deadline_ms_ = first ? deadline_ms : std::min(drain_deadline_ms_, deadline_ms);
  if (patience_ms == 0) {
    cut_all();
  } else {
    loop.timers().arm(drain_timer_, drain_deadline_ms_);
    if (first) acceptor_.drain();
  }
  finish_drain_if_empty();
}

void Forwarder::Impl::cut_all() {
  acceptor_.close();
  while (!sessions_.empty()) sessions_.back()->end(SessionEnd::stopped);
  if (handoff_ != nullptr) handoff_->cut();
}

// `done` is posted, because it may delete this object while its sessions are on the stack.
void Forwarder::Impl::finish_drain_if_empty() {
  if (!draining_ || acceptor_.listening() || !sessions_.empty()) return;
  // A client that was handed over is drained by the process that holds it.
  if (handoff_ != nullptr && handoff_->ours() != 0) return;
  loop.timers().disarm(drain_timer_);
  loop.timers().disarm(shortage_timer_);
  for (auto& done : std::exchange(on_drained_, {})) loop.post(std::move(done));
}

// --- from any thread -------------------------------------------------------------------------

ForwarderStats Forwarder::Impl::stats() const {
  const auto ended = [&](SessionEnd reason) { return ends_[static_cast<size_t>(reason)].get(); };
  const intake::Acceptor::Counters& accepting = acceptor_.counters();
  ForwarderStats all;
  all.receiving = acceptor_.handoff_counters();
  all.accepted = accepting.accepted + all.receiving.received;
  if (handoff_ != nullptr) static_cast<HandoffCounters&>(all) = handoff_->counters();
  all.active = active_;
  all.retries = retries_;
  all.backlog_waits = backlog_waits_;
  all.local_errors = local_errors_;
  all.accept_pauses = accepting.exhausted + shortage_pauses_;
  all.limit_pauses = limit_pauses_;
  all.accept_errors = accepting.aborted;
  all.ended_normally = ended(SessionEnd::normal);
  all.ended_by_client = ended(SessionEnd::client);
  all.ended_by_upstream = ended(SessionEnd::upstream);
  all.ended_unreachable = ended(SessionEnd::unreachable);
  all.ended_connect_timeout = ended(SessionEnd::connect_timeout);
  all.ended_idle = ended(SessionEnd::idle);
  all.ended_half_closed = ended(SessionEnd::half_closed);
  all.ended_lifetime = ended(SessionEnd::lifetime);
  all.ended_proxy_header = ended(SessionEnd::proxy_header);
  all.ended_by_stop = ended(SessionEnd::stopped);
  all.ended_local_error = ended(SessionEnd::local_error);
  all.ended_at_holder = ended(SessionEnd::handed);
  all.buffers_in_use = buffer_pool_.in_use();
  all.buffers_peak = buffer_pool_.peak();
  all.pipes_in_use = pipe_pool_.in_use();
  all.pipes_peak = pipe_pool_.peak();
  const UpstreamTotals totals = upstreams_.totals();
  all.bytes_up = totals.bytes_to;
  all.bytes_down = totals.bytes_from;
  all.connect = Durations(totals.connect_us);
  all.session = Durations(totals.session_us);
  all.upstreams = upstreams_.stats();
  return all;
}

Forwarder::Forwarder(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Forwarder::~Forwarder() = default;

Result<std::unique_ptr<Forwarder>> Forwarder::start(sys::EventLoop& loop, ForwarderOptions options,
                                                    ForwarderEvents* events) {
  Status status = check_options(options);
  if (!status.ok()) return status;
  auto impl = std::make_shared<Impl>(loop, options, events);
  status = impl->start(options);
  if (!status.ok()) return status;
  return std::unique_ptr<Forwarder>(new Forwarder(std::move(impl)));
}

uint16_t Forwarder::port() const noexcept { return impl_->port(); }

std::vector<std::string> Forwarder::addresses() const { return impl_->addresses(); }
ForwarderStats Forwarder::stats() const { return impl_->stats(); }

void Forwarder::change(std::function<Status(Upstreams&)> apply, Done done) {
  impl_->event_loop().post(
      [weak = std::weak_ptr<Impl>(impl_), apply = std::move(apply), done = std::move(done)] {
        const auto impl = weak.lock();
        done(impl != nullptr ? apply(impl->all_upstreams())
                             : Status(Code::closed, "the forwarder was stopped"));
      });
}

void Forwarder::set_upstream(std::string address, std::optional<UpstreamState> state,
                             std::optional<uint32_t> weight, Done done) {
  change(
      [address = std::move(address), state, weight](Upstreams& upstreams) {
        Status status;
        if (weight.has_value()) status = upstreams.set_weight(address, *weight);
        if (status.ok() && state.has_value()) status = upstreams.set_state(address, *state);
        return status;
      },
      std::move(done));
}

void Forwarder::add_upstream(UpstreamAddress upstream, Done done) {
  Status status = impl_->check_new(upstream.address);
  change([upstream = std::move(upstream), status = std::move(status)](
             Upstreams& upstreams) { return status.ok() ? upstreams.add(upstream) : status; },
         std::move(done));
}

void Forwarder::remove_upstream(std::string address, Done done) {
  change([address = std::move(address)](Upstreams& upstreams) { return upstreams.remove(address); },
         std::move(done));
}

void Forwarder::drain(uint64_t patience_ms, std::function<void()> done) {
  impl_->event_loop().post(
      [weak = std::weak_ptr<Impl>(impl_), patience_ms, done = std::move(done)]() mutable {
        if (auto impl = weak.lock()) impl->drain(patience_ms, std::move(done));
      });
}

}  // namespace espora::forward
