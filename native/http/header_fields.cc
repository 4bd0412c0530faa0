#include "http/header_fields.h"

#include <algorithm>
#include <cstring>

#include "http/byte_class.h"

namespace espora::http {

namespace {

bool is_space(char byte) noexcept { return byte == ' ' || byte == '\t'; }

// Takes the next element off a comma-separated list (RFC 9110 5.6.1), without the white space
// around it; empty elements are skipped. Returns an empty view at the end of the list. Commas
// inside quoted strings belong to the element.
std::string_view take_element(std::string_view& list) noexcept {
  while (!list.empty() && (list[0] == ',' || is_space(list[0]))) list.remove_prefix(1);
  size_t end = 0;
  bool quoted = false;
  for (; end < list.size() && (quoted || list[end] != ','); ++end) {
    if (list[end] == '"') quoted = !quoted;
    if (list[end] == '\\' && quoted && end + 1 < list.size()) ++end;
  }
  std::string_view element = list.substr(0, end);
  list.remove_prefix(end);
  while (!element.empty() && is_space(element.back())) element.remove_suffix(1);
  return element;
}

}  // namespace

bool equals_ignoring_case(std::string_view text, std::string_view lower) noexcept {
  if (text.size() != lower.size()) return false;
  // Bit 5 turns upper into lower case and makes no other visible byte equal to one of `lower`.
  constexpr uint64_t bit_5 = 0x2020202020202020;
  size_t at = 0;
  for (; text.size() - at >= 8; at += 8) {
    uint64_t eight_of_text;
    uint64_t eight_of_lower;
    std::memcpy(&eight_of_text, text.data() + at, 8);
    std::memcpy(&eight_of_lower, lower.data() + at, 8);
    if ((eight_of_text | bit_5) != eight_of_lower) return false;
  }
  for (; at < text.size(); ++at) {
    if ((text[at] | 0x20) != lower[at]) return false;
  }
  return true;
}

// RFC 3986 3.2.2 and 3.2.3: IP-literal, or IPv4address and reg-name, whose bytes are the same set.
bool is_host(std::string_view value) noexcept {
  size_t at = 0;
  if (!value.empty() && value[0] == '[') {
    const size_t close = value.find(']');
    if (close == std::string_view::npos || close == 1) return false;
    for (at = 1; at < close; ++at) {
      if (value[at] != ':' && !is_class(value[at], byte_class::reg_name)) return false;
    }
    ++at;
  } else {
    while (at < value.size() && value[at] != ':') {
      if (value[at] == '%') {
        if (value.size() - at < 3 || !is_class(value[at + 1], byte_class::hexadecimal) ||
            !is_class(value[at + 2], byte_class::hexadecimal)) {
          return false;
        }
        at += 3;
      } else if (is_class(value[at], byte_class::reg_name)) {
        ++at;
      } else {
        return false;
      }
    }
  }
  if (at == value.size()) return true;
  return value[at] == ':' &&
         scan_class(value.data(), at + 1, value.size(), byte_class::digit) == value.size();
}

const Error* HeaderFields::add(std::string_view name, std::string_view value) noexcept {
  switch (name.size()) {
    case 4:
      return equals_ignoring_case(name, "host") ? add_host(value) : nullptr;
    case 6:
      return equals_ignoring_case(name, "expect") ? add_expect(value) : nullptr;
    case 10:
      return equals_ignoring_case(name, "connection") ? add_connection(value) : nullptr;
    case 14:
      return equals_ignoring_case(name, "content-length") ? add_content_length(value) : nullptr;
    case 17:
      return equals_ignoring_case(name, "transfer-encoding") ? add_transfer_encoding(value)
                                                             : nullptr;
    default:
      return nullptr;
  }
}

bool HeaderFields::forbidden_in_trailers(std::string_view name) noexcept {
  return equals_ignoring_case(name, "host") || equals_ignoring_case(name, "content-length") ||
         equals_ignoring_case(name, "transfer-encoding");
}

// RFC 9112 3.2: more than one Host, or one with an invalid value, is answered with 400.
const Error* HeaderFields::add_host(std::string_view value) noexcept {
  if (has_host_ || !is_host(value)) return &errors::host_invalid;
  has_host_ = true;
  return nullptr;
}

// RFC 9110 8.6: Content-Length = 1*DIGIT. A list or a repetition, which a recipient may merge if
// all values agree, is refused here: a client that sends one cannot be trusted with framing.
const Error* HeaderFields::add_content_length(std::string_view value) noexcept {
  if (has_content_length_ || value.empty()) return &errors::framing_ambiguous;
  has_content_length_ = true;
  for (const char byte : value) {
    const uint64_t digit = static_cast<uint8_t>(byte) - uint64_t{'0'};
    if (digit > 9 || content_length_ > (UINT64_MAX - digit) / 10) {
      return &errors::framing_ambiguous;
    }
    content_length_ = content_length_ * 10 + digit;
  }
  return nullptr;
}

// RFC 9112 6.1, 7: all lines form one list of codings; chunked is its last, once, no parameters.
const Error* HeaderFields::add_transfer_encoding(std::string_view value) noexcept {
  has_transfer_encoding_ = true;
  for (std::string_view coding = take_element(value); !coding.empty();
       coding = take_element(value)) {
    if (last_coding_is_chunked_) return &errors::framing_ambiguous;
    const size_t name_end = scan_class(coding.data(), 0, coding.size(), byte_class::token);
    std::string_view parameters = coding.substr(name_end);
    while (!parameters.empty() && is_space(parameters[0])) parameters.remove_prefix(1);
    if (name_end == 0 || (!parameters.empty() && parameters[0] != ';')) {
      return &errors::framing_ambiguous;
    }
    if (!equals_ignoring_case(coding.substr(0, name_end), "chunked")) {
      has_unknown_coding_ = true;
    } else if (parameters.empty()) {
      last_coding_is_chunked_ = true;
    } else {
      return &errors::framing_ambiguous;
    }
  }
  return nullptr;
}

// RFC 9110 7.6.1: a list over all lines of this name.
const Error* HeaderFields::add_connection(std::string_view value) noexcept {
  for (std::string_view option = take_element(value); !option.empty();
       option = take_element(value)) {
    if (equals_ignoring_case(option, "close")) connection_close_ = true;
    if (equals_ignoring_case(option, "keep-alive")) connection_keep_alive_ = true;
  }
  return nullptr;
}

// RFC 9110 10.1.1: Expect is a list; 100-continue is the only expectation there is.
const Error* HeaderFields::add_expect(std::string_view value) noexcept {
  for (std::string_view expectation = take_element(value); !expectation.empty();
       expectation = take_element(value)) {
    (equals_ignoring_case(expectation, "100-continue") ? expects_continue_ : expects_unknown_) =
        true;
  }
  return nullptr;
}

const Error* HeaderFields::check(unsigned minor_version) const noexcept {
  // RFC 9112 3.2: a 1.1 request without Host is answered with 400.
  if (!has_host_ && minor_version >= 1) return &errors::host_invalid;
  if (has_transfer_encoding_) {
    // RFC 9112 6.1: chunked from HTTP/1.0, and both ways of framing at once, must be treated as
    // faulty; 6.3: a request whose last coding is not chunked has no determinable length.
    if (minor_version == 0 || has_content_length_ || !last_coding_is_chunked_) {
      return &errors::framing_ambiguous;
    }
    if (has_unknown_coding_) return &errors::coding_unknown;
  }
  if (expects_unknown_ && minor_version >= 1) return &errors::expectation_unknown;
  return nullptr;
}

}  // namespace espora::http
