// The life of a service under its supervisor: a table of states and events. Pure: supervisor.ts performs
// the actions.

/** The state of a service. States with a process are marked with a *. */
export type LifeState =
  /** Not started yet. */
  | 'idle'
  /** * Its first process is not ready yet. */
  | 'starting'
  /** * */
  | 'ready'
  /** Its process crashed; the next one starts after a wait. */
  | 'waiting'
  /** * A later process is not ready yet. */
  | 'restarting'
  /** * Everything stops; its turn has not come yet. */
  | 'leaving'
  /** * It was told to stop and may drain. */
  | 'ending'
  /** * It was told to stop at once. */
  | 'cut'
  /** * It took too long to stop and was killed. */
  | 'killed'
  /** It has no process and gets no further one. */
  | 'over';

/** What happens to a service. */
export type LifeEvent =
  /** The service before it in start order is ready. */
  | 'start'
  /** Its process reported that it is ready. */
  | 'ready'
  /** Its process ended; another one may do better. */
  | 'ended'
  /** Its process ended with exit code 3: no other must be started. */
  | 'ended for good'
  /** The wait before its restart is over. */
  | 'wait over'
  /** Everything must stop. */
  | 'stop'
  /** The services that stop before it have ended. */
  | 'turn'
  /** Everything must stop at once; only after `stop`. */
  | 'at once'
  /** It did not end in time. */
  | 'time over';

/** What the supervisor does for an event. */
export type LifeAction =
  /** Starts a process. */
  | 'spawn'
  /** Reports that the service is ready. */
  | 'announce'
  /** Reports the crash and sets the timer of `wait over`. */
  | 'back off'
  | 'cancel the wait'
  /** Stops everything, for the reason that the process gave. */
  | 'give up'
  /** SIGTERM; sets the timer of `time over` to the time to drain and to end. */
  | 'terminate'
  /** SIGTERM and the message `stop-at-once`; sets the timer of `time over` to a second. */
  | 'cut'
  /** SIGKILL. */
  | 'kill'
  /** Reports that it stopped. */
  | 'report the end';

/** The new state after an event, and the action. */
export interface LifeStep {
  readonly to: LifeState;
  readonly action?: LifeAction;
}

function to(state: LifeState, action?: LifeAction): LifeStep {
  return action === undefined ? { to: state } : { to: state, action };
}

/** However the process ends after a stop. */
const reportedEnd = {
  ended: to('over', 'report the end'),
  'ended for good': to('over', 'report the end'),
} as const;

/**
 * The step for each event in each state. An event without a row cannot happen in that state: for the
 * supervisor it is a bug.
 */
export const lifeTable: Readonly<
  Record<LifeState, Readonly<Partial<Record<LifeEvent, LifeStep>>>>
> = {
  idle: {
    start: to('starting', 'spawn'),
    stop: to('over'),
  },
  // A service that was never ready is most likely configured wrongly: the operator must see the reason.
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
  // From here on nothing is restarted, and readiness no longer matters.
  leaving: {
    ready: to('leaving'),
    ...reportedEnd,
    turn: to('ending', 'terminate'),
    'at once': to('cut', 'cut'),
  },
  ending: {
    ready: to('ending'),
    ...reportedEnd,
    'at once': to('cut', 'cut'),
    'time over': to('killed', 'kill'),
  },
  // Neither its turn nor another `at once` gives it more time.
  cut: {
    ready: to('cut'),
    ...reportedEnd,
    turn: to('cut'),
    'at once': to('cut'),
    'time over': to('killed', 'kill'),
  },
  // Messages that it sent before may still arrive.
  killed: {
    ready: to('killed'),
    ...reportedEnd,
    turn: to('killed'),
    'at once': to('killed'),
  },
  over: {
    stop: to('over'),
    turn: to('over'),
    'at once': to('over'),
  },
};
