#include "http/error.h"

namespace espora::http::errors {

std::span<const Error* const> all() noexcept {
  static constexpr const Error* table[] = {
      &request_line_invalid,  &target_invalid,      &field_invalid,    &host_invalid,
      &framing_ambiguous,     &chunk_invalid,       &request_timeout,  &body_too_large,
      &request_line_too_long, &expectation_unknown, &fields_too_large, &coding_unknown,
      &version_unsupported,
  };
  return table;
}

}  // namespace espora::http::errors
