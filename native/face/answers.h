// The API's answers as compact JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/transaction.h"
#include "sys/limits.h"

namespace espora::face {

// A body being written, with fixed room for the largest answer.
class AnswerBody {
 public:
  [[nodiscard]] std::string_view view() const noexcept { return {bytes_, size_}; }

  // {"limite":100000,"saldo":-9098}
  void write_balance(int64_t limit, int64_t balance) noexcept;
  // {"saldo":{"total":-9098,"data_extrato":"…","limite":100000},"ultimas_transacoes":[…]}
  void write_statement(const engine::Statement& statement) noexcept;

 private:
  size_t size_ = 0;
  char bytes_[limits::answer_body_bytes_max];
};

}  // namespace espora::face
