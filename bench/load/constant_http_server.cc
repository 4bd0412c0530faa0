// A constant answer through the library's own HTTP server, which takes accepted connections and
// those that a balancer hands over (at PATH.handoff): the upstream of trials of handoff.
//
//   constant_http_server --unix PATH

#include "http/server.h"
#include "program.h"
#include "support/options.h"
#include "sys/event_loop.h"

namespace {

using namespace espora;

class Constant final : public http::Handler {
 public:
  http::HeadVerdict on_head(const http::Request&) override { return {}; }
  void on_request(const http::Request& request, const http::Tag&,
                  http::Exchange& exchange) override {
    http::Answer answer;
    answer.body = request.method == "POST" ? bench::transaction_body : statement;
    exchange.answer(answer);
  }

 private:
  static constexpr std::string_view statement =
      R"({"saldo":{"total":0,"data_extrato":"2024-01-17T02:34:41.217753Z","limite":100000},)"
      R"("ultimas_transacoes":[]})";
};

}  // namespace

int main(int argc, char** argv) {
  http::ServerOptions options = test::server_options();
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string_view(argv[i]) == "--unix") options.listen.unix_path = argv[i + 1];
  }
  if (options.listen.unix_path.empty()) bench::usage("--unix PATH");
  bench::end_with_parent();
  sys::EventLoop loop;
  sys::Status status = loop.init();
  Constant constant;
  http::Server server(loop, constant, options);
  if (status.ok()) status = server.listen();
  if (status.ok()) status = server.start();
  if (!status.ok()) {
    std::fprintf(stderr, "constant_http_server: %s\n", status.message().c_str());
    return 1;
  }
  loop.run();
}
