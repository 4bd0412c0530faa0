#include "http/output_buffer.h"

#include <algorithm>

namespace espora::http {

namespace {

// The first allocation: a statement with its headers, or some twenty short answers.
constexpr size_t first_capacity_bytes = 4096;

}  // namespace

void OutputBuffer::make_room(size_t bytes) {
  const size_t used = size();
  if (begin_ >= used && capacity_ - used >= bytes) {
    // The space of sent bytes is enough, and the rest fits into it without overlap.
    std::memcpy(bytes_.get(), bytes_.get() + begin_, used);
  } else {
    const size_t capacity = std::max({first_capacity_bytes, 2 * capacity_, used + bytes});
    auto larger = std::make_unique_for_overwrite<char[]>(capacity);
    if (used > 0) std::memcpy(larger.get(), bytes_.get() + begin_, used);
    bytes_ = std::move(larger);
    capacity_ = capacity;
  }
  begin_ = 0;
  end_ = used;
}

}  // namespace espora::http
