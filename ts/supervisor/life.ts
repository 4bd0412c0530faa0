// The life of a service under its supervisor: a table of states and events. Pure: what is to be done
// is said here and done in supervisor.ts.

/** Where a service is in its life. Those with a process are marked with a *. */
export type LifeState =
  /** Not started yet. */
  | 'idle'
  /** * Its first process, which was not ready yet. */
  | 'starting'
  /** * */
  | 'ready'
  /** Its process crashed; the next one comes after a wait. */
  | 'waiting'
  /** * A later process, which was not ready yet. */
  | 'restarting'
  /** * Everything stops, and its turn has not come. */
  | 'leaving'
  /** * It was told to end and may drain. */
  | 'ending'
  /** * It was told to end at once. */
  | 'cut'
  /** * It took longer than it may and was killed. */
  | 'killed'
  /** Nothing runs, and nothing will. */
  | 'over';

/** What happens to a service. */
export type LifeEvent =
  /** The one before it in start order is ready. */
  | 'start'
  /** Its process reported that it is ready. */
  | 'ready'
  /** Its process ended in a way after which another may do better. */
  | 'ended'
  /** Its process ended with exit code 3: another must not be tried. */
  | 'ended for good'
  /** The wait before its restart is over. */
  | 'wait over'
  /** Everything is to stop. */
  | 'stop'
  /** Those that are stopped before it have ended. */
  | 'turn'
  /** Everything is to end at once; only after `stop`. */
  | 'at once'
  /** It did not end within the time that it was given. */
  | 'time over';

/** What the supervisor does. */
export type LifeAction =
  /** Starts a process. */
  | 'spawn'
  /** Says that the service is ready. */
  | 'announce'
  /** Says that it crashed, and sets the timer of `wait over`. */
  | 'back off'
  | 'cancel the wait'
  /** Stops everything, with the reason that the process gave. */
  | 'give up'
  /** SIGTERM; sets the timer of `time over` to the time to drain and to end. */
  | 'terminate'
  /** SIGTERM and the message that there is no time; sets the timer of `time over` to a second. */
  | 'cut'
  /** SIGKILL. */
  | 'kill'
  /** Says that it was stopped. */
  | 'report the end';

/** What an event leads to. */
export interface LifeStep {
  readonly to: LifeState;
  readonly action?: LifeAction;
}

function to(state: LifeState, action?: LifeAction): LifeStep {
  return action === undefined ? { to: state } : { to: state, action };
}

/**
 * For each state what each event leads to. What has no row there can't happen: the supervisor takes
 * it for a bug of its own.
 */
export const lifeTable: Readonly<
  Record<LifeState, Readonly<Partial<Record<LifeEvent, LifeStep>>>>
> = {
  idle: {
    start: to('starting', 'spawn'),
    stop: to('over'),
  },
  // What was never ready is set up wrongly more often than not: a person has to see the reason.
  starting: {
    ready: to('ready', 'announce'),
    ended: to('over', 'give up'),
    'ended for good': to('over', 'give up'),
    stop: to('leaving'),
  },
  ready: {
    ended: to('waiting', 'back off'),
    'ended for good': to('over', 'give up'),
    stop: to('leaving'),
  },
  waiting: {
    'wait over': to('restarting', 'spawn'),
    stop: to('over', 'cancel the wait'),
  },
  restarting: {
    ready: to('ready', 'announce'),
    ended: to('waiting', 'back off'),
    'ended for good': to('over', 'give up'),
    stop: to('leaving'),
  },
  // From here on nothing comes back, and that something got ready interests nobody any more.
  leaving: {
    ready: to('leaving'),
    ended: to('over', 'report the end'),
    'ended for good': to('over', 'report the end'),
    turn: to('ending', 'terminate'),
    'at once': to('cut', 'cut'),
  },
  ending: {
    ready: to('ending'),
    ended: to('over', 'report the end'),
    'ended for good': to('over', 'report the end'),
    'at once': to('cut', 'cut'),
    'time over': to('killed', 'kill'),
  },
  // Neither its turn nor being told again gives it more time.
  cut: {
    ready: to('cut'),
    ended: to('over', 'report the end'),
    'ended for good': to('over', 'report the end'),
    turn: to('cut'),
    'at once': to('cut'),
    'time over': to('killed', 'kill'),
  },
  // What it said before may still be on its way.
  killed: {
    ready: to('killed'),
    ended: to('over', 'report the end'),
    'ended for good': to('over', 'report the end'),
    turn: to('killed'),
    'at once': to('killed'),
  },
  over: {
    stop: to('over'),
    turn: to('over'),
    'at once': to('over'),
  },
};
