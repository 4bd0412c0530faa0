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

/** Each access of a race: its first line, which names the thread, and the lines of its stack. */
const stacksOf = (report) =>
  accessesOf(report)
    .split(/^ {2}(?=(?:Previous )?(?:atomic )?(?:read|write) )/im)
    .slice(1)
    .map((stack) => {
      const [head, ...frames] = stack.split('\n');
      return { head, frames: frames.filter((line) => /^ {4}#\d/.test(line)) };
    });

/** Runtime libraries between a caller and the kernel. */
const runtime = /\((?:libtsan|libstdc\+\+|libc)\.so[^)]*\)/;

/**
 * Whether an access is the addon's doing: its own code made it (runtime libraries aside), or anything
 * did that the addon called on a thread of its own. What V8 does on a thread of JavaScript, its garbage
 * collector above all, is not, even if a callback of ours happens to stand further down the stack.
 */
function isOurs({ head, frames }) {
  const code = frames.filter((line) => !runtime.test(line));
  if (code[0]?.includes('(espora.node+')) return true;
  return !head.includes('by main thread') && (code.at(-1)?.includes('(espora.node+') ?? false);
}

/** Whether a descriptor was opened or closed there. */
const opensOrCloses = ({ frames }) =>
  /^ {4}#0 (?:open|socket|socketpair|pipe|accept|eventfd|epoll_create|inotify_init|dup|close)\w* /.test(
    frames[0] ?? '',
  );

/** Whether it was Node.js. */
const opensInNode = (stack) =>
  opensOrCloses(stack) && stack.frames.find((line) => !runtime.test(line))?.includes('(node+');

/** An access of JavaScript's thread of which no stack is left. */
const isUnknown = ({ head, frames }) => frames.length === 0 && head.includes('by main thread');

/**
 * Whether a report needs no attention:
 * - one about strace, which inherits the preloaded sanitizer from the test that starts it;
 * - calls that a signal handler of Node.js makes while the process ends anyway, and nothing of the addon;
 * - a race in whose accesses nothing of the addon takes part is between threads of Node.js;
 * - a race on a descriptor that Node.js opened: libuv closes by syscall(2), which the sanitizer does not
 *   see, so it takes whoever gets the number next for a user of the old one;
 * - the same race, of which only our side is left: the addon closes a number that was opened unseen (the
 *   store opens by openat(2)), or opens one that was closed unseen.
 */
export function isForeign(report) {
  if (report.includes('(strace+') && !report.includes('(espora.node+')) return true;
  if (/WARNING: ThreadSanitizer: signal-unsafe call/.test(report)) {
    return !report.includes('(espora.node+');
  }
  if (!report.includes('WARNING: ThreadSanitizer: data race')) return false;
  const stacks = stacksOf(report);
  if (!stacks.some(isOurs) || stacks.some(opensInNode)) return true;
  if (stacks.some(isUnknown) && stacks.some(opensOrCloses) && !report.includes('Location is')) {
    return true;
  }
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
