// The rules of the source tree that no compiler checks, as pure functions from a file's text to what
// is wrong with it. tidy.test.ts applies them to the tree, and to bad examples.

import { dirname, join } from 'node:path';

/** One broken rule: what is wrong, and in which line (from 1). */
export interface Finding {
  readonly line: number;
  readonly message: string;
}

/** Which rooms a room may include from; each may include from itself. */
const roomsBelow: Readonly<Record<string, readonly string[]>> = {
  sys: [],
  intake: ['sys'],
  engine: ['sys'],
  http: ['intake', 'sys'],
  store: ['sys'],
  forward: ['intake', 'sys'],
  face: ['engine', 'http', 'sys'],
  ledger: ['engine', 'store', 'sys'],
  binding: ['face', 'ledger', 'engine', 'store', 'forward', 'http', 'intake', 'sys'],
};

/** The folder under native/ that a file is in. */
const roomOf = (path: string): string => path.split('/')[1] ?? '';

/**
 * C++ with the contents of comments, strings and character literals blanked; every line stays where it
 * was. The names in #include lines are kept: they look like strings and are none.
 */
export function withoutCommentsAndStrings(text: string): string {
  const token =
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|R"([^(\s]*)\([\s\S]*?\)\1"|(^[ \t]*#[ \t]*include[^\n]*)|"(?:\\.|[^"\\\n])*"|(?<![\w'])'(?:\\.|[^'\\\n])*'/gm;
  return text.replace(token, (found: string, _delimiter, include: string | undefined) => {
    if (include !== undefined) return include.replace(/\/\/.*|\/\*.*/, '');
    const blank = found.replace(/[^\n]/g, ' ');
    return found.startsWith('/') ? blank : `"${blank.slice(2)}"`;
  });
}

/** Calls `visit` with each line of a text and its number. */
function eachLine(text: string, visit: (line: string, number: number) => void): void {
  text.split('\n').forEach((line, index) => visit(line, index + 1));
}

interface Include {
  readonly name: string;
  readonly system: boolean;
  readonly line: number;
}

function includesOf(text: string): Include[] {
  const includes: Include[] = [];
  eachLine(withoutCommentsAndStrings(text), (line, number) => {
    const match = /^\s*#\s*include\s*([<"])([^>"]+)[>"]/.exec(line);
    if (match) includes.push({ name: match[2]!, system: match[1] === '<', line: number });
  });
  return includes;
}

/** Includes between rooms go one way, and are written from native/. */
export function checkIncludeDirection(path: string, text: string): Finding[] {
  const room = roomOf(path);
  const allowed = [room, ...(roomsBelow[room] ?? [])];
  return includesOf(text)
    .filter(({ system }) => !system)
    .flatMap(({ name, line }) => {
      const target = name.split('/')[0]!;
      if (!name.includes('/') || !Object.hasOwn(roomsBelow, target)) {
        return [{ line, message: `"${name}" is not written from native/` }];
      }
      if (allowed.includes(target)) return [];
      return [{ line, message: `${room}/ may not include from ${target}/ ("${name}")` }];
    });
}

const systemHeader = new RegExp(
  '^(?:(?:sys|linux|asm|bits|net|netinet|netpacket|arpa)/.*|' +
    '(?:aio|dirent|dlfcn|fcntl|ftw|glob|grp|ifaddrs|mqueue|netdb|poll|pthread|pwd|sched|semaphore|' +
    'signal|spawn|syscall|syslog|termios|ucontext|unistd|utime)\\.h|' +
    'csignal|filesystem|fstream|iostream|semaphore|stop_token|syncstream)$',
);

const systemCalls =
  'accept|accept4|bind|close|connect|dup|dup2|dup3|epoll_create1|epoll_ctl|epoll_wait|eventfd|execve|' +
  'fallocate|fcntl|fdatasync|flock|fork|fstat|fsync|ftruncate|getpeername|getpid|getsockname|' +
  'getsockopt|ioctl|kill|lseek|listen|madvise|mmap|munmap|nanosleep|open|openat|pipe|pipe2|poll|' +
  'posix_fadvise|pread|pwrite|pwritev|read|readv|recv|recvfrom|recvmsg|rename|send|sendfile|sendmsg|' +
  'sendto|setsockopt|shutdown|socket|socketpair|splice|stat|sync_file_range|syscall|timerfd_create|' +
  'unlink|usleep|vmsplice|write|writev|_exit|clock_gettime|gettimeofday|time';
const qualifiedCall = new RegExp(`(?<![\\w>:])::(?:${systemCalls})\\s*\\(`);
const libraryCall =
  /\b(?:fopen|freopen|fwrite|fread|fprintf|printf|puts|fputs|perror|std::system|std::getenv|getenv|std::abort|std::exit|std::async|std::this_thread::\w+)\s*\(|\bstd::(?:jthread|thread(?:\s+\w+\s*\{|\s*[({]))|\bstd::chrono::\w+_clock::now\b/;

/** Only sys/ talks to the operating system: its headers, its calls, the clock, standard streams. */
export function checkSystemCalls(path: string, text: string): Finding[] {
  if (roomOf(path) === 'sys') return [];
  const findings: Finding[] = includesOf(text)
    .filter(({ name, system }) => system && systemHeader.test(name))
    .map(({ name, line }) => ({ line, message: `<${name}> belongs in sys/` }));
  eachLine(withoutCommentsAndStrings(text), (line, number) => {
    const call = qualifiedCall.exec(line) ?? libraryCall.exec(line);
    if (call) findings.push({ line: number, message: `${call[0].trim()} belongs in sys/` });
  });
  return findings;
}

/** Only binding/ knows Node.js. */
export function checkNodeHeaders(path: string, text: string): Finding[] {
  if (roomOf(path) === 'binding') return [];
  return includesOf(text)
    .filter(({ name }) => /^(?:napi|node|node_api|js_native_api|uv|v8)(?:[-.\w]*)\.h$/.test(name))
    .map(({ name, line }) => ({ line, message: `<${name}> belongs in binding/` }));
}

/** Nothing outside binding/ throws or catches, and nothing asserts: there are Status and ESPORA_CHECK. */
export function checkFailures(path: string, text: string): Finding[] {
  const findings: Finding[] = [];
  const inBinding = roomOf(path) === 'binding';
  for (const { name, line } of includesOf(text)) {
    if (name === 'cassert' || name === 'assert.h') {
      findings.push({ line, message: `<${name}>: use ESPORA_CHECK` });
    }
  }
  eachLine(withoutCommentsAndStrings(text), (line, number) => {
    if (/(?<![\w.])assert\s*\(/.test(line)) {
      findings.push({ line: number, message: 'assert: use ESPORA_CHECK' });
    }
    const exception = /(?<!\w)(?:throw|try|catch)\b(?=\s*[\s{(;"\w])/.exec(line);
    if (exception && !inBinding) {
      findings.push({ line: number, message: `${exception[0]} belongs in binding/: use Status` });
    }
  });
  return findings;
}

/** Each header is included once, whoever includes it. */
export function checkPragmaOnce(path: string, text: string): Finding[] {
  if (!path.endsWith('.h') || /^#pragma once$/m.test(text)) return [];
  return [{ line: 1, message: 'a header needs #pragma once' }];
}

/**
 * `.ci/run` runs the native tests under sanitizers, and without one only what those can't show, by name:
 * in this one file.
 */
export function checkSanitizerAsked(path: string, text: string): Finding[] {
  if (path === 'test/native/http/server_load_test.cc') return [];
  const findings: Finding[] = [];
  eachLine(withoutCommentsAndStrings(text), (line, number) => {
    if (!/__SANITIZE_|__has_feature/.test(line)) return;
    findings.push({
      line: number,
      message: 'a native test that a sanitizer changes belongs to those of the step `native`',
    });
  });
  return findings;
}

/** A file says first what it is for; a source that opens with its own header has it said there. */
export function checkPurpose(path: string, text: string): Finding[] {
  const first = text.replace(/^#!.*\n/, '');
  if (/^(?:\/\/ \S|\/\*\*?\s)/.test(first)) return [];
  const ownHeader = path.replace(/^native\//, '').replace(/\.cc$/, '.h');
  if (path.endsWith('.cc') && first.startsWith(`#include "${ownHeader}"\n`)) return [];
  return [{ line: 1, message: 'a file opens with a comment on its purpose' }];
}

/**
 * What no tracked text may hold. Written so that no pattern matches itself.
 */
const forbiddenTexts: readonly (readonly [RegExp, string])[] = [
  [
    /(?<![\w.~-])\/(?:wor[k]|far[m]|roo[t]|Use[r]s|hom[e](?!\/node\b))\/\w/,
    'a path of one machine',
  ],
  [/registry\.(?:npm[j]s|yarn[p]kg)\./, 'the host of a package registry'],
  [/https?:\/\/[^\s"'/]*(?:artifactor[y]|nexu[s]|jfro[g])/, 'the host of a package registry'],
  [/\b(?:TO[D]O|FIX[M]E|XX[X]|HAC[K])\b/, 'a note on work left behind'],
  [/^(?:<{7} |>{7} |={7}$)/, 'the mark of an unresolved merge'],
];

export function checkForbiddenTexts(_path: string, text: string): Finding[] {
  const findings: Finding[] = [];
  eachLine(text, (line, number) => {
    for (const [pattern, what] of forbiddenTexts) {
      const found = pattern.exec(line);
      if (found) findings.push({ line: number, message: `${what}: ${found[0]}` });
    }
  });
  return findings;
}

/** Which folders of the top a folder with TypeScript may import from; each may import from itself. */
const foldersBelow: Readonly<Record<string, readonly string[]>> = {
  ts: [],
  lab: ['ts'],
  contest: ['lab', 'ts'],
  bench: ['contest', 'lab', 'ts'],
  test: ['bench', 'contest', 'lab', 'ts'],
};

/** The source that a module's name stands for in the file `path`; undefined: it is a package's. */
export function importedFile(path: string, name: string): string | undefined {
  const own = '#espora/';
  if (name.startsWith('.')) return join(dirname(path), name).replace(/\.js$/, '.ts');
  if (!name.startsWith(own)) return undefined;
  const file = name.slice(own.length).replace(/\.js$/, '.ts');
  // As it is compiled: ts/ to dist/, and these to folders of theirs in there.
  return /^(?:contest|lab)\//.test(file) ? file : `ts/${file}`;
}

/** The modules that a source names: in imports, exports and calls of import(), also for types only. */
export function importsOf(text: string): { readonly line: number; readonly name: string }[] {
  const naming =
    /^(?:import|export)\b[^;'"`]*?\bfrom\s*'([^']+)'|^import\s*'([^']+)'|\bimport\(\s*'([^']+)'/gm;
  return [...text.matchAll(naming)].map((found) => ({
    line: text.slice(0, found.index).split('\n').length,
    name: (found[1] ?? found[2] ?? found[3])!,
  }));
}

/**
 * Modules that import each other in a circle, also for types only: each circle as its files in their order.
 * `texts` holds sources by their paths.
 */
export function importCircles(texts: ReadonlyMap<string, string>): string[] {
  const targets = new Map(
    [...texts].map(([path, text]) => [
      path,
      importsOf(text).flatMap(({ name }) => importedFile(path, name) ?? []),
    ]),
  );
  const circles: string[] = [];
  const finished = new Set<string>();
  const way: string[] = [];
  const walk = (path: string): void => {
    const at = way.indexOf(path);
    if (at >= 0) circles.push([...way.slice(at), path].join(' → '));
    if (at >= 0 || finished.has(path)) return;
    way.push(path);
    for (const target of targets.get(path) ?? []) walk(target);
    way.pop();
    finished.add(path);
  };
  for (const path of texts.keys()) walk(path);
  return circles;
}

/** Imports between the folders of the top go one way. */
export function checkImportDirection(path: string, text: string): Finding[] {
  const top = path.split('/')[0]!;
  const allowed = [top, ...(foldersBelow[top] ?? [])];
  return importsOf(text).flatMap(({ line, name }) => {
    const target = importedFile(path, name)?.split('/')[0];
    return target === undefined || allowed.includes(target)
      ? []
      : [{ line, message: `${top}/ may not import from ${target}/ ('${name}')` }];
  });
}

/** A document that is named exists: `known` holds the base names of all tracked files. */
export function checkDocumentNames(text: string, known: ReadonlySet<string>): Finding[] {
  const findings: Finding[] = [];
  eachLine(text, (line, number) => {
    for (const [name] of line.matchAll(
      /(?<![\w/-])[A-Z][A-Z_]{2,}(?:\.[a-z]{2}-[A-Z]{2})?\.md\b/g,
    )) {
      if (!known.has(name)) {
        findings.push({ line: number, message: `${name} is named and does not exist` });
      }
    }
  });
  return findings;
}

/** Names that hide a header of the C library from everything that is compiled with -Inative. */
export function checkFileName(path: string): Finding[] {
  const base = path.split('/').at(-1)!.replace(/\..*$/, '');
  return base === 'assert' ? [{ line: 1, message: 'a file must not be called assert' }] : [];
}

/** The list of sources and the tree name the same files, once each, sorted by folder. */
export function checkSourceList(list: string, files: readonly string[]): Finding[] {
  const findings: Finding[] = [];
  const listed = new Set<string>();
  const foldersSeen: string[] = [];
  eachLine(list, (line, number) => {
    if (line === '' || line.startsWith('#')) return;
    const add = (message: string): void => void findings.push({ line: number, message });
    if (!/^[a-z]+\/[a-z0-9_]+\.cc$/.test(line)) add(`"${line}" is not a source's name`);
    if (listed.has(line)) add(`${line} is listed twice`);
    if (!files.includes(`native/${line}`)) add(`${line} does not exist`);
    listed.add(line);
    const folder = line.split('/')[0]!;
    if (foldersSeen.at(-1) === folder) return;
    if (foldersSeen.includes(folder)) add(`${line} is not among the other sources of ${folder}/`);
    foldersSeen.push(folder);
  });
  for (const file of files) {
    if (!listed.has(file.slice('native/'.length))) {
      findings.push({ line: 0, message: `${file} is not listed` });
    }
  }
  return findings;
}

/** A lock file with addresses in it works only where those can be reached. */
export function checkLockFile(text: string): Finding[] {
  const { packages } = JSON.parse(text) as {
    packages: Record<string, { resolved?: string }>;
  };
  return Object.entries(packages)
    .filter(([, { resolved }]) => resolved !== undefined)
    .map(([name]) => ({ line: 0, message: `${name} has a resolved address` }));
}

/** What changes the meaning of the code and so must be in both builds. */
export const sharedBuildSettings = [
  'NAPI_VERSION=9',
  'NAPI_CPP_EXCEPTIONS',
  'NODE_ADDON_API_CPP_EXCEPTIONS_ALL',
  'NODE_ADDON_API_DISABLE_DEPRECATED',
  'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
  'ESPORA_VERSION',
  'NDEBUG',
  '-O2',
  '-fno-rtti',
  '-fexceptions',
  'native/sources.txt',
  '-Wl,-z,nodelete',
  '-static-libstdc++',
  '-static-libgcc',
  'native/binding/exports.map',
] as const;

/** Settings that one build has and the other lacks; a comment sets nothing. */
export function checkBuildsAgree(gyp: string, cmake: string): Finding[] {
  const findings: Finding[] = [];
  for (const [name, text] of [
    ['binding.gyp', gyp],
    ['CMakeLists.txt', cmake],
  ] as const) {
    const settings = text.replace(/^\s*#.*$/gm, '');
    for (const setting of sharedBuildSettings) {
      if (!settings.includes(setting)) {
        findings.push({ line: 0, message: `${name} lacks ${setting}` });
      }
    }
  }
  return findings;
}

/** The texts in quotes of a source, by line; what a template puts in and comments are left out. */
function quotedTexts(text: string): { readonly line: number; readonly quoted: string }[] {
  const found: { line: number; quoted: string }[] = [];
  eachLine(text, (line, number) => {
    if (/^\s*(?:\/\/|\/?\*)/.test(line)) return;
    for (const [token] of line.matchAll(
      /\/\/.*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*`/g,
    )) {
      if (token.startsWith('/')) continue;
      found.push({ line: number, quoted: token.slice(1, -1).replace(/\$\{[^}]*\}/g, ' ') });
    }
  });
  return found;
}

/** Errors speak with one voice: a value "must be" something. */
export function checkErrorVoice(_path: string, text: string): Finding[] {
  return quotedTexts(text)
    .filter(({ quoted }) => /\b(?:has|have|is|are|needs?) to be\b/.test(quoted))
    .map(({ line, quoted }) => ({ line, message: `"${quoted}": say what it must be` }));
}

const persons =
  /\b(?:who|whom|whoever|whomever|nobody|somebody|anybody|everybody|no one|someone|anyone|everyone)\b/i;

/** What a program prints (help, errors, metrics) calls things by their names, not by words for persons. */
export function checkPersons(_path: string, text: string): Finding[] {
  return quotedTexts(text).flatMap(({ line, quoted }) => {
    const found = persons.exec(quoted);
    return found === null
      ? []
      : [{ line, message: `"${found[0]}" in "${quoted}": name the thing` }];
  });
}

/** The longest a README may be: it is read in one go; what is longer belongs into docs/. */
export const readmeLinesMax = 160;

export function checkReadmeLength(_path: string, text: string): Finding[] {
  const lines = text.trimEnd().split('\n').length;
  return lines <= readmeLinesMax
    ? []
    : [{ line: lines, message: `${lines} lines; at most ${readmeLinesMax}` }];
}

/** The most lines of a function. ESLint counts those of TypeScript and of scripts (eslint.config.js). */
export const functionLinesMax = 70;

/**
 * No function in C++ is longer than that. As clang-format writes it, a function begins at the margin, or
 * indented by two in a class, and ends with the next brace in that column.
 */
export function checkFunctionLength(_path: string, text: string): Finding[] {
  const lines = withoutCommentsAndStrings(text).split('\n');
  const noFunction = /^ *(?:namespace|inline namespace|class|struct|enum|union|extern)\b/;
  return lines.flatMap((line, end) => {
    const [, indent] = /^((?: {2})?)\} *$/.exec(line) ?? [];
    if (indent === undefined) return [];
    const begin = lines.findLastIndex((each, index) => {
      return index < end && each.startsWith(indent) && /^[^\s#]/.test(each.slice(indent.length));
    });
    const length = end - begin + 1;
    return length <= functionLinesMax || noFunction.test(lines[begin]!)
      ? []
      : [
          {
            line: begin + 1,
            message: `a function of ${length} lines; at most ${functionLinesMax}`,
          },
        ];
  });
}

/** Folders whose own folders the map in ARCHITECTURE.md lists. */
const mappedInside: readonly string[] = ['native', 'ts', 'test'];

/** The folders that the map is about: those of the top, and those inside of some of them. */
export function foldersToMap(files: readonly string[]): ReadonlySet<string> {
  const folders = files.flatMap((file) => {
    const [top, inside, ...rest] = file.split('/');
    if (top === undefined || inside === undefined || top.startsWith('.')) return [];
    const deep = rest.length > 0 && mappedInside.includes(top);
    return deep ? [top, `${top}/${inside}`] : [top];
  });
  return new Set(folders);
}

/**
 * The map in ARCHITECTURE.md and the folders agree. In the block of code that begins with `native/`, a
 * folder begins a line, and those inside of it begin lines under it, indented by two.
 */
export function checkMap(text: string, folders: ReadonlySet<string>): Finding[] {
  const before = text.indexOf('\n```\nnative/');
  if (before < 0) return [{ line: 1, message: 'there is no map that begins with native/' }];
  const from = text.slice(0, before).split('\n').length + 1;
  const map = text.slice(before + 5, text.indexOf('\n```', before + 5)).split('\n');
  const findings: Finding[] = [];
  const seen = new Set<string>();
  let top = '';
  map.forEach((line, index) => {
    const [, indent, names] = /^( {0,2})((?:[\w-]+\/ +)+)\S/.exec(line) ?? [];
    if (indent === undefined || names === undefined || indent.length === 1) return;
    for (const name of names.trim().split(/\/ *(?= |$)\s*/)) {
      if (name === '') continue;
      if (indent === '') top = name;
      const folder = indent === '' ? name : `${top}/${name}`;
      if (!folders.has(folder)) {
        findings.push({ line: from + index + 1, message: `there is no folder ${folder}/` });
      }
      seen.add(folder);
    }
  });
  for (const folder of folders) {
    if (!seen.has(folder)) findings.push({ line: from, message: `the map lacks ${folder}/` });
  }
  return findings;
}
