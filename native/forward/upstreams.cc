#include "forward/upstreams.h"

#include <algorithm>
#include <utility>

#include "sys/check.h"

namespace espora::forward {

using sys::Code;
using sys::Result;
using sys::Status;

std::string_view name_of(UpstreamHealth health) noexcept {
  switch (health) {
    case UpstreamHealth::fit:
      return "fit";
    case UpstreamHealth::probation:
      return "probation";
    case UpstreamHealth::ejected:
      return "ejected";
    case UpstreamHealth::failed:
      return "failed";
    case UpstreamHealth::unresolved:
      return "unresolved";
  }
  return "";
}

std::string_view name_of(UpstreamState state) noexcept {
  switch (state) {
    case UpstreamState::up:
      return "up";
    case UpstreamState::draining:
      return "draining";
    case UpstreamState::down:
      return "down";
  }
  return "";
}

std::optional<UpstreamState> upstream_state_of(std::string_view name) noexcept {
  for (const UpstreamState state :
       {UpstreamState::up, UpstreamState::draining, UpstreamState::down}) {
    if (name_of(state) == name) return state;
  }
  return std::nullopt;
}

Durations::Durations(const sys::HistogramSnapshot& taken) noexcept
    : count(taken.count()),
      sum_us(taken.sum()),
      p50_us(taken.percentile(500)),
      p90_us(taken.percentile(900)),
      p99_us(taken.percentile(990)),
      p999_us(taken.percentile(999)) {}

struct Upstreams::Entry final : HealthCheck::Owner {
  Entry(Upstreams& all_in, size_t index_in, uint64_t id_in, const UpstreamAddress& at)
      : all(all_in),
        index(index_in),
        id(id_in),
        upstream(at.address, all_in.options_.health),
        check(all_in.loop_, all_in.options_.check, upstream.name, *this),
        timer(
            [](sys::Timer&, void* self) {
              auto& entry = *static_cast<Entry*>(self);
              entry.all.on_timer(entry);
            },
            this),
        shown_weight(at.weight) {}
  ~Entry() { all.loop_.timers().disarm(timer); }

  void on_checked(Check kind, HealthCheck::Outcome outcome, const std::string& why) override {
    all.on_checked(*this, kind, outcome, why);
  }

  Upstreams& all;
  size_t index;
  uint64_t id;
  Upstream upstream;
  HealthCheck check;
  sys::Timer timer;
  uint64_t next_check_ms = 0;
  uint64_t resolve_after_ms = 0;
  bool resolving = false;
  bool removed = false;
  // For readers on other threads.
  std::atomic<UpstreamState> shown_state{UpstreamState::up};
  std::atomic<UpstreamHealth> shown_health{UpstreamHealth::fit};
  std::atomic<uint32_t> shown_weight;
};

Upstreams::Upstreams(sys::EventLoop& loop, std::string name, UpstreamsOptions options,
                     UpstreamsOwner& owner)
    : loop_(loop),
      name_(std::move(name)),
      options_(std::move(options)),
      owner_(owner),
      set_(options_.balance, options_.connections_max_each),
      resolver_(loop) {
  // Without checks that were asked for there are only looks at ejected ones, and those find nobody
  // guilty.
  if (options_.check.check == Check::none) options_.health.fall = 0;
}

Upstreams::~Upstreams() = default;

Status Upstreams::start(const std::vector<UpstreamAddress>& upstreams) {
  uint64_t count = 0;
  for (const UpstreamAddress& each : upstreams) {
    auto inserted = insert(each);
    if (!inserted.ok()) return inserted.status();
    Entry& entry = *entries_[inserted.value()];
    // Spread over the interval, or all of them would be checked in one burst for ever.
    entry.next_check_ms = loop_.now_ms() + options_.check.interval_ms * count++ / upstreams.size();
    on_resolved(entry.index, entry.id, sys::resolve(each.address));
  }
  return {};
}

Result<size_t> Upstreams::insert(const UpstreamAddress& upstream) {
  if (upstream.address.kind == sys::Address::Kind::unix_path) {
    const auto possible = sys::resolve(upstream.address);
    if (!possible.ok()) return possible.status();  // a path that no socket can have
  }
  const auto index = set_.add(upstream.weight);
  if (!index.has_value()) {
    return Status(Code::overloaded, name_ + ": no room for " + upstream.address.to_string() +
                                        ": at most " + std::to_string(limits::upstreams_max) +
                                        " upstreams are possible");
  }
  const std::lock_guard lock(entries_mutex_);
  entries_[*index] = std::make_unique<Entry>(*this, *index, next_id_++, upstream);
  entries_[*index]->next_check_ms = loop_.now_ms();
  return *index;
}

// --- connections -----------------------------------------------------------------------------

UpstreamSet::Choice Upstreams::choose(const UpstreamSet::Tried& tried) noexcept {
  const UpstreamSet::Choice choice = set_.next(tried);
  if (choice.kind == UpstreamSet::Choice::Kind::chosen) set_.begin(choice.upstream);
  return choice;
}

Upstream& Upstreams::at(size_t upstream) noexcept { return entries_[upstream]->upstream; }

void Upstreams::leave(size_t upstream) {
  set_.end(upstream);
  free_if_unused(upstream);
}

void Upstreams::on_connected(size_t upstream, uint64_t elapsed_us) {
  Upstream& each = at(upstream);
  ++each.connections;
  ++each.active;
  each.connect_us.add(elapsed_us);
  if (std::exchange(each.failing, false)) owner_.on_upstream_reachable(upstream);
}

void Upstreams::on_connect_failed(size_t upstream, int error) {
  Entry& entry = *entries_[upstream];
  ++entry.upstream.connect_failures;
  const Status status =
      Status::from_errno(error, "connect", name_ + ": cannot reach " + entry.upstream.name);
  if (!std::exchange(entry.upstream.failing, true))
    owner_.on_upstream_unreachable(upstream, status);
  if (entry.removed) return;
  if (entry.upstream.health.on_failure(Failure::refused, loop_.now_ms(),
                                       set_.others_healthy(upstream))) {
    ++entry.upstream.ejections;
    entry.next_check_ms = loop_.now_ms() + limits::recheck_ms;
    update(entry, "connects to it fail: " + sys::errno_name(error));
  }
  // Its name may have moved to another address.
  if (!entry.upstream.address.fixed() && loop_.now_ms() >= entry.resolve_after_ms) resolve(entry);
}

void Upstreams::on_first_byte(size_t upstream) {
  Entry& entry = *entries_[upstream];
  entry.upstream.health.on_success();
  if (!entry.removed) update(entry, "it answers");
}

void Upstreams::on_session_end(size_t upstream, const SessionFacts& facts, uint64_t elapsed_us) {
  Entry& entry = *entries_[upstream];
  --entry.upstream.active;
  entry.upstream.session_us.add(elapsed_us);
  if (!is_failure(facts)) return;
  ++entry.upstream.silent_sessions;
  if (entry.removed || !entry.upstream.health.on_failure(Failure::silent, loop_.now_ms(),
                                                         set_.others_healthy(upstream))) {
    return;
  }
  ++entry.upstream.ejections;
  update(entry, "it takes connections and says nothing");
}

// --- names -----------------------------------------------------------------------------------

void Upstreams::resolve(Entry& entry) {
  if (entry.resolving) return;
  entry.resolving = true;
  resolver_.resolve(entry.upstream.address, [this, index = entry.index, id = entry.id](auto found) {
    on_resolved(index, id, std::move(found));
  });
}

void Upstreams::on_resolved(size_t index, uint64_t id,
                            Result<std::vector<sys::ResolvedAddress>> found) {
  if (entries_[index] == nullptr || entries_[index]->id != id || entries_[index]->removed) return;
  Entry& entry = *entries_[index];
  Upstream& upstream = entry.upstream;
  entry.resolving = false;
  entry.resolve_after_ms = loop_.now_ms() + limits::resolve_again_ms;
  if (found.ok()) {
    upstream.addresses = std::move(found).value();
    upstream.preferred %= upstream.addresses.size();
    update(entry, "its name is known");
    return;
  }
  // Addresses that were found before may still be right.
  if (!upstream.addresses.empty()) return;
  if (!std::exchange(upstream.failing, true)) {
    ++upstream.connect_failures;
    owner_.on_upstream_unreachable(index, found.status());
  }
  update(entry, found.status().message());
}

// --- checks ----------------------------------------------------------------------------------

// What to look for at the next look; none where no look is due ever.
Check Upstreams::wanted_check(const Entry& entry) const noexcept {
  if (entry.removed || entry.upstream.addresses.empty()) return Check::none;
  if (options_.check.check != Check::none) return options_.check.check;
  const Health& health = entry.upstream.health;
  const bool refused =
      health.state() == Health::State::ejected && health.ejected_for() == Failure::refused;
  return refused ? Check::connect : Check::none;
}

void Upstreams::on_timer(Entry& entry) {
  const uint64_t now_ms = loop_.now_ms();
  entry.upstream.health.on_time(now_ms);
  if (entry.upstream.addresses.empty() && now_ms >= entry.resolve_after_ms) resolve(entry);
  const Check check = wanted_check(entry);
  if (check != Check::none && now_ms >= entry.next_check_ms && !entry.check.under_way()) {
    const Upstream& upstream = entry.upstream;
    const bool ejected = upstream.health.state() == Health::State::ejected;
    entry.next_check_ms =
        now_ms + (ejected ? std::min(options_.check.interval_ms, limits::recheck_ms)
                          : options_.check.interval_ms);
    entry.check.start(check, upstream.addresses[upstream.preferred]);
  }
  update(entry, "its time is over");
}

void Upstreams::on_checked(Entry& entry, Check check, HealthCheck::Outcome outcome,
                           const std::string& why) {
  Upstream& upstream = entry.upstream;
  if (entry.removed || outcome == HealthCheck::Outcome::unknown) {
    schedule(entry);
    return;
  }
  ++upstream.checks;
  const bool good = outcome == HealthCheck::Outcome::good;
  if (!good) {
    ++upstream.checks_failed;
    if (!upstream.addresses.empty()) {
      upstream.preferred = (upstream.preferred + 1) % upstream.addresses.size();
    }
    if (!upstream.address.fixed() && loop_.now_ms() >= entry.resolve_after_ms) resolve(entry);
  } else if (std::exchange(upstream.failing, false)) {
    owner_.on_upstream_reachable(entry.index);
  }
  upstream.health.on_check(check, good);
  update(entry, good ? "a check found it well" : "the check " + why);
}

// Tells everybody what an entry has become.
void Upstreams::update(Entry& entry, const std::string& reason) {
  const Upstream& upstream = entry.upstream;
  const size_t index = entry.index;
  set_.set_healthy(index, upstream.health.usable());
  set_.set_reachable(index, !upstream.addresses.empty());
  UpstreamHealth health = UpstreamHealth::unresolved;
  if (!upstream.addresses.empty()) health = static_cast<UpstreamHealth>(upstream.health.state());
  const UpstreamState state = set_.state(index);
  entry.shown_weight = set_.weight(index);
  const bool changed = entry.shown_state.exchange(state) != state;
  if ((entry.shown_health.exchange(health) != health) || changed) {
    owner_.on_upstream_change({index, upstream.name, state, health, reason});
    owner_.on_upstream_room();
  }
  schedule(entry);
}

static_assert(static_cast<int>(UpstreamHealth::fit) == static_cast<int>(Health::State::fit) &&
              static_cast<int>(UpstreamHealth::probation) ==
                  static_cast<int>(Health::State::probation) &&
              static_cast<int>(UpstreamHealth::ejected) ==
                  static_cast<int>(Health::State::ejected) &&
              static_cast<int>(UpstreamHealth::failed) == static_cast<int>(Health::State::failed));

void Upstreams::schedule(Entry& entry) {
  if (entry.removed) {
    loop_.timers().disarm(entry.timer);
    return;
  }
  uint64_t next_ms = entry.upstream.health.next_ms();
  if (entry.upstream.addresses.empty() && !entry.resolving) {
    next_ms = std::min(next_ms, entry.resolve_after_ms);
  }
  if (wanted_check(entry) != Check::none && !entry.check.under_way()) {
    next_ms = std::min(next_ms, entry.next_check_ms);
  }
  if (next_ms == Health::never_ms) {
    loop_.timers().disarm(entry.timer);
  } else {
    loop_.timers().arm(entry.timer, next_ms);
  }
}

// --- changes ---------------------------------------------------------------------------------

template <typename Change>
Status Upstreams::change(const std::string& address, const char* reason, const Change& apply) {
  bool found = false;
  for (const auto& entry : entries_) {
    if (entry == nullptr || entry->removed || entry->upstream.name != address) continue;
    found = true;
    apply(*entry);
    update(*entry, reason);
  }
  if (found) return {};
  return Status(Code::not_found, name_ + ": there is no upstream " + address);
}

Status Upstreams::set_state(const std::string& address, UpstreamState state) {
  return change(address, "it was told so",
                [&](const Entry& entry) { set_.set_state(entry.index, state); });
}

Status Upstreams::set_weight(const std::string& address, uint32_t weight) {
  if (weight < 1 || weight > limits::upstream_weight_max) {
    return Status(Code::invalid, name_ + ": a weight is a number from 1 to " +
                                     std::to_string(limits::upstream_weight_max));
  }
  return change(address, "it was told so",
                [&](const Entry& entry) { set_.set_weight(entry.index, weight); });
}

Status Upstreams::add(const UpstreamAddress& upstream) {
  if (upstream.weight < 1 || upstream.weight > limits::upstream_weight_max) {
    return Status(Code::invalid, name_ + ": a weight is a number from 1 to " +
                                     std::to_string(limits::upstream_weight_max));
  }
  auto inserted = insert(upstream);
  if (!inserted.ok()) return inserted.status();
  Entry& entry = *entries_[inserted.value()];
  if (upstream.address.fixed()) {
    on_resolved(entry.index, entry.id, sys::resolve(upstream.address));
  } else {
    resolve(entry);
    update(entry, "its name is not known yet");
  }
  owner_.on_upstream_room();
  return {};
}

Status Upstreams::remove(const std::string& address) {
  bool found = false;
  for (size_t index = 0; index < entries_.size(); ++index) {
    Entry* entry = entries_[index].get();
    if (entry == nullptr || entry->removed || entry->upstream.name != address) continue;
    found = true;
    set_.remove(index);
    entry->removed = true;
    entry->shown_state = UpstreamState::draining;
    schedule(*entry);
    free_if_unused(index);
  }
  if (found) {
    owner_.on_upstream_room();
    return {};
  }
  return Status(Code::not_found, name_ + ": there is no upstream " + address);
}

void Upstreams::free_if_unused(size_t index) {
  Entry& entry = *entries_[index];
  if (!entry.removed || set_.connections(index) != 0) return;
  const std::lock_guard lock(entries_mutex_);
  removed_.bytes_to += entry.upstream.bytes_to;
  removed_.bytes_from += entry.upstream.bytes_from;
  removed_.connect_us.merge(entry.upstream.connect_us.snapshot());
  removed_.session_us.merge(entry.upstream.session_us.snapshot());
  entries_[index].reset();
}

// --- from any thread -------------------------------------------------------------------------

std::vector<UpstreamStats> Upstreams::stats() const {
  const std::lock_guard lock(entries_mutex_);
  std::vector<UpstreamStats> all;
  for (const auto& entry : entries_) {
    if (entry == nullptr) continue;
    const Upstream& each = entry->upstream;
    UpstreamStats one;
    one.address = each.name;
    one.state = entry->shown_state;
    one.health = entry->shown_health;
    one.up = one.state == UpstreamState::up &&
             (one.health == UpstreamHealth::fit || one.health == UpstreamHealth::probation);
    one.weight = entry->shown_weight;
    one.connections = each.connections;
    one.active = each.active;
    one.connect_failures = each.connect_failures;
    one.silent_sessions = each.silent_sessions;
    one.ejections = each.ejections;
    one.checks = each.checks;
    one.checks_failed = each.checks_failed;
    one.bytes_to = each.bytes_to;
    one.bytes_from = each.bytes_from;
    one.connect = Durations(each.connect_us.snapshot());
    one.session = Durations(each.session_us.snapshot());
    all.push_back(std::move(one));
  }
  return all;
}

UpstreamTotals Upstreams::totals() const {
  const std::lock_guard lock(entries_mutex_);
  UpstreamTotals all = removed_;
  for (const auto& entry : entries_) {
    if (entry == nullptr) continue;
    all.bytes_to += entry->upstream.bytes_to;
    all.bytes_from += entry->upstream.bytes_from;
    all.connect_us.merge(entry->upstream.connect_us.snapshot());
    all.session_us.merge(entry->upstream.session_us.snapshot());
  }
  return all;
}

}  // namespace espora::forward
