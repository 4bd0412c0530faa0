// Whatever `npm run bench` runs is named here, in the order in which it runs.

import type { Trial } from './lib/trial.js';
import { asTrial } from './micro/contestants.js';
import { microTrials } from './micro/index.js';
import { openTrial } from './micro/open.js';
import { storeTrials } from './peers/store.js';
import { arrivals } from './stack/arrivals.js';
import { bulk } from './stack/bulk.js';
import { containers } from './stack/containers.js';
import { contestLoad } from './stack/contest-load.js';
import { forwarding } from './stack/forwarding.js';
import { chain } from './stack/chain.js';
import { cpuShares, saturation } from './stack/limited.js';
import { rewritingP99 } from './stack/rewriting-p99.js';
import { splice } from './stack/splice.js';

export const registry: readonly Trial[] = [
  ...microTrials.map(asTrial),
  openTrial,
  ...storeTrials,
  contestLoad,
  rewritingP99,
  chain,
  cpuShares,
  saturation,
  arrivals,
  containers,
  forwarding,
  bulk,
  splice,
];
