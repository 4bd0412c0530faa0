// What a damaged header was, where its own checksum still tells: pure. For repair only; whatever
// opens a store takes a damaged header for what it is.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "store/format.h"

namespace espora::store {

// Puts right the one byte of `bytes` (block 0 of a segment, or a whole file STORE) that is wrong,
// whatever was damaged of its magic, and what must be zero from `used` on. False where the checksum
// does not vouch for the result; then nothing was changed. A byte is named by chance once in some
// thousand headers of which more is damaged: the fields have to be possible, too.
bool mend_header(std::span<std::byte> bytes, const std::array<char, 8>& magic, size_t used);

// The same for a file STORE, whose header says itself how much of it is used.
bool mend_store(std::span<std::byte> file);

}  // namespace espora::store
