import type { DeliveryStatusRow } from '@app/persistence';

/** Why a pending delivery's next attempt is when it is. */
export const NEXT_ATTEMPT_REASONS = {
  first_attempt: 'It was just published and waits for its turn.',
  retry_schedule: 'The attempt before failed; the retry schedule says when to try again.',
  platform_fault:
    'A fault on our side stopped the attempt before; it counts against no one and is tried again soon.',
  resend: 'Somebody asked for it to be sent again.',
  replay: 'A replay sends it again.',
  test: 'It is a test event and waits for its turn.',
  in_flight: 'A worker is making the attempt right now.',
  lane_full: 'The endpoint has as many deliveries queued as it may; it follows when some have finished.',
  paused: 'The endpoint is paused; it follows when the endpoint is resumed.',
  unverified: 'The endpoint has yet to prove that it wants events; it follows when that is verified.',
  retry_after: 'The receiver answered with Retry-After; it is not asked again any earlier.',
  rate_limit: 'The endpoint has a rate limit; this is the moment that the limit gives it.',
  retry_budget:
    'Too many of the endpoint’s attempts are retries at the moment; those beyond its budget wait.',
  circuit:
    'The endpoint failed so often that its circuit is open: one probe is sent first, and the others follow when it succeeds.',
  order: 'The endpoint gets its events in order: it follows when those before it are over and there is room.',
} as const;
export type NextAttemptReason = keyof typeof NEXT_ATTEMPT_REASONS;

export interface NextAttempt {
  /** Null while it is held: it is due when there is room, and nobody knows when that is. */
  at: Date | null;
  code: NextAttemptReason;
  reason: string;
}

/** When the next attempt is due and why, or null for a delivery that is over. `claimed`: a worker has its ticket. */
export function nextAttemptOf(delivery: DeliveryStatusRow, claimed: boolean): NextAttempt | null {
  if (delivery.status !== 'pending') return null;
  const code = codeOf(delivery, claimed);
  return { at: delivery.place === 'held' ? null : delivery.dueAt, code, reason: NEXT_ATTEMPT_REASONS[code] };
}

function codeOf(delivery: DeliveryStatusRow, claimed: boolean): NextAttemptReason {
  if (claimed) return 'in_flight';
  if (delivery.paused) return 'paused';
  // A test and the proof itself go out all the same.
  if (delivery.unverified && delivery.trigger !== 'test') return 'unverified';
  if (stoppedByCircuit(delivery)) return 'circuit';
  if (delivery.place === 'held') return delivery.orderingKey === null ? 'lane_full' : 'order';
  if (delivery.dueBecause !== null) return delivery.dueBecause;
  switch (delivery.trigger) {
    case 'event':
      return 'first_attempt';
    case 'retry':
      return delivery.failure === 'internal' ? 'platform_fault' : 'retry_schedule';
    case 'resend':
    case 'replay':
    case 'test':
      return delivery.trigger;
  }
}

/** A retry that is due only after the circuit's next probe may find it closed. */
function stoppedByCircuit({ place, circuitOpen, circuitUntil, dueAt }: DeliveryStatusRow): boolean {
  if (!circuitOpen) return false;
  return place === 'held' || circuitUntil === null || dueAt === null || dueAt <= circuitUntil;
}
