/**
 * Workers, receivers and time around the store: what a worker does between its transactions, with everything that may
 * happen to it there. Nothing waits: time passes when a command says so.
 */
import { gate, withoutAttempt, type Outcome } from '@app/delivery';
import {
  decide,
  effectiveRateFactor,
  FAILURES,
  seededRandom,
  takeSlots,
  type FailureClass,
  type Random,
  type ReceiverDirective,
  type RetryPolicy,
} from '@app/domain';
import { NO_CREDENTIALS, type DeliveryForAttempt, type EndpointForAttempt } from '@app/persistence';
import { Obligations } from './obligations.js';
import {
  StoreDouble,
  type Claim,
  type DeliveryDouble,
  type EndpointDouble,
  type OutcomeDouble,
  type PlantedFault,
} from './store-double.js';

/** A policy, and the least that it lets pass after each try: written down, not computed. */
export interface PolicyInUse {
  policy: RetryPolicy;
  atLeastSeconds: number[];
}
const HOUR_SECONDS = 3600;
export const POLICIES: PolicyInUse[] = [
  {
    policy: {
      type: 'schedule',
      delaysSeconds: [5, 30, 120],
      jitter: 'none',
      ...bounds(4, 24 * HOUR_SECONDS),
    },
    atLeastSeconds: [5, 30, 120],
  },
  {
    policy: { type: 'fixed', delaySeconds: 10, jitter: 'proportional', ...bounds(3, HOUR_SECONDS) },
    atLeastSeconds: [5],
  },
  {
    policy: {
      ...{
        type: 'exponential',
        initialSeconds: 4,
        factor: 30,
        maxSeconds: 20 * HOUR_SECONDS,
        jitter: 'equal',
      },
      ...{ ...bounds(5, 200 * HOUR_SECONDS), retryClientErrors: true },
    },
    atLeastSeconds: [2, 60, 1800, 36_000],
  },
];

function bounds(attemptsMax: number, ageMaxSeconds: number) {
  return { attemptsMax, ageMaxSeconds, retryClientErrors: false };
}

interface Answer {
  failure: FailureClass | null;
  retryAfterSeconds: number | null;
  directive: ReceiverDirective | null;
  tookMs: number;
}
export const ANSWERS = {
  ok: answer(null),
  error500: answer('http_5xx'),
  slowDown: answer('rate_limited_429', { retryAfterSeconds: 700 }),
  badRequest: answer('http_4xx'),
  gone: answer('gone_410'),
  hang: answer('response_timeout', { tookMs: 15_000 }),
  blocked: answer('blocked_address'),
  abort: answer('http_5xx', { directive: 'abort-message' }),
  ourFault: answer('internal'),
};
export type AnswerKind = keyof typeof ANSWERS;

function answer(failure: FailureClass | null, more: Partial<Answer> = {}): Answer {
  return { failure, retryAfterSeconds: null, directive: null, tookMs: 40, ...more };
}

/** A claimed ticket in a worker's memory. */
interface Held extends Claim {
  claim: number;
  row: Pick<DeliveryDouble, 'ticket' | 'tries' | 'faults'> & { ageSeconds: number };
  /** Of a slot of its rate; null when it needs none or has none yet. */
  slotAtMs: number | null;
  /** From then on its outcome can be written; null before the request. */
  endsAtMs: number | null;
  startedAtMs: number;
  outcome: Outcome | Answer | null;
}

interface Worker {
  frozen: boolean;
  /** Its clock minus the database's. */
  skewMs: number;
  held: Held[];
}

// As TimedTickets: a slot that is older is not used.
const SLOT_LATE_MAX_MS = 100;
const SLOT_HORIZON_MS = 3000;

export class World {
  readonly store: StoreDouble;
  readonly model: Obligations;
  readonly endpoints: EndpointDouble[];
  readonly workers: Worker[] = [idle(), idle(), idle()];
  readonly ids: string[] = [];
  private readonly random: Random;
  private readonly answers = new Map<EndpointDouble, AnswerKind>();
  private claims = 0;
  /** How often a worker dies between T2 and what follows from it, in ordinary life. */
  diesAfterRecord = 0.1;

  constructor(seed: number, fault: PlantedFault | null = null) {
    this.random = seededRandom(seed);
    this.store = new StoreDouble(Date.UTC(2030, 0, 1), this.random, fault);
    this.model = new Obligations(this.store);
    const autoDisable = { afterSeconds: 3 * HOUR_SECONDS, attemptsMin: 12 };
    const { policy } = POLICIES[0];
    const rateLimit = { algorithm: 'sliding_window', limit: 3, per: 2 } as const;
    this.endpoints = [
      this.store.addEndpoint({ id: 'plain', policy, window: 3 }),
      this.store.addEndpoint({
        id: 'ordered',
        policy,
        ordered: true,
        lanePolicy: { autoDisable, adaptiveRate: false },
      }),
      this.store.addEndpoint({
        ...{ id: 'limited', policy: POLICIES[1].policy, rateLimit, window: 4, windowMax: 4 },
        ...{ ordered: true, orderedFailure: 'skip', lanePolicy: { autoDisable: null, adaptiveRate: true } },
      }),
      this.store.addEndpoint({ id: 'other', policy: POLICIES[2].policy, rateLimit, window: 2, windowMax: 6 }),
    ];
  }

  /** `heard`: a worker hears the notice and gives places; else a loop has to find it. */
  publish(endpoint: EndpointDouble, n: number, key: string, critical: boolean, heard: boolean): void {
    const ids = Array.from({ length: n }, (_, at) => `d${String(this.ids.length + at).padStart(3, '0')}`);
    this.ids.push(...ids);
    for (const id of ids) this.model.accepted(id);
    this.store.publish(endpoint, ids, key, critical);
    if (heard) this.store.promote(endpoint);
  }

  behave(endpoint: EndpointDouble, answer: AnswerKind): void {
    this.answers.set(endpoint, answer);
  }

  claim(worker: Worker, max: number): void {
    if (worker.frozen) return;
    for (const claim of this.store.claim(max)) {
      this.model.claimed(claim.deliveryId, ++this.claims);
      const { ticket, tries, faults } = this.store.deliveries.get(claim.deliveryId)!;
      const row = { ticket, tries, faults, ageSeconds: 0 };
      const empty = { row, slotAtMs: null, endsAtMs: null, startedAtMs: 0, outcome: null };
      worker.held.push({ ...claim, claim: this.claims, ...empty });
    }
  }

  /** Loads the rows of what is claimed, and makes the requests that may be made. Proves its claims first, as after a sleep. */
  start(worker: Worker): void {
    if (worker.frozen) return;
    this.prove(worker);
    for (const held of worker.held) if (held.endsAtMs === null) this.startOne(worker, held);
  }

  /** Writes all outcomes that are there. `lost`: the process dies right after T2, or in its following transactions. */
  record(worker: Worker, follows: 'follows' | 'lost'): void {
    if (worker.frozen) return;
    const ready = worker.held.filter(({ endsAtMs }) => endsAtMs !== null && endsAtMs <= this.store.nowMs);
    // As takeGroup: at most one outcome of a delivery in one group, and in order of id.
    const group = [...new Map([...ready].reverse().map((held) => [held.deliveryId, held])).values()];
    group.sort((a, b) => (a.deliveryId < b.deliveryId ? -1 : 1));
    const policies = group.map(({ deliveryId }) =>
      this.policyOf(this.store.deliveries.get(deliveryId)!.endpoint),
    );
    const outcomes = group.map((held, at) => this.outcomeOf(worker, held, policies[at].policy));
    const { applied, follow } = this.store.record(outcomes);
    for (const [at, held] of group.entries())
      this.model.recorded(outcomes[at], held.claim, applied[at], policies[at]);
    worker.held = worker.held.filter((held) => !group.includes(held));
    if (follows === 'follows') follow();
    else this.crash(worker);
  }

  /** Its claims run out; whoever takes its place starts with nothing. */
  crash(worker: Worker): void {
    Object.assign(worker, idle());
  }

  /** Time passes: workers that live prove their claims, slots are used at their time, claims of others end. */
  advance(seconds: number): void {
    const untilMs = this.store.nowMs + seconds * 1000;
    const live = this.workers.filter((worker) => !worker.frozen);
    for (;;) {
      const slots = live.flatMap(({ held }) => held.flatMap(({ slotAtMs }) => slotAtMs ?? []));
      this.store.nowMs = Math.max(this.store.nowMs, Math.min(untilMs, ...slots));
      for (const worker of live) {
        this.prove(worker);
        const timed = worker.held.filter(({ slotAtMs }) => slotAtMs !== null && slotAtMs <= this.store.nowMs);
        for (const held of timed) this.startOne(worker, held);
      }
      if (this.store.nowMs >= untilMs) break;
    }
    for (const id of this.store.supervise()) this.model.claimLost(id);
  }

  loops(): void {
    this.store.cancelStopped();
    this.store.promoteStalled();
    this.store.sendProbes();
    this.store.sideline();
    this.store.expireHeld();
    // What the loops have ended is over for what follows.
    this.model.check();
  }

  resend(id: string): void {
    const kind = this.store.resend(id);
    if (kind !== 'leave' && kind !== 'refuse') this.model.resent(id, kind === 'start_again');
  }

  cancel(id: string, heard: boolean): void {
    if (!this.store.cancel(id)) return;
    this.model.cancelled(id);
    if (heard) this.store.promote(this.store.deliveries.get(id)!.endpoint);
  }

  enable(endpoint: EndpointDouble): void {
    this.store.enable(endpoint);
    this.model.enabled(endpoint);
  }

  /** A while of ordinary life: enough for a circuit to open, to be tried and to close. */
  live(rounds: number, seconds: number): void {
    for (let round = 0; round < rounds; round++) {
      this.advance(seconds);
      this.loops();
      for (const worker of this.workers) this.work(worker);
    }
  }

  /** One worker does all that there is to do now. */
  work(worker: Worker): void {
    this.claim(worker, 64);
    this.start(worker);
    this.advance(0.04);
    this.record(worker, this.random.next() < this.diesAfterRecord ? 'lost' : 'follows');
  }

  private prove(worker: Worker): void {
    const adopts = this.store.fault === 'old_claim_adopted';
    worker.held = worker.held.filter((held) => {
      const ours = this.store.touch(held) && (adopts || this.model.isOwner(held.deliveryId, held.claim));
      return ours || held.endsAtMs !== null;
    });
  }

  private startOne(worker: Worker, held: Held): void {
    const delivery = this.store.deliveries.get(held.deliveryId)!;
    const { endpoint } = delivery;
    const { nowMs } = this.store;
    const { ticket, tries, faults } = delivery;
    held.row = { ticket, tries, faults, ageSeconds: (nowMs - delivery.runAtMs) / 1000 };
    const hasSlot = held.slotAtMs !== null && nowMs - held.slotAtMs <= SLOT_LATE_MAX_MS;
    if (held.slotAtMs !== null && held.slotAtMs > nowMs) return;
    held.slotAtMs = null;
    const stopped = gate(...this.rowsOf(delivery, held));
    if (stopped) return void Object.assign(held, { outcome: stopped, endsAtMs: nowMs });
    if (endpoint.rateLimit && !hasSlot) {
      const factor = effectiveRateFactor(endpoint.lane, new Date(nowMs));
      const taken = takeSlots(endpoint.rateLimit, endpoint.rate, nowMs, 1, SLOT_HORIZON_MS, factor);
      const [inMs] = taken.slots;
      if (inMs === undefined) {
        const inSeconds = Math.max(1, taken.nextInMs / 1000);
        const next = { status: 'pending', place: 'queued', inSeconds, because: 'rate_limit' } as const;
        return void Object.assign(held, { outcome: withoutAttempt(next), endsAtMs: nowMs });
      }
      endpoint.rate = taken.state;
      if (inMs > 0) return void (held.slotAtMs = nowMs + inMs);
    }
    this.send(worker, held, endpoint);
  }

  private send(worker: Worker, held: Held, endpoint: EndpointDouble): void {
    const said = ANSWERS[this.answers.get(endpoint) ?? 'ok'];
    const { nowMs } = this.store;
    this.model.requested(held.deliveryId, held.claim, said.failure === null);
    const startedAtMs = nowMs + worker.skewMs;
    Object.assign(held, { outcome: said, endsAtMs: nowMs + said.tookMs, startedAtMs });
  }

  /** As the pump loads them, as far as the gate looks at them. */
  private rowsOf(delivery: DeliveryDouble, { row }: Held): [DeliveryForAttempt, EndpointForAttempt] {
    const { endpoint, id, trigger } = delivery;
    const { paused, disabled, policy: retryPolicy } = endpoint;
    const circuit = this.store.fault === 'circuit_not_looked_at' ? 'closed' : endpoint.lane.circuit;
    const loaded = { id, trigger, ageSeconds: row.ageSeconds, event: {} };
    const stopped = disabled ? 'endpoint_disabled' : null;
    const signing = { secrets: ['whsec_'], credentials: NO_CREDENTIALS };
    const to = { paused, stopped, retryPolicy, ...signing, circuit, probeId: endpoint.lane.probeId };
    return [loaded as unknown as DeliveryForAttempt, to as unknown as EndpointForAttempt];
  }

  /** As AttemptDelivery makes it of the answer, on the worker's clock. */
  private outcomeOf(worker: Worker, held: Held, policy: RetryPolicy): OutcomeDouble {
    const { deliveryId, retryCount, row } = held;
    const claim = { deliveryId, retryCount, ticket: row.ticket };
    if (!('tookMs' in held.outcome!)) return { ...held.outcome!, ...claim };
    const { failure, directive, ...said } = held.outcome;
    const retryAfterSeconds = this.store.fault === 'retry_after_ignored' ? null : said.retryAfterSeconds;
    const burnsTry = failure === null || FAILURES[failure].chargeTo !== 'platform';
    const tookMs = held.endsAtMs! + worker.skewMs - held.startedAtMs;
    const history = {
      triesDone: row.tries + (burnsTry ? 1 : 0),
      platformFaults: row.faults,
      ageSeconds: row.ageSeconds + tookMs / 1000,
    };
    const decision = decide({ failure, retryAfterSeconds, directive }, history, policy, this.random);
    const next: Outcome['next'] =
      decision.status === 'pending'
        ? {
            status: 'pending',
            place: 'waiting',
            inSeconds: decision.retryInSeconds,
            because: decision.reason,
          }
        : decision;
    const recorded = next.status === 'failed' ? next.failure : failure;
    const attempt = {
      status: failure === null ? ('delivered' as const) : ('failed' as const),
      failure: recorded,
    };
    const disable = 'disable' in decision ? (decision.disable ?? null) : null;
    return { ...claim, next, attempt, burnsTry, retryAfterSeconds: said.retryAfterSeconds, disable };
  }

  private policyOf(endpoint: EndpointDouble): PolicyInUse {
    return POLICIES.find(({ policy }) => policy === endpoint.policy)!;
  }
}

function idle(): Worker {
  return { frozen: false, skewMs: 0, held: [] };
}
