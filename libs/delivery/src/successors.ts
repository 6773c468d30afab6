import type { LaneRoom } from '@app/persistence';
import type { TicketInHand } from '@app/queue';

/** Of each endpoint, how many to take in hand. */
export type Takes = ReadonlyMap<string, number>;

/** Promotes what is to be promoted, and answers what the caller has in hand of it: at most `max`, which may be 0. */
export type Promote = (
  max: number,
  /** Endpoints of which the caller has something in hand already. */
  inHand: ReadonlySet<string>,
) => Promise<TicketInHand[]>;

// What was delivered counts half as much a tenth of a second later: of a steady stream that is what comes in a seventh of a second.
const HALF_LIFE_MS = 100;
// What a lane may be given at once, for each that was delivered lately: its share grows, and one that is slow fills nobody's hands. A few in any
// case: small windows are filled.
const GROWTH = 2;
const FEW = 16;
// A transaction for one delivery is more than its ticket costs.
const TAKE_MIN = 2;
// As many as a claim may take of one.
const TAKE_MAX = 256;
// Of one delivery, three tenths of a second; of a thousand, 1.3. Who is silent for longer may hang, and is promoted by way of the queue.
const SILENT = 1 / 8;
const ENDPOINTS_MAX = 5000;

interface Lately {
  /** As of `atMs`; half of it a tenth of a second later. */
  delivered: number;
  atMs: number;
}

/**
 * Which endpoints this worker delivers to and that hold more. What it takes on of them makes no ticket that somebody has to claim: a sixth
 * of what a drained backlog costs the server (docs/adr/0018).
 */
export class Successors {
  /** Who was taken of the longest time ago is first. */
  private readonly lately = new Map<string, Lately>();

  constructor(private readonly nowMs: () => number) {}

  /** Endpoints that hold more and answer, and how many were delivered to each in the last seventh of a second. */
  answering(): ReadonlyMap<string, number> {
    this.forgetSilent();
    return new Map([...this.lately].map(([endpointId, lately]) => [endpointId, this.weightOf(lately)]));
  }

  /** After T2: so many normal first attempts were delivered to each of these lanes. One that holds nothing, or has no room, is forgotten. */
  count(lanes: readonly (Pick<LaneRoom, 'endpointId' | 'room'> & { delivered: number })[]): void {
    const atMs = this.nowMs();
    for (const { endpointId, room, delivered } of lanes) {
      const before = this.lately.get(endpointId);
      if (room === 0) this.lately.delete(endpointId);
      else if (delivered > 0 && (before || this.lately.size < ENDPOINTS_MAX))
        this.lately.set(endpointId, { delivered: (before ? this.weightOf(before) : 0) + delivered, atMs });
    }
  }

  /** How many to take of each endpoint now: `max` in all at most, by what was delivered there lately; who got nothing is first the next time. */
  take(max: number): Takes {
    const weights = this.answering();
    const takes = new Map<string, number>();
    let all = 0;
    for (const weight of weights.values()) all += weight;
    let left = max;
    for (const [endpointId, weight] of weights) {
      if (left < TAKE_MIN) break;
      const lately = this.lately.get(endpointId)!;
      const share = Math.min((max / all) * weight, Math.max(weight * GROWTH, FEW), TAKE_MAX, left);
      const n = Math.max(TAKE_MIN, Math.floor(share));
      takes.set(endpointId, n);
      left -= n;
      this.lately.delete(endpointId);
      this.lately.set(endpointId, lately);
    }
    return takes;
  }

  private weightOf({ delivered, atMs }: Lately): number {
    return delivered * 0.5 ** ((this.nowMs() - atMs) / HALF_LIFE_MS);
  }

  private forgetSilent(): void {
    for (const [endpointId, lately] of this.lately)
      if (this.weightOf(lately) < SILENT) this.lately.delete(endpointId);
  }
}
