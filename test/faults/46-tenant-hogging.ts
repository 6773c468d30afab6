/**
 * One customer floods receivers of his that take a request and never answer; ten others go on as before, and what waits is his own.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { FaultContext } from './fault-context.js';
import type { FaultRow } from './fault-row.js';
import { startHostileServer } from './hostile-server.js';
import { checkJourneys, Traffic } from './traffic.js';

const ENDPOINTS = 10;
// Of the worker, unless configured.
const SLOTS = 256;
const BATCH_EVERY_MS = 250;
// After the flood they only have to end what is under way.
const TIMEOUT_SECONDS = 30;

export const row: FaultRow = {
  row: 46,
  name: 'tenant-hogging',
  quick: 'short',
  alone: true,
  async run(context) {
    const size = context.quick
      ? { flooded: 300, perSecond: 60, seconds: 3 }
      : { flooded: 2_000, perSecond: 50, seconds: 30 };
    const api = await context.startApi();
    const traffic = await Traffic.start(context, { subscribers: 10 });
    // A host each: what one host may have at most would keep him small by itself.
    const hanging = await Promise.all(
      Array.from({ length: ENDPOINTS }, () =>
        startHostileServer(context, { behaviours: { hang: () => 'hang' } }),
      ),
    );
    await context.subscribe(
      hanging.map((server, n) => ({
        url: server.url('/hang'),
        eventTypes: [`flood.n${n}`],
        timeoutSeconds: TIMEOUT_SECONDS,
      })),
      'hog',
    );
    for (let n = 0; n < ENDPOINTS; n++)
      await context.client.request('POST', '/v1/event-types', { name: `flood.n${n}` });
    await context.startWorker();
    const undisturbed = await traffic.paced(api, size.perSecond, size.seconds);

    const flood = startFlood(context, size.flooded);
    const disturbed = await traffic.paced(api, size.perSecond, size.seconds);
    const hog = await context.tables.row<{ pending: number }>(
      `SELECT count(*)::int AS pending FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id
        WHERE e.url LIKE '%/hang' AND d.status = 'pending'`,
    );
    const underWay = hanging.reduce((sum, { requests }) => sum + requests.length, 0);
    const published = await flood.stop();
    // He has a backlog, and it is his: of the others nothing waits.
    await context.tables.until(
      `SELECT count(*) = 0 AS ok, count(*)::int AS pending FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id
        WHERE e.url NOT LIKE '%/hang' AND d.status = 'pending'`,
    );
    context.check(underWay > 0, 'no request hung');
    context.check(hog.pending > published.seconds * size.flooded * 0.5, 'the flood was no flood', {
      hog,
      published,
    });
    checkJourneys(context, undisturbed, disturbed);
    const figures = await context.invariants({
      accepted: [...traffic.accepted, ...published.accepted],
      unsettled: true,
      // Under way still.
      unrecordedMax: SLOTS,
    });
    return {
      ...figures,
      floodPerSecond: Math.round(published.accepted.length / published.seconds),
      backlogOfHog: hog.pending,
      requestsThatHung: underWay,
      undisturbedP99Ms: undisturbed.typicalP99Ms,
      disturbedP99Ms: disturbed.typicalP99Ms,
      disturbedMsMax: disturbed.maxMs,
    };
  },
};

/** By the batch route, so that the api, which all share, has little to do with it: what is measured is the worker. */
function startFlood(
  context: FaultContext,
  perSecond: number,
): { stop(): Promise<{ accepted: string[]; seconds: number }> } {
  const accepted: string[] = [];
  const startedAt = performance.now();
  let flooding = true;
  const size = Math.ceil((perSecond * BATCH_EVERY_MS) / 1000);
  const running = (async () => {
    for (let n = 1; flooding && !context.isClosing; n++) {
      const events = Array.from({ length: size }, (_, at) => ({
        subscriber: 'hog',
        type: `flood.n${(n + at) % ENDPOINTS}`,
        data: { n, at },
      }));
      const { results } = await context.client.post<{ results: { id: string }[] }>('/v1/events/batch', {
        events,
      });
      for (const { id } of results) accepted.push(id);
      await delay(Math.max(0, startedAt + n * BATCH_EVERY_MS - performance.now()));
    }
  })();
  running.catch(() => undefined);
  return {
    async stop() {
      flooding = false;
      await running;
      return { accepted, seconds: (performance.now() - startedAt) / 1000 };
    },
  };
}
