import type { Database } from './database.js';

// Filled days ahead: a worker that is down over a long weekend must not meet a day without a partition.
export const PARTITION_DAYS_AHEAD = 7;

/** Days of the large tables, by the database's clock. */
export const partitionsRepository = {
  /** Makes one partition of today or the days ahead that does not exist. Answers how many were made: 0 when all are there. */
  async createAhead(database: Database): Promise<number> {
    const [row] = await database.query<{ made: number }>(
      `SELECT posthorn_create_partitions((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + $1::int, 1) AS made`,
      [PARTITION_DAYS_AHEAD],
    );
    return row.made;
  },

  /** (One day more is kept: an event's own id may be a day older than its delivery.) Drops one day older than so many days that has no pending delivery. Answers the partitions dropped; empty: none left. */
  async dropOldest(database: Database, retentionDays: number): Promise<string[]> {
    const [row] = await database.query<{ dropped: string[] }>(
      `SELECT posthorn_drop_partitions((now() AT TIME ZONE 'UTC')::date - $1::int - 1) AS dropped`,
      [retentionDays],
    );
    return row.dropped;
  },
};
