import { DELIVER_QUEUE } from '@app/contracts';
import type { Trigger } from '@app/domain';
import type { Database, Tx } from './database.js';

export interface TicketlessDelivery {
  id: string;
  endpointId: string;
  inSeconds: number;
  trigger: Trigger;
  critical: boolean;
}

/** A held delivery that has become too old. */
export interface ExpiredDelivery {
  id: string;
  subscriberId: string;
  endpointId: string;
  eventType: string;
  tellsFailures: boolean;
}

interface PendingSums {
  queued: number;
  held: number;
  waiting: number;
}

interface LaneFreed {
  endpoint_id: string;
  queued: number;
  held: number;
  waiting: number;
}

// Endpoints stopped earlier have nothing pending; looking at all of them every second would cost what history costs.
const JUST_STOPPED_SECONDS = 600;
/** Endpoints stopped in the last $1 seconds, and with $2 those whose lanes count something. */
const STOPPED = `
  SELECT e.id, CASE WHEN s.deleted_at IS NOT NULL THEN 'subscriber_deleted'
                    WHEN e.deleted_at IS NOT NULL THEN 'endpoint_deleted' ELSE 'endpoint_disabled' END AS reason
    FROM endpoints e JOIN subscribers s ON s.id = e.subscriber_id
   WHERE (e.disabled_at IS NOT NULL OR e.deleted_at IS NOT NULL)
     AND (greatest(e.disabled_at, e.deleted_at) > now() - make_interval(secs => $1)
          OR ($2 AND EXISTS (SELECT 1 FROM lanes l WHERE l.endpoint_id = e.id AND l.queued + l.held + l.waiting > 0)))`;

/** What keeps lanes and tickets true when something died at the wrong moment. Bounded batches; other workers are skipped. */
export const lanesRepository = {
  /** Open lanes that hold deliveries though less than half of their window is queued, from one endpoint on. */
  async findStalled(database: Database, after: string | null, max: number): Promise<string[]> {
    const rows = await database.query<{ endpoint_id: string }>(
      `SELECT endpoint_id FROM lanes
        WHERE held > 0 AND paused_at IS NULL AND circuit = 'closed' AND queued * 2 < window_size
          AND ($1::uuid IS NULL OR endpoint_id > $1) ORDER BY endpoint_id LIMIT $2`,
      [after, max],
    );
    return rows.map((row) => row.endpoint_id);
  },

  /** Lanes whose counts differ from the table right now; each is looked at again under its lock. */
  async findInexact(database: Database, max: number): Promise<string[]> {
    const rows = await database.query<{ endpoint_id: string }>(
      `WITH counted AS (
         SELECT endpoint_id, count(*) FILTER (WHERE place = 'queued') AS queued, count(*) FILTER (WHERE place = 'held') AS held,
                count(*) FILTER (WHERE place = 'waiting') AS waiting
           FROM (SELECT endpoint_id, place FROM deliveries WHERE status = 'pending' AND ordering_key IS NULL UNION ALL
                 SELECT endpoint_id, place FROM deliveries WHERE status = 'pending' AND ordering_key IS NOT NULL) d GROUP BY endpoint_id)
       SELECT l.endpoint_id FROM lanes l LEFT JOIN counted c USING (endpoint_id)
        WHERE l.queued <> coalesce(c.queued, 0) OR l.held <> coalesce(c.held, 0) OR l.waiting <> coalesce(c.waiting, 0)
        ORDER BY 1 LIMIT $1`,
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
         SELECT count(*) FILTER (WHERE place = 'queued')::int AS queued, count(*) FILTER (WHERE place = 'held')::int AS held,
                count(*) FILTER (WHERE place = 'waiting')::int AS waiting
           FROM deliveries WHERE status = 'pending' AND endpoint_id = $1)
       UPDATE lanes l SET queued = c.queued, held = c.held, waiting = c.waiting FROM counted c
        WHERE l.endpoint_id = $1 AND (l.queued <> c.queued OR l.held <> c.held OR l.waiting <> c.waiting) RETURNING 1 AS one`,
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
      `SELECT d.id, d.endpoint_id AS "endpointId", greatest(extract(epoch FROM d.due_at - now()), 0)::float8 AS "inSeconds",
              d.trigger, d.critical
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
    // By itself: asked every second, and what says `deliveries` is planned for every day that there is.
    if (!(await this.anyStopped(tx, allWithBacklog))) return 0;
    const picked = await this.lockStopped(tx, allWithBacklog, max);
    if (picked.length > 0)
      await this.cancel(
        tx,
        picked.map((row) => row.id),
        picked.map((row) => row.reason),
      );
    return picked.length;
  },

  async anyStopped(tx: Tx, allWithBacklog: boolean): Promise<boolean> {
    const rows = await tx.query(`${STOPPED} LIMIT 1`, [JUST_STOPPED_SECONDS, allWithBacklog]);
    return rows.length > 0;
  },

  async lockStopped(tx: Tx, allWithBacklog: boolean, max: number): Promise<{ id: string; reason: string }[]> {
    return tx.query(
      `WITH stopped AS (${STOPPED})
       SELECT p.id, s.reason FROM stopped s CROSS JOIN LATERAL (
         SELECT d.id FROM deliveries d
          WHERE d.endpoint_id = s.id AND d.status = 'pending'
            AND NOT EXISTS (SELECT 1 FROM pgboss.job j WHERE j.name = $4 AND j.id = d.id AND j.state = 'active')
          -- In no order: for that of ids every delivery that the endpoint ever had was walked.
          LIMIT $3 FOR UPDATE OF d SKIP LOCKED) p
        LIMIT $3`,
      [JUST_STOPPED_SECONDS, allWithBacklog, max, DELIVER_QUEUE],
    );
  },

  /**
   * Ends locked deliveries that are pending or block their key, takes back tickets that nobody has claimed, and passes on their turns. A statement
   * of its own after the locks: see RecordRepository.lock.
   */
  async cancel(tx: Tx, ids: string[], reasons: string[]): Promise<void> {
    const freed = await tx.query<LaneFreed>(
      `WITH picked AS (SELECT * FROM unnest($1::uuid[], $2::text[]) AS p (id, reason)),
       before AS (SELECT id, place FROM deliveries WHERE id = ANY($1::uuid[])),
       withdrawn AS (DELETE FROM pgboss.job j WHERE j.name = $3 AND j.id = ANY($1::uuid[]) AND j.state < 'active'),
       ended AS (
         UPDATE deliveries d SET status = 'cancelled', place = NULL, due_at = NULL, due_because = NULL,
                gave_up = NULL,
                cancel_reason = (SELECT reason FROM picked p WHERE p.id = d.id),
                ticket = d.ticket + 1, finished_at = now(), updated_at = now()
          WHERE d.id = ANY($1::uuid[]) RETURNING d.id, d.endpoint_id, d.ordering_key),
       keys AS (
         SELECT k.endpoint_id, k.key FROM ordering_keys k JOIN ended e ON k.endpoint_id = e.endpoint_id AND k.delivery_id = e.id
          ORDER BY 1, 2 FOR UPDATE OF k),
       turned AS (
         UPDATE ordering_keys k SET state = 'ready', delivery_id = NULL, changed_at = now()
           FROM keys WHERE k.endpoint_id = keys.endpoint_id AND k.key = keys.key)
       SELECT e.endpoint_id, count(*) FILTER (WHERE b.place = 'queued')::int AS queued,
              count(*) FILTER (WHERE b.place = 'held')::int AS held,
              count(*) FILTER (WHERE b.place = 'waiting')::int AS waiting
         FROM ended e JOIN before b ON b.id = e.id GROUP BY e.endpoint_id`,
      [ids, reasons, DELIVER_QUEUE],
    );
    // By themselves: what is changed beside a statement's answer is changed last, and lanes come after keys.
    await tx.query(
      `WITH locked AS (
         SELECT l.endpoint_id, f.queued, f.held, f.waiting
           FROM unnest($1::uuid[], $2::int[], $3::int[], $4::int[]) AS f (endpoint_id, queued, held, waiting)
           JOIN lanes l ON l.endpoint_id = f.endpoint_id ORDER BY l.endpoint_id FOR UPDATE OF l)
       UPDATE lanes l SET queued = greatest(l.queued - k.queued, 0), held = greatest(l.held - k.held, 0),
              waiting = greatest(l.waiting - k.waiting, 0)
         FROM locked k WHERE l.endpoint_id = k.endpoint_id`,
      [
        freed.map((lane) => lane.endpoint_id),
        freed.map((lane) => lane.queued),
        freed.map((lane) => lane.held),
        freed.map((lane) => lane.waiting),
      ],
    );
  },

  /** Lanes with a circuit that lets nothing through while retries of theirs may come due. */
  async findShut(database: Database, max: number): Promise<string[]> {
    const rows = await database.query<{ endpoint_id: string }>(
      `SELECT endpoint_id FROM lanes WHERE circuit <> 'closed' AND waiting > 0 ORDER BY random() LIMIT $1`,
      [max],
    );
    return rows.map((row) => row.endpoint_id);
  },

  /** Locks retries of these endpoints that are due, the longest due first; not those that somebody has locked, nor a probe. */
  async lockDueRetries(tx: Tx, endpointIds: string[], max: number): Promise<string[]> {
    const rows = await tx.prepared<{ id: string }>(
      'lanes_lock_due_retries',
      `SELECT p.id FROM unnest($1::uuid[]) AS e (id) JOIN lanes l ON l.endpoint_id = e.id
         CROSS JOIN (VALUES (true), (false)) AS c (critical) CROSS JOIN LATERAL (
         SELECT d.id FROM deliveries d
          WHERE d.endpoint_id = e.id AND d.status = 'pending' AND (d.ordering_key IS NULL) AND d.set_aside = 'waiting' AND d.place = 'waiting'
            AND d.critical = c.critical AND d.set_aside_at <= now() AND d.id IS DISTINCT FROM l.probe_id
          ORDER BY d.set_aside_at LIMIT $2 FOR UPDATE OF d SKIP LOCKED) p LIMIT $2`,
      [endpointIds, max],
    );
    return rows.map((row) => row.id).sort();
  },

  /** Holds these locked retries, whose tickets the caller has withdrawn. */
  async holdRetries(tx: Tx, ids: string[]): Promise<void> {
    await tx.query(
      `WITH moved AS (
         UPDATE deliveries SET place = 'held', ticket = ticket + 1, updated_at = now()
          WHERE id = ANY($1::uuid[]) RETURNING endpoint_id),
       locked AS (
         SELECT l.endpoint_id, m.n FROM lanes l
           JOIN (SELECT endpoint_id, count(*)::int AS n FROM moved GROUP BY endpoint_id) m ON m.endpoint_id = l.endpoint_id
          ORDER BY l.endpoint_id FOR UPDATE OF l)
       UPDATE lanes l SET held = l.held + k.n, waiting = greatest(l.waiting - k.n, 0) FROM locked k WHERE l.endpoint_id = k.endpoint_id`,
      [ids],
    );
  },

  /**
   * Held deliveries that are older than their policy allows: of each lane among those that have waited longest, in and out
   * of order. Nothing is sent, so no order is broken.
   */
  async findExpired(database: Database, defaultAgeMaxSeconds: number, maxEach: number): Promise<string[]> {
    const rows = await database.query<{ id: string }>(
      `SELECT p.id FROM lanes l JOIN endpoints e ON e.id = l.endpoint_id
         CROSS JOIN (VALUES (true, true), (true, false), (false, true), (false, false)) AS c (unordered, critical) CROSS JOIN LATERAL (
         SELECT d.id, d.run_at, d.event_type FROM deliveries d
          WHERE d.endpoint_id = l.endpoint_id AND d.status = 'pending' AND (d.ordering_key IS NULL) = c.unordered AND d.set_aside = 'held'
            AND d.place = 'held' AND d.critical = c.critical ORDER BY d.set_aside_at, d.id LIMIT $2) p
         LEFT JOIN event_types t ON t.name = p.event_type
        WHERE l.held > 0 AND p.run_at < now() - make_interval(secs => coalesce((e.retry_policy ->> 'ageMaxSeconds')::float8,
                (t.retry_policy ->> 'ageMaxSeconds')::float8, $1)) LIMIT 1000`,
      [defaultAgeMaxSeconds, maxEach],
    );
    return rows.map((row) => row.id);
  },

  /** Ends these locked held deliveries as too old. Answers them, with whether their endpoint wants failures told. */
  async expire(tx: Tx, ids: string[]): Promise<ExpiredDelivery[]> {
    return tx.query<ExpiredDelivery>(
      `WITH ended AS (
         UPDATE deliveries SET status = 'failed', place = NULL, due_at = NULL, due_because = NULL, failure = 'expired', gave_up = 'too_old',
                ticket = ticket + 1, finished_at = now(), updated_at = now()
          WHERE id = ANY($1::uuid[]) RETURNING id, subscriber_id, endpoint_id, event_type),
       locked AS (
         SELECT l.endpoint_id, m.n FROM lanes l
           JOIN (SELECT endpoint_id, count(*)::int AS n FROM ended GROUP BY endpoint_id) m ON m.endpoint_id = l.endpoint_id
          ORDER BY l.endpoint_id FOR UPDATE OF l),
       counted AS (
         UPDATE lanes l SET held = greatest(l.held - k.n, 0) FROM locked k WHERE l.endpoint_id = k.endpoint_id)
       SELECT e.id, e.subscriber_id AS "subscriberId", e.endpoint_id AS "endpointId", e.event_type AS "eventType",
              p.on_failure_endpoint_id IS NOT NULL AS "tellsFailures"
         FROM ended e JOIN endpoints p ON p.id = e.endpoint_id`,
      [ids],
    );
  },

  /**
   * What is pending of everybody, by place; nothing pending has none. All lanes are walked, because an index on a count would be
   * written with every delivery. (Measured: 40 ms with 200,000 of them.)
   */
  async pending(on: Pick<Tx, 'query'>): Promise<PendingSums> {
    const [sums] = await on.query<PendingSums>(
      `SELECT coalesce(sum(queued), 0)::float8 AS queued, coalesce(sum(held), 0)::float8 AS held,
              coalesce(sum(waiting), 0)::float8 AS waiting FROM lanes`,
    );
    return sums;
  },

  /** Figures for the gauges. */
  async figures(
    database: Database,
  ): Promise<PendingSums & { open: number; oldestDueSeconds: number; strays: number }> {
    const pending = await this.pending(database);
    const [row] = await database.query<{
      open: number;
      oldest: number | null;
      strays: number;
    }>(
      `SELECT (SELECT count(*) FROM lanes WHERE circuit <> 'closed')::float8 AS open,
              (SELECT extract(epoch FROM now() - min(start_after))::float8 FROM (
                 SELECT start_after FROM pgboss.job WHERE name = $1 AND state < 'active' AND NOT blocked
                  ORDER BY priority DESC, created_on LIMIT 100) head WHERE start_after <= now()) AS oldest,
              ((SELECT count(*) FROM events_default) + (SELECT count(*) FROM deliveries_default)
                + (SELECT count(*) FROM attempts_default))::float8 AS strays`,
      [DELIVER_QUEUE],
    );
    return { ...pending, open: row.open, oldestDueSeconds: row.oldest ?? 0, strays: row.strays };
  },
};
