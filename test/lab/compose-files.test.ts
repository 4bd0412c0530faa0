// What docker/ holds is what the topologies say, and keeps to the contest's rules.
import { readFileSync } from 'node:fs';
import test from 'ava';
import {
  composeFile,
  composeFiles,
  contestLimits,
  nginxConfiguration,
} from '#espora/lab/compose-files.js';
import { topologies } from '#espora/topology/index.js';
import type { Topology } from '#espora/topology/topology.js';

const files = composeFiles(topologies);

for (const [name, text] of Object.entries(files)) {
  test(`docker/${name} is what npm run compose writes`, (t) => {
    t.is(readFileSync(`docker/${name}`, 'utf8'), text, 'run: npm run compose');
  });
}

for (const [name, text] of Object.entries(files).filter(([file]) => file.endsWith('.yml'))) {
  test(`docker/${name} keeps to the contest's limits and to what no container may`, (t) => {
    const cpus = [...text.matchAll(/cpus: '([\d.]+)'/g)].map(([, value]) => Number(value));
    const memory = [...text.matchAll(/memory: '(\d+)M'/g)].map(([, value]) => Number(value));
    const services = [...text.matchAll(/^ {2}[a-z][a-z0-9-]*:$/gm)].length;
    t.is(services, 4, 'a balancer, two api instances, a database');
    t.is(cpus.length, services);
    t.is(memory.length, services);
    const sum = (all: readonly number[]): number => all.reduce((total, one) => total + one, 0);
    t.true(sum(cpus) <= contestLimits.cpus + 1e-9, `${sum(cpus)} CPUs`);
    t.true(sum(memory) <= contestLimits.memoryMegabytes, `${sum(memory)} MB`);
    for (const line of [
      'init: true',
      "user: '1000:1000'",
      'read_only: true',
      "cap_drop: ['ALL']",
    ]) {
      t.is(text.split(line).length - 1, services, line);
    }
    t.is(text.split("'data:/data'").length - 1, 1, 'only the database sees the data');
    t.is(text.split("'sockets:/run/espora'").length - 1, services);
    t.notRegex(text, /privileged/i);
  });
}

for (const [name, text] of Object.entries(files).filter(([file]) => file.endsWith('.yml'))) {
  test(`docker/${name} asks one container for its health: the one that answers for all`, (t) => {
    const services = text.split(/^ {2}(?=[a-z][a-z0-9-]*:$)/m).slice(1);
    const asked = services
      .filter((service) => service.includes('ESPORA_IMAGE') && !/disable: true/.test(service))
      .map((service) => service.split(':')[0]);
    t.deepEqual(asked, [name === 'nginx.yml' ? 'database' : 'balancer']);
  });
}

test('nginx has the same api instances as the balancer it replaces', (t) => {
  const text = nginxConfiguration(topologies.relay, 8080);
  t.regex(text, /listen 8080 /);
  t.deepEqual(
    [...text.matchAll(/server unix:([^;]+);/g)].map(([, path]) => path),
    ['/run/espora/api-1.sock', '/run/espora/api-2.sock'],
  );
});

test('text that YAML could take for something else stays text', (t) => {
  const odd: Topology = {
    name: 'odd',
    summary: "it's odd",
    services: [
      {
        name: 'database',
        kind: 'database',
        listen: 'entry',
        upstreams: [],
        limits: { cpus: 1, memoryMegabytes: 10 },
      },
    ],
  };
  const text = composeFile(odd);
  t.true(text.includes("cpus: '1'"));
  t.true(text.includes("PORT: '${PORT:-9999}'"));
  t.notRegex(text, /: (?:yes|no|on|off)$/m);
});
