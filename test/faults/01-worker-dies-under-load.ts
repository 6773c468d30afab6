/**
 * Workers are killed at random moments under load. Nothing is lost, and each delivery that a dead worker had is over within
 * 30 s of the (last) death that touched it. Ever two workers; the dead one is replaced at once.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { FaultRow } from './fault-row.js';

const KILLS = 50;
const CONCURRENCY = 64;
const RESUMED_MS_MAX = 30_000;

export const row: FaultRow = {
  row: 1,
  name: 'worker-dies-under-load',
  // Random kills under load are real-input.e2e.ts's too, in the ordered endpoint's test as well, and the takeover in time is
  // killed-worker-is-replaced.e2e.ts's: three kills more said nothing else, in 43 s.
  quick: false,
  timeoutSeconds: 420,
  async run(context) {
    const receiver = await context.startReceiver();
    await context.startApi();
    await context.subscribe(['/ok/a', '/slow/40/b', '/slow/400/c'].map((path) => receiver.url(path)));
    const env = { WORKER_CONCURRENCY: String(CONCURRENCY) };
    const workers = [await context.startWorker({ env }), await context.startWorker({ env })];
    const publishers = context.startPublishers({ publishers: 6, pauseMs: 60 });
    await publishers.reach(50);

    /** When each delivery was last under way while somebody died. */
    const touchedAt = new Map<string, number>();
    for (let n = 0; n < KILLS; n++) {
      await delay(300 + context.random.next() * 1700);
      const victim = Math.floor(context.random.next() * 2);
      const replacement = context.startWorker({ env });
      await context.kill(workers[victim]);
      const diedAt = Date.now();
      const claimed = await context.tables.rows<{ id: string }>(
        `SELECT id FROM pgboss.job WHERE name = 'deliver' AND state = 'active'`,
      );
      for (const { id } of claimed) touchedAt.set(id, diedAt);
      workers[victim] = await replacement;
      if (n % 10 === 9) context.log(`${n + 1} of ${KILLS} killed, ${publishers.answered.size} events`);
    }
    await publishers.stop();
    await context.settled(40_000);

    const finished = await context.tables.rows<{ id: string; at: Date }>(
      'SELECT id, finished_at AS at FROM deliveries WHERE id = ANY ($1::uuid[])',
      [[...touchedAt.keys()]],
    );
    const resumedMs = finished.map(({ id, at }) => at.getTime() - touchedAt.get(id)!);
    const figures = await context.invariants({
      answered: publishers.answered,
      repeatsMax: KILLS * CONCURRENCY,
      unrecordedMax: KILLS * CONCURRENCY,
    });
    const slowestMs = Math.max(0, ...resumedMs);
    context.check(slowestMs < RESUMED_MS_MAX, `a delivery of a dead worker took ${slowestMs} ms`);
    // Or the kills met nobody at work.
    context.check((figures.unrecorded as number) > 0, 'no kill met an attempt under way', figures);
    return {
      ...figures,
      kills: KILLS,
      underWay: touchedAt.size,
      resumedMsMax: slowestMs,
      refusals: publishers.refusals.length,
    };
  },
};
