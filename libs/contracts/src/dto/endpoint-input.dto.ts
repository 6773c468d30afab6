import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsInt,
  IsOptional,
  IsString,
  Max,
  MaxLength,
  Min,
  MinLength,
} from 'class-validator';
import {
  CUSTOM_HEADERS_MAX,
  DESCRIPTION_LENGTH_MAX,
  DISABLED_REASON_LENGTH_MAX,
  EVENT_TYPE_LENGTH_MAX,
  EVENT_TYPE_PATTERNS_MAX,
  TIMEOUT_SECONDS_MAX,
  TIMEOUT_SECONDS_MIN,
  URL_LENGTH_MAX,
} from '../limits.js';
import { AsGiven, atMost, IfNotNull, IfPresent, IsPlainText, IsTexts } from './field-rules.js';
import { METADATA_BOUNDS } from './subscriber.dto.js';

// What a header may be is the domain's rule; this only bounds what is looked at.
const HEADER_BOUNDS = { entriesMax: CUSTOM_HEADERS_MAX, nameLengthMax: 256, valueLengthMax: 8192 };

/** An endpoint to register. */
export class CreateEndpointDto {
  /**
   * Where events are posted to: https or http, on the public internet, without user name and password.
   * @example "https://hooks.acme.example/posthorn"
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
   * How many seconds one attempt may take in all, 1 to 30. Default: 15.
   * @example 15
   */
  @IsOptional()
  @IsInt()
  @Min(TIMEOUT_SECONDS_MIN)
  @Max(TIMEOUT_SECONDS_MAX, atMost(TIMEOUT_SECONDS_MAX))
  timeoutSeconds?: number;

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
   * The new URL. Deliveries that wait go there too.
   * @example "https://hooks.acme.example/v2/posthorn"
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
   * How many seconds one attempt may take in all, 1 to 30.
   * @example 30
   */
  @IfPresent()
  @IsInt()
  @Min(TIMEOUT_SECONDS_MIN)
  @Max(TIMEOUT_SECONDS_MAX, atMost(TIMEOUT_SECONDS_MAX))
  timeoutSeconds?: number;

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
