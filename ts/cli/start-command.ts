// `espora start`: the services of a topology under a supervisor.
import { fileURLToPath } from 'node:url';
import { resolveOptions } from '../options/resolve.js';
import { optionNames, variableOf } from '../options/table.js';
import type { Values } from '../options/table.js';
import type { MetricsServer } from '../metrics/server.js';
import { openRunDirectory } from '../supervisor/run-directory.js';
import { ServiceEnded, Supervisor } from '../supervisor/supervisor.js';
import type { ServiceCommand } from '../supervisor/service-process.js';
import { topologies } from '../topology/index.js';
import { planServices } from '../topology/topology.js';
import type { ServicePlan } from '../topology/topology.js';
import { version } from '../version.js';
import { metricsLine, StartLines } from './lines.js';
import { createLogger } from './log.js';
import { print, printError, printJson } from './output.js';
import { sourcesOf } from './sources.js';
import type { Flags } from './sources.js';
import { onStopSignals } from './stop-signals.js';

const program = 'espora';
const main = fileURLToPath(new URL('main.js', import.meta.url));

/** How a service of a plan is started: as its own command, with nothing but its environment. */
function commandOf(plan: ServicePlan, entryPort: number | undefined): ServiceCommand {
  const options = new Set(optionNames.map(variableOf));
  const inherited = Object.entries(process.env).filter(([name]) => !options.has(name));
  const environment: Record<string, string | undefined> = {
    ...Object.fromEntries(inherited),
    ...plan.environment,
  };
  const port = variableOf('port');
  // Clients know a port that the kernel chose by now: a restart must not ask for another.
  if (port in environment && entryPort !== undefined) environment[port] = String(entryPort);
  return {
    file: process.execPath,
    arguments: [...process.execArgv, main, plan.kind],
    environment,
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
  let entryPort: number | undefined;
  const supervisor = new Supervisor({
    plans: planServices(topology, settings, runDirectory.path),
    commandOf: (plan) => commandOf(plan, entryPort),
    drainMs: values.drainTimeout,
    runDirectory: runDirectory.isPrivate ? runDirectory.path : undefined,
    onEvent: (event) => {
      if (event.event === 'service-ready') entryPort = event.started.port ?? entryPort;
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
  const metrics = await serve(values, supervisor);
  if (metrics !== undefined) {
    if (flags.json === true) printJson({ event: 'metrics', port: metrics.port });
    else print(metricsLine(values.metricsHost, metrics.port));
  }
  await supervisor.start();
  const end = await supervisor.ended;
  metrics?.close();
  return end?.exitCode ?? 0;
}

/** The endpoint for the metrics of all services, if one is wanted. */
async function serve(
  values: Values<'start'>,
  supervisor: Supervisor,
): Promise<MetricsServer | undefined> {
  const { metricsHost: host, metricsPort: port, fsyncInterval: fsyncIntervalMs } = values;
  if (port === undefined) return undefined;
  const { serveMetrics } = await import('../metrics/server.js');
  return serveMetrics({ host, port }, async () =>
    (await supervisor.measure()).map((one) =>
      one.kind === 'database' ? { ...one, fsyncIntervalMs } : one,
    ),
  );
}
