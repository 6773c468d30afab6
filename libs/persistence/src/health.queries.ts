import type { RateState } from '@app/domain';
import type { Reader } from './status.queries.js';

/** What the lane of an endpoint says now, by the database's clock. */
export interface LaneHealthRow {
  now: Date;
  circuit: 'closed' | 'open' | 'half_open' | 'unverified';
  openedAt: Date | null;
  openUntil: Date | null;
  closedAt: Date | null;
  trips: number;
  window: number;
  windowMax: number;
  queued: number;
  held: number;
  waiting: number;
  rateFactor: number;
  rateReducedAt: Date | null;
  failingSince: Date | null;
  failingAttempts: number;
  warnedPercent: number;
  /** Of what is pending (of what was promoted: since when it was held); of ordering keys the first of each of the hundred that have waited longest. */
  oldestDueAt: Date | null;
  rateState: RateState | Record<string, never> | null;
}

export interface LaneTransitionRow {
  at: Date;
  kind: string;
  detail: Record<string, unknown>;
}

export interface BlockedKeyRow {
  key: string;
  deliveryId: string;
}

const KEYS_LOOKED_AT = 100;

/** The endpoint was found within a scope; its subscriber is named all the same. */
export async function laneHealth(
  reader: Reader,
  subscriberId: string,
  endpointId: string,
): Promise<LaneHealthRow> {
  const [row] = await reader.query<LaneHealthRow>(
    `SELECT now() AS now, l.circuit, l.opened_at AS "openedAt", l.open_until AS "openUntil", l.closed_at AS "closedAt", l.trips,
            l.window_size AS window, l.window_max AS "windowMax", l.queued, l.held, l.waiting, l.rate_factor AS "rateFactor",
            l.rate_reduced_at AS "rateReducedAt", l.failing_since AS "failingSince", l.failing_attempts AS "failingAttempts",
            l.warned_percent AS "warnedPercent", r.state AS "rateState",
            least(
              (SELECT min(d.due_at) FROM deliveries d
                WHERE d.endpoint_id = l.endpoint_id AND d.set_aside IS NULL AND d.status = 'pending' AND d.ordering_key IS NULL),
              (SELECT min(o.set_aside_at) FROM (VALUES ('held', true), ('held', false), ('waiting', true), ('waiting', false)) AS p (place, critical)
                CROSS JOIN LATERAL (
                 SELECT d.set_aside_at FROM deliveries d
                  WHERE d.endpoint_id = l.endpoint_id AND d.set_aside = p.place AND d.critical = p.critical AND d.status = 'pending'
                    AND d.ordering_key IS NULL
                  ORDER BY d.set_aside_at LIMIT 1) o),
              (SELECT min(o.due_at) FROM (
                 SELECT k.key FROM ordering_keys k WHERE k.endpoint_id = l.endpoint_id ORDER BY k.changed_at LIMIT $3) k
               CROSS JOIN LATERAL (
                 SELECT d.due_at FROM deliveries d
                  WHERE d.endpoint_id = l.endpoint_id AND d.ordering_key = k.key AND d.status = 'pending'
                  ORDER BY d.seq LIMIT 1) o)) AS "oldestDueAt"
       FROM lanes l LEFT JOIN rate_slots r ON r.endpoint_id = l.endpoint_id
      WHERE l.endpoint_id = $1 AND l.subscriber_id = $2`,
    [endpointId, subscriberId, KEYS_LOOKED_AT],
  );
  return row;
}

/** What happened to a lane, the newest first. `within` bounds it to a span, both ends included. */
export function laneTransitions(
  reader: Reader,
  subscriberId: string,
  endpointId: string,
  max: number,
  within: { since: Date | null; until: Date | null } = { since: null, until: null },
): Promise<LaneTransitionRow[]> {
  return reader.query(
    `SELECT at, kind, detail FROM lane_transitions
      WHERE endpoint_id = $1 AND subscriber_id = $2 AND ($4::timestamptz IS NULL OR at >= $4) AND ($5::timestamptz IS NULL OR at <= $5)
      ORDER BY at DESC, id DESC LIMIT $3`,
    [endpointId, subscriberId, max, within.since, within.until],
  );
}

/** Ordering keys that a failed delivery blocks, the longest blocked first. */
export async function blockedKeys(
  reader: Reader,
  subscriberId: string,
  endpointId: string,
  max: number,
): Promise<BlockedKeyRow[]> {
  return reader.query(
    `SELECT key, delivery_id AS "deliveryId" FROM ordering_keys
      WHERE endpoint_id = $1 AND subscriber_id = $2 AND state = 'blocked' ORDER BY changed_at, key LIMIT $3`,
    [endpointId, subscriberId, max],
  );
}
