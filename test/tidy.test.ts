// Lint as a test: the rules of test/tidy/rules.ts hold in the whole tree, and each of them catches what
// it is there for.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import test from 'ava';

import * as rules from './tidy/rules.js';
import type { Finding } from './tidy/rules.js';

/** What git tracks or would add: a file that was forgotten is looked at before it is committed. */
function listFiles(...options: string[]): string[] {
  return execFileSync('git', ['ls-files', '-z', ...options], { encoding: 'utf8' })
    .split('\0')
    .filter((file) => file !== '' && existsSync(file));
}

const tracked = listFiles();
const present = listFiles('-co', '--exclude-standard');
const read = (file: string): string => readFileSync(file, 'utf8');
const isText = (file: string): boolean =>
  !/\.(png|svg|ico|gz|bin|node)$/.test(file) && !file.startsWith('test/native/fuzz/corpus/');

const native = tracked.filter((file) => /^native\/.*\.(cc|h)$/.test(file));
const opening = tracked.filter((file) =>
  /^(native|ts|lab|contest|scripts)\/.*\.(cc|h|ts|mjs)$/.test(file),
);

const modules = tracked.filter((file) => /^(ts|lab|contest|bench|test)\/.*\.ts$/.test(file));

type Rule = (path: string, text: string) => Finding[];

/** Every finding of a rule, as lines that an editor can follow. */
const apply = (rule: Rule, files: readonly string[]): string[] =>
  files.flatMap((file) =>
    rule(file, read(file)).map(({ line, message }) => `${file}:${line}: ${message}`),
  );

test('there are files to look at', (t) => {
  t.true(native.length > 0);
  t.true(opening.length > native.length);
  t.true(tracked.includes('package-lock.json'));
});

for (const [title, rule, files] of [
  ['includes between rooms go one way', rules.checkIncludeDirection, native],
  ['only sys/ talks to the operating system', rules.checkSystemCalls, native],
  ['only binding/ knows Node.js', rules.checkNodeHeaders, native],
  ['nothing asserts, and nothing throws outside binding/', rules.checkFailures, native],
  ['every header has #pragma once', rules.checkPragmaOnce, native],
  [
    'a sanitizer changes no native test that runs under one only',
    rules.checkSanitizerAsked,
    tracked.filter((file) => /^test\/native\/.*\.(cc|h)$/.test(file)),
  ],
  ['imports between folders go one way', rules.checkImportDirection, modules],
  ['every file opens with its purpose', rules.checkPurpose, opening],
  ['no file has a forbidden name', rules.checkFileName, tracked],
  ['errors say what must be', rules.checkErrorVoice, opening],
  ['what a program prints has no words for persons', rules.checkPersons, opening],
  [
    'no function is long',
    rules.checkFunctionLength,
    tracked.filter((file) => /\.(cc|h)$/.test(file)),
  ],
  ['a README is short', rules.checkReadmeLength, ['README.md', 'README.pt-BR.md']],
  [
    'nothing of one machine, and no work left behind',
    rules.checkForbiddenTexts,
    tracked.filter(isText),
  ],
] as const satisfies readonly (readonly [string, Rule, readonly string[]])[]) {
  test(title, (t) => {
    t.deepEqual(apply(rule, files), []);
  });
}

test('every document that is named exists', (t) => {
  const known = new Set(present.map((file) => basename(file)));
  const rule: Rule = (_path, text) => rules.checkDocumentNames(text, known);
  // The tests name documents that don't exist, on purpose.
  const files = tracked.filter((file) => isText(file) && !file.startsWith('test/tidy'));
  t.deepEqual(apply(rule, files), []);
});

test('no modules import each other in a circle', (t) => {
  t.deepEqual(rules.importCircles(new Map(modules.map((file) => [file, read(file)]))), []);
});

test('the list of native sources and the tree agree', (t) => {
  const sources = tracked.filter((file) => /^native\/.*\.cc$/.test(file));
  t.deepEqual(rules.checkSourceList(read('native/sources.txt'), sources), []);
});

test('the map in ARCHITECTURE.md and the folders agree', (t) => {
  t.deepEqual(rules.checkMap(read('ARCHITECTURE.md'), rules.foldersToMap(tracked)), []);
});

test('the lock file holds no addresses', (t) => {
  t.deepEqual(rules.checkLockFile(read('package-lock.json')), []);
});

test('the two builds agree on what changes the meaning of the code', (t) => {
  t.deepEqual(rules.checkBuildsAgree(read('binding.gyp'), read('CMakeLists.txt')), []);
});

// --- The rules themselves -----------------------------------------------------------------------

/** Each example: a rule, a path, a text, and the lines in which the rule must find something. */
const examples: readonly (readonly [string, Rule, string, string, readonly number[]])[] = [
  [
    'sys includes store',
    rules.checkIncludeDirection,
    'native/sys/a.cc',
    '#include "store/b.h"',
    [1],
  ],
  [
    'sys includes intake',
    rules.checkIncludeDirection,
    'native/sys/a.h',
    '#include "sys/b.h"\n#include "intake/b.h"',
    [2],
  ],
  [
    'intake includes what it may, and what uses it',
    rules.checkIncludeDirection,
    'native/intake/a.h',
    '#include "intake/b.h"\n#include "sys/b.h"\n#include "http/b.h"\n#include "forward/b.h"',
    [3, 4],
  ],
  [
    'http includes what it may',
    rules.checkIncludeDirection,
    'native/http/a.h',
    '#include "http/b.h"\n#include "intake/b.h"\n#include "sys/b.h"',
    [],
  ],
  [
    'store includes intake',
    rules.checkIncludeDirection,
    'native/store/a.h',
    '#include "sys/b.h"\n#include "intake/b.h"',
    [2],
  ],
  [
    'http includes store',
    rules.checkIncludeDirection,
    'native/http/a.h',
    '\n#include "store/b.h"',
    [2],
  ],
  [
    'forward includes http',
    rules.checkIncludeDirection,
    'native/forward/a.h',
    '# include "http/b.h"',
    [1],
  ],
  [
    'store includes ledger',
    rules.checkIncludeDirection,
    'native/store/a.h',
    '#include "ledger/b.h"',
    [1],
  ],
  [
    'ledger includes forward',
    rules.checkIncludeDirection,
    'native/ledger/a.h',
    '#include "forward/b.h"',
    [1],
  ],
  [
    'ledger includes what it may',
    rules.checkIncludeDirection,
    'native/ledger/a.h',
    '#include "ledger/a.h"\n#include "engine/b.h"\n#include "store/b.h"\n#include "sys/b.h"',
    [],
  ],
  [
    'ledger includes http and face',
    rules.checkIncludeDirection,
    'native/ledger/a.h',
    '#include "http/b.h"\n#include "face/b.h"',
    [1, 2],
  ],
  [
    'face includes store and ledger',
    rules.checkIncludeDirection,
    'native/face/a.h',
    '#include "engine/b.h"\n#include "store/b.h"\n#include "ledger/b.h"',
    [2, 3],
  ],
  [
    'a name that is not from native/',
    rules.checkIncludeDirection,
    'native/http/a.cc',
    '#include "parser.h"',
    [1],
  ],
  [
    'a name that climbs',
    rules.checkIncludeDirection,
    'native/http/a.cc',
    '#include "../sys/fd.h"',
    [1],
  ],
  [
    'an include in a comment',
    rules.checkIncludeDirection,
    'native/sys/a.cc',
    '// #include "store/b.h"\n/*\n#include "store/b.h"\n*/',
    [],
  ],

  ['unistd outside sys', rules.checkSystemCalls, 'native/http/a.cc', '#include <unistd.h>', [1]],
  [
    'sys/socket outside sys',
    rules.checkSystemCalls,
    'native/forward/a.cc',
    'int a;\n#include <sys/socket.h>',
    [2],
  ],
  [
    'threads outside sys',
    rules.checkSystemCalls,
    'native/store/a.cc',
    'std::thread worker{run};\nauto a = std::async(run);\nstd::this_thread::yield();\nx = std::thread(run);',
    [1, 2, 3, 4],
  ],
  [
    'a thread that sys made',
    rules.checkSystemCalls,
    'native/binding/a.cc',
    '#include <thread>\nstd::thread thread_;\nthread_ = sys::start_thread("a", run);',
    [],
  ],
  ['streams outside sys', rules.checkSystemCalls, 'native/store/a.cc', '#include <iostream>', [1]],
  [
    'a raw call',
    rules.checkSystemCalls,
    'native/store/a.cc',
    'auto n = ::pwrite(fd, p, n, 0);',
    [1],
  ],
  [
    'a raw call after return',
    rules.checkSystemCalls,
    'native/store/a.cc',
    'return ::close(fd);',
    [1],
  ],
  [
    'the clock',
    rules.checkSystemCalls,
    'native/ledger/a.cc',
    'auto t = std::chrono::system_clock::now();',
    [1],
  ],
  ['printf', rules.checkSystemCalls, 'native/ledger/a.cc', 'std::printf("x");', [1]],
  [
    'all of it in sys',
    rules.checkSystemCalls,
    'native/sys/a.cc',
    '#include <unistd.h>\nint n = ::read(1, p, 2);',
    [],
  ],
  [
    'methods and strings with such names',
    rules.checkSystemCalls,
    'native/http/a.cc',
    '#include <cstdint>\nserver.listen(1); p->read(2); sys::read(3); espora::sys::close(4); log("::close(5)"); snprintf(b, 1, "");',
    [],
  ],

  ['napi outside binding', rules.checkNodeHeaders, 'native/store/a.cc', '#include <napi.h>', [1]],
  [
    'node_api in quotes outside binding',
    rules.checkNodeHeaders,
    'native/sys/a.cc',
    '#include "node_api.h"',
    [1],
  ],
  ['napi in binding', rules.checkNodeHeaders, 'native/binding/a.cc', '#include <napi.h>', []],

  ['assert', rules.checkFailures, 'native/sys/a.cc', '#include <cassert>\nassert(x);', [1, 2]],
  ['static_assert', rules.checkFailures, 'native/sys/a.cc', 'static_assert(sizeof(int) == 4);', []],
  ['throw', rules.checkFailures, 'native/http/a.cc', 'if (x) throw Error();', [1]],
  ['try and catch', rules.checkFailures, 'native/http/a.cc', 'try {\n} catch (...) {\n}', [1, 2]],
  ['throw in binding', rules.checkFailures, 'native/binding/a.cc', 'throw Napi::Error();', []],
  [
    'words that only contain them',
    rules.checkFailures,
    'native/http/a.cc',
    'int retry = try_again(); // try, throw\nconst char* s = "catch (x)";',
    [],
  ],

  ['no pragma', rules.checkPragmaOnce, 'native/http/a.h', '// A header.\nint a;', [1]],
  ['pragma in a source', rules.checkPragmaOnce, 'native/http/a.cc', 'int a;', []],

  ['no purpose', rules.checkPurpose, 'ts/a.ts', "import x from 'y';", [1]],
  ['an empty comment', rules.checkPurpose, 'ts/a.ts', '//\nlet a;', [1]],
  [
    'a source with its own header first',
    rules.checkPurpose,
    'native/sys/fd.cc',
    '#include "sys/fd.h"\n',
    [],
  ],
  [
    'a source with another header first',
    rules.checkPurpose,
    'native/sys/fd.cc',
    '#include "sys/file.h"\n',
    [1],
  ],
  ['a purpose', rules.checkPurpose, 'ts/a.ts', '// Says hello.\n', []],
  [
    'a purpose after the interpreter',
    rules.checkPurpose,
    'ts/a.ts',
    '#!/usr/bin/env node\n// Says hello.\n',
    [],
  ],

  [
    'an error in another voice',
    rules.checkErrorVoice,
    'ts/a.ts',
    "const a = 1; // it has to be\nthrow invalid(`${name} has to be a path`);\ninvalid('they have to be');\n",
    [2, 3],
  ],
  [
    'an error of C++ in another voice',
    rules.checkErrorVoice,
    'native/binding/a.cc',
    '"option \\"sync\\" has to be " + expected;\n// "has to be"\n"it must be one";',
    [1],
  ],
  [
    'a help text about persons',
    rules.checkPersons,
    'ts/options/table.ts',
    "help: 'whoever connects',\nhelp: \"for nobody's sake\",\nhelp: 'it listens', // who knows\nhelp: `${nobody ? 'a' : 'b'}`,\n * 'someone'",
    [1, 2],
  ],
  ['a person in capitals', rules.checkPersons, 'ts/errors.ts', "meaning: 'Nobody answers.'", [1]],
  ['words that only contain persons', rules.checkPersons, 'ts/a.ts', "'the whole, anyhow'", []],
  [
    'a README that goes on',
    rules.checkReadmeLength,
    'README.md',
    `${'x\n'.repeat(rules.readmeLinesMax)}x\n`,
    [rules.readmeLinesMax + 1],
  ],
  [
    'a README as long as one may be',
    rules.checkReadmeLength,
    'README.md',
    'x\n'.repeat(rules.readmeLinesMax),
    [],
  ],

  [
    'ts imports contest, whichever way',
    rules.checkImportDirection,
    'ts/cli/a.ts',
    "import {\n  b,\n} from '#espora/contest/b.js';\nimport '../../contest/c.js';\nexport type { D } from '#espora/lab/d.js';\nconst e = await import('#espora/contest/e.js');",
    [1, 4, 5, 6],
  ],
  [
    'ts imports ts and packages, and names what it loads when it runs',
    rules.checkImportDirection,
    'ts/cli/a.ts',
    "import { b } from '#espora/b.js';\nimport { c } from '../c.js';\nimport { d } from 'd';\nconst player: string = '#espora/contest/command.js';\nawait import(player);",
    [],
  ],
  [
    'lab imports contest, bench and test',
    rules.checkImportDirection,
    'lab/a.ts',
    "import { b } from '#espora/contest/b.js';\nimport { c } from '../bench/lib/c.js';\nimport { d } from '../test/helpers/d.js';\nimport { e } from '#espora/e.js';",
    [1, 2, 3],
  ],
  [
    'contest imports bench',
    rules.checkImportDirection,
    'contest/html/a.ts',
    "import { b } from '../../bench/lib/b.js';\nimport { c } from '#espora/lab/c.js';\nimport { d } from '../d.js';",
    [1],
  ],
  [
    'bench imports test',
    rules.checkImportDirection,
    'bench/lib/a.ts',
    "import { b } from '../../test/helpers/b.js';\nimport { c } from '#espora/contest/c.js';",
    [1],
  ],

  [
    'a function that goes on',
    rules.checkFunctionLength,
    'native/sys/a.cc',
    `namespace a {\n\nint f(int a,\n      int b) {\n${'  b();\n'.repeat(rules.functionLinesMax - 2)}}\n\n}`,
    [3],
  ],
  [
    'a member that goes on',
    rules.checkFunctionLength,
    'native/sys/a.h',
    `class A {\n  void f() {  // long\n${'    b();\n'.repeat(rules.functionLinesMax)}  }\n};\n`,
    [2],
  ],
  [
    'a function as long as one may be, in a long class',
    rules.checkFunctionLength,
    'native/sys/a.h',
    `class A {\n  void f() {\n${'    b();\n'.repeat(rules.functionLinesMax - 2)}  }\n\n  int a;\n};\n`,
    [],
  ],

  ['a file called assert', rules.checkFileName, 'native/sys/assert.h', '', [1]],
  ['a file about assertions', rules.checkFileName, 'test/helpers/assertions.ts', '', []],

  ['a machine path', rules.checkForbiddenTexts, 'a.md', `see /${'work'}/main/a`, [1]],
  ['a home', rules.checkForbiddenTexts, 'a.md', `\n"/${'home'}/ana/x"`, [2]],
  ['the home of the image', rules.checkForbiddenTexts, 'Dockerfile', `/${'home'}/node/app`, []],
  [
    'a folder of that name in the project',
    rules.checkForbiddenTexts,
    'a.md',
    `see ./${'work'}/main, net/${'work'}/a`,
    [],
  ],
  [
    'a test that leaves something out under a sanitizer',
    rules.checkSanitizerAsked,
    'test/native/sys/a_test.cc',
    '// __SANITIZE_ADDRESS__\n#if defined(__SANITIZE_THREAD__)',
    [2],
  ],
  ['a registry', rules.checkForbiddenTexts, 'a.json', `"https://registry.${'npmjs'}.org/a"`, [1]],
  ['a company registry', rules.checkForbiddenTexts, 'a', `https://x.${'jfrog'}.io/`, [1]],
  [
    'work left behind',
    rules.checkForbiddenTexts,
    'a.cc',
    `// ${'TO'}${'DO'}: x\n// ${'FIX'}ME`,
    [1, 2],
  ],
  ['a merge', rules.checkForbiddenTexts, 'a.cc', `${'<'.repeat(7)} HEAD\n${'='.repeat(7)}`, [1, 2]],
];

for (const [title, rule, path, text, lines] of examples) {
  test(`example: ${title}`, (t) => {
    t.deepEqual(
      rule(path, text).map(({ line }) => line),
      lines,
    );
  });
}

test('example: comments and strings are blanked, lines stay', (t) => {
  const source = 'a("x\\"y"); // c\n/* d\n e */ b(\'"\', 1\'000); R"(q\n")" z';
  const blanked = rules.withoutCommentsAndStrings(source);
  t.is(blanked.split('\n').length, source.split('\n').length);
  t.notRegex(blanked, /[cdexyq]/);
  t.regex(blanked, /^a\(.*\);.*\n.*\n.*b\(.*1'000\);[^]*z$/);
});

test('example: a list of sources that disagrees with the tree', (t) => {
  const files = ['native/sys/a.cc', 'native/sys/b.cc', 'native/http/c.cc'];
  const messages = (list: string): string[] =>
    rules.checkSourceList(list, files).map(({ message }) => message);
  t.deepEqual(messages('# c\nhttp/c.cc\nsys/a.cc\nsys/b.cc\n'), []);
  t.deepEqual(messages('http/c.cc\nsys/a.cc\n'), ['native/sys/b.cc is not listed']);
  t.deepEqual(messages('http/c.cc\nsys/a.cc\nsys/b.cc\nsys/d.cc\n'), ['sys/d.cc does not exist']);
  t.deepEqual(messages('http/c.cc\nsys/a.cc\nsys/a.cc\nsys/b.cc\n'), ['sys/a.cc is listed twice']);
  t.deepEqual(messages('sys/a.cc\nhttp/c.cc\nsys/b.cc\n'), [
    'sys/b.cc is not among the other sources of sys/',
  ]);
  t.true(
    messages('http/c.cc \nsys/a.cc\nsys/b.cc').includes('"http/c.cc " is not a source\'s name'),
  );
});

test('example: a lock file with an address', (t) => {
  const lock = { packages: { '': {}, 'node_modules/a': { resolved: 'https://x/a.tgz' } } };
  t.is(rules.checkLockFile(JSON.stringify(lock)).length, 1);
  t.is(rules.checkLockFile(JSON.stringify({ packages: { '': {} } })).length, 0);
});

test('example: modules that import each other in a circle', (t) => {
  const circles = (...sources: [string, string][]): string[] =>
    rules.importCircles(new Map(sources));
  const a: [string, string] = ['lab/a.ts', "import { b } from './b.js';\nimport { e } from 'e';"];
  t.deepEqual(circles(a, ['lab/b.ts', "import { c } from '#espora/c.js';"], ['ts/c.ts', '']), []);
  t.deepEqual(circles(a, ['lab/b.ts', "import type { A } from '#espora/lab/a.js';"]), [
    'lab/a.ts → lab/b.ts → lab/a.ts',
  ]);
  t.deepEqual(
    circles(
      ['bench/x.ts', "import { a } from '#espora/lab/a.js';"],
      a,
      ['lab/b.ts', "export { c } from './c/d.js';"],
      ['lab/c/d.ts', "const b = await import('#espora/lab/b.js');"],
    ),
    ['lab/b.ts → lab/c/d.ts → lab/b.ts'],
  );
});

test('example: a document that does not exist', (t) => {
  const known = new Set(['README.md', 'README.pt-BR.md']);
  const lines = (text: string): number[] =>
    rules.checkDocumentNames(text, known).map(({ line }) => line);
  t.deepEqual(
    lines('see README.md, README.pt-BR.md and NOWHERE.md\nand `README.fr-FR.md`'),
    [1, 2],
  );
});

test('example: a setting that only one build has', (t) => {
  const all = rules.sharedBuildSettings.join('\n');
  t.deepEqual(rules.checkBuildsAgree(all, all), []);
  for (const setting of rules.sharedBuildSettings) {
    const without = all.replace(setting, `# ${setting}`);
    t.is(rules.checkBuildsAgree(without, all).length, 1, setting);
    t.is(rules.checkBuildsAgree(all, without).length, 1, setting);
  }
});

test('example: a map that disagrees with the folders', (t) => {
  const files = [
    'native/sys/a.cc',
    'native/x.txt',
    'ts/cli/b.ts',
    'ts/c.ts',
    'docs/d.md',
    '.ci/e',
    'f',
  ];
  const folders = rules.foldersToMap(files);
  t.deepEqual([...folders].sort(), ['docs', 'native', 'native/sys', 'ts', 'ts/cli']);
  const found = (...map: string[]): string[] =>
    rules
      .checkMap(['# A', '', '```', ...map, '```', ''].join('\n'), folders)
      .map(({ line, message }) => `${line}: ${message}`);
  const native = ['native/   the addon', '          sys/ first', '  sys/    calls'];
  t.deepEqual(found(...native, 'ts/   control', '  cli/  commands', 'docs/  text'), []);
  t.deepEqual(found(...native, 'ts/ docs/   control', '  cli/  commands'), [
    '8: there is no folder docs/cli/',
    '3: the map lacks ts/cli/',
  ]);
  t.deepEqual(found(...native, 'ts/   control', '  cli/ web/  commands', 'docs/  text'), [
    '8: there is no folder ts/web/',
  ]);
  t.deepEqual(found(...native, 'ts/   control', 'docs/  text'), ['3: the map lacks ts/cli/']);
  t.deepEqual(found('ts/  control'), ['1: there is no map that begins with native/']);
});
