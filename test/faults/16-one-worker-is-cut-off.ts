/**
 * Of two workers one is cut from PostgreSQL with attempts under way: the other takes them over within 30 s; when the first is back
 * its outcomes are late and change nothing.
 */
import { startPartition } from './partition.js';
import type { FaultRow } from './fault-row.js';

const EVENTS = 8;

export const row: FaultRow = {
  row: 16,
  name: 'one-worker-is-cut-off',
  quick: false,
  async run(context) {
    const receiver = await context.startReceiver();
    await context.startApi();
    await context.subscribe([receiver.url('/slow/1000')]);
    const partition = await startPartition(context);
    const cutOff = await context.startWorker(partition.worker);
    const accepted = await context.publishMany(EVENTS);
    await receiver.waitFor(EVENTS);
    await partition.cut();
    const cutAt = performance.now();
    const other = await context.startWorker();
    await context.tables.until(
      `SELECT count(*) = $1 AS ok, count(*)::int AS n FROM deliveries WHERE status = 'delivered'`,
      [EVENTS],
      30_000,
    );
    const takenOverMs = Math.round(performance.now() - cutAt);
    const before = await context.tables.rows(
      'SELECT id, status, tries, finished_at FROM deliveries ORDER BY id',
    );
    await partition.mend();
    await context.tables.until(
      'SELECT count(*) FILTER (WHERE late) = $1 AS ok, count(*)::int AS n FROM attempts',
      [EVENTS],
      40_000,
    );
    const after = await context.tables.rows(
      'SELECT id, status, tries, finished_at FROM deliveries ORDER BY id',
    );
    context.check(JSON.stringify(before) === JSON.stringify(after), 'late outcomes changed a delivery');
    const figures = await context.invariants({ accepted, repeatsMax: EVENTS });
    await context.stop(cutOff);
    await context.stop(other);
    return { ...figures, by: partition.by, takenOverMs };
  },
};
