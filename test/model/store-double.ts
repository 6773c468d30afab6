/**
 * The tables deliveries, tickets, lanes and ordering_keys in memory, and the statements that move a delivery between
 * them; every public method is one transaction. The rules are the product's own (domain, `gate`, `decideResend`); the SQL
 * is retold here, and double-matches-sql.spec.ts compares the two step by step.
 */
import type { FinishedTicket } from '@app/delivery';
import {
  decideResend,
  type ResendDecision,
  type TicketState,
} from '../../libs/console/src/resend-decision.js';
import {
  FAILURES,
  dueForProbe,
  halfOpen,
  initialLane,
  observe,
  probeLost,
  probeSoon,
  reset,
  ticketPriority,
  WINDOW_MAX,
  type DeliveryPlace,
  type DeliveryStatus,
  type FailureClass,
  type LanePolicy,
  type LaneState,
  type Random,
  type RateLimit,
  type RateState,
  type RetryPolicy,
  type Trigger,
} from '@app/domain';
import type { LockedDelivery } from '@app/persistence';

/** An endpoint and its lane. */
export interface EndpointDouble {
  readonly id: string;
  readonly ordered: boolean;
  readonly orderedFailure: 'block' | 'skip';
  readonly rateLimit: RateLimit | null;
  readonly lanePolicy: LanePolicy;
  readonly windowMax: number;
  policy: RetryPolicy;
  rate: RateState | null;
  disabled: boolean;
  paused: boolean;
  lane: LaneState;
  queued: number;
  held: number;
  waiting: number;
  accepted: number;
}

export interface DeliveryDouble {
  readonly id: string;
  readonly endpoint: EndpointDouble;
  readonly key: string | null;
  readonly seq: number;
  status: DeliveryStatus;
  place: DeliveryPlace | null;
  updatedAtMs: number;
  ticket: number;
  dueAtMs: number;
  runAtMs: number;
  tries: number;
  faults: number;
  trigger: Trigger;
  readonly critical: boolean;
  /** Attempts on record, in order. */
  readonly attempts: { n: number; late: boolean }[];
}

interface TicketDouble {
  readonly priority: number;
  startAtMs: number;
  readonly nth: number;
  state: 'created' | 'active' | 'retry';
  retryCount: number;
  heartbeatAtMs: number;
}

interface KeyDouble {
  readonly endpoint: EndpointDouble;
  readonly key: string;
  state: 'ready' | 'busy' | 'blocked';
  deliveryId: string | null;
  changedMs: number;
}

export interface Claim {
  deliveryId: string;
  retryCount: number;
}

/** As much of an outcome as moves rows. */
export type OutcomeDouble = Pick<FinishedTicket, 'next' | 'burnsTry' | 'retryAfterSeconds' | 'disable'> &
  Claim & { ticket: number; attempt: { status: 'delivered' | 'failed'; failure: string | null } | null };

/** Faults that can be planted, to show that the model sees them. */
export const PLANTED_FAULTS = [
  'fence_without_ticket_number',
  'lane_not_decreased',
  'platform_fault_burns_try',
  'second_probe',
  'key_freed_while_waiting',
  'retry_after_ignored',
  'circuit_not_looked_at',
  'nothing_promoted_by_loops',
  'probe_never_lost',
  'expired_claim_lost',
  // The product's own, found here: a worker that slept starts a claim which another holds by now under the same numbers,
  // a probe of ordered lanes is looked for in one key, which may be empty, and (not any more) a probe's retry is waited for.
  'old_claim_adopted',
  'probe_looks_at_one_key',
  'probe_waits_for_its_retry',
  'probe_under_way_forgotten',
] as const;
export type PlantedFault = (typeof PLANTED_FAULTS)[number];

const HEARTBEAT_MS = 12_000;
const TELLING_MS = 10_000;
const PROBE_AGAIN_MS = 5000;
const BACKLOG_AGE_MS = 60_000;
const TRIES_OF_OLD_CLAIMS = { created: 0, retry: 1 } as const;

export class StoreDouble {
  readonly endpoints = new Map<string, EndpointDouble>();
  readonly deliveries = new Map<string, DeliveryDouble>();
  readonly tickets = new Map<string, TicketDouble>();
  readonly keys = new Map<string, KeyDouble>();
  /** The order of what happened: stands for created_on, which differs by less than a clock's tick. */
  private steps = 0;

  constructor(
    public nowMs: number,
    private readonly random: Random,
    readonly fault: PlantedFault | null = null,
  ) {}

  addEndpoint(
    of: Pick<EndpointDouble, 'id' | 'policy'> & Partial<EndpointDouble> & { window?: number },
  ): EndpointDouble {
    const { window = initialLane().window, ...given } = of;
    const endpoint: EndpointDouble = {
      ordered: false,
      orderedFailure: 'block',
      rateLimit: null,
      lanePolicy: { autoDisable: null, adaptiveRate: false },
      windowMax: WINDOW_MAX,
      rate: null,
      disabled: false,
      paused: false,
      lane: { ...initialLane(), window },
      queued: 0,
      held: 0,
      waiting: 0,
      accepted: 0,
      ...given,
    };
    this.endpoints.set(endpoint.id, endpoint);
    return endpoint;
  }

  /** T1 for one endpoint. What it waits for in its ordering key, if it has one, a promotion finds. */
  publish(endpoint: EndpointDouble, ids: string[], orderingKey = '', critical = false): void {
    const { lane, queued, held, paused, ordered, disabled } = endpoint;
    const closed = paused || lane.circuit !== 'closed' || held > 0 || ordered;
    let room = closed ? 0 : Math.max(0, lane.window - queued);
    for (const id of ids) {
      const place = disabled ? null : room-- > 0 ? 'queued' : 'held';
      this.deliveries.set(id, {
        id,
        endpoint,
        key: ordered ? orderingKey : null,
        seq: ++endpoint.accepted,
        status: disabled ? 'cancelled' : 'pending',
        place: null,
        updatedAtMs: this.nowMs,
        ticket: 1,
        dueAtMs: this.nowMs,
        runAtMs: this.nowMs,
        tries: 0,
        faults: 0,
        trigger: 'event',
        attempts: [],
        critical,
      });
      const delivery = this.deliveries.get(id)!;
      this.place(delivery, place);
      if (place === 'queued') this.insertTicket(delivery, 0);
    }
    if (ordered && !disabled) this.enterKey(endpoint, orderingKey);
  }

  claim(max: number): Claim[] {
    const due = [...this.tickets].filter(([, t]) => t.state !== 'active' && t.startAtMs <= this.nowMs);
    due.sort(([, a], [, b]) => b.priority - a.priority || a.nth - b.nth);
    return due.slice(0, max).map(([deliveryId, ticket]) => {
      ticket.retryCount += TRIES_OF_OLD_CLAIMS[ticket.state as 'created'];
      ticket.state = 'active';
      ticket.heartbeatAtMs = this.nowMs;
      return { deliveryId, retryCount: ticket.retryCount };
    });
  }

  /** Whether this claim is alive; if so it stays so for another heartbeat. */
  touch({ deliveryId, retryCount }: Claim): boolean {
    const ticket = this.tickets.get(deliveryId);
    if (ticket?.state !== 'active' || ticket.retryCount !== retryCount) return false;
    ticket.heartbeatAtMs = this.nowMs;
    return true;
  }

  /** Gives back what has not been touched. Answers whose claims ended. */
  supervise(): string[] {
    const lost = [...this.tickets].filter(
      ([, t]) => t.state === 'active' && this.nowMs - t.heartbeatAtMs > HEARTBEAT_MS,
    );
    for (const [id, ticket] of lost) {
      ticket.state = 'retry';
      if (this.fault === 'expired_claim_lost') this.tickets.delete(id);
    }
    return lost.map(([id]) => id);
  }

  /** T2. Answers what applied, and what follows in a transaction of its own: whoever dies in between never calls it. */
  record(group: OutcomeDouble[]): { applied: boolean[]; follow: () => void } {
    const signals = new Map<EndpointDouble, OutcomeDouble[]>();
    const touched = new Map<EndpointDouble, { successes: number; troubled: boolean; turns: boolean }>();
    const applied = group.map((outcome) => {
      const delivery = this.deliveries.get(outcome.deliveryId)!;
      const { endpoint } = delivery;
      const applies = this.fenceHolds(delivery, outcome);
      delivery.updatedAtMs = this.nowMs;
      if (outcome.attempt) delivery.attempts.push({ n: delivery.attempts.length + 1, late: !applies });
      const over = delivery.status !== 'pending';
      if (applies || over) this.settleTicket(outcome);
      if (!applies) return false;
      const told = touched.get(endpoint) ?? { successes: 0, troubled: false, turns: false };
      touched.set(endpoint, told);
      told.turns = this.move(delivery, outcome) || told.turns;
      const said = verdictOf(outcome);
      if (said === 'success') told.successes++;
      if (said === 'failure' || outcome.disable) told.troubled = true;
      if (outcome.attempt) signals.set(endpoint, [...(signals.get(endpoint) ?? []), outcome]);
      return true;
    });
    const follows = [...touched].map(([endpoint, told]) => {
      return { endpoint, turns: told.turns, ...this.settleLane(endpoint, told) };
    });
    const follow = (): void => {
      for (const { endpoint, attentive } of follows)
        if (attentive) this.tellLane(endpoint, signals.get(endpoint) ?? []);
      for (const { endpoint, attentive, promote, turns } of follows)
        if (attentive || promote || turns) this.promote(endpoint);
    };
    return { applied, follow };
  }

  /** Gives places and tickets to held deliveries as far as the lane has room. */
  promote(endpoint: EndpointDouble): void {
    let room = this.roomOf(endpoint);
    // Of one that holds nothing, ordering keys may be left over.
    if (room <= 0 && endpoint.held > 0) return;
    for (const key of this.readyKeys(endpoint)) {
      const head = this.headOf(key);
      if (!head) this.leave(key);
      if (!head || (head.place === 'held' && room <= 0)) continue;
      this.turn(key, 'busy', head.id);
      if (head.place !== 'held') continue;
      room--;
      this.giveTicket(head);
    }
    for (const delivery of fairly(this.heldOf(endpoint), room)) this.giveTicket(delivery);
  }

  promoteStalled(): void {
    if (this.fault === 'nothing_promoted_by_loops') return;
    for (const endpoint of this.endpoints.values()) if (this.roomOf(endpoint) > 0) this.promote(endpoint);
  }

  sendProbes(): void {
    const wanted = [...this.endpoints.values()].filter(
      (e) => (e.lane.circuit === 'open' && e.held > 0 && !e.paused) || e.lane.circuit === 'half_open',
    );
    for (const endpoint of wanted) this.sendProbe(endpoint);
  }

  sendProbe(endpoint: EndpointDouble): void {
    const now = new Date(this.nowMs);
    const { probeId } = endpoint.lane;
    const probe = probeId === null ? undefined : this.deliveries.get(probeId);
    const hasProbe = probe !== undefined && this.isOnItsWay(probe);
    if (endpoint.lane.circuit === 'half_open' && !hasProbe && this.fault !== 'probe_never_lost')
      endpoint.lane = probeLost(endpoint.lane, now);
    if (this.fault === 'second_probe' && hasProbe) endpoint.lane = { ...probeLost(endpoint.lane, now) };
    if (!dueForProbe(endpoint.lane, now) || endpoint.paused) return;
    const picked = this.pickProbe(endpoint);
    if (!picked) {
      endpoint.lane = { ...endpoint.lane, openUntil: new Date(this.nowMs + PROBE_AGAIN_MS) };
      return;
    }
    this.giveTicket(picked);
    endpoint.lane = halfOpen(endpoint.lane, picked.id).state;
  }

  /** Retries that are due and could not be made anyway wait without a ticket. */
  sideline(): void {
    for (const delivery of this.pending(
      (d) => d.key === null && d.place === 'waiting' && d.dueAtMs <= this.nowMs,
    )) {
      const { circuit, probeId } = delivery.endpoint.lane;
      if (circuit === 'closed' || delivery.id === probeId || !this.withdraw(delivery.id)) continue;
      this.place(delivery, 'held');
      delivery.ticket++;
    }
  }

  expireHeld(): void {
    const old = (d: DeliveryDouble): boolean =>
      d.runAtMs < this.nowMs - d.endpoint.policy.ageMaxSeconds * 1000;
    for (const delivery of this.pending((d) => d.key === null && d.place === 'held' && old(d)))
      this.end(delivery, 'failed');
  }

  cancelStopped(): void {
    const stopped = this.pending((d) => d.endpoint.disabled && this.tickets.get(d.id)?.state !== 'active');
    for (const delivery of stopped) this.cancelNow(delivery);
  }

  resend(id: string): ResendDecision['kind'] {
    const delivery = this.deliveries.get(id)!;
    const { endpoint } = delivery;
    const ticket = this.tickets.get(id);
    const state: TicketState = !ticket ? 'none' : ticket.state === 'active' ? 'claimed' : 'unclaimed';
    const closed = endpoint.paused ? 'paused' : endpoint.lane.circuit === 'closed' ? null : 'circuit';
    const locked: Partial<LockedDelivery> = {
      ...{ id, status: delivery.status, place: delivery.place, orderingKey: delivery.key },
      ...{ due: delivery.dueAtMs <= this.nowMs, closed, stored: true },
      stopped: endpoint.disabled ? 'endpoint_disabled' : null,
    };
    const decision = decideResend(locked as LockedDelivery, state);
    if (closed === 'circuit') this.probeSoon(endpoint);
    if (decision.kind === 'leave' || decision.kind === 'refuse') return decision.kind;
    this.withdraw(id);
    const place = decision.kind === 'start_again' ? this.placeAgain(delivery) : placeOf(decision);
    if (decision.kind === 'start_again') {
      Object.assign(delivery, { status: 'pending', tries: 0, faults: 0, runAtMs: this.nowMs });
      if (delivery.key !== null) this.enterKey(endpoint, delivery.key, id);
    }
    this.place(delivery, place);
    Object.assign(delivery, { trigger: 'resend', ticket: delivery.ticket + 1, dueAtMs: this.nowMs });
    if (place !== 'held') this.insertTicket(delivery, 0);
    return decision.kind;
  }

  /** Whether it could be cancelled by hand. */
  cancel(id: string): boolean {
    const delivery = this.deliveries.get(id)!;
    const blocks = this.keyOf(delivery)?.state === 'blocked' && this.keyOf(delivery)!.deliveryId === id;
    const claimed = this.tickets.get(id)?.state === 'active';
    if (delivery.status === 'pending' ? claimed : !(delivery.status === 'failed' && blocks)) return false;
    this.cancelNow(delivery);
    return true;
  }

  /** For one that was disabled. */
  enable(endpoint: EndpointDouble): void {
    if (!endpoint.disabled) return;
    endpoint.disabled = false;
    endpoint.lane = reset(endpoint.lane, new Date(this.nowMs));
  }

  /** For another URL. */
  probeSoon(endpoint: EndpointDouble): void {
    endpoint.lane = probeSoon(endpoint.lane, new Date(this.nowMs));
  }

  pending(where: (delivery: DeliveryDouble) => boolean): DeliveryDouble[] {
    return [...this.deliveries.values()].filter((d) => d.status === 'pending' && where(d));
  }

  keyOf({ endpoint, key }: DeliveryDouble): KeyDouble | undefined {
    return key === null ? undefined : this.keys.get(`${endpoint.id} ${key}`);
  }

  private fenceHolds(delivery: DeliveryDouble, outcome: OutcomeDouble): boolean {
    const ticket = this.tickets.get(delivery.id);
    const current = delivery.ticket === outcome.ticket || this.fault === 'fence_without_ticket_number';
    const claimed = ticket?.state === 'active' && ticket.retryCount === outcome.retryCount;
    return delivery.status === 'pending' && current && claimed;
  }

  private settleTicket({ deliveryId, retryCount }: Claim): void {
    const ticket = this.tickets.get(deliveryId);
    if (ticket?.state === 'active' && ticket.retryCount === retryCount) this.tickets.delete(deliveryId);
  }

  /** Moves a delivery on as its outcome says. Answers whether its key's turn is over. */
  private move(delivery: DeliveryDouble, { next, attempt, burnsTry }: OutcomeDouble): boolean {
    delivery.tries += burnsTry || (this.fault === 'platform_fault_burns_try' && attempt) ? 1 : 0;
    delivery.faults += attempt && !burnsTry ? 1 : 0;
    delivery.ticket++;
    if (next.status === 'pending') {
      if (attempt) delivery.trigger = 'retry';
      delivery.dueAtMs = this.nowMs + next.inSeconds * 1000;
      if (next.place !== 'held') this.insertTicket(delivery, next.inSeconds);
      this.place(delivery, next.place);
    } else {
      delivery.status = next.status;
      if (this.fault === 'lane_not_decreased') delivery.place = null;
      this.place(delivery, null);
    }
    const early = this.fault === 'key_freed_while_waiting';
    const key = this.keyOf(delivery);
    if (!key || (next.status === 'pending' && next.place !== 'held' && !early)) return false;
    const blocks = next.status === 'failed' && delivery.endpoint.orderedFailure === 'block';
    if (key.deliveryId === delivery.id)
      this.turn(key, blocks ? 'blocked' : 'ready', blocks ? delivery.id : null);
    return true;
  }

  /** What T2 does to a lane besides its counts: the window and the sample of one that saw only successes. */
  private settleLane(
    endpoint: EndpointDouble,
    { successes, troubled }: { successes: number; troubled: boolean },
  ): { attentive: boolean; promote: boolean } {
    const { lane } = endpoint;
    const calm = successes > 0 && !troubled && lane.circuit === 'closed' && lane.warnedPercent === 0;
    const succeeded: OutcomeDouble[] = Array.from({ length: calm ? successes : 0 }, () => SUCCESS);
    this.tellLane(endpoint, succeeded);
    return { attentive: (successes > 0 || troubled) && !calm, promote: this.roomOf(endpoint) > 0 };
  }

  private tellLane(endpoint: EndpointDouble, outcomes: OutcomeDouble[]): void {
    const at = new Date(this.nowMs);
    for (const outcome of outcomes) {
      const kind = verdictOf(outcome);
      if (outcome.disable) endpoint.disabled = true;
      if (!kind) continue;
      const { deliveryId, retryAfterSeconds } = outcome;
      const failure = outcome.attempt!.failure as FailureClass | null;
      const signal = { at, deliveryId, kind, failure, retryAfterSeconds };
      const { state, transitions } = observe(endpoint.lane, signal, endpoint.lanePolicy, this.random);
      endpoint.lane = { ...state, window: Math.min(state.window, endpoint.windowMax) };
      if (transitions.some((transition) => transition.kind === 'disabled')) endpoint.disabled = true;
    }
  }

  private roomOf({ paused, lane, held, queued }: EndpointDouble): number {
    const open = !paused && lane.circuit === 'closed' && held > 0 && queued * 2 < lane.window;
    return open ? Math.min(held, lane.window - queued) : 0;
  }

  private heldOf(endpoint: EndpointDouble): DeliveryDouble[] {
    const held = this.pending((d) => d.endpoint === endpoint && d.key === null && d.place === 'held');
    return held.sort((a, b) => a.dueAtMs - b.dueAtMs || (a.id < b.id ? -1 : 1));
  }

  private readyKeys(endpoint: EndpointDouble): KeyDouble[] {
    const ready = [...this.keys.values()].filter((k) => k.endpoint === endpoint && k.state === 'ready');
    return ready.sort((a, b) => a.changedMs - b.changedMs || (a.key < b.key ? -1 : 1));
  }

  private leave({ endpoint, key }: KeyDouble): void {
    this.keys.delete(`${endpoint.id} ${key}`);
  }

  private headOf({ endpoint, key }: KeyDouble): DeliveryDouble | undefined {
    return this.pending((d) => d.endpoint === endpoint && d.key === key).sort(bySeq)[0];
  }

  private pickProbe(endpoint: EndpointDouble): DeliveryDouble | undefined {
    const held = this.heldOf(endpoint);
    const unordered = endpoint.lane.trips % 2 === 0 ? held.at(-1) : held[0];
    if (unordered) return unordered;
    // As it once was: the one looked at stayed first though it was empty.
    const once = this.fault === 'probe_looks_at_one_key';
    const keys = this.readyKeys(endpoint).slice(0, once ? 1 : undefined);
    if (!once) for (const each of keys) if (!this.headOf(each)) this.leave(each);
    const key = keys.find((each) => this.headOf(each)?.place === 'held');
    if (!key) return undefined;
    const head = this.headOf(key)!;
    this.turn(key, 'busy', head.id);
    return head;
  }

  /** A probe that is to have an outcome, or whose outcome is about to be told: whoever was to tell it may have died. */
  private isOnItsWay({ id, status, place, updatedAtMs }: DeliveryDouble): boolean {
    const forgetful = this.fault === 'probe_under_way_forgotten';
    if (
      status === 'pending' &&
      (place === 'queued' || (!forgetful && this.tickets.get(id)?.state === 'active'))
    )
      return true;
    if (this.fault === 'probe_waits_for_its_retry') return status === 'pending' && place !== 'held';
    return status !== 'cancelled' && place !== 'held' && updatedAtMs > this.nowMs - TELLING_MS;
  }

  private giveTicket(delivery: DeliveryDouble): void {
    this.place(delivery, 'queued');
    delivery.ticket++;
    delivery.dueAtMs = this.nowMs;
    this.insertTicket(delivery, 0);
  }

  private insertTicket(delivery: DeliveryDouble, inSeconds: number): void {
    if (this.tickets.has(delivery.id)) throw new Error(`two tickets for ${delivery.id}`);
    this.tickets.set(delivery.id, {
      priority: ticketPriority(delivery),
      startAtMs: this.nowMs + inSeconds * 1000,
      nth: this.steps++,
      state: 'created',
      retryCount: 0,
      heartbeatAtMs: 0,
    });
  }

  private withdraw(id: string): boolean {
    return this.tickets.get(id)?.state !== 'active' && this.tickets.delete(id);
  }

  private placeAgain({ endpoint, key }: DeliveryDouble): DeliveryPlace {
    const { paused, lane, held, queued } = endpoint;
    const full = paused || lane.circuit !== 'closed' || held > 0 || queued >= lane.window;
    return full || key !== null ? 'held' : 'queued';
  }

  private place(delivery: DeliveryDouble, place: DeliveryPlace | null): void {
    if (delivery.place) delivery.endpoint[delivery.place]--;
    if (place) delivery.endpoint[place]++;
    delivery.place = place;
    delivery.updatedAtMs = this.nowMs;
  }

  private cancelNow(delivery: DeliveryDouble): void {
    this.withdraw(delivery.id);
    const key = this.keyOf(delivery);
    if (key?.deliveryId === delivery.id) this.turn(key, 'ready', null);
    this.end(delivery, 'cancelled');
  }

  private end(delivery: DeliveryDouble, status: DeliveryStatus): void {
    this.place(delivery, null);
    delivery.status = status;
    delivery.ticket++;
  }

  /** A key gets something new; when it was this delivery that blocked it, it does so no more. */
  private enterKey(endpoint: EndpointDouble, key: string, again: string | null = null): void {
    const name = `${endpoint.id} ${key}`;
    const known = this.keys.get(name);
    if (!known)
      this.keys.set(name, { endpoint, key, state: 'ready', deliveryId: null, changedMs: this.nowMs });
    else if (again !== null && known.deliveryId === again) this.turn(known, 'ready', null);
  }

  private turn(key: KeyDouble, state: KeyDouble['state'], deliveryId: string | null): void {
    Object.assign(key, { state, deliveryId, changedMs: this.nowMs });
  }
}

const SUCCESS = {
  deliveryId: '',
  retryAfterSeconds: null,
  disable: null,
  proof: null,
  attempt: { status: 'delivered', failure: null },
} as unknown as OutcomeDouble;

function bySeq(a: DeliveryDouble, b: DeliveryDouble): number {
  return a.seq - b.seq || (a.id < b.id ? -1 : 1);
}

function verdictOf({ attempt }: OutcomeDouble): 'success' | 'failure' | null {
  if (!attempt) return null;
  if (attempt.failure === null) return 'success';
  return FAILURES[attempt.failure as FailureClass].chargeTo === 'receiver' ? 'failure' : null;
}

function placeOf(decision: ResendDecision): DeliveryPlace {
  return decision.kind === 'bring_forward' ? decision.place : 'queued';
}

/** The oldest; half of the places to the newest when the oldest have waited through an outage. As promote-held.ts. */
function fairly(held: DeliveryDouble[], room: number): DeliveryDouble[] {
  const oldest = held.slice(0, room);
  const since = (held.at(-1)?.dueAtMs ?? 0) - BACKLOG_AGE_MS;
  const coin = [held.at(0), held.at(-1)].reduce((bits, d) => bits ^ parseInt(d?.id.at(-1) ?? '0', 16), 0) & 1;
  const half = Math.floor((room + coin) / 2);
  const newest = half < 1 ? [] : held.slice(-half).filter((d) => d.dueAtMs >= since);
  const fresh = oldest[0]?.dueAtMs >= since ? [] : newest;
  return [...new Set([...fresh, ...oldest])].slice(0, room);
}
