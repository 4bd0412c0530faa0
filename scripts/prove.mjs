// `npm run prove -- CAMPAIGN [--option VALUE]…`: the proofs of the store, each a campaign with a bound and
// a seed. Without a campaign: all of them, one after the other, with the bounds of a long run. What each
// one shows, and what none of them can, is in test/README.md. A failure prints its seed, the commit and the
// command that shows it again.

import { parseArgs } from 'node:util';
import { Failure, run, runScript } from './lib/run.mjs';
import { mutants } from './prove/mutants.mjs';
import { faults, kill, order, power } from './prove/service.mjs';
import { scope, sim, teeth } from './prove/simulation.mjs';

/**
 * A campaign:
 *   summary   one sentence
 *   options   name → { what, default }, all with a value; { what, type: 'boolean' } without one
 *   long      the values that a run of all campaigns takes instead of the defaults
 *   run       async (values) → true if nothing was found; prints what it did, and on a failure how to see
 *             it again
 */
const campaigns = { sim, scope, teeth, kill, faults, order, power, mutants };

function usage() {
  const lines = ['npm run prove [-- CAMPAIGN [--option VALUE]...]', ''];
  for (const [name, { summary, options }] of Object.entries(campaigns)) {
    lines.push(`${name}: ${summary}`);
    for (const [option, { what, default: value }] of Object.entries(options)) {
      lines.push(`  --${option.padEnd(12)} ${what}${value === undefined ? '' : ` (${value})`}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

/** The values of a campaign's options; a Failure names what is wrong. */
function read(campaign, args) {
  const options = {};
  for (const [name, { type = 'string', default: value }] of Object.entries(campaign.options)) {
    options[name] = value === undefined ? { type } : { type, default: value };
  }
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    throw new Failure(`${error.message} Options are:\n${usage()}`);
  }
}

async function commit() {
  const { code, output } = await run('git', ['describe', '--always', '--dirty', '--abbrev=12']);
  return code === 0 ? output.trim() : 'unknown';
}

await runScript(async () => {
  const [name, ...args] = process.argv.slice(2);
  if (name === '--help' || name === '-h') {
    process.stdout.write(usage());
    return 0;
  }
  const all = name === undefined;
  if (!all && !Object.hasOwn(campaigns, name)) {
    throw new Failure(`There is no campaign "${name}".\n${usage()}`);
  }
  let failed = 0;
  for (const each of all ? Object.keys(campaigns) : [name]) {
    const campaign = campaigns[each];
    const values = { ...read(campaign, args), ...(all ? campaign.long : {}) };
    const began = Date.now();
    const good = await campaign.run(values);
    if (!good) failed += 1;
    const seconds = ((Date.now() - began) / 1000).toFixed(0);
    process.stdout.write(`prove ${each}: ${good ? 'nothing found' : 'FAILED'}, ${seconds} s\n`);
  }
  if (failed > 0) process.stdout.write(`The commit was ${await commit()}.\n`);
  return failed === 0 ? 0 : 1;
});
