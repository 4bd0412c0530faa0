#include "ledger/ledger_state.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "ledger/entry_codec.h"
#include "ledger/little_endian.h"

namespace espora::ledger {

namespace {

constexpr char magic[] = {'L', 'E', 'D', 'G'};
constexpr uint16_t state_version = 1;
constexpr uint16_t state_version_lost = 2;
constexpr size_t header_bytes = 24;
constexpr size_t header_bytes_lost = 32;
constexpr size_t account_bytes = 32;
constexpr size_t past_fixed_bytes = 18;

constexpr size_t past_bytes(size_t description) noexcept {
  return (past_fixed_bytes + description + 7) & ~size_t{7};
}

sys::Status corrupt(const std::string& what) {
  return {sys::Code::corrupt, "snapshot of the ledger: " + what};
}

void put_past(std::vector<std::byte>& bytes, const PastTransaction& past) {
  const std::string_view description = past.transaction.description.view();
  const size_t at = bytes.size();
  bytes.resize(at + past_bytes(description.size()));
  std::byte* place = &bytes[at];
  store_u64(place, past.time_us);
  store_u64(place + 8, static_cast<uint64_t>(past.transaction.amount));
  place[16] = static_cast<std::byte>(past.transaction.kind);
  place[17] = static_cast<std::byte>(description.size());
  std::memcpy(place + past_fixed_bytes, description.data(), description.size());
}

// Takes a past transaction from the front of `bytes`; false if there is none.
bool take_past(std::span<const std::byte>& bytes, PastTransaction& past) noexcept {
  if (bytes.size() < past_fixed_bytes) return false;
  const size_t description = std::to_integer<size_t>(bytes[17]);
  const size_t size = past_bytes(description);
  if (description > limits::description_bytes_max || bytes.size() < size) return false;
  past.time_us = load_u64(&bytes[0]);
  past.transaction.amount = static_cast<int64_t>(load_u64(&bytes[8]));
  past.transaction.kind = static_cast<Kind>(bytes[16]);
  past.transaction.description =
      Description({reinterpret_cast<const char*>(bytes.data()) + past_fixed_bytes, description});
  bytes = bytes.subspan(size);
  return past.transaction.kind == Kind::credit || past.transaction.kind == Kind::debit;
}

}  // namespace

sys::Status replay_record(Ledger& ledger, const store::RecordView& record) {
  if (record.type == store::lost_record_type) {
    ledger.lose(record.seq);
    return {};
  }
  if (record.type != entry_record_type) return {};  // of a later version; can be skipped
  const auto entry = decode_entry(record.bytes);
  if (!entry.ok()) return entry.status();
  return ledger.replay(entry.value(), record.seq);
}

std::string LedgerState::remark(const store::RecordView& applied) const {
  if (applied.type != entry_record_type || ledger_.correction() == 0) return {};
  const auto entry = decode_entry(applied.bytes);
  if (!entry.ok()) return {};
  const int64_t by = ledger_.correction();
  return "record " + std::to_string(applied.seq) + " corrects the balance of account " +
         std::to_string(entry.value().account_id) + " by " + (by > 0 ? "+" : "") +
         std::to_string(by) + ", for records that were lost before it";
}

std::vector<std::string> LedgerState::doubts() const {
  std::vector<std::string> doubts;
  for (const Account& account : ledger_.accounts()) {
    if (!ledger_.doubtful(account)) continue;
    doubts.push_back("account " + std::to_string(account.id()) + " has a balance of " +
                     std::to_string(account.balance()) +
                     (account.last_change_seq() == 0
                          ? " without a record"
                          : " by record " + std::to_string(account.last_change_seq())) +
                     "; records that were lost after that may have changed it");
  }
  return doubts;
}

std::vector<std::byte> Ledger::encode_state() const {
  const bool lost = last_lost_seq_ != 0;
  std::vector<std::byte> bytes(lost ? header_bytes_lost : header_bytes);
  uint32_t count = 0;
  for (const uint32_t place : by_id_) {
    const Account& account = accounts_[place];
    if (account.last_change_seq_ == 0) continue;
    count++;
    const size_t at = bytes.size();
    bytes.resize(at + account_bytes);
    std::byte* out = &bytes[at];
    store_u32(out, account.id_);
    out[4] = static_cast<std::byte>(account.past_count_);
    store_u64(out + 8, static_cast<uint64_t>(account.balance_));
    store_u64(out + 16, account.last_change_seq_);
    store_u64(out + 24, account.last_time_us_);
    for (size_t age = account.past_count_; age-- > 0;) put_past(bytes, account.past(age));
  }
  std::memcpy(bytes.data(), magic, sizeof magic);
  store_u16(&bytes[4], lost ? state_version_lost : state_version);
  store_u32(&bytes[8], count);
  store_u64(&bytes[16], last_change_seq_);
  if (lost) store_u64(&bytes[24], last_lost_seq_);
  return bytes;
}

sys::Status Ledger::restore_state(std::span<const std::byte> given) {
  std::span<const std::byte> bytes = given;
  if (bytes.size() < header_bytes || std::memcmp(bytes.data(), magic, sizeof magic) != 0) {
    return corrupt("it does not begin as one");
  }
  const uint16_t version = load_u16(&bytes[4]);
  if (version != state_version && version != state_version_lost) {
    return sys::Status(sys::Code::version, "snapshot of the ledger: its format is version " +
                                               std::to_string(version) + ", this program's is " +
                                               std::to_string(state_version) + " or " +
                                               std::to_string(state_version_lost));
  }
  const size_t header = version == state_version ? header_bytes : header_bytes_lost;
  if (bytes.size() < header) return corrupt("it does not begin as one");
  const uint32_t count = load_u32(&bytes[8]);
  last_change_seq_ = load_u64(&bytes[16]);
  if (version == state_version_lost) last_lost_seq_ = load_u64(&bytes[24]);
  bytes = bytes.subspan(header);
  for (uint32_t i = 0; i < count; i++) {
    if (bytes.size() < account_bytes) return corrupt("it ends too early");
    const std::byte* at = bytes.data();
    const uint32_t id = load_u32(at);
    Account* account = find(id);
    if (account == nullptr) {
      return corrupt("account " + std::to_string(id) + " is not in the table");
    }
    const size_t past_count = std::to_integer<size_t>(at[4]);
    const auto balance = static_cast<int64_t>(load_u64(at + 8));
    const uint64_t last_change_seq = load_u64(at + 16);
    const uint64_t last_time_us = load_u64(at + 24);
    if (past_count > limits::statement_transactions_max) return corrupt("too many transactions");
    bytes = bytes.subspan(account_bytes);
    for (size_t k = 0; k < past_count; k++) {
      PastTransaction past;
      if (!take_past(bytes, past)) return corrupt("a transaction in it is invalid");
      account->change(past.transaction, balance, past.time_us, last_change_seq);
    }
    account->last_time_us_ = last_time_us;
  }
  // Any other error, including duplicates and reserved bytes, encodes to different bytes.
  const std::vector<std::byte> again = encode_state();
  if (!std::equal(again.begin(), again.end(), given.begin(), given.end())) {
    return corrupt("it contradicts itself");
  }
  return {};
}

}  // namespace espora::ledger
