import {
  EXTERNAL_ID_LENGTH_MAX,
  METADATA_ENTRIES_MAX,
  METADATA_NAME_LENGTH_MAX,
  METADATA_VALUE_LENGTH_MAX,
  NAME_LENGTH_MAX,
} from '@app/contracts';
import { IsBoolean, IsOptional, IsString, MaxLength, MinLength } from 'class-validator';
import { AsGiven, atMost, IfNotNull, IfPresent, IsNotBlank, IsPlainText, IsTexts } from './field-rules.js';

export const METADATA_BOUNDS = {
  entriesMax: METADATA_ENTRIES_MAX,
  nameLengthMax: METADATA_NAME_LENGTH_MAX,
  valueLengthMax: METADATA_VALUE_LENGTH_MAX,
};

/** A customer account to register. */
export class CreateSubscriberDto {
  /**
   * What people call it.
   * @example "Acme Corporation"
   */
  @IsString()
  @IsPlainText()
  @IsNotBlank()
  @MaxLength(NAME_LENGTH_MAX, atMost(NAME_LENGTH_MAX))
  name: string;

  /**
   * Your own id for this customer, unique among your subscribers; it must not begin with `sub_`. Wherever a subscriber is
   * asked for you may then give this instead of our id.
   * @example "acme-corp"
   */
  @IsOptional()
  @IsString()
  @IsPlainText()
  @MinLength(1)
  @MaxLength(EXTERNAL_ID_LENGTH_MAX, atMost(EXTERNAL_ID_LENGTH_MAX))
  externalId?: string;

  /**
   * Notes of your own: up to 50 names of 64 characters, with texts of 512.
   * @example { "plan": "enterprise", "region": "eu" }
   */
  @IsOptional()
  @AsGiven()
  @IsTexts(METADATA_BOUNDS)
  metadata?: Record<string, string>;

  /**
   * Whether the payloads of its new events, and what receivers answer to them, are stored encrypted with a key of its own,
   * which is destroyed when the subscriber is deleted. Default: false.
   * @example true
   */
  @IfPresent()
  @IsBoolean()
  encryptPayloads?: boolean;
}

/** What of a subscriber is to change; what is absent stays. */
export class ChangeSubscriberDto {
  /**
   * The new name.
   * @example "Acme International"
   */
  @IfPresent()
  @IsString()
  @IsPlainText()
  @IsNotBlank()
  @MaxLength(NAME_LENGTH_MAX, atMost(NAME_LENGTH_MAX))
  name?: string;

  /**
   * The new external id; null takes it away.
   * @example "acme-international"
   */
  @IfNotNull()
  @IsString()
  @IsPlainText()
  @MinLength(1)
  @MaxLength(EXTERNAL_ID_LENGTH_MAX, atMost(EXTERNAL_ID_LENGTH_MAX))
  externalId?: string | null;

  /**
   * Merged name by name: null takes a name away, names that are absent stay. Null for the whole takes them all away.
   * @example { "plan": "business", "region": null }
   */
  @IfNotNull()
  @AsGiven()
  @IsTexts({ ...METADATA_BOUNDS, orNull: true })
  metadata?: Record<string, string | null> | null;

  /**
   * Whether the payloads of its events are stored encrypted from now on; those that are stored stay as they are.
   * @example true
   */
  @IfPresent()
  @IsBoolean()
  encryptPayloads?: boolean;
}

/** A customer account that receives events. */
export class SubscriberDto {
  /**
   * The id of the subscriber.
   * @example "sub_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  id: string;

  /**
   * What people call it.
   * @example "Acme Corporation"
   */
  name: string;

  /**
   * Your own id for it, or null.
   * @example "acme-corp"
   */
  externalId: string | null;

  /**
   * Notes of your own.
   * @example { "plan": "enterprise", "region": "eu" }
   */
  metadata: Record<string, string>;

  /**
   * Whether the payloads of its new events are stored encrypted with a key of its own.
   * @example false
   */
  encryptPayloads: boolean;

  /**
   * When it was registered.
   * @example "2026-11-22T09:30:00.000Z"
   */
  createdAt: Date;

  /**
   * When it was last changed.
   * @example "2026-11-22T09:30:00.000Z"
   */
  updatedAt: Date;
}

/** Subscribers, newest first. */
export class SubscriberPageDto {
  /** The items of this page. */
  data: SubscriberDto[];

  /**
   * Give it as `cursor` to get the next page; null on the last one.
   * @example null
   */
  nextCursor: string | null;
}
