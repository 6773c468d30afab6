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
  const heldBefore = `(SELECT count(*)::int FROM (
      SELECT 1 FROM deliveries a
       WHERE ${ofLane} AND a.set_aside = 'held' AND a.place = 'held' AND (a.set_aside_at, a.id) < (d.due_at, d.id) LIMIT ${counted}) counted)`;
  // Those that were promoted stand at both ends of what was held, and are no more than are queued.
  const promoted = (order: string) => `(
      SELECT a.id, a.place, a.due_at FROM deliveries a WHERE ${ofLane} AND a.set_aside = 'held' AND a.critical = c.critical
       ORDER BY a.set_aside_at ${order}, a.id ${order} LIMIT coalesce(l.queued, 0))`;
  const queuedBefore = `(SELECT count(*)::int FROM (
      SELECT 1 FROM (
        SELECT a.id, a.place, a.due_at FROM deliveries a WHERE ${ofLane} AND a.set_aside IS NULL
        UNION SELECT p.* FROM (VALUES (true), (false)) AS c (critical)
                CROSS JOIN LATERAL (${promoted('ASC')} UNION ALL ${promoted('DESC')}) p) a
       WHERE a.place = 'queued' AND (a.due_at, a.id) < (d.due_at, d.id) LIMIT ${counted}) counted)`;
  const [row] = await reader.query<ExplainRow>(
    `SELECT now() AS now, d.id, d.subscriber_id AS "subscriberId", d.endpoint_id AS "endpointId", d.status, d.place, d.trigger,
            d.attempts, d.due_at AS "dueAt", d.due_because AS "dueBecause", d.gave_up AS "gaveUp",
            d.cancel_reason AS "cancelReason", d.ordering_key AS "orderingKey", d.finished_at AS "finishedAt",
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
                 ELSE ${queuedBefore}
            END)::int AS ahead,
            (SELECT json_build_object('class', a.failure, 'statusCode', a.status_code, 'detail', a.failure_detail,
                                      'atMs', floor(extract(epoch FROM a.finished_at) * 1000))
               FROM attempts a
              WHERE a.delivery_id = d.id AND a.subscriber_id = d.subscriber_id AND a.id >= ${since}::uuid AND a.status = 'failed'
              ORDER BY a.n DESC LIMIT 1) AS "lastFailure"
       FROM deliveries d
       LEFT JOIN subscribers s ON s.id = d.subscriber_id
       LEFT JOIN endpoints e ON e.id = d.endpoint_id AND e.subscriber_id = d.subscriber_id
       LEFT JOIN lanes l ON l.endpoint_id = d.endpoint_id AND l.subscriber_id = d.subscriber_id
       LEFT JOIN ordering_keys k ON k.endpoint_id = d.endpoint_id AND k.key = d.ordering_key AND k.subscriber_id = d.subscriber_id
      ${predicates.where}`,
    predicates.values,
  );
  return row;
}
