import { DELIVER_QUEUE, type Scope } from '@app/contracts';
import type { DeliveryPlace, DeliveryStatus, Trigger } from '@app/domain';
import type { Database } from './database.js';
import { Predicates } from './predicates.js';

/** What reading needs: the pool or an open transaction. */
export type Reader = Pick<Database, 'query'>;
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

/** The predicates of a filter, shared by the list and by replays: a replay moves what the list shows. */
export function deliveryPredicates(scope: Scope, filter: DeliveryFilter): Predicates {
  return new Predicates(scope, 'd.subscriber_id')
    .add('d.subscriber_id', '=', filter.subscriberId)
    .add('d.endpoint_id', '=', filter.endpointId)
    .add('d.status', '=', filter.status)
    .add('d.event_type', '=', filter.eventType)
    .add('d.failure', '=', filter.failure)
    .within('d.id', filter.since, filter.until);
}

/** Served by deliveries_subscriber, deliveries_endpoint or deliveries_failed; without any of them by the key. */
export function listDeliveries(
  reader: Reader,
  scope: Scope,
  filter: DeliveryFilter,
  page: PageRequest,
): Promise<DeliveryStatusRow[]> {
  const predicates = deliveryPredicates(scope, filter).add('d.id', '<', page.after);
  return readDeliveries(reader, predicates, page.limit + 1);
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

/** The page is cut before the lanes are joined: one look-up per row shown, not per row passed. */
function readDeliveries(reader: Reader, predicates: Predicates, max: number): Promise<DeliveryStatusRow[]> {
  return reader.query(
    `SELECT p.*, coalesce(l.paused_at IS NOT NULL, false) AS paused, l.open_until AS "circuitUntil",
            coalesce(l.circuit = 'unverified', false) AS unverified,
            coalesce(l.circuit IN ('open', 'half_open'), false) AS "circuitOpen"
       FROM (SELECT ${DELIVERY_COLUMNS} FROM deliveries d ${predicates.where}
              ORDER BY d.id DESC LIMIT ${predicates.parameter(max)}) p
       LEFT JOIN lanes l ON l.endpoint_id = p."endpointId" AND l.subscriber_id = p."subscriberId"
      ORDER BY p.id DESC`,
    predicates.values,
  );
}

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
