// The ledger decides about a transaction and lets it take effect: the accounts of the contest.

#include <cstdint>
#include <limits>
#include <vector>

#include "ledger/ledger.h"
#include "measure.h"
#include "trials.h"
#include "values.h"

namespace espora::bench {
namespace {

class ApplyTrial final : public Napi::ObjectWrap<ApplyTrial> {
 public:
  // new ApplyTrial(entries): their accounts, kinds, amounts, times and descriptions count
  explicit ApplyTrial(const Napi::CallbackInfo& info)
      : ObjectWrap(info),
        ledger_(ledger::AccountTable::contest()),
        entries_(entries_of(info[0])),
        cycle_(entries_.size()) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "ApplyTrial",
        {InstanceMethod<&ApplyTrial::one>("one"), InstanceMethod<&ApplyTrial::loop>("loop"),
         InstanceMethod<&ApplyTrial::state>("state")});
  }

 private:
  // Whether the transaction was accepted; `entry` is then what to write.
  bool apply(uint32_t account_id, const ledger::Transaction& transaction, uint64_t now_us,
             ledger::Entry& entry) {
    ledger::Account* account = ledger_.find(account_id);
    if (account == nullptr) return false;
    const ledger::Decision decision = ledger::decide(*account, transaction);
    if (decision.result != engine::Result::applied) return false;
    entry = ledger_.apply(*account, transaction, decision.balance_after, now_us, ++sequence_);
    return true;
  }

  // one(account, credit, amount, time, description): the balance after it, or NaN for a refusal
  Napi::Value one(const Napi::CallbackInfo& info) {
    ledger::Transaction transaction;
    transaction.kind =
        info[1].As<Napi::Boolean>().Value() ? ledger::Kind::credit : ledger::Kind::debit;
    transaction.amount = info[2].As<Napi::Number>().Int64Value();
    transaction.description = description_of(info.Env(), info[4]);
    ledger::Entry entry;
    const bool accepted =
        apply(info[0].As<Napi::Number>().Uint32Value(), transaction,
              static_cast<uint64_t>(info[3].As<Napi::Number>().Int64Value()), entry);
    return Napi::Number::New(info.Env(), accepted ? static_cast<double>(entry.balance_after)
                                                  : std::numeric_limits<double>::quiet_NaN());
  }

  // loop(iterations): nanoseconds
  Napi::Value loop(const Napi::CallbackInfo& info) {
    ledger::Entry entry;
    return Napi::Number::New(info.Env(), time_ns(iterations_of(info, 0), [&] {
                               const ledger::Entry& next = entries_[cycle_.next()];
                               keep(apply(next.account_id, next.transaction, next.time_us, entry));
                               keep(entry);
                             }));
  }

  // state(): per account its balance, and how many transactions changed it or all before it
  Napi::Value state(const Napi::CallbackInfo& info) {
    auto balances = Napi::Array::New(info.Env());
    for (const ledger::Account& account : ledger_.accounts()) {
      balances.Set(balances.Length(),
                   Napi::Number::New(info.Env(), static_cast<double>(account.balance())));
      balances.Set(balances.Length(),
                   Napi::Number::New(info.Env(), static_cast<double>(account.last_change_seq())));
    }
    return balances;
  }

  ledger::Ledger ledger_;
  std::vector<ledger::Entry> entries_;
  Cycle cycle_;
  uint64_t sequence_ = 0;
};

}  // namespace

Napi::Function define_apply_trial(Napi::Env env) { return ApplyTrial::define(env); }

}  // namespace espora::bench
