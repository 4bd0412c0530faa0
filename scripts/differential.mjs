// `npm run differential`: the same generated and mutated requests to our parser and to Node.js's own
// (llhttp, strict); verdict, method, path, body and persistence are compared. Every difference belongs
// to a class of scripts/differential/differences.mjs, which has its reason; one that does not fails.
// Ends with how often each outcome came, and with what of our parser the inputs reached.
// --inputs N (50,000); --seed N; --examples: shows one input of each class.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { countingBuild, describeCoverage, forgetCounts } from './differential/coverage.mjs';
import { classes, classify } from './differential/differences.mjs';
import { generate, Random } from './differential/generate.mjs';
import { NodeParser } from './differential/node-parser.mjs';
import { configureAndBuild } from './lib/cmake.mjs';
import { readFlags } from './lib/flags.mjs';
import { locked } from './lib/lock.mjs';
import { at } from './lib/project.mjs';
import { Failure, runScript, whole } from './lib/run.mjs';

const values = readFlags(import.meta.url, {
  inputs: { type: 'string', default: '50000' },
  seed: { type: 'string', default: '1' },
  examples: { type: 'boolean', default: false },
});

const folder = 'build-cmake-differential';
const batchInputs = 2000;
const unlistedShown = 20;

/** Reads exact numbers of bytes from a stream. */
class ExactReader {
  #chunks = [];
  #bytes = 0;
  #stream;
  #wake = () => undefined;
  constructor(stream) {
    this.#stream = stream;
    for (const event of ['readable', 'end']) stream.on(event, () => this.#wake());
  }
  async read(count) {
    while (this.#bytes < count) {
      const chunk = this.#stream.read();
      if (chunk !== null) {
        this.#chunks.push(chunk);
        this.#bytes += chunk.length;
      } else if (this.#stream.readableEnded) {
        throw new Failure('The program with our parser ended early.');
      } else await new Promise((resolve) => (this.#wake = resolve));
    }
    const all = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
    this.#chunks = all.length > count ? [all.subarray(count)] : [];
    this.#bytes -= count;
    return all.subarray(0, count);
  }
}

/** Our parser, in another process. */
class OurParser {
  #child = spawn(at(folder, 'espora_http_verdicts'), { stdio: ['pipe', 'pipe', 'inherit'] });
  #reader = new ExactReader(this.#child.stdout);

  async verdictsOn(streams) {
    const size = streams.reduce((sum, bytes) => sum + 4 + bytes.length, 4);
    const batch = Buffer.allocUnsafe(size);
    batch.writeUInt32LE(streams.length, 0);
    let end = 4;
    for (const bytes of streams) {
      batch.writeUInt32LE(bytes.length, end);
      bytes.copy(batch, end + 4);
      end += 4 + bytes.length;
    }
    this.#child.stdin.write(batch);
    const verdicts = [];
    for (let left = streams.length; left > 0; left--) {
      const length = (await this.#reader.read(4)).readUInt32LE(0);
      verdicts.push(length === 0 ? '' : (await this.#reader.read(length)).latin1Slice());
    }
    return verdicts;
  }

  async end() {
    this.#child.stdin.end();
    await once(this.#child, 'close');
  }
}

/** The state of a stream after its last complete request: end, incomplete, closed, upgrade or error. */
const endOf = (verdict) => /(?:^|\n)(\w+)[^\n]*$/.exec(verdict)[1];
const withoutReason = (verdict) => verdict.replace(/error \d+ \w+$/, 'error');
const accepts = (verdict) => verdict.includes('\n') && !/error \d+ \w+$/.test(verdict);

function show(stream, ours, theirs) {
  return `  bytes   ${JSON.stringify(stream)}\n  ours    ${JSON.stringify(ours)}\n  node's  ${JSON.stringify(theirs)}\n`;
}

await runScript(async () => {
  const inputs = whole(values, 'inputs', 1);
  await locked(folder, () =>
    configureAndBuild(
      folder,
      { ...countingBuild, ESPORA_ROOMS: 'http' },
      { targets: ['espora_http_verdicts'] },
    ),
  );
  forgetCounts(folder);
  const random = new Random(Number(values.seed));
  const ours = new OurParser();
  const theirs = new NodeParser();
  const outcomes = new Map();
  const found = new Map();
  const count = (map, key) => map.set(key, (map.get(key) ?? 0) + 1);
  let accepted = 0;
  let different = 0;
  let unlisted = 0;
  for (let done = 0; done < inputs;) {
    const streams = [];
    while (streams.length < batchInputs && done < inputs) {
      streams.push(generate(random));
      done++;
    }
    const bytes = streams.map((stream) => Buffer.from(stream, 'latin1'));
    const verdicts = await ours.verdictsOn(bytes);
    for (const [index, our] of verdicts.entries()) {
      const their = theirs.verdictOn(bytes[index]);
      if (accepts(our) || accepts(their)) accepted++;
      if (withoutReason(our) === withoutReason(their)) {
        count(outcomes, `both: ${endOf(our)}${our.includes('\n') ? ' after whole requests' : ''}`);
        continue;
      }
      different++;
      const name = classify(streams[index], our, their);
      if (name !== undefined) {
        if (values.examples && !found.has(name)) {
          process.stdout.write(`${name}\n${show(streams[index], our, their)}`);
        }
        count(found, name);
      } else if (++unlisted <= unlistedShown) {
        process.stdout.write(`not listed:\n${show(streams[index], our, their)}`);
      }
    }
  }
  await ours.end();
  const share = (number) => `${((100 * number) / inputs).toFixed(2).padStart(6)} %`;
  process.stdout.write(
    `${String(inputs)} streams, seed ${values.seed}, Node.js ${process.version}, llhttp ${process.versions.llhttp}\n`,
  );
  process.stdout.write(`${share(accepted)} accepted by one of the two\n`);
  for (const [name, number] of [...outcomes].sort())
    process.stdout.write(`${share(number)} ${name}\n`);
  process.stdout.write(`${share(different)} differ:\n`);
  for (const name of Object.keys(classes)) {
    process.stdout.write(`${share(found.get(name) ?? 0)}   ${name}\n`);
  }
  for (const line of await describeCoverage(folder)) process.stdout.write(`coverage: ${line}\n`);
  process.stdout.write(`differential: ${String(unlisted)} differences without a reason\n`);
  if (accepted < 0.3 * inputs)
    throw new Failure('Fewer than 30 % were accepted by one of the two: that compares too little.');
  return unlisted === 0 ? 0 : 1;
});
