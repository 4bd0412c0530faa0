// Any bytes as the body of a transaction: the one-pass reader gives the verdict and the values that
// a slow second opinion finds in the parsed document.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "face/errors.h"
#include "face/json_transaction.h"
#include "support/json_oracle.h"
#include "sys/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace espora;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  engine::Transaction transaction;
  const http::Error* error = face::read_transaction(body, transaction);
  const test::BodyVerdict verdict = test::judge_body(body);
  ESPORA_CHECK((error == nullptr ? 200 : error->status) == verdict.status);
  if (error == nullptr) {
    ESPORA_CHECK(transaction.amount == verdict.amount);
    ESPORA_CHECK(static_cast<char>(transaction.kind) == verdict.kind);
    ESPORA_CHECK(transaction.description.view() == verdict.description);
  }
  return 0;
}
