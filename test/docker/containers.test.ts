// The contest's submission in real containers, each compose file under its limits: the contest, a kill
// of every container under load, every conformance case. `npm run docker:test` builds the images and
// runs this; alone it is skipped.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { ComposeProject, startCompose } from '#espora/contest/compose-project.js';
import { freePort } from '#espora/contest/free-port.js';
import { contestPlan, quick, requestsOf } from '#espora/contest/plan.js';
import { playUnderLimits } from '#espora/contest/under-limits.js';
import { loadCases, ModelAccounts } from '../conformance/cases.js';
import { playCase } from '../conformance/checks.js';
import { RememberingLoad } from '../crash/load.js';
import { until } from '../helpers/until.js';

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

/** Runs `work`; if it fails, what its containers said and what became of them is kept in files. */
async function keepingEvidence(
  t: ExecutionContext,
  project: ComposeProject,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    const directory = resolve('.build/docker-test', `${String(Date.now())}-${String(process.pid)}`);
    mkdirSync(directory, { recursive: true });
    for (const [name, text] of Object.entries(await project.evidence())) {
      writeFileSync(join(directory, name), text);
    }
    t.log(`what the containers said and did is in ${directory}`);
    throw error;
  }
}

for (const name of ['proxy', 'handoff', 'nginx']) {
  const file = `docker/${name}.yml`;
  if (!existsSync(file)) continue;

  containers(
    `${file}: the contest under limits, then every container killed under load`,
    async (t) => {
      const subject = await startCompose(file, { port: await freePort() });
      t.teardown(() => subject.stop());
      await keepingEvidence(t, subject.project, async () => {
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
      });
    },
  );

  // nginx reads HTTP itself and answers what is malformed in its own way.
  if (name === 'nginx') continue;

  containers(`${file}: every conformance case`, async (t) => {
    const project = await ComposeProject.open(file, await freePort());
    t.teardown(() => project.down());
    await project.up();
    await keepingEvidence(t, project, async () => {
      const accounts = new ModelAccounts();
      for (const one of loadCases()) {
        await playCase(t, { host: '127.0.0.1', port: project.port }, one, accounts);
      }
    });
  });
}
