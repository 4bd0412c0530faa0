#include "forward/forwarder.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "forward/buffer_pool.h"
#include "forward/session.h"
#include "forward/upstream.h"
#include "forward/upstream_set.h"
#include "sys/check.h"
#include "sys/counter.h"
#include "sys/limits.h"

namespace espora::forward {

using sys::Code;
using sys::Result;
using sys::Status;

namespace {

// Whether clients mostly speak before they are accepted. Then the first read comes right after the
// connect and saves an event; else it would only cost a system call.
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
  if (options.connect_timeout_ms == 0) {
    return Status(Code::invalid, name + ": the connect timeout must be at least 1 ms");
  }
  if (options.connections_max == 0) {
    return Status(Code::invalid, name + ": the most connections must be at least 1");
  }
  return {};
}

}  // namespace

class Forwarder::Impl final : private sys::AcceptorOwner, private SessionHost {
 public:
  Impl(sys::EventLoop& loop_in, const ForwarderOptions& options, ForwarderEvents* events);
  ~Impl();

  Status start(const ForwarderOptions& options);
  [[nodiscard]] uint16_t port() const noexcept { return acceptor_.port(); }
  [[nodiscard]] ForwarderStats stats() const;
  [[nodiscard]] sys::EventLoop& event_loop() noexcept { return loop; }
  void drain(uint64_t patience_ms, std::function<void()> done);

 private:
  // sys::AcceptorOwner
  void on_accepted(sys::Fd fd, bool tcp) override;
  bool has_room() override;
  void on_exhausted(int error) override;
  void on_drained() override { finish_drain_if_empty(); }

  // SessionHost
  std::optional<size_t> choose(const UpstreamSet::Tried& tried) override;
  Upstream& upstream(size_t index) override { return *upstreams_[index]; }
  void on_connected(size_t index) override;
  void on_connect_failed(size_t index, int error) override;
  void on_retry() override { ++retries_; }
  void on_backlog_wait() override { ++backlog_waits_; }
  bool on_local_error(int error) override;
  bool expects_first_bytes() override { return first_bytes_.expected(); }
  void on_first_read(bool had_bytes) override { first_bytes_.note(had_bytes); }
  void on_end(Session& session, SessionEnd reason) override;

  void pause_for_shortage(int error);
  void cut_all();
  void finish_drain_if_empty();

  std::string name_;
  ForwarderEvents* events_;
  uint32_t connections_max_;
  std::unique_ptr<std::byte[]> scratch_memory_;
  BufferPool buffer_pool_;
  UpstreamSet set_;
  std::vector<std::unique_ptr<Upstream>> upstreams_;
  std::vector<Session*> sessions_;  // each knows its index
  FirstBytes first_bytes_;
  // Held so that a connection that was accepted can get its upstream socket when descriptors run
  // out between the two; accepting waits until it is there.
  sys::Fd spare_;
  sys::Timer shortage_timer_;
  uint64_t shortage_quiet_until_ms_ = 0;
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

  sys::Acceptor acceptor_;  // last, so that it goes first
};

Forwarder::Impl::Impl(sys::EventLoop& loop_in, const ForwarderOptions& options,
                      ForwarderEvents* events)
    : SessionHost(loop_in, {}, buffer_pool_,
                  SessionDeadlines{options.connect_timeout_ms, options.idle_timeout_ms,
                                   options.half_close_timeout_ms}),
      name_(options.name),
      events_(events),
      connections_max_(options.connections_max),
      scratch_memory_(std::make_unique_for_overwrite<std::byte[]>(limits::relay_buffer_bytes)),
      buffer_pool_(limits::relay_buffer_bytes, limits::relay_buffers_max),
      set_(options.upstreams.size()),
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
}

Forwarder::Impl::~Impl() {
  cut_all();
  loop.timers().disarm(shortage_timer_);
  loop.timers().disarm(drain_timer_);
}

Status Forwarder::Impl::start(const ForwarderOptions& options) {
  for (size_t index = 0; index < options.upstreams.size(); ++index) {
    const sys::Address& address = options.upstreams[index];
    auto each = std::make_unique<Upstream>();
    each->name = address.to_string();
    each->tcp = address.kind == sys::Address::Kind::tcp;
    auto resolved = sys::resolve(address);
    if (resolved.ok()) {
      each->addresses = std::move(resolved).value();
    } else if (each->tcp) {
      set_.set_up(index, false);
      each->failing = true;
      ++each->connect_failures;
      if (events_ != nullptr) events_->on_upstream_unreachable(index, resolved.status());
    } else {
      return resolved.status();  // a path that no socket can have
    }
    upstreams_.push_back(std::move(each));
  }
  Status status = acceptor_.listen(options.listen);
  if (status.ok()) status = acceptor_.start();
  return status;
}

// --- accepting -------------------------------------------------------------------------------

void Forwarder::Impl::on_accepted(sys::Fd fd, bool tcp) {
  ++active_;
  auto* session = new Session(*this, std::move(fd), tcp);
  session->index = sessions_.size();
  sessions_.push_back(session);
  session->open();
}

bool Forwarder::Impl::has_room() {
  if (sessions_.size() >= connections_max_) {
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

void Forwarder::Impl::on_exhausted(int error) { pause_for_shortage(error); }

void Forwarder::Impl::pause_for_shortage(int error) {
  loop.timers().arm(shortage_timer_, loop.now_ms() + limits::accept_pause_ms);
  const uint64_t quiet_until_ms =
      std::exchange(shortage_quiet_until_ms_, loop.now_ms() + limits::shortage_report_ms);
  if (loop.now_ms() < quiet_until_ms || events_ == nullptr) return;
  events_->on_accept_paused(
      Status::from_errno(error, "accept4", name_ + ": taking connections rests"));
}

// --- what sessions ask and tell --------------------------------------------------------------

std::optional<size_t> Forwarder::Impl::choose(const UpstreamSet::Tried& tried) {
  return set_.next(tried);
}

void Forwarder::Impl::on_connected(size_t index) {
  Upstream& each = *upstreams_[index];
  ++each.connections;
  ++each.active;
  if (!each.failing) return;
  each.failing = false;
  if (events_ != nullptr) events_->on_upstream_reachable(index);
}

void Forwarder::Impl::on_connect_failed(size_t index, int error) {
  Upstream& each = *upstreams_[index];
  ++each.connect_failures;
  if (std::exchange(each.failing, true) || events_ == nullptr) return;
  events_->on_upstream_unreachable(
      index, Status::from_errno(error, "connect", name_ + ": cannot reach " + each.name));
}

bool Forwarder::Impl::on_local_error(int error) {
  ++local_errors_;
  if ((error != EMFILE && error != ENFILE) || !spare_.valid()) return false;
  spare_.reset();
  return true;
}

void Forwarder::Impl::on_end(Session& session, SessionEnd reason) {
  ++ends_[static_cast<size_t>(reason)];
  --active_;
  if (auto index = session.connected_upstream()) --upstreams_[*index]->active;
  ESPORA_CHECK(sessions_[session.index] == &session);
  sessions_[session.index] = sessions_.back();
  sessions_[session.index]->index = session.index;
  sessions_.pop_back();
  acceptor_.resume();
  if (draining_) finish_drain_if_empty();
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
}

// `done` is posted, because it may delete us and sessions of ours may be at work.
void Forwarder::Impl::finish_drain_if_empty() {
  if (!draining_ || acceptor_.listening() || !sessions_.empty()) return;
  loop.timers().disarm(drain_timer_);
  loop.timers().disarm(shortage_timer_);
  for (auto& done : std::exchange(on_drained_, {})) loop.post(std::move(done));
}

// --- from any thread -------------------------------------------------------------------------

ForwarderStats Forwarder::Impl::stats() const {
  const auto ended = [&](SessionEnd reason) { return ends_[static_cast<size_t>(reason)].get(); };
  const sys::Acceptor::Counters& accepting = acceptor_.counters();
  ForwarderStats all;
  all.accepted = accepting.accepted;
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
  all.ended_by_stop = ended(SessionEnd::stopped);
  all.ended_local_error = ended(SessionEnd::local_error);
  all.buffers_in_use = buffer_pool_.in_use();
  all.buffers_peak = buffer_pool_.peak();
  for (size_t index = 0; index < upstreams_.size(); ++index) {
    const Upstream& each = *upstreams_[index];
    UpstreamStats one;
    one.address = each.name;
    one.up = set_.up(index);
    one.connections = each.connections;
    one.active = each.active;
    one.connect_failures = each.connect_failures;
    one.bytes_to = each.bytes_to;
    one.bytes_from = each.bytes_from;
    all.bytes_up += one.bytes_to;
    all.bytes_down += one.bytes_from;
    all.upstreams.push_back(std::move(one));
  }
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
ForwarderStats Forwarder::stats() const { return impl_->stats(); }

void Forwarder::drain(uint64_t patience_ms, std::function<void()> done) {
  impl_->event_loop().post(
      [weak = std::weak_ptr<Impl>(impl_), patience_ms, done = std::move(done)]() mutable {
        if (auto impl = weak.lock()) impl->drain(patience_ms, std::move(done));
      });
}

}  // namespace espora::forward
