// The addresses of one upstream: a name may have several, and all of them take part. Which of them
// a connection tries first, and which are passed over for a while. Pure: time comes in as a number.
//
//   takes part ── a connect fails ─────────────▶ rests until a look finds that it takes connections
//              ── silent sessions in a row ────▶ rests for a time, or until it answers
//
// Each rest that follows the last without a success is twice as long. One that rests is tried where
// all others rest, too, or were tried: it is passed over, never gone.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "sys/limits.h"
#include "sys/sockets.h"

namespace espora::forward {

class AddressList {
 public:
  // Those that one connection has tried.
  using Tried = std::bitset<limits::addresses_max>;
  static constexpr uint64_t never_ms = UINT64_MAX;

  // `silent_max`: silent sessions in a row after which one rests; 0: it never does for that.
  explicit AddressList(uint32_t silent_max) noexcept : silent_max_(silent_max) {}

  // Puts these into the place of what was there; what is known of those that stay is kept. Those
  // beyond limits::addresses_max are left out. True if the addresses are others than before.
  bool assign(const std::vector<sys::ResolvedAddress>& addresses);

  [[nodiscard]] bool empty() const noexcept { return places_.empty(); }
  [[nodiscard]] size_t size() const noexcept { return places_.size(); }
  [[nodiscard]] const sys::ResolvedAddress& at(size_t index) const noexcept {
    return places_[index].address;
  }
  // An index means the same address as long as this is the same.
  [[nodiscard]] uint64_t version() const noexcept { return version_; }

  // The next in turn for a connection; nothing once it has tried all.
  std::optional<size_t> next(const Tried& tried, uint64_t now_ms) noexcept;
  // Whether all of them rest.
  [[nodiscard]] bool all_rest(uint64_t now_ms) const noexcept;

  // What became of a connection to one, or of a look at it.
  void on_connected(size_t index) noexcept;
  void on_connect_failed(size_t index, uint64_t now_ms) noexcept;
  void on_silent(size_t index, uint64_t now_ms) noexcept;
  void on_answer(size_t index) noexcept;

  // The next in turn for a check.
  size_t next_to_check() noexcept;
  // The one that rests since it took no connection and whose look is due first, and when it is.
  struct Look {
    size_t index = 0;
    uint64_t due_ms = never_ms;
  };
  [[nodiscard]] Look next_look() const noexcept;

 private:
  enum class Rest : uint8_t { none, refused, silent };
  struct Place {
    sys::ResolvedAddress address;
    Rest rest = Rest::none;
    uint64_t until_ms = 0;   // resting: until when, or when to look
    uint64_t length_ms = 0;  // of the last rest; 0: none since a success
    uint32_t silent = 0;     // sessions in a row
    [[nodiscard]] bool rests(uint64_t now_ms) const noexcept {
      return rest == Rest::refused || (rest == Rest::silent && now_ms < until_ms);
    }
    void begin_rest(Rest why, uint64_t now_ms) noexcept;
    void end_rest() noexcept;
  };

  uint32_t silent_max_;
  std::vector<Place> places_;
  uint64_t version_ = 0;
  size_t turn_ = 0;
  size_t check_turn_ = 0;
};

}  // namespace espora::forward
