#include "forward/handoff.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "intake/handoff_protocol.h"
#include "sys/check.h"
#include "sys/limits.h"
#include "sys/slot_id.h"
#include "sys/socket_passing.h"

namespace espora::forward {

using intake::HandoffChannel;
using sys::ConnectOutcome;
using sys::generation_of;
using sys::slot_of;

Handoff::Handoff(sys::EventLoop& loop, HandoffHost& host, HandoffOptions options)
    : loop_(loop),
      host_(host),
      options_(std::move(options)),
      flush_timer_([](sys::Timer&, void* self) { static_cast<Handoff*>(self)->flush(); }, this),
      reading_timer_([](sys::Timer&, void* self) { static_cast<Handoff*>(self)->on_reading_due(); },
                     this),
      retry_timer_(
          [](sys::Timer&, void* self) { static_cast<Handoff*>(self)->serve_waiting(true); }, this),
      answers_timer_([](sys::Timer&, void* self) { static_cast<Handoff*>(self)->check_answers(); },
                     this) {}

Handoff::~Handoff() {
  cut();
  closing_ = true;
  for (auto& [upstream, door] : doors_) {
    if (door.channel != nullptr) door.channel->cut();
  }
  while (!leaving_.empty()) leaving_.begin()->second->cut();
  loop_.timers().disarm(flush_timer_);
  loop_.timers().disarm(reading_timer_);
  loop_.timers().disarm(retry_timer_);
  loop_.timers().disarm(answers_timer_);
}

sys::Address Handoff::receiver_of(const std::string& path) {
  sys::Address receiver;
  receiver.kind = sys::Address::Kind::unix_path;
  receiver.path = path + std::string(intake::handoff::path_suffix);
  return receiver;
}

void Handoff::prepare(size_t upstream) {
  if (door_of(upstream).channel == nullptr) open(upstream);
}

Handoff::Door& Handoff::door_of(size_t upstream) {
  Door& door = doors_[upstream];
  const std::string& path = host_.handoff_path(upstream);
  if (door.path != path) {
    // Another upstream now has this index; the old channel still reports what the old one holds.
    retire_channel(door);
    door.path = path;
  }
  return door;
}

// No more clients go there; what it holds is still reported.
void Handoff::retire_channel(Door& door) {
  if (door.channel == nullptr) return;
  const uint64_t id = door.channel->id();
  door.channel->watch_answers(true);
  leaving_.emplace(id, std::move(door.channel));
}

bool Handoff::has_room() const noexcept { return waiting_.size() < limits::handoff_waiting_max; }

// --- clients ---------------------------------------------------------------------------------

void Handoff::pass(sys::Fd client, const intake::HandoffOrigin& origin) {
  if (free_.empty()) {
    clients_.emplace_back();
    free_.push_back(static_cast<uint32_t>(clients_.size() - 1));
  }
  const uint32_t slot = free_.back();
  free_.pop_back();
  Client& one = clients_[slot];
  const uint32_t generation = one.generation + 1;
  one = Client{};  // nothing remains of the slot's previous client
  one.generation = generation;
  one.fd = std::move(client);
  one.origin = origin;
  one.since_ms = loop_.now_ms();
  one.only_full = true;
  one.rest_ms = limits::connect_retry_ms;
  one.state = Client::State::waiting;
  place(sys::slot_id(one.generation, slot));
}

Handoff::Client* Handoff::find(uint64_t id) noexcept {
  if (slot_of(id) >= clients_.size()) return nullptr;
  Client& one = clients_[slot_of(id)];
  return one.state != Client::State::free && one.generation == generation_of(id) ? &one : nullptr;
}

// Tries the upstreams until one is offered this client, or none is left for now.
void Handoff::place(uint64_t id) {
  Client* one = find(id);
  ESPORA_CHECK(one != nullptr);
  for (;;) {
    const bool first = one->tried.none();
    const UpstreamChooser::Choice choice = host_.choose_for_handoff(one->tried);
    if (choice.kind != UpstreamChooser::Choice::Kind::chosen) {
      one->at_limit = choice.kind == UpstreamChooser::Choice::Kind::full;
      break;
    }
    if (!first) host_.on_handoff_retry();
    one->tried.set(choice.upstream);
    if (offer(id, choice.upstream)) return;
    host_.leave_after_handoff(choice.upstream, false, 0);
  }
  if (one->later.none() && !one->at_limit) {
    release(id, one->timed_out ? SessionEnd::connect_timeout : SessionEnd::unreachable);
    return;
  }
  wait(id);
}

// Queues it for that upstream, or notes whether trying again later may help.
bool Handoff::offer(uint64_t id, size_t upstream) {
  Client& one = *find(id);
  Door& door = door_of(upstream);
  const Opened opened = door.channel != nullptr ? Opened::yes : open(upstream);
  if (opened == Opened::no) {
    one.timed_out = false;  // the last attempt decides how it ends
    return false;
  }
  if (opened == Opened::later || door.channel->state() != HandoffChannel::State::ready) {
    one.later.set(upstream);
    one.passed_over.set(upstream);
    one.only_full = false;
    return false;
  }
  if (door.channel->unacknowledged().size() + door.queue.size() >=
      limits::handoff_unacknowledged_max) {
    door.channel->watch_answers(true);
    ++counters_.pass_full;
    one.later.set(upstream);
    one.passed_over.set(upstream);
    return false;
  }
  one.state = Client::State::queued;
  one.channel = door.channel->id();
  one.upstream = upstream;
  door.queue.push_back(id);
  if (!flush_timer_.armed()) loop_.timers().arm(flush_timer_, loop_.now_ms());
  return true;
}

void Handoff::wait(uint64_t id) {
  Client& one = *find(id);
  one.state = Client::State::waiting;
  const uint64_t patience_ms =
      one.only_full ? options_.idle_timeout_ms : options_.connect_timeout_ms;
  if (patience_ms != 0 && loop_.now_ms() - one.since_ms >= patience_ms) {
    release(id, SessionEnd::connect_timeout);
    return;
  }
  waiting_.push_back(id);
  one.rest_ms = std::min(2 * one.rest_ms, limits::connect_retry_ms_max);
  if (!retry_timer_.armed() && !serving_) {
    loop_.timers().arm(retry_timer_, loop_.now_ms() + one.rest_ms);
  }
}

// Whether another process, which was not asked yet, now listens for its upstream.
bool Handoff::has_successor(const Client& client) const noexcept {
  const auto door = doors_.find(client.upstream);
  return door != doors_.end() && door->second.channel != nullptr &&
         door->second.channel->id() != client.channel &&
         door->second.channel->state() == HandoffChannel::State::ready;
}

// The upstream did not take this client and no longer can.
void Handoff::take_back(uint64_t id, bool again_later) {
  Client& one = *find(id);
  host_.leave_after_handoff(one.upstream, false, 0);
  // Upstreams that had no room when this one was chosen may have some now: they come before it.
  one.tried &= ~one.passed_over;
  one.later &= ~one.passed_over;
  one.passed_over.reset();
  if (has_successor(one)) {
    one.tried.reset(one.upstream);
  } else if (again_later) {
    one.later.set(one.upstream);
  }
  one.state = Client::State::waiting;
  one.only_full = false;
  if (closing_) {
    release(id, SessionEnd::stopped);
    return;
  }
  place(id);
}

void Handoff::release(uint64_t id, SessionEnd reason) {
  Client& one = *find(id);
  const intake::HandoffOrigin origin = one.origin;
  one.state = Client::State::free;
  one.fd.reset();
  free_.push_back(slot_of(id));
  host_.on_handoff_end(origin, reason);
}

// Serves waiting clients in the order in which they came. `all`: each gets its turn, and those that
// have waited too long end; otherwise stops at the first that finds no room.
void Handoff::serve_waiting(bool all) {
  if (std::exchange(serving_, true)) return;
  for (size_t left = waiting_.size(); left > 0 && !waiting_.empty(); --left) {
    const uint64_t id = waiting_.front();
    waiting_.pop_front();
    Client* one = find(id);
    if (one == nullptr || one->state != Client::State::waiting) continue;
    one->tried &= ~one->later;
    one->later.reset();
    one->passed_over.reset();
    one->only_full = true;
    const size_t before = waiting_.size();
    place(id);
    if (!all && waiting_.size() > before) {
      // It keeps its place.
      waiting_.push_front(waiting_.back());
      waiting_.pop_back();
      break;
    }
  }
  serving_ = false;
  if (!waiting_.empty() && !retry_timer_.armed()) {
    loop_.timers().arm(retry_timer_, loop_.now_ms() + find(waiting_.front())->rest_ms);
  }
  if (has_room()) host_.on_handoff_room();
}

// --- channels --------------------------------------------------------------------------------

Handoff::Opened Handoff::open(size_t upstream) {
  const auto resolved = sys::resolve(receiver_of(doors_[upstream].path));
  if (!resolved.ok()) {
    host_.on_handoff_failed(upstream, ENAMETOOLONG);
    return Opened::no;
  }
  const sys::ResolvedAddress& address = resolved.value().front();
  sys::Connecting attempt = sys::start_connect(address, sys::SocketType::seqpacket);
  if (attempt.outcome == ConnectOutcome::local_error && host_.on_handoff_shortage(attempt.error)) {
    attempt = sys::start_connect(address, sys::SocketType::seqpacket);
  }
  if (attempt.outcome != ConnectOutcome::connected) {
    if (attempt.outcome == ConnectOutcome::backlog_full) ++counters_.pass_full;
    if (attempt.outcome != ConnectOutcome::refused) return Opened::later;
    host_.on_handoff_failed(upstream, attempt.error);
    return Opened::no;
  }
  if (!sys::is_trusted_peer(attempt.fd.get(), options_.users)) {
    host_.on_handoff_failed(upstream, EPERM);
    return Opened::no;
  }
  intake::HandoffChannelOwner& owner = *this;
  auto channel = std::make_unique<HandoffChannel>(loop_, owner, upstream, next_channel_++,
                                                  std::move(attempt.fd));
  if (!channel->start()) {
    host_.on_handoff_shortage(ENOMEM);
    return Opened::later;
  }
  doors_[upstream].channel = std::move(channel);
  doors_[upstream].sent = 0;
  return Opened::yes;
}

void Handoff::read_answers() {
  for (auto& [upstream, door] : doors_) {
    if (door.channel != nullptr && !door.channel->watched()) door.channel->read_answers(door.sent);
    door.sent = 0;
  }
}

void Handoff::on_reading_due() {
  read_answers();
  for (auto& [upstream, door] : doors_) {
    if (door.channel != nullptr) door.channel->watch_answers(true);
  }
}

void Handoff::flush() {
  for (auto& [upstream, door] : doors_) {
    if (!door.queue.empty()) flush(door);
  }
  // After the clients that go out, because they are waiting.
  read_answers();
}

void Handoff::flush(Door& door) {
  std::vector<uint64_t> queue = std::exchange(door.queue, {});
  std::array<int, limits::handoff_sockets_max> sockets;
  for (size_t begin = 0; begin < queue.size();) {
    const size_t count = std::min(queue.size() - begin, limits::handoff_sockets_max);
    const std::span<const uint64_t> ids = std::span(queue).subspan(begin, count);
    for (size_t i = 0; i < count; ++i) sockets[i] = find(ids[i])->fd.get();
    const bool needs_exact_counts =
        door.channel != nullptr && host_.handoff_counts_matter(door.channel->upstream());
    const auto sent = door.channel != nullptr
                          ? door.channel->send(ids, std::span(sockets).first(count), loop_.now_ms(),
                                               needs_exact_counts)
                          : HandoffChannel::Sent::leaving;
    if (sent == HandoffChannel::Sent::sent) {
      door.sent += count;
      watch_answers(*door.channel, needs_exact_counts);
      for (const uint64_t id : ids) find(id)->state = Client::State::offered;
      counters_.pass_unacknowledged.add(count);
      ++counters_.pass_messages;
      begin += count;
      continue;
    }
    if (sent == HandoffChannel::Sent::full) ++counters_.pass_full;
    if (sent == HandoffChannel::Sent::shortage) ++counters_.pass_shortages;
    // It is about to end. Its successor listens for channels of its own.
    if (sent == HandoffChannel::Sent::leaving) retire_channel(door);
    // They go elsewhere, and may be offered to it again later.
    for (; begin < queue.size(); ++begin) take_back(queue[begin], true);
  }
  arm_answers();
}

// Each answer would be an event of its own, usually with a wake-up, just when the receiver could
// serve the client. Answers are read when the next clients go out instead, or a moment later if
// there are none. An answer is watched for if it makes room (clients are counted exactly, or many
// are unacknowledged), or if it may be a refusal, so that a client must go elsewhere.
void Handoff::watch_answers(HandoffChannel& channel, bool needs_exact_counts) {
  const bool much = 2 * channel.unacknowledged().size() > limits::handoff_unacknowledged_max;
  channel.watch_answers(needs_exact_counts || much || channel.refused_lately());
  if (!channel.watched() && !reading_timer_.armed()) {
    loop_.timers().arm(reading_timer_, loop_.now_ms() + limits::handoff_answers_ms);
  }
}

void Handoff::on_ready(HandoffChannel&) { serve_waiting(false); }

void Handoff::on_taken(HandoffChannel& channel, uint64_t id) {
  Client* one = find(id);
  ESPORA_CHECK(one != nullptr && one->state == Client::State::offered);
  --counters_.pass_unacknowledged;
  one->state = Client::State::held;
  one->fd.reset();
  ++counters_.passed;
  ++counters_.passed_active;
  host_.on_handoff_taken(channel.upstream(), loop_.now_ms() - one->since_ms);
  if (!waiting_.empty()) serve_waiting(false);
}

void Handoff::on_refused(HandoffChannel&, uint64_t id) {
  Client* one = find(id);
  ESPORA_CHECK(one != nullptr && one->state == Client::State::offered);
  --counters_.pass_unacknowledged;
  ++counters_.pass_refused;
  take_back(id, true);
}

void Handoff::on_client_ended(HandoffChannel& channel, uint64_t id) {
  Client* one = find(id);
  // A receiver that reports a client that it never had is ignored.
  if (one == nullptr || one->state != Client::State::held || one->channel != channel.id()) return;
  --counters_.passed_active;
  host_.leave_after_handoff(one->upstream, true, loop_.now_ms() - one->since_ms);
  release(id, SessionEnd::handed);
}

void Handoff::on_channel_ended(HandoffChannel& channel) {
  std::unique_ptr<HandoffChannel> owned;
  const auto door = doors_.find(channel.upstream());
  if (door != doors_.end() && door->second.channel.get() == &channel) {
    owned = std::move(door->second.channel);
    ++counters_.channels_lost;
  } else {
    const auto found = leaving_.find(channel.id());
    ESPORA_CHECK(found != leaving_.end());
    owned = std::move(found->second);
    leaving_.erase(found);
  }
  // Offers were unanswered, so that its end is a failure of the upstream.
  if (!closing_ && !owned->unacknowledged().empty()) {
    host_.on_handoff_failed(channel.upstream(), ECONNRESET);
  }
  // What it holds lives on or died with it: it can no longer be counted here.
  for (uint32_t slot = 0; slot < clients_.size(); ++slot) {
    Client& one = clients_[slot];
    if (one.state != Client::State::held || one.channel != channel.id()) continue;
    --counters_.passed_active;
    ++counters_.pass_unreported;
    host_.leave_after_handoff(one.upstream, true, loop_.now_ms() - one.since_ms);
    release(sys::slot_id(one.generation, slot), SessionEnd::handed);
  }
  counters_.pass_unacknowledged.subtract(owned->unacknowledged().size());
  counters_.pass_returned.add(owned->unacknowledged().size());
  for (const HandoffChannel::Offered& each : owned->unacknowledged()) take_back(each.client, true);
  loop_.retire(std::move(owned));
}

// --- missing answers -------------------------------------------------------------------------

bool Handoff::others_ready(const HandoffChannel& channel) const noexcept {
  return std::any_of(doors_.begin(), doors_.end(), [&](const auto& each) {
    const HandoffChannel* other = each.second.channel.get();
    return other != nullptr && other != &channel && other->state() == HandoffChannel::State::ready;
  });
}

// Whether the oldest offer to it has waited too long.
bool Handoff::is_late(const HandoffChannel& channel) const noexcept {
  if (channel.unacknowledged().empty()) return false;
  const uint64_t patience_ms =
      others_ready(channel) ? options_.connect_timeout_ms : options_.idle_timeout_ms;
  return patience_ms != 0 && loop_.now_ms() - channel.unacknowledged().front().at_ms >= patience_ms;
}

// A stopped receiver does not answer. If another one can take its offers it is given up: its
// channel is cut, so that it cannot take these clients when it continues.
void Handoff::check_answers() {
  read_answers();
  std::vector<HandoffChannel*> late;
  for (auto& [upstream, door] : doors_) {
    if (door.channel != nullptr && is_late(*door.channel)) late.push_back(door.channel.get());
  }
  // One that takes no more clients can hang as well, next to its successor.
  for (auto& [id, channel] : leaving_) {
    if (is_late(*channel)) late.push_back(channel.get());
  }
  for (HandoffChannel* channel : late) {
    ++counters_.channels_cut;
    for (const HandoffChannel::Offered& each : channel->unacknowledged()) {
      find(each.client)->timed_out = true;
    }
    channel->cut();
  }
  arm_answers();
}

// Only while an answer is outstanding.
void Handoff::arm_answers() {
  if (answers_timer_.armed() || counters_.pass_unacknowledged == 0) return;
  const uint64_t look_ms = std::max<uint64_t>(1, options_.connect_timeout_ms / 4);
  loop_.timers().arm(answers_timer_, loop_.now_ms() + look_ms);
}

void Handoff::cut() {
  std::vector<HandoffChannel*> with_offers;
  for (auto& [upstream, door] : doors_) {
    if (door.channel != nullptr && !door.channel->unacknowledged().empty()) {
      with_offers.push_back(door.channel.get());
    }
  }
  for (auto& [id, channel] : leaving_) {
    if (!channel->unacknowledged().empty()) with_offers.push_back(channel.get());
  }
  const bool before = std::exchange(closing_, true);
  for (auto& [upstream, door] : doors_) {
    for (const uint64_t id : std::exchange(door.queue, {})) take_back(id, false);
  }
  for (HandoffChannel* channel : with_offers) channel->cut();
  for (const uint64_t id : std::exchange(waiting_, {})) release(id, SessionEnd::stopped);
  closing_ = before;
}

}  // namespace espora::forward
