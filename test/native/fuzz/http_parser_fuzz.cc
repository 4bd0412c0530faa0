// Any bytes as what a client sends: the parser says the same however they are cut, and so does the
// whole service above it, down to the last byte of its answers and the last cent of its accounts.
#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>

#include "support/http_trace.h"
#include "support/pure_service.h"
#include "sys/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace espora;
  const std::string_view stream(reinterpret_cast<const char*>(data), size);
  std::mt19937_64 random(std::hash<std::string_view>{}(stream));

  const std::string whole = test::http_trace(stream);
  ESPORA_CHECK(test::http_trace(stream, test::cut_everywhere(size)) == whole);
  ESPORA_CHECK(test::http_trace(stream, test::random_cuts(random, size)) == whole);

  test::PureService service;
  service.receive(stream);
  test::PureService cut_service;
  cut_service.receive(stream, test::random_cuts(random, size));
  ESPORA_CHECK(cut_service.outcome() == service.outcome());
  return 0;
}
