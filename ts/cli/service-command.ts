// How a service of a plan is started: as its own command, with nothing but its environment.
import { fileURLToPath } from 'node:url';
import { knownVariables } from '../options/resolve.js';
import { optionNames, variableOf } from '../options/table.js';
import type { ServiceCommand } from '../supervisor/service-process.js';
import type { ServicePlan } from '../topology/topology.js';

const main = fileURLToPath(new URL('main.js', import.meta.url));

/** `entryPort`: the port that the entry got in an earlier life, if it had one. */
export function serviceCommand(plan: ServicePlan, entryPort: number | undefined): ServiceCommand {
  const options = new Set(optionNames.map(variableOf));
  // What has our prefix and means nothing was told by the supervisor already.
  const meaningless = (name: string): boolean =>
    name.startsWith('ESPORA_') && !knownVariables.includes(name);
  const inherited = Object.entries(process.env).filter(
    ([name]) => !options.has(name) && !meaningless(name),
  );
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
