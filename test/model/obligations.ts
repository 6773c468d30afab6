/**
 * The model: a bag of what was promised, that knows nothing of tickets, windows or fences. The world tells it what it saw
 * (a claim, a request at the receiver, an outcome), and it says what must be true of that; after each command `check` looks
 * at the tables. The names I1..I11 are those of the fault matrix.
 */
import type { DeliveryDouble, EndpointDouble, OutcomeDouble, StoreDouble } from './store-double.js';
import type { PolicyInUse } from './world.js';

interface Obligation {
  /** How it ended, null while it is owed. */
  ended: 'delivered' | 'failed' | 'cancelled' | null;
  /** The claim that may speak for it now. */
  owner: number | null;
  /** A request of that claim is under way. */
  underWay: boolean;
  /** Requests at the receiver, and why there are as many: outcomes that applied, claims that ended first. */
  requests: number;
  applied: number;
  excused: number;
  late: number;
  /** Of the present run. */
  successes: number;
  burned: number;
  notBeforeMs: number;
  /** By a person: it may stand before others of its key again. */
  resent: boolean;
}

export class Obligations {
  private readonly bag = new Map<string, Obligation>();
  /** A failure that others of its key wait for. */
  private readonly blocking = new Map<string, string>();
  private readonly requestTimes = new Map<string, number[]>();

  /** Who was last sent through a circuit that is not closed. */
  private readonly probes = new Map<EndpointDouble, string>();

  constructor(private readonly store: StoreDouble) {}

  accepted(id: string): void {
    const counts = { requests: 0, applied: 0, excused: 0, late: 0, successes: 0, burned: 0, notBeforeMs: 0 };
    this.bag.set(id, { ended: null, owner: null, underWay: false, resent: false, ...counts });
  }

  claimed(id: string, claim: number): void {
    const owed = this.bag.get(id)!;
    must(owed.owner === null, 'I6 claimed twice', id);
    owed.owner = claim;
  }

  claimLost(id: string): void {
    const owed = this.bag.get(id)!;
    if (owed.underWay) owed.excused++;
    Object.assign(owed, { owner: null, underWay: false });
  }

  isOwner(id: string, claim: number): boolean {
    return this.bag.get(id)!.owner === claim;
  }

  /** The receiver got a request. */
  requested(id: string, claim: number, succeeds: boolean): void {
    const owed = this.bag.get(id)!;
    const delivery = this.store.deliveries.get(id)!;
    const { endpoint } = delivery;
    const { nowMs } = this.store;
    must(owed.owner === claim, 'I6 request for a claim of somebody else', id);
    must(owed.ended === null, 'I5 request after the end', id);
    must(!endpoint.disabled && !endpoint.paused, 'I5 request to a stopped endpoint', id);
    const open = endpoint.lane.circuit === 'closed' || endpoint.lane.probeId === id;
    must(open, `request through a circuit that is ${endpoint.lane.circuit}`, id);
    must(nowMs >= owed.notBeforeMs - 1, `I7 retry ${owed.notBeforeMs - nowMs} ms early`, id);
    must(owed.requests === owed.applied + owed.excused, 'I4 duplicate without a cause', id);
    if (delivery.key !== null) this.checkTurn(delivery);
    if (endpoint.lane.circuit !== 'closed') {
      const before = this.probes.get(endpoint) ?? id;
      must(before === id || !this.bag.get(before)!.underWay, `a second probe beside ${before}`, id);
      this.probes.set(endpoint, id);
    }
    if (endpoint.rateLimit) this.checkRate(endpoint);
    owed.requests++;
    owed.underWay = true;
    if (succeeds) owed.successes++;
  }

  /** An outcome was written. */
  recorded(outcome: OutcomeDouble, claim: number, applied: boolean, policy: PolicyInUse): void {
    const id = outcome.deliveryId;
    const owed = this.bag.get(id)!;
    must(applied === (owed.owner === claim), `I6 outcome of ${applied ? 'a lost' : 'the present'} claim`, id);
    if (!applied) {
      if (outcome.attempt) owed.late++;
      return;
    }
    const { next, attempt } = outcome;
    if (attempt) owed.applied++;
    if (attempt && attempt.failure !== 'internal') owed.burned++;
    Object.assign(owed, { owner: null, underWay: false });
    if (next.status === 'pending') {
      if (attempt && attempt.failure !== 'internal')
        must(owed.burned < policy.policy.attemptsMax, 'I11 more tries than the policy has', id);
      const seconds = attempt ? soonest(outcome, owed.burned, policy) : 0;
      owed.notBeforeMs = Math.max(owed.notBeforeMs, this.store.nowMs + seconds * 1000);
      return;
    }
    owed.ended = next.status;
    if (next.status === 'failed' && next.gaveUp === 'attempts_exhausted')
      must(owed.burned >= policy.policy.attemptsMax, 'I11 gave up early', id);
    const { key, endpoint } = this.store.deliveries.get(id)!;
    if (next.status === 'failed' && key !== null && endpoint.orderedFailure === 'block')
      this.blocking.set(`${endpoint.id} ${key}`, id);
  }

  /** A person asked for it again, and something was done. */
  resent(id: string, again: boolean): void {
    const owed = this.bag.get(id)!;
    Object.assign(owed, { notBeforeMs: 0, resent: true });
    if (again) Object.assign(owed, { ended: null, burned: 0, successes: 0 });
    this.unblock(id);
  }

  cancelled(id: string): void {
    this.bag.get(id)!.ended = 'cancelled';
    this.unblock(id);
  }

  /** Its lane forgets what was, also the probe that is under way. */
  enabled(endpoint: EndpointDouble): void {
    this.probes.delete(endpoint);
  }

  /** What must be true of the tables at any time. */
  check(): void {
    const counts = new Map<EndpointDouble, { queued: number; held: number; waiting: number }>();
    for (const endpoint of this.store.endpoints.values())
      counts.set(endpoint, { queued: 0, held: 0, waiting: 0 });
    for (const delivery of this.store.deliveries.values()) {
      this.checkDelivery(delivery);
      if (delivery.place) counts.get(delivery.endpoint)![delivery.place]++;
    }
    for (const [endpoint, counted] of counts) checkLane(endpoint, counted);
    for (const [name, { state, deliveryId }] of this.store.keys) {
      const turn = deliveryId === null ? undefined : this.store.deliveries.get(deliveryId);
      if (state === 'busy') must(turn?.status === 'pending' && turn.place !== 'held', 'key of nobody', name);
      if (state === 'blocked') must(turn?.status === 'failed', 'key blocked by nothing', name);
    }
  }

  /** What has no ticket and does not stand behind a retry of its key. When all has been well for a while, nothing. */
  stuck(): string | undefined {
    const [found] = this.store.pending((delivery) => {
      const turn = this.store.keyOf(delivery)?.deliveryId ?? null;
      return delivery.place === 'held' && this.store.deliveries.get(turn ?? '')?.place !== 'waiting';
    });
    if (!found) return undefined;
    const { circuit, probeId } = found.endpoint.lane;
    return `${found.id} still held; circuit ${circuit}, probe ${probeId}`;
  }

  /** What must be true when everything has recovered and time has run out. */
  checkAllEnded(): void {
    this.check();
    for (const [id, { ended }] of this.bag) must(ended !== null, 'I1 still pending at the end', id);
  }

  private checkDelivery(delivery: DeliveryDouble): void {
    const { id, status, place, tries, attempts } = delivery;
    const owed = this.bag.get(id)!;
    if (owed.ended === null && status !== 'pending') owed.ended = this.endedUnseen(delivery, owed);
    must(status === (owed.ended ?? 'pending'), `I1 ${status} instead of ${owed.ended ?? 'pending'}`, id);
    const hasTicket = this.store.tickets.has(id);
    if (status === 'pending')
      must(place !== null && hasTicket === (place !== 'held'), `I1 ${place}, ticket: ${hasTicket}`, id);
    else must(!hasTicket && place === null, `I1 a ticket after the end`, id);
    if (status === 'delivered') must(owed.successes > 0, 'I2 delivered, and the receiver has nothing', id);
    must(tries === owed.burned, `I11 ${tries} tries on record, ${owed.burned} made`, id);
    must(attempts.length === owed.applied + owed.late, 'I3 attempts are not those made', id);
    must(attempts.filter(({ late }) => late).length === owed.late, 'I6 late attempts', id);
    const key = this.store.keyOf(delivery);
    if (delivery.key !== null && status === 'pending') must(key !== undefined, 'its key is gone', id);
    if (key && hasTicket) must(key.deliveryId === id, 'a ticket that is not its turn', id);
  }

  /** What the loops may end by themselves. */
  private endedUnseen(
    { id, status, endpoint, runAtMs }: DeliveryDouble,
    owed: Obligation,
  ): 'failed' | 'cancelled' {
    must(owed.owner === null, `I1 ${status} while it is claimed`, id);
    const old = this.store.nowMs - runAtMs > endpoint.policy.ageMaxSeconds * 1000;
    must(
      status === 'cancelled' ? endpoint.disabled : status === 'failed' && old,
      `I1 ${status} by nobody`,
      id,
    );
    return status as 'failed';
  }

  private checkTurn({ id, endpoint, key }: DeliveryDouble): void {
    must(!this.blocking.has(`${endpoint.id} ${key}`), 'request behind a failure that blocks its key', id);
    for (const other of this.store.deliveries.values()) {
      if (other.id === id || other.endpoint !== endpoint || other.key !== key) continue;
      const { underWay, resent, ended } = this.bag.get(other.id)!;
      must(!underWay, `two of one key under way: ${other.id}`, id);
      // Ids are in the order of acceptance.
      must(other.id > id || ended !== null || resent, `inversion: before ${other.id}`, id);
    }
  }

  /** At most `limit` in any `per` seconds. */
  private checkRate({ id, rateLimit }: EndpointDouble): void {
    const { limit, per } = rateLimit!;
    const times = (this.requestTimes.get(id) ?? []).filter((at) => at > this.store.nowMs - per * 1000 + 1);
    must(times.length < limit, `more than ${limit} requests in ${per} s`, id);
    this.requestTimes.set(id, [...times, this.store.nowMs]);
  }

  private unblock(id: string): void {
    for (const [key, by] of this.blocking) if (by === id) this.blocking.delete(key);
  }
}

function checkLane(
  { id, lane, windowMax, queued, held, waiting }: EndpointDouble,
  counted: { queued: number; held: number; waiting: number },
): void {
  const told = { queued, held, waiting };
  must(JSON.stringify(told) === JSON.stringify(counted), `lane ${JSON.stringify({ told, counted })}`, id);
  must(lane.window >= 1 && lane.window <= windowMax, `window ${lane.window}`, id);
  must((lane.circuit === 'half_open') === (lane.probeId !== null), `probe of a lane ${lane.circuit}`, id);
}

/** The least that must pass before the next try, after `burned` tries that counted. */
function soonest({ attempt, retryAfterSeconds }: OutcomeDouble, burned: number, policy: PolicyInUse): number {
  if (attempt!.failure === 'internal') return 5;
  const { atLeastSeconds } = policy;
  return Math.max(atLeastSeconds[Math.min(burned, atLeastSeconds.length) - 1], retryAfterSeconds ?? 0);
}

function must(holds: boolean, what: string, id: string): void {
  if (!holds) throw new Error(`${what} (${id})`);
}
