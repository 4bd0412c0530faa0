// The contest command as a program of its own, so that a test can see its output and exit code. With
// `short PORT [--json]` it plays the short plan as the command plays the others.
import { Command } from 'commander';
import { registerContestCommand } from '#espora/cli/contest-command.js';
import { runContest } from '#espora/contest/command.js';
import { short } from './plans.js';

const [, , first, port, flag] = process.argv;
if (first === 'short') {
  const options = { host: '127.0.0.1', port: Number(port), wait: 0, seed: 7 };
  process.exitCode = await runContest(short, { ...options, json: flag === '--json' });
} else {
  const program = new Command('espora').exitOverride();
  registerContestCommand(program);
  try {
    await program.parseAsync();
  } catch (error) {
    process.exitCode = (error as { exitCode?: number }).exitCode === 0 ? 0 : 2;
  }
}
