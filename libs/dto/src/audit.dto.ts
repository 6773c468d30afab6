import { AUDIT_ACTIONS, type AuditAction, type AuditActorKind, EXTERNAL_ID_LENGTH_MAX } from '@app/contracts';
import { IsIn, IsOptional, IsString, Length, Matches, MaxLength } from 'class-validator';
import { IsPlainText } from './field-rules.js';
import { INSTANT, SUBSCRIBER } from './filter-patterns.js';
import { PageQueryDto } from './page.dto.js';

/** Which rows of the audit log. */
export class ListAuditQueryDto extends PageQueryDto {
  /**
   * What was done to, or by, one subscriber: its id (`sub_…`) or your own `externalId` for it. A deleted one is found by its id.
   * @example "acme-corp"
   */
  @IsOptional()
  @IsString()
  @IsPlainText()
  @Length(1, EXTERNAL_ID_LENGTH_MAX)
  @Matches(...SUBSCRIBER)
  subscriber?: string;

  /**
   * What one actor did: the id of a key (`key_…`) or an access token (`tok_…`), or a kind: `key`, `token`, `cli`, `system`.
   * @example "key_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  @IsOptional()
  @Matches(/^((key|tok)_[0-7][0-9a-hjkmnp-tv-z]{25}|key|token|cli|system)$/, {
    message: '$property must be an id, key_… or tok_…, or one of key, token, cli, system',
  })
  actor?: string;

  /**
   * Rows of one action.
   * @example "endpoint_secret.reveal"
   */
  @IsOptional()
  @IsIn(AUDIT_ACTIONS)
  action?: AuditAction;

  /**
   * What happened to one thing: its id, or the name of an event type.
   * @example "ep_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  @IsOptional()
  @IsString()
  @IsPlainText()
  @MaxLength(256)
  object?: string;

  /**
   * At this instant or later.
   * @example "2026-11-22T00:00:00Z"
   */
  @IsOptional()
  @Matches(...INSTANT)
  since?: string;

  /**
   * Before this instant.
   * @example "2026-11-23T00:00:00Z"
   */
  @IsOptional()
  @Matches(...INSTANT)
  until?: string;
}

/** Who did it. */
export class AuditActorDto {
  /**
   * An API key, a customer's access token, the command line, or Posthorn by itself.
   * @example "key"
   */
  kind: AuditActorKind;

  /**
   * The id of the key or token; of the command line the user of the machine; of Posthorn the part that acted.
   * @example "key_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  id: string;
}

/** One change that somebody made, or one look at a secret. */
export class AuditEntryDto {
  /**
   * The id of the row.
   * @example "aud_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  id: string;

  /**
   * When it was done, by the database's clock.
   * @example "2026-11-22T09:30:00.000Z"
   */
  at: Date;

  /** Who did it. */
  actor: AuditActorDto;

  /**
   * What was done.
   * @example "endpoint.update"
   */
  action: string;

  /**
   * The method and route that did it; null for what did not come through the API.
   * @example "PATCH /v1/subscribers/:subscriber/endpoints/:endpoint"
   */
  route: string | null;

  /**
   * What it was done to: an id, or the name of an event type.
   * @example "ep_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  object: string;

  /**
   * Whose it is; null for what belongs to no subscriber.
   * @example "sub_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  subscriber: string | null;

  /**
   * The fields that differ, as they were; null for what was not there. Whatever may be a secret is `(set)`.
   * @example { "url": "https://hooks.acme.example/old" }
   */
  before: Record<string, unknown> | null;

  /**
   * The fields that differ, as they are; null for what is no longer there. Whatever may be a secret is `(set)`, or `(changed)`.
   * @example { "url": "https://hooks.acme.example/new", "headers": { "authorization": "(changed)" } }
   */
  after: Record<string, unknown> | null;

  /**
   * The address that the request came from.
   * @example "198.51.100.7"
   */
  ip: string | null;

  /**
   * The `X-Request-Id` of the request.
   * @example "0b7e5d5e-6c59-4a57-9c0a-6f1d2f0f6d11"
   */
  requestId: string | null;
}

/** Rows of the audit log, newest first. */
export class AuditPageDto {
  /** The items of this page. */
  data: AuditEntryDto[];

  /**
   * Give it as `cursor` to get the next page; null on the last one.
   * @example null
   */
  nextCursor: string | null;
}
