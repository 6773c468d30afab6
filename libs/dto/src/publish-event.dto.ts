import {
  EVENT_TYPE_LENGTH_MAX,
  EXTERNAL_ID_LENGTH_MAX,
  ORDERING_KEY_LENGTH_MAX,
  PRIORITIES,
  VERSION_LENGTH_MAX,
  type Priority,
} from '@app/contracts';
import { IsIn, IsISO8601, IsOptional, IsString, Length, Matches } from 'class-validator';
import { IsPlainText } from './field-rules.js';

// Without the field's name: parse-events.ts of the api puts a pointer before them.
const SUBSCRIBER_FORM = `must be the id (sub_…) or externalId of a subscriber, 1 to ${EXTERNAL_ID_LENGTH_MAX} characters`;
const TYPE_FORM = `must be segments of letters, digits, _ or - joined by dots, at most ${EVENT_TYPE_LENGTH_MAX} characters`;
const VERSION_FORM = `must be a text of 1 to ${VERSION_LENGTH_MAX} characters`;
const ORDERING_KEY_FORM = `must be a text of 1 to ${ORDERING_KEY_LENGTH_MAX} characters without NUL and lone surrogates`;
const INSTANT_FORM = 'must be an instant with its time zone, such as 2026-11-22T09:30:00.000Z';

/** One event to publish. */
export class PublishEventDto {
  /**
   * Who receives it: the subscriber's id (`sub_…`) or your own `externalId` for it.
   * @example "acme-corp"
   */
  @IsString({ message: SUBSCRIBER_FORM })
  @Length(1, EXTERNAL_ID_LENGTH_MAX, { message: SUBSCRIBER_FORM })
  subscriber: string;

  /**
   * What happened: a type of the catalogue, segments joined by dots.
   * @example "invoice.paid"
   */
  @IsString({ message: TYPE_FORM })
  @Length(1, EVENT_TYPE_LENGTH_MAX, { message: TYPE_FORM })
  @Matches(/^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*$/, { message: TYPE_FORM })
  type: string;

  /**
   * The version of the type that `data` follows. Default: the first version the type was registered with.
   * @example "1"
   */
  @IsOptional()
  @IsString({ message: VERSION_FORM })
  @Length(1, VERSION_LENGTH_MAX, { message: VERSION_FORM })
  version?: string;

  /**
   * The payload, any JSON value up to 512 KiB. Receivers get these bytes exactly: key order, number spelling and
   * escapes included.
   * @example { "invoice": "in_1042", "amount": 1999, "currency": "EUR" }
   */
  data: unknown;

  /**
   * When it happened, ISO 8601. Default: when we accepted it.
   * @example "2026-11-22T09:30:00.000Z"
   */
  @IsOptional()
  @IsISO8601({ strict: true, strictSeparator: true }, { message: INSTANT_FORM })
  occurredAt?: string;

  /**
   * Your own id for the event, which receivers see as `webhook-id`: `evt_` and a TypeID (a UUIDv7) of the last 24 hours.
   * Publishing the same id again is answered with the first event and sends nothing. Default: we make one.
   * @example "evt_01kany2t2afaxthq1xzkpc8w5d"
   */
  @IsOptional()
  @IsString({ message: 'must be evt_ and a TypeID of the last 24 hours' })
  id?: string;

  /**
   * `critical`: its first attempt goes before those of normal events, at every endpoint. Default: `normal`.
   * @example "normal"
   */
  @IsOptional()
  @IsIn(PRIORITIES, { message: 'must be critical or normal' })
  priority?: Priority;

  /**
   * Events with the same key reach an ordered endpoint one after the other, in the order in which they were accepted;
   * those with another key do not wait for them. Without one an event goes in order with all others without one. Endpoints
   * that are not ordered take no notice of it.
   * @example "customer-4711"
   */
  @IsOptional()
  @IsPlainText({ message: ORDERING_KEY_FORM })
  @Length(1, ORDERING_KEY_LENGTH_MAX, { message: ORDERING_KEY_FORM })
  orderingKey?: string;
}

/** Up to 1,000 events in one request. */
export class PublishBatchDto {
  /** Each is accepted or refused by itself; the answer has one result per event, in this order. */
  events: PublishEventDto[];
}

/** What became of one published event. */
export class AcceptedEventDto {
  /**
   * The event's id: the `webhook-id` that receivers see.
   * @example "evt_01kany2t2afaxthq1xzkpc8w5d"
   */
  id: string;

  /**
   * How many deliveries it made: one for each endpoint that matched. 0: stored and found, but nobody wants it.
   * @example 2
   */
  deliveries: number;

  /**
   * Present when nothing will be sent: `no_matching_endpoint`, or `only_disabled_endpoints` (its deliveries are
   * cancelled and can be resent).
   * @example "no_matching_endpoint"
   */
  note?: 'no_matching_endpoint' | 'only_disabled_endpoints';
}

/** Why one event of a batch was refused. */
export class RefusedEventDto {
  /**
   * The stable code.
   * @example "unknown_event_type"
   */
  code: string;

  /**
   * What is wrong and what would be right.
   * @example "The event type \"invoice.payed\" is not in the catalogue."
   */
  detail: string;

  /** The fields that are wrong, by JSON pointer into the batch. */
  errors?: { pointer: string; detail: string }[];

  /** The bound that was exceeded, when one was. */
  limit?: number;

  /**
   * Seconds after which to publish this one again, when it is not its own fault: what `Retry-After` says of a single event.
   * @example 30
   */
  retryAfterSeconds?: number;
}

/** One result: `id` when the event was accepted, `error` when it was not. */
export class BatchResultDto {
  /** @example "evt_01kany2t2afaxthq1xzkpc8w5d" */
  id?: string;
  /** @example 2 */
  deliveries?: number;
  /**
   * Present when nothing will be sent, as for a single event.
   * @example "no_matching_endpoint"
   */
  note?: 'no_matching_endpoint' | 'only_disabled_endpoints';
  /** Why this one was refused. */
  error?: RefusedEventDto;
}

/** One result per event, in the order of the request. */
export class BatchAnswerDto {
  results: BatchResultDto[];
}

/** A test event for one endpoint; every field may be left out. */
export class TestEventDto {
  /**
   * A type of the catalogue, whose example is sent. Default: `posthorn.test`.
   * @example "invoice.paid"
   */
  @IsOptional()
  @IsString()
  @Length(1, EVENT_TYPE_LENGTH_MAX)
  eventType?: string;

  /**
   * The version whose example is sent. Default: the first.
   * @example "1"
   */
  @IsOptional()
  @IsString()
  @Length(1, VERSION_LENGTH_MAX)
  version?: string;
}

/** Where to see how the test went. */
export class TestEventAnswerDto {
  /** @example "evt_01kany2t2afaxthq1xzkpc8w5d" */
  id: string;
  /**
   * `GET /v1/deliveries/{delivery}` shows the request and the answer of the receiver.
   * @example "dlv_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  delivery: string;
}
