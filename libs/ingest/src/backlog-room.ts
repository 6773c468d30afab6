import { Problem } from '@app/contracts';
import type { SubscriberForAccept } from '@app/persistence';
import type { PlannedEvent } from './plan-events.js';

// A backlog at its bound is an endpoint that is dead or far too slow: it has room again in minutes, not in seconds.
const RETRY_AFTER_SECONDS = 30;

/**
 * What each subscriber of one group has pending, and may. As its lanes were read, without a lock: what other groups, of other api
 * processes too, accept in the same moment comes on top, and so do all deliveries of the event that reaches the bound. A disk
 * does not mind, and exactness would cost publishing a lock on each lane from the beginning of T1.
 */
export class BacklogRoom {
  private readonly pending: Map<string, number>;

  constructor(
    subscribers: readonly Pick<SubscriberForAccept, 'id' | 'pending'>[],
    private readonly max: number,
  ) {
    this.pending = new Map(subscribers.map(({ id, pending }) => [id, pending]));
  }

  /** Counts what the event makes pending. Answers a Problem instead when its subscriber has no room for any of it. */
  take({ event, deliveries, unbounded }: PlannedEvent): Problem | undefined {
    const more = deliveries.filter(({ place }) => place !== 'cancelled').length;
    if (more === 0) return undefined;
    const before = this.pending.get(event.subscriberId);
    if (before === undefined) throw new Error(`Bug: nobody read what ${event.subscriberId} has pending`);
    if (before >= this.max && !unbounded) return backlogFull(this.max);
    this.pending.set(event.subscriberId, before + more);
    return undefined;
  }
}

function backlogFull(limit: number): Problem {
  return new Problem(
    'backlog_full',
    `This subscriber has ${limit} deliveries pending or more, which is all that it may. The event was not stored; publish it again later.`,
    { limit, retryAfterSeconds: RETRY_AFTER_SECONDS },
  );
}
