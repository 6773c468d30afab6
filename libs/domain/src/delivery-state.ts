import { FAILURES } from './failure.js';
import type { FailureClass } from './failure.js';
import type { Random } from './random.js';
import { jittered, nextRetryDelaySeconds } from './retry-policy.js';

/** `pending` until it ends in one of the others; a resend makes any of them pending again. */
export const DELIVERY_STATUSES = ['pending', 'delivered', 'failed', 'cancelled'] as const;
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];

/** Where a pending delivery is: `queued` has a job that is due, `waiting` one that is deferred, `held` has none. */
export const DELIVERY_PLACES = ['queued', 'held', 'waiting'] as const;
export type DeliveryPlace = (typeof DELIVERY_PLACES)[number];

/** Why an attempt is made. All take the same road. */
export const TRIGGERS = ['event', 'retry', 'resend', 'replay', 'test'] as const;
export type Trigger = (typeof TRIGGERS)[number];

export const CANCEL_REASONS = ['endpoint_disabled', 'endpoint_deleted', 'subscriber_deleted'] as const;
export type CancelReason = (typeof CANCEL_REASONS)[number];

/** null is success. */
export interface AttemptOutcome {
  readonly failure: FailureClass | null;
}

/** What becomes of the delivery. `reason` is shown beside the next attempt's due time. */
export type Decision =
  | { readonly status: 'delivered' }
  | { readonly status: 'failed'; readonly failure: FailureClass }
  | {
      readonly status: 'pending';
      readonly retryInSeconds: number;
      readonly reason: 'retry_schedule' | 'platform_fault';
    };

// Soon, because the receiver did nothing wrong; not at once, because what broke us may break us again.
const PLATFORM_FAULT_DELAY_SECONDS = 10;

/**
 * What one attempt's outcome makes of its delivery. `triesDone` counts the tries that burned one, this one included.
 *
 * A fault of ours burns none (waiting is not failing): it never ends a delivery and the caller does not count it, so what
 * bounds a delivery that only ever meets our faults is its age, not this function.
 */
export function decide(outcome: AttemptOutcome, triesDone: number, random: Random): Decision {
  const { failure } = outcome;
  if (failure === null) return { status: 'delivered' };
  const { chargeTo, retry } = FAILURES[failure];
  if (chargeTo === 'platform') {
    const retryInSeconds = jittered(PLATFORM_FAULT_DELAY_SECONDS, random);
    return { status: 'pending', retryInSeconds, reason: 'platform_fault' };
  }
  const retryInSeconds = retry ? nextRetryDelaySeconds(triesDone, random) : null;
  if (retryInSeconds === null) return { status: 'failed', failure };
  return { status: 'pending', retryInSeconds, reason: 'retry_schedule' };
}
