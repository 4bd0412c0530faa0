// A load generator for HTTP services that costs little beside what it measures: one thread, epoll,
// requests of the contest's mix, a closed loop at saturation or arrivals at a fixed rate. Prints
// one line of JSON: rate, answers, latency percentiles and its own CPU time.
//
//   load_generator --target (PATH | IPV4:PORT) [--connections N] [--seconds S] [--warmup S]
//                  [--rate R] [--per-connection] [--writes] [--watch PID]
//
// Closed loop (no --rate): each of N connections sends its next request when the answer to the last
// is there. With --rate, R requests a second are due at even intervals, whether or not earlier ones
// were answered, and each latency counts from the moment the request was due: waiting for a free
// connection, for a connect or for this program is part of it. --per-connection: a connection for
// each request, closed by us after the answer. --writes: debits and credits only, no statements.
// Exit 1 if anything but an answer with status 200 or 422 came.

#include <strings.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <deque>
#include <vector>

#include "program.h"

namespace {

using namespace bench;

constexpr std::uint64_t second_ns = 1'000'000'000;
// Debits, credits and statements of the contest at its peak.
constexpr int debit_share = 220;
constexpr int credit_share = 110;
constexpr int statement_share = 10;
constexpr std::size_t answer_bytes_max = 16 * 1024;
// Ports of one source address are soon all waiting out their connections' ends: take several.
constexpr unsigned source_addresses = 16;

std::uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * second_ns +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// Counts durations in buckets whose width is below 1/64 of their value.
class Histogram {
 public:
  void add(std::uint64_t ns) {
    ++buckets_[index_of(ns)];
    ++count_;
    if (ns > max_) max_ = ns;
  }
  // The upper edge of the bucket that holds this share of what was added, in milliseconds.
  [[nodiscard]] double percentile_ms(double share) const {
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(count_) + 0.5);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen >= wanted && seen > 0) {
        return static_cast<double>(std::min(upper_of(i), max_)) / 1e6;
      }
    }
    return 0;
  }
  [[nodiscard]] double max_ms() const { return static_cast<double>(max_) / 1e6; }

 private:
  static constexpr unsigned sub_bits = 6;
  static std::size_t index_of(std::uint64_t ns) {
    const auto width = static_cast<unsigned>(std::bit_width(ns));
    if (width <= sub_bits + 1) return static_cast<std::size_t>(ns);
    const unsigned shift = width - sub_bits - 1;
    return (std::size_t{shift} << sub_bits) + static_cast<std::size_t>(ns >> shift);
  }
  static std::uint64_t upper_of(std::size_t index) {
    const std::size_t shift = index >> sub_bits;
    if (shift <= 1) return index;
    return ((((std::uint64_t{index} & ((1u << sub_bits) - 1)) | (1u << sub_bits)) + 1)
            << (shift - 1)) -
           1;
  }
  std::array<std::uint64_t, (64 << sub_bits)> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

struct Options {
  std::string target;
  std::size_t connections = 64;
  double seconds = 5;
  double warmup = 1;
  double rate = 0;  // 0: closed loop
  bool per_connection = false;
  bool writes = false;
  pid_t watched = 0;  // 0: none
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    int taken = 1;  // flags with a value
    if (flag == "--target")
      options.target = value;
    else if (flag == "--connections")
      options.connections = std::strtoul(value, nullptr, 10);
    else if (flag == "--seconds")
      options.seconds = std::atof(value);
    else if (flag == "--warmup")
      options.warmup = std::atof(value);
    else if (flag == "--rate")
      options.rate = std::atof(value);
    else if (flag == "--watch")
      options.watched = std::atoi(value);
    else
      taken = 0;
    i += taken;
    if (taken == 1) continue;
    if (flag == "--per-connection")
      options.per_connection = true;
    else if (flag == "--writes")
      options.writes = true;
    else
      options.connections = 0;
  }
  if (options.target.empty() || options.connections == 0) {
    usage(
        "--target ADDRESS [--connections N] [--seconds S] [--warmup S] [--rate R] "
        "[--per-connection] [--writes] [--watch PID]");
  }
  return options;
}

class Random {
 public:
  std::uint32_t below(std::uint32_t bound) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<std::uint32_t>((state_ >> 32) * bound >> 32);
  }

 private:
  std::uint64_t state_ = 0x9E3779B97F4A7C16u;
};

// Requests made beforehand: making them is not what is measured.
std::vector<std::string> make_requests(const Options& options) {
  Random random;
  std::vector<std::string> requests;
  for (int i = 0; i < 4096; ++i) {
    const auto kind = static_cast<int>(
        random.below(static_cast<std::uint32_t>(debit_share + credit_share + statement_share)));
    const std::string account = std::to_string(1 + random.below(5));
    if (kind < statement_share && !options.writes) {
      requests.push_back("GET /clientes/" + account +
                         "/extrato HTTP/1.1\r\nHost: localhost\r\n\r\n");
      continue;
    }
    std::string description;
    for (int c = 0; c < 10; ++c) {
      description += "abcdefghijklmnopqrstuvwxyz0123456789"[random.below(36)];
    }
    const std::string body = "{\"valor\": " + std::to_string(1 + random.below(10000)) +
                             ", \"tipo\": \"" +
                             (kind < statement_share + credit_share ? "c" : "d") +
                             "\", \"descricao\": \"" + description + "\"}";
    requests.push_back("POST /clientes/" + account +
                       "/transacoes HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                       "application/json\r\nContent-Length: " +
                       std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  return requests;
}

struct Connection {
  int fd = -1;
  bool waiting = false;          // for an answer
  std::uint64_t due_ns = 0;      // when its request was due
  std::size_t held = 0;          // bytes of the answer so far
  std::size_t answer_bytes = 0;  // how long it will be; 0: not known yet
  std::string_view unsent;
  std::array<char, answer_bytes_max> bytes;
};

class Generator {
 public:
  explicit Generator(const Options& options)
      : options_(options),
        requests_(make_requests(options)),
        connections_(options.connections),
        target_(parse_address(options.target)) {
    loopback_ = options.target.rfind("127.", 0) == 0;
    poller_ = epoll_create1(EPOLL_CLOEXEC);
    if (poller_ < 0) fail("epoll_create1");
  }

  int run() {
    start_ns_ = now_ns();
    measure_from_ns_ = start_ns_ + static_cast<std::uint64_t>(options_.warmup * 1e9);
    end_ns_ = measure_from_ns_ + static_cast<std::uint64_t>(options_.seconds * 1e9);
    for (Connection& connection : connections_) {
      if (!options_.per_connection) open(connection);
      if (options_.rate == 0) {
        ask(connection, start_ns_);
      } else {
        idle_.push_back(&connection);
      }
    }
    if (options_.rate > 0) start_clock();
    double cpu_before = 0;
    double watched_before = 0;
    bool measuring = false;
    epoll_event ready[256];
    for (;;) {
      const int count = epoll_wait(poller_, ready, 256, broken_.empty() ? 100 : 10);
      now_ = now_ns();
      revive();
      if (!measuring && now_ >= measure_from_ns_) {
        measuring = true;
        cpu_before = cpu_seconds();
        watched_before = watched_seconds();
      }
      if (now_ >= end_ns_) break;
      for (int i = 0; i < count; ++i) {
        if (ready[i].data.ptr == nullptr) {
          tick();
        } else {
          on_ready(*static_cast<Connection*>(ready[i].data.ptr), ready[i].events);
        }
      }
    }
    return report(cpu_seconds() - cpu_before, watched_seconds() - watched_before);
  }

 private:
  static double cpu_seconds() { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }
  [[nodiscard]] double watched_seconds() const {
    return options_.watched == 0 ? 0 : seconds_of(cpu_clock_of(options_.watched));
  }

  // Arrivals: wakes us whenever the next request is due.
  void start_clock() {
    clock_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (clock_ < 0) fail("timerfd");
    watch(poller_, clock_, EPOLLIN, nullptr);
    set_clock();
  }
  [[nodiscard]] std::uint64_t due_of(std::uint64_t number) const {
    return start_ns_ +
           static_cast<std::uint64_t>(static_cast<double>(number) * 1e9 / options_.rate);
  }
  void set_clock() {
    const std::uint64_t next = due_of(arrived_);
    itimerspec when{};
    when.it_value.tv_sec = static_cast<time_t>(next / second_ns);
    when.it_value.tv_nsec = static_cast<long>(next % second_ns);
    timerfd_settime(clock_, TFD_TIMER_ABSTIME, &when, nullptr);
  }
  void tick() {
    std::uint64_t expirations;
    if (read(clock_, &expirations, sizeof expirations) < 0 && errno != EAGAIN) fail("timerfd");
    while (due_of(arrived_) <= now_) due_.push_back(due_of(arrived_++));
    set_clock();
    while (!due_.empty() && !idle_.empty()) {
      Connection& connection = *idle_.back();
      idle_.pop_back();
      ask(connection, due_.front());
      due_.pop_front();
    }
  }

  void open(Connection& connection) {
    connection.fd = socket_for(target_, SOCK_NONBLOCK);
    if (loopback_ && options_.per_connection) {
      const int on = 1;
      sockaddr_in source{};
      source.sin_family = AF_INET;
      source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (opened_ % source_addresses) * 256);
      setsockopt(connection.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
      if (bind(connection.fd, reinterpret_cast<sockaddr*>(&source), sizeof source) != 0) {
        fail("bind");
      }
    }
    ++opened_;
    if (connect(connection.fd, target_.generic(), target_.bytes) != 0 && errno != EINPROGRESS) {
      ++errors_;
      if (errors_ < 4) std::fprintf(stderr, "load_generator: connect: %s\n", std::strerror(errno));
    }
    watch(poller_, connection.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &connection);
  }

  void ask(Connection& connection, std::uint64_t due_ns) {
    if (connection.fd < 0) open(connection);
    connection.due_ns = due_ns;
    connection.waiting = true;
    connection.held = connection.answer_bytes = 0;
    connection.unsent = requests_[asked_++ % requests_.size()];
    send_rest(connection);
  }

  void send_rest(Connection& connection) {
    while (!connection.unsent.empty()) {
      const ssize_t sent =
          send(connection.fd, connection.unsent.data(), connection.unsent.size(), MSG_NOSIGNAL);
      if (sent < 0) {
        // Not connected yet, or full: the poller will say when it goes on.
        if (errno == EAGAIN || errno == ENOTCONN || errno == EINPROGRESS) return;
        return lost(connection);
      }
      connection.unsent.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  void on_ready(Connection& connection, std::uint32_t events) {
    if (connection.fd < 0) return;
    if ((events & EPOLLOUT) != 0 && !connection.unsent.empty()) send_rest(connection);
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0 || connection.fd < 0) return;
    for (;;) {
      const std::size_t room = connection.bytes.size() - connection.held;
      const ssize_t got = recv(connection.fd, connection.bytes.data() + connection.held, room, 0);
      if (got < 0 && errno == EAGAIN) return;
      // The end, or bytes that nobody asked for.
      if (got <= 0 || !connection.waiting) return lost(connection);
      connection.held += static_cast<std::size_t>(got);
      if (complete(connection)) return;
      if (static_cast<std::size_t>(got) < room && (events & EPOLLRDHUP) == 0) return;
    }
  }

  // Whether nothing more must be read now.
  bool complete(Connection& connection) {
    const std::string_view have(connection.bytes.data(), connection.held);
    if (connection.answer_bytes == 0) {
      const std::size_t head_end = have.find("\r\n\r\n");
      if (head_end == std::string_view::npos) return false;
      connection.answer_bytes = head_end + 4 + body_bytes(have.substr(0, head_end + 2));
    }
    if (connection.held < connection.answer_bytes) return false;
    finish(connection);
    return true;
  }

  static std::size_t body_bytes(std::string_view head) {
    constexpr std::string_view name = "content-length:";
    for (std::size_t at = head.find("\r\n"); at + 2 < head.size(); at = head.find("\r\n", at + 2)) {
      if (strncasecmp(head.data() + at + 2, name.data(), name.size()) == 0) {
        return std::strtoul(head.data() + at + 2 + name.size(), nullptr, 10);
      }
    }
    return 0;
  }

  void finish(Connection& connection) {
    const std::uint64_t now = now_ns();
    const int status = std::atoi(connection.bytes.data() + 9);
    if (now >= measure_from_ns_ && now < end_ns_) {
      latencies_.add(now - connection.due_ns);
      ++answers_;
    }
    if (status != 200 && status != 422) ++errors_;
    connection.waiting = false;
    if (options_.per_connection) drop(connection);
    next(connection, now);
  }

  void lost(Connection& connection) {
    ++errors_;
    if (errors_ < 4) std::fprintf(stderr, "load_generator: a connection broke\n");
    drop(connection);
    connection.waiting = false;
    broken_.push_back(&connection);
  }

  // A moment after they broke, or a service that refuses would be all that we do.
  void revive() {
    if (broken_.empty() || now_ < revive_at_ns_) return;
    revive_at_ns_ = now_ + 10'000'000;
    std::vector<Connection*> again;
    again.swap(broken_);
    for (Connection* connection : again) next(*connection, now_);
  }

  void drop(Connection& connection) {
    close(connection.fd);
    connection.fd = -1;
  }

  void next(Connection& connection, std::uint64_t now) {
    if (options_.rate == 0) {
      ask(connection, now);
    } else if (!due_.empty()) {
      const std::uint64_t due_ns = due_.front();
      due_.pop_front();
      ask(connection, due_ns);
    } else {
      idle_.push_back(&connection);
    }
  }

  int report(double cpu, double watched_cpu) const {
    std::printf(
        "{\"requests_per_second\": %.1f, \"answers\": %llu, \"errors\": %llu, \"unanswered\": %zu, "
        "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, \"max_ms\": %.3f, "
        "\"own_cpu_seconds\": %.3f, \"own_cpu_us_per_request\": %.2f, "
        "\"watched_cpu_seconds\": %.6f}\n",
        static_cast<double>(answers_) / options_.seconds, static_cast<unsigned long long>(answers_),
        static_cast<unsigned long long>(errors_), due_.size(), latencies_.percentile_ms(0.5),
        latencies_.percentile_ms(0.99), latencies_.percentile_ms(0.999), latencies_.max_ms(), cpu,
        answers_ == 0 ? 0 : cpu * 1e6 / static_cast<double>(answers_), watched_cpu);
    if (answers_ == 0)
      std::fprintf(stderr, "load_generator: no answer came in the measured time\n");
    return errors_ == 0 && answers_ > 0 ? 0 : 1;
  }

  const Options options_;
  const std::vector<std::string> requests_;
  std::vector<Connection> connections_;
  const Address target_;
  std::vector<Connection*> idle_;
  std::vector<Connection*> broken_;
  std::uint64_t revive_at_ns_ = 0;
  std::deque<std::uint64_t> due_;  // arrivals that found no free connection
  bool loopback_ = false;
  int poller_ = -1;
  int clock_ = -1;
  std::uint64_t start_ns_ = 0;
  std::uint64_t measure_from_ns_ = 0;
  std::uint64_t end_ns_ = 0;
  std::uint64_t now_ = 0;
  std::uint64_t arrived_ = 0;
  unsigned opened_ = 0;
  std::size_t asked_ = 0;
  std::uint64_t answers_ = 0;
  std::uint64_t errors_ = 0;
  Histogram latencies_;
};

}  // namespace

int main(int argc, char** argv) { return Generator(parse(argc, argv)).run(); }
