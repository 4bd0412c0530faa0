// Waiting times between restarts.
import test from 'ava';
import { nextDelay, restartPolicy } from '#espora/supervisor/back-off.js';

const policy = { firstMs: 100, maxMs: 1000, calmMs: 5000 };

test('the first crash waits least, each further one twice as long, to the limit', (t) => {
  const delays = [];
  for (let previous = 0; delays.length < 6;) {
    previous = nextDelay(policy, previous, 0);
    delays.push(previous);
  }
  t.deepEqual(delays, [100, 200, 400, 800, 1000, 1000]);
});

test('a calm time starts anew, one moment less does not', (t) => {
  t.is(nextDelay(policy, 800, 5000), 100);
  t.is(nextDelay(policy, 800, 4999), 1000);
});

test('the policy in use starts quickly and stays bounded', (t) => {
  t.true(restartPolicy.firstMs > 0);
  t.true(restartPolicy.firstMs < restartPolicy.maxMs);
  // Or a loop of crashes at the longest wait would count as calm.
  t.true(restartPolicy.calmMs > 0);
});
