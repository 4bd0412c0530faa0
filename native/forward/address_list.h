// The addresses of one upstream: a name may have several, and all of them are used. Decides which
// of them a connection tries first, and which are skipped for a while. Pure: the time is an
// argument.
//
//   in use ── a connect fails ─────────────────▶ rests until a check finds that it accepts again
//          ── consecutive silent sessions ────▶ rests for a time, or until it answers
//
// Each rest that follows the last one without a success is twice as long. A resting address is only
// skipped: it is still tried if all others rest, too, or were tried.
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
  // The addresses that one connection has tried.
  using Tried = std::bitset<limits::addresses_max>;
  static constexpr uint64_t never_ms = UINT64_MAX;

  // `silent_max`: consecutive silent sessions after which an address rests; 0: never.
  explicit AddressList(uint32_t silent_max) noexcept : silent_max_(silent_max) {}

  // Replaces the addresses, and keeps what is known of those that stay. Addresses beyond
  // limits::addresses_max are left out. True if the set of addresses changed.
  bool assign(const std::vector<sys::ResolvedAddress>& addresses);

  [[nodiscard]] bool empty() const noexcept { return places_.empty(); }
  [[nodiscard]] size_t size() const noexcept { return places_.size(); }
  [[nodiscard]] const sys::ResolvedAddress& at(size_t index) const noexcept {
    return places_[index].address;
  }
  // While this is unchanged an index refers to the same address.
  [[nodiscard]] uint64_t version() const noexcept { return version_; }

  // The next address for a connection; nothing once it has tried all.
  std::optional<size_t> next(const Tried& tried, uint64_t now_ms) noexcept;
  // Whether all of them rest.
  [[nodiscard]] bool all_rest(uint64_t now_ms) const noexcept;

  // The result of a connection to an address, or of a check of it.
  void on_connected(size_t index) noexcept;
  void on_connect_failed(size_t index, uint64_t now_ms) noexcept;
  void on_silent(size_t index, uint64_t now_ms) noexcept;
  void on_answer(size_t index) noexcept;

  // The next address for a check.
  size_t next_to_check() noexcept;
  // The address, resting because it accepted no connection, whose check is due first, and when.
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
    uint64_t until_ms = 0;   // resting: its end, or when to check
    uint64_t length_ms = 0;  // of the last rest; 0: no rest since a success
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
