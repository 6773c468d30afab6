import { setTimeout as delay } from 'node:timers/promises';
import { fromPublicId } from '@app/domain';
import type { LoadCalls } from '../bench/load/load.main.js';
import type { ApiTarget, Refusals } from '../bench/load/target.js';
import { EVENT_TYPE } from '../bench/payload.js';
import { percentiles } from '../bench/statistics.js';
import { forkCallable, type CallableChild } from '../support/child.js';
import type { RunningProcess } from '../support/processes.js';
import type { JournalEntry } from '../support/receiver/journal.js';
import type { Receiver } from '../support/receiver/receiver.js';
import type { FaultContext } from './fault-context.js';

/** How long events were on their way to their receivers. */
export interface Journeys {
  /** Of all of them. */
  readonly p99Ms: number;
  /** The median of the p99s of equal parts of the time: one hiccup of the machine is not in it, a fault that lasts is. */
  readonly typicalP99Ms: number;
  readonly maxMs: number;
  readonly p99sMs: readonly number[];
}

export interface TrafficOptions {
  /** One customer each. */
  readonly subscribers: number;
  /** Every event goes to all endpoints of its customer. */
  readonly endpointsOfEach?: number;
  /** Of the subscribers' names. */
  readonly name?: string;
}

// A p99 of a few milliseconds doubles whenever somebody else has the processor. What these rows look for is a wait for slots
// that are taken, for retries or for deadlines: that is seconds.
const P99_FLOOR_MS = 150;
const WINDOW_MS = 1_000;
const WARMUP_SECONDS = 1;
const DRAIN_RATIO_MIN = 0.75;
// A quick drain takes a second, and on a busy machine one differs from the next by a quarter (0.75 to 1.05 with no change): it
// finds what stops the others, the whole row what slows them.
const QUICK_DRAIN_RATIO_MIN = 0.5;
const DRAIN_TIMEOUT_MS = 90_000;

/** Customers whose receivers are well and who want to notice nothing; and the load generator that publishes for them. */
export class Traffic {
  readonly accepted: string[] = [];
  private constructor(
    private readonly context: FaultContext,
    readonly receiver: Receiver,
    readonly load: CallableChild<LoadCalls>,
    readonly subscribers: string[],
    /** Their public ids, those of the first subscriber first. */
    readonly endpoints: string[],
    private readonly paths: string[],
  ) {}

  /** The api runs already. */
  static async start(
    context: FaultContext,
    { subscribers, endpointsOfEach = 1, name = 'other' }: TrafficOptions,
  ): Promise<Traffic> {
    const receiver = await context.startReceiver();
    const load = await context.own(
      () => forkCallable<LoadCalls>('test/bench/load/load.main.js'),
      (it) => it.stop(),
    );
    await context.client.request('POST', '/v1/event-types', { name: EVENT_TYPE });
    const names = Array.from({ length: subscribers }, (_, n) => `${name}${n}`);
    const [paths, endpoints]: string[][] = [[], []];
    for (const each of names) {
      const own = Array.from({ length: endpointsOfEach }, (_, n) => `/ok/${each}-${n}`);
      paths.push(...own);
      const urls = own.map((path) => receiver.url(path));
      endpoints.push(...(await context.subscribe(urls, each)));
    }
    return new Traffic(context, receiver, load, names, endpoints, paths);
  }

  /** So many events a second, in turns to each customer, and their journeys to each endpoint that `concerns` names. */
  async paced(
    api: RunningProcess,
    perSecond: number,
    seconds: number,
    concerns: (path: string) => boolean = () => true,
  ): Promise<Journeys> {
    const input = { api: this.target(api), perSecond, warmupSeconds: WARMUP_SECONDS, seconds };
    const { accepted, calledMs, refusals } = await this.load.call(
      'publishPaced',
      input,
      (seconds + 30) * 1000,
    );
    this.take(accepted, refusals);
    return journeysOf(calledMs, await this.arrived(accepted, concerns));
  }

  /** Lays in so many events with no worker running, starts workers by `start`, and answers how many a second they drain. */
  async drain(
    api: RunningProcess,
    events: number,
    start: () => Promise<unknown>,
    concerns: (path: string) => boolean = () => true,
  ): Promise<number> {
    const { accepted, refusals } = await this.load.call(
      'publishBatches',
      { api: this.target(api), events },
      60_000,
    );
    this.take(accepted, refusals);
    await start();
    const times = (await this.arrived(accepted, concerns)).map(({ monotonicMs }) => monotonicMs);
    const [first, last] = times.reduce(
      ([least, most], ms) => [Math.min(least, ms), Math.max(most, ms)],
      [Infinity, 0],
    );
    return Math.round((times.length / Math.max(1, last - first)) * 1000);
  }

  /** The requests of these events, once there is one to each endpoint that they concern. */
  private async arrived(
    accepted: readonly string[],
    concerns: (path: string) => boolean,
  ): Promise<JournalEntry[]> {
    const ids = new Set(accepted);
    const endpointsOfEach = this.paths.filter(concerns).length / this.subscribers.length;
    const expected = accepted.length * endpointsOfEach;
    const endpoints = this.endpoints.map((id) => fromPublicId('ep', id)!);
    let found: JournalEntry[] = [];
    for (const deadline = performance.now() + DRAIN_TIMEOUT_MS; ; await delay(100)) {
      found = (await this.receiver.journal()).filter(
        ({ path, headers }) => concerns(path) && ids.has(headers['webhook-id'] as string),
      );
      if (found.length >= expected) return found;
      if (performance.now() > deadline) {
        const left = await this.context.tables.rows(
          `SELECT place, count(*)::int AS n FROM deliveries WHERE status = 'pending' AND endpoint_id = ANY ($1::uuid[]) GROUP BY 1`,
          [endpoints],
        );
        throw new Error(`${found.length} of ${expected} arrived; still pending: ${JSON.stringify(left)}`);
      }
    }
  }

  private target(api: RunningProcess): ApiTarget {
    return { url: api.url, key: this.context.adminKey, subscribers: this.subscribers };
  }

  private take(accepted: readonly string[], refusals: Refusals): void {
    this.context.check(Object.keys(refusals).length === 0, 'the api refused events', refusals);
    for (const id of accepted) this.accepted.push(id);
  }
}

/** I9: p99 within twice the undisturbed. */
export function checkJourneys(context: FaultContext, before: Journeys, during: Journeys): void {
  context.check(
    during.typicalP99Ms <= Math.max(2 * before.typicalP99Ms, P99_FLOOR_MS),
    `the others' p99 rose from ${before.typicalP99Ms} to ${during.typicalP99Ms} ms`,
    { before, during },
  );
}

/** The best of some drains each: a machine that is busy with something else makes a drain slower, never faster. */
export function checkDrains(context: FaultContext, before: number[], during: number[]): number {
  const ratio = Math.max(...during) / Math.max(...before);
  const least = context.quick ? QUICK_DRAIN_RATIO_MIN : DRAIN_RATIO_MIN;
  context.check(ratio >= least, `the others' drain fell to ${ratio.toFixed(2)} of undisturbed`, {
    before,
    during,
  });
  return Math.round(ratio * 100) / 100;
}

function journeysOf(calledMs: ReadonlyMap<string, number>, entries: readonly JournalEntry[]): Journeys {
  const firsts = new Map<string, { atMs: number; tookMs: number }>();
  for (const { path, headers, monotonicMs } of entries) {
    const id = headers['webhook-id'] as string;
    const atMs = calledMs.get(id);
    if (atMs === undefined || firsts.has(`${id} ${path}`)) continue;
    firsts.set(`${id} ${path}`, { atMs, tookMs: monotonicMs - atMs });
  }
  const all = [...firsts.values()];
  const startMs = Math.min(...calledMs.values());
  const windows = Map.groupBy(all, ({ atMs }) => Math.floor((atMs - startMs) / WINDOW_MS));
  const p99s = [...windows.values()]
    .map((window) => percentiles(window.map(({ tookMs }) => tookMs))!.p99Ms)
    .sort((a, b) => a - b);
  const { p99Ms, maxMs } = percentiles(all.map(({ tookMs }) => tookMs))!;
  const typicalP99Ms = p99s[Math.floor((p99s.length - 1) / 2)];
  return {
    p99Ms: Math.round(p99Ms),
    typicalP99Ms: Math.round(typicalP99Ms),
    maxMs: Math.round(maxMs),
    p99sMs: p99s.map(Math.round),
  };
}
