import { boundTo, DELIVER_QUEUE, type Scope } from '@app/contracts';
import type { DeliveryPlace, DeliveryStatus, Trigger } from '@app/domain';
import type { Database } from './database.js';
import { Predicates } from './predicates.js';

/** What reading needs: the pool or an open transaction. */
export type Reader = Pick<Database, 'query'>;
/** What a list needs: see Database.list. */
export type ListReader = Pick<Database, 'query' | 'list'>;
/** The same for what may be sealed. */
export type OpeningReader = Pick<Database, 'query' | 'vault'>;

/** Every filter of the list of deliveries; what is left out does not narrow. */
export interface DeliveryFilter {
  status?: DeliveryStatus;
  subscriberId?: string;
  endpointId?: string;
  eventType?: string;
  /** Failure class of the latest attempt. */
  failure?: string;
  since?: Date;
  until?: Date;
}

/** A page, newest first: rows below `after`, one more than `limit` so that the caller knows whether there are more. */
export interface PageRequest {
  after?: string;
  limit: number;
}

export interface DeliveryStatusRow {
  id: string;
  subscriberId: string;
  eventId: string;
  endpointId: string;
  eventType: string;
  status: DeliveryStatus;
  /** Null when it is not pending. */
  place: DeliveryPlace | null;
  trigger: Trigger;
  tries: number;
  attempts: number;
  dueAt: Date | null;
  failure: string | null;
  statusCode: number | null;
  cancelReason: string | null;
  replayId: string | null;
  createdAt: Date;
  updatedAt: Date;
  finishedAt: Date | null;
  /** Why there will be no further attempt, of a failed one. */
  gaveUp: string | null;
  critical: boolean;
  /** Among whom it goes in order: '' for all of its endpoint, null when it waits for nobody. */
  orderingKey: string | null;
  /** Why it is due when it is, when that was not simply its turn. */
  dueBecause: 'retry_schedule' | 'retry_after' | 'platform_fault' | 'rate_limit' | 'retry_budget' | null;
  /** Its lane is paused by hand. */
  paused: boolean;
  /** Until when its lane's circuit lets nothing through but, then, one probe; null when it is closed. */
  circuitUntil: Date | null;
  /** Its endpoint has yet to prove that it wants deliveries. */
  unverified: boolean;
  /** Its lane's circuit is open or half open. */
  circuitOpen: boolean;
}

const DELIVERY_COLUMNS = `d.id, d.subscriber_id AS "subscriberId", d.event_id AS "eventId", d.endpoint_id AS "endpointId",
  d.event_type AS "eventType", d.status, d.place, d.trigger, d.tries, d.attempts, d.due_at AS "dueAt", d.failure,
  d.status_code AS "statusCode", d.gave_up AS "gaveUp", d.critical, d.ordering_key AS "orderingKey",
  d.due_because AS "dueBecause", d.cancel_reason AS "cancelReason", d.replay_id AS "replayId",
  d.created_at AS "createdAt", d.updated_at AS "updatedAt", d.finished_at AS "finishedAt"`;

/**
 * A filter as the walk along one index, shared by the list and by replays: a replay moves what the list shows. The index is
 * deliveries_failed_endpoint, _failed, _failed_class or _failed_all for what failed, else deliveries_endpoint, deliveries_subscriber
 * or the key. What it cannot tell is looked at row by row: the rest, of columns named as in DeliveryStatusRow.
 */
export function deliveryWalk(scope: Scope, filter: DeliveryFilter): Predicates {
  const { endpointId, subscriberId, failure, status } = filter;
  // An endpoint's deliveries are one subscriber's: only its own index is to be walked, not both and what they share.
  const owner = endpointId === undefined ? 'd.subscriber_id' : 'coalesce(d.subscriber_id, d.id)';
  const byClass = failure !== undefined && (endpointId ?? subscriberId ?? boundTo(scope)) == null;
  const byFailed = status === 'failed' && !byClass;
  const walk = new Predicates(scope, owner).add(owner, '=', subscriberId);
  // Or an endpoint of somebody else would be walked from end to end, and nothing of it shown.
  if (endpointId !== undefined)
    for (const subscriber of new Set([boundTo(scope), subscriberId]))
      if (subscriber != null) walk.once(ownership(walk.parameter(endpointId), walk.parameter(subscriber)));
  return walk
    .add('d.endpoint_id', '=', endpointId)
    .add('d.status', '=', byFailed ? status : undefined)
    .add('d.failure', '=', byClass ? failure : undefined)
    .within('d.id', filter.since, filter.until)
    .addRest('status', '=', byFailed ? undefined : status)
    .addRest('failure', '=', byClass ? undefined : failure)
    .addRest('"eventType"', '=', filter.eventType);
}

function ownership(endpointId: string, subscriberId: string): string {
  return `EXISTS (SELECT 1 FROM endpoints o WHERE o.id = ${endpointId} AND o.subscriber_id = ${subscriberId})`;
}

/**
 * How many rows one page, and one batch of a replay, looks through: a filter that matches nothing must not read a year of history. Measured on
 * 1.5 million deliveries in 31 days: 250 ms and 43,000 pages of the table without, 10 ms with (docs/adr/0016).
 */
export const LOOKED_AT_MAX = 5000;

/** Rows of a list, one more than asked when there are more; and where the look ended before it had found them all, else null. */
export interface Looked<Row> {
  rows: Row[];
  lookedTo: string | null;
}

/** Newest first: see deliveryWalk. */
export async function listDeliveries(
  reader: ListReader,
  scope: Scope,
  filter: DeliveryFilter,
  page: PageRequest,
): Promise<Looked<DeliveryStatusRow>> {
  const predicates = deliveryWalk(scope, filter).add('d.id', '<', page.after);
  return lookedOf(
    await reader.list<DeliveryStatusRow & LookEnd>(
      `${boundedPage('deliveries d', DELIVERY_COLUMNS, predicates, page.limit + 1)}
       SELECT p.*, ${LANE_COLUMNS}, look."lookedTo" FROM look LEFT JOIN page p ON true ${LANE_JOIN} ORDER BY p.id DESC`,
      predicates.values,
    ),
  );
}

/** Beside each row, and alone when there are none. */
export interface LookEnd {
  lookedTo: string | null;
}

/**
 * `looked`: the first rows, from the newest or the oldest on, by the predicates that an index serves, read only as far as `page`
 * asks, and no further than so many. `page`: of those what the rest lets through. `look`: where a page that is not full stopped
 * looking. In one statement: in another one rows that were resent meanwhile would have moved the end over some that nobody has
 * looked at.
 */
export function boundedPage(
  from: string,
  columns: string,
  predicates: Predicates,
  rowsMax: number,
  order: 'DESC' | 'ASC' = 'DESC',
): string {
  const { where, rest } = predicates;
  const rows = predicates.parameter(rowsMax);
  return `WITH looked AS MATERIALIZED (
      SELECT ${columns} FROM ${from} ${where} ORDER BY ${from.split(' ')[1]}.id ${order} LIMIT ${rest ? LOOKED_AT_MAX : rows}),
    page AS MATERIALIZED (SELECT * FROM looked ${rest} ORDER BY id ${order} LIMIT ${rows}),
    look AS (SELECT CASE WHEN (SELECT count(*) FROM page) < ${rows}
                         THEN (SELECT id FROM looked OFFSET ${LOOKED_AT_MAX - 1} LIMIT 1) END AS "lookedTo")`;
}

export function lookedOf<Row extends { id: string }>(rows: (Row & LookEnd)[]): Looked<Row> {
  return { rows: rows.filter((row) => row.id !== null), lookedTo: rows[0].lookedTo };
}

/** One delivery, or undefined when there is none in this scope. */
export async function findDelivery(
  reader: Reader,
  scope: Scope,
  id: string,
): Promise<DeliveryStatusRow | undefined> {
  const [row] = await readDeliveries(
    reader,
    new Predicates(scope, 'd.subscriber_id').add('d.id', '=', id),
    1,
  );
  return row;
}

/** Where events went: served by deliveries_event, in the day partitions that T1 can have written to. */
export function deliveriesOfEvent(
  reader: Reader,
  scope: Scope,
  eventId: string,
  made: { since: Date; until: Date },
  max: number,
): Promise<DeliveryStatusRow[]> {
  const predicates = new Predicates(scope, 'd.subscriber_id')
    .add('d.event_id', '=', eventId)
    .within('d.id', made.since, made.until);
  return readDeliveries(reader, predicates, max);
}

function readDeliveries(reader: Reader, predicates: Predicates, max: number): Promise<DeliveryStatusRow[]> {
  return reader.query(
    `SELECT p.*, ${LANE_COLUMNS}
       FROM (SELECT ${DELIVERY_COLUMNS} FROM deliveries d ${predicates.where}
              ORDER BY d.id DESC LIMIT ${predicates.parameter(max)}) p
       ${LANE_JOIN} ORDER BY p.id DESC`,
    predicates.values,
  );
}

const LANE_COLUMNS = `coalesce(l.paused_at IS NOT NULL, false) AS paused, l.open_until AS "circuitUntil",
            coalesce(l.circuit = 'unverified', false) AS unverified,
            coalesce(l.circuit IN ('open', 'half_open'), false) AS "circuitOpen"`;
/** The page is cut before: one look-up per row shown, not per row passed. */
const LANE_JOIN = `LEFT JOIN lanes l ON l.endpoint_id = p."endpointId" AND l.subscriber_id = p."subscriberId"`;

/** Which of these deliveries a worker has in its hands. The ids come from rows that were read within a scope. */
export async function findClaimed(reader: Reader, deliveryIds: string[]): Promise<Set<string>> {
  if (deliveryIds.length === 0) return new Set();
  const rows = await reader.query<{ id: string }>(
    `SELECT id FROM pgboss.job WHERE name = $1 AND id = ANY($2::uuid[]) AND state = 'active'`,
    [DELIVER_QUEUE, deliveryIds],
  );
  return new Set(rows.map((row) => row.id));
}

/** The subscriber with the company's own id, or undefined when there is none in this scope. */
export async function findSubscriberByExternalId(
  reader: Reader,
  scope: Scope,
  externalId: string,
): Promise<string | undefined> {
  const predicates = new Predicates(scope, 's.id').add('s.external_id', '=', externalId);
  const [row] = await reader.query<{ id: string }>(
    `SELECT s.id FROM subscribers s ${predicates.where} AND s.deleted_at IS NULL`,
    predicates.values,
  );
  return row?.id;
}
