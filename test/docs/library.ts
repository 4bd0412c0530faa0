// The library's reference, docs/library.md, out of the comments of its sources.
import ts from 'typescript';

const purpose = [
  '# The store as a library',
  '',
  'Made from the comments in `ts/store/` by `npm run build && node .build/test/docs/update.js`. An',
  'introduction is in the [README](../README.md#the-store-as-a-library).',
  '',
];

/** What is shown, in this order. */
const order = [
  'openStore',
  'StoreOptions',
  'Sync',
  'Store',
  'Appended',
  'AppendedBatch',
  'ReadRange',
  'Row',
  'Backup',
  'StoreStats',
  'VerifyReport',
  'record',
  'u8',
  'u16',
  'u32',
  'u64',
  'i8',
  'i16',
  'i32',
  'i64',
  'f64',
  'bool',
  'enumOf',
  'utf8',
  'bytes',
  'RecordType',
  'RecordOf',
  'RecordShape',
  'Field',
  'FieldSchema',
  'EsporaError',
];

const printer = ts.createPrinter({ removeComments: true });

function comment(node: ts.Node): string {
  const docs = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc);
  const text = ts.getTextOfJSDocComment(docs.at(-1)?.comment) ?? '';
  return text.replace(/\{@link ([\w.]+)\}/g, '`$1`').trim();
}

const internal = (node: ts.Node): boolean =>
  ts.getJSDocTags(node).some(({ tagName }) => tagName.text === 'internal');

/** A declaration without its body, as in a .d.ts file. */
function signature(node: ts.Node, file: ts.SourceFile): string {
  return printer
    .printNode(ts.EmitHint.Unspecified, node, file)
    .replace(/^export (?:declare )?/, '')
    .replace(/^declare /, '')
    .replace(/;$/, '');
}

function memberLines(
  node: ts.ClassDeclaration | ts.InterfaceDeclaration,
  file: ts.SourceFile,
): string[] {
  return [...node.members].flatMap((member) => {
    const name = member.name;
    const secret = name !== undefined && ts.isPrivateIdentifier(name);
    if (secret || internal(member) || ts.isConstructorDeclaration(member)) return [];
    const text = comment(member);
    return [
      `- \`${signature(member, file).replace(/\s+/g, ' ')}\`${text === '' ? '' : `  \n  ${text.replace(/\n/g, '\n  ')}`}`,
    ];
  });
}

function section(name: string, nodes: readonly ts.Declaration[]): string[] {
  const lines = [`## ${name}`, ''];
  const first = nodes[0]!;
  const file = first.getSourceFile();
  const documented = nodes.map(comment).find((text) => text !== '') ?? '';
  if (documented !== '') lines.push(documented, '');
  if (ts.isClassDeclaration(first) || ts.isInterfaceDeclaration(first)) {
    lines.push(...memberLines(first, file), '');
    return lines;
  }
  const shown = ts.isVariableDeclaration(first) ? [first.parent.parent] : nodes;
  lines.push('```ts', ...shown.map((node) => signature(node, file)), '```', '');
  return lines;
}

/** The whole document, from the compiled declarations. */
export function libraryReference(): string {
  const program = ts.createProgram(['dist/index.d.ts'], {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
  });
  const checker = program.getTypeChecker();
  const index = program.getSourceFile('dist/index.d.ts')!;
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(index)!);
  const lines = order.flatMap((name) => {
    const found = exported.find((symbol) => symbol.name === name);
    if (found === undefined) throw new Error(`the package does not export ${name}`);
    const symbol =
      (found.flags & ts.SymbolFlags.Alias) === 0 ? found : checker.getAliasedSymbol(found);
    return section(name, symbol.declarations ?? []);
  });
  return [...purpose, ...lines].join('\n');
}
