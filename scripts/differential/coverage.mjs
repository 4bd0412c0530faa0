// The coverage of our parser by the inputs, measured by the compiler's instrumentation (gcov).

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { at, filesBelow } from '../lib/project.mjs';
import { Failure, run } from '../lib/run.mjs';

/** CMake definitions of an instrumented build; each source has counts of its own. */
export const countingBuild = {
  CMAKE_CXX_FLAGS: '--coverage',
  CMAKE_BUILD_TYPE: 'Release',
  ESPORA_UNITY: 'OFF',
};

const sources = ['request_parser', 'chunk_decoder', 'header_fields'];
const objects = 'CMakeFiles/espora_http.dir/native/http';

/** Resets the counts: a program adds to those of its earlier runs. */
export function forgetCounts(folder) {
  for (const file of filesBelow(folder, (name) => name.endsWith('.gcda'))) rmSync(at(file));
}

/** Lines and branches of a source that ran at least once; call it after the program has ended. */
async function coverageOf(folder, source) {
  const counts = join(folder, objects, `${source}.cc.gcda`);
  const { code, output } = await run('gcov', [
    '--json-format',
    '--branch-probabilities',
    '--stdout',
    counts,
  ]);
  if (code !== 0) throw new Failure(`gcov ${counts} failed: ${output.trim()}`);
  const { files } = JSON.parse(output);
  // Implicit branches for exceptions are not in the source.
  const lines = files.find(({ file }) => file.endsWith(`/${source}.cc`)).lines;
  const branches = lines.flatMap((line) => line.branches.filter((branch) => !branch.throw));
  return {
    lines: lines.length,
    linesRun: lines.filter(({ count }) => count > 0).length,
    branches: branches.length,
    branchesTaken: branches.filter(({ count }) => count > 0).length,
    missed: lines.filter(({ count }) => count === 0).map((line) => line.line_number),
  };
}

/** One line of text for each source of the parser. */
export async function describeCoverage(folder) {
  const share = (part, whole) => `${((100 * part) / whole).toFixed(1)} %`;
  const described = [];
  for (const source of sources) {
    const of = await coverageOf(folder, source);
    const missed = of.missed.length === 0 ? '' : `; not: line ${of.missed.join(', ')}`;
    described.push(
      `${source}.cc: ${share(of.linesRun, of.lines)} of ${of.lines} lines run, ` +
        `${share(of.branchesTaken, of.branches)} of ${of.branches} branches taken${missed}`,
    );
  }
  return described;
}
