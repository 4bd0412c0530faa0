#include "http/chunk_decoder.h"

#include <algorithm>
#include <cstring>

#include "http/byte_class.h"
#include "sys/limits.h"

namespace espora::http {

ChunkDecoder::Outcome ChunkDecoder::decode(std::span<char> message, size_t& read, size_t& write,
                                           size_t data_left_max) noexcept {
  while (read < message.size()) {
    switch (state_) {
      case State::data: {
        const size_t count = std::min<size_t>(size_left_, message.size() - read);
        if (read != write) std::memmove(message.data() + write, message.data() + read, count);
        read += count;
        write += count;
        size_left_ -= count;
        data_left_max -= count;
        if (size_left_ == 0) state_ = State::data_return;
        break;
      }
      case State::data_return:
        if (message[read++] != '\r') return fail(errors::chunk_invalid);
        state_ = State::data_feed;
        break;
      case State::data_feed:
        if (message[read++] != '\n') return fail(errors::chunk_invalid);
        state_ = State::size_first;
        break;
      case State::line_feed:
        if (message[read++] != '\n') return fail(errors::chunk_invalid);
        if (size_left_ == 0) return Outcome::last_chunk;
        if (size_left_ > data_left_max) return fail(errors::body_too_large);
        state_ = State::data;
        break;
      default:
        if (const Error* error = read_line_byte(message[read++])) return fail(*error);
        break;
    }
  }
  return Outcome::need_more;
}

// RFC 9112 7.1: chunk-size [ *( ";" token [ "=" ( token / quoted-string ) ] ) ] CR. The "bad
// whitespace" that 7.1.1 allows around ';' and '=' is refused.
const Error* ChunkDecoder::read_line_byte(char byte) noexcept {
  if (byte != '\r' && ++line_bytes_ > limits::http_chunk_lines_bytes_max) {
    return &errors::body_too_large;
  }
  switch (state_) {
    case State::size_first:
    case State::size:
      if (is_class(byte, byte_class::hexadecimal)) {
        if (size_left_ > UINT64_MAX >> 4) return &errors::chunk_invalid;
        size_left_ = size_left_ << 4 | hex_value(byte);
        state_ = State::size;
        return nullptr;
      }
      if (state_ == State::size_first) return &errors::chunk_invalid;
      break;
    case State::extension_name:
    case State::extension_value:
      if (is_class(byte, byte_class::token)) return nullptr;
      if (byte == '=' && state_ == State::extension_name) {
        state_ = State::extension_value_first;
        return nullptr;
      }
      break;
    case State::extension_value_first:
      if (byte == '"') {
        state_ = State::extension_quoted;
        return nullptr;
      }
      [[fallthrough]];
    case State::extension_first:
      if (!is_class(byte, byte_class::token)) return &errors::chunk_invalid;
      state_ = state_ == State::extension_first ? State::extension_name : State::extension_value;
      return nullptr;
    case State::extension_quoted:
      if (byte == '"') {
        state_ = State::extension_end;
      } else if (byte == '\\') {
        state_ = State::extension_escape;
      } else if (!is_class(byte, byte_class::quoted)) {
        return &errors::chunk_invalid;
      }
      return nullptr;
    case State::extension_escape:
      if (!is_class(byte, byte_class::value)) return &errors::chunk_invalid;
      state_ = State::extension_quoted;
      return nullptr;
    default:  // extension_end
      break;
  }
  // A size, name, value or quoted string ended: another extension follows, or the line ends.
  if (byte != ';' && byte != '\r') return &errors::chunk_invalid;
  state_ = byte == ';' ? State::extension_first : State::line_feed;
  return nullptr;
}

ChunkDecoder::Outcome ChunkDecoder::fail(const Error& error) noexcept {
  error_ = &error;
  return Outcome::error;
}

}  // namespace espora::http
