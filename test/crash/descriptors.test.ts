// Descriptors that run out in a running process, and more clients at once than are ever expected:
// nobody dies, nobody spins, whoever waits is served in the end.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { until } from '#espora/lab/until.js';
import { EsporaStart } from '../helpers/espora.js';
import { statement } from '../helpers/http.js';
import { isRunning } from '../helpers/process.js';

const request = 'GET /clientes/1/extrato HTTP/1.1\r\nHost: a\r\n\r\n';

/** A client that keeps its connection, and what became of it. */
class Asker {
  status = 0;
  connected = false;
  ended = false;
  readonly #socket: Socket;

  constructor(port: number) {
    this.#socket = connect({ host: '127.0.0.1', port }, () => (this.connected = true));
    this.#socket.setEncoding('latin1').on('data', (text: string) => {
      if (this.status === 0) this.status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? -1);
    });
    this.#socket.on('error', () => undefined).on('close', () => (this.ended = true));
  }

  /** Answered, or refused. */
  get done(): boolean {
    return this.status !== 0 || this.ended;
  }

  /** As soon as it is connected. */
  ask(): void {
    this.#socket.write(request);
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** The whole in this topology, for `attack`; every process must be the same one afterwards. */
async function whole(
  t: ExecutionContext,
  topology: string,
  attack: (espora: EsporaStart) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'espora-descriptors-'));
  const listen = ['--topology', topology, '--port', '0', '--host', '127.0.0.1'];
  const espora = await EsporaStart.launch(...listen, '--data', join(directory, 'data'));
  const pids = espora.events.flatMap(({ event, pid }) => (event === 'service-ready' ? [pid!] : []));
  try {
    await attack(espora);
    t.true(pids.length >= 4 && pids.every(isRunning), 'somebody died');
    const ready = espora.events.filter(({ event }) => event === 'service-ready');
    t.is(ready.length, pids.length, 'somebody was started again');
    t.is((await statement({ port: espora.port }, 1)).status, 200);
  } finally {
    await espora.stop();
  }
  t.is(espora.process.exitCode, 0, espora.stderr);
  await rm(directory, { recursive: true });
}

const openFiles = (pid: number): number => readdirSync(`/proc/${String(pid)}/fd`).length;

/** Time on a CPU so far, in the ticks of proc(5): hundredths of a second. */
function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

function limitFiles(pid: number, soft: number | string): void {
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${String(soft)}:`]);
}

// Under a sanitizer each start of the five processes takes most of a minute.
const sanitized = process.env['ESPORA_SANITIZED'] !== undefined;
const topologies = sanitized ? ['handoff'] : ['relay', 'handoff'];
const names = ['balancer', 'api 1', 'api 2', 'database'];

for (const topology of topologies)
  test.serial(`${topology}: without descriptors each service rests and recovers`, async (t) => {
    await whole(t, topology, async (espora) => {
      const pids = names.map((name) => espora.latest(name).pid!);
      const atFirst = pids.map(openFiles);
      for (const victim of sanitized ? ['database'] : ['balancer', 'api 1', 'database']) {
        // Connections of the one before would be room for some of these.
        await until('there are no clients', () =>
          pids.every((pid, index) => openFiles(pid) <= atFirst[index]! + 5),
        );
        await withoutDescriptors(t, espora, topology, victim);
      }
    });
  });

async function withoutDescriptors(
  t: ExecutionContext,
  espora: EsporaStart,
  topology: string,
  victim: string,
): Promise<void> {
  const pid = espora.latest(victim).pid!;
  const pids = names.map((name) => espora.latest(name).pid!);
  const limits = readFileSync(`/proc/${String(pid)}/limits`, 'utf8');
  const before = /^Max open files\s+(\d+)/m.exec(limits)![1]!;
  // A few can still be opened, where descriptors below its highest one are free.
  limitFiles(pid, openFiles(pid));
  const askers = Array.from({ length: 100 }, () => new Asker(espora.port));
  try {
    for (const asker of askers) asker.ask();
    await sleep(200);
    const waiting = askers.filter(({ done }) => !done).length;
    const ticks = pids.map(ticksOf);
    await sleep(1000);
    const spent = pids.map((each, index) => ticksOf(each) - ticks[index]!);
    t.log(`${victim}: ${waiting} wait, ticks of ${names.join(', ')}: ${spent.join(', ')}`);
    // One that spins takes all hundred of them, if it can.
    t.true(Math.max(...spent) <= 40, victim);
    // What one api can't take is handed to the other one.
    if (topology === 'handoff' && victim === 'api 1') t.is(waiting, 0);
    else t.true(waiting > 0, victim);
    limitFiles(pid, before);
    await until('everybody has an answer or an end', () => askers.every(({ done }) => done));
    const refused = askers.filter(({ status }) => status !== 200);
    t.true(
      refused.every(({ status }) => status === 0),
      victim,
    );
    // Whom the balancer had not accepted the kernel keeps for it.
    if (victim === 'balancer') t.is(refused.length, 0);
  } finally {
    for (const asker of askers) asker.destroy();
  }
}

const count = 10_000;
const hardLimit = Number(execFileSync('prlimit', ['--nofile', '--output=HARD', '--noheadings']));
const roomForAll = hardLimit >= 2 * count && !sanitized;
if (hardLimit < 2 * count) {
  const needed = `needs ${2 * count} descriptors, and the hard limit here is ${hardLimit}`;
  process.stderr.write(`descriptors.test.ts: skipped: ${needed}\n`);
}

// Where the balancer relays it has not enough descriptors for all: the last ones wait in its queue.
for (const topology of ['relay', 'handoff']) {
  const run = roomForAll ? test.serial : test.serial.skip;
  run(`${topology}: ten thousand connections at once are served`, async (t) => {
    await whole(t, topology, async (espora) => {
      const askers = Array.from({ length: count }, () => new Asker(espora.port));
      try {
        await until('all are connected', () =>
          askers.every(({ connected, ended }) => connected || ended),
        );
        for (const asker of askers) asker.ask();
        const waiting = () => askers.filter(({ done }) => !done);
        await until('everybody has an answer or an end', () => {
          // Room for the last ones comes with the end of those that were served.
          for (const asker of askers) if (asker.done) asker.destroy();
          return waiting().length === 0;
        });
        const served = askers.filter(({ status }) => status === 200).length;
        t.log(`${served} of ${count} served`);
        t.is(askers.filter(({ status }) => status !== 200 && status !== 0).length, 0);
        t.true(served >= 0.99 * count, 'refused without need');
      } finally {
        for (const asker of askers) asker.destroy();
      }
    });
  });
}
