import type { Clock } from '@app/domain';
import type { Logger, Metrics } from '@app/observability';
import type { DeliverQueue } from '@app/queue';
import type { ClaimedTicket } from './parking.js';

/** What whoever keeps the tickets has to do when the database has answered for them. */
export interface ClaimsHolder {
  /** Drops those of `asked` that wait for a slot or a time and are not in `ours`, and answers them. */
  dropWaiting(asked: ClaimedTicket[], ours: ReadonlySet<string>): ClaimedTicket[];
  /** No ticket of this delivery is ours any more. */
  gone(deliveryId: string): void;
  /** After a sleep, or with the database away: claims are proven again. */
  proven(): void;
}

// A third of the queue's heartbeat: two may be lost before a claim is.
const HEARTBEAT_MS = 4000;
// Half a heartbeat: what is left out once is touched twice more before its claim ends.
const FRESH_MS = 2000;
// Claims that were not touched for so long may be another worker's by now: the queue's heartbeat is 12 s.
const CLAIM_MS = 10_000;

/** Every ticket that is ours until T2 has settled it, and the heartbeat that keeps it ours. */
export class Claims {
  private readonly tickets = new Map<string, ClaimedTicket>();
  /** Of these, claimed anew while an attempt of a lost claim is still under way here: that one ends first. */
  private readonly again = new Set<string>();
  /** Until then every claim was known to the database; a worker that slept finds it long ago. */
  private touchedAt = 0;
  private touching: Promise<void> | null = null;
  private heartbeat: NodeJS.Timeout | undefined;

  constructor(
    private readonly queue: Pick<DeliverQueue, 'touch' | 'stillOwn'>,
    private readonly metrics: Pick<Metrics, 'claimed'>,
    private readonly logger: Logger,
    private readonly clock: Clock,
    private readonly holder: ClaimsHolder,
  ) {}

  start(): void {
    this.touchedAt = this.clock.now().getTime();
    this.heartbeat = setInterval(() => void this.touch(), HEARTBEAT_MS);
  }

  /** What is not settled by now is taken over by another worker. */
  stop(): void {
    clearInterval(this.heartbeat);
  }

  /** The queue gave us these, or they were inserted as ours. */
  add(tickets: ClaimedTicket[]): void {
    for (const ticket of tickets) {
      if (this.tickets.has(ticket.deliveryId)) this.again.add(ticket.deliveryId);
      this.tickets.set(ticket.deliveryId, ticket);
    }
    this.metrics.claimed.set(this.tickets.size);
  }

  /** Endpoints of which we have tickets: waiting, under way, or not recorded yet. */
  get endpointIds(): ReadonlySet<string> {
    return new Set([...this.tickets.values()].map(({ endpointId }) => endpointId));
  }

  /** Whether this very claim is ours, not an earlier one of its delivery. */
  has(ticket: ClaimedTicket): boolean {
    return this.tickets.get(ticket.deliveryId) === ticket;
  }

  /** T2 has settled these. */
  settled(deliveryIds: string[]): void {
    for (const id of deliveryIds) this.forget(id);
    this.metrics.claimed.set(this.tickets.size);
  }

  /** Whether none can be another's by now. When one can, the database is asked, and the holder hears that they are `proven`. */
  areProven(): boolean {
    if (this.clock.now().getTime() - this.touchedAt < CLAIM_MS) return true;
    void this.touch();
    return false;
  }

  private touch(): Promise<void> {
    this.touching ??= this.touchAll().finally(() => (this.touching = null));
    return this.touching;
  }

  private async touchAll(): Promise<void> {
    const at = this.clock.now().getTime();
    // Claimed just now is as good as touched; most have ended before it is needed. (A heartbeat over all of them waited for the
    // rows of every T2 under way, half a second in each four, and T2 for it.)
    const tickets = [...this.tickets.values()].filter((ticket) => at - ticket.claimedAtMs >= FRESH_MS);
    try {
      const slept = at - this.touchedAt >= CLAIM_MS;
      const touched = await this.queue.touch(tickets);
      const own = slept ? await this.queue.stillOwn(tickets) : touched;
      const ours = new Set([...touched].filter((id) => own.has(id)));
      // What waits here and is no longer ours is dropped; what is under way is judged when it is recorded.
      const lost = this.holder.dropWaiting(tickets, ours);
      for (const { deliveryId } of lost) this.forget(deliveryId);
      this.metrics.claimed.set(this.tickets.size);
      // The answer to a claim of before the sleep may have come meanwhile: it was not asked for.
      if (slept && this.hasOther(tickets, at - CLAIM_MS)) return;
      this.touchedAt = at;
      if (slept) this.holder.proven();
    } catch (error) {
      this.logger.warn({ err: error }, 'claim.failed');
    }
  }

  private hasOther(asked: ClaimedTicket[], claimedBefore: number): boolean {
    const known = new Set(asked);
    return [...this.tickets.values()].some(
      (ticket) => ticket.claimedAtMs <= claimedBefore && !known.has(ticket),
    );
  }

  private forget(deliveryId: string): void {
    if (this.again.delete(deliveryId)) return;
    this.tickets.delete(deliveryId);
    this.holder.gone(deliveryId);
  }
}
