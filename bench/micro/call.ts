// What crossing from JavaScript into native code costs by itself.

import { loadAddon } from '../lib/addon.js';
import type { Case, Contestant, MicroTrial, Variant } from './micro-trial.js';
import { operations, operationsReport, perSecond, timed } from './operations.js';
import { entries, posts } from './workload.js';

const cases: Case[] = [
  { name: 'nothing', title: 'no argument' },
  { name: 'number', title: 'a number, returned' },
  { name: 'bytes', title: 'a Buffer' },
  { name: 'string', title: 'a string of 10 characters' },
];

const texts = entries.map(({ description }) => description);
let sink = 0;

/**
 * Each case is written out, so that each loop sees one function and one kind of value. What is called
 * in JavaScript is inlined, as it would be in a program.
 */
const javascript: Record<string, () => (iterations: number) => void> = {
  nothing: () => (iterations) => {
    for (let i = 0; i < iterations; i++) empty();
  },
  number: () => (iterations) => {
    let sum = 0;
    for (let i = 0; i < iterations; i++) sum += number(i);
    sink = sum;
  },
  bytes: () => (iterations) => {
    let sum = 0;
    for (let i = 0; i < iterations; i++) sum += bytes(posts[i & 0xff]!);
    sink = sum;
  },
  string: () => (iterations) => {
    let sum = 0;
    for (let i = 0; i < iterations; i++) sum += string(texts[i & 0xff]!);
    sink = sum;
  },
};
const empty = (): void => {};
const number = (value: number): number => value;
const bytes = (value: Uint8Array): number => value.length;
const string = (value: string): number => value.length;

const native: typeof javascript = {
  nothing: () => {
    const { callEmpty } = loadAddon();
    return (iterations) => {
      for (let i = 0; i < iterations; i++) callEmpty();
    };
  },
  number: () => {
    const { callNumber } = loadAddon();
    return (iterations) => {
      let sum = 0;
      for (let i = 0; i < iterations; i++) sum += callNumber(i);
      sink = sum;
    };
  },
  bytes: () => {
    const { callBytes } = loadAddon();
    return (iterations) => {
      let sum = 0;
      for (let i = 0; i < iterations; i++) sum += callBytes(posts[i & 0xff]!);
      sink = sum;
    };
  },
  string: () => {
    const { callString } = loadAddon();
    return (iterations) => {
      let sum = 0;
      for (let i = 0; i < iterations; i++) sum += callString(texts[i & 0xff]!);
      sink = sum;
    };
  },
};

function contestant(loops: typeof javascript, caseName: string): Contestant {
  const loop = loops[caseName]!();
  sink = 0;
  loop(256);
  return operations(String(sink), timed(loop));
}

const variants: Variant[] = [
  {
    name: 'javascript',
    title: 'JavaScript',
    prepare: (caseName) => contestant(javascript, caseName),
  },
  {
    name: 'call',
    title: 'native, one by one',
    prepare: (caseName) => contestant(native, caseName),
  },
];

export const call: MicroTrial = {
  name: 'call',
  title: 'crossing the border: a function that does nothing with its argument',
  cases,
  variants,
  report: operationsReport({ cases, variants }, { references: [], rate: perSecond, notes: [] }),
};
