// How a service of a plan is started: as `espora <kind>`, configured by its environment.
import { fileURLToPath } from 'node:url';
import { knownVariables } from '../options/resolve.js';
import { flagOf, optionNames, variableOf } from '../options/table.js';
import { inheritedDescriptors } from '../services/service.js';
import type { ServiceCommand } from '../supervisor/service-process.js';
import type { ServicePlan } from '../topology/topology.js';

// What a service manager tells the process that it started, except LISTEN_FDS, which is an option.
const ofServiceManager: ReadonlySet<string> = new Set(['LISTEN_PID', 'LISTEN_FDNAMES']);

const main = fileURLToPath(new URL('main.js', import.meta.url));

/** `entryPort`: the port on which clients were served before a restart, if there was one. */
export function serviceCommand(plan: ServicePlan, entryPort: number | undefined): ServiceCommand {
  const options = new Set(optionNames.map(variableOf));
  // The supervisor has already warned about unknown variables with our prefix.
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
  // If the kernel chose the port, clients already know it: a restart must use the same one.
  if (port in environment && entryPort !== undefined) environment[port] = String(entryPort);
  return {
    file: process.execPath,
    // As a flag: the variable is only valid together with the process id that it is meant for.
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
