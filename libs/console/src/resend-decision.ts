import type { LockedDelivery } from '@app/persistence';

/** Whether a delivery has a ticket, and whether a worker holds it. */
export type TicketState = 'claimed' | 'unclaimed' | 'none';

export type ResendDecision =
  /** Over: starts again with a fresh schedule, in a place of its lane if there is one. */
  | { kind: 'start_again' }
  /** Its ticket is for later: a new one for now takes its place. */
  | { kind: 'bring_forward'; place: 'queued' | 'waiting' }
  /** Held in an open lane: gets a place, also above the window. One person asking for one delivery may do that. */
  | { kind: 'give_place' }
  /** Pending as well as it can be: nothing is done. */
  | { kind: 'leave'; because: 'in_flight' | 'due' | 'paused' | 'unverified' | 'circuit' | 'order' }
  | { kind: 'refuse'; detail: string };

const STOPPED: Record<NonNullable<LockedDelivery['stopped']>, string> = {
  endpoint_disabled: 'The endpoint is disabled. Enable it first, then resend.',
  endpoint_deleted: 'The endpoint was deleted: there is nowhere to send this to.',
  subscriber_deleted: 'The subscriber was deleted: there is nobody to send this to.',
};

/** What a resend makes of one locked delivery. Two live tickets for one delivery cannot come of it. */
export function decideResend(delivery: LockedDelivery, ticket: TicketState): ResendDecision {
  // A request that is under way is told as it is, whatever has happened to its endpoint since.
  if (delivery.status === 'pending' && ticket === 'claimed') return { kind: 'leave', because: 'in_flight' };
  if (delivery.stopped) return { kind: 'refuse', detail: STOPPED[delivery.stopped] };
  if (!delivery.stored)
    return { kind: 'refuse', detail: 'The event is no longer stored: its payload is gone.' };
  if (delivery.status !== 'pending') return { kind: 'start_again' };
  switch (delivery.place) {
    case 'held':
      if (delivery.closed) return { kind: 'leave', because: delivery.closed };
      return delivery.orderingKey === null ? { kind: 'give_place' } : { kind: 'leave', because: 'order' };
    case 'queued':
    case 'waiting':
      // A new ticket would stand at the end of the queue: one that is due already is better off with its own.
      if (ticket === 'unclaimed' && delivery.due) return { kind: 'leave', because: 'due' };
      return { kind: 'bring_forward', place: delivery.place };
    case null:
      throw new Error(`Bug: pending delivery ${delivery.id} is in no place`);
  }
}
