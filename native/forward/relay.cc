#include "forward/relay.h"

#include "sys/check.h"
#include "sys/limits.h"

namespace espora::forward {

using sys::Events;
using sys::IoResult;
using sys::Status;

// Edge-triggered: one registration for the life of a connection. Writability is requested only
// after a socket was full: otherwise a unix socket would report it for each message that its peer
// takes, and every socket on registration.
uint32_t Relay::interest(const Side& side) noexcept {
  const uint32_t always = Events::readable | Events::urgent | Events::read_hang_up | Events::edge;
  return side.wants_writable ? always | Events::writable : always;
}

Status Relay::start(bool read_first) {
  if (read_first) {
    client.readable = true;
    pump(client);
  }
  for (Side* side : {&upstream, &client}) {
    if (side->token != 0) continue;
    // Registering reports everything that happened before: epoll checks a newly added socket.
    auto token = loop_.add(side->fd.get(), interest(*side), *side);
    if (!token.ok()) return token.status();
    side->token = token.value();
  }
  if (read_first) settle();
  return {};
}

void Relay::on_events(Side& side, uint32_t events) {
  if (state_ == State::ended) return;
  if (state_ == State::resetting) {
    // It was about to be reset and closed by itself.
    if ((events & (Events::error | Events::hang_up)) != 0) state_ = State::ended;
    return;
  }
  constexpr uint32_t ending = Events::read_hang_up | Events::hang_up | Events::error;
  if ((events & (Events::readable | Events::urgent | ending)) != 0) side.readable = true;
  if ((events & (Events::urgent | ending)) != 0) side.read_on = true;
  if ((events & Events::hang_up) != 0) side.hung_up = true;
  // An error after the end of the stream can no longer be seen by reading.
  if ((events & Events::error) != 0 && side.read_done && !side.failed &&
      sys::socket_error(side.fd.get()) != 0) {
    fail(side);
  }
  if (side.blocked && (events & (Events::writable | Events::hang_up | Events::error)) != 0) {
    unblock(side);
  }
  pump(side);
  settle();
}

// Moves what `from` has until it has no more, `to` takes no more, or others must get their turn.
//
// epoll(7): with edge-triggered stream sockets a short read means that everything was read, so the
// read that would return EAGAIN is saved. That does not hold if an end or an error follows the
// bytes, nor around urgent data, where recv(2) stops early: then `read_on` is set.
void Relay::pump(Side& from) {
  Side& to = other(from);
  for (int reads = 0; from.readable && !from.read_done && !to.blocked && !to.failed; ++reads) {
    if (reads == limits::relay_reads_per_event_max) {
      if (from.token != 0) loop_.redispatch(from.token, Events::readable);
      break;
    }
    if (can_splice(from, to)) {
      move_spliced(from, to);
    } else if (buffers_.can_lend()) {
      move_copied(from, to);
    } else {
      move_peeked(from, to);
    }
  }
  if (to.pipe.empty()) to.pipe.give_back();
}

void Relay::move_copied(Side& from, Side& to) {
  size_t count = 0;
  while (count < scratch_.size()) {
    const IoResult read =
        sys::receive(from.fd.get(), scratch_.data() + count, scratch_.size() - count);
    if (read.bytes == 0) {
      note_read_stop(from, read);
      break;
    }
    count += read.bytes;
    if (count < scratch_.size() && !from.read_on) {
      from.readable = false;
      break;
    }
  }
  if (count == 0) return;
  progress_ = true;
  from.spoke = true;
  from.full_buffers = count == scratch_.size() ? from.full_buffers + 1 : 0;
  if (from.full_buffers >= limits::splice_after_buffers) from.streams = true;
  const bool end_follows = to.tcp && from.read_done && !from.failed;
  const IoResult sent = sys::send(to.fd.get(), scratch_.data(), count, end_follows);
  if (sent.error != 0) {
    fail(to);  // what was read is dropped: it can no longer be delivered
    return;
  }
  to.sent_bytes->add(sent.bytes);
  if (sent.bytes < count) {
    to.out = buffers_.lend(scratch_.data() + sent.bytes, count - sent.bytes);
    block(to);
  }
}

// The same without a buffer to lend: bytes leave `from` only after `to` took them.
void Relay::move_peeked(Side& from, Side& to) {
  const IoResult seen = sys::peek(from.fd.get(), scratch_.data(), scratch_.size());
  if (seen.bytes == 0) {
    note_read_stop(from, seen);
    return;
  }
  const IoResult sent = sys::send(to.fd.get(), scratch_.data(), seen.bytes);
  if (sent.error != 0) {
    fail(to);
    return;
  }
  to.sent_bytes->add(sent.bytes);
  for (size_t left = sent.bytes; left > 0;) {
    const IoResult taken = sys::receive(from.fd.get(), scratch_.data(), left);
    if (taken.bytes == 0) {
      // Peeked bytes cannot disappear; if they do, nothing may be sent twice.
      end_reading(from);
      fail(from);
      return;
    }
    left -= taken.bytes;
    progress_ = true;
    from.spoke = true;
  }
  if (sent.bytes < seen.bytes) {
    block(to);
  } else if (seen.bytes < scratch_.size() && !from.read_on) {
    from.readable = false;
  }
}

// Around an end, an error or urgent data (`read_on`) bytes are copied: there the results 0 and
// EAGAIN of splice(2) are ambiguous, and at a byte of urgent data it stops for good.
bool Relay::can_splice(const Side& from, Side& to) noexcept {
  if (!from.streams || from.read_on) return false;
  if (!to.pipe.valid()) to.pipe = pipes_.lend();
  return to.pipe.valid();
}

void Relay::move_spliced(Side& from, Side& to) {
  ESPORA_CHECK(!to.owed());
  const IoResult read = to.pipe.fill_from(from.fd.get());
  if (read.bytes == 0) {
    note_splice_stop(from, read);
    return;
  }
  from.spoke = true;
  from.streamed_bytes += read.bytes;
  progress_ = true;
  empty_pipe(to);
}

// Nothing was spliced although the pipe was empty.
void Relay::note_splice_stop(Side& from, const IoResult& result) noexcept {
  if (result.again) {
    from.readable = false;
    if (from.streamed_bytes < limits::splice_bytes_min) {
      from.streams = false;
      from.full_buffers = 0;
    }
    from.streamed_bytes = 0;
  } else if (result.end) {
    from.streams = false;  // what follows is read, which distinguishes an end from an error
  } else if (sys::is_splice_unsupported(result.error)) {
    pipes_.disable();
  } else {
    from.readable = false;
    end_reading(from);
    fail(from);  // a second attempt would not report the error again
  }
}

void Relay::empty_pipe(Side& to) {
  while (!to.pipe.empty()) {
    const IoResult sent = to.pipe.empty_into(to.fd.get());
    if (sent.bytes > 0) {
      to.sent_bytes->add(sent.bytes);
      progress_ = true;
    } else if (sent.again) {
      block(to);
      return;
    } else if (sys::is_splice_unsupported(sent.error)) {
      pipes_.disable();
      copy_out_of_pipe(to);
      return;
    } else {
      fail(to);
      return;
    }
  }
}

// For a socket that does not support splice, with bytes in its pipe: at most one buffer.
void Relay::copy_out_of_pipe(Side& to) {
  size_t count = 0;
  while (!to.pipe.empty()) {
    const IoResult read = to.pipe.read(scratch_.data() + count, scratch_.size() - count);
    if (read.bytes == 0) break;
    count += read.bytes;
  }
  const IoResult sent = sys::send(to.fd.get(), scratch_.data(), count);
  to.sent_bytes->add(sent.bytes);
  const bool all = sent.bytes == count && to.pipe.empty();
  if (sent.error != 0 || (!all && (!to.pipe.empty() || !buffers_.can_lend()))) {
    fail(to);
    return;
  }
  if (all) return;
  to.out = buffers_.lend(scratch_.data() + sent.bytes, count - sent.bytes);
  block(to);
}

void Relay::note_read_stop(Side& from, const IoResult& result) noexcept {
  from.readable = false;
  if (result.again) return;
  end_reading(from);
  if (result.error != 0) fail(from);
}

void Relay::end_reading(Side& from) noexcept {
  from.read_done = true;
  if (first_ended_ == nullptr) first_ended_ = &from;
}

void Relay::block(Side& side) {
  side.blocked = true;
  if (side.wants_writable) return;
  side.wants_writable = true;
  // Makes epoll check the socket again: it may have become writable since it was full.
  if (side.token != 0) loop_.modify(side.token, side.fd.get(), interest(side));
}

void Relay::unblock(Side& side) {
  side.blocked = false;
  if (!side.out.empty()) {
    const IoResult sent = sys::send(side.fd.get(), side.out.data(), side.out.size());
    if (sent.error != 0) {
      fail(side);
      return;
    }
    side.sent_bytes->add(sent.bytes);
    if (sent.bytes > 0) progress_ = true;
    side.out.take(sent.bytes);
    if (!side.out.empty()) {
      side.blocked = true;
      return;
    }
  }
  if (!side.pipe.empty()) empty_pipe(side);
  if (side.blocked || side.failed) return;
  pump(other(side));
  // TCP reports writability only after it was full, so the interest can stay.
  if (!side.blocked && !side.tcp && side.wants_writable && !side.failed) {
    side.wants_writable = false;
    loop_.modify(side.token, side.fd.get(), interest(side));
  }
}

// Nothing more can be sent to `side`. What it sent before is still read and delivered.
void Relay::fail(Side& side) noexcept {
  if (side.failed) return;
  side.failed = true;
  if (failed_side_ == nullptr) failed_side_ = &side;
  if (first_ended_ == nullptr) first_ended_ = &side;
  side.out.give_back();
  side.pipe.give_back();
  side.blocked = false;
  side.readable = !side.read_done;
  side.read_on = true;
}

// Propagates an end or a failure to the other side, or ends the relay.
void Relay::settle() {
  if (client.failed && upstream.failed) {
    state_ = State::ended;
    return;
  }
  for (Side* side : {&client, &upstream}) {
    if (side->failed && side->read_done && !other(*side).owed()) {
      release(*side);
      begin_reset(other(*side));
      return;
    }
  }
  if (client.failed || upstream.failed) return;  // the rest of its stream is being sent

  const bool client_ended = client.read_done && !upstream.owed();
  const bool upstream_ended = upstream.read_done && !client.owed();
  // A side that has hung up takes nothing: once its stream is delivered, nothing is left.
  if ((client_ended && (upstream_ended || client.hung_up)) ||
      (upstream_ended && upstream.hung_up)) {
    state_ = State::ended;
    return;
  }
  if (client_ended) pass_on_end(upstream);
  if (upstream_ended) pass_on_end(client);
}

void Relay::pass_on_end(Side& to) noexcept {
  if (to.write_done) return;
  to.write_done = true;
  sys::shutdown_write(to.fd.get());
  state_ = State::half_closed;
  progress_ = true;
}

// A reset overtakes what the kernel has not yet delivered, so it waits for acknowledgement. Unix
// sockets have no reset and nothing in flight: closing is enough there.
void Relay::begin_reset(Side& survivor) noexcept {
  survivor_ = &survivor;
  state_ = State::resetting;
  check_reset();
}

bool Relay::check_reset() noexcept {
  ESPORA_CHECK(survivor_ != nullptr);
  if (survivor_->tcp && sys::unacknowledged_bytes(survivor_->fd.get()) > 0) return false;
  state_ = State::ended;
  return true;
}

void Relay::release(Side& side) noexcept {
  side.out.give_back();
  side.pipe.give_back();
  if (side.token != 0) {
    if (side.shared) {
      loop_.remove(side.token, side.fd.get());
    } else {
      loop_.forget(side.token);
    }
  }
  side.token = 0;
  side.fd.reset();
}

void Relay::close() noexcept {
  if (survivor_ != nullptr && survivor_->tcp) sys::reset_on_close(survivor_->fd.get());
  state_ = State::ended;
  release(client);
  release(upstream);
}

}  // namespace espora::forward
