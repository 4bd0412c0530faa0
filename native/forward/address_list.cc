#include "forward/address_list.h"

#include <algorithm>
#include <utility>

#include "sys/check.h"

namespace espora::forward {

void AddressList::Place::begin_rest(Rest why, uint64_t now_ms) noexcept {
  rest = why;
  length_ms = length_ms == 0 ? limits::address_rest_ms
                             : std::min(2 * length_ms, limits::address_rest_ms_max);
  until_ms = now_ms + length_ms;
}

void AddressList::Place::end_rest() noexcept {
  rest = Rest::none;
  length_ms = 0;
}

bool AddressList::assign(const std::vector<sys::ResolvedAddress>& addresses) {
  const auto find = [](std::vector<Place>& places, const sys::ResolvedAddress& address) {
    return std::find_if(places.begin(), places.end(),
                        [&](const Place& place) { return place.address == address; });
  };
  std::vector<Place> now;
  bool changed = false;
  for (const sys::ResolvedAddress& address : addresses) {
    if (now.size() == limits::addresses_max) break;
    if (find(now, address) != now.end()) continue;
    const auto known = find(places_, address);
    if (known == places_.end()) changed = true;
    now.push_back(known != places_.end() ? *known : Place{address});
  }
  if (!changed && now.size() == places_.size()) return false;  // name servers change the order
  places_ = std::move(now);
  ++version_;
  return true;
}

std::optional<size_t> AddressList::next(const Tried& tried, uint64_t now_ms) noexcept {
  std::optional<size_t> last_resort;
  for (size_t i = 0; i < places_.size(); ++i) {
    const size_t index = (turn_ + i) % places_.size();
    if (tried[index]) continue;
    if (places_[index].rests(now_ms)) {
      if (!last_resort.has_value()) last_resort = index;
      continue;
    }
    turn_ = index + 1;
    return index;
  }
  if (last_resort.has_value()) turn_ = *last_resort + 1;
  return last_resort;
}

bool AddressList::all_rest(uint64_t now_ms) const noexcept {
  return std::all_of(places_.begin(), places_.end(),
                     [&](const Place& place) { return place.rests(now_ms); });
}

void AddressList::on_connected(size_t index) noexcept {
  Place& place = places_[index];
  if (place.rest == Rest::refused) place.end_rest();
}

void AddressList::on_connect_failed(size_t index, uint64_t now_ms) noexcept {
  places_[index].begin_rest(Rest::refused, now_ms);
}

void AddressList::on_silent(size_t index, uint64_t now_ms) noexcept {
  Place& place = places_[index];
  ++place.silent;
  if (silent_max_ == 0 || place.silent < silent_max_ || place.rests(now_ms)) return;
  place.begin_rest(Rest::silent, now_ms);
}

void AddressList::on_answer(size_t index) noexcept {
  places_[index].silent = 0;
  places_[index].end_rest();
}

size_t AddressList::next_to_check() noexcept {
  ESPORA_CHECK(!places_.empty());
  return check_turn_++ % places_.size();
}

AddressList::Look AddressList::next_look() const noexcept {
  Look look;
  for (size_t index = 0; index < places_.size(); ++index) {
    const Place& place = places_[index];
    if (place.rest == Rest::refused && place.until_ms < look.due_ms) look = {index, place.until_ms};
  }
  return look;
}

}  // namespace espora::forward
