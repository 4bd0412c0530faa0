// `npm run prove -- CAMPAIGN [--seed S] [--seconds T] [...]`: proves what the store promises, one campaign
// at a time or, without a name, all of them. What a campaign does and what it can't show is in
// test/README.md. A failure prints the seed and the commit it was seen on.

import { execFileSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { at, root } from './lib/project.mjs';
import { Failure, runScript } from './lib/run.mjs';

const load = (module) => import(pathToFileURL(at('.build/test', module)).href);

const sentence = (summary) =>
  Object.entries(summary)
    .map(([name, value]) => {
      const shown = value instanceof Map ? JSON.stringify(Object.fromEntries(value)) : value;
      return `${name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)} ${shown}`;
    })
    .join(', ');

/** Each campaign: what it is called, what it does, and how it is run; `run` gives a sentence or throws. */
const campaigns = [
  {
    name: 'kill',
    about: 'kill -9 of the real service under load, at random times and at chosen system calls',
    async run({ seed, kills, say }) {
      const { killCampaign } = await load('campaigns/kill.js');
      return sentence(await killCampaign({ seed, kills: kills ?? 500, say }));
    },
  },
  {
    name: 'faults',
    about: 'failing system calls in the real service, while it works and while it opens',
    async run({ seed, faults, say }) {
      const { faultCampaign } = await load('campaigns/faults.js');
      return sentence(await faultCampaign({ seed, faults: faults ?? 300, say }));
    },
  },
  {
    name: 'order',
    about: 'system-call traces of the database under load: every answer left after its flush',
    async run({ seed, seconds, say }) {
      const { orderCampaign } = await load('campaigns/order.js');
      return sentence(await orderCampaign({ seed, seconds: seconds ?? 120, say }));
    },
  },
  {
    name: 'power',
    about: 'power cuts on a real file system, ext4, xfs and btrfs unless --file-system chooses one',
    async run({ seed, cuts, 'file-system': chosen, say }) {
      const [{ powerCampaign }, { fileSystems }] = await Promise.all(
        ['campaigns/power.js', 'campaigns/mounts.js'].map(load),
      );
      if (chosen !== undefined && !fileSystems.includes(chosen)) {
        throw new Failure(`--file-system ${chosen}: give one of ${fileSystems.join(', ')}.`);
      }
      const sentences = [];
      for (const fileSystem of chosen === undefined ? fileSystems : [chosen]) {
        const summary = await powerCampaign({ seed, cuts: cuts ?? 200, fileSystem, say });
        sentences.push(sentence(summary));
      }
      return sentences.join('; ');
    },
  },
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    seconds: { type: 'string' },
    kills: { type: 'string' },
    faults: { type: 'string' },
    cuts: { type: 'string' },
    'file-system': { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
});

/** A whole number out of an option, or undefined. */
function whole(name) {
  const text = values[name];
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) throw new Failure(`--${name} ${text}: give a whole number.`);
  return Number(text);
}

function commit() {
  try {
    const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
    return (
      git('rev-parse', '--short', 'HEAD') +
      (git('status', '--porcelain') === '' ? '' : ' with changes')
    );
  } catch {
    return 'unknown';
  }
}

await runScript(async () => {
  const chosen = positionals.length === 0 ? campaigns.map(({ name }) => name) : positionals;
  const unknown = chosen.find((name) => !campaigns.some((campaign) => campaign.name === name));
  if (unknown !== undefined) {
    const known = campaigns.map(({ name, about }) => `  ${name}: ${about}`).join('\n');
    throw new Failure(`There is no campaign ${unknown}; there are:\n${known}`);
  }
  const options = {
    seed: whole('seed') ?? Math.floor(Math.random() * 2 ** 31),
    seconds: whole('seconds'),
    kills: whole('kills'),
    faults: whole('faults'),
    cuts: whole('cuts'),
    'file-system': values['file-system'],
    say: (line) => values.verbose && process.stdout.write(`  ${line}\n`),
  };
  for (const name of chosen) {
    const started = performance.now();
    const { run } = campaigns.find((campaign) => campaign.name === name);
    try {
      const told = await run(options);
      const seconds = ((performance.now() - started) / 1000).toFixed(0);
      process.stdout.write(
        `prove ${name}: nothing found, seed ${options.seed}, ${seconds} s: ${told}\n`,
      );
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw new Failure(
        `prove ${name}: FAILED, seed ${options.seed}, commit ${commit()}\n${error.stack ?? error}`,
      );
    }
  }
});
