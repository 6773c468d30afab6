import { setTimeout as delay } from 'node:timers/promises';
import type { AttemptDelivery, FinishedTicket, Outcome, RecordOutcomes } from '@app/delivery';
import type { Clock } from '@app/domain';
import type { Logger, Metrics } from '@app/observability';
import type { DeliveryForAttempt, EndpointForAttempt, PumpRepository } from '@app/persistence';
import type { DeliverQueue, Ticket } from '@app/queue';
import { Parking } from './parking.js';

export interface PumpOptions {
  /** Requests under way at most. */
  concurrency: number;
  /** Of these, to one endpoint. */
  concurrencyPerEndpoint: number;
  /** This process, as attempts name it. */
  worker: string;
}

// Due retries announce themselves to nobody: they are found by asking.
const POLL_MS = 500;
// A claim takes more of one endpoint than it has slots only up to this; the surplus is parked here.
const CLAIM_MAX = 128;
// With few free slots it pays to wait for more: one claim of forty costs what one of two does. Idle, nothing waits.
const FEW_SLOTS_MAX = 32;
const GATHER_MS = 2;
// A third of the queue's heartbeat: two may be lost before a claim is.
const HEARTBEAT_MS = 4000;
// Claims that were not touched for so long may be another worker's by now: the queue's heartbeat is 12 s.
const CLAIM_MS = 10_000;

/**
 * Claims tickets for free slots and starts an attempt for each; never waits for a whole batch. Rows are loaded just
 * before their attempt, so an endpoint's change is felt by the next request. Finished attempts go to RecordOutcomes.
 */
export class Pump {
  private readonly parking: Parking;
  private readonly fewSlots: number;
  /** Every ticket that is ours until T2 has settled it. */
  private readonly claimed = new Map<string, Ticket>();
  /** Of these, claimed anew while an attempt of a lost claim is still under way here: that one ends first. */
  private readonly claimedAgain = new Set<string>();
  /** Until then every claim was known to the database; a worker that slept finds it long ago. */
  private touchedAt = 0;
  private touching: Promise<void> | null = null;
  private running = 0;
  private rounds: Promise<void> | null = null;
  private woken = false;
  private wakeUp: (() => void) | null = null;
  /** A free slot could be filled: the last claim was full, or left something out. */
  private hungry = false;
  private stopping = false;
  /** The sender ends what is still under way. */
  private graceIsOver = false;
  private heartbeat: NodeJS.Timeout | undefined;
  private idle: (() => void) | null = null;

  constructor(
    private readonly queue: DeliverQueue,
    private readonly rows: PumpRepository,
    private readonly attempts: AttemptDelivery,
    private readonly outcomes: Pick<RecordOutcomes, 'add' | 'backlog'>,
    private readonly metrics: Metrics,
    private readonly logger: Logger,
    private readonly clock: Clock,
    private readonly options: PumpOptions,
  ) {
    this.parking = new Parking(options.concurrencyPerEndpoint);
    this.fewSlots = Math.min(FEW_SLOTS_MAX, options.concurrency / 4);
  }

  start(): void {
    this.touchedAt = this.clock.now().getTime();
    this.rounds = this.run();
    this.heartbeat = setInterval(() => void this.touch(), HEARTBEAT_MS);
  }

  /** Something may be due: look now. */
  wake(): void {
    this.woken = true;
    this.wakeUp?.();
  }

  /** T2 has settled these: they are nobody's now. */
  recorded(deliveryIds: string[], madeWork: boolean): void {
    for (const id of deliveryIds) this.forget(id);
    this.metrics.claimed.set(this.claimed.size);
    if (madeWork || this.hungry) this.wake();
  }

  /**
   * Claims nothing more, gives parked tickets back and waits for what is under way, at most `graceMs`. The caller
   * then ends the sender, which makes the rest finish as our own fault, and drains the recorder.
   */
  async stop(graceMs: number): Promise<void> {
    this.stopping = true;
    this.wake();
    await this.rounds;
    await this.release(this.parking.takeAll());
    if (this.running > 0)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.idle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    // Those whose rows could not be loaded meanwhile.
    await this.release(this.parking.takeAll());
    this.graceIsOver = true;
  }

  /** After the sender has ended: every attempt has its outcome. */
  async finish(): Promise<void> {
    if (this.running > 0) await new Promise<void>((resolve) => (this.idle = resolve));
    clearInterval(this.heartbeat);
  }

  private async run(): Promise<void> {
    while (!this.stopping) {
      this.woken = false;
      let more = false;
      try {
        more = await this.round();
      } catch (error) {
        this.logger.warn({ err: error }, 'claim.failed');
      }
      if (!more) await this.untilWoken();
      if (this.hungry && this.running > 0 && this.freeSlots < this.fewSlots) await delay(GATHER_MS);
    }
  }

  /** One claim and its starts. Answers whether another should follow at once. */
  private async round(): Promise<boolean> {
    this.startParked();
    const free = this.freeSlots;
    this.hungry = true;
    // Outcomes that the database does not take pile up here: no more until it does.
    if (free <= 0 || this.outcomes.backlog > this.options.concurrency * 2) return false;
    const max = Math.min(free, CLAIM_MAX);
    const except = this.parking.saturated();
    const tickets = await this.queue.claim(max, except);
    for (const ticket of tickets) {
      if (this.claimed.has(ticket.deliveryId)) this.claimedAgain.add(ticket.deliveryId);
      this.claimed.set(ticket.deliveryId, ticket);
    }
    this.metrics.claimed.set(this.claimed.size);
    this.parking.add(tickets);
    this.startParked();
    // The queue has no more for us now, unless it is of an endpoint that we left out.
    this.hungry = tickets.length === max || except.length > 0;
    return tickets.length === max;
  }

  private get freeSlots(): number {
    return this.options.concurrency - this.running;
  }

  /** Takes free slots for parked tickets. Their rows are loaded while the next claim is already on its way. */
  private startParked(): void {
    if (!this.isAwake()) return;
    const tickets = this.parking.takeStartable(this.freeSlots);
    if (tickets.length === 0) return;
    this.occupy(tickets.length);
    void this.startAll(tickets);
  }

  /** Loads the rows of these tickets and starts their attempts. When that fails they are parked again. */
  private async startAll(tickets: Ticket[]): Promise<void> {
    try {
      const [deliveries, endpoints] = await this.load(tickets);
      if (!this.isAwake()) return this.unstart(tickets);
      for (const ticket of tickets)
        void this.attempt(ticket, deliveries.get(ticket.deliveryId), endpoints.get(ticket.endpointId));
    } catch (error) {
      this.logger.warn({ err: error }, 'claim.failed');
      await delay(POLL_MS);
      this.unstart(tickets);
    }
  }

  private unstart(tickets: Ticket[]): void {
    this.parking.putBack(tickets);
    this.occupy(-tickets.length);
  }

  /**
   * Whether no request would be made for a claim that is another's by now. After a sleep, or with the database away,
   * claims are proven first; whoever asked is woken by the answer.
   */
  private isAwake(): boolean {
    if (this.clock.now().getTime() - this.touchedAt < CLAIM_MS) return true;
    void this.touch();
    return false;
  }

  private occupy(slots: number): void {
    this.running += slots;
    this.metrics.inFlight.set(this.running);
    if (this.running === 0) this.idle?.();
    if (slots < 0 && (this.hungry || this.parking.size > 0)) this.wake();
  }

  private async load(
    tickets: Ticket[],
  ): Promise<[Map<string, DeliveryForAttempt>, Map<string, EndpointForAttempt>]> {
    const [deliveries, endpoints] = await Promise.all([
      this.rows.loadDeliveries(tickets.map((ticket) => ticket.deliveryId)),
      this.rows.loadEndpoints([...new Set(tickets.map((ticket) => ticket.endpointId))]),
    ]);
    return [new Map(deliveries.map((delivery) => [delivery.id, delivery])), endpoints];
  }

  private async attempt(
    ticket: Ticket,
    delivery: DeliveryForAttempt | undefined,
    endpoint: EndpointForAttempt | undefined,
  ): Promise<void> {
    const outcome = delivery?.status === 'pending' ? await this.outcomeOf(delivery, endpoint) : NOTHING_TO_DO;
    this.outcomes.add(this.finished(ticket, delivery, outcome));
    this.parking.leave(ticket.endpointId);
    this.occupy(-1);
  }

  private async outcomeOf(
    delivery: DeliveryForAttempt,
    endpoint: EndpointForAttempt | undefined,
  ): Promise<Outcome> {
    this.metrics.dueAgeSeconds.observe(
      Math.max(0, (this.clock.now().getTime() - delivery.dueAt.getTime()) / 1000),
    );
    try {
      const outcome = await this.attempts.attempt(delivery, endpoint);
      // We ended it, and that breaks nothing for the next worker: it need not wait as after a fault of ours.
      const cutShort = this.graceIsOver && outcome.attempt?.failure === 'internal';
      return cutShort ? { ...outcome, next: GIVEN_BACK.next } : outcome;
    } catch (error) {
      // A bug of ours on this row: others go on, and it is tried again, not at once.
      this.logger.error({ err: error, delivery: delivery.id }, 'attempt.broken');
      return { attempt: null, burnsTry: false, next: { status: 'pending', place: 'waiting', inSeconds: 60 } };
    }
  }

  private finished(
    ticket: Ticket,
    delivery: DeliveryForAttempt | undefined,
    outcome: Outcome,
  ): FinishedTicket {
    return {
      ...ticket,
      ...outcome,
      subscriberId: delivery?.subscriberId ?? NOBODY,
      eventId: delivery?.eventId ?? NOBODY,
      trigger: delivery?.trigger ?? 'event',
      ticket: delivery?.ticket ?? 0,
      worker: this.options.worker,
    };
  }

  /** Gives tickets back as they are: due now, for any worker. */
  private async release(tickets: Ticket[]): Promise<void> {
    for (let from = 0; from < tickets.length; from += CLAIM_MAX) {
      const some = tickets.slice(from, from + CLAIM_MAX);
      try {
        const [deliveries] = await this.load(some);
        for (const ticket of some) {
          const delivery = deliveries.get(ticket.deliveryId);
          this.outcomes.add(
            this.finished(ticket, delivery, delivery?.status === 'pending' ? GIVEN_BACK : NOTHING_TO_DO),
          );
        }
      } catch (error) {
        // Their heartbeat ends with us; another worker takes them over.
        this.logger.warn({ err: error }, 'claim.failed');
        return;
      }
    }
  }

  private touch(): Promise<void> {
    this.touching ??= this.touchAll().finally(() => (this.touching = null));
    return this.touching;
  }

  private async touchAll(): Promise<void> {
    const tickets = [...this.claimed.values()];
    const at = this.clock.now().getTime();
    try {
      const ours = await this.queue.touch(tickets);
      // Parked ones that are no longer ours are dropped; what is under way is judged when it is recorded.
      for (const lost of this.parking.dropExcept(tickets, ours)) this.forget(lost.deliveryId);
      this.metrics.claimed.set(this.claimed.size);
      const slept = at - this.touchedAt >= CLAIM_MS;
      this.touchedAt = at;
      if (slept) this.wake();
    } catch (error) {
      this.logger.warn({ err: error }, 'claim.failed');
    }
  }

  private forget(deliveryId: string): void {
    if (!this.claimedAgain.delete(deliveryId)) this.claimed.delete(deliveryId);
  }

  /** Until somebody calls `wake`, or the poll is due. */
  private untilWoken(): Promise<void> {
    if (this.woken || this.stopping) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.wakeUp?.(), POLL_MS);
      this.wakeUp = () => {
        this.wakeUp = null;
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

const NOBODY = '00000000-0000-0000-0000-000000000000';
/** The delivery is over or gone: only its ticket is to end. */
const NOTHING_TO_DO: Outcome = {
  attempt: null,
  burnsTry: false,
  next: { status: 'cancelled', reason: 'endpoint_deleted' },
};
const GIVEN_BACK: Outcome = {
  attempt: null,
  burnsTry: false,
  next: { status: 'pending', place: 'queued', inSeconds: 0 },
};
