#include "forward/upstreams.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "sys/check.h"

namespace espora::forward {

using sys::Code;
using sys::Result;
using sys::Status;

namespace {

// In the order of UpstreamHealth and of UpstreamState.
constexpr std::string_view health_names[] = {"fit", "probation", "ejected", "failed", "unresolved"};
constexpr std::string_view state_names[] = {"up", "draining", "down"};

}  // namespace

std::string_view name_of(UpstreamHealth health) noexcept {
  return health_names[static_cast<size_t>(health)];
}

std::string_view name_of(UpstreamState state) noexcept {
  return state_names[static_cast<size_t>(state)];
}

std::optional<UpstreamState> upstream_state_of(std::string_view name) noexcept {
  const auto found = std::find(std::begin(state_names), std::end(state_names), name);
  if (found == std::end(state_names)) return std::nullopt;
  return static_cast<UpstreamState>(found - std::begin(state_names));
}

Durations::Durations(const sys::HistogramSnapshot& taken) noexcept
    : count(taken.count()),
      sum_us(taken.sum()),
      p50_us(taken.percentile(500)),
      p90_us(taken.percentile(900)),
      p99_us(taken.percentile(990)),
      p999_us(taken.percentile(999)) {}

Status check_weight(const std::string& name, uint32_t weight) {
  if (weight >= 1 && weight <= limits::upstream_weight_max) return {};
  return Status(Code::invalid, name + ": a weight of " + std::to_string(weight) +
                                   ": give a number from 1 to " +
                                   std::to_string(limits::upstream_weight_max));
}

struct Upstreams::Entry final : HealthCheck::Owner {
  Entry(Upstreams& all_in, size_t index_in, uint64_t id_in, const UpstreamAddress& at)
      : all(all_in),
        index(index_in),
        id(id_in),
        upstream(at.address, all_in.options_.health, all_in.counters_of(at.address.key())),
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
  size_t checked_address = 0;  // of the running check, and of which list
  uint64_t checked_version = 0;
  uint64_t resolve_after_ms = 0;              // not before, even if it fails
  uint64_t resolve_at_ms = Health::never_ms;  // at the latest
  bool resolving = false;
  bool answered = false;  // its name was resolved, successfully or not
  bool removed = false;
  // For readers on other threads.
  std::atomic<bool> shown_removed{false};
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
      chooser_(options_.balance, options_.connections_max_each),
      resolver_(loop, options_.resolve) {
  // Without configured checks there are only checks of ejected upstreams and resting addresses, and
  // these never make an upstream fail.
  if (options_.check.check == Check::none) options_.health.fall = 0;
}

Upstreams::~Upstreams() = default;

Status Upstreams::start(const std::vector<UpstreamAddress>& upstreams) {
  uint64_t count = 0;
  for (const UpstreamAddress& each : upstreams) {
    auto inserted = insert(each);
    if (!inserted.ok()) return inserted.status();
    Entry& entry = *entries_[inserted.value()];
    // Spread over the interval; otherwise all of them would always be checked in one burst.
    entry.next_check_ms = loop_.now_ms() + options_.check.interval_ms * count++ / upstreams.size();
    locate(entry);
  }
  return {};
}

// Counters of an earlier upstream with this key continue. Call with the mutex held.
std::shared_ptr<UpstreamCounters> Upstreams::counters_of(const std::string& key) {
  if (const auto known = counters_.find(key); known != counters_.end()) return known->second;
  if (counters_.size() >= limits::upstream_counters_max) {
    const auto unused = std::find_if(counters_.begin(), counters_.end(),
                                     [](const auto& each) { return each.second.use_count() == 1; });
    if (unused != counters_.end()) {
      removed_.add(*unused->second);
      counters_.erase(unused);
    }
  }
  return counters_.emplace(key, std::make_shared<UpstreamCounters>()).first->second;
}

Result<size_t> Upstreams::insert(const UpstreamAddress& upstream) {
  if (Entry* there = find(upstream.address.key()); there != nullptr) {
    return Status(Code::exists, name_ + ": " + upstream.address.to_string() +
                                    " is an upstream already" +
                                    (there->upstream.name == upstream.address.to_string()
                                         ? std::string()
                                         : ", as " + there->upstream.name) +
                                    ": name it once, with a weight if it is to get more");
  }
  if (upstream.address.kind == sys::Address::Kind::unix_path) {
    const auto possible = sys::resolve(upstream.address);
    if (!possible.ok()) return possible.status();  // a path that no socket can have
  }
  const auto index = chooser_.add(upstream.weight);
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

UpstreamChooser::Choice Upstreams::choose(const UpstreamChooser::Tried& tried) noexcept {
  const UpstreamChooser::Choice choice = chooser_.next(tried);
  if (choice.kind == UpstreamChooser::Choice::Kind::chosen) chooser_.begin(choice.upstream);
  return choice;
}

Upstream& Upstreams::at(size_t upstream) noexcept { return entries_[upstream]->upstream; }

void Upstreams::leave(size_t upstream) {
  chooser_.end(upstream);
  free_if_unused(upstream);
}

const sys::ResolvedAddress* Upstreams::next_address(size_t upstream, TriedAddresses& tried) {
  AddressList& addresses = at(upstream).addresses;
  // The addresses changed: none of the new ones was tried.
  if (tried.version != addresses.version()) tried = {{}, addresses.version(), 0};
  const auto next = addresses.next(tried.indexes, loop_.now_ms());
  if (!next.has_value()) return nullptr;
  tried.indexes.set(*next);
  tried.current = *next;
  return &addresses.at(*next);
}

void Upstreams::on_address_failed(size_t upstream, const TriedAddresses& tried) {
  Entry& entry = *entries_[upstream];
  AddressList& addresses = entry.upstream.addresses;
  if (tried.version != addresses.version()) return;
  addresses.on_connect_failed(tried.current, loop_.now_ms());
  schedule(entry);  // it must be checked
  // Its name may mean another address now.
  if (!entry.removed && !entry.upstream.address.fixed() &&
      loop_.now_ms() >= entry.resolve_after_ms) {
    resolve(entry);
  }
}

void Upstreams::on_address_connected(size_t upstream, const TriedAddresses& tried) {
  AddressList& addresses = at(upstream).addresses;
  if (tried.version == addresses.version()) addresses.on_connected(tried.current);
}

void Upstreams::on_connected(size_t upstream, uint64_t elapsed_us) {
  Upstream& each = at(upstream);
  ++each.counters->connections;
  ++each.counters->active;
  each.counters->connect_us.add(elapsed_us);
  if (std::exchange(each.failing, false)) owner_.on_upstream_reachable(upstream);
}

void Upstreams::on_connect_failed(size_t upstream, int error) {
  Entry& entry = *entries_[upstream];
  ++entry.upstream.counters->connect_failures;
  const Status status =
      Status::from_errno(error, "connect", name_ + ": cannot reach " + entry.upstream.name);
  if (!std::exchange(entry.upstream.failing, true))
    owner_.on_upstream_unreachable(upstream, status);
  if (entry.removed) return;
  if (entry.upstream.health.on_failure(Failure::refused, loop_.now_ms(),
                                       chooser_.others_healthy(upstream))) {
    ++entry.upstream.counters->ejections;
    entry.next_check_ms = loop_.now_ms() + limits::recheck_ms;
    update(entry, "connects fail: " + sys::errno_name(error));
  }
}

void Upstreams::on_first_byte(size_t upstream, const TriedAddresses& tried) {
  Entry& entry = *entries_[upstream];
  AddressList& addresses = entry.upstream.addresses;
  if (tried.version == addresses.version()) addresses.on_answer(tried.current);
  entry.upstream.health.on_success();
  if (!entry.removed) update(entry, "it answers");
}

void Upstreams::on_session_end(size_t upstream, const TriedAddresses& tried,
                               const SessionFacts& facts, uint64_t elapsed_us) {
  Entry& entry = *entries_[upstream];
  --entry.upstream.counters->active;
  entry.upstream.counters->session_us.add(elapsed_us);
  if (is_failure(facts)) on_silence(upstream, tried);
}

void Upstreams::on_silence(size_t upstream, const TriedAddresses& tried) {
  Entry& entry = *entries_[upstream];
  AddressList& addresses = entry.upstream.addresses;
  if (tried.version == addresses.version()) addresses.on_silent(tried.current, loop_.now_ms());
  ++entry.upstream.counters->silent_sessions;
  if (entry.removed || !entry.upstream.health.on_failure(Failure::silent, loop_.now_ms(),
                                                         chooser_.others_healthy(upstream))) {
    return;
  }
  ++entry.upstream.counters->ejections;
  update(entry, "accepts connections but sends nothing");
}

// --- names -----------------------------------------------------------------------------------

// A numeric address or a path is known at once, without asking a name server.
void Upstreams::locate(Entry& entry) {
  if (entry.upstream.address.fixed()) {
    on_resolved(entry.index, entry.id, sys::resolve(entry.upstream.address));
  } else {
    resolve(entry);
    update(entry, "its name is not resolved yet");
  }
}

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
  entry.answered = true;
  const uint64_t now_ms = loop_.now_ms();
  entry.resolve_after_ms = now_ms + limits::resolve_again_ms;
  if (!upstream.address.fixed() && options_.resolve_interval_ms != 0) {
    entry.resolve_at_ms = now_ms + options_.resolve_interval_ms;
  }
  if (found.ok()) {
    upstream.addresses.assign(found.value());
    update(entry, "its name is resolved");
    return;
  }
  // Addresses that were found before may still be right.
  if (!upstream.addresses.empty()) {
    schedule(entry);
    return;
  }
  if (!std::exchange(upstream.failing, true)) {
    ++upstream.counters->connect_failures;
    owner_.on_upstream_unreachable(index, found.status());
  }
  update(entry, found.status().message());
}

// --- checks ----------------------------------------------------------------------------------

// The kind of the next check; none if no check will ever be due.
Check Upstreams::wanted_check(const Entry& entry) const noexcept {
  if (entry.removed || entry.upstream.addresses.empty()) return Check::none;
  if (options_.check.check != Check::none) return options_.check.check;
  const Health& health = entry.upstream.health;
  const bool refused =
      health.state() == Health::State::ejected && health.ejected_for() == Failure::refused;
  return refused || looks_due(entry) ? Check::connect : Check::none;
}

// If all addresses rest, each session serves as a check.
bool Upstreams::looks_due(const Entry& entry) const noexcept {
  const AddressList& addresses = entry.upstream.addresses;
  return addresses.size() > 1 && addresses.next_look().due_ms != AddressList::never_ms;
}

// When the next check begins, if one is wanted; never while one is running.
uint64_t Upstreams::next_check_ms(const Entry& entry) const noexcept {
  if (entry.check.under_way()) return Health::never_ms;
  const bool looking = options_.check.check == Check::none &&
                       entry.upstream.health.state() != Health::State::ejected;
  return looking ? std::max(entry.upstream.addresses.next_look().due_ms, entry.next_check_ms)
                 : entry.next_check_ms;
}

// When its name is resolved again.
uint64_t Upstreams::next_question_ms(const Entry& entry) const noexcept {
  if (entry.resolving || entry.upstream.address.fixed()) return Health::never_ms;
  return entry.upstream.addresses.empty() ? std::min(entry.resolve_after_ms, entry.resolve_at_ms)
                                          : entry.resolve_at_ms;
}

void Upstreams::on_timer(Entry& entry) {
  const uint64_t now_ms = loop_.now_ms();
  entry.upstream.health.on_time(now_ms);
  if (now_ms >= next_question_ms(entry)) resolve(entry);
  if (const Check check = wanted_check(entry);
      check != Check::none && now_ms >= next_check_ms(entry)) {
    begin_check(entry, check);
  }
  update(entry, "its ejection is over");
}

// If checks are configured each address is checked once in an interval. Otherwise only the
// addresses that accepted no connection are checked.
void Upstreams::begin_check(Entry& entry, Check check) {
  AddressList& addresses = entry.upstream.addresses;
  const uint64_t now_ms = loop_.now_ms();
  const bool ejected = entry.upstream.health.state() == Health::State::ejected;
  const uint64_t interval_ms = ejected ? std::min(options_.check.interval_ms, limits::recheck_ms)
                                       : options_.check.interval_ms;
  entry.next_check_ms = now_ms + std::max<uint64_t>(interval_ms / addresses.size(), 1);
  entry.checked_version = addresses.version();
  const bool asked_for = options_.check.check != Check::none;
  entry.checked_address =
      asked_for || ejected ? addresses.next_to_check() : addresses.next_look().index;
  entry.check.start(check, addresses.at(entry.checked_address));
}

void Upstreams::on_checked(Entry& entry, Check check, HealthCheck::Outcome outcome,
                           const std::string& why) {
  Upstream& upstream = entry.upstream;
  if (entry.removed || outcome == HealthCheck::Outcome::unknown) {
    schedule(entry);
    return;
  }
  ++upstream.counters->checks;
  const bool good = outcome == HealthCheck::Outcome::good;
  AddressList& addresses = upstream.addresses;
  const bool same = entry.checked_version == addresses.version();
  if (good) {
    if (same) addresses.on_connected(entry.checked_address);
    if (same && check == Check::http) addresses.on_answer(entry.checked_address);
    if (std::exchange(upstream.failing, false)) owner_.on_upstream_reachable(entry.index);
  } else {
    ++upstream.counters->checks_failed;
    if (same) addresses.on_connect_failed(entry.checked_address, loop_.now_ms());
    if (!upstream.address.fixed() && loop_.now_ms() >= entry.resolve_after_ms) resolve(entry);
    // If only some of its addresses fail, that says nothing about the upstream.
    if (!addresses.all_rest(loop_.now_ms())) {
      update(entry, "the check " + why);
      return;
    }
  }
  upstream.health.on_check(check, good);
  update(entry, good ? "a check succeeded" : "the check " + why);
}

// Propagates the new state of an entry.
void Upstreams::update(Entry& entry, const std::string& reason) {
  const Upstream& upstream = entry.upstream;
  const size_t index = entry.index;
  chooser_.set_healthy(index, upstream.health.usable());
  chooser_.set_reachable(index, !upstream.addresses.empty());
  chooser_.set_awaited(index, upstream.addresses.empty() && !entry.answered);
  UpstreamHealth health = UpstreamHealth::unresolved;
  if (!upstream.addresses.empty()) health = static_cast<UpstreamHealth>(upstream.health.state());
  const UpstreamState state = chooser_.state(index);
  entry.shown_weight = chooser_.weight(index);
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
  uint64_t next_ms = std::min(entry.upstream.health.next_ms(), next_question_ms(entry));
  if (wanted_check(entry) != Check::none) next_ms = std::min(next_ms, next_check_ms(entry));
  if (next_ms == Health::never_ms) {
    loop_.timers().disarm(entry.timer);
  } else {
    loop_.timers().arm(entry.timer, next_ms);
  }
}

// --- changes ---------------------------------------------------------------------------------

Upstreams::Entry* Upstreams::find(const std::string& key) noexcept {
  for (const auto& entry : entries_) {
    if (entry != nullptr && !entry->removed && entry->upstream.key == key) return entry.get();
  }
  return nullptr;
}

template <typename Change>
Status Upstreams::change(const std::string& address, const char* reason, const Change& apply) {
  const auto parsed = sys::Address::parse(address);
  Entry* entry = parsed.ok() ? find(parsed.value().key()) : nullptr;
  if (entry == nullptr) {
    return Status(Code::not_found, name_ + ": there is no upstream " + address);
  }
  apply(*entry);
  if (reason != nullptr) update(*entry, reason);
  return {};
}

Status Upstreams::set_state(const std::string& address, UpstreamState state) {
  return change(address, "set by the operator",
                [&](const Entry& entry) { chooser_.set_state(entry.index, state); });
}

Status Upstreams::set_weight(const std::string& address, uint32_t weight) {
  Status status = check_weight(name_, weight);
  if (!status.ok()) return status;
  return change(address, "set by the operator",
                [&](const Entry& entry) { chooser_.set_weight(entry.index, weight); });
}

Status Upstreams::add(const UpstreamAddress& upstream) {
  Status status = check_weight(name_, upstream.weight);
  if (!status.ok()) return status;
  auto inserted = insert(upstream);
  if (!inserted.ok()) return inserted.status();
  Entry& entry = *entries_[inserted.value()];
  locate(entry);
  owner_.on_upstream_room();
  return {};
}

Status Upstreams::remove(const std::string& address) {
  const Status status = change(address, nullptr, [&](Entry& entry) {
    const size_t index = entry.index;
    chooser_.remove(index);
    entry.removed = true;
    entry.shown_removed = true;
    entry.shown_state = UpstreamState::draining;
    schedule(entry);
    free_if_unused(index);
  });
  if (status.ok()) owner_.on_upstream_room();
  return status;
}

void Upstreams::free_if_unused(size_t index) {
  Entry& entry = *entries_[index];
  if (!entry.removed || chooser_.connections(index) != 0) return;
  const std::lock_guard lock(entries_mutex_);
  entries_[index].reset();
}

// --- from any thread -------------------------------------------------------------------------

// Whether it was removed and added again: both count in one place.
bool Upstreams::has_successor(const Entry& gone) const {
  return gone.shown_removed &&
         std::any_of(entries_.begin(), entries_.end(), [&](const auto& entry) {
           return entry != nullptr && entry->id > gone.id &&
                  entry->upstream.key == gone.upstream.key;
         });
}

std::vector<UpstreamStats> Upstreams::stats() const {
  const std::lock_guard lock(entries_mutex_);
  std::vector<UpstreamStats> all;
  for (const auto& entry : entries_) {
    if (entry == nullptr || has_successor(*entry)) continue;
    const Upstream& each = entry->upstream;
    UpstreamStats one;
    static_cast<UpstreamCounts&>(one) = *each.counters;
    one.address = each.name;
    one.state = entry->shown_state;
    one.health = entry->shown_health;
    one.up = one.state == UpstreamState::up &&
             (one.health == UpstreamHealth::fit || one.health == UpstreamHealth::probation);
    one.weight = entry->shown_weight;
    one.connect = Durations(each.counters->connect_us.snapshot());
    one.session = Durations(each.counters->session_us.snapshot());
    all.push_back(std::move(one));
  }
  return all;
}

UpstreamTotals Upstreams::totals() const {
  const std::lock_guard lock(entries_mutex_);
  UpstreamTotals all = removed_;
  for (const auto& [key, counters] : counters_) all.add(*counters);
  return all;
}

void UpstreamTotals::add(const UpstreamCounters& counters) {
  bytes_to += counters.bytes_to;
  bytes_from += counters.bytes_from;
  connect_us.merge(counters.connect_us.snapshot());
  session_us.merge(counters.session_us.snapshot());
}

}  // namespace espora::forward
