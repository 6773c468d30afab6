import type { Scope } from '@app/contracts';
import { Predicates } from './predicates.js';
import { openData, type SealedEvent } from './sealed-payloads.js';
import {
  boundedPage,
  lookedOf,
  type ListReader,
  type LookEnd,
  type Looked,
  type OpeningReader,
  type PageRequest,
  type Reader,
} from './status.queries.js';

export interface EventFilter {
  subscriberId?: string;
  type?: string;
  since?: Date;
  until?: Date;
}

export interface EventStatusRow {
  id: string;
  subscriberId: string;
  type: string;
  version: string;
  /** Endpoints that wanted it when it was accepted, disabled ones included. */
  matched: number;
  priority: 'critical' | 'normal';
  orderingKey: string | null;
  occurredAt: Date;
  createdAt: Date;
}

/** How an event's deliveries stand. */
export interface DeliveryCounts {
  eventId: string;
  pending: number;
  delivered: number;
  failed: number;
  cancelled: number;
  /** Of the cancelled ones, those that were never sent because the endpoint was disabled. */
  disabled: number;
}

const EVENT_COLUMNS = `e.id, e.subscriber_id AS "subscriberId", e.type, e.version, e.matched, e.priority, e.ordering_key AS "orderingKey",
  e.occurred_at AS "occurredAt", e.created_at AS "createdAt"`;

/** By events_subscriber, else by the key; without the payload, which may be half a megabyte each. */
export async function listEvents(
  reader: ListReader,
  scope: Scope,
  filter: EventFilter,
  page: PageRequest,
): Promise<Looked<EventStatusRow>> {
  const predicates = new Predicates(scope, 'e.subscriber_id')
    .add('e.subscriber_id', '=', filter.subscriberId)
    .within('e.id', filter.since, filter.until)
    .add('e.id', '<', page.after)
    .addRest('type', '=', filter.type);
  return lookedOf(
    await reader.list<EventStatusRow & LookEnd>(
      `${boundedPage('events e', EVENT_COLUMNS, predicates, page.limit + 1)}
       SELECT p.*, look."lookedTo" FROM look LEFT JOIN page p ON true ORDER BY p.id DESC`,
      predicates.values,
    ),
  );
}

/** One event with its payload, exactly as published; null when its key was destroyed. Undefined when there is none in this scope. */
export async function findEvent(
  reader: OpeningReader,
  scope: Scope,
  id: string,
): Promise<(EventStatusRow & { data: string | null }) | undefined> {
  const predicates = new Predicates(scope, 'e.subscriber_id').add('e.id', '=', id);
  const [row] = await reader.query<EventStatusRow & SealedEvent & { data: string | null }>(
    `SELECT ${EVENT_COLUMNS}, e.data, e.data_sealed AS "dataSealed", y.kek_id AS "kekId", y.wrapped
       FROM events e LEFT JOIN data_keys y ON y.subscriber_id = e.subscriber_id ${predicates.where}`,
    predicates.values,
  );
  if (row === undefined) return undefined;
  const { dataSealed, kekId, wrapped, ...event } = row;
  if (dataSealed === null) return event;
  return { ...event, data: openData(reader.vault, { ...event, dataSealed, kekId, wrapped }) };
}

/** One statement for a whole page of events, in the day partitions that T1 can have written to. */
export function countDeliveriesOfEvents(
  reader: Reader,
  scope: Scope,
  eventIds: string[],
  made: { since: Date; until: Date },
): Promise<DeliveryCounts[]> {
  const predicates = new Predicates(scope, 'd.subscriber_id')
    .any('d.event_id', 'uuid', eventIds)
    .within('d.id', made.since, made.until);
  return reader.query(
    `SELECT d.event_id AS "eventId",
            count(*) FILTER (WHERE d.status = 'pending')::int AS pending,
            count(*) FILTER (WHERE d.status = 'delivered')::int AS delivered,
            count(*) FILTER (WHERE d.status = 'failed')::int AS failed,
            count(*) FILTER (WHERE d.status = 'cancelled')::int AS cancelled,
            count(*) FILTER (WHERE d.cancel_reason = 'endpoint_disabled' AND d.attempts = 0)::int AS disabled
       FROM deliveries d ${predicates.where} GROUP BY d.event_id`,
    predicates.values,
  );
}
