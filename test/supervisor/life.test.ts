// The table of a service's life, all of it: a model of what can happen beside it goes through every
// order of events, and there must be a row exactly where one of them leads.
import test from 'ava';
import { lifeTable } from '#espora/supervisor/life.js';
import type { LifeAction, LifeEvent, LifeState } from '#espora/supervisor/life.js';

/** What is so, told by what was done and by what happened, not by the table's states. */
interface Facts {
  readonly started: boolean;
  readonly process: boolean;
  readonly everReady: boolean;
  readonly ready: boolean;
  readonly stopped: boolean;
  readonly turned: boolean;
  readonly killed: boolean;
  /** The timers that run. */
  readonly wait: boolean;
  readonly grace: 'none' | 'drain' | 'short';
  /** Its end was said, as a reason to stop everything or as that of one that was stopped. */
  readonly reported: boolean;
}

const born: Facts = {
  started: false,
  process: false,
  everReady: false,
  ready: false,
  stopped: false,
  turned: false,
  killed: false,
  wait: false,
  grace: 'none',
  reported: false,
};

/** When each event can happen. */
const can: Readonly<Record<LifeEvent, (facts: Facts) => boolean>> = {
  start: ({ started, stopped }) => !started && !stopped,
  ready: ({ process, ready }) => process && !ready,
  ended: ({ process }) => process,
  'ended for good': ({ process }) => process,
  'wait over': ({ wait }) => wait,
  stop: ({ stopped }) => !stopped,
  turn: ({ stopped, turned }) => stopped && !turned,
  'at once': ({ stopped }) => stopped,
  'time over': ({ grace }) => grace !== 'none',
};

/** What each event changes by itself. */
const changes: Readonly<Record<LifeEvent, Partial<Facts>>> = {
  start: { started: true },
  ready: { ready: true },
  ended: { process: false, ready: false, grace: 'none' },
  'ended for good': { process: false, ready: false, grace: 'none' },
  'wait over': { wait: false },
  stop: { stopped: true },
  turn: { turned: true },
  'at once': {},
  'time over': { grace: 'none' },
};

/** What each action changes, and what has to be so before it. */
const done: Readonly<
  Record<LifeAction, { may: (facts: Facts) => boolean; change: Partial<Facts> }>
> = {
  spawn: { may: ({ process, stopped }) => !process && !stopped, change: { process: true } },
  announce: { may: ({ ready, stopped }) => ready && !stopped, change: { everReady: true } },
  'back off': {
    may: ({ process, stopped, everReady }) => !process && !stopped && everReady,
    change: { wait: true },
  },
  'cancel the wait': { may: ({ wait }) => wait, change: { wait: false } },
  'give up': {
    may: ({ process, stopped, reported }) => !process && !stopped && !reported,
    change: { reported: true },
  },
  // In its order, and never instead of a time that is shorter already.
  terminate: {
    may: ({ process, turned, grace }) => process && turned && grace === 'none',
    change: { grace: 'drain' },
  },
  // Once: whoever is told again gets no time again.
  cut: {
    may: ({ process, stopped, grace, killed }) =>
      process && stopped && grace !== 'short' && !killed,
    change: { grace: 'short' },
  },
  kill: { may: ({ process, stopped }) => process && stopped, change: { killed: true } },
  'report the end': {
    may: ({ process, stopped, reported }) => !process && stopped && !reported,
    change: { reported: true },
  },
};

const states = Object.keys(lifeTable) as LifeState[];
const events = Object.keys(can) as LifeEvent[];

interface Place {
  readonly state: LifeState;
  readonly facts: Facts;
}

/** One step; throws where the table does what must not be. */
function step({ state, facts }: Place, event: LifeEvent): Place {
  const row = lifeTable[state][event];
  if (row === undefined) throw new Error('it is possible');
  let after = { ...facts, ...changes[event] };
  if (row.action !== undefined) {
    if (!done[row.action].may(after)) throw new Error(`"${row.action}" must not be done`);
    after = { ...after, ...done[row.action].change };
  }
  return { state: row.to, facts: after };
}

/** Every place that can be reached, and what was met on the way. */
function explore(): { places: Place[]; met: Set<string>; wrong: string[] } {
  const places: Place[] = [{ state: 'idle', facts: born }];
  const seen = new Set(places.map((place) => JSON.stringify(place)));
  const met = new Set<string>();
  const wrong: string[] = [];
  for (const place of places) {
    for (const event of events.filter((each) => can[each](place.facts))) {
      met.add(`${place.state}: ${event}`);
      try {
        const next = step(place, event);
        const key = JSON.stringify(next);
        if (!seen.has(key)) places.push(next);
        seen.add(key);
      } catch (error) {
        wrong.push(`${JSON.stringify(place)}, "${event}": ${(error as Error).message}`);
      }
    }
  }
  return { places, met, wrong };
}

const { places, met, wrong } = explore();

test('whatever can happen has a step that may be taken', (t) => {
  t.deepEqual(wrong, []);
});

test('there is a row exactly where something that can happen leads', (t) => {
  const rows = states.flatMap((state) =>
    Object.keys(lifeTable[state]).map((event) => `${state}: ${event}`),
  );
  t.deepEqual(rows.toSorted(), [...met].sort());
});

test('the state says what is so', (t) => {
  const withProcess = ['starting', 'ready', 'restarting', 'leaving', 'ending', 'cut', 'killed'];
  for (const { state, facts } of places) {
    const what = `${state} ${JSON.stringify(facts)}`;
    t.is(facts.process, withProcess.includes(state), what);
    t.is(facts.wait, state === 'waiting', what);
    t.is(facts.grace === 'drain', state === 'ending', what);
    t.is(facts.grace === 'short', state === 'cut', what);
    t.is(facts.killed && facts.process, state === 'killed', what);
    // What waits neither for a process nor for a timer nor to be started is over, and the other
    // way round; its end was said if there was a process at the end.
    if (facts.stopped) t.is(state === 'over', !facts.process, what);
    if (state === 'starting') t.false(facts.everReady, what);
    if (state === 'restarting') t.true(facts.everReady, what);
  }
});

test('nothing leads out of the end, and nothing is done there', (t) => {
  for (const event of events) {
    const row = lifeTable.over[event];
    if (row !== undefined) t.deepEqual(row, { to: 'over' });
  }
});

test('whatever was asked to stop is over once its turn, its time and its end have come', (t) => {
  for (const place of places.filter(({ facts }) => facts.stopped)) {
    let now = place;
    for (const event of ['turn', 'time over', 'ended'] as const) {
      if (can[event](now.facts)) now = step(now, event);
      // With its turn there is always a time after which it is killed, if it lives.
      if (now.facts.turned && now.facts.process && !now.facts.killed) {
        t.not(now.facts.grace, 'none', JSON.stringify(place));
      }
    }
    t.is(now.state, 'over', JSON.stringify(place));
  }
});

test('a service that was ready comes back after any end but one for good; others never do', (t) => {
  for (const { state, facts } of places.filter(({ facts }) => facts.process && !facts.stopped)) {
    const crashed = step({ state, facts }, 'ended');
    t.is(crashed.state, facts.everReady ? 'waiting' : 'over');
    if (facts.everReady) t.is(step(crashed, 'wait over').state, 'restarting');
    const forGood = step({ state, facts }, 'ended for good');
    t.is(forGood.state, 'over');
    t.true(forGood.facts.reported);
  }
});
