import { DELIVERY_FAILED_TYPE, STAFF, Problem } from '@app/contracts';
import { fromPublicId, toPublicId } from '@app/domain';
import type { Logger, Metrics } from '@app/observability';
import { noticesRepository, type Database, type PendingNotice, type Tx } from '@app/persistence';
import type { AcceptEvents } from './accept-events.js';
import type { AcceptableEvent } from './plan-events.js';

// One T1 of ordinary size; a storm of failures is told in several.
const BATCH = 100;

/**
 * Turns notices into events: `posthorn.delivery.failed` for the endpoint that `onFailure` names, and operational events for
 * the operator's own subscriber. They are events like any other: stored, signed, retried, on record. A notice goes in the
 * transaction that stores its events, so each is told once.
 */
export class PublishNotices {
  constructor(
    private readonly database: Database,
    private readonly accept: Pick<AcceptEvents, 'acceptIn'>,
    private readonly metrics: Metrics,
    private readonly logger: Logger,
    private readonly options: {
      /** `sub_…` or the operator's own id for it; empty: nobody is told. */
      operationalSubscriber: string;
    },
  ) {}

  /** One batch. Answers how many notices it published. */
  runOnce(): Promise<number> {
    return this.database.hotTransaction(async (tx) => {
      const notices = await noticesRepository.take(tx, BATCH);
      if (notices.length === 0) return 0;
      await this.publish(tx, notices);
      return notices.length;
    });
  }

  private async publish(tx: Tx, notices: PendingNotice[]): Promise<void> {
    const events = notices.flatMap((notice) => this.eventsOf(notice));
    await noticesRepository.forget(
      tx,
      notices.map((notice) => notice.id),
    );
    const results = await this.accept.acceptIn(tx, { scope: STAFF, events, idempotency: null });
    for (const [at, result] of results.entries()) {
      if (!(result instanceof Problem)) this.metrics.noticesPublished.inc({ type: events[at].type });
      // The operator's subscriber does not exist, or was deleted: told here, so that somebody mends it.
      else this.logger.warn({ type: events[at].type, code: result.code }, 'notice.refused');
    }
  }

  private eventsOf(notice: PendingNotice): AcceptableEvent[] {
    const events: AcceptableEvent[] = [];
    const told = notice.onFailureEndpointId;
    if (notice.kind === 'delivery.failed' && told !== null && notice.event)
      events.push({
        ...NOTICE,
        subscriber: { id: notice.subscriberId },
        type: DELIVERY_FAILED_TYPE,
        data: failedDelivery(notice, notice.event),
        seal: notice.event.sealed,
        occurredAt: notice.createdAt,
        notice: { endpointId: told },
      });
    const operator = this.operator(notice);
    if (operator)
      events.push({
        ...NOTICE,
        subscriber: operator,
        type: notice.kind,
        data: JSON.stringify(operationalData(notice)),
        occurredAt: notice.createdAt,
        notice: { endpointId: null },
      });
    return events;
  }

  /** Not of its own endpoints: a failing receiver of operational events would be told of each of its failures. */
  private operator(notice: PendingNotice): AcceptableEvent['subscriber'] | null {
    const { operationalSubscriber: name } = this.options;
    if (name === '') return null;
    const id = fromPublicId('sub', name);
    const own = id ? notice.subscriberId === id : notice.subscriberExternalId === name;
    if (own) return null;
    return id ? { id } : { externalId: name };
  }
}

const NOTICE = { version: null, id: null, traceparent: null, priority: 'normal', orderingKey: null } as const;

/** The publisher's bytes as they are, within ours. */
function failedDelivery(notice: PendingNotice, event: NonNullable<PendingNotice['event']>): string {
  const original = {
    id: toPublicId('evt', notice.delivery!.eventId),
    type: event.type,
    version: event.version,
    timestamp: event.occurredAt.toISOString(),
  };
  const head = JSON.stringify({ endpoint: endpointOf(notice), delivery: deliveryOf(notice) });
  return `${head.slice(0, -1)},"event":${JSON.stringify(original).slice(0, -1)},"data":${event.data}}}`;
}

function operationalData(notice: PendingNotice): object {
  const subscriber = { id: toPublicId('sub', notice.subscriberId), externalId: notice.subscriberExternalId };
  const about = { subscriber, endpoint: endpointOf(notice) };
  if (notice.kind !== 'delivery.failed') return { ...about, ...notice.detail };
  const event = notice.delivery && {
    id: toPublicId('evt', notice.delivery.eventId),
    type: notice.event?.type ?? null,
  };
  return { ...about, delivery: deliveryOf(notice), event };
}

function endpointOf(notice: PendingNotice): object {
  return {
    id: toPublicId('ep', notice.endpointId),
    url: notice.endpointUrl,
    description: notice.endpointDescription,
  };
}

function deliveryOf(notice: PendingNotice): object | null {
  if (notice.deliveryId === null) return null;
  return {
    id: toPublicId('dlv', notice.deliveryId),
    ...notice.detail,
    statusCode: notice.delivery?.statusCode ?? null,
    attempts: notice.delivery?.attempts ?? null,
    createdAt: notice.delivery?.createdAt ?? null,
    failedAt: notice.createdAt,
  };
}
