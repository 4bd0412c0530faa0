// Which reports of a sanitizer, written while tests ran on stock Node.js, are about our code. Node.js is
// not instrumented, so ThreadSanitizer does not see all that it does to synchronize.

/** The reports in what one process wrote, each whole. */
export function splitReports(text) {
  return text
    .split(/^={10,}$/m)
    .map((report) => report.trim())
    .filter((report) => report !== '' && !/^ThreadSanitizer: reported \d+ warnings$/.test(report));
}

/** The frames of the accesses themselves, without those of who allocated or who made the thread. */
const accessesOf = (report) => report.split(/^ {2}(?:Location|Mutex|Thread|As if|Hint)\b/m)[0];

/**
 * Whether a report needs no attention:
 * - a race in whose accesses nothing of the addon takes part is between threads of Node.js;
 * - a race on a descriptor that Node.js opened: libuv closes by syscall(2), which the sanitizer does not
 *   see, so it takes whoever gets the number next for a user of the old one.
 */
export function isForeign(report) {
  if (!report.includes('WARNING: ThreadSanitizer: data race')) return false;
  if (!accessesOf(report).includes('(espora.node+')) return true;
  const location = /^ {2}Location is file descriptor \d+ created by [^\n]*\n((?: {4}#[^\n]*\n?)*)/m;
  return location.exec(report)?.[1].includes('(node+') ?? false;
}

/** The places in the addon that a report names by address only. */
export const addressesIn = (report) => [
  ...new Set(
    [...report.matchAll(/<null> <null> \(espora\.node\+(0x[0-9a-f]+)\)/g)].map(([, at]) => at),
  ),
];

/** A report with names in place of these addresses. */
export const withNames = (report, names) =>
  report.replace(
    /<null> <null> \(espora\.node\+(0x[0-9a-f]+)\)/g,
    (found, address) => names.get(address) ?? found,
  );
