import { link, mkdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CliError, messageOf } from '../cli-error.js';

/** A process, and when it began: the number alone is given to another program sooner or later. */
export interface ProcessMark {
  pid: number;
  /** Clock ticks since boot on Linux; empty elsewhere. */
  began: string;
}

/** What `<data dir>/up.json` says about the `posthorn up` that runs there, or that was killed there. */
export interface Run extends ProcessMark {
  database: 'starting' | 'embedded' | 'external';
  children: ProcessMark[];
}

/** Our hold on a data directory. */
export interface Hold {
  /** Children of an `up` that was killed: they may still be finishing, and hold its port. */
  readonly orphans: ProcessMark[];
  note(change: Partial<Pick<Run, 'database' | 'children'>>): Promise<void>;
  release(): Promise<void>;
}

/**
 * One `posthorn up` per data directory. The file of one that was killed is recognised by its process being gone,
 * so nothing has to be cleaned up by hand.
 * @throws CliError when another one runs there
 */
export async function holdDataDir(dataDir: string): Promise<Hold> {
  await mkdir(dataDir, { recursive: true }).catch((error: unknown) => {
    throw new CliError(`The data directory ${dataDir} cannot be made: ${messageOf(error)}`);
  });
  const path = join(await realpath(dataDir), 'up.json');
  const run: Run = {
    pid: process.pid,
    began: (await beganAt(process.pid)) ?? '',
    database: 'starting',
    children: [],
  };
  const save = () => replace(path, run);
  const orphans = await take(path, dataDir, run);
  let saving: Promise<void> = Promise.resolve();
  let released = false;
  return {
    orphans,
    note: (change) => {
      Object.assign(run, change);
      return (saving = saving.then(() => (released ? undefined : save())));
    },
    release: async () => {
      released = true;
      await saving.catch(() => {});
      await rm(path, { force: true });
    },
  };
}

/** The `posthorn up` that runs on this data directory now, or null. */
export async function whoRunsOn(dataDir: string): Promise<Run | null> {
  const run = await read(join(dataDir, 'up.json'));
  return run !== null && (await isAlive(run)) ? run : null;
}

export async function isAlive({ pid, began }: ProcessMark): Promise<boolean> {
  return (await beganAt(pid)) === began;
}

export async function markOf(pid: number): Promise<ProcessMark> {
  return { pid, began: (await beganAt(pid)) ?? '' };
}

async function take(path: string, dataDir: string, run: Run): Promise<ProcessMark[]> {
  const mine = `${path}.${process.pid}`;
  await writeFile(mine, JSON.stringify(run), { mode: 0o644 }).catch((error: unknown) => {
    throw new CliError(`The data directory ${dataDir} cannot be written: ${messageOf(error)}`);
  });
  try {
    let orphans: ProcessMark[] = [];
    // Each turn either takes the free name or moves one stale file away; a third party can cost us a few turns, not more.
    for (let tries = 0; tries < 10; tries++) {
      // A link of a finished file: the name appears with its content, and only once.
      if (await link(mine, path).then(() => true, refusedBecauseThere)) return orphans;
      const other = await read(path);
      if (other !== null && (await isAlive(other)))
        throw new CliError(
          `posthorn up already runs on ${dataDir} (pid ${other.pid}). Stop it first, or give this one another POSTHORN_DATA_DIR, PORT and WORKER_PORT.`,
        );
      orphans = other?.children ?? [];
      await moveStaleAway(path, other);
    }
    throw new CliError(`Several processes want the data directory ${dataDir} at once: try again.`);
  } finally {
    await rm(mine, { force: true });
  }
}

// Looked at again after it was moved: between our look and the move another starter may have put its own file there.
async function moveStaleAway(path: string, stale: Run | null): Promise<void> {
  const aside = `${path}.stale.${process.pid}`;
  await rename(path, aside).catch(() => {});
  const moved = await read(aside);
  if (moved !== null && moved.pid !== stale?.pid && (await isAlive(moved)))
    await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
}

function refusedBecauseThere(error: NodeJS.ErrnoException): false {
  if (error.code === 'EEXIST') return false;
  throw error;
}

async function replace(path: string, run: Run): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify(run));
  await rename(`${path}.new`, path);
}

async function read(path: string): Promise<Run | null> {
  try {
    const run = JSON.parse(await readFile(path, 'utf8')) as Run;
    return typeof run.pid === 'number' && Array.isArray(run.children) ? run : null;
  } catch {
    return null;
  }
}

/** When a live process began; null when there is none. A zombie is none: an init that reaps nobody keeps it for ever. */
async function beganAt(pid: number): Promise<string | null> {
  if (process.platform !== 'linux') return signalReaches(pid) ? '' : null;
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name, in parentheses, may hold blanks and parentheses itself; the 22nd field is the start.
  const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === undefined || state === '' || 'ZX'.includes(state) ? null : (rest[18] ?? null);
}

function signalReaches(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
