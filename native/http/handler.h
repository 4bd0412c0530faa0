// The interface between the HTTP server and the code that knows what requests mean. An answer may
// be given at once, given at once but held back until a gate opens (after the flush that makes it
// true), or given later, from the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "http/error.h"
#include "http/request_parser.h"

namespace espora::http {

// An answer may leave when the server's gate has reached this number; 0: at once. On one connection
// an answer also waits for the gates of earlier ones: answers leave in order.
using Gate = uint64_t;

// The content of a final answer. Views are copied before answer() returns.
struct Answer {
  const Error* error = nullptr;  // a refusal; otherwise 200 and `body`
  std::string_view body;         // JSON
  std::string_view allow;        // 405: value of Allow; otherwise empty
  Gate gate = 0;

  [[nodiscard]] uint16_t status() const noexcept {
    return error != nullptr ? error->status : uint16_t{200};
  }
};

// What a handler learned from the head of a request; only the handler interprets it.
struct Tag {
  uint64_t subject = 0;
  uint8_t kind = 0;
};

// Makes the answer to the request with this tag (see HeadVerdict) again, at once.
using Remake = std::function<Answer(const Tag& tag)>;

// Identifies a request that is being answered, also after its connection has closed.
struct Ticket {
  uint64_t connection = 0;
  uint64_t request = 0;
};

struct HeadVerdict {
  // Null: go on with the body. Otherwise the final answer: a body within the limit is read and
  // dropped, a larger one is left unread and the connection is closed.
  const Error* refusal = nullptr;
  std::string_view allow;  // with 405; must outlive the request, as a constant does
  Tag tag;                 // given back with the whole request: nothing is looked up twice
};

// One request being answered. Exists only while Handler::on_request runs.
class Exchange {
 public:
  // Exactly one of the two must be called, once.
  virtual void answer(const Answer& answer) = 0;
  // The answer comes later through Server::answer, by ticket(). Nothing is parsed until then.
  virtual void defer() = 0;
  [[nodiscard]] virtual Ticket ticket() const = 0;

 protected:
  ~Exchange() = default;
};

// Called on the server's event thread only.
class Handler {
 public:
  virtual HeadVerdict on_head(const Request& request) = 0;
  // The request is complete; `tag` is from its HeadVerdict. `request` is valid during this call.
  virtual void on_request(const Request& request, const Tag& tag, Exchange& exchange) = 0;

 protected:
  ~Handler() = default;
};

}  // namespace espora::http
