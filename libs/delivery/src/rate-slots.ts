import { effectiveRateFactor, takeSlots, type RateLimit, type RateState } from '@app/domain';
import { rateRepository, type Database } from '@app/persistence';

/** So many attempts that want to be made now, of one rate-limited endpoint. */
export interface SlotsWanted {
  endpointId: string;
  limit: RateLimit;
  rateFactor: number;
  rateReducedAt: Date | null;
  n: number;
}

export interface SlotsGiven {
  /** Milliseconds from when the answer came, ascending; fewer than asked for when the horizon is reached. */
  slots: number[];
  /** When the next one would come. */
  nextInMs: number;
}

// A worker keeps tickets in memory so long; more would be lost time when it dies, less would be a claim per slot.
export const SLOT_HORIZON_MS = 3000;

/**
 * Slots of rate-limited endpoints: exact across workers, because all of them take from the same row under its lock, on
 * the database's clock. One transaction for all endpoints of a claim; none is open while anybody waits for a slot.
 */
export class RateSlots {
  constructor(private readonly database: Database) {}

  take(wanted: SlotsWanted[]): Promise<Map<string, SlotsGiven>> {
    return this.database.hotTransaction(async (tx) => {
      const ids = wanted.map(({ endpointId }) => endpointId);
      const { nowMs, states } = await rateRepository.lock(tx, ids);
      const given = new Map<string, SlotsGiven>();
      const changed = new Map<string, RateState>();
      for (const { endpointId, limit, n, ...rate } of wanted) {
        const factor = effectiveRateFactor(rate, new Date(nowMs));
        const taken = takeSlots(limit, states.get(endpointId) ?? null, nowMs, n, SLOT_HORIZON_MS, factor);
        given.set(endpointId, { slots: taken.slots, nextInMs: taken.nextInMs });
        if (taken.slots.length > 0) changed.set(endpointId, taken.state);
      }
      if (changed.size > 0) await tx.commitWith([() => rateRepository.write(tx, changed)]);
      return given;
    });
  }
}
