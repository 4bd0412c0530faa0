// Two ends of a stream that runs both ways at the same time, to be put on both sides of a
// forwarder. Each end sends so many bytes of its own known sequence and compares every byte that it
// receives with the other's.
//
//   bulk serve --unix PATH --bytes N
//   bulk send --target IPV4:PORT --bytes N [--watch PID]
//
// `serve` serves one connection after the other; one that ends
// before its first byte is nothing. Once it has received all, and all was right, it says so in one
// byte more. `send` plays one connection and prints one line of JSON: seconds, and the CPU seconds
// that process PID used meanwhile. Exit 1 if a byte was wrong, missing or too many. Both
// end with SIGTERM, or with the parent.

#include <poll.h>

#include <algorithm>
#include <vector>

#include "program.h"

namespace {

using namespace bench;

// A sequence repeats itself after this many bytes: a prime, so that no buffer that is lost, sent
// twice or exchanged with another fits.
constexpr std::size_t period_bytes = 1'048'573;
constexpr std::size_t chunk_bytes = 256 * 1024;
constexpr char all_right = '!';

// The beginning once more behind the period: a chunk is whole wherever it begins.
std::vector<char> make_sequence(std::uint64_t seed) {
  std::vector<char> sequence(period_bytes + chunk_bytes);
  std::uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  for (std::size_t i = 0; i < period_bytes; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    sequence[i] = static_cast<char>(state >> 56);
  }
  std::copy_n(sequence.begin(), chunk_bytes, sequence.begin() + period_bytes);
  return sequence;
}

const std::vector<char> from_client = make_sequence(1);
const std::vector<char> from_server = make_sequence(2);

// One end of one connection.
class End {
 public:
  End(int fd, bool server, std::uint64_t bytes)
      : fd_(fd),
        server_(server),
        bytes_(bytes),
        ours_(server ? from_server : from_client),
        theirs_(server ? from_client : from_server),
        buffer_(chunk_bytes) {}

  // Null: everything that was to come came, and nothing else.
  const char* play() {
    const std::uint64_t to_receive = bytes_ + (server_ ? 0 : 1);
    bool ended = false;
    while (!ended || !finished_sending()) {
      pollfd ready{};
      ready.fd = fd_;
      ready.events = static_cast<short>((ended ? 0 : POLLIN) | (may_send() ? POLLOUT : 0));
      if (poll(&ready, 1, -1) < 0 && errno != EINTR) fail("poll");
      if ((ready.revents & POLLOUT) != 0 && !send_some()) return "the connection broke";
      if ((ready.revents & (POLLIN | POLLHUP | POLLERR)) == 0 || ended) continue;
      const ssize_t got = recv(fd_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (got < 0) return "the connection broke";
      if (got == 0) {
        if (received_ != to_receive) return received_ == 0 ? nothing : "bytes are missing";
        ended = true;
        continue;
      }
      if (!check(static_cast<std::size_t>(got))) return "a byte is wrong";
    }
    return nullptr;
  }

  static constexpr const char* nothing = "nothing came";

 private:
  // The server's last byte is its verdict.
  [[nodiscard]] std::uint64_t to_send() const { return bytes_ + (server_ ? 1 : 0); }
  [[nodiscard]] bool finished_sending() const { return sent_ == to_send(); }
  [[nodiscard]] bool may_send() const {
    // What only asks whether somebody listens gets nothing.
    if (server_ && received_ == 0) return false;
    return sent_ < bytes_ || (server_ && sent_ == bytes_ && received_ == bytes_);
  }
  bool send_some() {
    const bool verdict = sent_ == bytes_;
    const char* from = verdict ? &all_right : &ours_[sent_ % period_bytes];
    const std::size_t count =
        verdict ? 1
                : static_cast<std::size_t>(std::min<std::uint64_t>(chunk_bytes, bytes_ - sent_));
    const ssize_t sent = send(fd_, from, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    sent_ += static_cast<std::uint64_t>(sent);
    if (finished_sending()) shutdown(fd_, SHUT_WR);
    return true;
  }
  bool check(std::size_t count) {
    std::size_t at = 0;
    if (received_ < bytes_) {
      at = static_cast<std::size_t>(std::min<std::uint64_t>(count, bytes_ - received_));
      if (std::memcmp(buffer_.data(), &theirs_[received_ % period_bytes], at) != 0) return false;
    }
    received_ += count;
    if (at == count) return true;
    return !server_ && count - at == 1 && received_ == bytes_ + 1 && buffer_[at] == all_right;
  }

  const int fd_;
  const bool server_;
  const std::uint64_t bytes_;
  const std::vector<char>& ours_;
  const std::vector<char>& theirs_;
  std::vector<char> buffer_;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
};

int serve(const char* path, std::uint64_t bytes) {
  const int listener = listen_on(unix_address(path), 0);
  for (;;) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) fail("accept");
    const char* wrong = End(fd, true, bytes).play();
    if (wrong != nullptr && wrong != End::nothing) std::fprintf(stderr, "bulk serve: %s\n", wrong);
    close(fd);
  }
}

int send_all(const std::string& target, std::uint64_t bytes, pid_t watched) {
  const Address address = parse_address(target);
  const int fd = socket_for(address, 0);
  const clockid_t used = cpu_clock_of(watched);
  const double used_before = seconds_of(used);
  const double before = seconds_of(CLOCK_MONOTONIC);
  if (connect(fd, address.generic(), address.bytes) != 0) fail("connect");
  const char* wrong = End(fd, false, bytes).play();
  const double seconds = seconds_of(CLOCK_MONOTONIC) - before;
  if (wrong != nullptr) {
    std::fprintf(stderr, "bulk send: %s\n", wrong);
    return 1;
  }
  std::printf("{\"seconds\": %.6f, \"watched_cpu_seconds\": %.6f}\n", seconds,
              seconds_of(used) - used_before);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  const char* path = nullptr;
  std::string target;
  std::uint64_t bytes = 0;
  pid_t watched = 0;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--unix") path = argv[i + 1];
    if (flag == "--target") target = argv[i + 1];
    if (flag == "--bytes") bytes = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--watch") watched = std::atoi(argv[i + 1]);
  }
  end_with_parent();
  if (command == "serve" && path != nullptr && bytes > 0) return serve(path, bytes);
  if (command == "send" && !target.empty() && bytes > 0) return send_all(target, bytes, watched);
  usage("serve --unix PATH --bytes N | send --target IPV4:PORT --bytes N [--watch PID]");
}
