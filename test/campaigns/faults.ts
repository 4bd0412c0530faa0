// System calls of the real database fail while it works, and while it opens: what it answers is still
// true, it ends or goes on as it should, and the next start finds all that was acknowledged.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '#espora/lab/random.js';
import { demand, inDirectory } from './campaign.js';
import type { CampaignOptions } from './campaign.js';
import { DatabaseLife } from './lives.js';
import { Load } from './load.js';
import { StoreUnderTest } from './store.js';
import { hookEnvironment } from './tools.js';
import type { CallHook } from './tools.js';

export interface FaultOptions extends CampaignOptions {
  readonly faults: number;
}

/** What was done. */
export interface FaultSummary {
  faults: number;
  /** How often a database with each fault ended in each way, for example `fdatasync EIO: exit 1`. */
  readonly ends: Map<string, number>;
  acknowledged: number;
  answered503: number;
  answered507: number;
}

type Fault = Required<Pick<NonNullable<CallHook['fail']>, 'call' | 'error' | 'from'>> &
  NonNullable<CallHook['fail']>;

const errors: Readonly<Record<string, number>> = { half: -1, EINTR: 4, EIO: 5, ENOSPC: 28 };

/** What can go wrong with a call, and about how often it is made in a life that changes its segment. */
const calls: Readonly<
  Record<string, { readonly kinds: readonly string[]; readonly times: number }>
> = {
  pwrite: { kinds: ['half', 'EINTR', 'EIO', 'ENOSPC'], times: 12 },
  fdatasync: { kinds: ['EIO', 'ENOSPC', 'EINTR'], times: 12 },
  fsync: { kinds: ['EIO', 'ENOSPC'], times: 8 },
  renameat: { kinds: ['EIO', 'ENOSPC'], times: 3 },
  unlinkat: { kinds: ['EIO'], times: 2 },
  fallocate: { kinds: ['EIO', 'ENOSPC', 'EINTR'], times: 3 },
  pread: { kinds: ['half', 'EINTR', 'EIO'], times: 10 },
};

// What fails forever leaves nothing to wait for; what fails in passing may go unnoticed.
const lifeMs = 500;

/** What the seed says about one life. */
export function planFault(random: Random): { readonly fault: Fault; readonly name: string } {
  const names = Object.keys(calls);
  const call = names[random.below(names.length)]!;
  const { kinds, times } = calls[call]!;
  const kind = kinds[random.below(kinds.length)]!;
  const often = call === 'pwrite' || call === 'fdatasync';
  const fault = {
    call,
    error: errors[kind]!,
    from: 1 + random.below(often && random.below(2) === 0 ? 200 : times),
    // A call that is interrupted for ever is nothing that happens.
    ...(kind === 'EINTR' || kind === 'half' || random.below(2) === 0
      ? { times: 1 + random.below(3) }
      : {}),
  };
  return { fault, name: `${call} ${kind}` };
}

/** Runs the campaign; throws a CampaignFailure. */
export async function faultCampaign(options: FaultOptions): Promise<FaultSummary> {
  const random = new Random(options.seed);
  const summary: FaultSummary = {
    faults: 0,
    ends: new Map(),
    acknowledged: 0,
    answered503: 0,
    answered507: 0,
  };
  await inDirectory(options, async (directory) => {
    for (let stores = 1; summary.faults < options.faults; stores++) {
      const store = new StoreUnderTest(join(directory, `store-${stores}`));
      const lives = Math.min(4 + random.below(6), options.faults - summary.faults);
      for (let life = 0; life < lives; life++) {
        const { fault, name } = planFault(random);
        const where = `fault ${++summary.faults}, ${name} from call ${fault.from}${fault.times === undefined ? '' : `, ${fault.times} times`}`;
        const end = await faultyLife(where, store, join(directory, 'db.sock'), fault, random);
        const kind = `${name}: ${end}`;
        summary.ends.set(kind, (summary.ends.get(kind) ?? 0) + 1);
        await soundLife(where, store, join(directory, 'db.sock'));
        options.say(`${where}: ${end}`);
      }
      const { sent } = store.history;
      summary.acknowledged += store.history.count('acknowledged');
      summary.answered503 += sent.filter(({ status }) => status === 503).length;
      summary.answered507 += sent.filter(({ status }) => status === 507).length;
    }
  });
  return summary;
}

/** A life with a fault; in words how it ended. */
async function faultyLife(
  where: string,
  store: StoreUnderTest,
  path: string,
  fault: Fault,
  random: Random,
): Promise<string> {
  const environment = await hookEnvironment({ fail: fault });
  const life = new DatabaseLife({ data: store.data, path, environment });
  const ready = await life.ready;
  const load = new Load(life.where, store.history, {
    clients: 1 + random.below(12),
    burstMax: 1 + random.below(4),
    keepAlive: true,
    seed: random.below(2 ** 31),
  });
  let end = await Promise.race([life.ended, sleep(lifeMs).then(() => undefined)]);
  await load.stop(end !== undefined);
  if (end === undefined) {
    // It goes on; it may still fail while it stops.
    end = await life.stop();
    if (end === 0) return 'went on';
  }
  // Reading what is there fails for good, everything else may work at the next start.
  const allowed = fault.call === 'pread' ? [1, 3] : [1];
  if (!allowed.includes(end as number)) demand(where, [`ended with ${end}: ${life.stderr}`]);
  if (/\n +at /.test(life.stderr)) demand(where, [`a stack trace: ${life.stderr}`]);
  return ready ? `exit ${end}` : `exit ${end} before it was ready`;
}

/** A life without, in which everything must be there. */
async function soundLife(where: string, store: StoreUnderTest, path: string): Promise<void> {
  await store.verify(`${where}, verified as it was left`);
  const life = new DatabaseLife({ data: store.data, path });
  if (!(await life.ready)) demand(`${where}, started again`, [life.stderr]);
  try {
    await store.check(`${where}, recovered`);
  } finally {
    await life.stop();
  }
}
