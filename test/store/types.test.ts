// The declarations as a program outside meets them: right uses compile, wrong ones do not, whatever
// way modules are resolved, and the declarations themselves are checked, with all that they import.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import ts from 'typescript';

const project = fileURLToPath(new URL('../../../', import.meta.url));
const fixture = join(project, 'test', 'fixtures', 'library-types.ts');

// What both ways read is read once.
const read = new Map<string, ts.SourceFile | undefined>();

function hostFor(options: ts.CompilerOptions): ts.CompilerHost {
  const host = ts.createCompilerHost(options);
  const getSourceFile = host.getSourceFile.bind(host);
  host.getCurrentDirectory = () => project;
  host.getSourceFile = (path, how, ...rest) => {
    // The same text is another module, or none, in another way of resolution.
    const format = typeof how === 'object' ? how.impliedNodeFormat : undefined;
    const key = `${path} ${format}`;
    if (!read.has(key)) read.set(key, getSourceFile(path, how, ...rest));
    return read.get(key);
  };
  return host;
}

// Most of the time goes into declarations of others, which either way reads from the same files: what ours
// import is checked the first way, TypeScript's own and those of Node.js, never.
for (const [module, moduleResolution, others] of [
  [
    ts.ModuleKind.NodeNext,
    ts.ModuleResolutionKind.NodeNext,
    /\/node_modules\/(@types|undici-types)\//,
  ],
  [ts.ModuleKind.ESNext, ts.ModuleResolutionKind.Bundler, /\/node_modules\//],
] as const) {
  test(`types: ${ts.ModuleResolutionKind[moduleResolution]}`, (t) => {
    const options: ts.CompilerOptions = {
      noEmit: true,
      strict: true,
      skipLibCheck: false,
      target: ts.ScriptTarget.ES2022,
      lib: ['lib.es2022.d.ts', 'lib.esnext.disposable.d.ts'],
      types: ['node'],
      module,
      moduleResolution,
    };
    const host = hostFor(options);
    const program = ts.createProgram([fixture], options, host);
    const found = [...program.getOptionsDiagnostics(), ...program.getGlobalDiagnostics()];
    const checked = program
      .getSourceFiles()
      .filter((file) => !program.isSourceFileDefaultLibrary(file) && !others.test(file.fileName));
    for (const file of checked) {
      found.push(...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file));
    }
    t.is(ts.formatDiagnostics(found, host), '');
    // The fixture, and the declarations that it came to.
    t.true(checked.some(({ fileName }) => fileName === fixture));
    t.true(checked.some(({ fileName }) => fileName.endsWith('/dist/store/store.d.ts')));
  });
}
