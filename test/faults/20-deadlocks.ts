/**
 * Transactions are refused as a deadlock's victim or for serialization, one in three, and a stranger locks lanes in the
 * wrong order: they are run again, nothing is lost or done twice; where that does not help a publisher is told to come back.
 */
import pg from 'pg';
import { createClient } from '../support/client.js';
import type { FaultContext } from './fault-context.js';
import type { FaultRow } from './fault-row.js';

export const row: FaultRow = {
  row: 20,
  name: 'deadlocks',
  quick: false,
  async run(context) {
    const receiver = await context.startReceiver();
    const stubborn = await context.startApi({ failpoint: 'deadlock:1' });
    await context.startApi({ failpoint: 'deadlock:3' });
    await context.subscribe([receiver.url('/ok/a'), receiver.url('/ok/b')]);
    await context.startWorker({ failpoint: 'serialization:3' });
    await context.startWorker({ failpoint: 'deadlock:3' });
    const publishers = context.startPublishers({ publishers: 6, pauseMs: 20 });
    await publishers.reach(50);
    const strangerLost = await lockInTheWrongOrder(context, 15);
    await publishers.more(50);
    await publishers.stop();
    await context.settled();
    const figures = await context.invariants({ answered: publishers.answered });

    // Every transaction is refused there, however often it is run again.
    const { status, headers } = await createClient({ url: stubborn.url, key: context.adminKey }).request(
      'POST',
      '/v1/events',
      { subscriber: 'c', type: 'thing.happened', data: {} },
    );
    const refused = publishers.refusals.map((refusal) => refusal.status);
    context.check(
      status === 503 && headers.has('retry-after') && refused.every((each) => each === 503),
      'a publisher whose event could not be stored now is told so (503, Retry-After)',
      { whereAllIsRefused: status, refused },
    );
    const { realDeadlocks } = await context.tables.row<{ realDeadlocks: number }>(
      `SELECT deadlocks::int AS "realDeadlocks" FROM pg_stat_database WHERE datname = current_database()`,
    );
    return { ...figures, refusals: refused.length, realDeadlocks, strangerLost };
  },
};

/** Lanes in descending order; the product takes them in ascending order. Answers how often we were the victim. */
async function lockInTheWrongOrder(context: FaultContext, times: number): Promise<number> {
  const stranger = new pg.Client({ connectionString: context.adminUrl });
  await stranger.connect();
  let lost = 0;
  for (let n = 0; n < times; n++) {
    await stranger.query('BEGIN');
    try {
      await stranger.query('SELECT 1 FROM lanes ORDER BY endpoint_id DESC LIMIT 1 FOR UPDATE');
      await stranger.query('SELECT pg_sleep(0.2)');
      await stranger.query('SELECT 1 FROM lanes ORDER BY endpoint_id LIMIT 1 FOR UPDATE');
      await stranger.query('COMMIT');
    } catch (error) {
      if ((error as { code?: string }).code !== '40P01') throw error;
      lost++;
      await stranger.query('ROLLBACK');
    }
  }
  await stranger.end();
  return lost;
}
