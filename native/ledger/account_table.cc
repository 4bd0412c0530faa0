#include "ledger/account_table.h"

#include <algorithm>
#include <cstring>

#include "ledger/little_endian.h"
#include "sys/limits.h"

namespace espora::ledger {

namespace {

constexpr char table_magic[] = {'A', 'C', 'C', 'T'};
constexpr uint16_t table_version = 1;
constexpr size_t table_header_bytes = 16;
constexpr size_t table_account_bytes = 16;

sys::Status corrupt_table(std::string message) {
  return {sys::Code::corrupt, "stored table of accounts: " + std::move(message)};
}

}  // namespace

sys::Result<AccountTable> AccountTable::create(std::vector<AccountLimit> accounts) {
  const auto invalid = [](std::string message) {
    return sys::Status(sys::Code::invalid, std::move(message));
  };
  if (accounts.empty()) return invalid("The table of accounts is empty; give at least one.");
  if (accounts.size() > limits::accounts_max) {
    return invalid("The table has " + std::to_string(accounts.size()) + " accounts; at most " +
                   std::to_string(limits::accounts_max) + " are possible.");
  }
  std::sort(accounts.begin(), accounts.end(),
            [](const AccountLimit& a, const AccountLimit& b) { return a.id < b.id; });
  for (size_t i = 0; i < accounts.size(); ++i) {
    const AccountLimit& account = accounts[i];
    if (account.id == 0) return invalid("Account 0 cannot exist: ids start at 1.");
    if (i > 0 && accounts[i - 1].id == account.id) {
      return invalid("Account " + std::to_string(account.id) + " is given twice.");
    }
    if (account.limit < 0 || account.limit > limits::amount_max) {
      return invalid("Account " + std::to_string(account.id) + " has the limit " +
                     std::to_string(account.limit) + "; it must be 0 to 2^53-1 cents.");
    }
  }
  return AccountTable(std::move(accounts));
}

AccountTable AccountTable::contest() {
  return AccountTable({{1, 100'000}, {2, 80'000}, {3, 1'000'000}, {4, 10'000'000}, {5, 500'000}});
}

sys::Result<AccountTable> AccountTable::with(const AccountTable& more) const {
  std::vector<AccountLimit> all = accounts_;
  for (const AccountLimit& account : more.accounts_) {
    if (find(account.id) == nullptr) all.push_back(account);
  }
  if (all.size() > limits::accounts_max) {
    return sys::Status(sys::Code::invalid,
                       "The store has " + std::to_string(accounts_.size()) + " accounts and " +
                           std::to_string(all.size() - accounts_.size()) +
                           " more were given; at most " + std::to_string(limits::accounts_max) +
                           " are possible.");
  }
  return create(std::move(all));
}

const AccountLimit* AccountTable::find(uint32_t id) const noexcept {
  const auto at =
      std::lower_bound(accounts_.begin(), accounts_.end(), id,
                       [](const AccountLimit& each, uint32_t wanted) { return each.id < wanted; });
  return at != accounts_.end() && at->id == id ? &*at : nullptr;
}

std::vector<std::byte> AccountTable::encode() const {
  std::vector<std::byte> bytes(table_header_bytes + table_account_bytes * accounts_.size());
  std::byte* at = bytes.data();
  std::memcpy(at, table_magic, sizeof(table_magic));
  store_u16(at + 4, table_version);
  store_u32(at + 8, static_cast<uint32_t>(accounts_.size()));
  at += table_header_bytes;
  for (const AccountLimit& account : accounts_) {
    store_u32(at, account.id);
    store_u64(at + 8, static_cast<uint64_t>(account.limit));
    at += table_account_bytes;
  }
  return bytes;
}

sys::Result<AccountTable> AccountTable::decode(std::span<const std::byte> bytes) {
  if (bytes.size() < table_header_bytes ||
      std::memcmp(bytes.data(), table_magic, sizeof(table_magic)) != 0) {
    return corrupt_table("it does not begin as one");
  }
  if (const uint16_t version = load_u16(&bytes[4]); version != table_version) {
    return sys::Status(sys::Code::version, "stored table of accounts: its format is version " +
                                               std::to_string(version) + ", this program's is " +
                                               std::to_string(table_version));
  }
  const size_t count = load_u32(&bytes[8]);
  if (bytes.size() != table_header_bytes + table_account_bytes * count) {
    return corrupt_table("it has " + std::to_string(bytes.size()) + " bytes for " +
                         std::to_string(count) + " accounts");
  }
  std::vector<AccountLimit> accounts(count);
  for (size_t i = 0; i < count; ++i) {
    const std::byte* at = &bytes[table_header_bytes + table_account_bytes * i];
    accounts[i] = {load_u32(at), static_cast<int64_t>(load_u64(at + 8))};
  }
  sys::Result<AccountTable> table = create(std::move(accounts));
  if (!table.ok()) return corrupt_table(table.status().message());
  const std::vector<std::byte> again = table.value().encode();
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) {
    return corrupt_table("its accounts are out of order, or reserved bytes are not zero");
  }
  return table;
}

}  // namespace espora::ledger
