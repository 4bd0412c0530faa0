// Ids of things in slots that are used again: the slot and, in the upper bits, its generation,
// which differs each time it is used. So the id of a thing that is gone finds no later one.
#pragma once

#include <cstdint>

namespace espora::sys {

constexpr uint64_t slot_id(uint32_t generation, uint32_t slot) noexcept {
  return uint64_t{generation} << 32 | slot;
}
constexpr uint32_t slot_of(uint64_t id) noexcept { return static_cast<uint32_t>(id); }
constexpr uint32_t generation_of(uint64_t id) noexcept { return static_cast<uint32_t>(id >> 32); }

}  // namespace espora::sys
