/**
 * Four of five requests to hundreds of endpoints fail for a while, as when their common provider is out, and every failure is
 * due again soon, while more first attempts wait than the worker has slots for: retries take a fifth of the slots at most, and first
 * attempts go on at nearly the speed that they have without any failure.
 */
import { answer, startHostileServer, type Misbehaviour } from './hostile-server.js';
import type { FaultContext } from './fault-context.js';
import type { FaultRow } from './fault-row.js';

const ENDPOINTS_OF_EACH = 20;
const SLOTS = 50;
const RETRY_SHARE_MAX = 0.2;
// Of the speed without failures; retries may have a fifth of it.
const FIRSTS_SPEED_RATIO_MIN = 0.65;
const TOOK_MS = 200;
// First attempts have waited for so long when the share is looked at: retries that were begun before had a right to.
const WAITING_FOR_MS = 1_000;
const LOOK_EVERY_MS = 20;

interface Attempted {
  retry: boolean;
  /** Milliseconds, on the database's clock. */
  from: number;
  to: number;
}

export const row: FaultRow = {
  row: 48,
  name: 'retry-storm',
  quick: false,
  alone: true,
  async run(context) {
    const size = context.quick ? { subscribers: 8, events: 4 } : { subscribers: 80, events: 3 };
    const firsts = size.subscribers * ENDPOINTS_OF_EACH * size.events;
    let out = false;
    let [requests, failed] = [0, 0];
    // Every fifth request of an endpoint is taken: its circuit stays closed as long as it has seen few.
    const provider: Misbehaviour = (socket, { n }) => {
      const status = out && n % 5 !== 0 ? 503 : 200;
      if (out) requests++;
      if (status === 503) failed++;
      setTimeout(() => socket.write(answer(status)), TOOK_MS);
      return String(status);
    };
    const server = await startHostileServer(context, { behaviours: { provider } });
    await context.startApi();
    const policy = { type: 'fixed', delaySeconds: 1, jitter: 'equal', attemptsMax: 50 } as const;
    for (let n = 0; n < size.subscribers; n++)
      await context.subscribe(
        Array.from({ length: ENDPOINTS_OF_EACH }, (_, at) => ({
          url: server.url(`/provider/${n}-${at}`),
          retryPolicy: policy,
        })),
        `c${n}`,
      );
    const accepted: string[] = [];
    let worker = await context.startWorker({ env: { WORKER_CONCURRENCY: String(SLOTS) } });
    const undisturbed = await firstsPerSecond();

    await context.stop(worker);
    out = true;
    const disturbed = await firstsPerSecond(async () => {
      worker = await context.startWorker({ env: { WORKER_CONCURRENCY: String(SLOTS) } });
    });
    out = false;
    const [seen, asked] = [failed, requests];
    // The outage is over; nobody need wait for the time of probes.
    await context.tables.rows(`UPDATE lanes SET open_until = now() WHERE circuit = 'open'`);
    await context.settled(60_000);

    const storm = await attemptsOf(context, disturbed.since);
    const shares = sharesWhileFirstsWait(storm, disturbed.firstAt);
    const shareMax = Math.max(...shares);
    const shareMean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    context.check(seen / asked > 0.7, `no storm: ${seen} of ${asked} requests failed`);
    context.check(shares.length > 20, 'first attempts did not wait', shares.length);
    context.check(
      shareMax <= RETRY_SHARE_MAX,
      `retries had ${shareMax} of the slots while first attempts waited`,
    );
    context.check(
      disturbed.perSecond >= undisturbed.perSecond * FIRSTS_SPEED_RATIO_MIN,
      `first attempts fell from ${undisturbed.perSecond} to ${disturbed.perSecond} a second`,
    );
    const figures = await context.invariants({ accepted });
    return {
      ...figures,
      firsts,
      failedShare: Math.round((seen / asked) * 100) / 100,
      retryShareMax: shareMax,
      retryShareMean: Math.round(shareMean * 1000) / 1000,
      undisturbedFirstsPerSecond: undisturbed.perSecond,
      stormFirstsPerSecond: disturbed.perSecond,
      retries: storm.filter(({ retry }) => retry).length,
    };

    /** Publishes them all, and answers how fast they have been attempted once, whatever came of it. */
    async function firstsPerSecond(start: () => Promise<void> = () => Promise.resolve()) {
      const { since } = await context.tables.row<{ since: Date }>('SELECT now() AS since');
      for (let n = 0; n < size.subscribers; n++)
        accepted.push(...(await context.publishMany(size.events, `c${n}`)));
      await start();
      await context.tables.until(
        `SELECT count(*) = 0 AS ok, count(*)::int AS untried FROM deliveries WHERE attempts = 0`,
        [],
        120_000,
      );
      const first = (await attemptsOf(context, since)).filter(({ retry }) => !retry);
      const firstAt = Math.min(...first.map(({ from }) => from));
      const lastAt = Math.max(...first.map(({ from }) => from));
      return { since, firstAt, perSecond: Math.round((first.length / (lastAt - firstAt)) * 1000) };
    }
  },
};

function attemptsOf(context: FaultContext, since: Date): Promise<Attempted[]> {
  return context.tables.rows<Attempted>(
    `SELECT trigger <> 'event' AS retry, (extract(epoch FROM started_at) * 1000)::float8 AS "from",
            (extract(epoch FROM finished_at) * 1000)::float8 AS "to" FROM attempts WHERE started_at > $1`,
    [since],
  );
}

/** What part of the slots retries had, looked at every few milliseconds while more first attempts waited than there are slots. */
function sharesWhileFirstsWait(attempts: readonly Attempted[], firstAt: number): number[] {
  const retries = attempts.filter(({ retry }) => retry);
  const begun = attempts
    .filter(({ retry }) => !retry)
    .map(({ from }) => from)
    .sort((a, b) => a - b);
  const enoughUntil = begun[begun.length - SLOTS];
  const shares: number[] = [];
  for (let at = firstAt + WAITING_FOR_MS; at < enoughUntil; at += LOOK_EVERY_MS)
    shares.push(retries.filter(({ from, to }) => from <= at && at < to).length / SLOTS);
  return shares;
}
