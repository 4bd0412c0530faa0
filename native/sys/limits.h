// Every limit of the data plane in one place: value, unit (in the name) and reason. The asserts at
// the end tie together those that depend on each other.
#pragma once

#include <cstddef>
#include <cstdint>

namespace espora::limits {

// --- event loop -------------------------------------------------------------------------------
// Events taken from the kernel in one turn: a turn of the database is one commit, so this bounds
// how long the first answer of a turn waits for the last request of it.
inline constexpr int loop_events_max = 256;
// A thread with this much to do tries whether SCHED_BATCH is of use to it (sys/scheduling.h); below
// that it would not matter.
inline constexpr uint64_t batch_units_per_second = 5000;
// It is of use where so many units of work, or more, are found after each sleep. With three,
// services on a fast machine left it again and again.
inline constexpr uint64_t batch_units_per_sleep = 2;
// Turns of a loop after which it is decided anew: seldom enough to cost nothing, often enough to
// follow a load. A trial is shorter: beside a stranger who computes each of its turns waits for a
// slice to end.
inline constexpr uint32_t batch_window_turns = 64;
inline constexpr uint32_t batch_trial_turns = 16;
// As long at most, to the end of a turn: what comes now and then makes few turns, and is not to be
// late because there was much to do before.
inline constexpr uint64_t batch_window_ms = 100;
// Between trials; twice as long after each that was of no use.
inline constexpr uint64_t batch_pause_ms = 250;
inline constexpr uint64_t batch_pause_ms_max = 16'000;
// A turn of a loop that waited for the disk takes longer, one that forwards seldom does.
inline constexpr uint64_t long_turn_ns = 100'000;

// --- listening --------------------------------------------------------------------------------
// The kernel's queue in front of accept(2); it caps this at net.core.somaxconn.
inline constexpr int listen_backlog = 4096;
// How often a port is chosen anew for a name with several addresses, where the kernel's choice for
// the first is taken on another.
inline constexpr int listen_port_tries_max = 16;
// Connections taken in one go from a ready listener before others get their turn.
inline constexpr int accepts_per_event_max = 64;
// How long accepting rests after EMFILE, ENFILE, ENOBUFS or ENOMEM, in milliseconds.
inline constexpr uint64_t accept_pause_ms = 50;
// sockaddr_un.sun_path without its terminating NUL, unix(7).
inline constexpr size_t unix_path_bytes_max = 107;

// --- handoff ----------------------------------------------------------------------------------
// Sockets that one receiver was offered and has not yet taken: what a stopped one keeps waiting.
// Unbounded, one was seen to swallow 8,896.
inline constexpr size_t handoff_unacknowledged_max = 64;
// Sockets of one message; the kernel's limit is 253 (SCM_MAX_FD).
inline constexpr size_t handoff_sockets_max = 64;
// Ids of one packet: reports of clients that ended come in larger numbers.
inline constexpr size_t handoff_ids_max = 256;
// Packets read from one channel before others get their turn.
inline constexpr int handoff_packets_per_event_max = 8;
// How long the report of an ended client may wait for something else to say, in milliseconds.
inline constexpr uint64_t handoff_report_delay_ms = 10;
// How long answers may wait for a sender that has nothing more to hand over, in milliseconds: as
// long it keeps its copy of a socket. At few clients a second each wait ends with a wake-up.
inline constexpr uint64_t handoff_answers_ms = 50;
// How long after a refusal a receiver's answers do not wait, in milliseconds.
inline constexpr uint64_t handoff_refusing_ms = 1'000;
// Channels that a receiver holds open: one for each sender, and those of senders that just died.
inline constexpr size_t handoff_channels_max = 256;
// Clients that nobody has room for, above which accepting pauses.
inline constexpr size_t handoff_waiting_max = 256;
// Attempts to receive after a first error of a channel: behind it acknowledgements may wait.
inline constexpr int handoff_reads_after_error_max = 4;

// --- http -------------------------------------------------------------------------------------
// Method, target and version, without the line end: RFC 9112 3 recommends at least 8000.
inline constexpr uint32_t http_request_line_bytes_max = 8 * 1024;
// All field lines with their line ends, those of a trailer section included: 431 above.
inline constexpr uint32_t http_fields_bytes_max = 16 * 1024;
inline constexpr uint32_t http_fields_max = 100;
// Empty lines before a request line that are passed over: RFC 9112 2.2 asks for one, which old
// clients send behind a body.
inline constexpr uint32_t http_leading_empty_lines_max = 8;
// The most that may be configured for a body: each connection may hold one body in memory.
inline constexpr uint32_t http_body_bytes_max = 1024 * 1024;
// Sizes and extensions of all chunks of a body, without line ends: a body of the default limit in
// chunks of one byte needs a quarter of it.
inline constexpr uint32_t http_chunk_lines_bytes_max = 16 * 1024;

// --- ledger -----------------------------------------------------------------------------------
// 2^53-1: the largest integer that every JSON client holds exactly. Amounts, limits and balances.
inline constexpr int64_t amount_max = (int64_t{1} << 53) - 1;
inline constexpr size_t description_characters_max = 10;
// Four bytes of UTF-8 for each character.
inline constexpr size_t description_bytes_max = 4 * description_characters_max;
// Room for an idempotency key in an entry.
inline constexpr size_t entry_key_bytes_max = 64;
// What a statement shows.
inline constexpr size_t statement_transactions_max = 10;
// Containers inside each other in a request's body: one bit each in the reader's stack.
inline constexpr unsigned json_depth_max = 64;
// Accounts of a table: each takes about 700 bytes of memory and 16 in the store, where the table
// must fit in one record.
inline constexpr size_t accounts_max = 10'000;
// Accounts that one warning names; the others are counted.
inline constexpr size_t accounts_named_max = 5;
// The largest answer: a statement of ten transactions whose descriptions are all six-byte escapes
// takes 1,711 bytes.
inline constexpr size_t answer_body_bytes_max = 1792;

// --- http server ------------------------------------------------------------------------------
// One shared buffer receives for all connections; a request that does not fit at once moves on.
inline constexpr size_t http_receive_bytes = 64 * 1024;
// Portions read from one connection before others get their turn.
inline constexpr int http_reads_per_turn_max = 4;
// Answers that the peer has not taken yet; above it no further request of it is looked at.
inline constexpr size_t http_output_bytes_max = 128 * 1024;
// A connection between two requests keeps no more memory than this for a rest.
inline constexpr size_t http_rest_bytes_kept_max = 1024;
// Held answers that a connection has room for without allocating anew.
inline constexpr size_t http_held_kept_max = 16;
// Output buffers kept for reuse, and the largest that is worth keeping.
inline constexpr size_t http_spare_buffers_max = 256;
inline constexpr size_t http_spare_buffer_bytes_max = 16 * 1024;
// A peer that takes nothing of its answers for so long is cut off.
inline constexpr uint64_t http_write_timeout_ms = 10'000;
// A lingering close drops at most this much for at most this long, RFC 9112 9.6.
inline constexpr size_t http_linger_bytes_max = 64 * 1024;
inline constexpr uint64_t http_linger_ms = 2'000;
// While draining, a connection on which nothing was asked yet is given this long: its first request
// may be on its way, and nobody told its client otherwise.
inline constexpr uint64_t http_drain_grace_ms = 500;

// --- forward ----------------------------------------------------------------------------------
// Upstreams of one forwarder: one bit each in every session that is still connecting.
inline constexpr size_t upstreams_max = 256;
// Addresses of one name that take part: one bit each in every session that is still connecting.
inline constexpr size_t addresses_max = 64;
// How long an address of several rests that took no connection, in milliseconds: doubles from the
// first to the second.
inline constexpr uint64_t address_rest_ms = 1'000;
inline constexpr uint64_t address_rest_ms_max = 30'000;
// Weight of an upstream.
inline constexpr uint32_t upstream_weight_max = 1000;
// Upstreams whose counters are kept, those that were removed included.
inline constexpr size_t upstream_counters_max = 1024;
// Failures in a row that are remembered with their times.
inline constexpr uint32_t eject_after_max = 64;
// An upstream that closes a connection within this time, in milliseconds, refused it, also where
// its client had asked for nothing yet; later on it has only lost patience with that client.
inline constexpr uint64_t early_end_ms = 1'000;
// Between two looks at an upstream that was ejected because it took no connections: it is back in
// use within a second of being back.
inline constexpr uint64_t recheck_ms = 250;
// Names that are asked for at a time, each on a thread of its own: a dead name server holds one for
// 10 s and more.
inline constexpr size_t resolver_threads_max = 16;
// How long a start waits for the name that it is to listen on, in milliseconds.
inline constexpr uint64_t listen_resolve_ms = 3'000;
// A name is asked for again at most this often while connects to it fail.
inline constexpr uint64_t resolve_again_ms = 1'000;
// The status line of an answer to a check, at most.
inline constexpr size_t check_answer_bytes_max = 64;
// Interim answers (1xx) before the answer to a check, above which it is none; and what is read of
// it in one go.
inline constexpr unsigned check_interim_answers_max = 16;
inline constexpr size_t check_read_bytes = 512;
// What one recv takes at most, and what a lent buffer holds: below the default socket buffers, so
// that a full read mostly fits the other side, and small enough for the second-level cache.
inline constexpr size_t relay_buffer_bytes = 64 * 1024;
// Buffers lent at once, over all sessions of a forwarder: 8 MiB. When all are out, bytes stay in
// the kernel: they are looked at (MSG_PEEK), sent, and only then taken.
inline constexpr size_t relay_buffers_max = 128;
// Buffers kept for the next loan; the others go back to the allocator.
inline constexpr size_t relay_buffers_kept_max = 8;
// Full buffers taken from one socket before others get their turn.
inline constexpr int relay_reads_per_event_max = 16;
// What one splice takes at most: a pipe's capacity unless somebody changed it, pipe(7).
inline constexpr size_t pipe_bytes = 64 * 1024;
// Pipes lent at once, over all sessions of a forwarder: two descriptors and 64 KiB of the kernel's
// memory each, and a user without privileges has 1,024 of them. When all are out, bytes are copied.
inline constexpr size_t pipes_max = 64;
// Pipes kept for the next loan.
inline constexpr size_t pipes_kept_max = 16;
// Full buffers in a row after which a direction counts as a stream and is spliced.
inline constexpr unsigned splice_after_buffers = 2;
// A stream that moves less than this between two pauses is none any more: below it splice costs
// more than the copy that it saves.
inline constexpr size_t splice_bytes_min = 16 * 1024;
// The longest PROXY header that is accepted, extensions included; the longest that is written.
inline constexpr size_t proxy_header_bytes_max = 4096;
inline constexpr size_t proxy_header_written_bytes = 52;
// How long a client may take to send the PROXY header that it owes.
inline constexpr uint64_t proxy_header_wait_ms = 5'000;
// A shortage that comes back within this time is the same one to whoever is told.
inline constexpr uint64_t shortage_report_ms = 10'000;
// A session in which nothing was seen to move for its whole time, while its peers have bytes of it
// to take, is looked at again after this part of it: it ends once they have taken none in between.
inline constexpr uint64_t idle_looks = 4;
// Clients that were turned away are told of at most this often.
inline constexpr uint64_t refusal_report_ms = 10'000;
// Rest before a connect is tried again where no event will tell (a full backlog, a shortage of our
// own); doubles from the first to the second.
inline constexpr uint64_t connect_retry_ms = 2;
inline constexpr uint64_t connect_retry_ms_max = 64;
// A reset is passed on when what came before it has been acknowledged: how often to look, doubling,
// and how long at most.
inline constexpr uint64_t reset_check_ms = 2;
inline constexpr uint64_t reset_check_ms_max = 50;
inline constexpr uint64_t reset_wait_ms_max = 5'000;

// --- store ------------------------------------------------------------------------------------
// Size of a segment's file, in bytes: a roll (four flushes) once per 64 MiB costs nothing that
// shows, and opening reads at most this much of the last one. 1 MiB is the least, for tests.
inline constexpr uint64_t segment_bytes_default = uint64_t{64} << 20;
#ifdef ESPORA_SIMULATION
// Eight blocks: a simulated store rolls after a few batches.
inline constexpr uint64_t segment_bytes_min = uint64_t{32} << 10;
#else
inline constexpr uint64_t segment_bytes_min = uint64_t{1} << 20;
#endif
inline constexpr uint64_t segment_bytes_max = uint64_t{256} << 20;
// What eight decimal digits name.
inline constexpr uint32_t segment_number_max = 99'999'999;
// A batch with its header and padding: bounds memory (two buffers per store), the time of one
// write, and what one torn write can take with it.
#ifdef ESPORA_SIMULATION
inline constexpr size_t batch_bytes_max = size_t{16} << 10;
#else
inline constexpr size_t batch_bytes_max = size_t{1} << 20;
#endif
// A segment's file is a multiple of this, as FORMAT.md has it.
#ifdef ESPORA_SIMULATION
inline constexpr size_t segment_bytes_step = size_t{8} << 10;
#else
inline constexpr size_t segment_bytes_step = size_t{256} << 10;
#endif
// Zero-filling a spare: in one burst it took the p99 of a write and flush beside it from 0.2 to 17
// ms, in steps of 256 KiB with pauses of 2 ms from 1.1 to 14 ms, in steps like these it did not
// show. That is 8 MB/s, and a preparer that is less than twice as far as the segment in use skips
// its pauses.
#ifdef ESPORA_SIMULATION
inline constexpr size_t spare_step_bytes = size_t{8} << 10;
#else
inline constexpr size_t spare_step_bytes = size_t{64} << 10;
#endif
inline constexpr uint64_t spare_pause_ns = 8'000'000;
// After a failed preparation the next attempt, with a new file, waits this long.
inline constexpr uint64_t spare_retry_ns = 1'000'000'000;
// How long after the last commit a seal is written: late enough to stay off the path of a busy
// store, early enough that little remains unproven on an idle one.
inline constexpr uint64_t seal_idle_ns = 100'000'000;
// Between two attempts to lock a store that somebody else holds.
inline constexpr uint64_t lock_pause_ns = 20'000'000;
// Bytes of one read of a segment, by opening and by tools: what they need in memory is about four
// of these, and as much as the largest frames take.
#ifdef ESPORA_SIMULATION
inline constexpr size_t store_read_bytes = size_t{16} << 10;
#else
inline constexpr size_t store_read_bytes = size_t{1} << 20;
#endif
// A frame of a dense segment is filled up to this: what reading one record costs, and 0.1 % of
// overhead. A record that is larger has one of its own.
#ifdef ESPORA_SIMULATION
inline constexpr size_t dense_frame_bytes = size_t{8} << 10;
#else
inline constexpr size_t dense_frame_bytes = size_t{64} << 10;
#endif
// The largest: the one record of the largest batch, with the header of its run.
inline constexpr size_t dense_frame_bytes_max = batch_bytes_max + 4096;
// Rewriting and snapshots read and write in steps of this many bytes with these pauses, as filling
// a spare does: 8 MB/s, beside commits that must not notice.
inline constexpr size_t housekeeping_step_bytes = size_t{64} << 10;
inline constexpr uint64_t housekeeping_pause_ns = 8'000'000;
// After a failure (no space, a failed write) the next attempt, with a new file, waits this long.
inline constexpr uint64_t housekeeping_retry_ns = 5'000'000'000;
// With more closed segments than this to do there are no pauses: disk and opening must stay
// bounded. A segment that waits for its snapshot this long goes before rewriting.
inline constexpr uint32_t housekeeping_backlog_max = 2;
// Snapshots kept: the newest, and one more.
inline constexpr size_t snapshots_kept = 2;
// A snapshot's file: ten thousand accounts with ten transactions each take 8 MiB.
inline constexpr size_t snapshot_bytes_max = size_t{64} << 20;
// Reading by sequence number: segments whose frames' places are remembered, 16 bytes for each block
// at most.
inline constexpr size_t reader_segments_max = 8;
// One portion of a read in memory, for the library: enough to make its call cheap.
inline constexpr uint32_t read_portion_records_max = 4096;
inline constexpr size_t read_portion_bytes_max = size_t{1} << 20;
// The kind of a store and the schema of its records, as STORE holds them.
inline constexpr size_t store_kind_bytes_max = 64;
inline constexpr size_t store_schema_bytes_max = size_t{1} << 20;

// What a pipe holds fits a lent buffer, where a socket turns out to take no splice.
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
