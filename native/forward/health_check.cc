#include "forward/health_check.h"

#include <cerrno>
#include <utility>

#include "forward/proxy_protocol.h"
#include "sys/check.h"

namespace espora::forward {

using sys::ConnectOutcome;
using sys::Events;
using sys::IoResult;

std::optional<unsigned> parse_status_line(std::string_view begin) noexcept {
  constexpr std::string_view form = "HTTP/1.d ddd";
  for (size_t i = 0; i < form.size(); ++i) {
    if (i == begin.size()) return std::nullopt;
    const char c = begin[i];
    if (form[i] == 'd' ? c < '0' || c > '9' : c != form[i]) return 0;
  }
  if (begin.size() == form.size()) return std::nullopt;
  // A reason follows, or nothing: the space before it is often left out.
  const char next = begin[form.size()];
  if (next != ' ' && next != '\r' && next != '\n') return 0;
  return static_cast<unsigned>((begin[9] - '0') * 100 + (begin[10] - '0') * 10 + (begin[11] - '0'));
}

std::string check_request(const CheckOptions& options, const std::string& upstream_name) {
  // A unix socket has no host, and its path may hold what a Host field may not.
  const bool unix_socket = upstream_name.find('/') != std::string::npos;
  const std::string host =
      !options.host.empty() ? options.host : (unix_socket ? "localhost" : upstream_name);
  return "GET " + options.path + " HTTP/1.1\r\nHost: " + host +
         "\r\nUser-Agent: espora\r\nConnection: close\r\n\r\n";
}

HealthCheck::HealthCheck(sys::EventLoop& loop, const CheckOptions& options,
                         std::string upstream_name, Owner& owner)
    : loop_(loop),
      options_(options),
      upstream_name_(std::move(upstream_name)),
      owner_(owner),
      timer_([](sys::Timer&, void* self) { static_cast<HealthCheck*>(self)->on_timer(); }, this) {}

HealthCheck::~HealthCheck() {
  loop_.timers().disarm(timer_);
  if (token_ != 0) loop_.remove(token_, fd_.get());
}

void HealthCheck::start(Check check, const sys::ResolvedAddress& address) {
  ESPORA_CHECK(!under_way_ && check != Check::none);
  under_way_ = true;
  connected_ = false;
  check_ = check;
  answer_bytes_ = 0;
  loop_.timers().arm(timer_, loop_.now_ms() + options_.timeout_ms);
  sys::Connecting attempt = sys::start_connect(address);
  fd_ = std::move(attempt.fd);
  switch (attempt.outcome) {
    case ConnectOutcome::connected:
    case ConnectOutcome::in_progress: {
      // Also where it is connected already: the loop then says at once that it is writable.
      auto token = loop_.add(fd_.get(), Events::writable, *this);
      if (!token.ok()) {
        finish_soon(Outcome::unknown, {});
        return;
      }
      token_ = token.value();
      return;
    }
    case ConnectOutcome::backlog_full:
      // It is behind with accepting: busy, which is no failure of a check that only connects.
      finish_soon(check_ == Check::connect ? Outcome::unknown : Outcome::bad,
                  "found its queue of connections full");
      return;
    case ConnectOutcome::local_error:
      finish_soon(Outcome::unknown, {});
      return;
    case ConnectOutcome::refused:
      finish_soon(Outcome::bad, "could not connect: " + sys::errno_name(attempt.error));
      return;
  }
}

void HealthCheck::on_events(uint32_t events) {
  if (connected_) {
    read_answer();
    return;
  }
  int error = sys::socket_error(fd_.get());
  if (error == 0 && (events & Events::writable) == 0) error = ECONNRESET;
  if (error == 0 && sys::is_connected_to_itself(fd_.get())) error = ECONNREFUSED;
  if (error != 0) {
    finish(Outcome::bad, "could not connect: " + sys::errno_name(error));
    return;
  }
  on_connected();
}

void HealthCheck::on_connected() {
  connected_ = true;
  if (!ask()) {
    finish(Outcome::bad, "could not ask");
    return;
  }
  if (check_ == Check::connect) {
    finish(Outcome::good, {});
    return;
  }
  loop_.modify(token_, fd_.get(), Events::readable);
}

// Both fit into any socket's buffer, so what is not taken at once is a failure.
bool HealthCheck::ask() {
  std::byte header[limits::proxy_header_written_bytes];
  if (options_.send_proxy) {
    const size_t count = write_local_proxy_header(header);
    if (sys::send(fd_.get(), header, count).bytes != count) return false;
  }
  if (check_ != Check::http) return true;
  const std::string request = check_request(options_, upstream_name_);
  return sys::send(fd_.get(), request.data(), request.size()).bytes == request.size();
}

void HealthCheck::read_answer() {
  const IoResult read =
      sys::receive(fd_.get(), answer_ + answer_bytes_, sizeof answer_ - answer_bytes_);
  if (read.again) return;
  if (read.bytes == 0) {
    finish(Outcome::bad, read.error != 0 ? "got no answer: " + sys::errno_name(read.error)
                                         : "got no answer before the end of the stream");
    return;
  }
  answer_bytes_ += read.bytes;
  const auto status = parse_status_line({answer_, answer_bytes_});
  if (!status.has_value()) return;  // a status line is shorter than what fits
  if (*status == 0) {
    finish(Outcome::bad, "got an answer that is not HTTP");
  } else if (*status < options_.status_min || *status > options_.status_max) {
    finish(Outcome::bad, "got status " + std::to_string(*status));
  } else {
    finish(Outcome::good, {});
  }
}

void HealthCheck::on_timer() {
  if (decided_.has_value()) {
    finish(*decided_, std::move(why_));
    return;
  }
  finish(Outcome::bad, connected_ ? "got no answer in time" : "could not connect in time");
}

void HealthCheck::finish_soon(Outcome outcome, std::string why) {
  decided_ = outcome;
  why_ = std::move(why);
  loop_.timers().arm(timer_, loop_.now_ms());
}

void HealthCheck::finish(Outcome outcome, std::string why) {
  loop_.timers().disarm(timer_);
  if (token_ != 0) loop_.remove(std::exchange(token_, 0), fd_.get());
  fd_.reset();
  decided_.reset();
  under_way_ = false;
  owner_.on_checked(check_, outcome, why);
}

}  // namespace espora::forward
