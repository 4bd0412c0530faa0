// Options of services that cannot even be shown: refused with a sentence, never with an error of
// the function that was to show them.
import test from 'ava';
import { Balancer, Database } from '#espora/index.js';

const circle: Record<string, unknown> = {};
circle['self'] = circle;
const thrower = (): never => {
  throw new Error('of the value');
};
const values: Readonly<Record<string, unknown>> = {
  'a bigint': 1n,
  'a symbol': Symbol('x'),
  'a circle': circle,
  'an object that cannot be shown': {
    toString: thrower,
    toJSON: thrower,
    [Symbol.toPrimitive]: thrower,
  },
  'an object without a prototype': Object.create(null) as unknown,
};

const upstreams = ['127.0.0.1:1'];
const balancer = (): Balancer => new Balancer({ port: 0, upstreams });
const uses: Readonly<Record<string, (value: never) => unknown>> = {
  port: (port) => new Balancer({ port, upstreams }),
  upstream: (one) => new Balancer({ port: 0, upstreams: [one] }),
  address: (address) => new Balancer({ port: 0, upstreams: [{ address }] }),
  weight: (weight) => new Balancer({ port: 0, upstreams: [{ address: '127.0.0.1:1', weight }] }),
  data: (data) => new Database({ port: 0, data }),
  accounts: (accounts) => new Database({ port: 0, accounts }),
  drain: (drain) => balancer().stop({ drain }),
  'setUpstream, address': (address) => balancer().setUpstream(address, { weight: 1 }),
  'setUpstream, state': (state) => balancer().setUpstream('127.0.0.1:1', { state }),
  'setUpstream, weight': (weight) => balancer().setUpstream('127.0.0.1:1', { weight }),
  'setUpstream, all of it': (update) => balancer().setUpstream('127.0.0.1:1', update),
  addUpstream: (one) => balancer().addUpstream(one),
  'addUpstream, address': (address) => balancer().addUpstream({ address }),
  removeUpstream: (address) => balancer().removeUpstream(address),
};

for (const [use, given] of Object.entries(uses)) {
  for (const [name, value] of Object.entries(values)) {
    test(`${use}: ${name}`, async (t) => {
      await t.throwsAsync(async () => void (await given(value as never)), {
        code: 'ERR_ESPORA_INVALID',
      });
    });
  }
}
