// Requests of the contest through an HTTP parser, and their bodies through a JSON reader.

import { loadAddon } from '../lib/addon.js';
import { fingerprintOf } from './fingerprint.js';
import { NodeParser, isNodeParserAvailable } from './javascript/node-parser.js';
import { RequestParser } from './javascript/request-parser.js';
import { readTransaction } from './javascript/transaction-reader.js';
import type { Case, Contestant, MicroTrial, Variant } from './micro-trial.js';
import { operations, operationsReport, perSecond, timed } from './operations.js';
import { bodies, gets, posts } from './workload.js';

const cases: Case[] = [
  { name: 'post', title: `POST, head and body, ${posts[0]!.length} bytes` },
  { name: 'get', title: `GET, ${gets[0]!.length} bytes` },
  { name: 'body', title: `JSON body, ${bodies[0]!.length} bytes` },
];
const requestCases = ['post', 'get'];

const messagesOf = (caseName: string): readonly Buffer[] => {
  if (caseName === 'body') return bodies;
  return caseName === 'post' ? posts : gets;
};

/** What every parser has to find in a request. */
function requestPrint(method: string, path: string, body: Uint8Array, keepAlive: boolean): string {
  return `${method} ${path} ${Buffer.from(body).toString('latin1')} ${keepAlive}`;
}

function printOf(message: Buffer, parser: RequestParser): string {
  return requestPrint(
    message.toString('latin1', 0, parser.methodEnd),
    message.toString('latin1', parser.pathBegin, parser.pathEnd),
    message.subarray(parser.bodyBegin, parser.bodyEnd),
    parser.keepAlive,
  );
}

const expectWhole = (whole: boolean): void => {
  if (!whole) throw new Error('a request of the workload was not parsed');
};

function requestsInJavaScript(caseName: string): Contestant {
  const messages = messagesOf(caseName);
  const parser = new RequestParser();
  const prints = messages.map((message) => {
    expectWhole(parser.parse(message));
    return printOf(message, parser);
  });
  const loop = (iterations: number): void => {
    let whole = true;
    for (let i = 0; i < iterations; i++) whole = parser.parse(messages[i & 0xff]!) && whole;
    expectWhole(whole);
  };
  return operations(fingerprintOf(...prints), timed(loop));
}

function requestsInNode(caseName: string): Contestant {
  const messages = messagesOf(caseName);
  const parser = new NodeParser();
  const none = new Uint8Array();
  const prints = messages.map((message) => {
    expectWhole(parser.parse(message));
    return requestPrint(parser.method, parser.path, parser.body ?? none, parser.keepAlive);
  });
  const loop = (iterations: number): void => {
    let whole = true;
    for (let i = 0; i < iterations; i++) whole = parser.parse(messages[i & 0xff]!) && whole;
    expectWhole(whole);
  };
  return operations(fingerprintOf(...prints), timed(loop));
}

/** The native parser with what single calls to it find. */
function nativeRequests(caseName: string) {
  const messages = messagesOf(caseName);
  const fields = new Float64Array(8);
  const trial = new (loadAddon().ParseTrial)(messages, fields);
  const prints = messages.map((message) => {
    expectWhole(trial.one(message));
    const [methodBegin, methodEnd, pathBegin, pathEnd, bodyBegin, bodyEnd, keepAlive] = fields;
    return requestPrint(
      message.toString('latin1', methodBegin, methodEnd),
      message.toString('latin1', pathBegin, pathEnd),
      message.subarray(bodyBegin, bodyEnd),
      keepAlive === 1,
    );
  });
  return { messages, trial, fingerprint: fingerprintOf(...prints) };
}

const bodyPrint = (credit: boolean, amount: number, description: string): string =>
  `${credit} ${amount} ${description}`;

function bodiesInJavaScript(): Contestant {
  const prints = bodies.map((body) => {
    const transaction = readTransaction(body)!;
    return bodyPrint(transaction.credit, transaction.amount, transaction.description);
  });
  let sink = 0;
  const loop = (iterations: number): void => {
    for (let i = 0; i < iterations; i++) sink += readTransaction(bodies[i & 0xff]!)!.amount;
    expectWhole(!Number.isNaN(sink));
  };
  return operations(fingerprintOf(...prints), timed(loop));
}

function nativeBodies() {
  const fields = new Float64Array(8);
  const trial = new (loadAddon().ParseTrial)(bodies, fields);
  const prints = bodies.map((body) => {
    const description = trial.bodyOne(body)!;
    return bodyPrint(fields[1] === 1, fields[0]!, description);
  });
  return { trial, fingerprint: fingerprintOf(...prints) };
}

const variants: Variant[] = [
  {
    name: 'javascript',
    title: 'JavaScript',
    prepare: (caseName) =>
      caseName === 'body' ? bodiesInJavaScript() : requestsInJavaScript(caseName),
  },
  {
    name: 'node',
    title: "Node's llhttp",
    cases: isNodeParserAvailable() ? requestCases : [],
    prepare: requestsInNode,
  },
  {
    name: 'call',
    title: 'native, one by one',
    prepare(caseName) {
      if (caseName === 'body') {
        const { trial, fingerprint } = nativeBodies();
        const loop = (iterations: number): void => {
          let accepted = true;
          for (let i = 0; i < iterations; i++) {
            accepted = trial.bodyOne(bodies[i & 0xff]!) !== null && accepted;
          }
          expectWhole(accepted);
        };
        return operations(fingerprint, timed(loop));
      }
      const { messages, trial, fingerprint } = nativeRequests(caseName);
      const loop = (iterations: number): void => {
        let whole = true;
        for (let i = 0; i < iterations; i++) whole = trial.one(messages[i & 0xff]!) && whole;
        expectWhole(whole);
      };
      return operations(fingerprint, timed(loop));
    },
  },
  {
    name: 'native',
    title: 'native, data plane',
    prepare(caseName) {
      if (caseName === 'body') {
        const { trial, fingerprint } = nativeBodies();
        return operations(fingerprint, (iterations) => trial.bodyLoop(iterations));
      }
      const { trial, fingerprint } = nativeRequests(caseName);
      return operations(fingerprint, (iterations) => trial.loop(iterations));
    },
  },
];

export const parse: MicroTrial = {
  name: 'parse',
  title: "the contest's requests",
  cases,
  variants,
  report: operationsReport(
    { cases, variants },
    {
      references: [
        { variant: 'javascript', title: 'JavaScript' },
        { variant: 'node', title: 'llhttp' },
      ],
      rate: perSecond,
      notes: isNodeParserAvailable()
        ? []
        : ['This Node.js does not give out its parser: left out.'],
    },
  ),
};
