// The counters of the local engine.
#pragma once

#include "sys/counter.h"

namespace espora::ledger {

// Counters since start, written by the loop's thread, read by any. Everything counted is durable,
// or acknowledged in a relaxed mode.
struct Stats {
  sys::Counter transactions;
  sys::Counter acknowledged_seq;
  sys::Counter durable_seq;
  sys::Counter commits;
  sys::Counter commit_ns;  // sum over all commits
  sys::Counter commit_ns_max;
  sys::Counter flushes;
  sys::Counter bytes_written;
  sys::Counter parked;  // requests that had to wait for space or for a batch
  // From the store's housekeeping: see store::HousekeepingStats.
  sys::Counter segments_rewritten;
  sys::Counter rewrite_saved_bytes;
  sys::Counter rewrite_failures;
  sys::Counter segments_damaged;
  sys::Counter snapshots;
  sys::Counter snapshot_failures;
};

// Each counter, under its name in ts/metrics/table.ts.
template <typename Each>
void for_each_counter(const Stats& stats, const Each& each) {
  each("transactions", stats.transactions);
  each("acknowledgedSeq", stats.acknowledged_seq);
  each("durableSeq", stats.durable_seq);
  each("commits", stats.commits);
  each("commitNs", stats.commit_ns);
  each("commitNsMax", stats.commit_ns_max);
  each("flushes", stats.flushes);
  each("bytesWritten", stats.bytes_written);
  each("parked", stats.parked);
  each("segmentsRewritten", stats.segments_rewritten);
  each("rewriteSavedBytes", stats.rewrite_saved_bytes);
  each("rewriteFailures", stats.rewrite_failures);
  each("segmentsDamaged", stats.segments_damaged);
  each("snapshots", stats.snapshots);
  each("snapshotFailures", stats.snapshot_failures);
}

}  // namespace espora::ledger
