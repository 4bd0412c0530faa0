import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { contestPlan, requestsOf } from '#espora/contest/plan.js';
import { playPhases } from '#espora/contest/contest.js';
import type { FailureGroup } from '#espora/contest/tally.js';
import { load, playOn, short, validations } from './plans.js';
import { referenceServer, startReferenceServer } from './reference-server.js';

test('a correct service passes, with nothing to complain of', async (t) => {
  const { port } = await referenceServer(t);
  const result = await playOn(port, short);
  t.is(result.outcome, 'passed', JSON.stringify(result.failureGroups));
  t.is(result.requests, requestsOf(short));
  t.is(result.plannedRequests, result.requests);
  t.is(result.failures, 0);
  t.is(result.inconsistencies, 0);
  t.deepEqual(result.failureGroups, []);
  t.is(result.audit.length, 5);
  t.true(result.audit.every(({ problem, least, most }) => problem === undefined && least === most));
});

test('every request is counted once: by operation, by phase and by second', async (t) => {
  const { port } = await referenceServer(t);
  const { requests, operations, all, phases, timeline } = await playOn(port, short);
  const sum = (parts: readonly { readonly requests: number }[]): number =>
    parts.reduce((total, part) => total + part.requests, 0);
  t.is(all.requests, requests);
  t.is(sum(Object.values(operations)), requests);
  t.is(sum(phases), requests);
  t.is(sum(timeline), requests);
  t.is(operations.validation.requests, 123);
  t.deepEqual(
    phases.map(({ planned }) => planned),
    phases.map((phase) => phase.requests),
  );
  t.true(timeline.every(({ samples }) => samples.player !== undefined));
});

test('every user has a connection, in a session four for the four statements', async (t) => {
  const server = await referenceServer(t);
  await playOn(server.port, validations);
  const questions = 1 + 5 + 5; // is it there, is it fresh, and afterwards its balances
  const users = 25 + 1 + 25 + 1 + 1;
  t.is(server.connections(), questions + users + 5 * 4);
});

test('in the load every request has a connection of its own', async (t) => {
  const server = await referenceServer(t);
  await playOn(server.port, load);
  t.is(server.connections(), 1 + 5 + 5 + requestsOf(load));
});

test('a service that closes after each answer, or sends chunks, is right as well', async (t) => {
  const okHead = 'HTTP/1.1 200 OK\r\n';
  for (const raw of [
    (json: string) => `${okHead}Connection: close\r\nContent-Length: ${json.length}\r\n\r\n${json}`,
    (json: string) => `HTTP/1.0 200 OK\r\nContent-Length: ${json.length}\r\n\r\n${json}`,
    (json: string) => `${okHead}\r\n${json}`,
    (json: string) =>
      `${okHead}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n` +
      `${json.length.toString(16)}\r\n${json}\r\n0\r\n\r\n`,
  ]) {
    const { port } = await referenceServer(t, {
      answer: (_call, { status, json }) =>
        status === 200 ? { raw: raw(JSON.stringify(json)), then: 'end' } : undefined,
    });
    const result = await playOn(port, short);
    t.is(result.outcome, 'passed', JSON.stringify(result.failureGroups));
  }
});

test('the same seed asks the same, another seed something else', async (t) => {
  const asked = async (seed: number): Promise<readonly string[]> => {
    const bodies: string[] = [];
    const { port } = await referenceServer(t, {
      answer: ({ client, body, load: inLoad }) => {
        if (inLoad && body !== '') bodies.push(`${client} ${body}`);
        return undefined;
      },
    });
    await playOn(port, load, { seed });
    return bodies.sort();
  };
  const first = await asked(42);
  t.true(first.length > 20);
  t.deepEqual(await asked(42), first);
  t.notDeepEqual(await asked(43), first);
});

test('the load is what the contest says: clients 1 to 5, 1 to 10000, ten letters and digits', async (t) => {
  const clients = new Set<number>();
  const { port } = await referenceServer(t, {
    answer: ({ client, body, load: inLoad }) => {
      if (!inLoad || body === '') return undefined;
      clients.add(client);
      const { valor, tipo, descricao } = JSON.parse(body) as Record<string, unknown>;
      t.true(Number.isInteger(valor) && (valor as number) >= 1 && (valor as number) <= 10_000);
      t.true(tipo === 'c' || tipo === 'd');
      t.regex(String(descricao), /^[A-Za-z0-9]{10}$/);
      return undefined;
    },
  });
  await playOn(port, load);
  t.deepEqual([...clients].sort(), [1, 2, 3, 4, 5]);
});

test('latency counts from the intended start, also when it is the player who is late', async (t) => {
  let seen = 0;
  const { port } = await referenceServer(t, {
    answer: ({ load: inLoad }) => {
      // The server shares the player's thread: both stand still while users are due.
      if (inLoad && ++seen === 3) {
        const until = performance.now() + 600;
        while (performance.now() < until);
      }
      return undefined;
    },
  });
  const result = await playOn(port, load);
  t.is(result.requests, result.plannedRequests);
  // Most users were due meanwhile. Each one's latency holds all of the time that he was late, so
  // this is so for every percentile.
  const { latenessMs } = result.player;
  for (const percentile of ['p50', 'p75', 'p95', 'max'] as const) {
    const [latency, lateness] = [result.all.latencyMs[percentile], latenessMs[percentile]];
    t.true(latency >= lateness, `${percentile}: ${latency} ms, of it ${lateness} ms late`);
  }
  t.true(latenessMs.max >= 300);
  t.true(result.all.fast < result.requests);
});

test('nobody waits for anybody: answers that are held back hold no arrival back', async (t) => {
  let open = 0;
  let most = 0;
  const { port } = await referenceServer(t, {
    answer: ({ load: inLoad }) => {
      if (!inLoad) return undefined;
      open++;
      most = Math.max(most, open);
      setTimeout(() => open--, 500);
      return { delayMs: 500 };
    },
  });
  const result = await playOn(port, load);
  t.is(result.outcome, 'passed');
  t.true(most > 20, `${most} at once`);
});

test('stopped in the middle: what there is, no verdict on the rest, no connection left', async (t) => {
  const server = await referenceServer(t, {
    answer: ({ load: inLoad }) => (inLoad ? { raw: '' } : undefined),
  });
  const stop = new AbortController();
  const result = await playOn(server.port, short, {
    signal: stop.signal,
    onProgress: ({ phase, connections }) => {
      if (phase === 'load' && connections > 5) stop.abort();
    },
  });
  t.is(result.outcome, 'interrupted');
  t.true(result.requests >= 123 && result.requests < result.plannedRequests);
  // The first transaction of each client is answered: only then is a statement of the load's.
  t.is(result.failures, 0);
  t.deepEqual(result.audit, []);
});

test('stopped before it began, or in a validation', async (t) => {
  const { port } = await referenceServer(t);
  const result = await playOn(port, short, { signal: AbortSignal.abort() });
  t.like(result, { outcome: 'interrupted', requests: 0 });

  const stuck = await referenceServer(t, {
    answer: ({ description }) => (description === 'toma' ? { raw: '' } : undefined),
  });
  const stop = new AbortController();
  const second = await playOn(stuck.port, short, {
    signal: stop.signal,
    onProgress: ({ answered }) => {
      if (answered >= 53) stop.abort();
    },
  });
  t.is(second.outcome, 'interrupted');
  t.is(second.failures, 0);
});

test('stopped while a service that accepts does not answer: at once', async (t) => {
  const { port } = await referenceServer(t, { answer: () => ({ raw: '' }) });
  const stop = new AbortController();
  const run = playOn(port, short, { signal: stop.signal, waitMs: 3_600_000 });
  setTimeout(() => {
    stop.abort();
  }, 50);
  t.like(await run, { outcome: 'interrupted', requests: 0 });
});

test('a store that is not fresh is refused, with the command that makes a fresh one', async (t) => {
  const { port } = await referenceServer(t);
  await playOn(port, validations);
  await t.throwsAsync(playOn(port, validations), {
    code: 'ERR_ESPORA_INVALID',
    message: /client 1 has a balance of 1 and transactions; .* npm start -- --data DIR$/,
  });
});

for (const [what, json] of [
  ['a balance', { saldo: { total: 5, limite: 1_000_000 }, ultimas_transacoes: [] }],
  ['a transaction', { saldo: { total: 0, limite: 1_000_000 }, ultimas_transacoes: [{}] }],
] as const) {
  test(`a store is not fresh if one client has ${what}`, async (t) => {
    const { port } = await referenceServer(t, {
      answer: ({ client }) => (client === 3 ? { status: 200, json } : undefined),
    });
    await t.throwsAsync(playOn(port, validations), {
      code: 'ERR_ESPORA_INVALID',
      message: /client 3/,
    });
  });
}

test('something that is not the service is said to be something else', async (t) => {
  const { port } = await referenceServer(t, {
    answer: ({ client }) => (client === 2 ? { status: 404, json: 'who?' } : undefined),
  });
  await t.throwsAsync(playOn(port, validations), {
    code: 'ERR_ESPORA_UNAVAILABLE',
    message: /is not the contest's service: GET \/clientes\/2\/extrato: status 404: "who\?"/,
  });
});

test('nothing listens: one sentence, after the time that it was given', async (t) => {
  const { port } = await startReferenceServer().then((server) => {
    server.close();
    return server;
  });
  const reasons: string[] = [];
  await t.throwsAsync(
    playOn(port, short, { waitMs: 600, onWait: (reason) => reasons.push(reason) }),
    {
      code: 'ERR_ESPORA_UNAVAILABLE',
      message: `nothing listens on 127.0.0.1:${port} after 0.6 s; start the service with: npm start`,
    },
  );
  t.deepEqual(reasons, [`nothing listens on 127.0.0.1:${port}`]);
});

test('a service that is not ready is waited for', async (t) => {
  let asked = 0;
  const { port } = await referenceServer(t, {
    answer: () => (++asked < 3 ? { status: 503, json: {} } : undefined),
  });
  const reasons: string[] = [];
  const result = await playOn(port, validations, {
    waitMs: 30_000,
    onWait: (reason) => reasons.push(reason),
  });
  t.is(result.outcome, 'passed');
  t.deepEqual(reasons, [`GET http://127.0.0.1:${port}/clientes/1/extrato: status 503`]);
});

test('a service that dies in the middle of the load fails the rest, and the run ends', async (t) => {
  const server = await referenceServer(t);
  const result = await playOn(server.port, short, {
    onProgress: ({ phase }) => {
      if (phase === 'load') server.close();
    },
  });
  t.is(result.outcome, 'failed');
  t.is(result.requests, result.plannedRequests);
  t.true(result.failureGroups.some(({ code }) => code === 'refused'));
  t.true(result.audit.every(({ problem }) => problem !== undefined));
});

test('a name is resolved once, an unknown one is said', async (t) => {
  const server = await referenceServer(t);
  const result = await playOn(server.port, validations, { host: 'localhost' });
  t.is(result.outcome, 'passed');
  t.is(result.service, `http://localhost:${server.port}`);
  await t.throwsAsync(playOn(server.port, validations, { host: 'no-such-host.invalid' }), {
    code: 'ERR_ESPORA_INVALID',
    message: /no-such-host\.invalid cannot be resolved/,
  });
});

test('the load alone can be played against anything that answers it', async (t) => {
  const body = '{"limite":1,"saldo":0}';
  const server = createServer((socket) => {
    socket
      .on('error', () => undefined)
      .on('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const plan = {
    ...contestPlan({
      rampSeconds: 0.2,
      plateauSeconds: 0.2,
      statementsPerSecond: 0,
      startPerSecond: 0,
      accounts: [{ id: 1, limit: 1 }],
    }),
  };
  const result = await playPhases({
    plan: { ...plan, phases: plan.phases.filter(({ kind }) => kind === 'load') },
    target: { host: '127.0.0.1', port },
    authority: 'anything',
    seed: 1,
  });
  t.is(result.outcome, 'passed', JSON.stringify(result.failureGroups));
  t.is(result.service, 'http://anything');
});

test('a load in turns is the same load, and nothing is sent or looked at in between', async (t) => {
  const server = await referenceServer(t);
  let pauses = 0;
  let samples = 0;
  const sampler = {
    name: 'looks',
    sample: () => ({ looks: ++samples }),
  };
  const result = await playOn(server.port, short, {
    samplers: [sampler],
    turns: {
      seconds: 0.2,
      between: async () => {
        pauses++;
        const before = [server.connections(), samples];
        await sleep(1100);
        t.deepEqual([server.connections(), samples], before);
      },
    },
  });
  t.is(result.outcome, 'passed', JSON.stringify(result.failureGroups));
  t.is(result.requests, requestsOf(short));
  t.is(pauses, 3);
  t.is(result.turns!.length, 4);
  const inTurns = result.turns!.reduce((sum, { requests }) => sum + requests, 0);
  t.is(inTurns, result.phases.find(({ title }) => title === 'load')!.requests);
  t.true(result.turns!.every(({ latencyMs }) => latencyMs.p50 > 0 && latencyMs.max < 60_000));
});

test('between turns is told what failed so far, and may end the run', async (t) => {
  let told: readonly FailureGroup[] = [];
  const { port } = await referenceServer(t, {
    answer: (call, answer) => (call.load ? { ...answer, status: 500 } : undefined),
  });
  const turns = {
    seconds: 0.2,
    between: (failed: readonly FailureGroup[]) => {
      told = failed;
      return Promise.reject(new Error('enough'));
    },
  };
  await t.throwsAsync(playOn(port, short, { turns }), { message: 'enough' });
  t.true(told.length > 0);
  t.true(told.every(({ code, phase }) => code === 'status' && phase === 'load'));
});

test('a run that is stopped while others have their turn sends nothing more', async (t) => {
  const server = await referenceServer(t);
  const stop = new AbortController();
  let sent = 0;
  const result = await playOn(server.port, short, {
    signal: stop.signal,
    turns: {
      seconds: 0.2,
      between: () => {
        sent = server.connections();
        stop.abort();
        return Promise.resolve();
      },
    },
  });
  t.is(result.outcome, 'interrupted');
  t.is(server.connections(), sent);
});
