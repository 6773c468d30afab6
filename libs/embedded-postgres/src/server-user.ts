import { spawnSync } from 'node:child_process';
import { chown, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Whom the server runs as. Null: as we do. PostgreSQL refuses root, so root always gets somebody else. */
export type ServerUser = { uid: number; gid: number; name: string } | null;

export async function serverUserFor(dataDir: string): Promise<ServerUser> {
  if (process.getuid?.() !== 0) return null;
  // A cluster made by an ordinary user stays that user's when root starts it once (sudo npm start).
  const made = await stat(join(dataDir, 'postgres', 'cluster', 'data')).catch(() => null);
  if (made !== null && made.uid !== 0) return { uid: made.uid, gid: made.gid, name: `uid ${made.uid}` };
  return unprivilegedUser();
}

async function unprivilegedUser(): Promise<ServerUser> {
  const lines = (await readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n');
  const users = lines
    .map((line) => line.split(':'))
    .map(([name, , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }));
  for (const wanted of ['postgres', 'nobody']) {
    const found = users.find(({ name, uid }) => name === wanted && uid > 0);
    if (found) return { uid: found.uid, gid: found.gid, name: wanted };
  }
  return { uid: 65534, gid: 65534, name: 'nobody' };
}

/**
 * Asks the kernel, as that user, instead of adding up mode bits: ACLs and mount options count too.
 * The shell is what is run because our own Node may itself lie under a closed home.
 */
export function canReach(directory: string, user: ServerUser): boolean {
  if (user === null) return true;
  const probe = spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', directory], {
    ...identity(user),
    cwd: '/',
    stdio: 'ignore',
  });
  if (probe.error) {
    throw new Error(
      `PostgreSQL does not run as root, and switching to ${user.name} failed: ${probe.error.message}`,
    );
  }
  return probe.status === 0;
}

export function identity(user: ServerUser): { uid?: number; gid?: number } {
  return user === null ? {} : { uid: user.uid, gid: user.gid };
}

export async function giveTo(user: ServerUser, path: string): Promise<void> {
  if (user !== null) await chown(path, user.uid, user.gid);
}
