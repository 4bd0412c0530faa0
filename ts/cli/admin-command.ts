// `espora admin`: shows and changes a running balancer's upstreams, over its admin socket.
import type { Command as Commander } from 'commander';
import { invalid } from '../errors.js';
import type { BalancerStats } from '../services/balancer.js';
import { flagOf, optionOf, variableOf } from '../options/table.js';
import { exitCode, number, print, printJson } from './output.js';

interface AdminFlags {
  readonly adminSocket?: string;
  readonly json?: boolean;
  readonly state?: string;
  readonly weight?: string;
}

type Upstreams = BalancerStats['upstreams'];

/** The balancer's socket, from the flag or the variable. Throws ERR_ESPORA_INVALID. */
function socketOf(flags: AdminFlags): string {
  const variable = variableOf('adminSocket');
  const given = flags.adminSocket ?? process.env[variable];
  if (given === undefined || given === '') {
    throw invalid(`the balancer is not named: give ${flagOf('adminSocket')} or ${variable}`);
  }
  const parsed = optionOf('adminSocket').kind.schema.safeParse(given);
  if (parsed.success) return given;
  const problem = parsed.error.issues[0]!.message;
  throw invalid(`${flagOf('adminSocket')} is ${given}: ${problem}`);
}

/** Sends a request to the balancer; the client is loaded only here. */
async function ask(
  flags: AdminFlags,
  ...question: [method: 'GET' | 'POST' | 'PATCH' | 'DELETE', resource: string, body?: object]
): Promise<unknown> {
  const { askAdmin } = await import('../admin/client.js');
  return askAdmin(socketOf(flags), ...question);
}

/** The number in a flag; other text stays text, which the balancer refuses. */
const asNumber = (given: string | undefined): unknown =>
  given !== undefined && /^\d{1,9}$/.test(given) ? Number(given) : given;

const milliseconds = (us: number): string => `${(us / 1000).toFixed(us < 10_000 ? 2 : 0)} ms`;

async function upstreamsTable(upstreams: Upstreams): Promise<string> {
  const { plainTable } = await import('./plain-table.js');
  const head = ['UPSTREAM', 'STATE', 'HEALTH', 'WEIGHT', 'ACTIVE', 'TAKEN', 'FAILED', 'p99'];
  return plainTable(
    head,
    upstreams.map((one) => [
      one.address,
      one.state,
      one.health,
      String(one.weight),
      number(one.active),
      number(one.connections),
      number(one.connectFailures + one.silentSessions),
      one.session.count === 0 ? '' : milliseconds(one.session.p99Us),
    ]),
  );
}

const pathOf = (address: string): string => `/upstreams/${encodeURIComponent(address)}`;

const state = [
  '--state <up|draining|down>',
  'whether the upstream gets new connections; open ones stay',
] as const;
const weight = [
  '--weight <number>',
  'share of connections: an upstream of weight 2 gets twice as many as one of weight 1',
] as const;

/** Adds the command; `end` gets its exit code. */
export function registerAdminCommand(program: Commander, end: (exitCode: number) => void): void {
  const admin = program
    .command('admin')
    .description('show and change the upstreams of a running balancer');
  const { kind, help } = optionOf('adminSocket');
  const add = (
    name: string,
    description: string,
    run: (flags: AdminFlags, address: string) => Promise<void>,
  ): Commander =>
    admin
      .command(name)
      .description(description)
      .option(
        `${flagOf('adminSocket')} ${kind.placeholder}`,
        `${help} (${variableOf('adminSocket')})`,
      )
      .option('--json', 'print JSON')
      .allowExcessArguments(false)
      .action(async (...given: unknown[]) => {
        const flags = given.at(-2) as AdminFlags;
        const address = given.length > 2 ? String(given[0]) : '';
        const ran = run(flags, address).then(() => 0);
        end(await exitCode(`espora admin ${name.split(' ')[0]!}`, ran));
      });

  const list = async (flags: AdminFlags): Promise<void> => {
    const upstreams = (await ask(flags, 'GET', '/upstreams')) as Upstreams;
    if (flags.json === true) printJson(upstreams);
    else print(await upstreamsTable(upstreams));
  };
  add('upstreams', 'show the upstreams and their state', list);
  add('stats', 'print all counters as JSON', async (flags) => {
    printJson(await ask(flags, 'GET', '/stats'));
  });
  add('set <address>', 'change the state or the weight of an upstream', async (flags, address) => {
    const change = { state: flags.state, weight: asNumber(flags.weight) };
    await ask(flags, 'PATCH', pathOf(address), change);
    await list(flags);
  })
    .option(...state)
    .option(...weight);
  add('add <address>', 'add an upstream', async (flags, address) => {
    await ask(flags, 'POST', '/upstreams', { address, weight: asNumber(flags.weight) });
    await list(flags);
  }).option(...weight);
  add(
    'remove <address>',
    'remove an upstream: it gets no further connections, and is gone after its last one',
    async (flags, address) => {
      await ask(flags, 'DELETE', pathOf(address));
      await list(flags);
    },
  );
}
