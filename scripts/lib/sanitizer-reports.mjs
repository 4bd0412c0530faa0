// Which reports of a sanitizer, written during tests on stock Node.js, are about our code. Node.js is not
// instrumented, so ThreadSanitizer does not see all of its synchronization.

/** The reports in the output of one process. */
export function splitReports(text) {
  return text
    .split(/^={10,}$/m)
    .map((report) => report.trim())
    .filter((report) => report !== '' && !/^ThreadSanitizer: reported \d+ warnings$/.test(report));
}

/** The frames of the accesses, without those of the allocation and of the creation of the thread. */
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
 * Whether the addon is responsible for an access: its own code made it (runtime libraries aside), or code
 * that it called on one of its threads. Not for accesses of V8 on a thread of JavaScript, mainly of its
 * garbage collector, even if a callback of ours is further down the stack.
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

/** An access of JavaScript's thread whose stack is no longer known. */
const isUnknown = ({ head, frames }) => frames.length === 0 && head.includes('by main thread');

/**
 * Whether a report needs no attention:
 * - one about strace, which inherits the preloaded sanitizer from the test that starts it;
 * - calls that a signal handler of Node.js makes while the process ends anyway, and nothing of the addon;
 * - a race in whose accesses nothing of the addon takes part is between threads of Node.js;
 * - a race on a descriptor that Node.js opened: libuv closes it with syscall(2), which the sanitizer does not
 *   see, so the next user of the number looks like a user of the old descriptor;
 * - the same race if only our side is known: the addon closes a descriptor that was opened unseen (the store
 *   uses openat(2)), or opens one that was closed unseen.
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
