import { createHash, randomBytes } from 'node:crypto';
import { lstat, mkdir, readFile, readlink, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { canReach, giveTo, type ServerUser } from './server-user.js';

const REACHABLE_PLACE = '/var/lib/posthorn';

/**
 * Makes the directory that holds cluster, port and log, and answers its real path. It is `<dataDir>/postgres`,
 * except when root starts Posthorn in a folder that the server's user cannot enter (a 0700 home): then the
 * cluster lies in /var/lib/posthorn, and `<dataDir>/postgres` is a symbolic link to it. The link is the truth:
 * without it the cluster is not this folder's, so `rm -r .data` means a fresh start in both cases.
 */
export async function prepareClusterHome(
  dataDir: string,
  user: ServerUser,
  log: (line: string) => void,
): Promise<string> {
  const path = join(dataDir, 'postgres');
  const existing = await findClusterHome(dataDir);
  if (existing !== null && (await belongsHere(existing, path))) {
    await refuseForeign(existing, path);
    // Again: a start that was killed between making it and giving it away left it closed to the server.
    await giveTo(user, existing);
    return existing;
  }

  if (canReach(dataDir, user)) {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await giveTo(user, path);
    return realpath(path);
  }
  const elsewhere = join(REACHABLE_PLACE, `data-${hash(path)}-${randomBytes(3).toString('hex')}`);
  await mkdir(elsewhere, { recursive: true, mode: 0o700 });
  await giveTo(user, elsewhere);
  await writeFile(join(elsewhere, 'linked-from'), path);
  // A link that is there now dangles, or came with a copy of the folder.
  await rm(path, { force: true });
  await symlink(elsewhere, path);
  log(
    `${dataDir} cannot be entered by user ${user?.name}, as whom PostgreSQL runs: its files are in ${elsewhere}`,
  );
  return realpath(elsewhere);
}

/** The real path of an existing home, or null. */
export async function findClusterHome(dataDir: string): Promise<string | null> {
  return realpath(join(dataDir, 'postgres')).catch(() => null);
}

/**
 * `cp -a` of a folder copies the link: two folders would then share one cluster unawares. The copy gets
 * a cluster of its own. A folder that was moved (its old path is gone) keeps its cluster.
 */
async function belongsHere(home: string, path: string): Promise<boolean> {
  const isLink = (await lstat(path)).isSymbolicLink();
  if (!isLink) return true;
  const linkedFrom = await readFile(join(home, 'linked-from'), 'utf8').catch(() => path);
  if (linkedFrom === path) return true;
  const original = await readlink(linkedFrom).catch(() => null);
  if (original !== null && (await realpath(original).catch(() => null)) === home) return false;
  await writeFile(join(home, 'linked-from'), path);
  return true;
}

async function refuseForeign(home: string, path: string): Promise<void> {
  const uid = process.getuid?.();
  const owner = (await stat(home)).uid;
  if (uid !== undefined && uid !== 0 && owner !== uid) {
    throw new Error(
      `The PostgreSQL files in ${path} belong to uid ${owner} and you are uid ${uid}: start Posthorn as that user ` +
        '(or root), or choose another POSTHORN_DATA_DIR.',
    );
  }
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}
