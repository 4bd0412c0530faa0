// Shows what sanitizers wrote about our code into a folder (log_path=FOLDER/report) while tests ran on
// stock Node.js; exit code 1 if there is any. Usage: sanitizer-reports.mjs FOLDER ADDON

import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { addressesIn, isForeign, splitReports, withNames } from './lib/sanitizer-reports.mjs';

const [folder, addon] = process.argv.slice(2);

/** Function, file and line of each address, by addr2line, inlined frames included. */
function namesOf(addresses) {
  return new Map(
    addresses.map((address) => {
      const options = ['--exe', addon, '--demangle', '--functions', '--inlines', '--pretty-print'];
      const text = execFileSync('addr2line', [...options, address], { encoding: 'utf8' });
      return [address, text.trim().replaceAll('\n', '\n      ')];
    }),
  );
}

const reports = readdirSync(folder).flatMap((file) =>
  splitReports(readFileSync(join(folder, file), 'utf8')),
);
const ours = reports.filter((report) => !isForeign(report));
for (const report of ours) {
  process.stdout.write(`${withNames(report, namesOf(addressesIn(report)))}\n\n`);
}
process.stdout.write(
  `sanitizer reports: ${ours.length} about this code, ${reports.length - ours.length} about Node.js itself\n`,
);
process.exitCode = ours.length === 0 ? 0 : 1;
