// Relative paths of sockets count from the working directory in which the service was made, wherever the
// program goes before it starts, while it runs and until it stops.
import { existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Api, Balancer, Database } from '#espora/index.js';
import type { EsporaError } from '#espora/index.js';
import { rootedAddress, rootedPath } from '#espora/options/kinds.js';
import { openRunDirectory } from '#espora/supervisor/run-directory.js';
import { credit } from '../helpers/http.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const home = process.cwd();
test.afterEach.always(() => {
  process.chdir(home);
});

test.serial('services that were made in one directory listen and look there', async (t) => {
  const here = realpathSync(temporaryDirectory(t));
  const there = realpathSync(temporaryDirectory(t));
  process.chdir(here);
  const database = new Database({ data: './data', unixSocket: './db.sock' });
  const api = new Api({ unixSocket: 'api.sock', db: './db.sock' });
  const balancer = new Balancer({ host: '127.0.0.1', port: 0, upstreams: './api.sock weight=2' });
  t.teardown(() => database.stop({ drain: 0 }));
  t.teardown(() => api.stop({ drain: 0 }));
  t.teardown(() => balancer.stop({ drain: 0 }));
  t.is(database.options.unixSocket, join(here, 'db.sock'));
  process.chdir(there);
  // Something of somebody else, which is neither in the way nor removed.
  writeFileSync('db.sock', '');
  t.is((await database.start()).unixSocket, join(here, 'db.sock'));
  t.is((await api.start()).unixSocket, join(here, 'api.sock'));
  const { port } = await balancer.start();
  t.is((await credit({ port: port! }, 1, 1)).status, 200);
  t.deepEqual(
    balancer.stats()!.upstreams.map(({ address, weight }) => [address, weight]),
    [[join(here, 'api.sock'), 2]],
  );
  // A change names its upstream from where the program is now.
  await t.throwsAsync(balancer.setUpstream('./api.sock', { weight: 3 }), {
    code: 'ERR_ESPORA_NOT_FOUND',
  });
  process.chdir(here);
  await balancer.setUpstream('./api.sock', { weight: 3 });
  await t.throwsAsync(balancer.addUpstream('./api.sock'), { code: 'ERR_ESPORA_EXISTS' });
  await balancer.addUpstream('./other.sock');
  process.chdir(there);
  await balancer.removeUpstream(join(here, 'other.sock'));
  await balancer.stop({ drain: 0 });
  await api.stop({ drain: 0 });
  await database.stop({ drain: 0 });
  t.false(existsSync(join(here, 'db.sock')));
  t.false(existsSync(join(here, 'api.sock')));
  t.true(existsSync(join(there, 'db.sock')));
});

test.serial('a socket that somebody has is told as that, with a relative path, too', async (t) => {
  const here = realpathSync(temporaryDirectory(t));
  process.chdir(here);
  const first = new Database({ data: 'one', unixSocket: './db.sock' });
  const second = new Database({ data: 'two', unixSocket: './db.sock' });
  t.teardown(() => first.stop({ drain: 0 }));
  process.chdir(home);
  await first.start();
  const error = await t.throwsAsync<EsporaError>(second.start(), {
    code: 'ERR_ESPORA_ADDRESS_IN_USE',
  });
  t.regex(error.remedy!, /--unix-socket/);
});

test.serial('a run directory is removed where it was made', (t) => {
  const here = realpathSync(temporaryDirectory(t));
  const there = realpathSync(temporaryDirectory(t));
  process.chdir(here);
  const directory = openRunDirectory('run/espora');
  process.chdir(there);
  mkdirSync('run/espora', { recursive: true });
  t.is(directory.path, join(here, 'run/espora'));
  directory.remove();
  t.false(existsSync(join(here, 'run')));
  t.true(existsSync(join(there, 'run/espora')));
});

test.serial('a path from the root is taken where a socket has room for it', (t) => {
  const here = realpathSync(temporaryDirectory(t));
  process.chdir(here);
  t.is(rootedPath('./a/../b.sock'), join(here, 'a/') + '../b.sock');
  t.is(rootedPath('/a/./b.sock'), '/a/./b.sock');
  t.is(rootedAddress('localhost:80'), 'localhost:80');
  t.is(rootedAddress('.//b'), join(here, 'b'));
  const long = 'x'.repeat(91 - here.length - 1);
  t.is(rootedPath(long), join(here, long));
  t.is(rootedPath(`${long}x`), `${long}x`);
  process.chdir('/');
  t.is(rootedPath('b.sock'), '/b.sock');
});
