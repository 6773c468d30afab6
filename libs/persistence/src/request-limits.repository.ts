import type { Database } from './database.js';

/** A window after some requests were counted in it. */
export interface TakenWindow {
  name: string;
  /** All that were counted, these included. */
  used: number;
  /** Until it ends. */
  seconds: number;
}

/**
 * Windows of counting, shared by every api process: one begins with the first request after the last one ended. In a
 * table that is not logged, so a commit waits for no disk.
 */
export const requestLimitsRepository = {
  /** Counts `counts[n]` requests in the window called `names[n]`; each name once. One statement on the database's clock. */
  take(
    database: Pick<Database, 'prepared'>,
    names: string[],
    counts: number[],
    windowSeconds: number,
  ): Promise<TakenWindow[]> {
    // In the order of names, in which every process locks them: two groups never wait for each other in a circle.
    return database.prepared<TakenWindow>(
      'request_windows_take',
      `INSERT INTO request_windows AS w (name, used, ends_at)
       SELECT name, n, now() + make_interval(secs => $3) FROM unnest($1::text[], $2::int[]) AS asked (name, n)
        ORDER BY name COLLATE "C"
       ON CONFLICT (name) DO UPDATE SET
         used = CASE WHEN w.ends_at <= now() THEN excluded.used ELSE least(w.used::bigint + excluded.used, 2000000000)::int END,
         ends_at = CASE WHEN w.ends_at <= now() THEN excluded.ends_at ELSE w.ends_at END
       RETURNING name, used, extract(epoch FROM ends_at - now())::float8 AS seconds`,
      [names, counts, windowSeconds],
    );
  },

  /** Takes one back from the window as long as it lasts. */
  async giveBack(database: Database, name: string): Promise<void> {
    await database.prepared(
      'request_windows_give_back',
      'UPDATE request_windows SET used = used - 1 WHERE name = $1 AND used > 0 AND ends_at > now()',
      [name],
    );
  },

  /** Windows that nobody will look at again. */
  async deleteEnded(database: Database, max: number): Promise<number> {
    const rows = await database.query(
      // An array: as a join the planner may ask the subquery anew for each row, and each time it passes by what is deleted already and locks more.
      `DELETE FROM request_windows WHERE name = ANY (ARRAY(
         SELECT name FROM request_windows WHERE ends_at < now() - interval '1 minute' LIMIT $1 FOR UPDATE SKIP LOCKED))
       RETURNING 1 AS one`,
      [max],
    );
    return rows.length;
  },
};
