// How a service of a plan is started: as its own command, with nothing but its environment.
import { fileURLToPath } from 'node:url';
import { knownVariables } from '../options/resolve.js';
import { flagOf, optionNames, variableOf } from '../options/table.js';
import { inheritedDescriptors } from '../services/service.js';
import type { ServiceCommand } from '../supervisor/service-process.js';
import type { ServicePlan } from '../topology/topology.js';

// Beside LISTEN_FDS, which is an option: what a service manager tells the process that it started.
const ofServiceManager: ReadonlySet<string> = new Set(['LISTEN_PID', 'LISTEN_FDNAMES']);

const main = fileURLToPath(new URL('main.js', import.meta.url));

/** `entryPort`: the port that the entry got in an earlier life, if it had one. */
export function serviceCommand(plan: ServicePlan, entryPort: number | undefined): ServiceCommand {
  const options = new Set(optionNames.map(variableOf));
  // What has our prefix and means nothing was told by the supervisor already.
  const meaningless = (name: string): boolean =>
    name.startsWith('ESPORA_') && !knownVariables.includes(name);
  const inherited = Object.entries(process.env).filter(
    ([name]) => !options.has(name) && !meaningless(name) && !ofServiceManager.has(name),
  );
  const { [variableOf('listenFds')]: sockets, ...settings } = plan.environment;
  const environment: Record<string, string | undefined> = {
    ...Object.fromEntries(inherited),
    ...settings,
  };
  const port = variableOf('port');
  // Clients know a port that the kernel chose by now: a restart must not ask for another.
  if (port in environment && entryPort !== undefined) environment[port] = String(entryPort);
  return {
    file: process.execPath,
    // As a flag: the variable counts only beside the process id that it is meant for.
    arguments: [
      ...process.execArgv,
      main,
      plan.kind,
      ...(sockets === undefined ? [] : [flagOf('listenFds'), sockets]),
    ],
    environment,
    descriptors: inheritedDescriptors(sockets === undefined ? 0 : Number(sockets)),
  };
}
