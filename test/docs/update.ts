// Writes the tables of the documents and docs/library.md anew: `npm run build && node .build/test/docs/update.js`.
import { readFileSync, writeFileSync } from 'node:fs';
import { quotedIn, quotingDocuments } from '../../bench/lib/quotations.js';
import { libraryReference } from './library.js';
import { documents, withTables } from './tables.js';

const read = (file: string): string => readFileSync(file, 'utf8');

for (const [file, language] of Object.entries(documents)) {
  writeFileSync(file, withTables(read(file), language));
}
for (const file of quotingDocuments) writeFileSync(file, quotedIn(file, read));
writeFileSync('docs/library.md', libraryReference());
