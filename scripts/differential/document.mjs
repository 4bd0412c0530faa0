// The list of differences as a document: `node scripts/differential/document.mjs` writes it.

import { writeFileSync } from 'node:fs';
import { at } from '../lib/project.mjs';
import { classes } from './differences.mjs';

export const documentPath = 'test/conformance/DIFFERENCES.md';

export function documentText() {
  const rows = Object.entries(classes).map(([name, reason]) => `| ${name} | ${reason} |`);
  return `# Where our HTTP parser and Node.js's differ

\`npm run differential\` gives the same generated and mutated requests to both (llhttp in strict mode) and
compares verdict, method, path, body and persistence. Each difference that it knows is below; any other
fails. This file is written from \`scripts/differential/differences.mjs\`.

| difference | reason |
| --- | --- |
${rows.join('\n')}
`;
}

if (process.argv[1] === at('scripts/differential/document.mjs')) {
  writeFileSync(at(documentPath), documentText());
}
