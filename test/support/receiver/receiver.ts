import { forkCallable, TimeoutError } from '../child.js';
import type { Arrivals, Counts, JournalEntry } from './journal.js';
import type { ReceiverCalls, ReceiverMode } from './receiver.main.js';

export interface ReceiverOptions {
  /** `journal` keeps everything (tests). `count` keeps ids and times, which it can do 30,000 times a second (bench). */
  mode?: ReceiverMode;
  /** For `/flaky/:p`. */
  seed?: number;
}

/** Entries that match all that is given. */
export interface JournalFilter {
  /** The exact path, without a query. */
  path?: string;
  webhookId?: string;
}

/** A customer's server, as a process of its own, that does what the path says (see behaviours.ts). */
export interface Receiver {
  readonly pid: number;
  readonly port: number;
  /** `url('/fail-every/3')` is an endpoint on 127.0.0.1. In bench mode there are ten hosts: ports, that is. */
  url(path: string, host?: number): string;
  /** Everything received so far. */
  journal(filter?: JournalFilter): Promise<JournalEntry[]>;
  /** Waits for so many entries, or until the predicate holds for them, and returns them. Woken by arrivals, not by a timer. */
  waitFor(
    what: number | ((entries: readonly JournalEntry[]) => boolean),
    options?: { filter?: JournalFilter; timeoutMs?: number },
  ): Promise<JournalEntry[]>;
  /** Bench mode: totals; with `distinct`, as soon as so many pairs of path and webhook-id are in. */
  counts(): Promise<Counts>;
  waitForDistinct(distinct: number, timeoutMs: number): Promise<Counts>;
  arrivals(): Promise<Arrivals>;
  /** Forgets what came in and all counters of behaviours. */
  reset(): Promise<void>;
  stop(): Promise<void>;
}

export async function startReceiver({ mode = 'journal', seed = 1 }: ReceiverOptions = {}): Promise<Receiver> {
  const child = await forkCallable<ReceiverCalls>('test/support/receiver/receiver.main.js', [
    mode,
    String(seed),
  ]);
  const ports = await child.call('ports', undefined);
  const [port] = ports;
  // A copy of the child's journal, completed whenever somebody asks.
  let known: JournalEntry[] = [];

  async function refresh(wait: boolean, timeoutMs?: number): Promise<void> {
    if (mode === 'count') throw new Error('Bug: a receiver that counts keeps no journal');
    const from = known;
    const news = await child.call('entriesAfter', { n: from.length, wait }, timeoutMs);
    // Two waiters may have asked from the same place, and a reset begins a new list.
    if (from === known) known.push(...news.slice(Math.max(0, known.length - (news[0]?.n ?? 1) + 1)));
  }

  return {
    pid: child.pid,
    port,
    url: (path, host = 0) => `http://127.0.0.1:${ports[host % ports.length]}${path}`,
    journal: async (filter) => {
      await refresh(false);
      return matching(known, filter);
    },
    waitFor: async (what, { filter, timeoutMs = 15_000 } = {}) => {
      const enough =
        typeof what === 'number' ? (entries: readonly JournalEntry[]) => entries.length >= what : what;
      const deadline = performance.now() + timeoutMs;
      await refresh(false);
      for (;;) {
        const entries = matching(known, filter);
        if (enough(entries)) return entries;
        try {
          await refresh(true, Math.max(1, deadline - performance.now()));
        } catch (error) {
          throw error instanceof TimeoutError ? tooFew(what, timeoutMs, entries) : error;
        }
      }
    },
    counts: () => child.call('counts', undefined),
    waitForDistinct: (distinct, timeoutMs) => child.call('reached', distinct, timeoutMs),
    arrivals: () => child.call('arrivals', undefined),
    reset: async () => {
      await child.call('reset', undefined);
      known = [];
    },
    stop: () => child.stop(),
  };
}

function matching(entries: readonly JournalEntry[], { path, webhookId }: JournalFilter = {}): JournalEntry[] {
  return entries.filter(
    (entry) =>
      (path === undefined || entry.path.split('?', 1)[0] === path) &&
      (webhookId === undefined || entry.headers['webhook-id'] === webhookId),
  );
}

function tooFew(what: unknown, timeoutMs: number, entries: readonly JournalEntry[]): Error {
  const wanted = typeof what === 'number' ? `${what} requests` : 'what was waited for';
  const last = entries.slice(-5).map(({ method, path, answer }) => `${method} ${path} → ${answer}`);
  return new TimeoutError(
    `${wanted} did not come within ${timeoutMs} ms; ${entries.length} did: ${last.join(', ')}`,
  );
}
