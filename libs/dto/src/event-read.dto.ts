import { EVENT_TYPE_LENGTH_MAX, EXTERNAL_ID_LENGTH_MAX } from '@app/contracts';
import { IsOptional, IsString, Length, Matches } from 'class-validator';
import { DeliveryDto } from './delivery.dto.js';
import { IsPlainText } from './field-rules.js';
import { EVENT_TYPE_NAME, INSTANT, SUBSCRIBER } from './filter-patterns.js';
import { PageQueryDto } from './page.dto.js';

/** Filters of the list of events. What is left out does not narrow. */
export class ListEventsQueryDto extends PageQueryDto {
  /**
   * Whose events: the subscriber's id (`sub_…`) or your own `externalId` for it.
   * @example "acme-corp"
   */
  @IsOptional()
  @IsString()
  @IsPlainText()
  @Length(1, EXTERNAL_ID_LENGTH_MAX)
  @Matches(...SUBSCRIBER)
  subscriber?: string;

  /**
   * Events of one type.
   * @example "invoice.paid"
   */
  @IsOptional()
  @Length(1, EVENT_TYPE_LENGTH_MAX)
  @Matches(...EVENT_TYPE_NAME)
  type?: string;

  /**
   * Published at this instant or later.
   * @example "2026-11-22T00:00:00Z"
   */
  @IsOptional()
  @Matches(...INSTANT)
  since?: string;

  /**
   * Published before this instant.
   * @example "2026-11-23T00:00:00Z"
   */
  @IsOptional()
  @Matches(...INSTANT)
  until?: string;
}

/** How many deliveries of an event stand where. */
export class DeliveryCountsDto {
  /** @example 0 */
  pending: number;
  /** @example 2 */
  delivered: number;
  /** @example 0 */
  failed: number;
  /** @example 0 */
  cancelled: number;
}

/** One event and how its deliveries stand. */
export class EventDto {
  /**
   * The `webhook-id` that receivers see.
   * @example "evt_01kany2t2afaxthq1xzkpc8w5d"
   */
  id: string;

  /** @example "sub_01kany2t2bfd0rk8d6x0p9h3qa" */
  subscriberId: string;

  /** @example "invoice.paid" */
  type: string;

  /** @example "1" */
  version: string;

  /**
   * `critical` ones go before normal ones.
   * @example "normal"
   */
  priority: 'critical' | 'normal';

  /**
   * What it is ordered by at ordered endpoints, when the publisher said so.
   * @example null
   */
  orderingKey: string | null;

  /**
   * When it happened, as the publisher said.
   * @example "2026-11-22T09:30:00.000Z"
   */
  occurredAt: Date;

  /**
   * When it was accepted.
   * @example "2026-11-22T09:30:00.012Z"
   */
  createdAt: Date;

  /**
   * How many endpoints wanted it when it was accepted, disabled ones included.
   * @example 2
   */
  matched: number;

  /**
   * Why nothing was sent: `no_matching_endpoint`, or `only_disabled_endpoints` (its deliveries are cancelled and can be
   * resent once an endpoint is enabled). Null when something was.
   * @example null
   */
  note: 'no_matching_endpoint' | 'only_disabled_endpoints' | null;

  counts: DeliveryCountsDto;
}

/** A page of events, newest first. */
export class EventPageDto {
  data: EventDto[];

  /**
   * Give it as `cursor` to get the next page; null on the last one.
   * @example "eyJ2IjoxLCJhZnRlciI6IjAxOTNjZmE0LTdlMzAtN2Q2Zi05YjZlLTRhNGQ0ZTJiYjFhMiJ9"
   */
  nextCursor: string | null;
}

/** One event with its payload and where it went. */
export class EventWithDeliveriesDto extends EventDto {
  /**
   * The payload as text, byte for byte as published; null when it cannot be read any more.
   * @example "{\"invoice\":\"in_1042\",\"amount\":1999}"
   */
  data: string | null;

  /**
   * Why `data` is null: `key_destroyed`, it was stored encrypted and its key went with the subscriber, which was deleted.
   * @example null
   */
  dataMissing: 'key_destroyed' | null;

  /** One for each endpoint that matched, newest first. */
  deliveries: DeliveryDto[];
}
