import {
  BATCH_EVENTS_MAX,
  BATCH_KEYS_MAX,
  EVENT_DATA_BYTES_MAX,
  EVENT_ID_AGE_HOURS_MAX,
  EVENT_ID_AHEAD_MINUTES_MAX,
  EVENT_KEYS_MAX,
  Problem,
  type FieldProblem,
} from '@app/contracts';
import { PublishEventDto } from '@app/dto';
import { fromPublicId, uuidTimeMs } from '@app/domain';
import type { ParsedEvent } from '@app/ingest';
import { validateSync } from 'class-validator';
import { elementSpans, hasMoreKeysThan, memberSpan, type Span } from '../edge/raw-json.js';
import { isPlainlyRight } from './plainly-right.js';

// A body of a hundred thousand wrong fields must not make an answer that is larger still.
const ERRORS_SHOWN_MAX = 20;
const FIELDS = new Set([
  'subscriber',
  'type',
  'version',
  'data',
  'occurredAt',
  'id',
  'priority',
  'orderingKey',
]);

/** The event of `POST /v1/events`. @throws Problem when it cannot be accepted as it is. */
export function parseEvent(text: string, nowMs: number, traceparent: string | null): ParsedEvent {
  const event = eventAt(text, parseJson(text, EVENT_KEYS_MAX), null, '', nowMs, traceparent);
  if (event instanceof Problem) throw event;
  return event;
}

/** The events of `POST /v1/events/batch`: each parsed, or the problem that it alone has. @throws Problem for the batch itself. */
export function parseBatch(
  text: string,
  nowMs: number,
  traceparent: string | null,
): (ParsedEvent | Problem)[] {
  const body = parseJson(text, BATCH_KEYS_MAX);
  if (!isObject(body) || !Array.isArray(body.events) || Object.keys(body).length !== 1)
    throw invalid([{ pointer: '/events', detail: 'the body must be { "events": [ … ] } and nothing else' }]);
  if (body.events.length === 0 || body.events.length > BATCH_EVENTS_MAX)
    throw new Problem(
      'invalid_request',
      `A batch has 1 to ${BATCH_EVENTS_MAX} events, this one has ${body.events.length}.`,
      {
        errors: [{ pointer: '/events', detail: `must have 1 to ${BATCH_EVENTS_MAX} elements` }],
        limit: BATCH_EVENTS_MAX,
      },
    );
  const spans = elementSpans(text, memberSpan(text, 'events')!.start);
  return body.events.map((value, at) => eventAt(text, value, spans[at], `/events/${at}`, nowMs, traceparent));
}

function parseJson(text: string, keysMax: number): unknown {
  if (hasMoreKeysThan(text, keysMax))
    throw new Problem('invalid_json', `All objects in the body together may have ${keysMax} members.`, {
      limit: keysMax,
    });
  try {
    return JSON.parse(text);
  } catch (error) {
    // V8 quotes the text around the error, and that may be a secret: only the place is told.
    const position = /position (\d+)/.exec((error as Error).message)?.[1];
    throw new Problem(
      'invalid_json',
      position ? `The body is not valid JSON at character ${position}.` : 'The body is not valid JSON.',
    );
  }
}

function eventAt(
  text: string,
  value: unknown,
  span: Span | null,
  pointer: string,
  nowMs: number,
  traceparent: string | null,
): ParsedEvent | Problem {
  if (!isObject(value)) return invalid([{ pointer, detail: 'must be an object' }]);
  // What has nothing unusual in it, nearly all of it, is spared the walk over the rules: 13 % of an api's time.
  const dto = isPlainlyRight(value) ? value : checked(value, pointer);
  if (dto instanceof Problem) return dto;

  const dataSpan = memberSpan(text, 'data', span?.start)!;
  const data = text.slice(dataSpan.start, dataSpan.end);
  if (data.length * 3 > EVENT_DATA_BYTES_MAX && Buffer.byteLength(data) > EVENT_DATA_BYTES_MAX)
    return new Problem('payload_too_large', `\`data\` may have ${EVENT_DATA_BYTES_MAX} bytes at most.`, {
      errors: [{ pointer: `${pointer}/data`, detail: `must be at most ${EVENT_DATA_BYTES_MAX} bytes` }],
      limit: EVENT_DATA_BYTES_MAX,
    });
  const id = dto.id === undefined || dto.id === null ? null : eventId(dto.id, pointer, nowMs);
  if (id instanceof Problem) return id;
  const subscriberId = fromPublicId('sub', dto.subscriber);
  return {
    subscriber: subscriberId ? { id: subscriberId } : { externalId: dto.subscriber },
    type: dto.type,
    version: dto.version ?? null,
    data,
    occurredAt: dto.occurredAt ? new Date(dto.occurredAt) : null,
    id,
    priority: dto.priority ?? 'normal',
    orderingKey: dto.orderingKey ?? null,
    traceparent,
  };
}

/** By every rule of an event's fields: the event, or all that is wrong with it. */
function checked(value: Record<string, unknown>, pointer: string): PublishEventDto | Problem {
  const errors: FieldProblem[] = Object.keys(value)
    .filter((name) => !FIELDS.has(name))
    .map((name) => ({ pointer: `${pointer}/${escapePointer(name)}`, detail: 'is not a field of an event' }));
  const dto = new PublishEventDto();
  for (const name of FIELDS)
    if (name !== 'data' && Object.hasOwn(value, name)) Object.assign(dto, { [name]: value[name] });
  for (const error of validateSync(dto, { stopAtFirstError: true }))
    errors.push({
      pointer: `${pointer}/${error.property}`,
      detail: Object.values(error.constraints ?? {}).join('; '),
    });
  if (!Object.hasOwn(value, 'data'))
    errors.push({ pointer: `${pointer}/data`, detail: 'must be given; any JSON value' });
  if (typeof dto.subscriber === 'string' && dto.subscriber.includes('\0'))
    errors.push({ pointer: `${pointer}/subscriber`, detail: 'must not contain U+0000' });
  if (typeof dto.version === 'string' && dto.version.includes('\0'))
    errors.push({ pointer: `${pointer}/version`, detail: 'must not contain U+0000' });
  if (
    typeof dto.occurredAt === 'string' &&
    !errors.some(({ pointer: at }) => at.endsWith('/occurredAt')) &&
    !isInstant(dto.occurredAt)
  )
    errors.push({
      pointer: `${pointer}/occurredAt`,
      detail: 'must be an instant with its time zone, such as 2026-11-22T09:30:00.000Z',
    });
  return errors.length > 0 ? invalid(errors.slice(0, ERRORS_SHOWN_MAX)) : dto;
}

/** The partition of an event is chosen by the time in its id, so an id from far away has no place. */
function eventId(text: string, pointer: string, nowMs: number): string | Problem {
  const uuid = fromPublicId('evt', text);
  const ageMs = uuid ? nowMs - uuidTimeMs(uuid) : NaN;
  const fits = ageMs <= EVENT_ID_AGE_HOURS_MAX * 3_600_000 && ageMs >= -EVENT_ID_AHEAD_MINUTES_MAX * 60_000;
  if (uuid && fits && /^.{14}7.{4}[89ab]/.test(uuid)) return uuid;
  return new Problem(
    'invalid_event_id',
    `An event id is "evt_" and a TypeID of a UUIDv7 made within the last ${EVENT_ID_AGE_HOURS_MAX} hours. For ids of another form use the Idempotency-Key header.`,
    { errors: [{ pointer: `${pointer}/id`, detail: 'must be evt_ and a TypeID of the last 24 hours' }] },
  );
}

/** Week dates are ISO 8601 too, but no Date reads them; a time without a zone would be read in ours. */
function isInstant(text: string): boolean {
  return !Number.isNaN(Date.parse(text)) && (!text.includes('T') || /(Z|[+-]\d\d:?\d\d)$/.test(text));
}

function invalid(errors: FieldProblem[]): Problem {
  const [first] = errors;
  return new Problem('invalid_request', `${first.pointer || 'The body'} ${first.detail}.`, { errors });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function escapePointer(name: string): string {
  return name.slice(0, 100).replaceAll('~', '~0').replaceAll('/', '~1');
}
