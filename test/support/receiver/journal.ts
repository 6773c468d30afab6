import type { IncomingMessage } from 'node:http';

/** One request as it came in, kept in the order in which they were complete. */
export interface JournalEntry {
  /** 1 for the first since the start or the last reset. */
  readonly n: number;
  readonly method: string;
  /** The request target, with its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** False when the sender went away in the middle of its body. */
  readonly complete: boolean;
  /** What was done about it: a status, or `hang`, `rst`, `close-mid-body`, … */
  readonly answer: string;
  /** When the headers were in, on the wall clock … */
  readonly epochMs: number;
  /** … and on the machine's monotonic clock, which all its processes share. */
  readonly monotonicMs: number;
}

/** What bench mode knows: enough to tell speed, loss and duplicates. */
export interface Counts {
  requests: number;
  /** Pairs of path and webhook-id. */
  distinct: number;
  bodyBytes: number;
  firstMonotonicMs: number | null;
  lastMonotonicMs: number | null;
}

/** Bench mode's list, as columns: entry i is `ids[i]`, at `monotonicMs[i]`. */
export interface Arrivals {
  readonly ids: readonly string[];
  readonly monotonicMs: Float64Array;
}

export type Seen = Omit<JournalEntry, 'n'>;

/** Everything about every request, in memory: for tests, which are small. */
export class Journal {
  private entries: JournalEntry[] = [];
  private waiting: (() => void)[] = [];

  add(seen: Seen): void {
    this.entries.push({ n: this.entries.length + 1, ...seen });
    this.wake();
  }

  /** The entries after the n-th; with `wait`, as soon as there is at least one. */
  async after(n: number, wait: boolean): Promise<JournalEntry[]> {
    if (wait && this.entries.length <= n) await new Promise<void>((resolve) => this.waiting.push(resolve));
    return this.entries.slice(n);
  }

  reset(): void {
    this.entries = [];
    this.wake();
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

// 100 bytes each. A run that sends more is still counted, but its arrivals are no longer listed.
const ARRIVALS_MAX = 3_000_000;

/** Counts and times only: what can be done 30,000 times a second beside a load generator on the same machine. */
export class Tally {
  counts = emptyCounts();
  private ids: string[] = [];
  private times: number[] = [];
  private idsByPath = new Map<string, Set<string>>();
  private waiting: { distinct: number; resolve: (counts: Counts) => void }[] = [];

  add(request: IncomingMessage, bodyBytes: number, monotonicMs: number): void {
    const path = request.url ?? '';
    const id = (request.headers['webhook-id'] as string | undefined) ?? '';
    let ids = this.idsByPath.get(path);
    if (ids === undefined) this.idsByPath.set(path, (ids = new Set()));
    const { counts } = this;
    if (ids.size < ids.add(id).size) counts.distinct++;
    counts.requests++;
    counts.bodyBytes += bodyBytes;
    counts.firstMonotonicMs ??= monotonicMs;
    counts.lastMonotonicMs = monotonicMs;
    if (this.ids.length < ARRIVALS_MAX) {
      this.ids.push(id);
      this.times.push(monotonicMs);
    }
    if (this.waiting.length > 0) this.wake();
  }

  /** Answers once so many different deliveries have come in. */
  reached(distinct: number): Promise<Counts> {
    return new Promise((resolve) => {
      this.waiting.push({ distinct, resolve });
      this.wake();
    });
  }

  arrivals(): Arrivals {
    return { ids: this.ids, monotonicMs: Float64Array.from(this.times) };
  }

  reset(): void {
    this.counts = emptyCounts();
    this.ids = [];
    this.times = [];
    this.idsByPath.clear();
  }

  private wake(): void {
    const due = this.waiting.filter(({ distinct }) => distinct <= this.counts.distinct);
    this.waiting = this.waiting.filter((each) => !due.includes(each));
    for (const { resolve } of due) resolve({ ...this.counts });
  }
}

function emptyCounts(): Counts {
  return { requests: 0, distinct: 0, bodyBytes: 0, firstMonotonicMs: null, lastMonotonicMs: null };
}
