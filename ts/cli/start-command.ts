// `espora start`: the services of a topology under a supervisor.
import { fstatSync } from 'node:fs';
import { invalid } from '../errors.js';
import { resolveOptions } from '../options/resolve.js';
import { variableOf, type Values } from '../options/table.js';
import { inheritedDescriptors } from '../services/service.js';
import type { MetricsServer } from '../metrics/server.js';
import { openRunDirectory } from '../supervisor/run-directory.js';
import { ServiceEnded, Supervisor } from '../supervisor/supervisor.js';
import { topologies } from '../topology/index.js';
import { planServices } from '../topology/topology.js';
import { version } from '../version.js';
import { collectWhenNeeded } from './idle-collection.js';
import { metricsLine, StartLines } from './lines.js';
import { createLogger } from './log.js';
import { exitCode, print, printError, printJson, printLine } from './output.js';
import { serviceCommand } from './service-command.js';
import { sourcesOf, type Flags } from './sources.js';
import { onStopSignals } from './stop-signals.js';

const program = 'espora';

/** Runs a topology until it is told to stop. Resolves with the exit code; never rejects. */
export async function start(flags: Flags): Promise<number> {
  collectWhenNeeded();
  process.title = `${program} start`;
  return exitCode(program, run(flags));
}

async function run(flags: Flags): Promise<number> {
  const { values, settings, warnings } = resolveOptions('start', sourcesOf(flags));
  const topology = topologies[values.topology];
  const log = createLogger('supervisor', values);
  for (const warning of warnings) log.warn(warning);
  for (const descriptor of inheritedDescriptors(values.listenFds ?? 0)) checkSocket(descriptor);
  const lines = new StartLines(topology, values);
  const runDirectory = openRunDirectory(values.runDirectory);
  // Also after process.exit() and an uncaught exception.
  process.once('exit', () => runDirectory.remove());
  let entryPort: number | undefined;
  const supervisor = new Supervisor({
    plans: planServices(topology, settings, runDirectory.path),
    commandOf: (plan) => serviceCommand(plan, entryPort),
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
      else if (line !== undefined) printLine(line);
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

/** Throws ERR_ESPORA_INVALID for a descriptor that is not a socket. */
function checkSocket(descriptor: number): void {
  let isSocket = false;
  try {
    isSocket = fstatSync(descriptor).isSocket();
  } catch {
    // EBADF: the descriptor is not open.
  }
  if (isSocket) return;
  throw invalid(
    `cannot take over descriptor ${String(descriptor)}: it is no socket; ${variableOf('listenFds')} says how many there are from descriptor 3 on`,
  );
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
