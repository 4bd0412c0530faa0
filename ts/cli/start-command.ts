// `espora start`: the services of a topology under a supervisor.
import { fileURLToPath } from 'node:url';
import { resolveOptions } from '../options/resolve.js';
import { optionNames, variableOf } from '../options/table.js';
import { openRunDirectory } from '../supervisor/run-directory.js';
import { ServiceEnded, Supervisor } from '../supervisor/supervisor.js';
import type { ServiceCommand } from '../supervisor/service-process.js';
import { topologies } from '../topology/index.js';
import { planServices } from '../topology/topology.js';
import type { ServicePlan } from '../topology/topology.js';
import { version } from '../version.js';
import { StartLines } from './lines.js';
import { createLogger } from './log.js';
import { print, printError, printJson } from './output.js';
import { sourcesOf } from './sources.js';
import type { Flags } from './sources.js';
import { onStopSignals } from './stop-signals.js';

const program = 'espora';
const main = fileURLToPath(new URL('main.js', import.meta.url));

/** How a service of a plan is started: as its own command, with nothing but its environment. */
function commandOf(plan: ServicePlan): ServiceCommand {
  const options = new Set(optionNames.map(variableOf));
  const inherited = Object.entries(process.env).filter(([name]) => !options.has(name));
  return {
    file: process.execPath,
    arguments: [...process.execArgv, main, plan.kind],
    environment: { ...Object.fromEntries(inherited), ...plan.environment },
  };
}

/** Runs a topology until it is told to stop. Resolves with the exit code; never rejects. */
export async function start(flags: Flags): Promise<number> {
  process.title = `${program} start`;
  try {
    return await run(flags);
  } catch (error) {
    return printError(program, error);
  }
}

async function run(flags: Flags): Promise<number> {
  const { values, settings } = resolveOptions('start', sourcesOf(flags));
  const topology = topologies[values.topology];
  const log = createLogger('supervisor', values);
  const lines = new StartLines(topology, values);
  const runDirectory = openRunDirectory(values.runDirectory);
  // Also for a process.exit() and an exception that nobody caught.
  process.once('exit', () => {
    runDirectory.remove();
  });
  const supervisor = new Supervisor({
    plans: planServices(topology, settings, runDirectory.path),
    commandOf,
    drainMs: values.drainTimeout,
    runDirectory: runDirectory.made ? runDirectory.path : undefined,
    onEvent: (event) => {
      if (event.event === 'service-crashed') {
        const again = `it starts again in ${String(event.restartInMs)} ms`;
        log.warn(`${event.service} ${event.reason}; ${again}`);
      }
      if (event.event === 'failed')
        printError(program, new ServiceEnded(event.reason, event.exitCode));
      const line = lines.of(event);
      if (flags.json === true) printJson(event);
      else if (line !== undefined) print(line);
    },
  });
  onStopSignals({
    first: () => void supervisor.stop(),
    again: () => void supervisor.stopAtOnce(),
  });
  if (flags.json !== true) print(StartLines.head(version, topology));
  await supervisor.start();
  return (await supervisor.ended)?.exitCode ?? 0;
}
