/** pg_terminate_backend of a random connection, again and again under load: pools mend themselves, nobody crashes. */
import { setTimeout as delay } from 'node:timers/promises';
import type { FaultRow } from './fault-row.js';

export const row: FaultRow = {
  row: 9,
  name: 'backends-are-terminated',
  quick: false,
  async run(context) {
    const kills = 60;
    const pauseMs = 1000;
    const receiver = await context.startReceiver();
    await context.startApi();
    await context.subscribe([receiver.url('/ok/a'), receiver.url('/slow/100/b')]);
    await context.startWorker();
    await context.startWorker();
    const publishers = context.startPublishers({ publishers: 6, pauseMs: 30 });
    await publishers.reach(30);
    let terminated = 0;
    for (let n = 0; n < kills; n++) {
      const [victim] = await context.tables.rows<{ pid: number; application_name: string }>(
        `SELECT pid, application_name FROM pg_stat_activity
          WHERE datname = current_database() AND application_name LIKE 'posthorn%' ORDER BY pid OFFSET $1 % greatest(1,
            (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'posthorn%')) LIMIT 1`,
        [Math.floor(context.random.next() * 1000)],
      );
      if (victim) {
        await context.tables.rows('SELECT pg_terminate_backend($1)', [victim.pid]);
        terminated++;
      }
      await delay(pauseMs);
    }
    await publishers.more(60);
    await publishers.stop();
    // A claim whose answer was lost is nobody's until its heartbeat runs out.
    await context.settled(40_000);
    const refused = publishers.refusals.filter(({ status }) => status !== 503);
    context.check(refused.length === 0, 'publishers were told something else than 503', refused.slice(0, 3));
    const figures = await context.invariants({ answered: publishers.answered });
    return { ...figures, terminated, refusals: publishers.refusals.length };
  },
};
