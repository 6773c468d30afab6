/**
 * Two endpoints were down for an hour, and thousands of deliveries are held for each; then they come up. One has a rate limit,
 * which is never passed; the other refuses whatever comes while it is busy with some requests already, as a server does that has
 * just restarted. Both are met by slow start, the second does not collapse again, and what happens now is not behind all that
 * happened then.
 *
 * The hour is made by SQL: instants of held deliveries and of lanes are set back.
 */
import { fromPublicId } from '@app/domain';
import type { LoadCalls } from '../bench/load/load.main.js';
import { EVENT_TYPE } from '../bench/payload.js';
import { percentiles, type Percentiles } from '../bench/statistics.js';
import { forkCallable } from '../support/child.js';
import { monotonicMs } from '../support/monotonic.js';
import { answer, startHostileServer, type Misbehaviour } from './hostile-server.js';
import type { FaultContext } from './fault-context.js';
import type { FaultRow } from './fault-row.js';

const RATE_PER_SECOND = 500;
const RATE_OVER_MAX = 1.01;
// A machine that stops for 85 ms shifts 42 requests from one second to the next (seen): 8 % of one, less than 1 % of twenty.
const RATE_WINDOW_MS = 20_000;
const RATE_OF_SECOND_MAX = 1.2;
const WORKERS = 2;
// What the frail one can do at a time, and how long each takes: 400 a second at most.
const FRAIL_ROOM = 20;
const FRAIL_MS = 50;
// The window doubles until something is refused, again and again.
const FRAIL_REFUSED_SHARE_MAX = 0.35;
const FRESH_PER_SECOND = 100;
const FRESH_P99_MS_MAX = 10_000;
const POLICY = { type: 'fixed', delaySeconds: 2, jitter: 'equal', attemptsMax: 100 } as const;
// As many as failed before the circuits open.
const TRIED = 30;
const BIN_MS = 100;
const BINS = 20;

/** One request as its receiver saw it. */
interface Hit {
  readonly atMs: number;
  readonly id: string;
  readonly taken: boolean;
  /** Requests under way with it, and how many had been taken before it came. */
  readonly underWay: number;
  readonly takenBefore: number;
}

/** A server that is down until somebody sets it up, and then does so many requests at a time and refuses more. */
class Recovering {
  up = false;
  readonly hits: Hit[] = [];
  private underWay = 0;
  private taken = 0;

  constructor(
    private readonly tookMs: number,
    private readonly room: number,
  ) {}

  readonly behaviour: Misbehaviour = (socket, { headers }) => {
    if (!this.up) {
      socket.write(answer(503));
      return '503';
    }
    const taken = this.underWay < this.room;
    this.hits.push({
      atMs: monotonicMs(),
      id: headers['webhook-id'],
      taken,
      underWay: this.underWay + 1,
      takenBefore: this.taken,
    });
    if (!taken) {
      socket.write(answer(503));
      return '503';
    }
    this.underWay++;
    setTimeout(() => {
      this.underWay--;
      this.taken++;
      socket.write(answer(200));
    }, this.tookMs);
    return '200';
  };
}

export const row: FaultRow = {
  row: 44,
  name: 'herd-on-recovery',
  quick: 'short',
  alone: true,
  async run(context) {
    const size = context.quick
      ? { fast: 3_000, frail: 1_000, freshSeconds: 4, patienceMs: 30_000 }
      : { fast: 50_000, frail: 10_000, freshSeconds: 60, patienceMs: 180_000 };
    const fast = new Recovering(5, Infinity);
    const frail = new Recovering(FRAIL_MS, FRAIL_ROOM);
    const server = await startHostileServer(context, {
      behaviours: { fast: fast.behaviour, frail: frail.behaviour },
    });
    const api = await context.startApi();
    await context.client.request('POST', '/v1/event-types', { name: EVENT_TYPE });
    const rateLimit = { algorithm: 'leaky_bucket', limit: RATE_PER_SECOND, per: 1 };
    const endpoints = [
      ...(await context.subscribe([{ url: server.url('/fast'), retryPolicy: POLICY, rateLimit }], 'fast')),
      ...(await context.subscribe([{ url: server.url('/frail'), retryPolicy: POLICY }], 'frail')),
    ].map((id) => fromPublicId('ep', id)!);
    await Promise.all(Array.from({ length: WORKERS }, () => context.startWorker()));

    const accepted: string[] = [];
    for (const who of ['fast', 'frail']) accepted.push(...(await context.publishMany(TRIED, who)));
    await context.tables.until(
      `SELECT count(*) = 2 AS ok, count(*)::int AS open FROM lanes WHERE circuit = 'open'`,
    );
    for (const who of ['fast', 'frail'] as const)
      accepted.push(...(await context.publishMany(size[who] - TRIED, who, TRIED)));
    await anHourLater(context, endpoints);

    fast.up = frail.up = true;
    const { at: upAt } = await context.tables.row<{ at: Date }>('SELECT now() AS at');
    await context.tables.rows('UPDATE lanes SET open_until = now()');
    const load = await context.own(
      () => forkCallable<LoadCalls>('test/bench/load/load.main.js'),
      (it) => it.stop(),
    );
    const fresh = await load.call(
      'publishPaced',
      {
        api: { url: api.url, key: context.adminKey, subscribers: ['fast', 'frail'] },
        perSecond: FRESH_PER_SECOND,
        warmupSeconds: 0,
        seconds: size.freshSeconds,
      },
      (size.freshSeconds + 30) * 1000,
    );
    accepted.push(...fresh.accepted);
    // Not `settled`: a circuit that opened again is not waited for, it says enough.
    await context.tables.until(
      `SELECT NOT EXISTS (SELECT 1 FROM deliveries WHERE status = 'pending')
                OR EXISTS (SELECT 1 FROM lane_transitions WHERE at > $1 AND kind = 'circuit_opened') AS ok`,
      [upAt],
      size.patienceMs,
    );

    const relapses = await context.tables.rows(
      `SELECT endpoint_id, detail FROM lane_transitions WHERE at > $1 AND kind = 'circuit_opened'`,
      [upAt],
    );
    const pending = await context.tables.row<{ n: number }>(PENDING);
    context.check(relapses.length === 0 && pending.n === 0, 'an endpoint collapsed again', {
      relapses,
      pending: pending.n,
    });
    for (const { hits } of [fast, frail]) startsSlowly(context, hits);
    const { perSecondMax, overMax } = ratesOf(fast.hits);
    context.check(
      overMax <= RATE_OVER_MAX && perSecondMax <= RATE_PER_SECOND * RATE_OF_SECOND_MAX,
      'the rate limit was passed',
      { overMax, perSecondMax },
    );
    const refused = frail.hits.filter(({ taken }) => !taken).length / frail.hits.length;
    context.check(
      refused <= FRAIL_REFUSED_SHARE_MAX,
      `the frail one had to refuse ${Math.round(refused * 100)} %`,
    );
    const [fastAges, frailAges] = [fast, frail].map(({ hits }) => agesOf(hits, fresh.calledMs));
    context.check(
      Math.max(fastAges.p99Ms, frailAges.p99Ms) <= FRESH_P99_MS_MAX,
      'what is new waits behind what is old',
      { fastAges, frailAges },
    );
    const figures = await context.invariants({ accepted });
    return {
      ...figures,
      heldFast: size.fast,
      heldFrail: size.frail,
      rampPer100Ms: rampOf(fast.hits),
      perSecondMax,
      rateOverMax: overMax,
      drainSeconds: Math.round((fast.hits.at(-1)!.atMs - fast.hits[0].atMs) / 100) / 10,
      freshP99Ms: Math.round(fastAges.p99Ms),
      frailRampPer100Ms: rampOf(frail.hits),
      frailRefusedShare: Math.round(refused * 100) / 100,
      frailDrainSeconds: Math.round((frail.hits.at(-1)!.atMs - frail.hits[0].atMs) / 100) / 10,
      frailFreshP99Ms: Math.round(frailAges.p99Ms),
    };
  },
};

const PENDING = `SELECT count(*)::int AS n FROM deliveries WHERE status = 'pending'`;

/** A window of two after the probe, and one more for each that was taken: each worker knows of no more. */
function startsSlowly(context: FaultContext, hits: readonly Hit[]): void {
  const tooMany = hits.find(({ underWay, takenBefore }) => underWay > WORKERS * (takenBefore + 2));
  context.check(!tooMany, 'more were under way than the slow start allows', tooMany);
}

/** The most of any second, and the most of any twenty as a share of what the limit allows. */
function ratesOf(hits: readonly Hit[]): { perSecondMax: number; overMax: number } {
  const most = (windowMs: number): number => {
    let [from, found] = [0, 0];
    for (const [to, { atMs }] of hits.entries()) {
      while (atMs - hits[from].atMs >= windowMs) from++;
      found = Math.max(found, to - from + 1);
    }
    return found;
  };
  const allowed = (RATE_PER_SECOND * RATE_WINDOW_MS) / 1000;
  return { perSecondMax: most(1000), overMax: Math.round((most(RATE_WINDOW_MS) / allowed) * 1000) / 1000 };
}

/** From publishing to the request that was taken, of what was published since it came up. */
function agesOf(hits: readonly Hit[], calledMs: ReadonlyMap<string, number>): Percentiles {
  const taken = hits.filter(({ id, taken }) => taken && calledMs.has(id));
  return percentiles(taken.map(({ id, atMs }) => atMs - calledMs.get(id)!))!;
}

/** Requests of the first tenths of a second. */
function rampOf(hits: readonly Hit[]): string {
  const bins = Array.from({ length: BINS }, () => 0);
  for (const { atMs } of hits) {
    const bin = Math.floor((atMs - hits[0].atMs) / BIN_MS);
    if (bin < BINS) bins[bin]++;
  }
  return bins.join(' ');
}

/** As if all that waits had been waiting for an hour, and probes had failed all the time. */
async function anHourLater(context: FaultContext, endpointIds: string[]): Promise<void> {
  await context.tables.rows(
    `UPDATE deliveries SET due_at = due_at - interval '1 hour', run_at = run_at - interval '1 hour', created_at = created_at - interval '1 hour'
      WHERE place = 'held' AND endpoint_id = ANY ($1::uuid[])`,
    [endpointIds],
  );
  await context.tables.rows(
    `UPDATE lanes SET opened_at = opened_at - interval '1 hour', trips = 7, failing_since = failing_since - interval '1 hour'
      WHERE endpoint_id = ANY ($1::uuid[])`,
    [endpointIds],
  );
}
