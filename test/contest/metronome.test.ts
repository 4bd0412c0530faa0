import test from 'ava';
import { Metronome } from '#espora/contest/metronome.js';

async function ticksOf(atMs: readonly number[]): Promise<readonly number[]> {
  const metronome = await Metronome.create(Float64Array.from(atMs));
  const distinct = new Set(atMs).size;
  const startAt = performance.now() + 10;
  const ticks: number[] = [];
  await new Promise<void>((resolve) => {
    metronome.start(startAt, () => {
      if (ticks.push(performance.now() - startAt) === distinct) resolve();
    });
  });
  await metronome.stop();
  return ticks;
}

test('ticks once for each instant, never before it', async (t) => {
  const atMs = [0, 0, 1, 1.25, 5, 5, 5, 40];
  const ticks = await ticksOf(atMs);
  const distinct = [...new Set(atMs)];
  t.is(ticks.length, distinct.length);
  // Two clocks of one source, converted: equal to the microsecond.
  for (const [index, at] of distinct.entries()) t.true(ticks[index]! >= at - 0.001);
});

test('instants that are past already tick all the same', async (t) => {
  t.is((await ticksOf([-1000, -500, 0])).length, 3);
});

test('a metronome that was stopped ticks no more, started or not', async (t) => {
  const never = await Metronome.create(Float64Array.of(0));
  await never.stop();
  const endless = await Metronome.create(
    Float64Array.from({ length: 10_000 }, (_, index) => index * 1000),
  );
  let ticks = 0;
  await new Promise<void>((resolve) => {
    endless.start(performance.now(), () => {
      ticks++;
      resolve();
    });
  });
  await endless.stop();
  const before = ticks;
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.is(ticks, before);
});
