// The campaigns on the real service: `kill`, `faults`, `order` and `power`. They are compiled from
// test/campaigns/, with native programs from test/native/campaigns/.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';
import { at, root } from '../lib/project.mjs';
import { Failure, whole } from '../lib/run.mjs';

const load = (name) => import(pathToFileURL(at('.build/test/campaigns', `${name}.js`)).href);

const common = {
  seed: { what: 'what the run is drawn from; without one, any' },
  verbose: { what: 'print what is under way', type: 'boolean' },
};

/** The counts of a campaign as text: `acknowledged 12, in doubt 3`. */
function sentence(summary) {
  const shown = (value) =>
    value instanceof Map
      ? [...value].map(([name, count]) => `${name} (${count})`).join('; ')
      : String(value);
  return Object.entries(summary)
    .map(([name, value]) => {
      const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
      return `${words} ${shown(value)}`;
    })
    .join(', ');
}

/** Runs a campaign once; prints its counts, or what it found and how to repeat the run. */
async function play(name, values, again, campaign) {
  const seed =
    values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : whole(values, 'seed', 0);
  const say = (line) => values.verbose && process.stdout.write(`  ${line}\n`);
  // The place of kept files is printed in any case.
  const kept = [];
  try {
    const summary = await campaign({ seed, say, onKept: (directory) => kept.push(directory) });
    process.stdout.write(`seed ${seed}: ${sentence(summary)}\n`);
    return true;
  } catch (error) {
    process.stdout.write(`FAILED: seed ${seed}\n${error.stack ?? error}\n`);
    for (const directory of kept) process.stdout.write(`What there was is in ${directory}\n`);
    process.stdout.write(
      `To run the same plan again (its interleaving is the machine's):\n` +
        `  npm run prove -- ${name} --seed ${seed} ${again}\n`,
    );
    return false;
  }
}

export const kill = {
  summary: 'kill -9 of the real service under load, at random times and at chosen system calls',
  options: { kills: { what: 'how many', default: '50' }, ...common },
  long: { kills: '1000' },
  async run(values) {
    const kills = whole(values, 'kills', 1);
    const { killCampaign } = await load('kill');
    return await play('kill', values, `--kills ${kills}`, (options) =>
      killCampaign({ ...options, kills }),
    );
  },
};

export const faults = {
  summary: 'failing system calls in the real service, while it works and while it opens',
  options: { faults: { what: 'how many lives with one', default: '50' }, ...common },
  long: { faults: '1000' },
  async run(values) {
    const count = whole(values, 'faults', 1);
    const { faultCampaign } = await load('faults');
    return await play('faults', values, `--faults ${count}`, (options) =>
      faultCampaign({ ...options, faults: count }),
    );
  },
};

export const order = {
  summary: 'traces of the real database: each answer left after the flush of what it reveals',
  options: {
    seconds: { what: 'how long to go on making traces', default: '10' },
    ...common,
  },
  long: { seconds: '600' },
  async run(values) {
    const seconds = whole(values, 'seconds', 0);
    const { orderCampaign } = await load('order');
    return await play('order', values, `--seconds ${seconds}`, (options) =>
      orderCampaign({ ...options, seconds }),
    );
  },
};

export const power = {
  summary: 'power cuts under the real database, on a file system on a disk that remembers all',
  options: {
    cuts: { what: 'how many, on each file system', default: '20' },
    'file-system': { what: 'ext4, xfs, btrfs or all', default: 'ext4' },
    ...common,
  },
  long: { cuts: '300', 'file-system': 'all' },
  async run(values) {
    whole(values, 'cuts', 1);
    const { fileSystems, powerDiskMissing } = await load('mounts');
    const chosen = values['file-system'];
    if (chosen !== 'all' && !fileSystems.includes(chosen)) {
      throw new Failure(`--file-system ${chosen}: give one of ${fileSystems.join(', ')}, or all.`);
    }
    for (const fileSystem of chosen === 'all' ? fileSystems : [chosen]) {
      const missing = powerDiskMissing(fileSystem);
      if (missing !== undefined) throw new Failure(`The campaign can't run here: ${missing}.`);
    }
    // It stays in our process group, so that signals of a terminal or of timeout(1) reach it.
    const child = spawn(
      'unshare',
      [
        ...['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', process.execPath],
        ...[at('scripts/prove/inside.mjs'), JSON.stringify(values)],
      ],
      { cwd: root, stdio: 'inherit' },
    );
    const [code] = await once(child, 'exit');
    return code === 0;
  },
  async inside(values) {
    const cuts = whole(values, 'cuts', 1);
    const [{ powerCampaign }, { fileSystems }] = await Promise.all([load('power'), load('mounts')]);
    const chosen = values['file-system'];
    let good = true;
    for (const fileSystem of chosen === 'all' ? fileSystems : [chosen]) {
      const again = `--cuts ${cuts} --file-system ${fileSystem}`;
      const found = await play('power', values, again, (options) =>
        powerCampaign({ ...options, cuts, fileSystem }),
      );
      good &&= found;
    }
    return good;
  },
};
