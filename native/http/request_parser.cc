#include "http/request_parser.h"

#include <algorithm>
#include <cstring>

#include "http/byte_class.h"
#include "sys/check.h"

namespace espora::http {

RequestParser::RequestParser(uint32_t body_bytes_max) noexcept : body_bytes_max_(body_bytes_max) {
  ESPORA_CHECK(body_bytes_max <= limits::http_body_bytes_max);
}

void RequestParser::next() noexcept { *this = RequestParser(body_bytes_max_); }

RequestParser::Outcome RequestParser::parse(std::span<char> message) noexcept {
  ESPORA_CHECK(message.size() >= cursor_ && message.size() <= UINT32_MAX);
  ESPORA_CHECK(state_ != State::finished);
  const std::string_view bytes(message.data(), message.size());
  bool whole = false;
  if (state_ <= State::version) whole = read_request_line(bytes);
  if (state_ >= State::field_start && state_ <= State::section_feed && !in_trailers_) {
    whole = read_fields(bytes) && accept_head();
    if (whole) {
      set_views(message.data());
      return Outcome::head;
    }
  } else {
    if (state_ == State::body) whole = read_body(bytes);
    if (state_ == State::chunks) whole = read_chunks(message);
    if (in_trailers_ && state_ <= State::section_feed) whole = read_fields(bytes);
    if (whole) {
      state_ = State::finished;
      set_views(message.data());
      return Outcome::complete;
    }
  }
  return state_ == State::failed ? Outcome::error : Outcome::need_more;
}

// RFC 9112 3: request-line = method SP request-target SP HTTP-version CRLF. Exactly one space each:
// the lenient parsing that 3 also allows is a known way to smuggle requests.
bool RequestParser::read_request_line(std::string_view message) noexcept {
  if (state_ <= State::start_feed && !read_empty_lines(message)) return false;
  const size_t limit =
      std::min<size_t>(message.size(), line_begin_ + limits::http_request_line_bytes_max);
  size_t at = cursor_;
  if (state_ == State::method) {
    at = scan_run<byte_class::token>(message.data(), at, limit);
    if (at == limit) return pause(at, message.size(), errors::request_line_too_long);
    if (message[at] != ' ' || at == line_begin_) return fail(errors::request_line_invalid);
    is_head_ = message.substr(line_begin_, at - line_begin_) == "HEAD";
    method_end_ = static_cast<uint32_t>(at++);
    target_begin_ = static_cast<uint32_t>(at);
    state_ = State::target;
  }
  if (state_ == State::target) {
    at = scan_run<byte_class::target>(message.data(), at, limit);
    if (at == limit) return pause(at, message.size(), errors::request_line_too_long);
    if (message[at] == '\r') return fail(errors::request_line_invalid);  // HTTP/0.9: no version
    if (message[at] != ' ' ||
        !read_target(message.substr(target_begin_, at - target_begin_),
                     message.substr(line_begin_, method_end_ - line_begin_))) {
      return fail(errors::target_invalid);
    }
    cursor_ = version_begin_ = static_cast<uint32_t>(at + 1);
    state_ = State::version;
  }
  return read_version(message);
}

// RFC 9112 2.2: a server should ignore at least one empty line before the request line.
bool RequestParser::read_empty_lines(std::string_view message) noexcept {
  for (; cursor_ < message.size(); ++cursor_) {
    const char byte = message[cursor_];
    if (state_ == State::start_feed) {
      if (byte != '\n') return fail(errors::request_line_invalid);
      state_ = State::start;
    } else if (byte == '\r' && empty_lines_ < limits::http_leading_empty_lines_max) {
      ++empty_lines_;
      state_ = State::start_feed;
    } else {
      line_begin_ = cursor_;
      state_ = State::method;
      return true;
    }
  }
  return false;
}

// RFC 9112 3.2: finds the path of an origin form (3.2.1), an absolute form (3.2.2) or, for OPTIONS,
// the asterisk form (3.2.4).
bool RequestParser::read_target(std::string_view target, std::string_view method) noexcept {
  size_t path = 0;
  if (target == "*") {
    path_begin_ = target_begin_;
    path_end_ = target_begin_ + 1;
    return method == "OPTIONS";
  }
  if (target.empty()) return false;
  if (target[0] != '/') {
    for (const std::string_view scheme : {"http://", "https://"}) {
      if (equals_ignoring_case(target.substr(0, scheme.size()), scheme)) path = scheme.size();
    }
    if (path == 0) return false;
    const size_t authority_end = std::min(target.find_first_of("/?", path), target.size());
    const std::string_view authority = target.substr(path, authority_end - path);
    // RFC 9110 4.2.1: a URL without a host is invalid; 4.2.4: one with userinfo is refused here.
    if (authority.empty() || authority[0] == ':' || !is_host(authority)) return false;
    path = authority_end;
  }
  const size_t path_end = std::min(target.find('?', path), target.size());
  path_begin_ = target_begin_ + static_cast<uint32_t>(path);
  path_end_ = target_begin_ + static_cast<uint32_t>(path_end);
  return true;
}

// RFC 9112 2.3: HTTP-version = "HTTP/" DIGIT "." DIGIT, in upper case.
bool RequestParser::read_version(std::string_view message) noexcept {
  constexpr std::string_view form = "HTTP/d.d\r\n";
  constexpr std::string_view usual = "HTTP/1.1\r\n";
  if (message.substr(version_begin_, usual.size()) == usual) {
    cursor_ = version_begin_ + static_cast<uint32_t>(usual.size()) - 1;
  }
  for (; cursor_ < message.size(); ++cursor_) {
    const char expected = form[cursor_ - version_begin_];
    const char byte = message[cursor_];
    if (expected == 'd' ? !is_class(byte, byte_class::digit) : byte != expected) {
      return fail(errors::request_line_invalid);
    }
    if (expected != '\n') continue;
    if (cursor_ - 1 - line_begin_ > limits::http_request_line_bytes_max) {
      return fail(errors::request_line_too_long);
    }
    const char major = message[version_begin_ + 5];
    const char minor = message[version_begin_ + 7];
    if (major != '1' || minor > '1') return fail(errors::version_unsupported);
    request_.version = minor == '0' ? Version::http_1_0 : Version::http_1_1;
    ++cursor_;
    fields_limit_ = cursor_ + limits::http_fields_bytes_max;
    state_ = State::field_start;
    return true;
  }
  return false;
}

// RFC 9112 5: field-line = field-name ":" OWS field-value OWS, each ended by CRLF, the section by
// an empty line. A space before the colon (5.1) and a folded line (5.2) fail as invalid names; a
// bare CR, a bare LF and NUL (9110 5.5) as invalid values. Both kinds of section share limits.
bool RequestParser::read_fields(std::string_view message) noexcept {
  const char* bytes = message.data();
  const size_t end = message.size();
  const size_t limit = std::min<size_t>(end, fields_limit_);
  size_t at = cursor_;
  for (;;) {
    switch (state_) {
      case State::field_start:
        if (at == end) return pause(at, end, errors::fields_too_large);
        if (bytes[at] == '\r') {
          ++at;
          state_ = State::section_feed;
          continue;
        }
        if (fields_count_++ == limits::http_fields_max) return fail(errors::fields_too_large);
        name_begin_ = static_cast<uint32_t>(at);
        state_ = State::field_name;
        [[fallthrough]];
      case State::field_name:
        at = scan_run<byte_class::token>(bytes, at, limit);
        if (at == limit) return pause(at, end, errors::fields_too_large);
        if (bytes[at] != ':' || at == name_begin_) return fail(errors::field_invalid);
        name_end_ = static_cast<uint32_t>(at++);
        state_ = State::field_space;
        [[fallthrough]];
      case State::field_space:
        while (at < limit && (bytes[at] == ' ' || bytes[at] == '\t')) ++at;
        if (at == limit) return pause(at, end, errors::fields_too_large);
        value_begin_ = static_cast<uint32_t>(at);
        state_ = State::field_value;
        [[fallthrough]];
      case State::field_value:
        at = scan_run<byte_class::value>(bytes, at, limit);
        if (at == limit) return pause(at, end, errors::fields_too_large);
        if (bytes[at++] != '\r') return fail(errors::field_invalid);
        state_ = State::field_feed;
        [[fallthrough]];
      case State::field_feed:
        if (at == limit) return pause(at, end, errors::fields_too_large);
        if (bytes[at++] != '\n') return fail(errors::field_invalid);
        cursor_ = static_cast<uint32_t>(at);
        if (!accept_field(message)) return false;
        state_ = State::field_start;
        continue;
      default:  // section_feed
        if (at == end) return pause(at, end, errors::fields_too_large);
        if (bytes[at] != '\n') return fail(errors::field_invalid);
        cursor_ = static_cast<uint32_t>(at + 1);
        return true;
    }
  }
}

// Reads the line that ends at cursor_.
bool RequestParser::accept_field(std::string_view message) noexcept {
  const std::string_view name = message.substr(name_begin_, name_end_ - name_begin_);
  if (in_trailers_) {
    // RFC 9110 6.5.1: no field that frames, routes or authenticates; all others are dropped.
    return !HeaderFields::forbidden_in_trailers(name) || fail(errors::field_invalid);
  }
  if (!HeaderFields::interesting(name)) return true;
  size_t value_end = cursor_ - 2;
  while (value_end > value_begin_ &&
         (message[value_end - 1] == ' ' || message[value_end - 1] == '\t')) {
    --value_end;
  }
  const Error* error = fields_.add(name, message.substr(value_begin_, value_end - value_begin_));
  return error == nullptr || fail(*error);
}

bool RequestParser::accept_head() noexcept {
  const bool is_1_1 = request_.version == Version::http_1_1;
  if (const Error* error = fields_.check(is_1_1 ? 1 : 0)) return fail(*error);
  request_.content_length = fields_.content_length();
  request_.chunked = fields_.chunked();
  // RFC 9112 9.3: 1.1 persists unless the client says close, 1.0 only if it asks for it.
  request_.keep_alive = !fields_.connection_close() && (is_1_1 || fields_.connection_keep_alive());
  request_.says_keep_alive = !is_1_1 && request_.keep_alive;
  // RFC 9110 10.1.1: the expectation of an HTTP/1.0 client is ignored.
  request_.expects_continue =
      is_1_1 && fields_.expects_continue() && (request_.chunked || request_.content_length > 0);
  trailers_bytes_max_ = fields_limit_ - (cursor_ - 2);
  head_end_ = body_end_ = cursor_;
  state_ = request_.chunked ? State::chunks : State::body;
  return true;
}

bool RequestParser::read_body(std::string_view message) noexcept {
  if (request_.content_length > body_bytes_max_) return fail(errors::body_too_large);
  const uint32_t length = static_cast<uint32_t>(request_.content_length);
  if (message.size() - head_end_ < length) return false;
  cursor_ = body_end_ = head_end_ + length;
  return true;
}

bool RequestParser::read_chunks(std::span<char> message) noexcept {
  size_t read = cursor_;
  size_t write = body_end_;
  const ChunkDecoder::Outcome outcome =
      chunk_decoder_.decode(message, read, write, body_bytes_max_ - (body_end_ - head_end_));
  cursor_ = static_cast<uint32_t>(read);
  body_end_ = static_cast<uint32_t>(write);
  if (outcome == ChunkDecoder::Outcome::error) return fail(chunk_decoder_.error());
  if (outcome == ChunkDecoder::Outcome::last_chunk) {
    in_trailers_ = true;
    fields_limit_ = cursor_ + trailers_bytes_max_;
    state_ = State::field_start;
  }
  return false;
}

void RequestParser::set_views(const char* message) noexcept {
  request_.method = {message + line_begin_, method_end_ - line_begin_};
  request_.path = {message + path_begin_, path_end_ - path_begin_};
  // RFC 9110 4.2.3: an empty path is the same as "/".
  if (request_.path.empty()) request_.path = "/";
  if (state_ == State::finished) request_.body = {message + head_end_, body_end_ - head_end_};
}

bool RequestParser::awaits_continue(size_t received) const noexcept {
  return request_.expects_continue && in_body() && received == head_end_ &&
         request_.content_length <= body_bytes_max_;
}

size_t RequestParser::close_gap(std::span<char> message) noexcept {
  if (state_ != State::chunks && !(in_trailers_ && state_ <= State::section_feed)) {
    return message.size();
  }
  // A trailer line is processed as a whole: its first bytes are still needed.
  const bool in_line = state_ >= State::field_name && state_ <= State::field_feed;
  const uint32_t keep_from = in_line ? name_begin_ : cursor_;
  const uint32_t gap = keep_from - body_end_;
  std::memmove(message.data() + body_end_, message.data() + keep_from, message.size() - keep_from);
  cursor_ -= gap;
  if (in_trailers_) {
    name_begin_ -= gap;
    name_end_ -= gap;
    value_begin_ -= gap;
    fields_limit_ -= gap;
  }
  return message.size() - gap;
}

bool RequestParser::pause(size_t at, size_t end, const Error& beyond_limit) noexcept {
  cursor_ = static_cast<uint32_t>(at);
  if (at < end) return fail(beyond_limit);
  return false;
}

bool RequestParser::fail(const Error& error) noexcept {
  error_ = &error;
  state_ = State::failed;
  return false;
}

}  // namespace espora::http
