import { AHEAD_COUNTED_MAX, DELIVER_QUEUE, type Scope } from '@app/contracts';
import type { DeliveryPlace, DeliveryStatus, RateLimit, Trigger } from '@app/domain';
import { Predicates } from './predicates.js';
import type { DeliveryStatusRow, Reader } from './status.queries.js';

/** Everything that decides when a delivery is sent, read at one moment. Instants are the database's. */
export interface ExplainRow {
  now: Date;
  id: string;
  subscriberId: string;
  endpointId: string;
  status: DeliveryStatus;
  place: DeliveryPlace | null;
  trigger: Trigger;
  attempts: number;
  dueAt: Date | null;
  dueBecause: DeliveryStatusRow['dueBecause'];
  gaveUp: string | null;
  cancelReason: string | null;
  critical: boolean;
  orderingKey: string | null;
  finishedAt: Date | null;
  /** Its event is still stored. */
  stored: boolean;
  /** `claimed`: a worker has it in hand. */
  ticket: 'claimed' | 'unclaimed' | 'none';
  stopped: 'endpoint_disabled' | 'endpoint_deleted' | 'subscriber_deleted' | null;
  disabledReason: string | null;
  rateLimit: RateLimit | null;
  retryBudgetPercent: number;
  pausedAt: Date | null;
  circuit: 'closed' | 'open' | 'half_open' | 'unverified';
  openUntil: Date | null;
  probeId: string | null;
  trips: number;
  /** Of the last `circuit_opened`. */
  circuitReason: string | null;
  window: number;
  queued: number;
  /** Whose turn it is in its ordering key; null: nobody's, or it has no key. */
  turnId: string | null;
  /** The delivery whose turn it is has failed, and blocks the others. */
  blocked: boolean;
  /** Pending deliveries of its ordering key, or else of its lane, that come before it; AHEAD_COUNTED_MAX + 1 for more. */
  ahead: number;
  /** Others of its lane that are queued or due again, before it or after it: at least so many were not found within what is looked at. */
  unseen: number;
  /** When a worker, any, last looked for claims that were lost, which each tries every four seconds. Null: none ever did. */
  workersSeenAt: Date | null;
  lastFailure: { class: string; statusCode: number | null; detail: string | null; atMs: number } | null;
}

/** One statement of look-ups by key and bounded counts. `attemptsSince` keeps older partitions out. */
export async function factsOfDelivery(
  reader: Reader,
  scope: Scope,
  id: string,
  attemptsSince: string,
): Promise<ExplainRow | undefined> {
  const predicates = new Predicates(scope, 'd.subscriber_id').add('d.id', '=', id);
  const queue = predicates.parameter(DELIVER_QUEUE);
  const counted = predicates.parameter(AHEAD_COUNTED_MAX + 1);
  const since = predicates.parameter(attemptsSince);
  const ofLane = `a.endpoint_id = d.endpoint_id AND a.status = 'pending' AND a.ordering_key IS NULL`;
  // Critical ones are promoted first, however new.
  const heldBefore = `(SELECT count(*)::int FROM (
      SELECT 1 FROM (VALUES (true), (false)) AS c (critical) CROSS JOIN LATERAL (
        SELECT 1 FROM deliveries a
         WHERE ${ofLane} AND a.set_aside = 'held' AND a.place = 'held' AND a.critical = c.critical
           AND (a.set_aside_at, a.id) < (CASE WHEN c.critical = d.critical THEN d.due_at WHEN c.critical THEN 'infinity' ELSE '-infinity' END, d.id)
         LIMIT ${counted}) p LIMIT ${counted}) counted)`;
  const ofQueue = 'a.id, a.place, a.due_at, a.trigger, a.critical';
  const aside = (place: string, order: string, more: string, max: string) => `(
      SELECT ${ofQueue} FROM deliveries a
       WHERE ${ofLane} AND a.set_aside = '${place}' AND a.critical = c.critical ${more}
       ORDER BY a.set_aside_at ${order}, a.id ${order} LIMIT ${max})`;
  // Those that were promoted, no more than are queued, stand mostly at both ends of what was held. What was held after the newest were
  // promoted stands before those: how many were not seen is told, because looking for them would read all that is held. The
  // delivery itself may stand there, too, and is none of the others. The retries that have been due for longest need not have the oldest tickets.
  const inQueue = `(
      SELECT least(count(*) FILTER (WHERE (${priority('a')}, ${ticketMade('d', queue)}, d.id)
                                        > (${priority('d')}, ${ticketMade('a', queue)}, a.id)), ${counted}) AS before,
             count(*) FILTER (WHERE a.place = 'queued') AS seen,
             ${priority('d')} = 0 AND ${counted} <= greatest(count(*) FILTER (WHERE a.place = 'waiting' AND a.critical),
                                             count(*) FILTER (WHERE a.place = 'waiting' AND NOT a.critical)) AS cut
        FROM (SELECT d.id, d.place, d.due_at, d.trigger, d.critical
              UNION
              SELECT ${ofQueue} FROM deliveries a WHERE ${ofLane} AND a.set_aside IS NULL
              UNION
              SELECT p.* FROM (VALUES (true), (false)) AS c (critical) CROSS JOIN LATERAL (
                ${aside('held', 'ASC', '', 'coalesce(l.queued, 0)')} UNION ALL ${aside('held', 'DESC', '', 'coalesce(l.queued, 0)')}
                UNION ALL ${aside('waiting', 'ASC', 'AND a.set_aside_at <= now()', counted)}) p) a
       WHERE a.place <> 'held' AND d.status = 'pending' AND d.ordering_key IS NULL AND d.place <> 'held')`;
  const [row] = await reader.query<ExplainRow>(
    `SELECT now() AS now, d.id, d.subscriber_id AS "subscriberId", d.endpoint_id AS "endpointId", d.status, d.place, d.trigger,
            d.attempts, d.due_at AS "dueAt", d.due_because AS "dueBecause", d.gave_up AS "gaveUp",
            d.cancel_reason AS "cancelReason", d.critical, d.ordering_key AS "orderingKey", d.finished_at AS "finishedAt",
            EXISTS (SELECT 1 FROM events v WHERE v.id = d.event_id AND v.subscriber_id = d.subscriber_id) AS stored,
            coalesce((SELECT CASE WHEN j.state = 'active' THEN 'claimed' ELSE 'unclaimed' END FROM pgboss.job j
                       WHERE j.name = ${queue} AND j.id = d.id AND j.state < 'completed'), 'none') AS ticket,
            CASE WHEN s.deleted_at IS NOT NULL THEN 'subscriber_deleted'
                 WHEN e.id IS NULL OR e.deleted_at IS NOT NULL THEN 'endpoint_deleted'
                 WHEN e.disabled_at IS NOT NULL THEN 'endpoint_disabled' END AS stopped,
            e.disabled_reason AS "disabledReason", e.rate_limit AS "rateLimit",
            coalesce(e.retry_budget_percent, 100) AS "retryBudgetPercent", l.paused_at AS "pausedAt",
            coalesce(l.circuit, 'closed') AS circuit, l.open_until AS "openUntil", l.probe_id AS "probeId",
            coalesce(l.trips, 0) AS trips, coalesce(l.window_size, 0) AS window, coalesce(l.queued, 0) AS queued,
            CASE WHEN l.circuit <> 'closed' THEN (
              SELECT t.detail ->> 'reason' FROM lane_transitions t
               WHERE t.endpoint_id = d.endpoint_id AND t.subscriber_id = d.subscriber_id AND t.kind = 'circuit_opened'
               ORDER BY t.at DESC LIMIT 1) END AS "circuitReason",
            k.delivery_id AS "turnId", coalesce(k.state = 'blocked', false) AS blocked,
            (CASE WHEN d.status <> 'pending' THEN 0
                 WHEN d.ordering_key IS NOT NULL THEN (SELECT count(*)::int FROM (
                   SELECT 1 FROM deliveries a
                    WHERE a.endpoint_id = d.endpoint_id AND a.ordering_key = d.ordering_key AND a.status = 'pending'
                      AND a.seq < d.seq LIMIT ${counted}) counted)
                 WHEN d.place = 'held' THEN least(coalesce(l.queued, 0) + ${heldBefore}, ${counted})
                 ELSE q.before
            END)::int AS ahead,
            CASE WHEN d.place = 'held' OR d.ordering_key IS NOT NULL THEN 0 ELSE greatest(l.queued - q.seen, 0) + q.cut::int END::int AS unseen,
            (SELECT coalesce(w.monitor_claim_on, w.monitor_on) FROM pgboss.queue w WHERE w.name = ${queue}) AS "workersSeenAt",
            (SELECT json_build_object('class', a.failure, 'statusCode', a.status_code, 'detail', a.failure_detail,
                                      'atMs', floor(extract(epoch FROM a.finished_at) * 1000))
               FROM attempts a
              WHERE a.delivery_id = d.id AND a.subscriber_id = d.subscriber_id AND a.id >= ${since}::uuid AND a.status = 'failed'
              ORDER BY a.n DESC LIMIT 1) AS "lastFailure"
       FROM deliveries d
       LEFT JOIN subscribers s ON s.id = d.subscriber_id
       LEFT JOIN endpoints e ON e.id = d.endpoint_id AND e.subscriber_id = d.subscriber_id
       LEFT JOIN lanes l ON l.endpoint_id = d.endpoint_id AND l.subscriber_id = d.subscriber_id
       LEFT JOIN LATERAL ${inQueue} q ON true
       LEFT JOIN ordering_keys k ON k.endpoint_id = d.endpoint_id AND k.key = d.ordering_key AND k.subscriber_id = d.subscriber_id
      ${predicates.where}`,
    predicates.values,
  );
  return row;
}

/** The queue's order, as `ticketPriority` (domain) has it: the highest first, and of those the one whose ticket is the oldest. */
function priority(table: 'a' | 'd'): string {
  return `CASE WHEN ${table}.trigger IN ('retry', 'replay') THEN 0 WHEN ${table}.critical THEN 2 ELSE 1 END`;
}

/** A retry's ticket is made when it failed, long before it is due. One that has none is ordered by when it was due: it gets one in a moment. */
function ticketMade(table: 'a' | 'd', queue: string): string {
  return `coalesce((SELECT j.created_on FROM pgboss.job j WHERE j.name = ${queue} AND j.id = ${table}.id AND j.state < 'completed'), ${table}.due_at)`;
}
