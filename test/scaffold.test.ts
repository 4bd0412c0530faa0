import test from 'ava';
import * as errors from '#espora/errors.js';
test('x', (t) => { t.truthy(errors); });
