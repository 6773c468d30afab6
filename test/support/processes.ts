import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { builtFile } from './child.js';
import { createClient, type PosthornClient } from './client.js';

export interface ProcessOptions {
  readonly databaseUrl: string;
  /** Beside what the process needs anyway; wins over it. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where its output goes. Without it the last 500 lines are kept in memory. */
  readonly logFile?: string;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** An api or worker as operators run it: the built program in a process of its own. */
export interface RunningProcess {
  readonly pid: number;
  readonly port: number;
  /** `http://127.0.0.1:<port>` of the api, or of the worker's metrics and health. */
  readonly url: string;
  readonly exited: Promise<Exit>;
  logs(): Promise<string>;
  /**
   * Resolves when it has ended. SIGTERM drains; a process that has not ended after 25 s is killed, and that is an error.
   */
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<Exit>;
}

/** An api that serves the whole product's database, and a client that holds its admin key. */
export interface Posthorn {
  readonly databaseUrl: string;
  readonly adminKey: string;
  readonly api: RunningProcess;
  readonly workers: RunningProcess[];
  readonly client: PosthornClient;
  startWorker(): Promise<RunningProcess>;
  stop(): Promise<void>;
}

const READY_TIMEOUT_MS = 30_000;
// The product promises to be gone 20 s after SIGTERM.
const STOP_TIMEOUT_MS = 25_000;
const LOG_LINES_MAX = 500;
const LOOPBACK = { POSTHORN_ALLOW_CIDRS: '127.0.0.0/8' };

/**
 * Everything that a promise to a person needs: a migrated database, an api, workers. Without a databaseUrl it makes a
 * test database of its own (inside vitest only) and drops it at the end.
 */
export async function startPosthorn(
  options: {
    databaseUrl?: string;
    workers?: number;
    adminKey?: string;
    env?: Readonly<Record<string, string>>;
  } = {},
): Promise<Posthorn> {
  const adminKey = options.adminKey ?? newAdminKey();
  const database = await openDatabase(options.databaseUrl);
  const start = { databaseUrl: database.url, env: { POSTHORN_ADMIN_KEY: adminKey, ...options.env } };
  const workers: RunningProcess[] = [];
  let api: RunningProcess | undefined;
  const stop = async () => {
    await Promise.all([api, ...workers].map((each) => each?.stop()));
    await database.drop();
  };
  const startAnotherWorker = async () => {
    const worker = await startWorker(start);
    workers.push(worker);
    return worker;
  };
  try {
    api = await startApi(start);
    for (let i = 0; i < (options.workers ?? 1); i++) await startAnotherWorker();
    const client = createClient({ url: api.url, key: adminKey });
    return { databaseUrl: database.url, adminKey, api, workers, client, startWorker: startAnotherWorker, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export function startApi(options: ProcessOptions): Promise<RunningProcess> {
  return start('apps/api/src/main.js', { ...LOOPBACK, PORT: '0', ...options.env }, options);
}

export function startWorker(options: ProcessOptions): Promise<RunningProcess> {
  return start('apps/worker/src/main.js', { ...LOOPBACK, WORKER_PORT: '0', ...options.env }, options);
}

/** Runs `posthorn …` to its end, and hands over what it said. */
export async function runCli(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Exit & { output: string }> {
  const child = fork(builtFile('apps/cli/src/main.js'), args, { env: environment(env), execArgv: [], silent: true });
  const output = keepOutput(child);
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { code, signal, output: output() };
}

export async function migrateDatabase(databaseUrl: string): Promise<void> {
  const { code, output } = await runCli(['migrate'], { DATABASE_URL: databaseUrl });
  if (code !== 0) throw new Error(`posthorn migrate ended with ${code}:\n${output}`);
}

export function newAdminKey(): string {
  return `ph_${randomBytes(24).toString('base64url')}`;
}

async function openDatabase(url: string | undefined): Promise<{ url: string; drop(): Promise<void> }> {
  if (url !== undefined) {
    await migrateDatabase(url);
    return { url, drop: () => Promise.resolve() };
  }
  // Only here: it asks vitest for the run's cluster, and the bench uses this file without vitest.
  const { createTestDatabase } = await import('./database.js');
  return createTestDatabase();
}

async function start(
  entry: string,
  env: Record<string, string>,
  { databaseUrl, logFile }: ProcessOptions,
): Promise<RunningProcess> {
  const file = logFile === undefined ? undefined : openSync(logFile, 'a');
  const output = file ?? 'pipe';
  const child = fork(builtFile(entry), {
    env: environment({ DATABASE_URL: databaseUrl, ...env }),
    execArgv: [],
    stdio: ['ignore', output, output, 'ipc'],
  });
  if (file !== undefined) closeSync(file);
  const kept = keepOutput(child);
  const logs = async () => (logFile === undefined ? kept() : lastLines(await readFile(logFile, 'utf8')));
  const exited = new Promise<Exit>((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));

  const port = await portWhenReady(child, exited).catch(async (error: Error) => {
    child.kill('SIGKILL');
    throw new Error(`${entry}: ${error.message}\n${await logs()}`);
  });
  return {
    pid: child.pid!,
    port,
    url: `http://127.0.0.1:${port}`,
    exited,
    logs,
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal);
      const overdue = new Promise<'overdue'>((resolve) => setTimeout(resolve, STOP_TIMEOUT_MS, 'overdue').unref());
      const exit = await Promise.race([exited, overdue]);
      if (exit !== 'overdue') return exit;
      child.kill('SIGKILL');
      await exited;
      throw new Error(`${entry} did not end within ${STOP_TIMEOUT_MS} ms of ${signal}\n${await logs()}`);
    },
  };
}

function portWhenReady(child: ChildProcess, exited: Promise<Exit>): Promise<number> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not ready within ${READY_TIMEOUT_MS} ms`)), READY_TIMEOUT_MS);
    child.on('message', (message: { type?: string; port?: number }) => {
      if (message.type !== 'ready' || typeof message.port !== 'number') return;
      clearTimeout(timer);
      resolve(message.port);
    });
    void exited.then(({ code, signal }) => {
      clearTimeout(timer);
      reject(new Error(`ended with ${signal ?? code} before it was ready`));
    });
  });
}

/** Not ours: a variable of the developer's shell or of vitest must not decide what a test sees. */
function environment(env: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR } = process.env;
  return { PATH, HOME, TMPDIR, ...env };
}

/** Reading is what keeps a chatty child from blocking on a full pipe. */
function keepOutput({ stdout, stderr }: ChildProcess): () => string {
  let text = '';
  for (const stream of [stdout, stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (text.length > 1_000_000) text = lastLines(text);
    });
  }
  return () => lastLines(text);
}

function lastLines(text: string): string {
  return text.split('\n').slice(-LOG_LINES_MAX).join('\n');
}
