// Any bytes as a chunked body: the incremental decoder agrees with a slow second opinion on the
// whole text, and with itself however the text is cut.
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "support/chunk_oracle.h"
#include "support/http_trace.h"
#include "sys/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace espora;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string head = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string stream = head + std::string(text);
  constexpr uint32_t body_bytes_max = 64;  // small, so that inputs reach it
  std::mt19937_64 random(std::hash<std::string_view>{}(text));

  const std::string whole = test::http_trace(stream, {}, body_bytes_max);
  ESPORA_CHECK(test::http_trace(stream, test::cut_everywhere(stream.size()), body_bytes_max) ==
               whole);
  ESPORA_CHECK(test::http_trace(stream, test::random_cuts(random, stream.size()), body_bytes_max) ==
               whole);

  // The second opinion knows no limits on lines, and gives none on unfinished ones.
  if (text.size() > 400) return 0;
  const test::ChunkVerdict verdict = test::ChunkOracle::judge(text, body_bytes_max);
  const std::string_view said = std::string_view(whole).substr(whole.find('\n') + 1);
  const std::string expected_body = "body " + verdict.body + "\nof POST /x\n";
  switch (verdict.status) {
    case 200:
      ESPORA_CHECK(said.starts_with(expected_body));
      ESPORA_CHECK(test::http_trace(stream.substr(0, head.size() + verdict.consumed - 1), {},
                                    body_bytes_max) == whole.substr(0, whole.find('\n') + 1));
      break;
    case 413:
      ESPORA_CHECK(said == "error 413 corpo_grande_demais\n");
      break;
    case 400:
      ESPORA_CHECK(said.starts_with("error 400 "));
      break;
    default:
      ESPORA_CHECK(!said.starts_with("body "));
  }
  return 0;
}
