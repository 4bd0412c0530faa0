#include "face/route.h"

#include <optional>

namespace espora::face {

namespace {

constexpr std::string_view prefix = "/clientes/";

// Takes a decimal integer without sign or leading zero off `path`; 0 if larger than any id.
std::optional<uint32_t> take_id(std::string_view& path) noexcept {
  size_t digits = 0;
  uint64_t id = 0;
  while (digits < path.size() && path[digits] >= '0' && path[digits] <= '9') {
    if (id <= UINT32_MAX) id = id * 10 + static_cast<uint64_t>(path[digits] - '0');
    ++digits;
  }
  if (digits == 0 || (digits > 1 && path[0] == '0')) return std::nullopt;
  path.remove_prefix(digits);
  return id <= UINT32_MAX ? static_cast<uint32_t>(id) : 0;
}

}  // namespace

Route route(std::string_view method, std::string_view path) noexcept {
  if (!path.starts_with(prefix)) return {};
  path.remove_prefix(prefix.size());
  const std::optional<uint32_t> id = take_id(path);
  if (!id) return {};
  if (path == "/transacoes") {
    if (method == "POST") return {Resource::transactions, *id, {}};
    return {Resource::method_not_allowed, *id, "POST"};
  }
  if (path == "/extrato") {
    if (method == "GET" || method == "HEAD") return {Resource::statement, *id, {}};
    return {Resource::method_not_allowed, *id, "GET, HEAD"};
  }
  return {};
}

}  // namespace espora::face
