import { withoutAttempt, type Outcome } from '@app/delivery';

/** How a ticket ends here for which no request was made, beside what `gate` says of its delivery. None of these burns a try. */

/** The delivery is over or gone: only its ticket is to end. */
export const NOTHING_TO_DO = withoutAttempt({ status: 'cancelled', reason: 'endpoint_deleted' });

/** As it was: due now, for any worker. */
export const GIVEN_BACK = withoutAttempt({ status: 'pending', place: 'queued', inSeconds: 0 });

/** Its endpoint spends more on retries than it wants to; looked at again when the window has moved on. */
export const OVER_BUDGET = withoutAttempt({
  status: 'pending',
  place: 'waiting',
  inSeconds: 10,
  because: 'retry_budget',
});

/** A bug of ours on this row: others go on, and it is tried again, not at once. */
export const BROKEN = withoutAttempt({
  status: 'pending',
  place: 'waiting',
  inSeconds: 60,
  because: 'platform_fault',
});

/** Its rate's slot is beyond what is kept in memory: its place in the lane stays taken, so that not the whole backlog passes by here. */
export function inTheQueue(nextInMs: number): Outcome {
  const inSeconds = Math.min(
    RATE_WAIT_SECONDS_MAX,
    Math.max(RATE_WAIT_SECONDS_MIN, (nextInMs - BEFORE_SLOT_MS) / 1000),
  );
  return withoutAttempt({ status: 'pending', place: 'queued', inSeconds, because: 'rate_limit' });
}

// Longer than a round trip, so that a full rate is not asked over and over; and not for ever, because limits are changed.
const RATE_WAIT_SECONDS_MIN = 1;
const RATE_WAIT_SECONDS_MAX = 30;
// Back here in time to wait for the exact instant in memory.
const BEFORE_SLOT_MS = 2000;
