// Programs as they are started, heard and ended here.
import test from 'ava';
import { outputOf, RunningProgram, runProgram } from '#espora/lab/program.js';

const node = (script: string): [string, string[]] => [process.execPath, ['-e', script]];

test('what a program said, and how it ended, however much that is', async (t) => {
  const script = `process.stderr.write('b'); process.stdout.write('a'.repeat(3e6)); process.exitCode = 7`;
  const { exitCode, signal, stdout, stderr } = await runProgram(...node(script));
  t.deepEqual([exitCode, signal, stdout.length, stderr], [7, null, 3e6, 'b']);
});

test('a program that is not there is refused, and one that listens is told', async (t) => {
  await t.throwsAsync(runProgram('/nowhere/to/be/found', []), { code: 'ENOENT' });
  const program = new RunningProgram('/nowhere/to/be/found', []);
  t.is(await program.heard(() => undefined), undefined);
  t.true(program.hasEnded);
  t.regex(program.stderr, /ENOENT/);
});

test('the output of a program that ends well; otherwise the reason', async (t) => {
  t.is(await outputOf(...node("console.log('well')")), 'well\n');
  await t.throwsAsync(outputOf(...node("console.error('no'); process.exit(3)")), {
    message: `${process.execPath}: no`,
  });
  await t.throwsAsync(outputOf(...node('process.exit(3)')), { message: /ended with code 3$/ });
  await t.throwsAsync(outputOf(...node("process.kill(process.pid, 'SIGKILL')")), {
    message: /ended with SIGKILL$/,
  });
});

test('lines are heard when they are finished, from either stream, and until the end', async (t) => {
  const script = `
    process.stdout.write('one\\ntw');
    process.stdin.once('data', () => process.stdout.write('o\\n'));
    process.stdin.once('end', () => { process.stderr.write('told'); process.exitCode = 1; });
  `;
  const program = new RunningProgram(...node(script), { stdio: ['pipe', 'pipe', 'pipe'] });
  t.teardown(() => program.child.kill('SIGKILL'));
  t.is(await program.heard(() => program.lines.at(-1)), 'one');
  const second = program.heard(() => program.lines[1]);
  program.child.stdin!.write('on');
  t.is(await second, 'two');
  const told = program.heard(() => program.stderr || undefined);
  const never = program.heard(() => program.lines[2]);
  program.child.stdin!.end();
  t.is(await told, 'told');
  t.is(await never, undefined);
  t.is((await program.ended).exitCode, 1);
});

test('a question that throws rejects', async (t) => {
  const program = new RunningProgram(...node("console.log('{')"));
  const read = program.heard(() => program.lines.map((line) => JSON.parse(line) as unknown)[0]);
  await t.throwsAsync(read, { instanceOf: SyntaxError });
});

test('a signal ends a program, and that is no failure of its start', async (t) => {
  const idle = 'setInterval(() => 0, 1000); console.log(1)';
  const program = new RunningProgram(...node(idle));
  await program.heard(() => program.lines[0]);
  t.is((await program.stop()).signal, 'SIGTERM');
  const abort = new AbortController();
  const other = new RunningProgram(...node(idle), { signal: abort.signal });
  await other.heard(() => other.lines[0]);
  abort.abort();
  t.is((await other.ended).signal, 'SIGTERM');
});
