import type { Ticket } from '@app/queue';

/**
 * Claimed tickets that wait for a slot of their endpoint, and how many each endpoint has under way. An endpoint that is
 * saturated here is left out of the next claim, so its backlog takes nobody else's slot.
 */
export class Parking {
  private readonly parked = new Map<string, Ticket[]>();
  private readonly underWay = new Map<string, number>();
  private count = 0;

  constructor(private readonly perEndpointMax: number) {}

  get size(): number {
    return this.count;
  }

  add(tickets: Ticket[]): void {
    for (const ticket of tickets) {
      const waiting = this.parked.get(ticket.endpointId);
      if (waiting) waiting.push(ticket);
      else this.parked.set(ticket.endpointId, [ticket]);
      this.count++;
    }
  }

  /** Takes up to `max` tickets whose endpoint has a free slot and counts them as under way, turn by turn. */
  takeStartable(max: number): Ticket[] {
    const taken: Ticket[] = [];
    for (let progress = true; progress && taken.length < max;) {
      progress = false;
      for (const [endpointId, waiting] of this.parked) {
        if (taken.length >= max) break;
        const running = this.underWay.get(endpointId) ?? 0;
        if (running >= this.perEndpointMax) continue;
        taken.push(waiting.shift()!);
        this.count--;
        this.underWay.set(endpointId, running + 1);
        if (waiting.length === 0) this.parked.delete(endpointId);
        progress = true;
      }
    }
    return taken;
  }

  /** Undoes `takeStartable` for tickets that could not be started; they keep their turn. */
  putBack(tickets: Ticket[]): void {
    for (const ticket of [...tickets].reverse()) {
      this.leave(ticket.endpointId);
      this.parked.set(ticket.endpointId, [ticket, ...(this.parked.get(ticket.endpointId) ?? [])]);
      this.count++;
    }
  }

  /** An attempt of this endpoint has ended. */
  leave(endpointId: string): void {
    const running = (this.underWay.get(endpointId) ?? 0) - 1;
    if (running > 0) this.underWay.set(endpointId, running);
    else this.underWay.delete(endpointId);
  }

  /** Endpoints that could not start one more ticket now. */
  saturated(): string[] {
    const full = [...this.parked.keys()];
    for (const [endpointId, running] of this.underWay)
      if (running >= this.perEndpointMax && !this.parked.has(endpointId)) full.push(endpointId);
    return full;
  }

  takeAll(): Ticket[] {
    const all = [...this.parked.values()].flat();
    this.parked.clear();
    this.count = 0;
    return all;
  }

  /** Drops those parked tickets of `asked` that are not in `ours`, and answers them. */
  dropExcept(asked: Ticket[], ours: Set<string>): Ticket[] {
    const lost = new Set(asked.filter((ticket) => !ours.has(ticket.deliveryId)));
    if (lost.size === 0) return [];
    const dropped: Ticket[] = [];
    for (const [endpointId, waiting] of this.parked) {
      const kept = waiting.filter((ticket) => !lost.has(ticket) || !dropped.push(ticket));
      this.count -= waiting.length - kept.length;
      if (kept.length > 0) this.parked.set(endpointId, kept);
      else this.parked.delete(endpointId);
    }
    return dropped;
  }
}
