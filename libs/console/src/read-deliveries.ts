import { Problem, type Scope } from '@app/contracts';
import type {
  AttemptDto,
  DeliveryDto,
  DeliveryWithTimelineDto,
  ExplanationDto,
  SentRequestDto,
} from '@app/dto';
import { deliveryBody, toPublicId, uuidFloor, uuidTimeMs, type CancelReason, type GaveUp } from '@app/domain';
import {
  attemptsOfDelivery,
  contentsOfDelivery,
  factsOfDelivery,
  findClaimed,
  findDelivery,
  laneTransitions,
  listDeliveries,
  type AttemptRow,
  type Database,
  type DeliveryContents,
  type DeliveryFilter,
  type DeliveryStatusRow,
  type PageRequest,
  type Reader,
} from '@app/persistence';
import { explainDelivery } from './explain-delivery.js';
import { showTransition } from './lane-transition.js';
import { nextAttemptOf } from './next-attempt.js';

// A worker's clock may be behind the one that named the delivery; its attempts must be found all the same.
const CLOCK_SLACK_MS = 3_600_000;

// The newest: beyond it the story is that of the endpoint's health.
const TRANSITIONS_SHOWN = 50;

/** A row of a list: what is shown, and the key of the next page. */
export interface Keyed<T> {
  key: string;
  item: T;
}

/** Rows of one page, and where it stopped looking for more when that was not the end. */
export interface Listed<T> {
  rows: Keyed<T>[];
  lookedTo: string | null;
}

/** Deliveries as support and customers see them. */
export class ReadDeliveries {
  constructor(private readonly database: Database) {}

  /** Newest first, one more than `limit` when there are more. */
  async list(scope: Scope, filter: DeliveryFilter, page: PageRequest): Promise<Listed<DeliveryDto>> {
    const { rows, lookedTo } = await listDeliveries(this.database, scope, filter, page);
    const shown = await showDeliveries(this.database, rows);
    return { rows: shown.map((item, at) => ({ key: rows[at].id, item })), lookedTo };
  }

  /** One delivery with every attempt, the one to come included. @throws Problem not_found */
  async one(scope: Scope, id: string): Promise<DeliveryWithTimelineDto> {
    const row = await findDelivery(this.database, scope, id);
    if (!row) throw notFound();
    const span = { since: row.createdAt, until: row.finishedAt };
    const [[delivery], attempts, contents, transitions] = await Promise.all([
      showDeliveries(this.database, [row]),
      attemptsOfDelivery(this.database, scope, id, new Date(uuidTimeMs(id) - CLOCK_SLACK_MS)),
      contentsOfDelivery(this.database, row),
      laneTransitions(this.database, row.subscriberId, row.endpointId, TRANSITIONS_SHOWN, span),
    ]);
    const timeline = attempts.map(showAttempt);
    if (delivery.nextAttempt) timeline.push(attemptToCome(delivery, contents.url));
    const { version, data, occurredAt } = contents;
    return {
      ...delivery,
      event:
        version === null || occurredAt === null
          ? null
          : {
              id: delivery.eventId,
              type: delivery.eventType,
              version,
              occurredAt,
              data,
              dataMissing: data === null ? 'key_destroyed' : null,
            },
      endpoint: { id: delivery.endpointId, url: contents.url, stopped: contents.stopped },
      request: requestOf(delivery, contents),
      timeline,
      laneTransitions: transitions.toReversed().map(showTransition),
    };
  }

  /** Why it has not arrived. @throws Problem not_found */
  async explain(scope: Scope, id: string): Promise<ExplanationDto> {
    const since = uuidFloor(Math.max(uuidTimeMs(id) - CLOCK_SLACK_MS, 0));
    const facts = await factsOfDelivery(this.database, scope, id, since);
    if (!facts) throw notFound();
    return explainDelivery(facts);
  }
}

/** What every attempt sends; null when the event is no longer stored, or readable. */
function requestOf(delivery: DeliveryDto, contents: DeliveryContents): SentRequestDto | null {
  const { url, version, data, occurredAt } = contents;
  if (version === null || data === null || occurredAt === null) return null;
  return {
    method: 'POST',
    url,
    headers: {
      'content-type': 'application/json',
      'webhook-id': delivery.eventId,
      'posthorn-delivery': delivery.id,
    },
    body: deliveryBody({ id: delivery.eventId, type: delivery.eventType, version, occurredAt, data }),
  };
}

/** One delivery as it is in this transaction. @throws Problem not_found */
export async function readDelivery(reader: Reader, scope: Scope, id: string): Promise<DeliveryDto> {
  const row = await findDelivery(reader, scope, id);
  if (!row) throw notFound();
  return (await showDeliveries(reader, [row]))[0];
}

/** Rows as the API shows them; one more statement tells which are in a worker's hands. */
export async function showDeliveries(reader: Reader, rows: DeliveryStatusRow[]): Promise<DeliveryDto[]> {
  const mayBeClaimed = rows.filter((row) => row.status === 'pending' && row.place !== 'held');
  const claimed = await findClaimed(
    reader,
    mayBeClaimed.map((row) => row.id),
  );
  return rows.map((row) => ({
    id: toPublicId('dlv', row.id),
    eventId: toPublicId('evt', row.eventId),
    endpointId: toPublicId('ep', row.endpointId),
    subscriberId: toPublicId('sub', row.subscriberId),
    eventType: row.eventType,
    status: row.status,
    trigger: row.trigger,
    attempts: row.attempts,
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
    finishedAt: row.finishedAt,
    failure: row.failure,
    statusCode: row.statusCode,
    gaveUp: row.gaveUp as GaveUp | null,
    priority: row.critical ? ('critical' as const) : ('normal' as const),
    orderingKey: row.orderingKey,
    cancelReason: row.cancelReason as CancelReason | null,
    replayId: row.replayId === null ? null : toPublicId('rpl', row.replayId),
    nextAttempt: nextAttemptOf(row, claimed.has(row.id)),
  }));
}

function showAttempt(row: AttemptRow): AttemptDto {
  const { dnsMs, connectMs, tlsMs, firstByteMs, totalMs } = row;
  return {
    id: toPublicId('att', row.id),
    n: row.n,
    status: row.status,
    trigger: row.trigger,
    late: row.late,
    url: row.url,
    scheduledAt: row.scheduledAt,
    startedAt: row.startedAt,
    finishedAt: row.finishedAt,
    timings: { dnsMs, connectMs, tlsMs, firstByteMs, totalMs },
    statusCode: row.statusCode,
    failure: row.failure,
    failureDetail: row.failureDetail,
    note: row.note,
    remoteAddress: row.remoteAddress,
    response:
      row.statusCode === null && row.responseHeaders === null
        ? null
        : {
            headers:
              row.responseHeaders === null
                ? {}
                : (JSON.parse(row.responseHeaders) as Record<string, unknown>),
            body: row.responseBody,
            encoding: row.responseEncoding,
            truncated: row.responseTruncated,
            missing: row.responseDestroyed ? 'key_destroyed' : null,
          },
    worker: row.worker,
  };
}

/** The `pending` attempt: what is known of it beforehand. */
function attemptToCome(delivery: DeliveryDto, url: string | null): AttemptDto {
  const dueAt = delivery.nextAttempt?.at ?? null;
  return {
    id: null,
    n: delivery.attempts + 1,
    status: 'pending',
    trigger: delivery.trigger,
    late: false,
    url,
    scheduledAt: dueAt,
    startedAt: null,
    finishedAt: null,
    timings: null,
    statusCode: null,
    failure: null,
    failureDetail: null,
    note: null,
    remoteAddress: null,
    response: null,
    worker: null,
    dueAt,
    reason: delivery.nextAttempt?.reason,
  };
}

function notFound(): Problem {
  return new Problem('not_found', 'There is no delivery with this id.');
}
