import { readdir, readFile, readlink, realpath, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { clusterName } from './settings.js';

export interface Postmaster {
  pid: number;
  port: number;
}

// Orphan backends end at their next wait; one that computes without waiting does not notice for as long as it likes.
const ORPHANS_LEAVE_MS = 3_000;
/** Recovery after a crash replays at most max_wal_size; minutes on a slow disk. */
export const READY_MS = 300_000;
const FAST_STOP_MS = 60_000;
const IMMEDIATE_STOP_MS = 15_000;

/**
 * The live server of this very directory, ready for connections, or null. One that is just starting or
 * stopping is waited for: it becomes ready, or goes.
 */
export async function findPostmaster(dataDir: string): Promise<Postmaster | null> {
  for (const end = Date.now() + READY_MS; Date.now() < end; await delay(50)) {
    const file = await readPidFile(dataDir);
    if (file === null || !(await isServerOf(file.pid, dataDir))) return null;
    if (file.status === 'ready') return { pid: file.pid, port: file.port };
  }
  throw new Error(
    `The PostgreSQL that runs in ${dataDir} was not ready for connections in ${READY_MS / 1000} seconds.`,
  );
}

/** The lines of postmaster.pid that we need; null when there is no such file or the server was killed while it wrote it. */
export async function readPidFile(
  dataDir: string,
): Promise<{ pid: number; port: number; status: string } | null> {
  const lines = (await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  return pid > 0 ? { pid, port, status: (lines[7] ?? '').trim() } : null;
}

/**
 * Makes room for a new server where none is ready: waits for backends that outlived a killed postmaster, kills
 * those that stay, removes a pid file whose pid now belongs to another program (PostgreSQL only asks whether the
 * number is alive, and would refuse to start). Called under the start lock. Answers the server that turned up
 * meanwhile, if one did: its starter was killed just after it launched it.
 */
export async function clearTheWay(dataDir: string, log: (line: string) => void): Promise<Postmaster | null> {
  for (const end = Date.now() + ORPHANS_LEAVE_MS; Date.now() < end; await delay(50)) {
    if ((await processesOf(dataDir)).length === 0) break;
    const late = await findPostmaster(dataDir);
    if (late !== null) return late;
  }
  for (const pid of await processesOf(dataDir)) {
    log(`ending PostgreSQL process ${pid}, which outlived its server`);
    signal(pid, 'SIGKILL');
  }
  while ((await processesOf(dataDir)).length > 0) await delay(20);
  await removeStalePidFile(dataDir);
  return null;
}

async function removeStalePidFile(dataDir: string): Promise<void> {
  const stale = await readPidFile(dataDir);
  // Rather a refused start than two servers on one directory.
  if (stale === null || (await classify(stale.pid, dataDir)) !== 'other') return;
  // Set aside and looked at again before it is deleted: a server started by hand in between must keep its own.
  const [file, aside] = [join(dataDir, 'postmaster.pid'), join(dataDir, 'postmaster.pid.stale')];
  await rename(file, aside).catch(() => {});
  const moved = Number((await readFile(aside, 'utf8').catch(() => '')).split('\n')[0]);
  if (moved > 0 && moved !== stale.pid) await rename(aside, file);
  else await rm(aside, { force: true });
}

/** `fast` becomes `immediate`, and that SIGKILL, when the server does not end in time. */
export async function stopPostmaster(
  dataDir: string,
  pid: number,
  mode: 'fast' | 'immediate',
): Promise<void> {
  const gone = async (boundMs: number) => {
    for (const end = Date.now() + boundMs; Date.now() < end; await delay(20)) {
      if (!(await isServerOf(pid, dataDir))) return true;
    }
    return false;
  };
  if (!(await isServerOf(pid, dataDir))) return;
  if (mode === 'fast') {
    signal(pid, 'SIGINT');
    if (await gone(FAST_STOP_MS)) return;
  }
  signal(pid, 'SIGQUIT');
  if (await gone(IMMEDIATE_STOP_MS)) return;
  signal(pid, 'SIGKILL');
  await gone(IMMEDIATE_STOP_MS);
}

/** Whether this pid is (still) a process of that server: a number alone is given to another program sooner or later. */
export async function isServerOf(pid: number, dataDir: string): Promise<boolean> {
  return (await classify(pid, dataDir)) === 'ours';
}

async function processesOf(dataDir: string): Promise<number[]> {
  if (process.platform !== 'linux') return [];
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const classes = await Promise.all(pids.map((pid) => classify(pid, dataDir)));
  return pids.filter((_, index) => classes[index] === 'ours');
}

/**
 * Is this pid a live PostgreSQL process of this data directory? `unknown`: a PostgreSQL whose directory we may not see.
 * Its working directory is the proof; where root may not read that (a container without SYS_PTRACE, the server being
 * another user's), its command line is, which carries the cluster's name.
 */
async function classify(pid: number, dataDir: string): Promise<'ours' | 'other' | 'unknown'> {
  // Elsewhere the pid must do; who connects next checks data_directory as well.
  if (process.platform !== 'linux') return signal(pid, 0) ? 'ours' : 'other';
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // A zombie counts as gone, also in a container whose init reaps nobody.
  if (!/^\d+ \(postgres\) [^ZX]/.test(status)) return 'other';
  const cwd = await readlink(`/proc/${pid}/cwd`).catch((error: NodeJS.ErrnoException) => error.code);
  if (cwd?.startsWith('/')) return cwd === (await realpath(dataDir).catch(() => dataDir)) ? 'ours' : 'other';
  if (cwd !== 'EACCES' && cwd !== 'EPERM') return 'other';
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return commandLine.includes(clusterName(dataDir)) ? 'ours' : 'unknown';
}

function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}
