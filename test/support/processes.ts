import { randomBytes } from 'node:crypto';
import { NODE_OPTIONS } from '../../apps/node-options.js';
import { createClient, type PosthornClient } from './client.js';
import { TEST_KEKS } from './keks.js';
import { leaks } from './leak-watch.js';
import { runProcess, startProcess, type Exit, type Launch, type RunningProcess } from './running-process.js';

export type { Exit, Launch, RunningProcess } from './running-process.js';

export interface ProcessOptions {
  readonly databaseUrl: string;
  /** Beside what the process needs anyway; wins over it. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where its output goes. Without it the last 500 lines are kept in memory. */
  readonly logFile?: string;
  readonly launch?: Launch;
}

export interface PosthornOptions {
  /** Of any PostgreSQL; it is migrated first. Without it, a test database of its own (inside vitest only). */
  readonly databaseUrl?: string;
  /** Its superuser's, who looks into it for leaks: goes with databaseUrl. */
  readonly adminUrl?: string;
  readonly workers?: number;
  readonly adminKey?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** The product on a database: an api, workers, and a client that holds the admin key. */
export interface Posthorn {
  readonly databaseUrl: string;
  /** As superuser, in the same database. */
  readonly adminUrl: string;
  readonly adminKey: string;
  readonly api: RunningProcess;
  readonly workers: readonly RunningProcess[];
  readonly client: PosthornClient;
  startWorker(): Promise<RunningProcess>;
  /**
   * Drains everything that still runs, then drops the database if it was made here; throws when a secret of this test
   * was found in a log, an answer, a table, a metric.
   */
  stop(): Promise<void>;
}

// Receivers listen on loopback and the test run's cluster has fsync off: both are refused otherwise. And all who ask are
// one address with one key.
const FOR_TESTS = {
  POSTHORN_ALLOW_CIDRS: '127.0.0.0/8',
  // Names that a name server of the test's own answers for.
  POSTHORN_ALLOW_HOSTS: '*.test',
  POSTHORN_KEKS: TEST_KEKS,
  DANGEROUS_ALLOW_LOSSY_DATABASE: 'true',
  POSTHORN_RATE_LIMIT_KEY: '0',
  POSTHORN_RATE_LIMIT_CUSTOMER: '0',
  POSTHORN_RATE_LIMIT_ADDRESS: '0',
  POSTHORN_RATE_LIMIT_AUTHENTICATION: '0',
};

export async function startPosthorn(options: PosthornOptions = {}): Promise<Posthorn> {
  const adminKey = options.adminKey ?? newAdminKey();
  if (!leaks.on) leaks.begin();
  const database = await openDatabase(options);
  const start = { databaseUrl: database.url, env: { POSTHORN_ADMIN_KEY: adminKey, ...options.env } };
  const running: RunningProcess[] = [];
  const workers: RunningProcess[] = [];

  async function startOneWorker(): Promise<RunningProcess> {
    const worker = await startWorker(start);
    running.push(worker);
    workers.push(worker);
    return worker;
  }
  async function stop(): Promise<void> {
    await leaks.inspect(running, adminKey);
    const ends = await Promise.allSettled(running.map((each) => each.stop()));
    try {
      await leaks.database(database.adminUrl);
    } finally {
      await database.drop();
    }
    const failed = ends.find((end) => end.status === 'rejected');
    if (failed) throw failed.reason;
    await leaks.verdict();
  }

  // At once, as nobody would start them one after the other; what fails waits for the others, which are then to be stopped.
  async function startAll(): Promise<RunningProcess> {
    const starting = startApi(start).then((api) => (running.push(api), api));
    const others = Array.from({ length: options.workers ?? 1 }, startOneWorker);
    const failed = (await Promise.allSettled([starting, ...others])).find(
      ({ status }) => status === 'rejected',
    );
    if (failed?.status === 'rejected') throw failed.reason;
    return starting;
  }

  try {
    const api = await startAll();
    const client = createClient({ url: api.url, key: adminKey });
    const { url: databaseUrl, adminUrl } = database;
    return { databaseUrl, adminUrl, adminKey, api, workers, client, startWorker: startOneWorker, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export function startApi({ databaseUrl, env, logFile, launch }: ProcessOptions): Promise<RunningProcess> {
  return startProcess(
    'apps/api/src/main.js',
    { ...FOR_TESTS, DATABASE_URL: databaseUrl, PORT: '0', ...env },
    logFile,
    asShipped('api', launch),
  );
}

export function startWorker({ databaseUrl, env, logFile, launch }: ProcessOptions): Promise<RunningProcess> {
  const settings = { ...FOR_TESTS, DATABASE_URL: databaseUrl, WORKER_PORT: '0', ...env };
  return startProcess('apps/worker/src/main.js', settings, logFile, asShipped('worker', launch));
}

function asShipped(app: 'api' | 'worker', launch: Launch = {}): Launch {
  return { ...launch, nodeOptions: [...NODE_OPTIONS[app], ...(launch.nodeOptions ?? [])] };
}

/** `posthorn …`, to its end. */
export function runCli(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Exit & { output: string }> {
  return runProcess('apps/cli/src/main.js', args, { POSTHORN_KEKS: TEST_KEKS, ...env });
}

export async function migrateDatabase(databaseUrl: string): Promise<void> {
  const { code, output } = await runCli(['migrate'], { DATABASE_URL: databaseUrl });
  if (code !== 0) throw new Error(`posthorn migrate ended with ${code}:\n${output}`);
}

export function newAdminKey(): string {
  return `ph_${randomBytes(24).toString('base64url')}`;
}

async function openDatabase({
  databaseUrl: url,
  adminUrl = url,
}: PosthornOptions): Promise<{ url: string; adminUrl: string; drop(): Promise<void> }> {
  if (url !== undefined) {
    await migrateDatabase(url);
    return { url, adminUrl: adminUrl!, drop: () => Promise.resolve() };
  }
  // Only here: it asks vitest for the run's cluster, and the bench uses this file without vitest.
  const { createTestDatabase } = await import('./database.js');
  return createTestDatabase();
}
