/**
 * Ten thousand requests fail in the same second: their receivers took them, were silent, and answered 500 all at once. The
 * retries do not come back as one: jitter spreads them, as planned and as they arrive.
 */
import { fromPublicId } from '@app/domain';
import { monotonicMs } from '../support/monotonic.js';
import { answer, startHostileServer, type Misbehaviour } from './hostile-server.js';
import type { FaultContext } from './fault-context.js';
import type { FaultRow } from './fault-row.js';

// Below the five in a row that open a circuit.
const EVENTS = 4;
const ENDPOINTS_OF_EACH = 50;
// Nobody waits longer for the last of them to come in.
const HELD_MS_MAX = 13_000;
const PEAK_OVER_MEAN_MAX = 3;
const SECOND_MS = 1000;
// A delay is counted from when its failure is recorded, and thousands of them take a while.
const RECORDED_MS_MAX = 5_000;
// From the shortest to the longest delay of each, as the documentation of jitter says.
const JITTERS = {
  full: [0, 1],
  equal: [0.5, 1],
  proportional: [0.5, 1.5],
} as const;
type Jitter = keyof typeof JITTERS;

export const row: FaultRow = {
  row: 45,
  name: 'synchronised-retries',
  quick: false,
  alone: true,
  async run(context) {
    const size = context.quick
      ? { subscribers: 5, workers: 1, delaySeconds: 6 }
      : { subscribers: 50, workers: 3, delaySeconds: 10 };
    const failures = size.subscribers * ENDPOINTS_OF_EACH * EVENTS;
    // A tenth of the slots is kept for critical events, and the last eighth for endpoints that have none: the most that can be set.
    const slots = Math.min(4096, Math.ceil((failures / size.workers) * 1.4));
    const silent: (() => void)[] = [];
    const arrivals = new Map<string, number[]>();
    let [released, failedFromMs, failedToMs] = [false, Infinity, 0];
    const fails: Misbehaviour = (socket, { headers }) => {
      const id = headers['posthorn-delivery'];
      arrivals.set(id, [...(arrivals.get(id) ?? []), monotonicMs()]);
      if (released) socket.write(answer(200));
      else silent.push(() => socket.write(answer(500)));
      return released ? '200' : '500';
    };
    // A port for each customer: a worker has 256 connections to one origin at most.
    const servers = await Promise.all(
      Array.from({ length: size.subscribers }, () => startHostileServer(context, { behaviours: { fails } })),
    );
    await context.startApi();
    const jitters = await subscribeAll(
      context,
      size.delaySeconds,
      servers.map((server) => server.url('/fails')),
    );
    const accepted: string[] = [];
    for (let n = 0; n < size.subscribers; n++) accepted.push(...(await context.publishMany(EVENTS, `c${n}`)));
    const env = {
      WORKER_CONCURRENCY: String(slots),
      WORKER_CONCURRENCY_PER_HOST: '4096',
      LOG_LEVEL: 'warn',
    };
    await Promise.all(Array.from({ length: size.workers }, () => context.startWorker({ env })));
    const deadline = performance.now() + HELD_MS_MAX;
    await context.until(
      'all requests are under way',
      () => silent.length >= failures || performance.now() > deadline,
      HELD_MS_MAX + 1000,
    );
    const heldAtOnce = silent.length;
    context.check(heldAtOnce >= failures * 0.95, `${heldAtOnce} of ${failures} were under way at once`);
    released = true;
    failedFromMs = monotonicMs();
    for (const fail of silent) fail();
    failedToMs = monotonicMs();
    await context.tables.until(
      `SELECT count(*) >= $1 AS ok, count(*)::int AS failed FROM attempts WHERE n = 1 AND status = 'failed'`,
      [heldAtOnce],
    );
    const planned = await context.tables.rows<Planned>(
      `SELECT a.delivery_id, a.endpoint_id, (extract(epoch FROM coalesce(b.scheduled_at, d.due_at) - a.finished_at) * 1000)::float8 AS after_ms
         FROM attempts a JOIN deliveries d ON d.id = a.delivery_id LEFT JOIN attempts b ON b.delivery_id = a.delivery_id AND b.n = 2
        WHERE a.n = 1 AND a.status = 'failed'`,
    );
    await context.settled(60_000);

    const retries = [...arrivals]
      .filter(([, times]) => times.length > 1)
      .map(([id, times]) => [fromPublicId('dlv', id)!, times] as const);
    const figures: Record<string, number> = {};
    for (const jitter of Object.keys(JITTERS) as Jitter[]) {
      const mine = planned.filter(({ endpoint_id }) => jitters.get(endpoint_id) === jitter);
      const [from, to] = JITTERS[jitter].map((share) => share * size.delaySeconds * SECOND_MS);
      // As if all had failed in the same instant: what is left is jitter, and nothing of how long it took to record them.
      const delays = mine.map(({ after_ms }) => after_ms);
      const ids = new Set(mine.map(({ delivery_id }) => delivery_id));
      const again = retries.filter(([id]) => ids.has(id)).map(([, times]) => times[1]);
      const peaks = { planned: peakOverMean(delays, to - from), arrived: peakOverMean(again, to - from) };
      context.check(
        Math.max(peaks.planned, peaks.arrived) <= PEAK_OVER_MEAN_MAX,
        `${jitter}: the peak is more than ${PEAK_OVER_MEAN_MAX} times the mean of its window`,
        peaks,
      );
      context.check(
        Math.min(...delays) >= from - 50 && Math.max(...delays) <= to + RECORDED_MS_MAX,
        `${jitter}: planned outside of its window`,
        [Math.min(...delays), Math.max(...delays)],
      );
      figures[`${jitter}PlannedPeakOverMean`] = peaks.planned;
      figures[`${jitter}ArrivedPeakOverMean`] = peaks.arrived;
    }
    const checked = await context.invariants({ accepted });
    return {
      ...checked,
      failures: heldAtOnce,
      failedWithinMs: Math.round(failedToMs - failedFromMs),
      ...figures,
      arrivalsPerSecondMax: peakOf(retries.map(([, times]) => times[1])),
    };
  },
};

interface Planned {
  delivery_id: string;
  endpoint_id: string;
  /** From its failure to when its retry is due. */
  after_ms: number;
}

/** Endpoints of many customers, a third of them with each kind of jitter. Answers which, by endpoint. */
async function subscribeAll(
  context: FaultContext,
  delaySeconds: number,
  urls: readonly string[],
): Promise<Map<string, Jitter>> {
  const kinds = Object.keys(JITTERS) as Jitter[];
  const jitters = new Map<string, Jitter>();
  for (const [n, url] of urls.entries()) {
    const of = Array.from({ length: ENDPOINTS_OF_EACH }, (_, at) => kinds[at % kinds.length]);
    const policy = { type: 'fixed', delaySeconds, attemptsMax: 20 } as const;
    const endpoints = of.map((jitter) => ({ url, retryPolicy: { ...policy, jitter } }));
    const ids = await context.subscribe(endpoints, `c${n}`);
    for (const [at, id] of ids.entries()) jitters.set(fromPublicId('ep', id)!, of[at]);
  }
  return jitters;
}

/** The most within any second. */
function peakOf(timesMs: readonly number[]): number {
  const sorted = Float64Array.from(timesMs).sort();
  let [from, most] = [0, 0];
  for (let to = 0; to < sorted.length; to++) {
    while (sorted[to] - sorted[from] >= SECOND_MS) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

function peakOverMean(timesMs: readonly number[], windowMs: number): number {
  const mean = timesMs.length / Math.max(1, windowMs / SECOND_MS);
  return Math.round((peakOf(timesMs) / mean) * 100) / 100;
}
