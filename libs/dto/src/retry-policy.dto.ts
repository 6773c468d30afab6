import { Allow } from 'class-validator';
import { AsGiven } from './field-rules.js';

// What may stand in these fields is the domain's rule (retryPolicyProblems), which names the field that is wrong: here
// they are only let through.

/**
 * When a delivery that failed is tried again: `type` and the fields that belong to it; of the others those that are absent
 * have a default. Delays are counted from the end of the try before; the first try is always at once.
 */
export class RetryPolicyDto {
  /**
   * `schedule`: a list of delays. `exponential`: each delay is `factor` times the one before. `linear`: each is
   * `incrementSeconds` longer. `fixed`: all are equal.
   * @example "exponential"
   */
  @Allow()
  @AsGiven()
  type: 'schedule' | 'exponential' | 'linear' | 'fixed';

  /**
   * Of a `schedule`, where it is required: the delay after each failed try, 1 to 100 of up to 7 days. The last one is used
   * again when `attemptsMax` asks for more.
   * @example [5, 60, 600, 3600, 86400]
   */
  @Allow()
  @AsGiven()
  delaysSeconds?: number[];

  /**
   * Of `exponential` and `linear`, where it is required: the delay after the first try.
   * @example 10
   */
  @Allow()
  @AsGiven()
  initialSeconds?: number;

  /**
   * Of `exponential`: 1 to 10. Default: 2.
   * @example 2
   */
  @Allow()
  @AsGiven()
  factor?: number;

  /**
   * Of `linear`, where it is required: how much longer each delay is.
   * @example 60
   */
  @Allow()
  @AsGiven()
  incrementSeconds?: number;

  /**
   * Of `exponential` and `linear`: no delay is longer. Default: 86400, a day.
   * @example 3600
   */
  @Allow()
  @AsGiven()
  maxSeconds?: number;

  /**
   * Of `fixed`, where it is required: every delay.
   * @example 300
   */
  @Allow()
  @AsGiven()
  delaySeconds?: number;

  /**
   * How delays are spread, so that what failed at once does not come back at once. `none`: not. `full`: 0 to 1 of the
   * delay. `equal`: ½ to 1. `proportional`: ½ to 1½. Default: `proportional` for a schedule, else `equal`.
   * @example "equal"
   */
  @Allow()
  @AsGiven()
  jitter?: 'none' | 'full' | 'equal' | 'proportional';

  /**
   * Tries in all, the first one included, 1 to 100. Default: 13; of a schedule one more than it has delays.
   * @example 10
   */
  @Allow()
  @AsGiven()
  attemptsMax?: number;

  /**
   * No try is made later than this after the event was accepted, whatever the delays say; 60 to 2592000 (30 days).
   * Default: 604800, a week.
   * @example 259200
   */
  @Allow()
  @AsGiven()
  ageMaxSeconds?: number;

  /**
   * How many seconds one attempt may take in all, 1 to 30. Default: the endpoint's `timeoutSeconds`.
   * @example 15
   */
  @Allow()
  @AsGiven()
  timeoutSeconds?: number;

  /**
   * Whether 4xx answers that end a delivery at once (all but 408, 410, 425 and 429) are tried again like others.
   * Default: false.
   * @example false
   */
  @Allow()
  @AsGiven()
  retryClientErrors?: boolean;
}

/** A policy to see the tries of: what is absent has its default. */
export class PreviewRetryPolicyDto extends RetryPolicyDto {}

/** When one try is due, in seconds after the event was accepted, as if every try before failed at once. */
export class TryTimesDto {
  /**
   * With the smallest jitter.
   * @example 2.5
   */
  earliest: number;

  /**
   * Without jitter.
   * @example 5
   */
  nominal: number;

  /**
   * With the largest jitter.
   * @example 7.5
   */
  latest: number;
}

/** One try that a policy gives. */
export class PreviewedTryDto {
  /**
   * Counts from 1, which is at once.
   * @example 2
   */
  n: number;

  /** When it is due. */
  afterSeconds: TryTimesDto;
}

/** What a policy does. */
export class RetryPolicyPreviewDto {
  /** The policy with every default filled in. */
  policy: RetryPolicyDto;

  /** Every try in order, while the delivery is not too old. */
  tries: PreviewedTryDto[];

  /** When the last try is due: what still fails then has `failed`. */
  lastTryAfterSeconds: TryTimesDto;
}
