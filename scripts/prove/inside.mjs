// Runs the campaign `power` in separate namespaces: when this process ends in any way, the kernel ends all
// processes that it started and removes its mounts. Started by service.mjs under unshare(1).

import { exitCodeOf, onSignals, runScript } from '../lib/run.mjs';
import { power } from './service.mjs';

// The first process of a namespace ignores signals that it does not handle.
onSignals((signal) => process.exit(exitCodeOf(signal)));

await runScript(async () => ((await power.inside(JSON.parse(process.argv[2]))) ? 0 : 1));
