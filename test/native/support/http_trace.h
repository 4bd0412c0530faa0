// Feeds a stream of bytes to the request parser in pieces, as a connection would, and writes down
// everything that it says: two ways of cutting the same stream must give the same text.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "http/request_parser.h"
#include "support/options.h"
#include "sys/check.h"

namespace espora::test {

// Ascending positions at which a stream is cut.
using Cuts = std::vector<size_t>;

inline Cuts cut_everywhere(size_t bytes) {
  Cuts cuts;
  for (size_t at = 1; at < bytes; ++at) cuts.push_back(at);
  return cuts;
}

inline Cuts random_cuts(std::mt19937_64& random, size_t bytes) {
  Cuts cuts;
  if (bytes < 2) return cuts;
  const size_t count = random() % 8;
  for (size_t i = 0; i < count; ++i) cuts.push_back(1 + random() % (bytes - 1));
  std::sort(cuts.begin(), cuts.end());
  return cuts;
}

// One connection's receive side. Every parse sees the current bytes at another address, in memory
// of exactly their size: a pointer kept or a byte read too many is found by the address sanitizer.
class Feeder {
 public:
  explicit Feeder(uint32_t body_bytes_max = test::request_body_bytes_max)
      : parser_(body_bytes_max), room_(http::RequestParser::receive_bytes_max(body_bytes_max)) {}

  // Gives `bytes` to the parser, never more at once than a buffer of receive_bytes_max() takes.
  // False after an error.
  bool feed(std::string_view bytes) {
    while (!bytes.empty() && !failed_) {
      if (size_ == room_) {
        size_ = parser_.close_gap({bytes_.get(), size_});
        ESPORA_CHECK(size_ < room_);  // what receive_bytes_max() promises
      }
      const size_t count = std::min(bytes.size(), room_ - size_);
      auto larger = std::make_unique<char[]>(size_ + count);
      if (size_ > 0) std::memcpy(larger.get(), bytes_.get(), size_);
      std::memcpy(larger.get() + size_, bytes.data(), count);
      bytes_ = std::move(larger);
      size_ += count;
      bytes.remove_prefix(count);
      run();
    }
    return !failed_;
  }

  // Everything said so far.
  const std::string& trace() const { return trace_; }
  bool failed() const { return failed_; }
  http::RequestParser& parser() { return parser_; }
  // Of the current request.
  size_t received() const { return size_; }

 private:
  void run() {
    using Outcome = http::RequestParser::Outcome;
    for (;;) {
      const Outcome outcome = parser_.parse({bytes_.get(), size_});
      if (outcome == Outcome::need_more) return;
      if (outcome == Outcome::error) {
        failed_ = true;
        trace_ += "error " + std::to_string(parser_.error().status) + " ";
        trace_ += parser_.error().code;
        trace_ += "\n";
        return;
      }
      const http::Request& request = parser_.request();
      if (outcome == Outcome::head) {
        trace_ += "head ";
        trace_ += request.method;
        trace_ += " ";
        trace_ += request.path;
        trace_ += request.version == http::Version::http_1_1 ? " 1.1" : " 1.0";
        trace_ += request.keep_alive ? " keep" : " close";
        if (request.says_keep_alive) trace_ += " say-keep-alive";
        if (request.expects_continue) trace_ += " expect";
        trace_ +=
            request.chunked ? " chunked" : " length " + std::to_string(request.content_length);
        trace_ += "\n";
        continue;
      }
      trace_ += "body ";
      trace_ += request.body;
      trace_ += "\nof ";
      trace_ += request.method;
      trace_ += " ";
      trace_ += request.path;
      trace_ += "\n";
      const size_t consumed = parser_.consumed();
      ESPORA_CHECK(consumed <= size_);
      auto rest = std::make_unique<char[]>(size_ - consumed);
      std::memcpy(rest.get(), bytes_.get() + consumed, size_ - consumed);
      bytes_ = std::move(rest);
      size_ -= consumed;
      parser_.next();
      if (size_ == 0) return;
    }
  }

  http::RequestParser parser_;
  size_t room_;
  std::unique_ptr<char[]> bytes_ = std::make_unique<char[]>(0);
  size_t size_ = 0;
  std::string trace_;
  bool failed_ = false;
};

// What the parser says about `stream` when it arrives cut at `cuts`.
inline std::string http_trace(std::string_view stream, const Cuts& cuts = {},
                              uint32_t body_bytes_max = test::request_body_bytes_max) {
  Feeder feeder(body_bytes_max);
  size_t from = 0;
  for (const size_t cut : cuts) {
    feeder.feed(stream.substr(from, cut - from));
    from = cut;
  }
  feeder.feed(stream.substr(from));
  return feeder.trace();
}

}  // namespace espora::test
