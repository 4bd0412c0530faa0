#include "ledger/entry_codec.h"

#include <cstring>

#include "engine/utf8.h"
#include "ledger/little_endian.h"
#include "sys/check.h"

namespace espora::ledger {

namespace {

constexpr size_t account_at = 0;
constexpr size_t kind_at = 4;
constexpr size_t description_bytes_at = 5;
constexpr size_t key_bytes_at = 6;
constexpr size_t reserved_at = 7;
constexpr size_t amount_at = 8;
constexpr size_t balance_at = 16;
constexpr size_t time_at = 24;
static_assert(time_at + 8 == entry_fixed_bytes);

constexpr size_t padded(size_t bytes) noexcept { return (bytes + 7) & ~size_t{7}; }

sys::Status corrupt_entry(const char* what) {
  return {sys::Code::corrupt, std::string("ledger entry: ") + what};
}

// Whether it has 1 to 10 code points of well-formed UTF-8.
bool is_description(std::string_view text) noexcept {
  size_t characters = 0;
  const char* at = text.data();
  const char* end = at + text.size();
  while (at < end) {
    const unsigned bytes = engine::utf8_sequence_bytes(at, end);
    if (bytes == 0 || ++characters > limits::description_characters_max) return false;
    at += bytes;
  }
  return characters > 0;
}

}  // namespace

size_t encoded_entry_bytes(const Entry& entry) noexcept {
  return padded(entry_fixed_bytes + entry.transaction.description.view().size() + entry.key.size());
}

size_t encode_entry(const Entry& entry, std::span<std::byte> out) noexcept {
  const std::string_view description = entry.transaction.description.view();
  const size_t bytes = encoded_entry_bytes(entry);
  ESPORA_CHECK(out.size() >= bytes && entry.key.size() <= limits::entry_key_bytes_max);
  std::byte* at = out.data();
  store_u32(at + account_at, entry.account_id);
  at[kind_at] = static_cast<std::byte>(entry.transaction.kind);
  at[description_bytes_at] = static_cast<std::byte>(description.size());
  at[key_bytes_at] = static_cast<std::byte>(entry.key.size());
  at[reserved_at] = std::byte{0};
  store_u64(at + amount_at, static_cast<uint64_t>(entry.transaction.amount));
  store_u64(at + balance_at, static_cast<uint64_t>(entry.balance_after));
  store_u64(at + time_at, entry.time_us);
  store_u64(at + bytes - 8, 0);  // the padding; its other bytes are overwritten below
  std::memcpy(at + entry_fixed_bytes, description.data(), description.size());
  if (!entry.key.empty()) {
    std::memcpy(at + entry_fixed_bytes + description.size(), entry.key.data(), entry.key.size());
  }
  return bytes;
}

sys::Result<Entry> decode_entry(std::span<const std::byte> bytes) {
  if (bytes.size() < entry_fixed_bytes) return corrupt_entry("it is shorter than its fixed part");
  const std::byte* at = bytes.data();
  const size_t description_bytes = std::to_integer<size_t>(at[description_bytes_at]);
  const size_t key_bytes = std::to_integer<size_t>(at[key_bytes_at]);
  const size_t used = entry_fixed_bytes + description_bytes + key_bytes;
  if (description_bytes > limits::description_bytes_max ||
      key_bytes > limits::entry_key_bytes_max || bytes.size() != padded(used)) {
    return corrupt_entry("its lengths contradict each other");
  }
  for (size_t i = used; i < bytes.size(); ++i) {
    if (at[i] != std::byte{0}) return corrupt_entry("its padding is not zero");
  }
  if (at[reserved_at] != std::byte{0}) return corrupt_entry("its reserved byte is not zero");
  const auto kind = static_cast<Kind>(at[kind_at]);
  if (kind != Kind::credit && kind != Kind::debit) {
    return corrupt_entry("it is neither credit nor debit");
  }

  const char* text = reinterpret_cast<const char*>(at) + entry_fixed_bytes;
  const std::string_view description(text, description_bytes);
  if (!is_description(description)) {
    return corrupt_entry("its description is not 1 to 10 characters");
  }

  Entry entry;
  entry.account_id = load_u32(at + account_at);
  entry.balance_after = static_cast<int64_t>(load_u64(at + balance_at));
  entry.time_us = load_u64(at + time_at);
  entry.transaction.amount = static_cast<int64_t>(load_u64(at + amount_at));
  entry.transaction.kind = kind;
  entry.transaction.description = Description(description);
  entry.key = {text + description_bytes, key_bytes};
  if (entry.transaction.amount < 1 || entry.transaction.amount > limits::amount_max) {
    return corrupt_entry("its amount is not 1 to 2^53-1");
  }
  if (entry.balance_after < -limits::amount_max || entry.balance_after > limits::amount_max) {
    return corrupt_entry("its balance is beyond 2^53-1");
  }
  return entry;
}

}  // namespace espora::ledger
