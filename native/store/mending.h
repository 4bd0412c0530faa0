// Restores a damaged header if its own checksum still determines it: pure. Only for repair; opening
// a store takes a damaged header as damage.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "store/format.h"

namespace espora::store {

// Corrects the one wrong byte of `bytes` (block 0 of a segment, or a whole file STORE), any damage
// of its magic, and bytes from `used` on that must be zero. False if the checksum does not confirm
// the result; then nothing was changed. If more is damaged, a wrong correction passes once in some
// thousand headers: the caller must also check that the fields are possible.
bool mend_header(std::span<std::byte> bytes, const std::array<char, 8>& magic, size_t used);

// The same for a file STORE, whose header gives the size that is used.
bool mend_store(std::span<std::byte> file);

}  // namespace espora::store
