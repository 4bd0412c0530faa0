// Campaign C: the real service under load is killed with -9, at random times and at chosen system calls,
// recovery included, and started again on what it left. The page cache survives a kill: this proves
// recovery, not durability.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '#espora/lab/random.js';
import type { EsporaStart } from '../helpers/espora.js';
import { demand, inDirectory } from './campaign.js';
import type { CampaignOptions } from './campaign.js';
import type { relayServices } from './lives.js';
import { DatabaseLife, killSupervisor, signalIfThere, startProxy } from './lives.js';
import { Load } from './load.js';
import type { LoadOptions } from './load.js';
import { StoreUnderTest } from './store.js';
import { hookEnvironment, lostWrites } from './tools.js';

export interface KillOptions extends CampaignOptions {
  readonly kills: number;
  /** Writes of the database get lost, on purpose, and the campaign must find out. */
  readonly lie?: boolean;
}

/** What was done. */
export interface KillSummary {
  kills: number;
  /** By what was killed and how, for example `database at fdatasync`. */
  readonly kinds: Map<string, number>;
  stores: number;
  acknowledged: number;
  inDoubt: number;
  inDoubtStored: number;
}

/** When a process is killed: at a time, or before or after it makes a call for the `when`th time. */
export type Moment =
  | { readonly ms: number }
  | { readonly call: string; readonly when: number; readonly after: boolean };

/** One kill. */
export interface KillPlan {
  readonly victim:
    'database' | 'database of a relay' | 'api 1' | 'api 2' | 'balancer' | 'supervisor';
  readonly moment: Moment;
  readonly load: LoadOptions;
  /** The next kill meets a new store. */
  readonly lastOfStore: boolean;
}

// How often each comes while a store is opened and for each segment; those of commits come thousands of times.
const rareCalls = {
  fsync: 12,
  renameat: 4,
  unlinkat: 3,
  fallocate: 4,
  pread: 12,
  pwrite: 12,
} as const;
const frequentCalls = ['pwrite', 'fdatasync', 'send', 'recv'] as const;
// A call that does not come within this time is not waited for any longer.
const callPatienceMs = 2000;

/** What the seed says about one kill; the rest is up to the machine. */
export function planKill(random: Random): KillPlan {
  const load = {
    clients: 1 + random.below(24),
    burstMax: 1 + random.below(6),
    keepAlive: random.below(4) !== 0,
    seed: random.below(2 ** 31),
    pauseMsMax: random.below(3) === 0 ? 20 : 0,
  };
  const lastOfStore = random.below(6) === 0;
  const ms = { ms: random.below(400) };
  const frequent = {
    call: frequentCalls[random.below(frequentCalls.length)]!,
    when: 1 + random.below(random.below(2) === 0 ? 12 : 300),
    after: random.below(2) === 0,
  };
  const kind = random.below(16);
  if (kind < 4) return { victim: 'database', moment: ms, load, lastOfStore };
  if (kind < 8) return { victim: 'database', moment: frequent, load, lastOfStore };
  if (kind < 11) {
    const calls = Object.entries(rareCalls);
    const [call, times] = calls[random.below(calls.length)]!;
    const moment = { call, when: 1 + random.below(times), after: random.below(2) === 0 };
    return { victim: 'database', moment, load, lastOfStore };
  }
  if (kind < 13) return { victim: 'database of a relay', moment: ms, load, lastOfStore };
  if (kind < 14) return { victim: 'database of a relay', moment: frequent, load, lastOfStore };
  const others = ['api 1', 'api 2', 'balancer', 'supervisor'] as const;
  return { victim: others[random.below(others.length)]!, moment: ms, load, lastOfStore };
}

/** Runs the campaign; throws a CampaignFailure. */
export async function killCampaign(options: KillOptions): Promise<KillSummary> {
  const random = new Random(options.seed);
  const summary: KillSummary = {
    kills: 0,
    kinds: new Map(),
    stores: 0,
    acknowledged: 0,
    inDoubt: 0,
    inDoubtStored: 0,
  };
  await inDirectory(options, async (directory) => {
    while (summary.kills < options.kills) {
      const store = new StoreUnderTest(join(directory, `store-${++summary.stores}`));
      await oneStore(store, join(directory, 'db.sock'), random, options, summary);
      const stored = new Set(store.stored.map(({ descricao }) => descricao));
      const doubtful = store.history.sent.filter(({ outcome }) => outcome === 'in doubt');
      summary.acknowledged += store.history.count('acknowledged');
      summary.inDoubt += doubtful.length;
      summary.inDoubtStored += doubtful.filter(({ descricao }) => stored.has(descricao)).length;
    }
  });
  return summary;
}

async function oneStore(
  store: StoreUnderTest,
  path: string,
  random: Random,
  options: KillOptions,
  summary: KillSummary,
): Promise<void> {
  for (let last = false; !last;) {
    const plan = planKill(random);
    const { victim, moment } = plan;
    last = plan.lastOfStore || summary.kills + 1 >= options.kills;
    const number = ++summary.kills;
    const what = `kill ${number}, ${victim} ${'ms' in moment ? `after ${moment.ms} ms` : `${moment.after ? 'after' : 'before'} ${moment.call} ${moment.when}`}`;
    const how =
      victim === 'database'
        ? await killDatabase(store, path, plan, options.lie)
        : await killInProxy(store, `${path}-${number}.killed`, plan);
    const kind = `${victim} ${how}`;
    summary.kinds.set(kind, (summary.kinds.get(kind) ?? 0) + 1);
    await store.verify(`${what}, verified as it was left`);
    options.say(`${what}: ${store.history.count('acknowledged')} acknowledged so far`);
  }
  // The last life is one that nobody kills.
  const life = new DatabaseLife({ data: store.data, path });
  if (!(await life.ready)) demand('the start after the last kill', [life.stderr]);
  await store.check('after the last kill');
  const code = await life.stop();
  if (code !== 0) demand('the stop after the last kill', [`exit code ${code}: ${life.stderr}`]);
  await store.verify('stopped in order');
}

/** A life of the database alone and its end; how that came about. */
async function killDatabase(
  store: StoreUnderTest,
  path: string,
  { moment, load: loadOptions }: KillPlan,
  lie = false,
): Promise<string> {
  const hook = {
    ...('call' in moment ? { kill: moment } : {}),
    ...(lie ? { fail: lostWrites } : {}),
  };
  const environment = await hookEnvironment(hook);
  const life = new DatabaseLife({ data: store.data, path, environment });
  if (!(await life.ready)) {
    const end = await life.ended;
    if (end !== 'SIGKILL') demand('a start', [`ended with ${end}: ${life.stderr}`]);
    return `${describe(moment)} while it opened`;
  }
  await store.check('recovered');
  const load = new Load({ path }, store.history, loadOptions);
  const patience = 'ms' in moment ? moment.ms : callPatienceMs;
  const early = await Promise.race([life.ended, sleep(patience).then(() => undefined)]);
  await life.kill();
  await load.stop(true);
  if (early !== undefined && early !== 'SIGKILL') {
    demand('under load', [`the database ended with ${early}: ${life.stderr}`]);
  }
  return early === undefined ? 'at a time' : describe(moment);
}

function describe(moment: Moment): string {
  return 'ms' in moment ? 'at a time' : `${moment.after ? 'after' : 'before'} ${moment.call}`;
}

/** The same with a supervisor around it, which brings the victim back unless it is the victim. */
async function killInProxy(
  store: StoreUnderTest,
  killed: string,
  { victim, moment, load: loadOptions }: KillPlan,
): Promise<string> {
  // The one that follows the victim must not share its fate.
  const hook = 'call' in moment ? { kill: { ...moment, once: killed } } : undefined;
  const environment = hook === undefined ? {} : await hookEnvironment(hook);
  let espora: EsporaStart;
  try {
    espora = await startProxy(store.data, environment);
  } catch (error) {
    // A service that ends before it was ever ready ends the whole.
    if (!existsSync(killed)) throw error;
    return `${describe(moment)} while it opened`;
  }
  await store.check('recovered');
  const load = new Load({ host: '127.0.0.1', port: espora.port }, store.history, loadOptions);
  let how = 'at a time';
  try {
    if (victim === 'supervisor') {
      await sleep('ms' in moment ? moment.ms : 0);
      await killSupervisor(espora);
      await load.stop(true);
      return how;
    }
    const service = victim === 'database of a relay' ? 'database' : victim;
    how = await killService(espora, service, moment);
    await espora.seen(
      ({ event, service: name, restarts }) =>
        event === 'service-ready' && name === service && restarts === 1,
    );
    await sleep(50);
  } catch (error) {
    await load.stop(true);
    await killSupervisor(espora);
    throw error;
  }
  // All that is under way is answered, or its connection ends.
  await load.stop();
  const code = await espora.stop();
  if (code !== 0) demand('a stop in order', [`exit code ${code}: ${espora.stderr}`]);
  return how;
}

async function killService(
  espora: EsporaStart,
  service: (typeof relayServices)[number],
  moment: Moment,
): Promise<string> {
  const pid = espora.latest(service).pid!;
  if ('ms' in moment) {
    await sleep(moment.ms);
    signalIfThere(pid, 'SIGKILL');
    return 'at a time';
  }
  const crashed = espora
    .seen(({ event, service: name }) => event === 'service-crashed' && name === service)
    .then(() => true);
  const came = await Promise.race([crashed, sleep(callPatienceMs).then(() => false)]);
  if (!came) signalIfThere(pid, 'SIGKILL');
  return came ? describe(moment) : 'at a time';
}
