// Runs the campaign `power` in namespaces of its own: when this process ends, however it does, the kernel
// ends all that it started, and what it mounted is gone. Started by service.mjs under unshare(1).

import { exitCodeOf, onSignals, runScript } from '../lib/run.mjs';
import { power } from './service.mjs';

// The first process of a namespace ignores what it does not handle.
onSignals((signal) => process.exit(exitCodeOf(signal)));

await runScript(async () => ((await power.inside(JSON.parse(process.argv[2]))) ? 0 : 1));
