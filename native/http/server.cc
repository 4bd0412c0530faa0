#include "http/server.h"

#include <algorithm>
#include <utility>

#include "sys/check.h"
#include "sys/clock.h"
#include "sys/slot_id.h"

namespace espora::http {

using sys::slot_of;

Server::Server(sys::EventLoop& loop, Handler& handler, ServerOptions options)
    : loop_(loop),
      handler_(handler),
      options_(std::move(options)),
      acceptor_(loop, *this),
      receive_buffer_(std::max(limits::http_receive_bytes,
                               RequestParser::receive_bytes_max(options_.body_bytes_max))),
      drain_timer_([](sys::Timer&, void* self) { static_cast<Server*>(self)->close_all(); }, this) {
}

Server::~Server() {
  done_.clear();
  close_all();
}

void Server::serve(sys::Fd fd, bool duplicated, const intake::HandoffOrigin& origin) {
  if (free_slots_.empty()) {
    slots_.emplace_back();
    free_slots_.push_back(static_cast<uint32_t>(slots_.size() - 1));
  }
  const uint32_t index = free_slots_.back();
  free_slots_.pop_back();
  Slot& slot = slots_[index];
  ++slot.generation;
  slot.origin = origin;
  slot.connection = std::make_unique<Connection>(*this, sys::slot_id(slot.generation, index),
                                                 std::move(fd), duplicated);
  ++stats_.connections_accepted;
  stats_.connections_active.set(active());
  slot.connection->start();
}

void Server::on_closed(Connection& connection) {
  const uint32_t index = slot_of(connection.id());
  ESPORA_CHECK(slots_[index].connection.get() == &connection);
  loop_.retire(std::move(slots_[index].connection));
  free_slots_.push_back(index);
  if (slots_[index].origin) acceptor_.report_ended(slots_[index].origin);
  stats_.connections_active.set(active());
  acceptor_.resume();
  finish_drain();
}

Connection* Server::find(uint64_t id) noexcept {
  if (slot_of(id) >= slots_.size()) return nullptr;
  Slot& slot = slots_[slot_of(id)];
  return slot.generation == sys::generation_of(id) ? slot.connection.get() : nullptr;
}

void Server::answer(Ticket ticket, const Answer& answer) {
  Connection* connection = find(ticket.connection);
  if (connection != nullptr) connection->answer_deferred(ticket.request, answer);
}

// Takes the connections with held answers off their list, and calls `visit` with each.
template <typename Visit>
void Server::each_held(const Visit& visit) {
  for (const uint64_t id : std::exchange(held_, {})) {
    if (Connection* connection = find(id); connection != nullptr) visit(*connection);
  }
}

void Server::open_gate(Gate gate) {
  ESPORA_CHECK(gate >= gate_);
  gate_ = gate;
  // Connections that continue here and hold answers again wait for the next gate.
  each_held([&](Connection& connection) {
    if (connection.open_gate(gate)) hold(connection.id());
  });
}

void Server::fail_held(const Error& error) {
  each_held([&](Connection& connection) { connection.fail_held(error); });
}

void Server::take_back(const Remake& remake) {
  each_held([&](Connection& connection) { connection.take_back(remake); });
}

void Server::drain(uint64_t deadline_ms, std::function<void()> done) {
  done_.push_back(std::move(done));
  if (!draining_) {
    draining_ = true;
    loop_.timers().arm(drain_timer_, deadline_ms);
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].connection != nullptr) slots_[i].connection->drain();
    }
    acceptor_.drain();
  } else if (drain_timer_.armed() && deadline_ms < drain_timer_.deadline_ms()) {
    loop_.timers().arm(drain_timer_, deadline_ms);
  }
  finish_drain();
}

void Server::close_all() {
  acceptor_.close();
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].connection != nullptr) slots_[i].connection->close();
  }
  finish_drain();
}

// Ends draining unless a connection, or a client in a listener's queue, remains.
void Server::finish_drain() {
  if (!draining_ || active() != 0 || acceptor_.listening()) return;
  loop_.timers().disarm(drain_timer_);
  std::vector<std::function<void()>> done;
  done.swap(done_);
  for (const auto& each : done) each();
}

OutputBuffer Server::take_buffer() {
  if (spare_buffers_.empty()) return {};
  OutputBuffer buffer = std::move(spare_buffers_.back());
  spare_buffers_.pop_back();
  return buffer;
}

void Server::give_back(OutputBuffer buffer) {
  if (spare_buffers_.size() < limits::http_spare_buffers_max &&
      buffer.capacity() <= limits::http_spare_buffer_bytes_max) {
    buffer.clear();
    spare_buffers_.push_back(std::move(buffer));
  }
}

std::string_view Server::date() noexcept { return dates_.at(sys::realtime_us()); }

void Server::count_answer(uint16_t status) noexcept {
  ++(status < 300 ? stats_.answers_2xx : status < 500 ? stats_.answers_4xx : stats_.answers_5xx);
}

}  // namespace espora::http
