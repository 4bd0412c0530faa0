// Moves bytes between two connected stream sockets, both ways, until both streams have ended or one
// socket failed. It handles no upstreams, deadlines or service counters.
//
//            client.fd ──recv──▶ scratch ──send──▶ upstream.fd
//                                   │ what the socket did not take
//                                   ▼
//                              upstream.out (lent; the client is not read while it holds bytes)
//
// and the same in the other direction. One scratch buffer serves all relays of a loop: idle and
// fast connections hold no memory.
//
// A direction that filled the scratch buffer several times in a row counts as a stream, and is
// spliced until it pauses; below that, splice costs more than it saves:
//
//            client.fd ──splice──▶ upstream.pipe (lent) ──splice──▶ upstream.fd
//
// At most one of `out` and `pipe` holds bytes, so the order is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "forward/buffer_pool.h"
#include "sys/counter.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/pipe.h"
#include "sys/sockets.h"

namespace espora::forward {

struct Side;

class SideOwner {
 public:
  virtual void on_side_events(Side& side, uint32_t events) = 0;

 protected:
  ~SideOwner() = default;
};

// One of the two sockets and its state.
struct Side final : sys::EventHandler {
  explicit Side(SideOwner& owner_in) noexcept : owner(owner_in) {}
  void on_events(uint32_t events) override { owner.on_side_events(*this, events); }

  SideOwner& owner;
  sys::Fd fd;
  sys::EventLoop::Token token = 0;
  sys::Counter* sent_bytes = nullptr;  // bytes that this socket took, shared with other sessions
  LentBuffer out;                      // read from the other side, not yet taken by this socket
  sys::LentPipe pipe;                  // the same, for a stream
  size_t streamed_bytes = 0;           // spliced from it since its last pause
  unsigned full_buffers = 0;           // consecutive reads that filled the buffer
  bool streams = false;                // data from it is worth splicing
  bool spoke = false;                  // at least one byte came from it
  bool tcp = false;
  bool shared = false;          // another process may have a descriptor of it
  bool readable = false;        // there may be bytes, an end or an error to read
  bool read_on = false;         // a short read does not mean that it is empty, see pump()
  bool hung_up = false;         // EPOLLHUP: its peer takes no more data
  bool read_done = false;       // its stream was read to the end, or to an error
  bool write_done = false;      // we have shut down our stream towards it
  bool failed = false;          // an error was seen: nothing can be sent to it
  bool blocked = false;         // it takes nothing until it is reported writable
  bool wants_writable = false;  // writability is part of our interest

  // Whether bytes are waiting for this socket.
  [[nodiscard]] bool owed() const noexcept { return !out.empty() || !pipe.empty(); }
};

class Relay {
 public:
  enum class State : uint8_t {
    open,
    half_closed,  // one stream has ended
    resetting,    // one socket failed; the other is reset once it acknowledged what came before
    ended,        // nothing more will happen: call close()
  };

  // `scratch` is used only within calls. All must outlive the relay.
  Relay(sys::EventLoop& loop, BufferPool& buffers, sys::PipePool& pipes,
        std::span<std::byte> scratch, SideOwner& owner) noexcept
      : client(owner),
        upstream(owner),
        loop_(loop),
        buffers_(buffers),
        pipes_(pipes),
        scratch_(scratch) {}

  // Needs `fd`, `tcp` and `sent_bytes` of both sides; a side that is already registered (token)
  // stays so. `read_first`: the client has probably sent something, so read before registering.
  // Fails if a socket cannot be registered; then call close().
  sys::Status start(bool read_first);
  // Handles the events of a side.
  void on_events(Side& side, uint32_t events);
  // While resetting: whether the other side has acknowledged everything; then it has ended.
  bool check_reset() noexcept;
  // Closes both sockets and gives back what was lent.
  void close() noexcept;

  [[nodiscard]] State state() const noexcept { return state_; }
  // Whether bytes or an end of stream were moved since the last take_progress().
  [[nodiscard]] bool progress() const noexcept { return progress_; }
  [[nodiscard]] bool take_progress() noexcept { return std::exchange(progress_, false); }
  // The side that failed first; null if none did.
  [[nodiscard]] const Side* failed_side() const noexcept { return failed_side_; }
  // The side whose stream ended or broke first; null while both are open.
  [[nodiscard]] const Side* first_ended() const noexcept { return first_ended_; }

  // The events that a side is registered for.
  [[nodiscard]] static uint32_t interest(const Side& side) noexcept;

  Side client;
  Side upstream;

 private:
  [[nodiscard]] Side& other(Side& side) noexcept { return &side == &client ? upstream : client; }
  void pump(Side& from);
  void move_copied(Side& from, Side& to);
  void move_peeked(Side& from, Side& to);
  [[nodiscard]] bool can_splice(const Side& from, Side& to) noexcept;
  void move_spliced(Side& from, Side& to);
  void note_splice_stop(Side& from, const sys::IoResult& result) noexcept;
  void empty_pipe(Side& to);
  void copy_out_of_pipe(Side& to);
  void note_read_stop(Side& from, const sys::IoResult& result) noexcept;
  void end_reading(Side& from) noexcept;
  void unblock(Side& side);
  void block(Side& side);
  void fail(Side& side) noexcept;
  void settle();
  void pass_on_end(Side& to) noexcept;
  void begin_reset(Side& survivor) noexcept;
  void release(Side& side) noexcept;

  sys::EventLoop& loop_;
  BufferPool& buffers_;
  sys::PipePool& pipes_;
  std::span<std::byte> scratch_;
  State state_ = State::open;
  bool progress_ = false;
  Side* failed_side_ = nullptr;
  Side* first_ended_ = nullptr;
  Side* survivor_ = nullptr;  // resetting: the side that must be reset
};

}  // namespace espora::forward
