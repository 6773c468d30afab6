import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Binaries } from './binaries.js';
import { SERVER_ENVIRONMENT } from './settings.js';
import { giveTo, identity, type ServerUser } from './server-user.js';

export interface ClusterPaths {
  /** Holds `cluster/`, `log/` and `port`. */
  home: string;
  /** What PostgreSQL calls PGDATA. */
  dataDir: string;
  logDir: string;
}

export interface Cluster extends ClusterPaths {
  passwords: { superuser: string; app: string };
}

export function clusterIn(home: string): ClusterPaths {
  return { home, dataDir: join(home, 'cluster', 'data'), logDir: join(home, 'log') };
}

export async function readPasswords({ home }: ClusterPaths): Promise<Cluster['passwords']> {
  return JSON.parse(await readFile(join(home, 'cluster', 'passwords.json'), 'utf8')) as Cluster['passwords'];
}

/**
 * Makes the cluster unless it is there. Everything is built beside it and renamed as the last step, so a
 * cluster directory that exists is complete, and its passwords are the ones it was made with.
 */
export async function initCluster(
  home: string,
  binaries: Binaries,
  user: ServerUser,
  log: (line: string) => void,
): Promise<Cluster> {
  const paths = clusterIn(home);
  const { dataDir, logDir } = paths;
  if ((await stat(dataDir).catch(() => null)) === null) await build();
  await refuseOtherMajor(dataDir, binaries.major);

  await mkdir(logDir, { recursive: true, mode: 0o700 });
  await giveTo(user, logDir);
  return { ...paths, passwords: await readPasswords(paths) };

  async function build(): Promise<void> {
    await removeHalfMade(home, log);
    const draft = await mkdtemp(join(home, 'initdb-'));
    await giveTo(user, draft);
    const fresh = { superuser: randomBytes(24).toString('hex'), app: randomBytes(24).toString('hex') };
    await writeOwn(join(draft, 'passwords.json'), JSON.stringify(fresh));
    // initdb reads it as its own user, so a pipe of ours would be closed to it.
    const passwordFile = join(draft, 'password');
    await writeOwn(passwordFile, fresh.superuser);
    await runInitdb(join(draft, 'data'), passwordFile);
    await rm(passwordFile);
    await rename(draft, join(home, 'cluster'));
  }

  async function runInitdb(target: string, passwordFile: string): Promise<void> {
    const args = [
      '--pgdata',
      target,
      '--username=postgres',
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
    ];
    // The builtin provider sorts by code point everywhere; a libc locale may be absent and changes between systems.
    args.push('--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8');
    try {
      // detached: Ctrl-C in the terminal must not reach it; it is over in a second or two anyway.
      const options = { ...identity(user), cwd: home, env: SERVER_ENVIRONMENT, detached: true };
      await promisify(execFile)(binaries.initdb, args, options);
    } catch (cause) {
      const { stderr = '', message } = cause as { stderr?: string; message: string };
      throw new Error(`PostgreSQL could not make its files in ${home}: ${stderr.trim() || message}`, {
        cause,
      });
    }
  }

  async function writeOwn(path: string, text: string): Promise<void> {
    await writeFile(path, text, { mode: 0o600, flag: 'wx' });
    await giveTo(user, path);
  }
}

async function removeHalfMade(home: string, log: (line: string) => void): Promise<void> {
  for (const name of await readdir(home)) {
    if (!name.startsWith('initdb-')) continue;
    log('an earlier start was interrupted while it made the cluster; it is made again');
    // Retries: the initdb of a killed starter may still be writing into it.
    await rm(join(home, name), { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}

async function refuseOtherMajor(dataDir: string, major: string): Promise<void> {
  const made = (await readFile(join(dataDir, 'PG_VERSION'), 'utf8')).trim();
  if (made === major) return;
  throw new Error(
    `${dataDir} was made by PostgreSQL ${made} and this is PostgreSQL ${major}: dump it with the old version and ` +
      'restore it into a new POSTHORN_DATA_DIR.',
  );
}
