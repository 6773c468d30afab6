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
// 10 s, 20 s, … 10 min: a fault of ours that lasts must not fill the table with attempts.
const PLATFORM_FAULT_DOUBLINGS_MAX = 6;
// A week of them at ten minutes each: by then somebody has to look, and can resend.
const PLATFORM_FAULTS_MAX = 1000;

/** What the delivery has been through, this attempt included in `triesDone`. */
export interface DeliveryHistory {
  /** Tries of this run that count against the schedule. */
  readonly triesDone: number;
  /** Attempts of this run that were made and did not count. */
  readonly platformFaults: number;
}

/**
 * What one attempt's outcome makes of its delivery. A fault of ours burns no try (waiting is not failing): it waits
 * longer each time, and ends the delivery only after a thousand of them.
 */
export function decide(outcome: AttemptOutcome, history: DeliveryHistory, random: Random): Decision {
  const { failure } = outcome;
  if (failure === null) return { status: 'delivered' };
  const { chargeTo, retry } = FAILURES[failure];
  if (chargeTo === 'platform') {
    if (history.platformFaults >= PLATFORM_FAULTS_MAX) return { status: 'failed', failure };
    const doublings = Math.min(history.platformFaults, PLATFORM_FAULT_DOUBLINGS_MAX);
    const retryInSeconds = jittered(PLATFORM_FAULT_DELAY_SECONDS * 2 ** doublings, random);
    return { status: 'pending', retryInSeconds, reason: 'platform_fault' };
  }
  const retryInSeconds = retry ? nextRetryDelaySeconds(history.triesDone, random) : null;
  if (retryInSeconds === null) return { status: 'failed', failure };
  return { status: 'pending', retryInSeconds, reason: 'retry_schedule' };
}
