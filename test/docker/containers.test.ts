// The contest's submission in real containers, each compose file under its limits: the contest, a kill
// of every container under load, every conformance case. `npm run docker:test` builds the images and
// runs this; alone it is skipped.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { contestPlan, quick, requestsOf } from '#espora/contest/plan.js';
import { playUnderLimits } from '#espora/contest/under-limits.js';
import { ComposeProject, startCompose } from '#espora/lab/compose-project.js';
import { freePort } from '#espora/lab/free-port.js';
import { until } from '#espora/lab/until.js';
import { loadCases, ModelAccounts } from '../conformance/cases.js';
import { playCase } from '../conformance/checks.js';
import { RememberingLoad } from '../crash/load.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';
import { keepEvidence, keepingEvidence } from './evidence.js';

const wanted = process.env['DOCKER_TEST'];
if (wanted === undefined) {
  process.stderr.write(
    'docker/containers: skipped: npm run docker:test builds images and runs it\n',
  );
}
const containers = wanted === undefined ? test.serial.skip : test.serial;
const plan = contestPlan(
  wanted === 'quick' ? quick : { name: 'short', rampSeconds: 2, plateauSeconds: 4 },
);
const clients = 8;

/** What each account must hold at least and at most after a load of credits. */
function expectedOf(load: RememberingLoad): ReadonlyMap<number, { least: number; most: number }> {
  const expected = new Map<number, { least: number; most: number }>();
  for (const { id, valor, outcome } of load.sent) {
    const account = expected.get(id) ?? { least: 0, most: 0 };
    if (outcome === 'acknowledged') account.least += valor;
    if (outcome !== 'refused') account.most += valor;
    expected.set(id, account);
  }
  return expected;
}

async function balances(port: number): Promise<ReadonlyMap<number, number>> {
  const all = new Map<number, number>();
  for (const id of [1, 2, 3, 4, 5]) {
    const answer = await fetch(`http://127.0.0.1:${port}/clientes/${id}/extrato`);
    const statement = (await answer.json()) as { saldo: { total: number } };
    all.set(id, statement.saldo.total);
  }
  return all;
}

/** Kills every container in turn while clients are served, and looks whether anything got lost. */
async function killEach(t: ExecutionContext, project: ComposeProject): Promise<void> {
  const before = await balances(project.port);
  const load = new RememberingLoad(project.port, clients, false);
  try {
    for (const { service, pid, restarts } of await project.containers()) {
      const count = load.acknowledged;
      await until('clients are served', () => load.acknowledged > count + 10);
      // As a crash: what is stopped through the engine stays stopped.
      process.kill(pid, 'SIGKILL');
      await until(`${service} is started again`, async () => {
        const now = (await project.containers()).find((one) => one.service === service);
        return now?.running === true && now.restarts > restarts;
      });
      const after = load.acknowledged;
      await until(
        `clients are served without the first ${service}`,
        () => load.acknowledged > after + 10,
      );
      t.log(`${service} was killed and is back`);
    }
  } finally {
    await load.stop();
  }
  await project.healthy();
  const after = await balances(project.port);
  for (const [id, { least, most }] of expectedOf(load)) {
    const gained = after.get(id)! - before.get(id)!;
    t.true(gained >= least && gained <= most, `${id}: ${gained} of ${least} to ${most}`);
  }
}

for (const name of ['relay', 'handoff', 'nginx']) {
  const file = `docker/${name}.yml`;
  if (!existsSync(file)) continue;

  containers(
    `${file}: the contest under limits, then every container killed under load`,
    async (t) => {
      const log = (line: string): void => {
        t.log(line);
      };
      const subject = await startCompose(file, {
        port: await freePort(),
        onFailure: async (project) => {
          log(`what the containers said and did is in ${await keepEvidence(project)}`);
        },
      });
      t.teardown(() => subject.stop());
      const work = async (): Promise<void> => {
        const limits = subject.services.map((service) => service.limits);
        t.true(limits.reduce((sum, { cpus }) => sum + cpus, 0) <= 1.5 + 1e-9);
        t.true(limits.reduce((sum, { memoryMegabytes }) => sum + memoryMegabytes, 0) <= 550);
        for (const { cpus, memoryMegabytes } of limits) t.true(cpus > 0 && memoryMegabytes > 0);
        const result = await playUnderLimits(subject, { plan, seed: 1 });
        t.deepEqual(result.failureGroups, []);
        const { audit } = result.underLimits!.afterKill!;
        t.deepEqual(
          [...result.audit, ...audit].flatMap(({ problem }) => problem ?? []),
          [],
        );
        t.is(result.outcome, 'passed');
        t.is(result.requests, requestsOf(plan));
        t.is(audit.length, 5);
        t.true(result.underLimits!.commits.commits > 0, 'the database was asked');
        for (const service of result.underLimits!.services) {
          t.true(service.cpuSeconds > 0 && service.periods > 0, `${service.name} was watched`);
          t.true(service.memoryPeakBytes > 0 && service.memoryPercentOfLimit < 70, service.name);
        }
        await killEach(t, subject.project);
      };
      await keepingEvidence(subject.project, work, { log });
    },
  );

  // nginx reads HTTP itself and answers what is malformed in its own way.
  if (name === 'nginx') continue;

  containers(`${file}: every conformance case`, async (t) => {
    const project = await ComposeProject.open(file, await freePort());
    t.teardown(() => project.down());
    const work = async (): Promise<void> => {
      await project.up();
      const accounts = new ModelAccounts();
      for (const one of loadCases()) {
        await playCase(t, { host: '127.0.0.1', port: project.port }, one, accounts);
      }
    };
    await keepingEvidence(project, work, {
      log: (line) => {
        t.log(line);
      },
    });
  });
}

containers(
  'docker/relay.yml: a failure keeps what each container said, its restarts, and what became of it',
  async (t) => {
    const project = await ComposeProject.open('docker/relay.yml', await freePort());
    t.teardown(() => project.down());
    const below = temporaryDirectory(t);
    let pid = 0;
    const failing = async (): Promise<void> => {
      const first = (await project.up()).find(({ service }) => service === 'api-1')!;
      pid = first.pid;
      process.kill(pid, 'SIGKILL');
      await until('it is started again', async () =>
        (await project.containers()).some(
          ({ service, restarts }) => service === 'api-1' && restarts > 0,
        ),
      );
      throw new Error('on purpose');
    };
    const lines: string[] = [];
    const log = (line: string): void => void lines.push(line);
    await t.throwsAsync(keepingEvidence(project, failing, { log, below }), {
      message: 'on purpose',
    });
    const kept = join(below, readdirSync(below)[0]!);
    t.true(lines[0]!.endsWith(kept), lines[0]);
    const services = ['api-1', 'api-2', 'balancer', 'database'];
    t.deepEqual(
      readdirSync(kept).sort(),
      [...services.flatMap((name) => [`${name}.json`, `${name}.log`]), 'events.txt'].sort(),
    );
    const read = (name: string): string => readFileSync(join(kept, name), 'utf8');
    for (const name of services) t.regex(read(`${name}.log`), /ready on /, name);
    const [restarted] = JSON.parse(read('api-1.json')) as { RestartCount: number }[];
    t.true(restarted!.RestartCount > 0);
    t.regex(read('events.txt'), /container die .*exitCode=137/);
  },
);
