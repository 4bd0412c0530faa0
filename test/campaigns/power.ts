// Campaign E: the database runs, is killed and recovers on a real file system whose disk writes down every
// write and every flush. Then the power is cut, again and again, at chosen points of that log: everything
// before the last flush is there, of what followed any subset of sectors. The file system replays its
// journal, the database opens, and all that had been acknowledged by then must be there.
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '#espora/lab/random.js';
import { until } from '#espora/lab/until.js';
import { RawClient } from '../conformance/raw-client.js';
import { demand, inDirectory } from './campaign.js';
import type { CampaignOptions } from './campaign.js';
import { compare, History } from './history.js';
import { transactionRequest } from './http-framing.js';
import { DatabaseLife } from './lives.js';
import { Load } from './load.js';
import { copyImage, makeImage, mountLoop, PowerDisk, superblocks, unmount } from './mounts.js';
import type { FileSystem } from './mounts.js';
import { applyPieces, chooseCuts, lastFlushBefore, parseLog, survivors } from './power-log.js';
import type { LogEntry } from './power-log.js';
import { damageIn, readStored } from './store.js';
import { hookEnvironment, noFlush } from './tools.js';

export interface PowerOptions extends CampaignOptions {
  readonly cuts: number;
  readonly fileSystem: FileSystem;
  /** Somebody lies about flushes, on purpose, and the campaign must find out: the device, or the service. */
  readonly lie?: 'device' | 'service';
  /** How long each of the three lives of the database is at least, in milliseconds. */
  readonly lifeMs?: number;
}

/** What was done. */
export interface PowerSummary {
  readonly fileSystem: FileSystem;
  readonly acknowledged: number;
  readonly writes: number;
  readonly flushes: number;
  /** Acknowledged transactions between whose sending and answer a flush reached the disk. */
  readonly flushesSeen: number;
  cuts: number;
  /** Sectors that were written after the last flush, over all cuts, and how many of them survived. */
  sectorsPending: number;
  sectorsKept: number;
  /** Cuts that the database found something unproven behind. */
  tailsKept: number;
}

/** What a recording leaves behind. */
interface Recording {
  readonly history: History;
  readonly entries: readonly LogEntry[];
  /** The image as it was before the first entry. */
  readonly base: string;
}

/** Runs the campaign; throws a CampaignFailure. */
export async function powerCampaign(options: PowerOptions): Promise<PowerSummary> {
  const work = async (directory: string): Promise<PowerSummary> => {
    const random = new Random(options.seed);
    const { history, entries, base } = await record(directory, random, options);
    const flushTimes = entries.filter(({ kind }) => kind === 'flush').map(({ timeNs }) => timeNs);
    const unflushed = history.sent.filter(
      ({ outcome, sentNs, answeredNs }) =>
        outcome === 'acknowledged' && !anyBetween(flushTimes, sentNs, answeredNs!),
    );
    const acknowledged = history.count('acknowledged');
    const summary: PowerSummary = {
      fileSystem: options.fileSystem,
      acknowledged,
      writes: entries.length - flushTimes.length,
      flushes: flushTimes.length,
      flushesSeen: acknowledged - unflushed.length,
      cuts: 0,
      sectorsPending: 0,
      sectorsKept: 0,
      tailsKept: 0,
    };
    options.say(
      `${options.fileSystem}: ${acknowledged} acknowledged, ${summary.writes} writes, ${summary.flushes} flushes`,
    );
    if (acknowledged === 0) demand('the recording', ['nothing was acknowledged']);
    // Flushes of the service must reach the disk, or nothing that follows means anything. Where somebody
    // lies on purpose the cuts have to find out by themselves.
    if (options.lie === undefined) {
      demand(
        'the recording',
        unflushed.map(
          ({ descricao }) => `${descricao} was acknowledged, and no flush reached the disk`,
        ),
      );
    }
    let applied = 0;
    for (const cut of chooseCuts(entries, options.cuts, random)) {
      const flush = lastFlushBefore(entries, cut);
      applyPieces(base, entries.slice(applied, flush + 1));
      applied = Math.max(applied, flush + 1);
      await cutPower(
        { history, entries, base },
        { cut, applied },
        directory,
        random,
        options,
        summary,
      );
      summary.cuts++;
    }
    return summary;
  };
  return await inDirectory(options, work);
}

/** True if one of the ascending times lies between the two. */
function anyBetween(times: readonly bigint[], from: bigint, to: bigint): boolean {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle]! > from) high = middle;
    else low = middle + 1;
  }
  return low < times.length && times[low]! < to;
}

// --- Recording -----------------------------------------------------------------------------------

async function record(
  directory: string,
  random: Random,
  { fileSystem, lie, lifeMs = 700, say }: PowerOptions,
): Promise<Recording> {
  const image = join(directory, 'image');
  const base = join(directory, 'base');
  const log = join(directory, 'log');
  await makeImage(image, fileSystem);
  await copyImage(image, base);
  const history = new History();
  const dropsFlushes = lie === 'device';
  const disk = await PowerDisk.start({ image, fileSystem, directory, log, dropsFlushes });
  try {
    // The middle one is killed, so that recovery's own writes are cut as well.
    for (const end of ['stop', 'kill', 'stop'] as const) {
      const life = new DatabaseLife({
        data: join(disk.root, 'data'),
        path: join(directory, 'db.sock'),
        // It believes that it flushed.
        environment: lie === 'service' ? await hookEnvironment({ fail: noFlush }) : {},
      });
      if (!(await life.ready)) demand('a start on the disk', [life.stderr]);
      const load = new Load(life.where, history, {
        clients: 2 + random.below(8),
        burstMax: 1 + random.below(4),
        keepAlive: true,
        seed: random.below(2 ** 31),
        pauseMsMax: 10,
      });
      const before = history.count('acknowledged');
      const enough = sleep(lifeMs)
        .then(() => until('it works', () => history.count('acknowledged') >= before + 20))
        .then(() => undefined);
      const early = await Promise.race([life.ended, enough]);
      await load.stop(end === 'kill');
      if (early !== undefined)
        demand('a life on the disk', [`ended with ${early}: ${life.stderr}`]);
      await (end === 'kill' ? life.kill() : life.stop());
    }
  } finally {
    await disk.stop();
  }
  const entries = parseLog(await readFile(log));
  await Promise.all([image, log].map((file) => rm(file)));
  say(`recorded ${entries.length} writes and flushes`);
  return { history, entries, base };
}

// --- Cutting -------------------------------------------------------------------------------------

/** The power goes before entry `cut`; the base image holds the entries before `applied`. */
async function cutPower(
  { history, entries, base }: Recording,
  { cut, applied }: { cut: number; applied: number },
  directory: string,
  random: Random,
  { fileSystem, say }: PowerOptions,
  summary: PowerSummary,
): Promise<void> {
  const pending = entries.slice(applied, cut).filter(({ kind }) => kind === 'write');
  const perMille = [0, 100, 500, 900, 1000][random.below(5)]!;
  const kept = survivors(pending, perMille, random, superblocks[fileSystem]);
  const sectors = (pieces: readonly { readonly bytes: Buffer }[]): number =>
    pieces.reduce((sum, { bytes }) => sum + bytes.length / 512, 0);
  summary.sectorsPending += sectors(pending);
  summary.sectorsKept += sectors(kept);
  const image = join(directory, 'cut');
  await copyImage(base, image);
  applyPieces(image, kept);
  const where = `power cut before entry ${cut} of the log, ${sectors(kept)} of ${sectors(pending)} later sectors kept`;
  const root = join(directory, 'after');
  try {
    await mountLoop(image, root, fileSystem);
  } catch (error) {
    return demand(where, [`the file system can't be mounted: ${String(error)}`]);
  }
  try {
    await examine(where, root, directory, history, entries[cut]!.timeNs, summary);
  } finally {
    await unmount(root);
  }
  await rm(image);
  say(`${where}: all there`);
}

async function examine(
  where: string,
  root: string,
  directory: string,
  history: History,
  answeredBefore: bigint,
  summary: PowerSummary,
): Promise<void> {
  const data = join(root, 'data');
  const owed = history.sent.some(
    ({ outcome, answeredNs }) => outcome === 'acknowledged' && answeredNs! < answeredBefore,
  );
  // Before anything was acknowledged there may be no store yet.
  demand(`${where}, verified as it was left`, await damageIn(data).catch(noStoreIs(!owed)));
  const life = new DatabaseLife({ data, path: join(directory, 'after.sock') });
  if (!(await life.ready)) demand(where, [`the database does not start: ${life.stderr}`]);
  try {
    demand(where, compare(history, await readStored(data), { answeredBefore }));
    const client = await RawClient.open(life.where);
    client.send(Buffer.from(transactionRequest(4, 'c', 1, 'afterwards')));
    const { status } = await client.answer();
    client.close();
    if (status !== 200) demand(where, [`a transaction afterwards gets ${status}`]);
  } catch (error) {
    await life.kill();
    throw error;
  }
  if (/"unprovenRecords":[1-9]/.test(life.stderr)) summary.tailsKept++;
  const code = await life.stop();
  if (code !== 0) demand(where, [`the database ends with ${code}: ${life.stderr}`]);
  demand(`${where}, verified afterwards`, await damageIn(data));
}

function noStoreIs(allowed: boolean): (error: unknown) => string[] {
  return (error) => {
    if (allowed && (error as { code?: string }).code === 'ERR_ESPORA_NOT_FOUND') return [];
    return [`verify: ${String(error)}`];
  };
}
