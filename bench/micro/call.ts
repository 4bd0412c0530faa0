// What crossing from JavaScript into native code costs by itself.

import { loadAddon } from '../lib/addon.js';
import type { Addon } from '../lib/addon.js';
import type { Variant } from './micro-trial.js';
import { lastSum, looped, operations, operationsTrial, variantsOf } from './operations.js';
import { entries, posts } from './workload.js';

const numbers = entries.map((_, index) => index);
const texts = entries.map(({ description }) => description);

type Functions = Pick<Addon, 'callEmpty' | 'callNumber' | 'callBytes' | 'callString'>;

/** What is called in JavaScript is inlined, as it would be in a program. */
const inJavaScript: Functions = {
  callEmpty: () => undefined,
  callNumber: (value) => value,
  callBytes: (value) => value.length,
  callString: (value) => value.length,
};

const called =
  (load: () => Functions): Variant['prepare'] =>
  (caseName) => {
    const { callEmpty, callNumber, callBytes, callString } = load();
    const loop = {
      nothing: looped(numbers, () => (callEmpty() === undefined ? 0 : NaN)),
      number: looped(numbers, (value) => callNumber(value)),
      bytes: looped(posts, (value) => callBytes(value)),
      string: looped(texts, (value) => callString(value)),
    }[caseName]!;
    loop(numbers.length);
    return operations(String(lastSum), loop);
  };

export const call = operationsTrial({
  name: 'call',
  title: 'crossing the border: a function that does nothing with its argument',
  cases: {
    nothing: 'no argument',
    number: 'a number, returned',
    bytes: 'a Buffer',
    string: 'a string of 10 characters',
  },
  variants: variantsOf({ javascript: called(() => inJavaScript), call: called(loadAddon) }),
  references: {},
});
