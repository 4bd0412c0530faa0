// The contest's API on a durable store: routes requests, lets the ledger decide, appends what it
// accepted, commits once per turn of the event loop, and lets an answer leave when all that it
// reveals is on disk.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http/server.h"
#include "ledger/account_table.h"
#include "ledger/ledger.h"
#include "ledger/service_stats.h"
#include "ledger/teller.h"
#include "store/engine.h"
#include "store/housekeeping_thread.h"
#include "sys/event_loop.h"

namespace espora::ledger {

struct ServiceOptions {
  store::Options store;  // kind and schema are set by the service
  // Accounts that are made where they are not there yet; those of the store stay as they are.
  // Without a table a store has its own, and a new one the contest's.
  std::optional<AccountTable> accounts;
  http::ServerOptions http;
};

// Told on the loop's thread.
class ServiceEvents {
 public:
  // The store failed: what waited was answered 503, and so is everything from now on. The owner has
  // to end the process soon: state that is not durable must not be used again.
  virtual void on_store_failed(const sys::Status& failure) = 0;
  // Something of the store's housekeeping was given up or found damaged: a person should know,
  // nothing that is served depends on it. Told again only in other words.
  virtual void on_store_warning(const std::string& message) { (void)message; }

 protected:
  ~ServiceEvents() = default;
};

// All calls on the loop's thread, or before the loop runs.
class Service final : private http::Handler,
                      private sys::TurnHook,
                      private store::RecordVisitor,
                      private TellerClients {
 public:
  Service(sys::EventLoop& loop, sys::FileSystem& file_system, ServiceOptions options,
          ServiceEvents& events);
  ~Service() override;

  // Recovers the store (this takes as long as it takes), then opens the listeners. Nothing is
  // accepted before that. Codes: those of store::Engine::open, sys::Acceptor::listen, and invalid
  // for more accounts than are possible.
  sys::Status start();
  // No new work; `done` is called on the loop's thread when every client has its answers or
  // `deadline_ms` of the loop's clock has come. The store stays open until close().
  void drain(uint64_t deadline_ms, std::function<void()> done);
  // Seals and closes the store. After it only the destructor may follow.
  sys::Status close();

  [[nodiscard]] uint16_t port() const noexcept { return server_.port(); }
  [[nodiscard]] std::vector<std::string> addresses() const { return server_.addresses(); }
  [[nodiscard]] const http::ServerStats& http_stats() const noexcept { return server_.stats(); }
  [[nodiscard]] const sys::HandoffReceiver::Counters& handoff_counters() const noexcept {
    return server_.handoff_counters();
  }
  [[nodiscard]] const ServiceStats& stats() const noexcept { return stats_; }
  [[nodiscard]] const store::Engine& engine() const noexcept { return *engine_; }
  // What a person should know about how the store was opened, a sentence each. After start().
  [[nodiscard]] const std::vector<std::string>& warnings() const noexcept { return warnings_; }

 private:
  http::HeadVerdict on_head(const http::Request& request) override;
  void on_request(const http::Request& request, uint64_t tag, http::Exchange& exchange) override;
  void on_turn_end() override;

  sys::Result<std::vector<std::byte>> schema_changed(store::Bytes stored,
                                                     store::Bytes given) override;
  [[nodiscard]] store::History history() const override { return store::History::snapshot; }
  sys::Status restore(store::Bytes state, uint64_t seq) override;
  std::unique_ptr<store::SnapshotState> make_state() override;
  sys::Status record(const store::RecordView& record) override;
  void make_accounts();

  void answer(http::Ticket ticket, const http::Answer& answer) override;
  void open_gate(http::Gate gate) override;
  void fail_held(const http::Error& error) override;
  void take_back(const http::Remake& remake) override;
  void on_committed() override;
  void on_store_failed(const sys::Status& failure) override;

  void maintain();
  void plan_maintenance();
  void publish_stats() noexcept;
  void tell_of_housekeeping();

  sys::EventLoop& loop_;
  sys::FileSystem& file_system_;
  ServiceOptions options_;
  ServiceEvents& events_;
  AccountTable accounts_;  // the store's, once it is open, with those that are to be made
  Ledger ledger_;
  std::unique_ptr<store::Engine> engine_;
  std::unique_ptr<store::HousekeepingThread> housekeeping_;
  http::Server server_;
  ServiceStats stats_;
  Teller teller_;
  sys::Timer maintenance_;
  std::string housekeeping_told_;  // the failure of it that was told last
  std::vector<std::string> warnings_;
};

}  // namespace espora::ledger
