import { setTimeout as delay } from 'node:timers/promises';
import {
  gate,
  type AttemptDelivery,
  type FinishedTicket,
  type Promote,
  type Outcome,
  type RateSlots,
  type RecordOutcomes,
  type SlotsWanted,
  type Successors,
} from '@app/delivery';
import { DELIVERY_FAILED_TYPE } from '@app/contracts';
import { toPublicId, type Clock } from '@app/domain';
import type { Logger, Metrics } from '@app/observability';
import {
  Generations,
  type DeliveryForAttempt,
  type EndpointForAttempt,
  type PumpRepository,
} from '@app/persistence';
import type { DeliverQueue, TicketInHand } from '@app/queue';
import { aheadOf, roomAhead } from './ahead.js';
import { Claims } from './claims.js';
import { ClassBudgets, type ClaimPlan, type TicketClass } from './class-budgets.js';
import { Parking, type ClaimedTicket } from './parking.js';
import { QueueFront } from './queue-front.js';
import { RetryBudget } from './retry-budget.js';
import { TimedTickets } from './timed-tickets.js';
import { BROKEN, GIVEN_BACK, inTheQueue, NOTHING_TO_DO, OVER_BUDGET } from './unattempted.js';

export interface PumpOptions {
  /** Requests under way at most. */
  concurrency: number;
  /** Of these, to one endpoint. */
  concurrencyPerEndpoint: number;
  /** Of these, to one host, whoever its endpoints belong to. */
  concurrencyPerHost: number;
  /** Nothing is signed with a time that may be wrong; whoever is asked mends it, and the next poll goes on. */
  clockIsInDoubt: () => boolean;
  /** Milliseconds that only ever go on: what budgets and slots are kept by. */
  monotonic: () => number;
  /** Whose backlog this worker delivers. */
  successors: Pick<Successors, 'answering'>;
  /** The operator wants to be told of every delivery that fails for good. */
  tellsFailures: boolean;
  /** This process, as attempts name it. */
  worker: string;
}

// Due retries announce themselves to nobody: they are found by asking, whatever ends meanwhile.
const POLL_MS = 500;
// As `ticketPriority` has it.
const CLASS_OF: Readonly<Record<0 | 1 | 2, TicketClass>> = { 0: 'retry', 1: 'normal', 2: 'critical' };
// A claim takes more of one endpoint than it has slots only up to this; the surplus is parked here.
const CLAIM_MAX = 256;
// With few free slots it pays to wait for more: one claim of forty costs what one of two does. Idle, nothing waits.
const FEW_SLOTS_MAX = 32;
const GATHER_MS = 2;
// Of what is taken on, as long as something stands in the queue.
const QUEUE_SHARE = 1 / 4;
// Beside requests that hang an attempt frees one now and then.
const FREED_MIN = 4;

/**
 * Claims tickets for free slots, or takes them on, and starts an attempt for each; never waits for a whole batch. Rows are loaded just
 * before their attempt, so an endpoint's change is felt by the next request. Finished attempts go to RecordOutcomes.
 */
export class Pump {
  private readonly parking: Parking;
  private readonly budgets: ClassBudgets;
  private readonly retryBudget: RetryBudget;
  private readonly timed: TimedTickets;
  private readonly claims: Claims;
  private readonly front: QueueFront;
  private readonly fewSlots: number;
  private rounds: Promise<void> | null = null;
  private woken = false;
  private wakeUp: (() => void) | null = null;
  /** Slots that came free since the last round began. */
  private freed = 0;
  /** Somebody said that something may be due, or it is time to look. */
  private asked = true;
  /** Not of first attempts alone. */
  private retriesAsked = true;
  /** A free slot could be filled: the last claim was full, or kept something for others. */
  private hungry = false;
  /** The last claim of retries was full: there may be more, which announce themselves to nobody. */
  private retriesLeft = false;
  /** Endpoints of which the last claim took nothing. */
  private leftOut: string[] = [];
  /** Likewise the last claim of retries: also those that had become so in its round. */
  private retriesLeftOut: string[] = [];
  private stopping = false;
  /** The sender ends what is still under way. */
  private graceIsOver = false;
  private poll: NodeJS.Timeout | undefined;
  private criticalTimer: NodeJS.Timeout | undefined;
  private frontTimer: NodeJS.Timeout | undefined;
  private idle: (() => void) | null = null;

  constructor(
    private readonly queue: DeliverQueue,
    private readonly rows: PumpRepository,
    private readonly attempts: AttemptDelivery,
    private readonly rates: Pick<RateSlots, 'take'>,
    private readonly outcomes: Pick<RecordOutcomes, 'add' | 'backlog'>,
    private readonly metrics: Metrics,
    private readonly logger: Logger,
    private readonly clock: Clock,
    private readonly options: PumpOptions,
  ) {
    const nowMs = options.monotonic;
    this.parking = new Parking({
      slots: options.concurrency,
      perEndpointMax: options.concurrencyPerEndpoint,
      perHostMax: options.concurrencyPerHost,
    });
    this.budgets = new ClassBudgets(options.concurrency, nowMs);
    this.retryBudget = new RetryBudget(nowMs);
    this.timed = new TimedTickets(nowMs, (ticket) => this.timeHasCome(ticket));
    this.claims = new Claims(queue, metrics, logger, clock, {
      dropWaiting: (asked, ours) => this.dropWaiting(asked, ours),
      gone: (deliveryId) => this.timed.drop(deliveryId),
      proven: () => this.wake(),
    });
    this.front = new QueueFront(nowMs, clock);
    this.fewSlots = Math.min(FEW_SLOTS_MAX, options.concurrency / 4);
  }

  start(): void {
    this.claims.start();
    this.rounds = this.run();
    this.poll = setInterval(() => this.wake(), POLL_MS);
  }

  /** Something may be due: look now. Each event that is accepted says so; retries are not looked for each time. */
  wake(of: 'all' | 'firsts' = 'all'): void {
    this.asked = true;
    if (of === 'all') this.retriesAsked = true;
    this.stir();
  }

  /**
   * What follows on what was delivered here, without passing through the queue. A quarter is claimed there first: taken on whole, a
   * backlog would keep this worker to itself.
   */
  async takeOn(promote: Promote): Promise<void> {
    const answering = this.options.successors.answering();
    let room = this.roomAhead(answering);
    if (room > 0) room -= await this.claimAhead(Math.ceil(room * QUEUE_SHARE), answering);
    const claimedAtMs = this.clock.now().getTime();
    try {
      this.claimed(await promote(room, this.claims.endpointIds), claimedAtMs);
    } finally {
      // Our rounds are over, and with them whoever gives back what is parked.
      if (this.stopping) await this.release(this.parking.takeAll());
      else this.startParked();
    }
  }

  /** Normal first attempts, also of endpoints that have some parked here: they stood in the queue before what is taken on now. Answers how many. */
  private async claimAhead(max: number, answering: ReadonlyMap<string, number>): Promise<number> {
    const except = this.parking
      .saturated()
      .filter((endpointId) => this.parking.sizeOf(endpointId) >= aheadOf(answering, endpointId));
    try {
      const tickets = await this.claimOf({ priorityMin: 1, priorityMax: 1, max }, except);
      return tickets.length;
    } catch (error) {
      this.logger.warn({ err: error }, 'claim.failed');
      return 0;
    }
  }

  /** For how many tickets of those that answer there is room: with their share three times as many as there are slots, at most. */
  private roomAhead(answering: ReadonlyMap<string, number>): number {
    const { concurrency } = this.options;
    if (this.stopping || !this.isAwake() || this.outcomes.backlog > concurrency * 2) return 0;
    return roomAhead(answering, (endpointId) => this.parking.sizeOf(endpointId), concurrency * 3);
  }

  /** T2 has settled these: they are nobody's now. */
  recorded(deliveryIds: string[], madeWork: boolean): void {
    this.claims.settled(deliveryIds);
    if (madeWork) this.wake();
    else if (this.hungry) this.wake('firsts');
  }

  /**
   * Claims nothing more, gives parked tickets back and waits for what is under way, at most `graceMs`. The caller
   * then ends the sender, which makes the rest finish as our own fault, and drains the recorder.
   */
  async stop(graceMs: number): Promise<void> {
    this.stopping = true;
    clearInterval(this.poll);
    this.wake();
    await this.rounds;
    clearTimeout(this.criticalTimer);
    clearTimeout(this.frontTimer);
    await this.release([...this.parking.takeAll(), ...this.timed.takeAll()]);
    if (this.running > 0)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.idle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    // Those whose rows could not be loaded meanwhile.
    await this.release([...this.parking.takeAll(), ...this.timed.takeAll()]);
    this.graceIsOver = true;
  }

  /** After the sender has ended: every attempt has its outcome. */
  async finish(): Promise<void> {
    if (this.running > 0) await new Promise<void>((resolve) => (this.idle = resolve));
    this.claims.stop();
  }

  private async run(): Promise<void> {
    while (!this.stopping) {
      this.woken = false;
      this.freed = 0;
      let more = false;
      try {
        more = await this.round();
      } catch (error) {
        this.logger.warn({ err: error }, 'claim.failed');
      }
      if (!more) await this.untilWoken();
      // Slots come free, and more of them will: whoever is told of something new beside requests that hang need not wait for that.
      const forFreedSlots = this.hungry || !this.asked || this.freed >= FREED_MIN;
      if (forFreedSlots && this.running > this.fewSlots) await delay(GATHER_MS);
    }
  }

  /**
   * Whether a claim may find something. Of what the last one left out it does once that may start again; till then it would only step over all
   * that stands in the queue of endpoints that hang, and who is served beside them would wait for it three times for each attempt.
   */
  private mayFindMore(): boolean {
    if (this.asked || this.hungry) return true;
    if (this.budgets.retryRoom > 0 && this.mayFindRetries()) return true;
    return this.leftOut.some((endpointId) => !this.parking.isSaturated(endpointId));
  }

  private mayFindRetries(): boolean {
    if (this.retriesAsked || this.retriesLeft) return true;
    return this.retriesLeftOut.some((endpointId) => !this.parking.isSaturatedForRetries(endpointId));
  }

  /** Endpoints that have more due than they may start, and do not answer: their retries need not stand in the queue. */
  hanging(): string[] {
    const answering = this.options.successors.answering();
    return this.parking.saturated().filter((endpointId) => !answering.has(endpointId));
  }

  /** Endpoints that answer, and of which more is in hand here: the next portion is soon taken on. */
  get served(): ReadonlySet<string> {
    const answering = this.options.successors.answering();
    return new Set([...this.claims.endpointIds].filter((endpointId) => answering.has(endpointId)));
  }

  /** Claims for free slots and starts what it gets. Answers whether another round should follow at once. */
  private async round(): Promise<boolean> {
    // Where the last that is parked goes out there is room for more of the same.
    this.startParked();
    // It could start nothing of what it claimed, and would claim all retries that are due.
    if (!this.isAwake()) return false;
    if (!this.mayFindMore()) return false;
    this.asked = false;
    this.hungry = true;
    // Outcomes that the database does not take pile up here: no more until it does.
    if (this.outcomes.backlog > this.options.concurrency * 2) return false;
    const except = this.parking.saturated();
    this.leftOut = except;
    // Behind first attempts that never end they would get nothing of their share: so before them, every so often.
    let more = this.budgets.firstsAreWaiting && (await this.claimRetries());
    const firsts = this.budgets.planFirsts(this.freeSlots);
    if (firsts === null && this.freeSlots > 0) this.lookForCriticalSoon();
    let moreFirsts = firsts !== null && (await this.claim(firsts, except));
    const leftovers = this.budgets.planLeftovers(this.freeSlots, firsts);
    if (leftovers !== null && (await this.claim(leftovers, except))) moreFirsts = true;
    more ||= moreFirsts;
    // What is parked waits for its endpoint, not for a slot (or was taken on). That no critical one waits says nothing about the others: taken for
    // it, retries had 60 % of the slots in front of hundreds of first attempts whenever the last free slots were the critical ones'.
    if (firsts?.priorityMin !== 2 || leftovers !== null)
      this.budgets.firstsClaimed(moreFirsts || firsts === null);
    if (!this.budgets.firstsAreWaiting && this.mayFindRetries() && (await this.claimRetries())) more = true;
    // The queue has no more for us now, unless it is of a kind that has to wait, or of an endpoint that we left out.
    const normalWait = firsts === null || (firsts.priorityMin === 2 && leftovers === null);
    this.hungry = more || normalWait;
    return more;
  }

  /**
   * What is kept for critical ones was looked at just now, before whoever asked: where all others hang, nothing else would have it looked
   * at again before the next poll.
   */
  private lookForCriticalSoon(): void {
    this.criticalTimer ??= setTimeout(() => {
      this.criticalTimer = undefined;
      this.wake();
    }, this.budgets.criticalInMs);
  }

  private async claimRetries(): Promise<boolean> {
    const plan = this.budgets.planRetries(this.freeSlots);
    if (plan === null) return false;
    const except = this.parking.saturatedForRetries();
    this.retriesLeftOut = except;
    this.retriesAsked = false;
    this.retriesLeft = await this.claim(plan, except);
    return this.retriesLeft;
  }

  /** Answers whether there may be more of the kind. */
  private async claim(plan: ClaimPlan, except: string[]): Promise<boolean> {
    const max = Math.min(plan.max, CLAIM_MAX);
    const leftOut = plan.priorityMin === 2 ? this.parking.saturatedForCritical() : except;
    const tickets = await this.claimOf({ ...plan, max }, leftOut);
    this.startParked();
    return tickets.length === max;
  }

  private async claimOf({ max, ...of }: ClaimPlan, except: string[]): Promise<ClaimedTicket[]> {
    const beginning = this.front.beginning(of, except);
    if (beginning.since) this.lookAtFrontSoon(beginning.untilMs);
    const claimedAtMs = this.clock.now().getTime();
    const tickets = await this.queue.claim(max, except, { ...of, since: beginning.since });
    this.front.ended(beginning, tickets.length === max);
    return this.claimed(tickets, claimedAtMs);
  }

  /** Whoever was announced, and stands in front of where this claim begins, is announced no more. */
  private lookAtFrontSoon(atMs: number): void {
    this.frontTimer ??= setTimeout(
      () => {
        this.frontTimer = undefined;
        this.wake('firsts');
      },
      Math.max(0, atMs - this.options.monotonic()) + 1,
    );
  }

  /** These are ours now, and wait here for a slot. */
  private claimed(inHand: TicketInHand[], claimedAtMs: number): ClaimedTicket[] {
    const tickets = inHand.map(({ deliveryId, endpointId, retryCount, priority }): ClaimedTicket => ({
      deliveryId,
      endpointId,
      retryCount,
      of: CLASS_OF[priority],
      claimedAtMs,
    }));
    this.claims.add(tickets);
    this.parking.add(tickets);
    return tickets;
  }

  private get running(): number {
    return this.parking.underWayCount;
  }

  private get freeSlots(): number {
    return this.parking.freeSlots;
  }

  /** Takes free slots for parked tickets, and answers how many. Their rows are loaded while the next claim is already on its way. */
  private startParked(): number {
    if (!this.isAwake()) return 0;
    const free = this.freeSlots;
    const { retryRoom } = this.budgets;
    const tickets = this.parking.takeStartable(free, retryRoom, this.budgets.roomForOthers(free));
    if (tickets.length === 0) return 0;
    for (const { of } of tickets) this.budgets.start(of);
    this.metrics.inFlight.set(this.running);
    void this.startAll(tickets);
    return tickets.length;
  }

  /** Loads the rows of these tickets and starts their attempts. When that fails they are parked again. */
  private async startAll(tickets: ClaimedTicket[]): Promise<void> {
    const rows = await this.orParked(tickets, this.load(tickets));
    if (!rows) return;
    if (!this.isAwake()) return this.unstart(tickets);
    const [deliveries, endpoints] = rows;
    const limited: Loaded[] = [];
    for (const ticket of tickets) {
      const delivery = deliveries.get(ticket.deliveryId);
      const endpoint = endpoints.get(ticket.endpointId);
      if (this.startOne({ ticket, delivery, endpoint }) === 'wants_slot')
        limited.push({ ticket, delivery: delivery!, endpoint: endpoint! });
    }
    if (limited.length > 0) await this.startLimited(limited);
  }

  /** What the database answers; when it does not, these tickets are parked again, after a while. */
  private async orParked<T>(tickets: ClaimedTicket[], answer: Promise<T>): Promise<T | null> {
    try {
      return await answer;
    } catch (error) {
      this.logger.warn({ err: error }, 'claim.failed');
      await delay(POLL_MS);
      this.unstart(tickets);
      return null;
    }
  }

  /** Starts the attempt of a loaded ticket, or finds why it is not its time. */
  private startOne(loaded: MaybeLoaded): 'wants_slot' | 'done' {
    const { ticket, delivery, endpoint } = loaded;
    if (delivery?.status !== 'pending') {
      this.end(ticket, delivery, endpoint, NOTHING_TO_DO);
      return 'done';
    }
    if (delivery.endpointId !== ticket.endpointId) {
      this.logger.warn({ delivery: toPublicId('dlv', delivery.id) }, 'ticket.replaced');
      this.end(ticket, delivery, undefined, GIVEN_BACK);
      return 'done';
    }
    const stopped = gate(delivery, endpoint);
    if (stopped) {
      this.end(ticket, delivery, endpoint, stopped);
      return 'done';
    }
    return this.startOpen({ ticket, delivery, endpoint: endpoint! });
  }

  private startOpen({ ticket, delivery, endpoint }: Loaded): 'wants_slot' | 'done' {
    const { subscriberId, window } = endpoint;
    const shares = this.parking.tag(endpoint.id, { subscriberId, host: hostOf(endpoint.url), window });
    if (shares === 'host_is_full') {
      this.unstart([ticket]);
      return 'done';
    }
    if (shares === 'window_grew') this.stir();
    if (!this.retryBudget.allows(endpoint.id, ticket.of === 'retry', endpoint.retryBudgetPercent)) {
      this.end(ticket, delivery, endpoint, OVER_BUDGET);
      return 'done';
    }
    if (endpoint.rateLimit !== null && !this.timed.isAdmitted(ticket.deliveryId)) return 'wants_slot';
    void this.attempt(ticket, delivery, endpoint);
    return 'done';
  }

  /** Takes slots of their rates: those of now start, those of soon wait here without a slot of ours, others in the queue. */
  private async startLimited(limited: Loaded[]): Promise<void> {
    const byEndpoint = Map.groupBy(limited, ({ endpoint }) => endpoint.id);
    const wanted = [...byEndpoint.values()].map((loaded): SlotsWanted => ({
      ...rateOf(loaded[0].endpoint),
      n: loaded.length,
    }));
    const given = await this.orParked(
      limited.map(({ ticket }) => ticket),
      this.rates.take(wanted),
    );
    if (!given) return;
    for (const [endpointId, loaded] of byEndpoint) {
      const { slots, nextInMs } = given.get(endpointId)!;
      for (const [at, { ticket, delivery, endpoint }] of loaded.entries()) {
        const inMs = slots[at];
        if (inMs === undefined) this.end(ticket, delivery, endpoint, inTheQueue(nextInMs));
        else if (inMs > 0) this.waitHere(ticket, inMs);
        else void this.attempt(ticket, delivery, endpoint);
      }
    }
  }

  private waitHere(ticket: ClaimedTicket, inMs: number): void {
    this.timed.add(ticket, inMs);
    this.freeSlotOf(ticket);
  }

  /** A ticket's slot of its rate has come. */
  private timeHasCome(ticket: ClaimedTicket): void {
    if (!this.claims.has(ticket)) return this.timed.drop(ticket.deliveryId);
    this.parking.addFirst(ticket);
    if (this.stopping) return;
    this.startParked();
  }

  private unstart(tickets: ClaimedTicket[]): void {
    this.parking.putBack(tickets);
    for (const { of } of tickets) this.budgets.end(of);
    this.slotsFreed();
  }

  /**
   * Whether no request would be made for a claim that is another's by now. After a sleep, or with the database away,
   * claims are proven first; whoever asked is woken by the answer.
   */
  private isAwake(): boolean {
    return !this.options.clockIsInDoubt() && this.claims.areProven();
  }

  /** What waits here of claims that are not `ours` any more. */
  private dropWaiting(asked: ClaimedTicket[], ours: ReadonlySet<string>): ClaimedTicket[] {
    const lost = this.parking.dropExcept(asked, ours);
    lost.push(...asked.filter(({ deliveryId }) => !ours.has(deliveryId) && this.timed.has(deliveryId)));
    return lost;
  }

  private freeSlotOf(ticket: ClaimedTicket): void {
    this.parking.leave(ticket.endpointId);
    this.budgets.end(ticket.of);
    this.slotsFreed();
  }

  private slotsFreed(): void {
    this.freed++;
    this.metrics.inFlight.set(this.running);
    if (this.running === 0) this.idle?.();
    if (this.hungry || this.retriesLeft || this.anyLeftOut || this.parking.size > 0) this.stir();
  }

  private get anyLeftOut(): boolean {
    return this.leftOut.length > 0 || this.retriesLeftOut.length > 0;
  }

  /** There may be something to start, or to claim. */
  private stir(): void {
    this.woken = true;
    this.wakeUp?.();
  }

  private async load(
    tickets: ClaimedTicket[],
  ): Promise<[Map<string, DeliveryForAttempt>, Map<string, EndpointForAttempt>]> {
    const [deliveries, endpoints] = await this.rows.load(
      tickets.map((ticket) => ticket.deliveryId),
      [...new Set(tickets.map((ticket) => ticket.endpointId))],
    );
    return [new Map(deliveries.map((delivery) => [delivery.id, delivery])), endpoints];
  }

  private async attempt(
    ticket: ClaimedTicket,
    delivery: DeliveryForAttempt,
    endpoint: EndpointForAttempt,
  ): Promise<void> {
    this.retryBudget.count(endpoint.id, ticket.of === 'retry', endpoint.retryBudgetPercent);
    this.metrics.dueAgeSeconds.observe(
      Math.max(0, (this.clock.now().getTime() - delivery.dueAt!.getTime()) / 1000),
    );
    let outcome: Outcome;
    try {
      outcome = this.cutShort(await this.attempts.attempt(delivery, endpoint));
    } catch (error) {
      this.logger.error({ err: error, delivery: delivery.id }, 'attempt.broken');
      outcome = BROKEN;
    }
    this.end(ticket, delivery, endpoint, outcome);
  }

  private end(
    ticket: ClaimedTicket,
    delivery: DeliveryForAttempt | undefined,
    endpoint: EndpointForAttempt | undefined,
    outcome: Outcome,
  ): void {
    this.timed.drop(ticket.deliveryId);
    this.outcomes.add(this.finished(ticket, delivery, endpoint, outcome));
    this.freeSlotOf(ticket);
  }

  /** We ended it, and that breaks nothing for the next worker: it need not wait as after a fault of ours. */
  private cutShort(outcome: Outcome): Outcome {
    const ours = this.graceIsOver && outcome.attempt?.failure === 'internal';
    return ours ? { ...outcome, next: GIVEN_BACK.next } : outcome;
  }

  private finished(
    ticket: ClaimedTicket,
    delivery: DeliveryForAttempt | undefined,
    endpoint: EndpointForAttempt | undefined,
    outcome: Outcome,
  ): FinishedTicket {
    // Whoever sent a test sees how it went.
    const tellable =
      delivery?.event != null && delivery.event.type !== DELIVERY_FAILED_TYPE && delivery.trigger !== 'test';
    // Field by field: a spread into one of twenty fields costs more than the rest of an attempt's bookkeeping.
    return {
      deliveryId: ticket.deliveryId,
      retryCount: ticket.retryCount,
      next: outcome.next,
      attempt: outcome.attempt,
      burnsTry: outcome.burnsTry,
      retryAfterSeconds: outcome.retryAfterSeconds,
      disable: outcome.disable,
      proof: outcome.proof,
      endpointId: delivery?.endpointId ?? ticket.endpointId,
      subscriberId: delivery?.subscriberId ?? NOBODY,
      eventId: delivery?.eventId ?? NOBODY,
      trigger: delivery?.trigger ?? 'event',
      ticket: delivery?.ticket ?? 0,
      critical: delivery?.critical ?? false,
      orderingKey: delivery?.orderingKey ?? null,
      orderedFailure: endpoint?.orderedFailure ?? 'skip',
      failureIsTold: tellable && (this.options.tellsFailures || endpoint?.tellsFailures === true),
      worker: this.options.worker,
    };
  }

  /** Gives tickets back as they are: due now, for any worker. */
  private async release(tickets: ClaimedTicket[]): Promise<void> {
    for (let from = 0; from < tickets.length; from += CLAIM_MAX) {
      const some = tickets.slice(from, from + CLAIM_MAX);
      try {
        const [deliveries, endpoints] = await this.load(some);
        for (const ticket of some) {
          const delivery = deliveries.get(ticket.deliveryId);
          const outcome = delivery?.status === 'pending' ? GIVEN_BACK : NOTHING_TO_DO;
          this.outcomes.add(this.finished(ticket, delivery, endpoints.get(ticket.endpointId), outcome));
        }
      } catch (error) {
        // Their heartbeat ends with us; another worker takes them over.
        this.logger.warn({ err: error }, 'claim.failed');
        return;
      }
    }
  }

  /** Until somebody, the poll included, calls `wake`, or slots come free for what is known to wait. */
  private untilWoken(): Promise<void> {
    if (this.woken || this.stopping) return Promise.resolve();
    return new Promise((resolve) => {
      const wakeUp = (): void => {
        this.wakeUp = null;
        resolve();
      };
      // By its name: a function that is written here would be old from its birth (libs/persistence/src/client.ts).
      this.wakeUp = wakeUp;
    });
  }
}

/** A ticket with its rows. */
interface Loaded {
  ticket: ClaimedTicket;
  delivery: DeliveryForAttempt;
  endpoint: EndpointForAttempt;
}
interface MaybeLoaded {
  ticket: ClaimedTicket;
  delivery: DeliveryForAttempt | undefined;
  endpoint: EndpointForAttempt | undefined;
}

// Parsing costs as much as a signature, and a worker sees the same few thousand again and again. As long as HttpSender keeps them.
const HOSTS_GENERATION_MAX = 5000;
const HOSTS_GENERATION_MS = 30_000;
const hosts = new Generations<string>(HOSTS_GENERATION_MAX, HOSTS_GENERATION_MS);

function hostOf(url: string): string {
  const known = hosts.get(url);
  if (known !== undefined) return known;
  const host = URL.parse(url)?.host ?? url;
  hosts.set(url, host);
  return host;
}

function rateOf(endpoint: EndpointForAttempt): Omit<SlotsWanted, 'n'> {
  const { id: endpointId, rateLimit, rateFactor, rateReducedAt } = endpoint;
  return { endpointId, limit: rateLimit!, rateFactor, rateReducedAt };
}

const NOBODY = '00000000-0000-0000-0000-000000000000';
