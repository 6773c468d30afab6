import {
  DESCRIPTION_LENGTH_MAX,
  EVENT_TYPE_LENGTH_MAX,
  EVENT_TYPE_VERSIONS_MAX,
  VERSION_LENGTH_MAX,
} from '@app/contracts';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  IsArray,
  IsObject,
  IsOptional,
  IsString,
  Matches,
  MaxLength,
  ValidateNested,
} from 'class-validator';
import { AsGiven, atMost, IfNotNull, IfPresent, IsPlainText } from './field-rules.js';
import type { RetryPolicyDto } from './retry-policy.dto.js';

/** A version of an event type, to add or to change. */
export class PutEventTypeVersionDto {
  /**
   * What publishers name and receivers see.
   * @example "1"
   */
  @IsString()
  @MaxLength(VERSION_LENGTH_MAX, atMost(VERSION_LENGTH_MAX))
  @Matches(/^[A-Za-z0-9._-]+$/, { message: '$property must be letters, digits, dots, _ or -' })
  version: string;

  /**
   * What changed in it.
   * @example "First version"
   */
  @IfPresent()
  @IsString()
  @IsPlainText()
  @MaxLength(DESCRIPTION_LENGTH_MAX, atMost(DESCRIPTION_LENGTH_MAX))
  description?: string;

  /**
   * An example of `data`, any JSON value. Test events send it. In PATCH null takes it away.
   * @example { "invoice": "in_1042", "amount": 1999, "currency": "EUR" }
   */
  @IsOptional()
  @AsGiven()
  example?: unknown;
}

/** A kind of event to put into the catalogue. */
export class CreateEventTypeDto {
  /**
   * Segments of letters, digits, `_` and `-`, joined by dots.
   * @example "invoice.paid"
   */
  @IsString()
  @MaxLength(EVENT_TYPE_LENGTH_MAX, atMost(EVENT_TYPE_LENGTH_MAX))
  @Matches(/^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*$/, {
    message: '$property must be segments of letters, digits, _ or - joined by dots',
  })
  name: string;

  /**
   * When it happens, for the customer who reads the catalogue.
   * @example "An invoice was paid in full."
   */
  @IsOptional()
  @IsString()
  @IsPlainText()
  @MaxLength(DESCRIPTION_LENGTH_MAX, atMost(DESCRIPTION_LENGTH_MAX))
  description?: string;

  /**
   * When deliveries of such events are tried again, at endpoints that have no policy of their own. Default: 13 tries over
   * three days.
   * @example { "type": "fixed", "delaySeconds": 10, "attemptsMax": 3 }
   */
  @IfNotNull()
  @AsGiven()
  @IsObject()
  retryPolicy?: RetryPolicyDto | null;

  /** Its versions; the first is the default. Default: one version `1`. */
  @IsOptional()
  @IsArray()
  @ArrayMaxSize(EVENT_TYPE_VERSIONS_MAX, atMost(EVENT_TYPE_VERSIONS_MAX))
  @ValidateNested({ each: true })
  @Type(() => PutEventTypeVersionDto)
  versions?: PutEventTypeVersionDto[];
}

/** What of an event type is to change; what is absent stays. */
export class ChangeEventTypeDto {
  /**
   * The new description.
   * @example "An invoice was paid in full, or its last part was."
   */
  @IfPresent()
  @IsString()
  @IsPlainText()
  @MaxLength(DESCRIPTION_LENGTH_MAX, atMost(DESCRIPTION_LENGTH_MAX))
  description?: string;

  /**
   * When deliveries of such events are tried again, at endpoints that have no policy of their own. It replaces the old
   * policy whole; null goes back to the default.
   * @example { "type": "fixed", "delaySeconds": 10, "attemptsMax": 3 }
   */
  @IfNotNull()
  @AsGiven()
  @IsObject()
  retryPolicy?: RetryPolicyDto | null;

  /** Versions to add, or to change by their name. Those that are absent stay. */
  @IfPresent()
  @IsArray()
  @ArrayMaxSize(EVENT_TYPE_VERSIONS_MAX, atMost(EVENT_TYPE_VERSIONS_MAX))
  @ValidateNested({ each: true })
  @Type(() => PutEventTypeVersionDto)
  versions?: PutEventTypeVersionDto[];
}

/** A version of an event type. */
export class EventTypeVersionDto {
  /**
   * What publishers name and receivers see.
   * @example "1"
   */
  version: string;

  /**
   * What changed in it; may be empty.
   * @example "First version"
   */
  description: string;

  /**
   * An example of `data`, or null.
   * @example { "invoice": "in_1042", "amount": 1999, "currency": "EUR" }
   */
  example: unknown;

  /**
   * When it was added.
   * @example "2026-11-22T09:30:00.000Z"
   */
  createdAt: Date;
}

/** A kind of event in the catalogue. */
export class EventTypeDto {
  /**
   * Its name.
   * @example "invoice.paid"
   */
  name: string;

  /**
   * When it happens; may be empty.
   * @example "An invoice was paid in full."
   */
  description: string;

  /** When its deliveries are tried again, at endpoints without a policy of their own; null: by the default. */
  retryPolicy: RetryPolicyDto | null;

  /** Its versions; the first is what an event gets that names none. */
  versions: EventTypeVersionDto[];

  /**
   * When it was registered.
   * @example "2026-11-22T09:30:00.000Z"
   */
  createdAt: Date;

  /**
   * When it or a version was last changed.
   * @example "2026-11-22T09:30:00.000Z"
   */
  updatedAt: Date;
}

/** Event types, by name. */
export class EventTypePageDto {
  /** The items of this page. */
  data: EventTypeDto[];

  /**
   * Give it as `cursor` to get the next page; null on the last one.
   * @example null
   */
  nextCursor: string | null;
}
