// Builds native programs of the benchmarks (bench/load/), all or those that are named, and prints the
// folder that they are in: `node scripts/bench-programs.mjs load_generator`. Needs cmake.

import { buildBench } from './lib/bench.mjs';
import { runScript } from './lib/run.mjs';

await runScript(async () => {
  const folder = await buildBench(process.argv.slice(2).map((name) => `bench_${name}`));
  process.stdout.write(`${folder}\n`);
});
