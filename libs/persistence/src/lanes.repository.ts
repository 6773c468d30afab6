import { DELIVER_QUEUE } from '@app/contracts';
import type { Database, Tx } from './database.js';

export interface TicketlessDelivery {
  id: string;
  endpointId: string;
  inSeconds: number;
}

// Endpoints stopped earlier have nothing pending; looking at all of them every second would cost what history costs.
const JUST_STOPPED_SECONDS = 600;

/** What keeps lanes and tickets true when something died at the wrong moment. Bounded batches; other workers are skipped. */
export const lanesRepository = {
  /** Lanes that hold deliveries though less than half of their window is queued. */
  async findStalled(database: Database, max: number): Promise<string[]> {
    const rows = await database.query<{ endpoint_id: string }>(
      `SELECT endpoint_id FROM lanes
        WHERE held > 0 AND paused_at IS NULL AND queued * 2 < window_size ORDER BY endpoint_id LIMIT $1`,
      [max],
    );
    return rows.map((row) => row.endpoint_id);
  },

  /** Lanes whose counts differ from the table right now; each is looked at again under its lock. */
  async findInexact(database: Database, max: number): Promise<string[]> {
    const rows = await database.query<{ endpoint_id: string }>(
      `WITH counted AS (
         SELECT endpoint_id, count(*) FILTER (WHERE place = 'queued') AS queued, count(*) FILTER (WHERE place = 'held') AS held
           FROM deliveries WHERE status = 'pending' GROUP BY endpoint_id)
       SELECT l.endpoint_id FROM lanes l LEFT JOIN counted c USING (endpoint_id)
        WHERE l.queued <> coalesce(c.queued, 0) OR l.held <> coalesce(c.held, 0) ORDER BY 1 LIMIT $1`,
      [max],
    );
    return rows.map((row) => row.endpoint_id);
  },

  /**
   * Sets a lane's counts to what the table says. Everyone who moves a delivery in or out of a place changes the
   * lane in the same transaction, so under the lane's lock the two can be compared. Answers whether it was wrong.
   */
  async correct(tx: Tx, endpointId: string): Promise<boolean> {
    await tx.query('SELECT 1 FROM lanes WHERE endpoint_id = $1 FOR UPDATE', [endpointId]);
    const rows = await tx.query(
      `WITH counted AS (
         SELECT count(*) FILTER (WHERE place = 'queued')::int AS queued, count(*) FILTER (WHERE place = 'held')::int AS held
           FROM deliveries WHERE status = 'pending' AND endpoint_id = $1)
       UPDATE lanes l SET queued = c.queued, held = c.held FROM counted c
        WHERE l.endpoint_id = $1 AND (l.queued <> c.queued OR l.held <> c.held) RETURNING 1 AS one`,
      [endpointId],
    );
    return rows.length > 0;
  },

  /**
   * Pending deliveries that nothing will ever attempt: neither held nor with a ticket. None should exist. Only those
   * untouched for a minute are looked at, and they are locked, so none that is just being moved is found.
   */
  async findTicketless(tx: Tx, max: number): Promise<TicketlessDelivery[]> {
    return tx.query<TicketlessDelivery>(
      `SELECT d.id, d.endpoint_id AS "endpointId", greatest(extract(epoch FROM d.due_at - now()), 0)::float8 AS "inSeconds"
         FROM deliveries d
        WHERE d.status = 'pending' AND d.place <> 'held' AND d.updated_at < now() - interval '1 minute'
          AND NOT EXISTS (SELECT 1 FROM pgboss.job j WHERE j.name = $1 AND j.id = d.id AND j.state < 'completed')
        LIMIT $2 FOR UPDATE OF d SKIP LOCKED`,
      [DELIVER_QUEUE, max],
    );
  },

  /**
   * Ends pending deliveries of endpoints that were just disabled or deleted, a batch at a time; with `allWithBacklog`
   * also of those stopped earlier whose lane still counts some (a retry among them is ended when it comes due). What
   * a worker has claimed is left to it: it finds the endpoint stopped, or its request is already out and its answer
   * counts. Answers how many ended.
   */
  async cancelStopped(tx: Tx, allWithBacklog: boolean, max: number): Promise<number> {
    const rows = await tx.query<{ endpoint_id: string; place: string }>(
      `WITH stopped AS (
         SELECT e.id, CASE WHEN s.deleted_at IS NOT NULL THEN 'subscriber_deleted'
                           WHEN e.deleted_at IS NOT NULL THEN 'endpoint_deleted' ELSE 'endpoint_disabled' END AS reason
           FROM endpoints e JOIN subscribers s ON s.id = e.subscriber_id
          WHERE (e.disabled_at IS NOT NULL OR e.deleted_at IS NOT NULL)
            AND (greatest(e.disabled_at, e.deleted_at) > now() - make_interval(secs => $3)
                 OR ($4 AND EXISTS (SELECT 1 FROM lanes l WHERE l.endpoint_id = e.id AND l.queued + l.held > 0)))),
       picked AS (
         SELECT p.id, p.subscriber_id, p.place, s.reason FROM stopped s CROSS JOIN LATERAL (
           SELECT d.id, d.subscriber_id, d.place FROM deliveries d
            WHERE d.endpoint_id = s.id AND d.status = 'pending' AND d.place IN ('queued', 'held', 'waiting')
              AND NOT EXISTS (SELECT 1 FROM pgboss.job j WHERE j.name = $2 AND j.id = d.id AND j.state = 'active')
            ORDER BY d.id LIMIT $1 FOR UPDATE OF d SKIP LOCKED) p
          LIMIT $1),
       withdrawn AS (
         DELETE FROM pgboss.job j USING picked p WHERE j.name = $2 AND j.id = p.id AND j.state < 'active'),
       ended AS (
         UPDATE deliveries d SET status = 'cancelled', place = NULL, due_at = NULL, cancel_reason = p.reason,
                ticket = d.ticket + 1, finished_at = now(), updated_at = now()
           FROM picked p WHERE d.id = p.id AND d.subscriber_id = p.subscriber_id RETURNING d.endpoint_id, p.place),
       freed AS (
         SELECT endpoint_id, count(*) FILTER (WHERE place = 'queued')::int AS queued,
                count(*) FILTER (WHERE place = 'held')::int AS held FROM ended GROUP BY endpoint_id),
       locked AS (
         SELECT l.endpoint_id, f.queued, f.held FROM lanes l JOIN freed f ON f.endpoint_id = l.endpoint_id
          ORDER BY l.endpoint_id FOR UPDATE OF l),
       counted AS (
         UPDATE lanes l SET queued = greatest(l.queued - k.queued, 0), held = greatest(l.held - k.held, 0)
           FROM locked k WHERE l.endpoint_id = k.endpoint_id)
       SELECT endpoint_id, place FROM ended`,
      [max, DELIVER_QUEUE, JUST_STOPPED_SECONDS, allWithBacklog],
    );
    return rows.length;
  },

  /** Figures for the gauges. */
  async figures(
    database: Database,
  ): Promise<{ queued: number; held: number; oldestDueSeconds: number; strays: number }> {
    const [row] = await database.query<{
      queued: number;
      held: number;
      oldest: number | null;
      strays: number;
    }>(
      `SELECT (SELECT coalesce(sum(queued), 0) FROM lanes WHERE queued > 0)::float8 AS queued,
              (SELECT coalesce(sum(held), 0) FROM lanes WHERE held > 0)::float8 AS held,
              (SELECT extract(epoch FROM now() - min(start_after))::float8 FROM (
                 SELECT start_after FROM pgboss.job WHERE name = $1 AND state < 'active' AND NOT blocked
                  ORDER BY priority DESC, created_on LIMIT 100) head WHERE start_after <= now()) AS oldest,
              ((SELECT count(*) FROM events_default) + (SELECT count(*) FROM deliveries_default)
                + (SELECT count(*) FROM attempts_default))::float8 AS strays`,
      [DELIVER_QUEUE],
    );
    return { queued: row.queued, held: row.held, oldestDueSeconds: row.oldest ?? 0, strays: row.strays };
  },
};
