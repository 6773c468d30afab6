import { SECRET_OVERLAP_SECONDS_MAX } from '@app/contracts';
import { IsIn, IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import { atMost, IfPresent } from './field-rules.js';

/** How to rotate a signing secret. */
export class RotateSecretDto {
  /**
   * Which kind of signature: `v1` gets a new secret, `v1a` a new key pair of ed25519, whose private half is made by us.
   * Default: `v1`, or `v1a` at an endpoint that signs with nothing else.
   * @example "v1"
   */
  @IfPresent()
  @IsIn(['v1', 'v1a'])
  kind?: 'v1' | 'v1a';

  /**
   * Your own new secret: `whsec_` and 24 to 64 bytes in base64. Default: we make one. Not for `v1a`.
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

/** A secret or key that signs now. */
export class EndpointSecretDto {
  /**
   * The kind of signature that it makes: `v1` (HMAC) or `v1a` (ed25519).
   * @example "v1"
   */
  kind: 'v1' | 'v1a';

  /**
   * Of `v1`: what your receiver verifies signatures with. Null for `v1a`: nobody sees a private key.
   * @example "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
   */
  secret: string | null;

  /**
   * Of `v1a`: what your receiver verifies signatures with. Null for `v1`.
   * @example null
   */
  publicKey: string | null;

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
