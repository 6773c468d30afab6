import {
  EXTERNAL_ID_LENGTH_MAX,
  KEY_NETWORKS_MAX,
  KEY_OVERLAP_SECONDS_MAX,
  KEY_SECONDS_MAX,
  KEY_SECONDS_MIN,
  NAME_LENGTH_MAX,
  SCOPES,
  type ApiScope,
} from '@app/contracts';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsIn,
  IsInt,
  IsOptional,
  IsString,
  Length,
  Matches,
  Max,
  MaxLength,
  Min,
} from 'class-validator';
import { atMost, IsNotBlank, IsPlainText } from './field-rules.js';
import { SUBSCRIBER } from './filter-patterns.js';

/** An API key to make. */
export class CreateApiKeyDto {
  /**
   * What it is for, as lists and the audit log show it.
   * @example "billing service"
   */
  @IsString()
  @IsPlainText()
  @IsNotBlank()
  @MaxLength(NAME_LENGTH_MAX, atMost(NAME_LENGTH_MAX))
  name: string;

  /**
   * What it may do; as little as will do.
   * @example ["events:write"]
   */
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(SCOPES.length, atMost(SCOPES.length))
  @IsIn(SCOPES, { each: true })
  scopes: ApiScope[];

  /**
   * The only subscriber that it sees: its id (`sub_…`) or your own `externalId` for it. Default: every one.
   * @example "acme-corp"
   */
  @IsOptional()
  @IsString()
  @IsPlainText()
  @Length(1, EXTERNAL_ID_LENGTH_MAX)
  @Matches(...SUBSCRIBER)
  subscriber?: string;

  /**
   * The networks or addresses that it may be used from; elsewhere it is refused as if there were no such key. Default: anywhere.
   * @example ["198.51.100.0/24", "2001:db8::/32"]
   */
  @IsOptional()
  @IsArray()
  @ArrayMaxSize(KEY_NETWORKS_MAX, atMost(KEY_NETWORKS_MAX))
  @IsString({ each: true })
  @MaxLength(64, { each: true })
  allowedIps?: string[];

  /**
   * How long it is good for, in seconds. Default: until it is revoked.
   * @example 2592000
   */
  @IsOptional()
  @IsInt()
  @Min(KEY_SECONDS_MIN)
  @Max(KEY_SECONDS_MAX, atMost(KEY_SECONDS_MAX))
  expiresInSeconds?: number;
}

/** How a key is to be rotated. */
export class RotateApiKeyDto {
  /**
   * How long the text before is good beside the new one, in seconds, up to 7 days; 0 ends it at once. Default: a day.
   * @example 86400
   */
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(KEY_OVERLAP_SECONDS_MAX, atMost(KEY_OVERLAP_SECONDS_MAX))
  overlapSeconds?: number;
}

/** An API key. Nobody can show its text. */
export class ApiKeyDto {
  /**
   * The id of the key; its text contains it.
   * @example "key_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  id: string;

  /**
   * What it is for.
   * @example "billing service"
   */
  name: string;

  /**
   * What it may do.
   * @example ["events:write"]
   */
  scopes: ApiScope[];

  /**
   * The only subscriber that it sees; null for every one.
   * @example null
   */
  subscriber: string | null;

  /**
   * The networks that it may be used from; none: from anywhere.
   * @example ["198.51.100.0/24"]
   */
  allowedIps: string[];

  /**
   * When it was made.
   * @example "2026-11-22T09:30:00.000Z"
   */
  createdAt: Date;

  /**
   * When it ends by itself; null for never.
   * @example "2026-12-22T09:30:00.000Z"
   */
  expiresAt: Date | null;

  /**
   * When it was last given another text; null for never.
   * @example null
   */
  rotatedAt: Date | null;

  /**
   * Until when the text before the last rotation is good too; null when it is not.
   * @example null
   */
  previousEndsAt: Date | null;

  /**
   * When it was revoked; null while it was not.
   * @example null
   */
  revokedAt: Date | null;

  /**
   * When it was last used, give or take a minute; null for never.
   * @example "2026-11-22T11:02:10.000Z"
   */
  lastUsedAt: Date | null;

  /**
   * The address that it was then used from.
   * @example "198.51.100.7"
   */
  lastUsedIp: string | null;
}

/** A key that has just got its text. */
export class ApiKeyWithTextDto extends ApiKeyDto {
  /**
   * Its text: keep it, it is shown this once. Null when an `Idempotency-Key` repeats the answer, because nobody keeps it:
   * rotate the key then.
   * @example "ph_live_01kany2t2bfd0rk8d6x0p9h3qa_…"
   */
  key: string | null;
}

/** API keys, newest first. */
export class ApiKeyPageDto {
  /** The items of this page. */
  data: ApiKeyDto[];

  /**
   * Give it as `cursor` to get the next page; null on the last one.
   * @example null
   */
  nextCursor: string | null;
}
