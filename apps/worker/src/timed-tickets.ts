import type { ClaimedTicket } from './parking.js';

// How late a slot may be used: a little, because this process and its timers are not exact. Later than that several could
// be used at once, and a receiver that asked for ten a second would get twenty.
const LATE_MAX_MS = 100;

/**
 * Claimed tickets of rate-limited endpoints that have a slot and wait for it, without a slot of the worker. Each comes back
 * at its time, and is `admitted` then for a moment.
 */
export class TimedTickets {
  private readonly waiting = new Map<string, { ticket: ClaimedTicket; timer: NodeJS.Timeout }>();
  /** Until when a delivery may use the slot that it was given. */
  private readonly admittedUntil = new Map<string, number>();

  constructor(
    private readonly nowMs: () => number,
    private readonly onTime: (ticket: ClaimedTicket) => void,
  ) {}

  get size(): number {
    return this.waiting.size;
  }

  /** Its slot is so many milliseconds from now. */
  add(ticket: ClaimedTicket, inMs: number): void {
    // Claimed again while it waited for an earlier claim's slot: that one is lost.
    this.drop(ticket.deliveryId);
    const at = this.nowMs() + inMs;
    const timer = setTimeout(
      () => {
        this.waiting.delete(ticket.deliveryId);
        this.admittedUntil.set(ticket.deliveryId, at + LATE_MAX_MS);
        this.onTime(ticket);
      },
      // A timer cuts fractions off, and a slot is never used early.
      Math.ceil(inMs),
    );
    this.waiting.set(ticket.deliveryId, { ticket, timer });
  }

  /** Whether this delivery has a slot that it may use now. Asking uses it up. */
  isAdmitted(deliveryId: string): boolean {
    const until = this.admittedUntil.get(deliveryId);
    if (until === undefined) return false;
    this.admittedUntil.delete(deliveryId);
    return this.nowMs() <= until;
  }

  has(deliveryId: string): boolean {
    return this.waiting.has(deliveryId);
  }

  /** Forgets a ticket that is not ours any more. */
  drop(deliveryId: string): void {
    clearTimeout(this.waiting.get(deliveryId)?.timer);
    this.waiting.delete(deliveryId);
    this.admittedUntil.delete(deliveryId);
  }

  takeAll(): ClaimedTicket[] {
    const all = [...this.waiting.values()];
    for (const { timer } of all) clearTimeout(timer);
    this.waiting.clear();
    this.admittedUntil.clear();
    return all.map(({ ticket }) => ticket);
  }
}
