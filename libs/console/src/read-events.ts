import { ENDPOINTS_PER_SUBSCRIBER_MAX, EVENT_ID_AGE_HOURS_MAX, Problem } from '@app/contracts';
import type { Scope } from '@app/contracts';
import type { EventDto, EventWithDeliveriesDto } from '@app/dto';
import { toPublicId, uuidTimeMs } from '@app/domain';
import {
  countDeliveriesOfEvents,
  deliveriesOfEvent,
  findEvent,
  listEvents,
  type Database,
  type DeliveryCounts,
  type EventFilter,
  type EventStatusRow,
  type PageRequest,
} from '@app/persistence';
import { showDeliveries, type Listed } from './read-deliveries.js';

const HOUR_MS = 3_600_000;

/** Events as support and customers see them; one that matched nothing is found as well. */
export class ReadEvents {
  constructor(private readonly database: Database) {}

  /** Newest first, one more than `limit` when there are more. */
  async list(scope: Scope, filter: EventFilter, page: PageRequest): Promise<Listed<EventDto>> {
    const { rows, lookedTo } = await listEvents(this.database, scope, filter, page);
    const counts = await this.countsOf(scope, rows);
    return { rows: rows.map((row) => ({ key: row.id, item: showEvent(row, counts.get(row.id)) })), lookedTo };
  }

  /** One event, its payload and where it went. @throws Problem not_found */
  async one(scope: Scope, id: string): Promise<EventWithDeliveriesDto> {
    const row = await findEvent(this.database, scope, id);
    if (!row) throw new Problem('not_found', 'There is no event with this id.');
    const [counts, deliveries] = await Promise.all([
      this.countsOf(scope, [row]),
      deliveriesOfEvent(this.database, scope, id, madeOf([row]), ENDPOINTS_PER_SUBSCRIBER_MAX),
    ]);
    return {
      ...showEvent(row, counts.get(id)),
      data: row.data,
      dataMissing: row.data === null ? 'key_destroyed' : null,
      deliveries: await showDeliveries(this.database, deliveries),
    };
  }

  private async countsOf(scope: Scope, rows: EventStatusRow[]): Promise<Map<string, DeliveryCounts>> {
    if (rows.length === 0) return new Map();
    const ids = rows.map((row) => row.id);
    const counts = await countDeliveriesOfEvents(this.database, scope, ids, madeOf(rows));
    return new Map(counts.map((each) => [each.eventId, each]));
  }
}

/**
 * When these events' deliveries were made: an event's id may be a day older than its acceptance, or a few minutes
 * younger; an hour more at both ends costs nothing.
 */
function madeOf(rows: EventStatusRow[]): { since: Date; until: Date } {
  const times = rows.map((row) => uuidTimeMs(row.id));
  return {
    since: new Date(Math.min(...times) - HOUR_MS),
    until: new Date(Math.max(...times) + (EVENT_ID_AGE_HOURS_MAX + 1) * HOUR_MS),
  };
}

function showEvent(row: EventStatusRow, counts: DeliveryCounts | undefined): EventDto {
  const { pending = 0, delivered = 0, failed = 0, cancelled = 0, disabled = 0 } = counts ?? {};
  return {
    id: toPublicId('evt', row.id),
    subscriberId: toPublicId('sub', row.subscriberId),
    type: row.type,
    version: row.version,
    priority: row.priority,
    orderingKey: row.orderingKey,
    occurredAt: row.occurredAt,
    createdAt: row.createdAt,
    matched: row.matched,
    note:
      row.matched === 0
        ? 'no_matching_endpoint'
        : disabled === row.matched
          ? 'only_disabled_endpoints'
          : null,
    counts: { pending, delivered, failed, cancelled },
  };
}
