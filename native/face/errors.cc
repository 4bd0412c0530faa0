#include "face/errors.h"

namespace espora::face::errors {

const Error* of(engine::Result result) noexcept {
  constexpr auto first = engine::Result::account_unknown;
  if (result < first) return nullptr;
  return all()[static_cast<size_t>(result) - static_cast<size_t>(first)];
}

std::span<const Error* const> all() noexcept {
  static constexpr const Error* table[] = {
      // In the order of engine::Result:
      &account_unknown, &limit_insufficient, &balance_too_large, &store_full, &store_refuses,
      &store_waits_for_space, &store_failed,
      // Found before a request reaches an engine:
      &body_not_json, &path_unknown, &method_not_allowed, &body_not_object, &member_missing,
      &member_repeated, &amount_invalid, &kind_invalid, &description_invalid};
  return table;
}

}  // namespace espora::face::errors
