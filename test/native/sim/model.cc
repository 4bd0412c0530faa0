#include "sim/model.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "ledger/entry_codec.h"

namespace espora::sim {

const char* invariant_text(int invariant) noexcept {
  static constexpr std::array texts = {
      "none",
      "every acknowledged append is there, byte for byte, with the same sequence",
      "the recovered log is an exact prefix of what was submitted and not refused, batches whole",
      "nothing is invented, nothing is there twice",
      "recovering twice gives the same log",
      "in strict mode nothing that was not durable was ever visible",
      "crashes and errors alone never yield a corrupt store",
      "damage at or below what is proven never yields a shorter log in silence",
      "after the first failed write or flush nothing above the durable sequence resolves",
      "the ledger's limits hold at every prefix, and replay gives the model's state",
      "time never decreases",
      "when faults stop, progress resumes",
      "the same seed gives the same trace",
      "where nobody has a store open, every tool shows exactly what opening takes",
      "whatever is asked is answered once, in its order, and the store holds what the answer says",
      "a start on a full disk shows what a start with space does, or says that it does not",
      "a copy is on the device when it is reported, and before that no store",
      "a repair has every record that lies whole on the disk, counts the others, and opens",
  };
  return texts[static_cast<size_t>(invariant)];
}

void Model::raise_floor(uint64_t seq) noexcept { floor_ = std::max(floor_, std::min(seq, last())); }

void Model::recovered(uint64_t seq) {
  for (; seq < records_.size(); records_.pop_back()) {
    given_up_.emplace(records_.size(), std::move(records_.back()));
  }
  floor_ = records_.size();
}

bool Model::whole_batches(uint64_t seq) const {
  return seq == 0 || seq >= last() || at(seq).batch != at(seq + 1).batch;
}

bool Model::was_given_up(const store::RecordView& record) const {
  const auto [begin, end] = given_up_.equal_range(record.seq);
  return std::any_of(begin, end, [&](const auto& each) {
    const Submitted& one = each.second;
    return record.type == one.type && record.flags == one.flags && record.time_us == one.time_us &&
           std::string_view(reinterpret_cast<const char*>(record.bytes.data()),
                            record.bytes.size()) == one.bytes;
  });
}

std::string Model::mismatch(const store::RecordView& record) const {
  const std::string which = "record " + std::to_string(record.seq) + " ";
  if (record.seq == 0 || record.seq > last()) {
    return which + "was never submitted: the last one is " + std::to_string(last());
  }
  const Submitted& submitted = at(record.seq);
  if (record.type != submitted.type || record.flags != submitted.flags) {
    return which + "has another type or flags";
  }
  if (record.bytes.size() != submitted.bytes.size() ||
      std::memcmp(record.bytes.data(), submitted.bytes.data(), submitted.bytes.size()) != 0) {
    return which + "has other bytes than were submitted";
  }
  if (record.time_us != submitted.time_us) {
    return which + "has the time " + std::to_string(record.time_us) + " instead of " +
           std::to_string(submitted.time_us);
  }
  return {};
}

void Model::submit(const ledger::Account& account, const ledger::Transaction& transaction,
                   uint64_t time_us, uint64_t batch) {
  const ledger::Entry entry{
      account.id(), account.balance(), account.last_time_us(), transaction, {}};
  Submitted record;
  record.type = ledger::entry_record_type;
  record.bytes.resize(ledger::encoded_entry_bytes(entry));
  (void)ledger::encode_entry(entry, std::as_writable_bytes(std::span(record.bytes)));
  record.time_us = time_us;
  record.batch = batch;
  record.account = account.id();
  const bool is_credit = transaction.kind == ledger::Kind::credit;
  record.change = is_credit ? transaction.amount : -transaction.amount;
  submit(std::move(record));
}

std::map<uint32_t, int64_t> Model::balances(uint64_t seq) const {
  std::map<uint32_t, int64_t> balances;
  for (uint64_t i = 1; i <= seq; i++) {
    if (at(i).account != 0) balances[at(i).account] += at(i).change;
  }
  return balances;
}

std::string Model::ledger_mismatch(const ledger::Ledger& ledger, uint64_t seq) const {
  struct State {
    int64_t balance = 0;
    std::vector<int64_t> past;  // oldest first
  };
  std::map<uint32_t, State> states;
  for (uint64_t i = 1; i <= seq; i++) {
    if (at(i).account == 0) continue;
    State& state = states[at(i).account];
    state.balance += at(i).change;
    state.past.push_back(at(i).change);
  }
  for (const ledger::Account& account : ledger.accounts()) {
    const State& state = states[account.id()];
    const std::string who = "account " + std::to_string(account.id()) + " ";
    if (account.balance() != state.balance) {
      return who + "has " + std::to_string(account.balance()) + " instead of " +
             std::to_string(state.balance);
    }
    const size_t kept = std::min(state.past.size(), limits::statement_transactions_max);
    if (account.past_count() != kept) return who + "remembers another number of transactions";
    for (size_t age = 0; age < kept; age++) {
      const ledger::Transaction& past = account.past(age).transaction;
      const int64_t change = past.kind == ledger::Kind::credit ? past.amount : -past.amount;
      if (change != state.past[state.past.size() - 1 - age]) {
        return who + "remembers another transaction " + std::to_string(age);
      }
    }
    states.erase(account.id());
  }
  for (const auto& [id, state] : states) {
    if (!state.past.empty()) return "account " + std::to_string(id) + " is missing";
  }
  return {};
}

}  // namespace espora::sim
