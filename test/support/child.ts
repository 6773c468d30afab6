import { fork } from 'node:child_process';
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

type Answer =
  { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: string };

// Longer than any start under load, shorter than a person's patience with a test that hangs.
const CALL_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 3_000;

/** Starts a compiled entry, such as `test/support/receiver/receiver.main.js`, and waits until it listens to calls. */
export async function forkCallable<C extends Calls>(
  entry: string,
  argv: readonly string[] = [],
): Promise<CallableChild<C>> {
  const child = fork(builtFile(entry), argv, { serialization: 'advanced', execArgv: [] });
  const waiting = new Map<number, (answer: Answer) => void>();
  const ready = new Promise<void>((resolve) => {
    child.on('message', (message: Answer | 'ready') => {
      if (message === 'ready') resolve();
      else waiting.get(message.id)?.(message);
    });
  });
  const exited = once(child, 'exit').then(([code, signal]) => `it has ended with ${String(signal ?? code)}`);
  child.once('exit', (code, signal) => {
    for (const [id, settle] of waiting) settle({ id, error: `it has ended with ${String(signal ?? code)}` });
  });
  const neverReady = exited.then((end) => Promise.reject(new Error(`${entry} was never ready: ${end}`)));
  await Promise.race([ready, neverReady]);

  let lastId = 0;
  async function call(name: string, argument: unknown, timeoutMs = CALL_TIMEOUT_MS): Promise<unknown> {
    if (!child.connected) throw new Error(`${entry} is not running`);
    const id = ++lastId;
    let timer: NodeJS.Timeout | undefined;
    const answer = await new Promise<Answer | null>((resolve) => {
      waiting.set(id, resolve);
      timer = setTimeout(resolve, timeoutMs, null);
      child.send({ id, name, argument } satisfies Question);
    });
    clearTimeout(timer);
    waiting.delete(id);
    if (answer === null) throw new TimeoutError(`${entry}: no answer to ${name} within ${timeoutMs} ms`);
    if ('error' in answer) throw new Error(`${entry}, ${name}: ${answer.error}`);
    return answer.result;
  }

  return {
    pid: child.pid!,
    call: call as CallableChild<C>['call'],
    stop: async () => {
      if (child.connected) child.disconnect();
      const overdue = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(overdue);
    },
  };
}

/** The child's side. It ends with its parent, however the parent ended. */
export function serveCalls(calls: Calls): void {
  process.on('message', ({ id, name, argument }: Question) => {
    void answerTo(calls[name], argument).then(
      (answer) => process.connected && process.send!({ id, ...answer }),
    );
  });
  process.on('disconnect', () => process.exit(0));
  // Ctrl-C reaches the whole group; the parent decides in which order things end.
  process.on('SIGINT', () => {});
  process.send?.('ready');
}

async function answerTo(
  call: Calls[string] | undefined,
  argument: unknown,
): Promise<{ result: unknown } | { error: string }> {
  try {
    if (call === undefined) throw new Error('Bug: there is no such call');
    return { result: await (call as (argument: unknown) => unknown)(argument) };
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
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
