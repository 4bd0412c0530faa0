// Reads the body of POST /clientes/{id}/transacoes: one pass over RFC 8259 JSON that checks all of
// it and extracts the three members, without allocating.
#pragma once

#include <string_view>

#include "engine/transaction.h"
#include "http/error.h"

namespace espora::face {

// Fills `transaction` and returns nullptr; otherwise returns the error and leaves `transaction`
// unspecified: errors::body_not_json (400) if any part is not JSON, else the first 422 in the text.
[[nodiscard]] const http::Error* read_transaction(std::string_view body,
                                                  engine::Transaction& transaction) noexcept;

}  // namespace espora::face
