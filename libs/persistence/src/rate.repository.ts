import type { RateState } from '@app/domain';
import type { Database, Tx } from './database.js';

/** The slots that rate-limited endpoints gave out, as their locked rows say. */
export interface LockedRates {
  /** Milliseconds since 1970 on the database's clock, read when the rows were locked. */
  nowMs: number;
  states: Map<string, RateState>;
}

/** One row per rate-limited endpoint, in a table that is not logged: what a crash of the server loses is one burst. */
export const rateRepository = {
  /** Locks these endpoints' rows in order, making those that are missing. */
  async lock(tx: Tx, endpointIds: string[]): Promise<LockedRates> {
    // Three statements at once: the clock is read when the locks are ours, without another round trip.
    const made = tx.prepared(
      'rate_make',
      `INSERT INTO rate_slots (endpoint_id, state) SELECT id, '{}' FROM unnest($1::uuid[]) AS id ORDER BY 1 ON CONFLICT DO NOTHING`,
      [endpointIds],
    );
    const locked = tx.prepared<{ id: string; state: RateState | Record<string, never> }>(
      'rate_lock',
      'SELECT endpoint_id AS id, state FROM rate_slots WHERE endpoint_id = ANY($1::uuid[]) ORDER BY endpoint_id FOR UPDATE',
      [endpointIds],
    );
    const clock = tx.prepared<{ now: number }>(
      'rate_clock',
      'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now',
      [],
    );
    const [, rows, [{ now }]] = await Promise.all([made, locked, clock]);
    const states = new Map<string, RateState>();
    for (const { id, state } of rows) if ('kind' in state) states.set(id, state as RateState);
    return { nowMs: now, states };
  },

  async write(tx: Tx, states: Map<string, RateState>): Promise<void> {
    await tx.prepared(
      'rate_write',
      `UPDATE rate_slots r SET state = s.state, used_at = now()
         FROM unnest($1::uuid[], $2::jsonb[]) AS s (id, state) WHERE r.endpoint_id = s.id`,
      [[...states.keys()], [...states.values()].map((state) => JSON.stringify(state))],
    );
  },

  /** Rows that nobody has used for a day. */
  async deleteUnused(database: Database, max: number): Promise<number> {
    const rows = await database.query(
      `DELETE FROM rate_slots WHERE endpoint_id IN (
         SELECT endpoint_id FROM rate_slots WHERE used_at < now() - interval '1 day' LIMIT $1) RETURNING 1 AS one`,
      [max],
    );
    return rows.length;
  },
};
