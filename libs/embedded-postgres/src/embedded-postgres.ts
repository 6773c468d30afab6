import { mkdir, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatabaseRole } from '@app/contracts';
import { ensureAppDatabase, rolePassword, takeOwnership } from './app-database.js';
import { stageBinaries } from './binaries.js';
import { findClusterHome, prepareClusterHome } from './cluster-home.js';
import { clusterIn, initCluster, readPasswords, type Cluster } from './init-cluster.js';
import { choosePort, rememberPort } from './port.js';
import { launchPostmaster, type Launch } from './launch.js';
import { keepLogsSmall } from './log-bound.js';
import { clearTheWay, findPostmaster, stopPostmaster, type Postmaster } from './postmaster.js';
import { serverUserFor } from './server-user.js';
import { holdStartLock } from './start-lock.js';

export interface EmbeddedPostgresOptions {
  /** The cluster lives in `<dataDir>/postgres`. Created when missing. */
  dataDir: string;
  /** A fixed port. Without it a free one is chosen once and kept across restarts. */
  port?: number | undefined;
  /** false trades every promise about crashes for speed: for throw-away test clusters only. Default true. */
  durable?: boolean;
  /** Beside ours, and over them: what a bench loads into its server, or how a loader is let loose. Not for operators. */
  settings?: Readonly<Record<string, string>>;
  /** Gets the few lines an operator should see (where data was put, what was recovered). */
  log: (line: string) => void;
}

export interface EmbeddedPostgres {
  /** Connection string of the role `posthorn`, which owns the database and is not a superuser: for migrations and the cli. */
  url(database?: string): string;
  /** Connection string of what a process is to the database: it owns nothing. */
  roleUrl(role: DatabaseRole, database?: string): string;
  /** Connection string of the superuser: for tests that create databases, never for the application. */
  adminUrl(database?: string): string;
  readonly port: number;
  readonly pid: number;
  /** The server was already running: left behind by a killed process, or in use by another one. */
  readonly reused: boolean;
  /**
   * False while another live process holds this cluster. Then stop() leaves the server alone, and a process
   * that wants to be the only one (`posthorn up`) should say so and end.
   */
  readonly owned: boolean;
  /** Stops the server if it is ours. `fast` checkpoints; `immediate` leaves crash recovery to the next start. */
  stop(mode?: 'fast' | 'immediate'): Promise<void>;
}

/**
 * Starts PostgreSQL for one data directory, or adopts the one that already runs there.
 * When it resolves, the server accepts connections and the database `posthorn` exists.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  await mkdir(options.dataDir, { recursive: true });
  const dataDir = await realpath(options.dataDir);
  const lock = await holdStartLock(dataDir);
  try {
    const user = await serverUserFor(dataDir);
    const binaries = await stageBinaries(user);
    const home = await prepareClusterHome(dataDir, user, options.log);
    const cluster = await initCluster(home, binaries, user, options.log);

    const running =
      (await findPostmaster(cluster.dataDir)) ?? (await clearTheWay(cluster.dataDir, options.log));
    if (running !== null) {
      options.log(`PostgreSQL (pid ${running.pid}) was still running on this data; it is used again`);
      return await handle(cluster, running, true);
    }
    const durable = options.durable ?? true;
    const { settings = {} } = options;
    const launched = await launchOnAFreePort({ cluster, binaries, user, durable, settings }, options.port);
    return await handle(cluster, launched, false);
  } finally {
    lock.release();
  }
}

/**
 * The connection string of the server that runs on a data directory, or null when none does. For a command beside
 * `posthorn up`: starts nothing, waits for no lock, and the owner does not notice.
 */
export async function findEmbeddedPostgres(dataDir: string): Promise<string | null> {
  const home = await findClusterHome(dataDir);
  if (home === null) return null;
  const cluster = clusterIn(home);
  const running = await findPostmaster(cluster.dataDir);
  if (running === null) return null;
  const { app } = await readPasswords(cluster);
  return connectionUrl('posthorn', app, running.port, 'posthorn');
}

// Between our look at the port and the server's bind another program may take it: then the next one is tried.
async function launchOnAFreePort(
  launch: Omit<Launch, 'port'>,
  wanted: number | undefined,
): Promise<Postmaster> {
  for (let triesLeft = 4; ; triesLeft--) {
    const port = await choosePort(launch.cluster.home, wanted);
    const result = await launchPostmaster({ ...launch, port });
    if ('postmaster' in result) {
      await rememberPort(launch.cluster.home, port, launch.user);
      return result.postmaster;
    }
    if (!result.portTaken || triesLeft === 0) throw new Error(result.reason);
  }
}

async function handle(
  cluster: Cluster,
  { pid, port }: Postmaster,
  reused: boolean,
): Promise<EmbeddedPostgres> {
  const { superuser, app } = cluster.passwords;
  const adminUrl = (database = 'postgres') => connectionUrl('postgres', superuser, port, database);
  const url = (database = 'posthorn') => connectionUrl('posthorn', app, port, database);
  const roleUrl = (role: DatabaseRole, database = 'posthorn') =>
    connectionUrl(role, rolePassword(app, role), port, database);
  try {
    const ownership = await takeOwnership(adminUrl(), cluster.dataDir);
    await ensureAppDatabase(adminUrl, app);
    const logs = ownership.owned ? keepLogsSmall(cluster, pid) : null;
    const stop = async (mode: 'fast' | 'immediate' = 'fast') => {
      logs?.stop();
      await ownership.release();
      if (ownership.owned) await stopPostmaster(cluster.dataDir, pid, mode);
    };
    return { url, roleUrl, adminUrl, port, pid, reused, owned: ownership.owned, stop };
  } catch (error) {
    // The caller gets no handle to stop it with.
    if (!reused) await stopPostmaster(cluster.dataDir, pid, 'fast');
    throw error;
  }
}

/**
 * Ends the server of a data directory whoever started it, and deletes its cluster and the directory.
 * For throw-away clusters: their owner may have been killed before it could clean up.
 */
export async function destroyEmbeddedPostgres(dataDir: string): Promise<void> {
  const home = await findClusterHome(dataDir);
  if (home !== null) {
    const clusterData = join(home, 'cluster', 'data');
    const postmaster = await findPostmaster(clusterData);
    if (postmaster !== null) await stopPostmaster(clusterData, postmaster.pid, 'immediate');
    await clearTheWay(clusterData, () => {});
    await rm(home, { recursive: true, force: true });
  }
  await rm(dataDir, { recursive: true, force: true });
}

function connectionUrl(user: string, password: string, port: number, database: string): string {
  return `postgres://${user}:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`;
}
