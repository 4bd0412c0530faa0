// Turns of contestants that each go on for long.

import { setImmediate as turn } from 'node:timers/promises';
import test from 'ava';
import { Baton } from '../../bench/stack/baton.js';

test('whoever has it is alone, and the others get it in the order of asking', async (t) => {
  const baton = new Baton();
  const order: string[] = [];
  let holders = 0;
  const play = (name: string, turns: number) =>
    baton.hold(async (pass) => {
      for (let played = 0; played < turns; played++) {
        if (played > 0) await pass();
        t.is(++holders, 1);
        await turn();
        order.push(name);
        holders--;
      }
      return name.toLowerCase();
    });
  const played = await Promise.all([play('A', 3), play('B', 1), play('C', 2)]);
  t.deepEqual(order, ['A', 'B', 'C', 'A', 'C', 'A']);
  t.deepEqual(
    played.map(({ result }) => result),
    ['a', 'b', 'c'],
  );
});

test('who fails gives it away', async (t) => {
  const baton = new Baton();
  await t.throwsAsync(
    baton.hold(() => Promise.reject(new Error('broken'))),
    { message: 'broken' },
  );
  t.is((await baton.hold(() => Promise.resolve(7))).result, 7);
});

test('the CPU is that of who has it, not of the others', async (t) => {
  const baton = new Baton();
  const spin = (ms: number): void => {
    for (const end = performance.now() + ms; performance.now() < end;);
  };
  const [idle, busy] = await Promise.all([
    baton.hold(async (pass) => {
      await pass();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }),
    baton.hold(() => {
      spin(200);
      return Promise.resolve();
    }),
  ]);
  t.true(idle.cpuPercent < busy.cpuPercent, `${idle.cpuPercent} ${busy.cpuPercent}`);
});
