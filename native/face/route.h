// Which of the API's two resources a request is for.
#pragma once

#include <cstdint>
#include <string_view>

namespace espora::face {

enum class Resource : uint8_t {
  transactions,        // POST /clientes/{id}/transacoes
  statement,           // GET or HEAD /clientes/{id}/extrato
  unknown,             // 404
  method_not_allowed,  // 405: a known path; Route::allow lists its methods
};

struct Route {
  Resource resource = Resource::unknown;
  // 0, which no account has, for an id that is too large. Does not tell whether the account exists.
  uint32_t account_id = 0;
  std::string_view allow;  // of method_not_allowed
};

// `path` is compared byte for byte; {id} is a canonical decimal integer.
[[nodiscard]] Route route(std::string_view method, std::string_view path) noexcept;

}  // namespace espora::face
