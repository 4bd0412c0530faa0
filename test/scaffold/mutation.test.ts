// What the campaign `mutants` decides: which mistakes are played, which are known to be none, and when a
// score fails.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';

import { checkout } from './project.js';

interface Mutant {
  readonly file: string;
  readonly number: number;
  readonly line: string;
  readonly mutant: string;
}
interface Entry {
  readonly file: string;
  readonly line: string;
  readonly mutant: string;
  readonly reason: string;
}
interface Result {
  readonly room: string;
  readonly killed: number;
  readonly survivors: readonly Mutant[];
}

const { complaintOf, drawn, equivalentTo, isWorthwhile, mutated, scoreOf, staleEntries } =
  (await import(join(checkout, 'scripts/prove/mutation.mjs'))) as {
    complaintOf: (result: Result) => string | undefined;
    drawn: (mutants: readonly Mutant[], random: { below(count: number): number }) => Mutant[];
    equivalentTo: (entries: readonly Entry[], mutant: Mutant) => Entry | undefined;
    isWorthwhile: (mutant: { line: string; mutant: string }) => boolean;
    mutated: (text: string, mutant: Mutant) => string;
    scoreOf: (result: Result) => number | undefined;
    staleEntries: (
      entries: readonly Entry[],
      textOf: (file: string) => string | undefined,
    ) => string[];
  };
const { Random } = (await import(join(checkout, 'scripts/differential/generate.mjs'))) as {
  Random: new (seed: number) => { below(count: number): number };
};

const { meaningOf } = (await import(join(checkout, 'scripts/prove/meaning.mjs'))) as {
  meaningOf: (text: string) => string;
};

const at = (number: number, mutant: string, file = 'a.cc'): Mutant => ({
  file,
  number,
  line: `line ${number}`,
  mutant,
});
const survivors = (count: number): Mutant[] => Array.from({ length: count }, () => at(1, 'x'));

test('each line has its turn before a line has another, and nothing is lost or played twice', (t) => {
  const crowded = Array.from({ length: 50 }, (_, i) => at(1, `m${i}`));
  const others = Array.from({ length: 9 }, (_, i) => at(i + 2, 'm'));
  const sameNumber = at(1, 'm', 'b.cc');
  const all = [...crowded, ...others, sameNumber];
  const order = drawn(all, new Random(7));
  t.is(new Set(order.slice(0, 11).map(({ file, number }) => `${file}:${number}`)).size, 11);
  t.true(all.every((mutant) => order.includes(mutant)));
  t.is(order.length, all.length);
});

test('the seed decides', (t) => {
  const all = Array.from({ length: 40 }, (_, i) => at((i % 20) + 1, `m${i}`));
  t.deepEqual(drawn(all, new Random(3)), drawn(all, new Random(3)));
  t.notDeepEqual(drawn(all, new Random(3)), drawn(all, new Random(4)));
  t.deepEqual(drawn([], new Random(3)), []);
});

for (const [title, line, mutant, expected] of [
  ['an operator', 'if (a < b) {', 'if (a > b) {', true],
  ['a line that is left out', '  flush();', '  /*flush();*/', true],
  ['a number with separators', "x = 1'000 + y;", "x = 1'000 - y;", true],
  ['behind a string', 'say("a", b + 1);', 'say("a", b - 1);', true],
  ['behind an escaped quote', "say('it\\'s', b + 1);", "say('it\\'s', b - 1);", true],
  ['a text', "say('a + b');", "say('a - b');", false],
  ['a text in a template', 'say(`a + b`);', 'say(`a - b`);', false],
  ['a text with an escaped quote', 'say("a\\" + b");', 'say("a\\" - b");', false],
  ['a part of a text, left out', '    "a, " "b");', '    /*"a, " "b");*/', false],
  ['a value in a list, left out', "  'a',", "  /*'a',*/", true],
  ['one of two values, left out', "  ? 'a b' : 'c d'", "  /*? 'a b' : 'c d'*/", true],
  ['an include', '#include <a>', '#include >a>', false],
  ['an import', "import { a, b } from 'c';", "import { b, a } from 'c';", false],
  ['what the compiler checks', 'static_assert(a == 1);', 'static_assert(a != 1);', false],
  ['a comment', ' * a + b', ' * a - b', false],
  ['only its indentation', '  flush();', 'flush();', false],
] as const) {
  test(`worth playing: ${title}: ${expected}`, (t) => {
    t.is(isWorthwhile({ line, mutant }), expected);
  });
}

test('a mutant takes the place of its line, and the lines below it keep their numbers', (t) => {
  const text = 'a;\nb;\nc;\n';
  t.is(mutated(text, at(2, 'x;')), 'a;\nx;\nc;\n');
  t.is(mutated(text, at(2, 'b;\nbreak;')), 'a;\nb;\nbreak;\n#line 3\nc;\n');
  t.is(mutated(text, at(2, 'b;\nbreak;', 'a.ts')), 'a;\nb;\nbreak;\nc;\n');
});

const entry: Entry = { file: 'a.cc', line: 'a < b;', mutant: 'a <= b;', reason: 'a is never b' };

test('a known equivalent is one by its file, line and mutant, wherever the line stands', (t) => {
  const mutant = { file: 'a.cc', number: 9, line: '    a < b;', mutant: '    a <= b;' };
  t.is(equivalentTo([entry], mutant), entry);
  t.is(equivalentTo([entry], { ...mutant, file: 'b.cc' }), undefined);
  t.is(equivalentTo([entry], { ...mutant, line: 'c < b;' }), undefined);
  t.is(equivalentTo([entry], { ...mutant, mutant: 'a > b;' }), undefined);
});

test('an entry whose line is gone, or that gives no reason, is an error', (t) => {
  const text = 'x;\n  a < b;\n';
  t.deepEqual(
    staleEntries([entry], () => text),
    [],
  );
  for (const [wrong, of] of [
    [entry, 'x;\n'],
    [entry, 'if (a < b;)'],
    [entry, undefined],
    [{ ...entry, reason: ' ' }, text],
    [{ ...entry, mutant: entry.line }, text],
    [{ file: 'a.cc', line: 'a < b;', mutant: 'a <= b;' } as Entry, text],
  ] as const) {
    t.is(
      staleEntries([entry, wrong], (file) => (file === 'a.cc' ? of : undefined)).length >= 1,
      true,
    );
  }
});

test('the entries of this tree are sound', (t) => {
  const read = (file: string): string | undefined => {
    const path = join(checkout, file);
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  };
  const entries = JSON.parse(read('test/mutants/equivalent.json')!) as Entry[];
  t.deepEqual(staleEntries(entries, read), []);
});

test('a score is the share of those that were killed', (t) => {
  t.is(scoreOf({ room: 'a', killed: 3, survivors: survivors(1) }), 0.75);
  t.is(scoreOf({ room: 'a', killed: 0, survivors: [] }), undefined);
});

test('a room fails below the score wanted, where nothing was played, and where nothing was killed', (t) => {
  const complaint = (killed: number, survived: number): string | undefined =>
    complaintOf({ room: 'ts/a', killed, survivors: survivors(survived) });
  t.is(complaint(17, 3), undefined);
  t.is(complaint(16, 4), 'ts/a: 80 % killed, 85 % are wanted');
  t.is(complaint(1, 1), undefined, 'a share of so few says nothing');
  t.is(complaint(0, 2), 'ts/a: not one of 2 mutants was killed');
  t.is(complaint(0, 0), 'ts/a: there was no mutant to play');
});

test('what is never reached, ends a function anyway or only stands in another order means the same', (t) => {
  const inSwitch = (end: string): string =>
    `function f() { switch (a) { case 1: return b; default: ${end} } }`;
  for (const [same, a, b] of [
    [true, 'for (const x of y) f(x);', 'for (const x of y) { f(x); continue; }'],
    [true, 'throw error;', 'throw error; f();'],
    [true, 'f({ a, b: 1 });', 'f({ b: 1, a });'],
    [true, 'const { a: { c, b }, d } = f();', 'const { d, a: { b, c } } = f();'],
    [true, 'const { a, b: c, ...d } = f();', 'const { b: c, a, ...d } = f();'],
    [false, 'const { a, b: c, ...d } = f();', 'const { a, b: d, ...c } = f();'],
    [true, 'function f() { g(); return undefined; }', 'function f() { g(); }'],
    [true, 'const f = () => { if (a) g(); else return; };', 'const f = () => { if (a) g(); };'],
    [false, 'function f() { if (a) return; g(); }', 'function f() { if (a); g(); }'],
    [false, 'function f() { if (a) return b; }', 'function f() { if (a) b; }'],
    [true, inSwitch('return undefined;'), inSwitch('')],
    [true, inSwitch('break; return undefined;'), inSwitch('')],
    [false, inSwitch('return c;'), inSwitch('')],
    [
      false,
      'function f() { switch (a) { case 1: return; default: g(); } }',
      'function f() { switch (a) { case 1: default: g(); } }',
    ],
    [false, 'for (const x of y) f(x);', 'for (const x of y) { f(x); break; }'],
    [false, 'f({ ...x, a });', 'f({ a, ...x });'],
    [false, 'f([a, b]);', 'f([b, a]);'],
    [false, 'f({ a: 1 });', 'f({ a: 2 });'],
    [false, 'if (a) f();', 'if (!a) f();'],
  ] as const) {
    t.is(meaningOf(a) === meaningOf(b), same, b);
  }
});
