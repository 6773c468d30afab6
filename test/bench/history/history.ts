import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { BenchOptions } from '../options.js';
import { destroyScratch, makeScratch } from '../scratch.js';
import { seedHistory } from './seed-history.js';

/** A database with a past, in a directory that startEmbeddedPostgres opens. */
export interface History {
  readonly directory: string;
  readonly deliveries: number;
  readonly subscribers: number;
  /** The oldest day that has any, as 2026-11-26. */
  readonly fromDay: string;
}

export type HistorySize = Pick<History, 'deliveries' | 'subscribers'>;

// Written last: a directory without it was not finished.
const MARK = 'history.json';
const DEFAULT_DIRECTORY = '.posthorn/bench-history';
const DEFAULT_SIZE: HistorySize = { deliveries: 5_000_000, subscribers: 100_000 };
/** What `all` makes when nothing is kept: half a minute. */
export const SMALL_SIZE: HistorySize = { deliveries: 500_000, subscribers: 10_000 };

let throwAway: Promise<History> | undefined;

/** The kept one; with --history, one of that size for the length of this run. */
export async function historyFor(options: BenchOptions, log: (line: string) => void): Promise<History> {
  const kept = options.history === null ? await readHistory(keptIn(options)) : null;
  if (kept !== null) return kept;
  if (throwAway === undefined && options.history === null)
    throw new Error(
      `There is no history in ${keptIn(options)}: make one with \`npm run bench -- seed\` (5,000,000 deliveries, a few minutes), ` +
        'or let --history 500000 make one for this run.',
    );
  throwAway ??= makeThrowAway(options, log);
  return throwAway;
}

export async function removeThrowAway(): Promise<void> {
  const history = await throwAway?.catch(() => null);
  throwAway = undefined;
  if (history) await destroyScratch(history.directory);
}

/** `npm run bench -- seed`. What was there before is removed. */
export async function seedKept(options: BenchOptions, log: (line: string) => void): Promise<History> {
  const directory = keptIn(options);
  await rm(join(directory, MARK), { force: true });
  await destroyScratch(directory);
  return make(directory, sizeOf(options), log);
}

/** For `all` on a clean clone. */
export async function isKept(options: BenchOptions): Promise<boolean> {
  return (await readHistory(keptIn(options))) !== null;
}

async function makeThrowAway(options: BenchOptions, log: (line: string) => void): Promise<History> {
  const directory = await makeScratch(options.dir);
  try {
    return await make(directory, sizeOf(options), log);
  } catch (error) {
    await destroyScratch(directory);
    throw error;
  }
}

async function make(directory: string, size: HistorySize, log: (line: string) => void): Promise<History> {
  const fromDay = await seedHistory(directory, size, log);
  const mark = join(directory, MARK);
  await writeFile(`${mark}.new`, JSON.stringify({ ...size, fromDay }));
  await rename(`${mark}.new`, mark);
  return { directory, ...size, fromDay };
}

function sizeOf({ history, subscribers }: BenchOptions): HistorySize {
  return {
    deliveries: history ?? DEFAULT_SIZE.deliveries,
    subscribers: subscribers ?? DEFAULT_SIZE.subscribers,
  };
}

function keptIn({ historyDir }: BenchOptions): string {
  return resolve(historyDir ?? DEFAULT_DIRECTORY);
}

async function readHistory(directory: string): Promise<History | null> {
  const text = await readFile(join(directory, MARK), 'utf8').catch(() => null);
  return text === null ? null : { directory, ...(JSON.parse(text) as Omit<History, 'directory'>) };
}
