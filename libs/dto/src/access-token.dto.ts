import {
  DESCRIPTION_LENGTH_MAX,
  TOKEN_SECONDS_MAX,
  TOKEN_SECONDS_MIN,
  TOKEN_MODES,
  type TokenMode,
} from '@app/contracts';
import { IsIn, IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import { atMost, IsPlainText } from './field-rules.js';

/** An access token to make for a customer. */
export class CreateAccessTokenDto {
  /**
   * `read`: see its endpoints, events and deliveries. `manage`: also change its endpoints, see and rotate their signing
   * secrets, send test events, resend and replay. Default: `read`.
   * @example "manage"
   */
  @IsOptional()
  @IsIn(TOKEN_MODES)
  mode?: TokenMode;

  /**
   * How long it is good for, in seconds, from a minute to a day. Default: an hour.
   * @example 3600
   */
  @IsOptional()
  @IsInt()
  @Min(TOKEN_SECONDS_MIN)
  @Max(TOKEN_SECONDS_MAX, atMost(TOKEN_SECONDS_MAX))
  expiresInSeconds?: number;

  /**
   * Whom or what it is for, as the list and the audit log show it.
   * @example "portal session of user 4711"
   */
  @IsOptional()
  @IsString()
  @IsPlainText()
  @MaxLength(DESCRIPTION_LENGTH_MAX, atMost(DESCRIPTION_LENGTH_MAX))
  description?: string;
}

/** An access token. Nobody can show its text. */
export class AccessTokenDto {
  /**
   * The id of the token; its text contains it.
   * @example "tok_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  id: string;

  /**
   * The subscriber that it sees, and no other.
   * @example "sub_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  subscriber: string;

  /**
   * What it may do.
   * @example "read"
   */
  mode: TokenMode;

  /**
   * Whom or what it is for.
   * @example "portal session of user 4711"
   */
  description: string;

  /**
   * When it was made.
   * @example "2026-11-22T09:30:00.000Z"
   */
  createdAt: Date;

  /**
   * When it ends by itself.
   * @example "2026-11-22T10:30:00.000Z"
   */
  expiresAt: Date;

  /**
   * When it was revoked; null while it was not.
   * @example null
   */
  revokedAt: Date | null;

  /**
   * When it was last used, give or take a minute; null for never.
   * @example null
   */
  lastUsedAt: Date | null;

  /**
   * The address that it was then used from.
   * @example null
   */
  lastUsedIp: string | null;
}

/** An access token that was just made. */
export class CreatedAccessTokenDto extends AccessTokenDto {
  /**
   * Its text, for `Authorization: Bearer …`: shown this once. Null when an `Idempotency-Key` repeats the answer, because
   * nobody keeps it: make another one then.
   * @example "pht_live_01kany2t2bfd0rk8d6x0p9h3qa_…"
   */
  token: string | null;
}

/** Access tokens of a subscriber, newest first; those that are over disappear after a day. */
export class AccessTokenPageDto {
  /** The items of this page. */
  data: AccessTokenDto[];

  /**
   * Give it as `cursor` to get the next page; null on the last one.
   * @example null
   */
  nextCursor: string | null;
}
