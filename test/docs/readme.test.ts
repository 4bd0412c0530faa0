// What the READMEs and references show is what there is: tables, commands, links, and both languages tell
// the same.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { createProgram } from '#espora/cli/program.js';
import type { Actions } from '#espora/cli/program.js';
import { quotedIn, quotingDocuments } from '../../bench/lib/quotations.js';
import { documents, withTables } from './tables.js';

const read = (file: string): string => readFileSync(file, 'utf8');

/** Lines of code blocks, with continuations joined. */
function codeLines(document: string): string[] {
  const blocks = [...document.matchAll(/^```[a-z]*\n([^]*?)^```$/gm)].map(([, body]) => body!);
  return blocks.flatMap((body) => body.replaceAll(/\\\n\s*/g, ' ').split('\n'));
}

/** The arguments of each `espora` in a document's code, without what follows on the line. */
function commandsIn(document: string): string[][] {
  return codeLines(document).flatMap((line) => {
    const found = /(?:^|\s)(?:npx espora|npm start --|npm run contest --) (.*)$/.exec(line);
    if (found === null) return [];
    const words = found[1]!
      .replace(/\s+(#|&|>|\|).*$/, '')
      .trim()
      .split(/\s+/);
    const first = line.includes('npm start')
      ? ['start']
      : line.includes('npm run')
        ? ['contest']
        : [];
    return [[...first, ...words]];
  });
}

const readmesAndReferences = ['README.md', 'README.pt-BR.md', ...Object.keys(documents)];
const anew = 'npm run build && node .build/test/docs/update.js writes them anew';

for (const [file, language] of Object.entries(documents)) {
  test(`${file}: its tables are those of the code`, (t) => {
    t.is(read(file), withTables(read(file), language), anew);
  });
}

for (const file of quotingDocuments) {
  test(`${file}: its figures are those of bench/results/`, (t) => {
    t.is(read(file), quotedIn(file, read), anew);
  });
}

for (const file of readmesAndReferences) {
  test(`${file}: every command that it shows is understood`, async (t) => {
    const shown = commandsIn(read(file));
    t.true(shown.length > (file in documents ? 5 : 1));
    for (const words of shown) {
      if (words[0] === 'contest') continue; // Would play it.
      let ran: string | undefined;
      const note = (name: string) => () => {
        ran = name;
        return Promise.resolve(0);
      };
      const actions: Actions = {
        start: note('start'),
        service: note('service'),
        inspect: note('inspect'),
        verify: note('verify'),
        export: note('export'),
        repair: note('repair'),
        backup: note('backup'),
        config: note('config'),
      };
      await createProgram(() => undefined, actions).parseAsync(words, { from: 'user' });
      t.truthy(ran, words.join(' '));
    }
  });
}

const linking = [
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'bench/README.md',
  'docker/README.md',
  'docs/lessons.md',
  'docs/library.md',
  ...readmesAndReferences,
];

/** More links than this; where nothing is said, at least one. */
const linksMin: Readonly<Record<string, number>> = {
  'README.md': 15,
  'README.pt-BR.md': 15,
  'bench/README.md': 8,
  'docs/reference.md': 3,
  'docs/reference.pt-BR.md': 3,
  'docker/README.md': -1,
};

for (const file of linking) {
  test(`${file}: every file that it links to exists`, (t) => {
    const links = [...read(file).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, path]) => path!);
    t.true(links.length > (linksMin[file] ?? 0));
    t.deepEqual(
      links.filter((path) => !existsSync(join(dirname(file), path))),
      [],
    );
  });
}

for (const [english, portuguese] of [
  ['README.md', 'README.pt-BR.md'],
  ['docs/reference.md', 'docs/reference.pt-BR.md'],
] as const) {
  test(`${english} and ${portuguese} have the same sections and the same code`, (t) => {
    const shape = (file: string): string[] =>
      read(file)
        .split('\n')
        .flatMap((line) => /^(#+) /.exec(line)?.[1] ?? []);
    t.deepEqual(shape(portuguese), shape(english));
    const code = (file: string): string[] =>
      codeLines(read(file))
        .map((line) => line.replace(/\s+#.*$/, ''))
        .filter((line) => /npx|npm|espora/.test(line));
    t.deepEqual(code(portuguese), code(english));
  });
}

// GitHub's anchors: letters, digits, spaces as hyphens.
const anchorsOf = (document: string): string[] =>
  [...document.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

for (const file of readmesAndReferences) {
  test(`${file}: every section that it links to exists`, (t) => {
    const links = [...read(file).matchAll(/\]\(([^)#:]*)#([^)]*)\)/g)];
    t.true(links.length > 0);
    for (const [, path, anchor] of links) {
      const target = path === '' ? file : join(dirname(file), path!);
      t.true(anchorsOf(read(target)).includes(anchor!), `${target}#${anchor}`);
    }
  });
}
