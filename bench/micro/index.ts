// All micro trials, in the order in which a request meets them.

import { append } from './append.js';
import { apply } from './apply.js';
import { call } from './call.js';
import { crc32c } from './crc32c.js';
import { encode } from './encode.js';
import type { MicroTrial } from './micro-trial.js';
import { parse } from './parse.js';
import { rewriting } from './rewriting.js';

export const microTrials: readonly MicroTrial[] = [
  call,
  parse,
  apply,
  encode,
  crc32c,
  append,
  rewriting,
];
