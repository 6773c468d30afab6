import { IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import { SECRET_OVERLAP_SECONDS_MAX } from '../limits.js';
import { atMost } from './field-rules.js';

/** How to rotate a signing secret. */
export class RotateSecretDto {
  /**
   * Your own new secret: `whsec_` and 24 to 64 bytes in base64. Default: we make one.
   * @example "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDC2FVsBQIhrs="
   */
  @IsOptional()
  @IsString()
  @MaxLength(256, atMost(256))
  secret?: string;

  /**
   * How long the old secrets go on signing beside the new one, up to 7 days. Default: 86400, a day. 0 ends them at once:
   * for a secret that leaked.
   * @example 86400
   */
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(SECRET_OVERLAP_SECONDS_MAX, atMost(SECRET_OVERLAP_SECONDS_MAX))
  overlapSeconds?: number;
}

/** A secret that signs now. */
export class EndpointSecretDto {
  /**
   * What your receiver verifies signatures with.
   * @example "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
   */
  secret: string;

  /**
   * When it was made.
   * @example "2026-11-22T09:30:00.000Z"
   */
  createdAt: Date;

  /**
   * When it stops signing; null for the current one.
   * @example null
   */
  expiresAt: Date | null;
}

/** The secrets that sign now, newest first: one signature each, in this order. */
export class EndpointSecretsDto {
  /** Newest first. */
  data: EndpointSecretDto[];
}
