import { FAILURES } from './failure.js';
import type { FailureClass } from './failure.js';
import type { Random } from './random.js';
import { nextTry } from './retry-policy.js';
import type { RetryPolicy } from './retry-policy.js';

/** `pending` until it ends in one of the others; a resend makes any of them pending again. */
export const DELIVERY_STATUSES = ['pending', 'delivered', 'failed', 'cancelled'] as const;
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];

/** Where a pending delivery is: `queued` has a job that is due, `waiting` one that is deferred, `held` has none. */
export const DELIVERY_PLACES = ['queued', 'held', 'waiting'] as const;
export type DeliveryPlace = (typeof DELIVERY_PLACES)[number];

/** Why an attempt is made. All take the same road. */
export const TRIGGERS = ['event', 'retry', 'resend', 'replay', 'test'] as const;
export type Trigger = (typeof TRIGGERS)[number];

export const CANCEL_REASONS = [
  'endpoint_disabled',
  'endpoint_deleted',
  'subscriber_deleted',
  'staff',
] as const;
export type CancelReason = (typeof CANCEL_REASONS)[number];

/** Why a failed delivery is not tried again, beside its failure class. */
export const FAILED_REASONS = [
  'permanent', // the class says that trying again cannot help
  'attempts_exhausted',
  'too_old', // the next try would have come later than the policy's age
  'receiver_abort', // the receiver said abort-message or disable
  'platform_faults', // a thousand faults of ours
] as const;
export type GaveUp = (typeof FAILED_REASONS)[number];

/** What a receiver may say about us in its `webhook-delivery` header. */
export type ReceiverDirective = 'disable' | 'abort-message';

export interface AttemptOutcome {
  /** null is success. */
  readonly failure: FailureClass | null;
  readonly retryAfterSeconds: number | null;
  readonly directive: ReceiverDirective | null;
}

/** What becomes of the delivery. `disable`: and its endpoint is to be disabled, for that reason. */
export type Decision =
  | { readonly status: 'delivered'; readonly disable?: 'receiver_asked' }
  | {
      readonly status: 'failed';
      readonly failure: FailureClass;
      readonly gaveUp: GaveUp;
      readonly disable?: 'gone_410' | 'receiver_asked';
    }
  | {
      readonly status: 'pending';
      readonly retryInSeconds: number;
      /** Shown beside the next attempt's due time. */
      readonly reason: 'retry_schedule' | 'retry_after' | 'platform_fault';
    };

// Soon, because the receiver did nothing wrong; not at once, because what broke us may break us again.
const PLATFORM_FAULT_DELAY_SECONDS = 10;
// 10 s, 20 s, … 10 min: a fault of ours that lasts must not fill the table with attempts.
const PLATFORM_FAULT_DOUBLINGS_MAX = 6;
// A week of them at ten minutes each: by then somebody has to look, and can resend.
const PLATFORM_FAULTS_MAX = 1000;

/** What the delivery has been through, this attempt included in `triesDone`. */
export interface DeliveryHistory {
  /** Tries of this run that count against the policy. */
  readonly triesDone: number;
  /** Attempts of this run that were made and did not count. */
  readonly platformFaults: number;
  /** Since acceptance, or since the resend or replay that began this run. */
  readonly ageSeconds: number;
}

/**
 * What one attempt's outcome makes of its delivery. A fault of ours burns no try (waiting is not failing): it waits
 * longer each time, and ends the delivery only by age or after a thousand of them.
 */
export function decide(
  outcome: AttemptOutcome,
  history: DeliveryHistory,
  policy: RetryPolicy,
  random: Random,
): Decision {
  const { failure, directive, retryAfterSeconds } = outcome;
  if (failure === null) {
    return directive === 'disable'
      ? { status: 'delivered', disable: 'receiver_asked' }
      : { status: 'delivered' };
  }
  const { chargeTo, action } = FAILURES[failure];
  if (chargeTo === 'platform') return afterPlatformFault(failure, history, policy, random);
  if (action === 'disable') return { status: 'failed', failure, gaveUp: 'permanent', disable: 'gone_410' };
  if (chargeTo === 'receiver' && directive === 'disable')
    return { status: 'failed', failure, gaveUp: 'receiver_abort', disable: 'receiver_asked' };
  if (chargeTo === 'receiver' && directive === 'abort-message')
    return { status: 'failed', failure: 'receiver_abort', gaveUp: 'receiver_abort' };
  if (action === 'permanent' && !(policy.retryClientErrors && isClientError(failure)))
    return { status: 'failed', failure, gaveUp: gaveUpBy(failure) };
  const next = nextTry(policy, { ...history, retryAfterSeconds }, random);
  if (next.kind === 'give_up') return { status: 'failed', failure, gaveUp: next.because };
  return { status: 'pending', retryInSeconds: next.inSeconds, reason: next.reason };
}

function afterPlatformFault(
  failure: FailureClass,
  history: DeliveryHistory,
  policy: RetryPolicy,
  random: Random,
): Decision {
  if (history.platformFaults >= PLATFORM_FAULTS_MAX)
    return { status: 'failed', failure, gaveUp: 'platform_faults' };
  const doublings = Math.min(history.platformFaults, PLATFORM_FAULT_DOUBLINGS_MAX);
  const retryInSeconds = PLATFORM_FAULT_DELAY_SECONDS * 2 ** doublings * (0.5 + random.next());
  if (history.ageSeconds + retryInSeconds > policy.ageMaxSeconds)
    return { status: 'failed', failure, gaveUp: 'too_old' };
  return { status: 'pending', retryInSeconds, reason: 'platform_fault' };
}

function isClientError(failure: FailureClass): boolean {
  return failure === 'http_4xx' || failure === 'payload_too_large_413';
}

function gaveUpBy(failure: FailureClass): GaveUp {
  if (failure === 'expired') return 'too_old';
  return failure === 'receiver_abort' ? 'receiver_abort' : 'permanent';
}

/**
 * The order in which tickets are taken, higher first. Retries and replays come last: they are late already, and a flood of
 * them must not delay what has just happened. A resend has a person waiting for it and counts as a first attempt.
 */
export function ticketPriority(ticket: { critical: boolean; trigger: Trigger }): 0 | 1 | 2 {
  if (ticket.trigger === 'retry' || ticket.trigger === 'replay') return 0;
  return ticket.critical ? 2 : 1;
}
