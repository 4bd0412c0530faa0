// Every limit of the data plane in one place: value, unit (in the name) and reason. The asserts at
// the end tie together those that depend on each other.
#pragma once

#include <cstddef>
#include <cstdint>

namespace espora::limits {

// --- event loop -------------------------------------------------------------------------------
// Events fetched from the kernel in one turn. A turn of the database is one commit, so this bounds
// how long the first answer of a turn waits for the last request of it.
inline constexpr int loop_events_max = 256;
// A thread with at least this much to do tries whether SCHED_BATCH helps (sys/scheduling.h); with
// less to do it would make no difference.
inline constexpr uint64_t batch_units_per_second = 5000;
// SCHED_BATCH helps if at least this many units of work are found after each sleep. With three,
// services on a fast machine kept leaving it.
inline constexpr uint64_t batch_units_per_sleep = 2;
// Turns of a loop between two decisions: few enough to cost nothing, enough to follow the load. A
// trial is shorter: next to a process that computes, each of its turns waits for a time slice to
// end.
inline constexpr uint32_t batch_window_turns = 64;
inline constexpr uint32_t batch_trial_turns = 16;
// A decision comes after this time at the latest, at the end of a turn: occasional requests make
// few turns, and must not be delayed because there was much to do before.
inline constexpr uint64_t batch_window_ms = 100;
// Pause between trials; doubles after each trial that did not help.
inline constexpr uint64_t batch_pause_ms = 250;
inline constexpr uint64_t batch_pause_ms_max = 16'000;
// A turn that waited for the disk takes longer; a turn that only forwards seldom does.
inline constexpr uint64_t long_turn_ns = 100'000;

// --- listening --------------------------------------------------------------------------------
// The kernel's queue in front of accept(2); the kernel caps it at net.core.somaxconn.
inline constexpr int listen_backlog = 4096;
// How often to choose another port for a name with several addresses, if the port that the kernel
// chose for the first address is taken on another one.
inline constexpr int listen_port_tries_max = 16;
// Connections accepted from a ready listener before other descriptors get their turn.
inline constexpr int accepts_per_event_max = 64;
// How long accepting pauses after EMFILE, ENFILE, ENOBUFS or ENOMEM, in milliseconds.
inline constexpr uint64_t accept_pause_ms = 50;
// sockaddr_un.sun_path without its terminating NUL, unix(7).
inline constexpr size_t unix_path_bytes_max = 107;

// --- handoff ----------------------------------------------------------------------------------
// Sockets offered to a receiver that has not yet taken them: as many wait if it is stopped. Without
// a bound, a stopped receiver was seen to swallow 8,896.
inline constexpr size_t handoff_unacknowledged_max = 64;
// Sockets in one message; the kernel's limit is 253 (SCM_MAX_FD).
inline constexpr size_t handoff_sockets_max = 64;
// Ids in one packet: reports of ended clients come in larger numbers than sockets.
inline constexpr size_t handoff_ids_max = 256;
// Packets read from one channel before other descriptors get their turn.
inline constexpr int handoff_packets_per_event_max = 8;
// How long the report of an ended client may wait for another message to go with, in milliseconds.
inline constexpr uint64_t handoff_report_delay_ms = 10;
// How long answers may stay unread by a sender that has nothing more to hand over (it keeps its
// copy of a socket as long), in ms. At few clients a second each wait ends with a wake-up.
inline constexpr uint64_t handoff_answers_ms = 50;
// How long after a refusal the answers of a receiver are read at once, in milliseconds.
inline constexpr uint64_t handoff_refusing_ms = 1'000;
// Channels that a receiver holds open: one per sender, and those of senders that just ended.
inline constexpr size_t handoff_channels_max = 256;
// Clients waiting because no receiver has room; accepting pauses above this.
inline constexpr size_t handoff_waiting_max = 256;
// Receive attempts after the first error of a channel: acknowledgements may be queued behind it.
inline constexpr int handoff_reads_after_error_max = 4;

// --- http -------------------------------------------------------------------------------------
// Method, target and version, without the line end: RFC 9112 3 recommends at least 8000.
inline constexpr uint32_t http_request_line_bytes_max = 8 * 1024;
// All field lines with their line ends, those of a trailer section included: 431 above.
inline constexpr uint32_t http_fields_bytes_max = 16 * 1024;
inline constexpr uint32_t http_fields_max = 100;
// Empty lines skipped before a request line: RFC 9112 2.2; old clients send one after a body.
inline constexpr uint32_t http_leading_empty_lines_max = 8;
// The largest configurable body limit: each connection may hold one body in memory.
inline constexpr uint32_t http_body_bytes_max = 1024 * 1024;
// Sizes and extensions of all chunks of a body, without line ends: a body of the default limit in
// chunks of one byte needs a quarter of this.
inline constexpr uint32_t http_chunk_lines_bytes_max = 16 * 1024;

// --- ledger -----------------------------------------------------------------------------------
// 2^53-1: the largest integer that every JSON client holds exactly. Amounts, limits and balances.
inline constexpr int64_t amount_max = (int64_t{1} << 53) - 1;
inline constexpr size_t description_characters_max = 10;
// Four bytes of UTF-8 per character.
inline constexpr size_t description_bytes_max = 4 * description_characters_max;
// Room for an idempotency key in an entry.
inline constexpr size_t entry_key_bytes_max = 64;
// Transactions in a statement.
inline constexpr size_t statement_transactions_max = 10;
// Nesting depth of JSON in a request's body: the reader's stack holds one bit per level.
inline constexpr unsigned json_depth_max = 64;
// Accounts in a table: about 700 bytes of memory each, and 16 in the store, all in one record.
inline constexpr size_t accounts_max = 10'000;
// Accounts that one warning names; the others are only counted.
inline constexpr size_t accounts_named_max = 5;
// The largest answer: a statement of ten transactions whose descriptions consist of six-byte
// escapes takes 1,711 bytes.
inline constexpr size_t answer_body_bytes_max = 1792;

// --- http server ------------------------------------------------------------------------------
// One shared receive buffer serves all connections; an unfinished request moves out of it.
inline constexpr size_t http_receive_bytes = 64 * 1024;
// Portions read from one connection before other connections get their turn.
inline constexpr int http_reads_per_turn_max = 4;
// Answers that the peer has not yet taken; above this no further request of it is parsed.
inline constexpr size_t http_output_bytes_max = 128 * 1024;
// The most memory that a connection keeps between two requests for an unparsed rest.
inline constexpr size_t http_rest_bytes_kept_max = 1024;
// Held answers that a connection keeps room for without allocating again.
inline constexpr size_t http_held_kept_max = 16;
// Output buffers kept for reuse, and the largest one that is kept.
inline constexpr size_t http_spare_buffers_max = 256;
inline constexpr size_t http_spare_buffer_bytes_max = 16 * 1024;
// A peer that takes nothing of its answers for this long is disconnected.
inline constexpr uint64_t http_write_timeout_ms = 10'000;
// A lingering close discards at most this much for at most this long, RFC 9112 9.6.
inline constexpr size_t http_linger_bytes_max = 64 * 1024;
inline constexpr uint64_t http_linger_ms = 2'000;
// While draining, a connection without a request so far is given this long: its first request may
// be on its way, and its client was not told that the connection would close.
inline constexpr uint64_t http_drain_grace_ms = 500;

// --- forward ----------------------------------------------------------------------------------
// Upstreams of one forwarder: one bit each in every session that is still connecting.
inline constexpr size_t upstreams_max = 256;
// Addresses of one name that are used: one bit each in every session that is still connecting.
inline constexpr size_t addresses_max = 64;
// How long an address is left out after it took no connection, if its name has others, in
// milliseconds; doubles from the first value to the second.
inline constexpr uint64_t address_rest_ms = 1'000;
inline constexpr uint64_t address_rest_ms_max = 30'000;
// Weight of an upstream.
inline constexpr uint32_t upstream_weight_max = 1000;
// Upstreams whose counters are kept, including removed ones.
inline constexpr size_t upstream_counters_max = 1024;
// Consecutive failures whose times are remembered.
inline constexpr uint32_t eject_after_max = 64;
// An upstream that closes a connection within this time, in milliseconds, refused it, even if its
// client had sent nothing yet; later it has only timed out that client.
inline constexpr uint64_t early_end_ms = 1'000;
// Between two checks of an upstream that was ejected because it took no connections: it is in use
// again within a second after it recovered.
inline constexpr uint64_t recheck_ms = 250;
// Names resolved at once, each on its own thread: a dead name server holds one for 10 s or more.
inline constexpr size_t resolver_threads_max = 16;
// How long start-up waits for the name to listen on to be resolved, in milliseconds.
inline constexpr uint64_t listen_resolve_ms = 3'000;
// While connects to a name fail, it is resolved again at most this often, in milliseconds.
inline constexpr uint64_t resolve_again_ms = 1'000;
// The longest status line of an answer to a health check.
inline constexpr size_t check_answer_bytes_max = 64;
// Interim answers (1xx) before the answer to a check, above which the check fails; and the bytes of
// an answer that are read at once.
inline constexpr unsigned check_interim_answers_max = 16;
inline constexpr size_t check_read_bytes = 512;
// The most that one recv takes, and the size of a lent buffer: below the default socket buffers, so
// that a full read usually fits the other side, and small enough for the second-level cache.
inline constexpr size_t relay_buffer_bytes = 64 * 1024;
// Buffers lent at once, over all sessions of a forwarder: 8 MiB. When all are lent, bytes stay in
// the kernel: they are peeked (MSG_PEEK), sent, and only then taken.
inline constexpr size_t relay_buffers_max = 128;
// Buffers kept for the next loan; others are freed.
inline constexpr size_t relay_buffers_kept_max = 8;
// Full buffers read from one socket before other descriptors get their turn.
inline constexpr int relay_reads_per_event_max = 16;
// The most that one splice takes: a pipe's default capacity, pipe(7).
inline constexpr size_t pipe_bytes = 64 * 1024;
// Pipes lent at once, over all sessions of a forwarder: two descriptors and 64 KiB of kernel memory
// each, and an unprivileged user may have 1,024 of them. When all are lent, bytes are copied.
inline constexpr size_t pipes_max = 64;
// Pipes kept for the next loan.
inline constexpr size_t pipes_kept_max = 16;
// Consecutive full buffers after which a direction counts as a stream and is spliced.
inline constexpr unsigned splice_after_buffers = 2;
// A stream that moves less than this between two pauses is no longer one: below it splice costs
// more than the copy that it saves.
inline constexpr size_t splice_bytes_min = 16 * 1024;
// The longest PROXY header that is accepted, including extensions; the longest that is written.
inline constexpr size_t proxy_header_bytes_max = 4096;
inline constexpr size_t proxy_header_written_bytes = 52;
// How long a client that must send a PROXY header may take to do so, in milliseconds.
inline constexpr uint64_t proxy_header_wait_ms = 5'000;
// A shortage that recurs within this time, in milliseconds, is not reported again.
inline constexpr uint64_t shortage_report_ms = 10'000;
// A session without visible progress for its whole idle time, while its peers have bytes to take,
// is checked again after this fraction of that time: it ends if they took none in between.
inline constexpr uint64_t idle_looks = 4;
// Turned-away clients are reported at most this often, in milliseconds.
inline constexpr uint64_t refusal_report_ms = 10'000;
// Pause before a connect is retried when no event will tell (a full backlog, a shortage of our
// own), in milliseconds; doubles from the first value to the second.
inline constexpr uint64_t connect_retry_ms = 2;
inline constexpr uint64_t connect_retry_ms_max = 64;
// A reset is passed on when the bytes before it have been acknowledged: how often to check,
// doubling, and the longest wait, in milliseconds.
inline constexpr uint64_t reset_check_ms = 2;
inline constexpr uint64_t reset_check_ms_max = 50;
inline constexpr uint64_t reset_wait_ms_max = 5'000;

// --- store ------------------------------------------------------------------------------------
// Size of a segment's file in bytes: rolling (four flushes) once per 64 MiB has no visible cost,
// and opening reads at most this much of the last segment. The minimum, 1 MiB, is for tests.
inline constexpr uint64_t segment_bytes_default = uint64_t{64} << 20;
#ifdef ESPORA_SIMULATION
// Eight blocks: a simulated store rolls after a few batches.
inline constexpr uint64_t segment_bytes_min = uint64_t{32} << 10;
#else
inline constexpr uint64_t segment_bytes_min = uint64_t{1} << 20;
#endif
inline constexpr uint64_t segment_bytes_max = uint64_t{256} << 20;
// The largest number with eight decimal digits.
inline constexpr uint32_t segment_number_max = 99'999'999;
// A batch with its header and padding: bounds memory (two buffers per store), the time of one
// write, and what one torn write can destroy.
#ifdef ESPORA_SIMULATION
inline constexpr size_t batch_bytes_max = size_t{16} << 10;
#else
inline constexpr size_t batch_bytes_max = size_t{1} << 20;
#endif
// A segment's file is a multiple of this, see FORMAT.md.
#ifdef ESPORA_SIMULATION
inline constexpr size_t segment_bytes_step = size_t{8} << 10;
#else
inline constexpr size_t segment_bytes_step = size_t{256} << 10;
#endif
// Zero-filling a spare: done in one burst, it raised the p99 of concurrent writes and flushes from
// 0.2 to 17 ms; in steps of 256 KiB with pauses of 2 ms, from 1.1 to 14 ms; in these steps it has
// no visible effect. That is 8 MB/s; a preparer that is less than twice as far as the segment in
// use skips its pauses.
#ifdef ESPORA_SIMULATION
inline constexpr size_t spare_step_bytes = size_t{8} << 10;
#else
inline constexpr size_t spare_step_bytes = size_t{64} << 10;
#endif
inline constexpr uint64_t spare_pause_ns = 8'000'000;
// After a failed preparation the next attempt, with a new file, waits this long.
inline constexpr uint64_t spare_retry_ns = 1'000'000'000;
// How long after the last commit a seal is written: late enough not to delay a busy store, early
// enough that little remains unproven on an idle one.
inline constexpr uint64_t seal_idle_ns = 100'000'000;
// Between two attempts to lock a store that another process holds.
inline constexpr uint64_t lock_pause_ns = 20'000'000;
// Bytes per read of a segment, by opening and by tools: they need about four times this much
// memory, plus the size of the largest frames.
#ifdef ESPORA_SIMULATION
inline constexpr size_t store_read_bytes = size_t{16} << 10;
#else
inline constexpr size_t store_read_bytes = size_t{1} << 20;
#endif
// A frame of a dense segment is filled up to this size: the cost of reading one record, and 0.1 %
// of overhead. A larger record has a frame of its own.
#ifdef ESPORA_SIMULATION
inline constexpr size_t dense_frame_bytes = size_t{8} << 10;
#else
inline constexpr size_t dense_frame_bytes = size_t{64} << 10;
#endif
// The largest frame: the only record of the largest batch, with the header of its run.
inline constexpr size_t dense_frame_bytes_max = batch_bytes_max + 4096;
// Rewriting and snapshots read and write in steps of this size with these pauses, as filling a
// spare does: 8 MB/s, without a noticeable effect on concurrent commits.
inline constexpr size_t housekeeping_step_bytes = size_t{64} << 10;
inline constexpr uint64_t housekeeping_pause_ns = 8'000'000;
// After a failure (no space, a failed write) the next attempt, with a new file, waits this long.
inline constexpr uint64_t housekeeping_retry_ns = 5'000'000'000;
// With more closed segments than this waiting there are no pauses: disk space and the time of
// opening must stay bounded. With as many lacking a snapshot, it comes before rewriting.
inline constexpr uint32_t housekeeping_backlog_max = 2;
// Snapshots kept: the newest and its predecessor.
inline constexpr size_t snapshots_kept = 2;
// The largest snapshot file: ten thousand accounts with ten transactions each take 8 MiB.
inline constexpr size_t snapshot_bytes_max = size_t{64} << 20;
// Segments whose frame positions are remembered for reading: at most 16 bytes per block.
inline constexpr size_t reader_segments_max = 8;
// What a read for the library holds in memory at once: enough to make the call cheap.
inline constexpr uint32_t read_portion_records_max = 4096;
inline constexpr size_t read_portion_bytes_max = size_t{1} << 20;
// The kind of a store and the schema of its records, as in STORE.
inline constexpr size_t store_kind_bytes_max = 64;
inline constexpr size_t store_schema_bytes_max = size_t{1} << 20;

// If a socket turns out not to support splice, the bytes in its pipe must fit a lent buffer.
static_assert(pipe_bytes <= relay_buffer_bytes);
static_assert(proxy_header_bytes_max <= relay_buffer_bytes);
static_assert(handoff_sockets_max <= 253 && handoff_sockets_max <= handoff_ids_max);
static_assert(segment_bytes_min <= segment_bytes_default);
static_assert(segment_bytes_default <= segment_bytes_max);
static_assert(segment_bytes_min % segment_bytes_step == 0 && batch_bytes_max % 4096 == 0);
static_assert(segment_bytes_step % spare_step_bytes == 0 && spare_step_bytes % 4096 == 0);
static_assert(store_read_bytes % 4096 == 0);
static_assert(housekeeping_step_bytes % 4096 == 0);
static_assert(dense_frame_bytes % 4096 == 0 && dense_frame_bytes <= batch_bytes_max);

}  // namespace espora::limits
