#include "ledger/errors.h"

namespace espora::ledger::errors {

std::span<const Error* const> all() noexcept {
  static constexpr const Error* table[] = {
      &body_not_json,   &path_unknown,        &account_unknown,    &method_not_allowed,
      &body_not_object, &member_missing,      &member_repeated,    &amount_invalid,
      &kind_invalid,    &description_invalid, &limit_insufficient, &balance_too_large,
      &store_failed,    &store_refuses,       &store_full,         &store_waits_for_space,
  };
  return table;
}

}  // namespace espora::ledger::errors
