// Requests of the contest through an HTTP parser, and their bodies through a JSON reader.

import { loadAddon } from '../lib/addon.js';
import { NodeParser, isNodeParserAvailable } from './javascript/node-parser.js';
import { RequestParser } from './javascript/request-parser.js';
import { readTransaction } from './javascript/transaction-reader.js';
import type { Contestant, Variant } from './micro-trial.js';
import { fingerprintOf, looped, operations, operationsTrial, variantsOf } from './operations.js';
import type { Loop } from './operations.js';
import { bodies, gets, posts } from './workload.js';

const messagesOf = (caseName: string): readonly Buffer[] =>
  ({ post: posts, get: gets, body: bodies })[caseName]!;

/** The fingerprint is what is found in each of the messages, each parsed once more. */
function parsing(
  messages: readonly Buffer[],
  loop: Loop,
  find: (message: Buffer) => readonly unknown[],
): Contestant {
  loop(messages.length);
  return operations(fingerprintOf(...messages.map((message) => find(message).join(' '))), loop);
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

function requestsInJavaScript(messages: readonly Buffer[]): Contestant {
  const parser = new RequestParser();
  const parse = (message: Buffer): number => (parser.parse(message) ? 1 : NaN);
  return parsing(messages, looped(messages, parse), (message) => {
    parse(message);
    const { methodEnd, pathBegin, pathEnd, bodyBegin, bodyEnd, keepAlive } = parser;
    const part = (begin: number, end: number): string => text(message.subarray(begin, end));
    return [part(0, methodEnd), part(pathBegin, pathEnd), part(bodyBegin, bodyEnd), keepAlive];
  });
}

function requestsInNode(messages: readonly Buffer[]): Contestant {
  const parser = new NodeParser();
  const parse = (message: Buffer): number => (parser.parse(message) ? 1 : NaN);
  return parsing(messages, looped(messages, parse), (message) => {
    parse(message);
    const { method, path, body, keepAlive } = parser;
    return [method, path, text(body ?? new Uint8Array()), keepAlive];
  });
}

function bodiesInJavaScript(): Contestant {
  const loop = looped(bodies, (body) => readTransaction(body)?.amount ?? NaN);
  return parsing(bodies, loop, (body) => {
    const { credit, amount, description } = readTransaction(body)!;
    return [credit, amount, description];
  });
}

/** In native code, called from JavaScript for each message, or in a loop there. */
const native =
  (inside: boolean): Variant['prepare'] =>
  (caseName) => {
    const messages = messagesOf(caseName);
    const fields = new Float64Array(8);
    const trial = new (loadAddon().ParseTrial)(messages, fields);
    if (caseName === 'body') {
      const one = looped(messages, (body) => (trial.bodyOne(body) === null ? NaN : 1));
      const loop = inside ? (iterations: number) => trial.bodyLoop(iterations) : one;
      return parsing(messages, loop, (body) => {
        const description = trial.bodyOne(body)!;
        return [fields[1] === 1, fields[0], description];
      });
    }
    const one = looped(messages, (message) => (trial.one(message) ? 1 : NaN));
    const loop = inside ? (iterations: number) => trial.loop(iterations) : one;
    return parsing(messages, loop, (message) => {
      trial.one(message);
      const part = (at: number): string => text(message.subarray(fields[at], fields[at + 1]));
      return [part(0), part(2), part(4), fields[6] === 1];
    });
  };

const nodes: Variant = {
  name: 'node',
  title: "Node's llhttp",
  cases: isNodeParserAvailable() ? ['post', 'get'] : [],
  prepare: (caseName) => requestsInNode(messagesOf(caseName)),
};
const [javascript, ...others] = variantsOf({
  javascript: (caseName) =>
    caseName === 'body' ? bodiesInJavaScript() : requestsInJavaScript(messagesOf(caseName)),
  call: native(false),
  native: native(true),
});

export const parse = operationsTrial({
  name: 'parse',
  title: "the contest's requests",
  cases: {
    post: `POST, head and body, ${posts[0]!.length} bytes`,
    get: `GET, ${gets[0]!.length} bytes`,
    body: `JSON body, ${bodies[0]!.length} bytes`,
  },
  variants: [javascript!, nodes, ...others],
  references: { javascript: 'JavaScript', node: 'llhttp' },
  notes: isNodeParserAvailable() ? [] : ['This Node.js does not give out its parser: left out.'],
});
