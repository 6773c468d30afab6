import {
  CUSTOM_HEADERS_MAX,
  DESCRIPTION_LENGTH_MAX,
  DISABLED_REASON_LENGTH_MAX,
  EVENT_TYPE_LENGTH_MAX,
  EVENT_TYPE_PATTERNS_MAX,
  TIMEOUT_SECONDS_MAX,
  TIMEOUT_SECONDS_MIN,
  URL_LENGTH_MAX,
} from '@app/contracts';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsBoolean,
  IsIn,
  IsInt,
  IsObject,
  IsOptional,
  IsString,
  Max,
  MaxLength,
  Min,
  MinLength,
  ValidateNested,
} from 'class-validator';
import type { AuthDto, SignatureHeaderDto, TlsDto } from './endpoint-credentials.dto.js';
import { AutoDisableDto, OnFailureDto, type RateLimitDto } from './endpoint-policies.dto.js';
import { AsGiven, atMost, IfNotNull, IfPresent, IsPlainText, IsTexts } from './field-rules.js';
import type { RetryPolicyDto } from './retry-policy.dto.js';
import { METADATA_BOUNDS } from './subscriber.dto.js';

// What a header may be is the domain's rule; this only bounds what is looked at.
const HEADER_BOUNDS = { entriesMax: CUSTOM_HEADERS_MAX, nameLengthMax: 256, valueLengthMax: 8192 };

/** An endpoint to register. */
export class CreateEndpointDto {
  /**
   * Where events are posted to: https, a name or address of the public internet, no user name or password. Stored and shown as it is used: lower case, punycode, without a fragment.
   * @example "https://hooks.acme.example.com/posthorn"
   */
  @IsString()
  @IsPlainText()
  @MinLength(1)
  @MaxLength(URL_LENGTH_MAX, atMost(URL_LENGTH_MAX))
  url: string;

  /**
   * What people call it.
   * @example "Billing, production"
   */
  @IsOptional()
  @IsString()
  @IsPlainText()
  @MaxLength(DESCRIPTION_LENGTH_MAX, atMost(DESCRIPTION_LENGTH_MAX))
  description?: string;

  /**
   * The events it gets: exact types, families such as `invoice.*` (one or more further segments), or `*` for all.
   * Default: `["*"]`.
   * @example ["invoice.*", "customer.created"]
   */
  @IsOptional()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(EVENT_TYPE_PATTERNS_MAX, atMost(EVENT_TYPE_PATTERNS_MAX))
  @IsString({ each: true })
  @MaxLength(EVENT_TYPE_LENGTH_MAX, { each: true, context: { limit: EVENT_TYPE_LENGTH_MAX } })
  eventTypes?: string[];

  /**
   * Headers to send with every delivery, up to 20. Their values are never shown again.
   * @example { "x-tenant": "acme" }
   */
  @IsOptional()
  @AsGiven()
  @IsTexts(HEADER_BOUNDS)
  headers?: Record<string, string>;

  /**
   * Your own signing secret: `whsec_` and 24 to 64 bytes in base64. Default: we make one.
   * @example "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
   */
  @IsOptional()
  @IsString()
  @MaxLength(256, atMost(256))
  secret?: string;

  /**
   * The signatures in `webhook-signature`: `v1` (HMAC with the secret), `v1a` (ed25519: we make a key pair, you get its public
   * half), or both. Default: `["v1"]`.
   * @example ["v1"]
   */
  @IfPresent()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(2, atMost(2))
  @IsIn(['v1', 'v1a'], { each: true })
  signatures?: ('v1' | 'v1a')[];

  /**
   * Further headers with a signature, up to 3, for receivers that were written for somebody else's.
   * @example [{ "name": "x-hub-signature-256", "format": "github" }]
   */
  @IfNotNull()
  @AsGiven()
  @IsArray()
  signatureHeaders?: SignatureHeaderDto[] | null;

  /**
   * What to send in `authorization`. Default: nothing. Its secrets are never shown again.
   * @example { "type": "bearer", "token": "a-token-that-your-receiver-knows" }
   */
  @IfNotNull()
  @AsGiven()
  @IsObject()
  auth?: AuthDto | null;

  /**
   * How TLS is spoken to it: a client certificate with its key, and an authority that vouches for the receiver. Default:
   * none, and the public authorities.
   * @example null
   */
  @IfNotNull()
  @AsGiven()
  @IsObject()
  tls?: TlsDto | null;

  /**
   * How many seconds one attempt may take in all, 1 to 30. Default: 15.
   * @example 15
   */
  @IsOptional()
  @IsInt()
  @Min(TIMEOUT_SECONDS_MIN)
  @Max(TIMEOUT_SECONDS_MAX, atMost(TIMEOUT_SECONDS_MAX))
  timeoutSeconds?: number;

  /**
   * When a delivery that failed is tried again. Default: 13 tries over three days. It goes before the policy of the event type.
   * @example { "type": "exponential", "initialSeconds": 10, "maxSeconds": 3600, "attemptsMax": 10 }
   */
  @IfNotNull()
  @AsGiven()
  @IsObject()
  retryPolicy?: RetryPolicyDto | null;

  /**
   * How much it takes at most. Default: no limit. What is above waits for its turn, which uses up no attempt.
   * @example { "algorithm": "token_bucket", "limit": 100, "per": 60, "burst": 20 }
   */
  @IfNotNull()
  @AsGiven()
  @IsObject()
  rateLimit?: RateLimitDto | null;

  /**
   * Whether it gets events one after the other, in the order in which they were accepted: all of them, or those with the
   * same `orderingKey`. Default: false.
   * @example false
   */
  @IfPresent()
  @IsBoolean()
  ordered?: boolean;

  /**
   * What a delivery that has failed for good means for those behind it at an ordered endpoint. `block`: they wait until it
   * is resent or cancelled. `skip`: they follow. Default: `block`.
   * @example "block"
   */
  @IfPresent()
  @IsIn(['block', 'skip'])
  orderedFailure?: 'block' | 'skip';

  /**
   * Of the attempts in a while, how many percent may be retries, 1 to 100; beyond it they wait. Default: 100, all of them.
   * @example 100
   */
  @IfPresent()
  @IsInt()
  @Min(1)
  @Max(100, atMost(100))
  retryBudgetPercent?: number;

  /** Who is told when a delivery to this endpoint has failed for good. Default: nobody. */
  @IfNotNull()
  @IsObject()
  @ValidateNested()
  @Type(() => OnFailureDto)
  onFailure?: OnFailureDto | null;

  /**
   * When it is disabled because it only fails; null for never. Default: after 5 days and 20 attempts. What is absent in it has its default.
   * @example { "afterSeconds": 432000, "attemptsMin": 20 }
   */
  @IfNotNull()
  @IsObject()
  @ValidateNested()
  @Type(() => AutoDisableDto)
  autoDisable?: AutoDisableDto | null;

  /**
   * How it has to prove that it wants events. `none`: it need not.
   * `challenge`: it answers a challenge with the challenge. `cloudevents`: it allows our origin, by the handshake of
   * CloudEvents webhooks. `POST …/verify` asks for the proof; until it is given events are held. Default: `none`.
   * @example "challenge"
   */
  @IfPresent()
  @IsIn(['none', 'challenge', 'cloudevents'])
  verification?: 'none' | 'challenge' | 'cloudevents';

  /**
   * Notes of your own: up to 50 names of 64 characters, with texts of 512.
   * @example { "team": "billing" }
   */
  @IsOptional()
  @AsGiven()
  @IsTexts(METADATA_BOUNDS)
  metadata?: Record<string, string>;
}

/** What of an endpoint is to change; what is absent stays. Secrets are changed by rotating, states by their actions. */
export class ChangeEndpointDto {
  /**
   * The new URL. Deliveries that wait go there too. At another host (or scheme, or port), header values and `auth` do not go
   * along: give them again in the same change, or null.
   * @example "https://hooks.acme.example.com/v2/posthorn"
   */
  @IfPresent()
  @IsString()
  @IsPlainText()
  @MinLength(1)
  @MaxLength(URL_LENGTH_MAX, atMost(URL_LENGTH_MAX))
  url?: string;

  /**
   * The new description.
   * @example "Billing, production, second region"
   */
  @IfPresent()
  @IsString()
  @IsPlainText()
  @MaxLength(DESCRIPTION_LENGTH_MAX, atMost(DESCRIPTION_LENGTH_MAX))
  description?: string;

  /**
   * The patterns, all of them: they replace the old ones.
   * @example ["*"]
   */
  @IfPresent()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(EVENT_TYPE_PATTERNS_MAX, atMost(EVENT_TYPE_PATTERNS_MAX))
  @IsString({ each: true })
  @MaxLength(EVENT_TYPE_LENGTH_MAX, { each: true, context: { limit: EVENT_TYPE_LENGTH_MAX } })
  eventTypes?: string[];

  /**
   * Merged name by name: null takes a header away, headers that are absent stay. A masked value, sent back as it was
   * shown, changes nothing.
   * @example { "x-tenant": "acme-eu", "x-old": null }
   */
  @IfNotNull()
  @AsGiven()
  @IsTexts({ ...HEADER_BOUNDS, orNull: true })
  headers?: Record<string, string | null> | null;

  /**
   * The signatures in `webhook-signature`: `v1` (HMAC with the secret), `v1a` (ed25519: we make a key pair, you get its public
   * half), or both. A key pair is made when there is none yet.
   * @example ["v1"]
   */
  @IfPresent()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(2, atMost(2))
  @IsIn(['v1', 'v1a'], { each: true })
  signatures?: ('v1' | 'v1a')[];

  /**
   * Further headers with a signature, up to 3: they replace the old ones. A masked secret, sent back as it was shown, stays.
   * @example [{ "name": "x-hub-signature-256", "format": "github" }]
   */
  @IfNotNull()
  @AsGiven()
  @IsArray()
  signatureHeaders?: SignatureHeaderDto[] | null;

  /**
   * What to send in `authorization`; it replaces the old one whole, null takes it away. A masked secret, sent back as it was
   * shown, stays, unless the token URL changes. Access tokens that were fetched with the old settings are forgotten.
   * @example { "type": "bearer", "token": "a-token-that-your-receiver-knows" }
   */
  @IfNotNull()
  @AsGiven()
  @IsObject()
  auth?: AuthDto | null;

  /**
   * How TLS is spoken to it, merged field by field: null takes one away, what is absent stays. Null for the whole takes all away.
   * @example null
   */
  @IfNotNull()
  @AsGiven()
  @IsObject()
  tls?: TlsDto | null;

  /**
   * How many seconds one attempt may take in all, 1 to 30.
   * @example 30
   */
  @IfPresent()
  @IsInt()
  @Min(TIMEOUT_SECONDS_MIN)
  @Max(TIMEOUT_SECONDS_MAX, atMost(TIMEOUT_SECONDS_MAX))
  timeoutSeconds?: number;

  /**
   * When a delivery that failed is tried again; it replaces the old policy whole, null goes back to the default. It goes before the policy of the event type.
   * @example { "type": "exponential", "initialSeconds": 10, "maxSeconds": 3600, "attemptsMax": 10 }
   */
  @IfNotNull()
  @AsGiven()
  @IsObject()
  retryPolicy?: RetryPolicyDto | null;

  /**
   * How much it takes at most; it replaces the old limit whole, null takes it away. What is above waits for its turn, which uses up no attempt.
   * @example { "algorithm": "token_bucket", "limit": 100, "per": 60, "burst": 20 }
   */
  @IfNotNull()
  @AsGiven()
  @IsObject()
  rateLimit?: RateLimitDto | null;

  /**
   * Whether it gets events one after the other, in the order in which they were accepted: all of them, or those with the
   * same `orderingKey`. Counts for events that are accepted from now on.
   * @example false
   */
  @IfPresent()
  @IsBoolean()
  ordered?: boolean;

  /**
   * What a delivery that has failed for good means for those behind it at an ordered endpoint. `block`: they wait until it
   * is resent or cancelled. `skip`: they follow.
   * @example "block"
   */
  @IfPresent()
  @IsIn(['block', 'skip'])
  orderedFailure?: 'block' | 'skip';

  /**
   * Of the attempts in a while, how many percent may be retries, 1 to 100; beyond it they wait.
   * @example 100
   */
  @IfPresent()
  @IsInt()
  @Min(1)
  @Max(100, atMost(100))
  retryBudgetPercent?: number;

  /** Who is told when a delivery to this endpoint has failed for good; null for nobody. */
  @IfNotNull()
  @IsObject()
  @ValidateNested()
  @Type(() => OnFailureDto)
  onFailure?: OnFailureDto | null;

  /**
   * When it is disabled because it only fails; null for never. What is absent in it has its default.
   * @example { "afterSeconds": 432000, "attemptsMin": 20 }
   */
  @IfNotNull()
  @IsObject()
  @ValidateNested()
  @Type(() => AutoDisableDto)
  autoDisable?: AutoDisableDto | null;

  /**
   * How it has to prove that it wants events; it has to be given again, also after another URL. `none`: it need not.
   * `challenge`: it answers a challenge with the challenge. `cloudevents`: it allows our origin, by the handshake of
   * CloudEvents webhooks. `POST …/verify` asks for the proof; until it is given events are held.
   * @example "challenge"
   */
  @IfPresent()
  @IsIn(['none', 'challenge', 'cloudevents'])
  verification?: 'none' | 'challenge' | 'cloudevents';

  /**
   * Merged name by name: null takes a name away, names that are absent stay. Null for the whole takes them all away.
   * @example { "team": "payments" }
   */
  @IfNotNull()
  @AsGiven()
  @IsTexts({ ...METADATA_BOUNDS, orNull: true })
  metadata?: Record<string, string | null> | null;
}

/** Why an endpoint is disabled. */
export class DisableEndpointDto {
  /**
   * Shown with the endpoint and with the deliveries that it cancels.
   * @example "Moving to a new host until Monday"
   */
  @IsOptional()
  @IsString()
  @IsPlainText()
  @MinLength(1)
  @MaxLength(DISABLED_REASON_LENGTH_MAX, atMost(DISABLED_REASON_LENGTH_MAX))
  reason?: string;
}
