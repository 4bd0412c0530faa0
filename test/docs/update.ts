// Writes the tables of the READMEs and docs/library.md anew: `npm run build && node .build/test/docs/update.js`.
import { readFileSync, writeFileSync } from 'node:fs';
import { libraryReference } from './library.js';
import { documents, withTables } from './tables.js';

for (const [file, language] of Object.entries(documents)) {
  writeFileSync(file, withTables(readFileSync(file, 'utf8'), language));
}
writeFileSync('docs/library.md', libraryReference());
