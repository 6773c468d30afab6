import { readdir, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClusterPaths } from './init-cluster.js';
import { isServerOf } from './postmaster.js';

export const LOG_BYTES_MAX = 20 * 1024 * 1024;
const LOOK_EVERY_MS = 30_000;
const OLDER = 'older.log';

/**
 * Keeps the server's log small while it runs. Its own rotation by size would go on in the weekday's file, and by time
 * bounds nothing: a client that repeats a failing statement fills a disk in an afternoon.
 */
export function keepLogsSmall(cluster: ClusterPaths, pid: number): { stop(): void } {
  const look = () => {
    // A full disk, or a server that is just going: the next look, or the next start, does it.
    boundLogs(cluster, pid).catch(() => {});
  };
  const timer = setInterval(look, LOOK_EVERY_MS).unref();
  return { stop: () => clearInterval(timer) };
}

export async function boundLogs({ dataDir, logDir }: ClusterPaths, pid: number): Promise<void> {
  if (!(await isServerOf(pid, dataDir)) || !(await setLargeLogsAside(logDir))) return;
  // What `pg_ctl logrotate` does: the server goes on in a new file of the same name.
  await writeFile(join(dataDir, 'logrotate'), '');
  process.kill(pid, 'SIGUSR1');
}

/** One file of old lines is enough, whichever day they are from. Answers whether there was any that is too large. */
export async function setLargeLogsAside(logDir: string): Promise<boolean> {
  let any = false;
  for (const name of await readdir(logDir)) {
    if (name === OLDER || (await stat(join(logDir, name))).size <= LOG_BYTES_MAX) continue;
    await rename(join(logDir, name), join(logDir, OLDER));
    any = true;
  }
  return any;
}
