// The contest's API as the HTTP server's handler: routes requests, reads their bodies, asks an
// engine and writes its answers. It works with any engine.
#pragma once

#include "engine/engine.h"
#include "face/answers.h"
#include "http/handler.h"
#include "http/server.h"
#include "sys/counter.h"

namespace espora::face {

// Counters since start, written by the loop's thread, read by any.
struct FaceStats {
  sys::Counter store_full;  // answers 507
};

// Each counter, under its name in ts/metrics/table.ts.
template <typename Each>
void for_each_counter(const FaceStats& stats, const Each& each) {
  each("storeFull", stats.store_full);
}

// All calls on the loop's thread.
class Face final : public http::Handler, public engine::Answers {
 public:
  explicit Face(engine::Engine& engine) noexcept : engine_(engine) {}
  // Call before the first request: the server that this handles requests of.
  void serve(http::Server& server) noexcept { server_ = &server; }
  [[nodiscard]] const FaceStats& stats() const noexcept { return stats_; }

  http::HeadVerdict on_head(const http::Request& request) override;
  void on_request(const http::Request& request, const http::Tag& tag,
                  http::Exchange& exchange) override;

  void answer(engine::Ticket ticket, const engine::Outcome& outcome) override;
  void open_gate(engine::Gate gate) override { server_->open_gate(gate); }
  void fail_held() override;
  void take_back() override;

 private:
  [[nodiscard]] http::Answer to_answer(const engine::Outcome& outcome);

  engine::Engine& engine_;
  http::Server* server_ = nullptr;
  FaceStats stats_;
  AnswerBody body_;  // of the answer being made
};

}  // namespace espora::face
