/**
 * The database allows fewer connections than api and workers want: they queue or are refused with 503, nobody crashes, and
 * with the limit lifted all is delivered.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Outage } from './outage.js';
import type { FaultRow } from './fault-row.js';

const LIMIT = 6;

export const row: FaultRow = {
  row: 19,
  name: 'connections-are-limited',
  quick: false,
  async run(context) {
    const outage = await Outage.begin(context);
    const database = new URL(context.databaseUrl).pathname.slice(1);
    const limit = (count: number) =>
      context.tables.rows(`ALTER DATABASE ${database} CONNECTION LIMIT ${count}`);
    await limit(LIMIT);
    // Those that are open would stay: the limit is asked at the door only.
    await context.tables.rows(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'posthorn%'`,
    );
    const before = outage.publishers.answered.size;
    await delay(20_000);
    const acceptedMeanwhile = outage.publishers.answered.size - before;
    const { n: open } = await context.tables.row<{ n: number }>(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'posthorn%'`,
    );
    context.check(open <= LIMIT, 'the limit holds', open);
    await limit(-1);
    const backMs = await outage.backAfterMs();
    const figures = await outage.end({});
    return { ...figures, limit: LIMIT, acceptedMeanwhile, backMs };
  },
};
