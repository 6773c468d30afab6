/**
 * Three packets in ten are lost between the worker and its receivers: fewer first attempts succeed, every event arrives in the
 * end, what arrived twice is equal, and no slot stays taken.
 */
import { TWO_TRIES } from './cases.js';
import { startLossyWire } from './lossy-wire.js';
import type { FaultRow } from './fault-row.js';

const LOSS = 0.3;
const TIMEOUT_SECONDS = 2;

export const row: FaultRow = {
  row: 29,
  name: 'packets-are-lost',
  quick: false,
  async run(context) {
    const endpoints = context.quick ? 20 : 40;
    const events = context.quick ? 5 : 50;
    const receiver = await context.startReceiver();
    const wire = await startLossyWire(context, receiver.port, LOSS);
    await context.startApi();
    await context.subscribe(
      Array.from({ length: endpoints }, (_, n) => ({
        url: `http://127.0.0.1:${wire.port}/ok/${n}`,
        timeoutSeconds: TIMEOUT_SECONDS,
        retryPolicy: { ...TWO_TRIES, attemptsMax: 30, ageMaxSeconds: 3600, retryClientErrors: false },
      })),
    );
    const worker = await context.startWorker();
    const accepted: string[] = [];
    for (let n = 0; n < events; n += 5) accepted.push(...(await context.publishMany(5, 'c', n)));
    // A circuit may open (five in a row are rare, not impossible), and is tried again within 38 s.
    await context.settled(context.quick ? 50_000 : 240_000);
    await context.until(
      'slots are free',
      async () => (await context.metric(worker, 'posthorn_in_flight')) === 0,
    );

    const seen = await context.tables.row<{ first: number; attempts: number; p99: number; overdue: number }>(
      `SELECT count(*) FILTER (WHERE n = 1 AND failure IS NULL)::int AS first, count(*)::int AS attempts,
              percentile_cont(0.99) WITHIN GROUP (ORDER BY total_ms)::int AS p99,
              count(*) FILTER (WHERE total_ms > $1)::int AS overdue FROM attempts`,
      [TIMEOUT_SECONDS * 1000 + 500],
    );
    const deliveries = endpoints * events;
    context.check(seen.overdue === 0, `${seen.overdue} attempts took longer than their deadline`);
    context.check(seen.first < deliveries, 'no first attempt failed: nothing was lost', seen);
    const { undelivered } = await context.tables.row<{ undelivered: number }>(
      `SELECT count(*) FILTER (WHERE status <> 'delivered')::int AS undelivered FROM deliveries`,
    );
    context.check(undelivered === 0, `${undelivered} never arrived`);
    // Its answer was lost: the receiver had it, we could not know.
    const figures = await context.invariants({ accepted, repeatsMax: seen.attempts - deliveries });
    const { n: circuitsOpened } = await context.tables.row<{ n: number }>(
      `SELECT count(*) FILTER (WHERE trips > 0)::int AS n FROM lanes`,
    );
    return {
      ...figures,
      by: 'a proxy',
      packets: wire.sent,
      packetsLost: wire.lost,
      firstAttemptsOk: Math.round((100 * seen.first) / deliveries) / 100,
      attempts: seen.attempts,
      attemptMsP99: seen.p99,
      circuitsOpened,
    };
  },
};
