import { DISABLE_AFTER_SECONDS_MAX, DISABLE_AFTER_SECONDS_MIN, DISABLE_ATTEMPTS_MAX } from '@app/contracts';
import { IsInt, IsOptional, Matches, Max, Min } from 'class-validator';
import { atMost } from './field-rules.js';
import { ENDPOINT_ID } from './filter-patterns.js';

/** How much an endpoint takes. Deliveries above it wait for their turn, which uses up no attempt. */
export class RateLimitDto {
  /**
   * `token_bucket`: up to `burst` at once, then evenly spaced. `leaky_bucket`: evenly spaced. `fixed_window`: `limit` in
   * each `per` of the clock. `sliding_window`: at most `limit` in any `per`.
   * @example "token_bucket"
   */
  algorithm: 'token_bucket' | 'leaky_bucket' | 'fixed_window' | 'sliding_window';

  /**
   * How many requests, 1 to 100000.
   * @example 100
   */
  limit: number;

  /**
   * In how many seconds, 1 to 86400.
   * @example 60
   */
  per: number;

  /**
   * Of a token bucket: how many may come at once after a rest. Default: `limit`.
   * @example 20
   */
  burst?: number;

  /**
   * Whether a 429 halves the rate for a while. Default: false.
   * @example true
   */
  adaptive?: boolean;
}

/** Who is told when a delivery has failed for good. */
export class OnFailureDto {
  /**
   * Another endpoint of the same subscriber: it gets `posthorn.delivery.failed` with the original event, whatever types it
   * wants.
   * @example "ep_01kany2t2bfd0rk8d6x0p9h3qb"
   */
  @Matches(...ENDPOINT_ID)
  endpoint: string;
}

/** When an endpoint that only fails is disabled: after so long and so many attempts, both. */
export class AutoDisableDto {
  /**
   * How long it must have failed without one success, 60 to 2678400 (31 days). Default: 432000, 5 days.
   * @example 432000
   */
  @IsOptional()
  @IsInt()
  @Min(DISABLE_AFTER_SECONDS_MIN)
  @Max(DISABLE_AFTER_SECONDS_MAX, atMost(DISABLE_AFTER_SECONDS_MAX))
  afterSeconds?: number;

  /**
   * And how often at least, 1 to 10000. Default: 20.
   * @example 20
   */
  @IsOptional()
  @IsInt()
  @Min(1)
  @Max(DISABLE_ATTEMPTS_MAX, atMost(DISABLE_ATTEMPTS_MAX))
  attemptsMin?: number;
}
