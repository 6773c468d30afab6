import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** What a helper process offers: a name, one argument, an answer. Both must survive a structured clone. */
export type Calls = Record<string, (argument: never) => unknown>;

/** A helper process of ours (receiver, load generator) and the calls it answers. */
export interface CallableChild<C extends Calls> {
  readonly pid: number;
  /** Rejects when the child refuses, ends, or does not answer in time. */
  call<K extends keyof C & string>(
    name: K,
    argument: Parameters<C[K]>[0],
    timeoutMs?: number,
  ): Promise<Awaited<ReturnType<C[K]>>>;
  stop(): Promise<void>;
}

export class TimeoutError extends Error {
  override readonly name = 'TimeoutError';
}

interface Question {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

type Answer = { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: string };

// Longer than any start under load, shorter than a person's patience with a test that hangs.
const CALL_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 3_000;

/** Starts a compiled entry, such as `test/support/receiver/receiver.main.js`, and waits until it listens to calls. */
export async function forkCallable<C extends Calls>(
  entry: string,
  argv: readonly string[] = [],
): Promise<CallableChild<C>> {
  const child = fork(builtFile(entry), argv, { serialization: 'advanced', execArgv: [] });
  const exited = once(child, 'exit').then(([code, signal]) => {
    const error = new Error(`${entry} (pid ${child.pid}) has ended: ${String(signal ?? code)}`);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  });
  const waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  let ready: () => void = () => {};
  const isReady = new Promise<void>((done) => (ready = done));
  child.on('message', (message: Answer | 'ready') => {
    if (message === 'ready') return ready();
    const caller = waiting.get(message.id);
    waiting.delete(message.id);
    if ('error' in message) caller?.reject(new Error(`${entry}: ${message.error}`));
    else caller?.resolve(message.result);
  });
  await Promise.race([isReady, exited.then(() => Promise.reject(new Error(`${entry} ended before it was ready`)))]);

  let lastId = 0;
  return {
    pid: child.pid!,
    call: (name, argument, timeoutMs = CALL_TIMEOUT_MS) => {
      const id = ++lastId;
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(id);
          reject(new TimeoutError(`${entry}: no answer to ${name} within ${timeoutMs} ms`));
        }, timeoutMs);
        const settled =
          <A>(then: (value: A) => void) =>
          (value: A) => (clearTimeout(timer), then(value));
        waiting.set(id, { resolve: settled(resolve as (result: unknown) => void), reject: settled(reject) });
        if (!child.connected) waiting.get(id)!.reject(new Error(`${entry} is not running`));
        else child.send({ id, name, argument } satisfies Question);
      });
    },
    stop: async () => {
      if (child.connected) child.disconnect();
      const overdue = setTimeout(() => kill(child), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(overdue);
    },
  };
}

/** The child's side. It ends with its parent, however the parent ended. */
export function serveCalls(calls: Calls): void {
  process.on('message', ({ id, name, argument }: Question) => {
    const call = calls[name] as ((argument: unknown) => unknown) | undefined;
    Promise.resolve()
      .then(() => (call ? call(argument) : Promise.reject(new Error(`Bug: no call ${name}`))))
      .then((result) => ({ id, result }))
      .catch((error: unknown) => ({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }))
      .then((answer: Answer) => process.connected && process.send!(answer));
  });
  process.on('disconnect', () => process.exit(0));
  // Ctrl-C reaches the whole group; the parent decides in which order things end.
  process.on('SIGINT', () => {});
  process.send?.('ready');
}

/** The compiled file, both from compiled code and from a test that vitest runs from its source. */
export function builtFile(path: string): string {
  const root = import.meta.filename.endsWith('.js')
    ? resolve(import.meta.dirname, '../..')
    : resolve(import.meta.dirname, '../../dist');
  const file = join(root, path);
  if (!existsSync(file)) throw new Error(`${file} is missing: run "npm run build" first`);
  return file;
}

function kill(child: ChildProcess): void {
  child.kill('SIGKILL');
}
