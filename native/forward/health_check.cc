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

std::optional<unsigned> StatusReader::read(std::string_view bytes) noexcept {
  for (const char c : bytes) {
    if (skipping_) {
      if (c == '\n') {
        if (line_bytes_ == 0) skipping_ = false;
        line_bytes_ = 0;
      } else if (c != '\r') {
        ++line_bytes_;
      }
      continue;
    }
    // A status line is recognised before this is full.
    if (line_bytes_ == sizeof line_) return 0;
    line_[line_bytes_++] = c;
    const auto status = parse_status_line({line_, line_bytes_});
    if (!status.has_value()) continue;
    if (*status < 100 || *status > 199 || *status == 101) return status;
    if (++skipped_ > limits::check_interim_answers_max) return 0;
    skipping_ = true;
    if (c == '\n') line_bytes_ = 0;
  }
  return std::nullopt;
}

std::string check_request(const CheckOptions& options, const std::string& upstream_name) {
  // A unix socket has no host, and its path may contain characters that Host may not.
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
  if (now_.token != 0) loop_.remove(now_.token, now_.fd.get());
}

void HealthCheck::start(Check check, const sys::ResolvedAddress& address) {
  ESPORA_CHECK(!under_way_ && check != Check::none);
  under_way_ = true;
  now_ = Attempt{};
  now_.check = check;
  loop_.timers().arm(timer_, loop_.now_ms() + options_.timeout_ms);
  sys::Connecting attempt = sys::start_connect(address);
  now_.fd = std::move(attempt.fd);
  switch (attempt.outcome) {
    case ConnectOutcome::connected:
    case ConnectOutcome::in_progress: {
      // Even if it is already connected: the loop then reports at once that it is writable.
      auto token = loop_.add(now_.fd.get(), Events::writable, *this);
      if (!token.ok()) {
        finish_soon(Outcome::unknown, {});
        return;
      }
      now_.token = token.value();
      return;
    }
    case ConnectOutcome::backlog_full:
      // It accepts too slowly: busy, which is no failure of a check that only connects.
      finish_soon(now_.check == Check::connect ? Outcome::unknown : Outcome::bad,
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
  if (now_.connected) {
    read_answer();
    return;
  }
  int error = sys::socket_error(now_.fd.get());
  if (error == 0 && (events & Events::writable) == 0) error = ECONNRESET;
  if (error == 0 && sys::is_connected_to_itself(now_.fd.get())) error = ECONNREFUSED;
  if (error != 0) {
    finish(Outcome::bad, "could not connect: " + sys::errno_name(error));
    return;
  }
  on_connected();
}

void HealthCheck::on_connected() {
  now_.connected = true;
  if (!ask()) {
    finish(Outcome::bad, "could not ask");
    return;
  }
  if (now_.check == Check::connect) {
    finish(Outcome::good, {});
    return;
  }
  loop_.modify(now_.token, now_.fd.get(), Events::readable);
}

// Both fit into every socket's buffer, so a partial send is a failure.
bool HealthCheck::ask() {
  std::byte header[limits::proxy_header_written_bytes];
  if (options_.send_proxy) {
    const size_t count = write_local_proxy_header(header);
    if (sys::send(now_.fd.get(), header, count).bytes != count) return false;
  }
  if (now_.check != Check::http) return true;
  const std::string request = check_request(options_, upstream_name_);
  return sys::send(now_.fd.get(), request.data(), request.size()).bytes == request.size();
}

void HealthCheck::read_answer() {
  char bytes[limits::check_read_bytes];
  const IoResult read = sys::receive(now_.fd.get(), bytes, sizeof bytes);
  if (read.again) return;
  if (read.bytes == 0) {
    finish(Outcome::bad, read.error != 0 ? "got no answer: " + sys::errno_name(read.error)
                                         : "got no answer before the end of the stream");
    return;
  }
  const auto status = now_.status.read({bytes, read.bytes});
  if (!status.has_value()) return;
  if (*status == 0) {
    finish(Outcome::bad, "got an answer that is not HTTP");
  } else if (*status < options_.status_min || *status > options_.status_max) {
    finish(Outcome::bad, "got status " + std::to_string(*status));
  } else {
    finish(Outcome::good, {});
  }
}

void HealthCheck::on_timer() {
  if (now_.decided.has_value()) {
    finish(*now_.decided, std::move(now_.why));
    return;
  }
  finish(Outcome::bad, now_.connected ? "got no answer in time" : "could not connect in time");
}

void HealthCheck::finish_soon(Outcome outcome, std::string why) {
  now_.decided = outcome;
  now_.why = std::move(why);
  loop_.timers().arm(timer_, loop_.now_ms());
}

void HealthCheck::finish(Outcome outcome, std::string why) {
  loop_.timers().disarm(timer_);
  if (now_.token != 0) loop_.remove(now_.token, now_.fd.get());
  const Check check = now_.check;
  now_ = Attempt{};
  under_way_ = false;
  owner_.on_checked(check, outcome, why);
}

}  // namespace espora::forward
