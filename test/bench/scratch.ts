import { chmod, mkdtemp, readdir, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { destroyEmbeddedPostgres } from '../../libs/embedded-postgres/src/index.js';

const PREFIX = 'posthorn-bench-';
const TMPFS_MAGIC = 0x01021994;

/** A directory for this run's cluster and logs. What a run that was killed left in the same place is removed first. */
export async function makeScratch(parent: string | null): Promise<string> {
  const root = parent ?? tmpdir();
  await removeLeftovers(root);
  const directory = await mkdtemp(join(root, `${PREFIX}${process.pid}-`));
  // As root the server runs as another user, who must be able to enter.
  await chmod(directory, 0o711);
  return directory;
}

/** The server in it, if any, then the directory. */
export const destroyScratch = destroyEmbeddedPostgres;

/** On a tmpfs a commit waits for no disk: faster than the same machine with a real one. */
export async function isInMemory(directory: string): Promise<boolean> {
  return (await statfs(directory)).type === TMPFS_MAGIC;
}

async function removeLeftovers(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    const pid = Number(new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1]);
    if (pid > 0 && !isAlive(pid)) await destroyScratch(join(root, name));
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
