import { DELIVER_QUEUE } from '@app/contracts';
import type { Database, Tx } from './database.js';

/** How many rows break a promise, and a few of them. */
export interface Finding {
  name: string;
  found: number;
  /** Ids (or names) of some that were found. */
  sample: string[];
}

/** A statement that answers one row per promise; a promise without a row is kept. */
export interface DoctorStatement {
  names: readonly string[];
  sql: string;
}

/** A piece of the large tables, as bounds of ids: from `low` to below `high`. */
export interface HistorySpan {
  low: string;
  high: string;
  /** The oldest id whose neighbours of the day before are all still stored. */
  complete: string;
  /** Where the deliveries of the span's events are. */
  deliveriesLow: string;
  deliveriesHigh: string;
  /** Where the events of the span's deliveries are. */
  eventsLow: string;
  eventsHigh: string;
}

export interface HistoryStatement extends DoctorStatement {
  parameters: readonly (keyof HistorySpan)[];
}

// A fault that hits everything must not become an answer of a million rows.
const ODD_MAX = 10_000;

const summary = (name: string, from: string): string =>
  `SELECT '${name}' AS name, count(*)::int AS found, coalesce((array_agg(id::text ORDER BY id))[1:5], '{}') AS sample FROM (${from}) f`;

/** Promises about what is pending now: the work in hand, whatever the tables' age. */
export const CURRENT_STATEMENTS: DoctorStatement[] = [
  {
    names: ['pending_has_ticket', 'held_without_ticket', 'ticket_has_delivery', 'finished_without_ticket'],
    // A delivery cancelled while claimed keeps its ticket until the worker has finished with it.
    sql: `WITH odd AS MATERIALIZED (
            SELECT coalesce(p.id, t.id) AS id, p.place, t.state
              FROM (SELECT id, place FROM deliveries WHERE status = 'pending') p
              FULL JOIN (SELECT id, state FROM pgboss.job WHERE name = '${DELIVER_QUEUE}' AND state < 'completed') t USING (id)
             WHERE p.place IS NULL OR (p.place = 'held') = (t.state IS NOT NULL) LIMIT ${ODD_MAX}),
          named AS (
            SELECT o.id, CASE WHEN o.place = 'held' THEN 'held_without_ticket' WHEN o.place IS NOT NULL THEN 'pending_has_ticket'
                              WHEN d.id IS NULL THEN 'ticket_has_delivery' ELSE 'finished_without_ticket' END AS name
              FROM odd o LEFT JOIN deliveries d ON d.id = o.id
             WHERE o.place IS NOT NULL OR o.state <> 'active' OR d.id IS NULL OR d.finished_at < now() - interval '1 minute')
          SELECT name, count(*)::int AS found, (array_agg(id::text ORDER BY id))[1:5] AS sample FROM named GROUP BY name`,
  },
  {
    names: ['lanes_exact'],
    sql: summary(
      'lanes_exact',
      `SELECT coalesce(l.endpoint_id, c.endpoint_id) AS id FROM lanes l
         FULL JOIN (SELECT endpoint_id, count(*) FILTER (WHERE place = 'queued') AS queued,
                           count(*) FILTER (WHERE place = 'held') AS held,
                           count(*) FILTER (WHERE place = 'waiting') AS waiting
                      FROM deliveries WHERE status = 'pending' GROUP BY endpoint_id) c ON c.endpoint_id = l.endpoint_id
        WHERE l.endpoint_id IS NULL OR l.queued <> coalesce(c.queued, 0) OR l.held <> coalesce(c.held, 0)
           OR l.waiting <> coalesce(c.waiting, 0)`,
    ),
  },
  {
    // A key without its row would let nobody through; a row whose delivery has ended is freed within two minutes.
    names: ['ordered_have_turns'],
    sql: summary(
      'ordered_have_turns',
      `SELECT d.id FROM deliveries d WHERE d.status = 'pending' AND d.ordering_key IS NOT NULL AND NOT EXISTS (
         SELECT 1 FROM ordering_keys k WHERE k.endpoint_id = d.endpoint_id AND k.key = d.ordering_key)
       UNION ALL
       SELECT k.delivery_id FROM ordering_keys k JOIN deliveries d ON d.id = k.delivery_id
        WHERE k.state = 'busy' AND k.changed_at < now() - interval '3 minutes' AND d.status <> 'pending'`,
    ),
  },
  {
    names: ['one_turn_each'],
    sql: summary(
      'one_turn_each',
      `SELECT d.endpoint_id AS id FROM deliveries d WHERE d.status = 'pending' AND d.ordering_key IS NOT NULL AND d.place <> 'held'
        GROUP BY d.endpoint_id, d.ordering_key HAVING count(*) > 1`,
    ),
  },
  {
    names: ['secrets_sealed'],
    sql: summary(
      'secrets_sealed',
      `SELECT endpoint_id AS id FROM endpoint_secrets WHERE secret IS NOT NULL
       UNION SELECT id FROM endpoints WHERE headers_sealed IS NULL AND headers <> '{}'`,
    ),
  },
  {
    names: ['sealed_have_keys'],
    sql: summary(
      'sealed_have_keys',
      `SELECT s.id FROM subscribers s WHERE s.deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM data_keys y WHERE y.subscriber_id = s.id)
          AND (s.encrypt_payloads OR EXISTS (SELECT 1 FROM endpoints e WHERE e.subscriber_id = s.id AND (e.headers_sealed IS NOT NULL
             OR EXISTS (SELECT 1 FROM endpoint_secrets k WHERE k.endpoint_id = e.id AND k.secret_sealed IS NOT NULL))))`,
    ),
  },
  {
    // Others of a half-open lane are held; their tickets leave the queue within seconds.
    names: ['circuits_have_probes'],
    sql: summary(
      'circuits_have_probes',
      `SELECT l.endpoint_id AS id FROM lanes l WHERE l.circuit = 'half_open' AND NOT EXISTS (
         SELECT 1 FROM deliveries d WHERE d.id = l.probe_id AND (d.status = 'pending' OR d.finished_at > now() - interval '1 minute'))`,
    ),
  },
  {
    names: ['endpoints_have_lanes'],
    sql: summary(
      'endpoints_have_lanes',
      `SELECT e.id FROM endpoints e WHERE NOT EXISTS (
         SELECT 1 FROM lanes l WHERE l.endpoint_id = e.id AND l.subscriber_id = e.subscriber_id)`,
    ),
  },
  {
    names: ['stopped_endpoints_quiet'],
    sql: summary(
      'stopped_endpoints_quiet',
      `SELECT d.id FROM endpoints e JOIN subscribers s ON s.id = e.subscriber_id
         JOIN deliveries d ON d.endpoint_id = e.id AND d.status = 'pending'
        WHERE least(e.disabled_at, e.deleted_at, s.deleted_at) < now() - interval '1 minute'
          AND d.updated_at < now() - interval '1 minute'`,
    ),
  },
  {
    names: ['partitions_ahead'],
    sql: summary(
      'partitions_ahead',
      `SELECT parent || '_' || to_char(day, 'YYYYMMDD') AS id
         FROM unnest(ARRAY['events', 'deliveries', 'attempts']) AS parent,
              generate_series((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + 2, interval '1 day') AS day
        WHERE NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhparent = to_regclass(parent)
                             AND i.inhrelid = to_regclass(parent || '_' || to_char(day, 'YYYYMMDD')))`,
    ),
  },
  {
    names: ['default_partitions_empty'],
    sql: summary(
      'default_partitions_empty',
      ['events', 'deliveries', 'attempts']
        .map((table) => `(SELECT id FROM ${table}_default LIMIT ${ODD_MAX})`)
        .join(' UNION ALL '),
    ),
  },
  {
    names: ['indexes_valid'],
    sql: summary(
      'indexes_valid',
      `SELECT c.relname AS id FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT (x.indisvalid AND x.indisready) AND n.nspname IN (current_schema(), 'pgboss')`,
    ),
  },
];

/**
 * Promises about history, a span at a time. An event's deliveries have ids from minutes before to a day after its own:
 * a suspicion within those bounds is looked at again without them, so a wrong clock makes no false find.
 */
export const HISTORY_STATEMENTS: HistoryStatement[] = [
  {
    names: ['events_have_deliveries'],
    parameters: ['low', 'high', 'complete', 'deliveriesLow', 'deliveriesHigh'],
    sql: `WITH suspects AS MATERIALIZED (
            SELECT e.id, e.matched FROM events e
              LEFT JOIN (SELECT event_id, count(*) AS n FROM deliveries WHERE event_id >= $1 AND event_id < $2
                            AND id >= $4::uuid AND id < $5::uuid GROUP BY event_id) d ON d.event_id = e.id
             WHERE e.id >= $1::uuid AND e.id < $2::uuid AND e.id >= $3::uuid AND e.matched <> coalesce(d.n, 0) LIMIT ${ODD_MAX})
          ${summary('events_have_deliveries', `SELECT s.id FROM suspects s WHERE s.matched <> (SELECT count(*) FROM deliveries d WHERE d.event_id = s.id)`)}`,
  },
  {
    names: ['deliveries_have_events'],
    parameters: ['low', 'high', 'complete', 'eventsLow', 'eventsHigh'],
    sql: `WITH suspects AS MATERIALIZED (
            SELECT d.id, d.event_id, d.subscriber_id FROM deliveries d
             WHERE d.id >= $1::uuid AND d.id < $2::uuid AND d.event_id >= $3::uuid AND NOT EXISTS (
               SELECT 1 FROM events e WHERE e.id = d.event_id AND e.subscriber_id = d.subscriber_id
                  AND e.id >= $4::uuid AND e.id < $5::uuid) LIMIT ${ODD_MAX})
          ${summary('deliveries_have_events', `SELECT s.id FROM suspects s WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.id = s.event_id AND e.subscriber_id = s.subscriber_id)`)}`,
  },
  {
    names: ['attempts_dense', 'delivered_has_attempt'],
    parameters: ['low', 'high', 'complete'],
    sql: `WITH odd AS MATERIALIZED (
            SELECT d.id, d.attempts <> coalesce(a.made, 0) OR d.attempts <> coalesce(a.last, 0) OR a.doubled AS gaps,
                   d.status = 'delivered' AND a.delivered IS NOT TRUE AS undelivered
              FROM deliveries d
              LEFT JOIN (SELECT delivery_id, count(*) AS made, max(n) AS last, count(DISTINCT n) < count(*) AS doubled,
                                bool_or(status = 'delivered') AS delivered
                           FROM attempts WHERE delivery_id >= $1 AND delivery_id < $2 GROUP BY delivery_id) a ON a.delivery_id = d.id
             WHERE d.id >= $1::uuid AND d.id < $2::uuid AND d.id >= $3::uuid
               AND (d.attempts <> coalesce(a.made, 0) OR d.attempts <> coalesce(a.last, 0) OR a.doubled
                    OR d.status = 'delivered' AND a.delivered IS NOT TRUE) LIMIT ${ODD_MAX})
          ${summary('attempts_dense', 'SELECT id FROM odd WHERE gaps')}
          UNION ALL ${summary('delivered_has_attempt', 'SELECT id FROM odd WHERE undelivered')}`,
  },
];

/** One snapshot of everything, on which nothing can be written. To be called first in its transaction. */
export async function beginSnapshot(tx: Tx, statementMs: number): Promise<void> {
  await tx.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
  await tx.boundStatements(statementMs);
}

/** Runs a statement so that the transaction outlives its failure. */
export async function runGuarded(tx: Tx, sql: string, values: unknown[] = []): Promise<Finding[]> {
  await tx.query('SAVEPOINT doctor');
  try {
    return await tx.query<Finding>(sql, values);
  } finally {
    await tx.query('ROLLBACK TO SAVEPOINT doctor');
  }
}

/** Days (UTC, `YYYYMMDD`) that have a partition of each large table, newest first, with the rows of the largest, roughly. */
export async function storedDays(tx: Tx): Promise<{ day: string; rows: number }[]> {
  return tx.query(
    `SELECT right(c.relname, 8) AS day, max(greatest(c.reltuples, 0))::float8 AS rows
       FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent IN ('events'::regclass, 'deliveries'::regclass, 'attempts'::regclass) AND c.relname ~ '_[0-9]{8}$'
      GROUP BY 1 HAVING count(*) = 3 ORDER BY 1 DESC`,
  );
}

/** The database's clock at this moment, not that of a transaction. */
export async function serverNow(database: Database): Promise<Date> {
  const [row] = await database.query<{ now: Date }>('SELECT clock_timestamp() AS now');
  return row.now;
}
