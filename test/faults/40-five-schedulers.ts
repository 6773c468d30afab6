/** Five workers look for due retries at the same time: each fires once, none early. */
import type { FaultRow } from './fault-row.js';

const ENDPOINTS = 40;
// Few of each: nobody's circuit is what this is about.
const EVENTS = 3;
const WORKERS = 5;

export const row: FaultRow = {
  row: 40,
  name: 'five-schedulers',
  quick: false,
  async run(context) {
    const receiver = await context.startReceiver();
    await context.startApi();
    await context.subscribe(Array.from({ length: ENDPOINTS }, (_, n) => receiver.url(`/fail-first/1/${n}`)));
    const accepted = await context.publishMany(EVENTS);
    const count = ENDPOINTS * EVENTS;
    const first = await context.startWorker();
    await context.tables.until(
      `SELECT count(*) = $1 AS ok, count(*)::int AS n FROM deliveries WHERE place = 'waiting'`,
      [count],
    );
    await Promise.all(Array.from({ length: WORKERS - 1 }, () => context.startWorker()));
    // All due in the same instant.
    await context.tables.rows(
      `WITH at AS (SELECT clock_timestamp() + interval '700 ms' AS due),
            d AS (UPDATE deliveries SET due_at = at.due FROM at WHERE status = 'pending')
       UPDATE pgboss.job SET start_after = at.due FROM at WHERE name = 'deliver'`,
    );
    await context.settled();
    const figures = await context.invariants({ accepted });
    context.check(figures.requests === 2 * count, 'each retry was fired once', figures);
    const workers = await context.tables.row<{ n: number }>(
      `SELECT count(DISTINCT worker)::int AS n FROM attempts WHERE n = 2`,
    );
    context.check((await context.metric(first, 'posthorn_claimed')) === 0, 'nothing is claimed any more');
    return { ...figures, schedulers: WORKERS, firedBy: workers.n };
  },
};
