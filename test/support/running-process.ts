import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { builtFile } from './child.js';
import { leaks } from './leak-watch.js';

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** An api or worker as operators run it: the built program in a process of its own. */
export interface RunningProcess {
  readonly pid: number;
  readonly port: number;
  /** `http://127.0.0.1:<port>`: of the api, or of the worker's metrics and health. */
  readonly url: string;
  readonly exited: Promise<Exit>;
  logs(): Promise<string>;
  /** Resolves when it has ended. A process that SIGTERM has not ended after 25 s is killed, and that is an error. */
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<Exit>;
}

/** How a test starts a program otherwise than operators do. */
export interface Launch {
  /** Modules that are loaded before the program: they may hurt it from inside, so that it need not know of tests. */
  readonly preload?: readonly string[];
  /** A program with arguments that becomes this one, such as `ip netns exec ns`. */
  readonly through?: readonly string[];
  /** Options of Node, such as `--cpu-prof`. */
  readonly nodeOptions?: readonly string[];
}

type Environment = Readonly<Record<string, string>>;

const READY_TIMEOUT_MS = 30_000;
// The product promises to be gone 20 s after SIGTERM.
const STOP_TIMEOUT_MS = 25_000;
const RUN_TIMEOUT_MS = 60_000;
const LOG_LINES_MAX = 500;

/** Starts a server and waits until it says, over IPC, that it is ready and where. */
export async function startProcess(
  entry: string,
  env: Environment,
  logFile?: string,
  launch: Launch = {},
): Promise<RunningProcess> {
  const file = logFile === undefined ? undefined : openSync(logFile, 'a');
  const output = file ?? 'pipe';
  const stdio = ['ignore', output, output, 'ipc'] as const;
  const child = fork(builtFile(entry), { env: environment(env), stdio: [...stdio], ...launched(launch) });
  if (file !== undefined) closeSync(file);
  const where = `the output of ${entry} (${child.pid})`;
  leaks.environment(env);
  if (logFile !== undefined) leaks.outputOf(where, () => readFile(logFile, 'utf8'));
  const kept = keepOutput(child, leaks.output(where));
  const logs = async () => (logFile === undefined ? kept() : lastLines(await readFile(logFile, 'utf8')));
  const exited = new Promise<Exit>((resolve) =>
    child.once('exit', (code, signal) => resolve({ code, signal })),
  );

  const port = await portWhenReady(child).catch(async (error: Error) => {
    child.kill('SIGKILL');
    await exited;
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
      let overdue = false;
      const patience = setTimeout(() => (overdue = child.kill('SIGKILL')), STOP_TIMEOUT_MS);
      const exit = await exited;
      clearTimeout(patience);
      if (overdue)
        throw new Error(`${entry} did not end within ${STOP_TIMEOUT_MS} ms of ${signal}\n${await logs()}`);
      return exit;
    },
  };
}

/** Runs a program to its end, and hands over what it said. */
export async function runProcess(
  entry: string,
  args: readonly string[],
  env: Environment,
): Promise<Exit & { output: string }> {
  const bounds = { timeout: RUN_TIMEOUT_MS, killSignal: 'SIGKILL' } as const;
  const child = fork(builtFile(entry), args, {
    env: environment(env),
    execArgv: [],
    silent: true,
    ...bounds,
  });
  leaks.environment(env);
  // Who makes a key is shown it.
  const shown = args[0] === 'keys' ? (['api key'] as const) : [];
  const output = keepOutput(child, leaks.output(`the output of ${entry} ${args.join(' ')}`, shown));
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { code, signal, output: output() };
}

function portWhenReady(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`not ready within ${READY_TIMEOUT_MS} ms`)),
      READY_TIMEOUT_MS,
    );
    child.on('message', (message: { type?: string; port?: number }) => {
      if (message.type !== 'ready' || typeof message.port !== 'number') return;
      clearTimeout(timer);
      resolve(message.port);
    });
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      reject(new Error(`ended with ${signal ?? code} before it was ready`));
    });
  });
}

function launched({ preload = [], through = [], nodeOptions = [] }: Launch): {
  execPath: string;
  execArgv: string[];
} {
  const node = [
    process.execPath,
    ...nodeOptions,
    ...preload.flatMap((module) => ['--import', builtFile(module)]),
  ];
  const [execPath, ...execArgv] = [...through, ...node];
  return { execPath, execArgv };
}

/** Not ours: a variable of the developer's shell or of vitest must not decide what a test sees. */
function environment(env: Environment): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR } = process.env;
  // A whole run starts hundreds of processes, and a fifth of a start is compiling what the one before it compiled.
  return { PATH, HOME, TMPDIR, NODE_COMPILE_CACHE: join(builtFile('.'), '.compile-cache'), ...env };
}

/** Reading is what keeps a chatty child from blocking on a full pipe. */
function keepOutput({ stdout, stderr }: ChildProcess, watched: (chunk: string) => void): () => string {
  let text = '';
  for (const stream of [stdout, stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      watched(chunk);
      text += chunk;
      if (text.length > 1_000_000) text = lastLines(text);
    });
  }
  return () => lastLines(text);
}

function lastLines(text: string): string {
  return text.split('\n').slice(-LOG_LINES_MAX).join('\n');
}
