import { createHash } from 'node:crypto';
import { BATCH_DELIVERIES_MAX, dueNoticePayload, Problem, boundTo, type Scope } from '@app/contracts';
import { ticketPriority, toPublicId, type Clock, type Random } from '@app/domain';
import type { Metrics } from '@app/observability';
import {
  acceptRepository,
  idempotencyRepository,
  inScopes,
  isConnectionFailure,
  orderingRepository,
  type Database,
  type IdempotencyClaim,
  type KnownEvent,
  type NewDelivery,
  type OrderingKey,
  type StoredAnswer,
  type Tx,
} from '@app/persistence';
import type { DeliverQueue } from '@app/queue';
import { BacklogRoom } from './backlog-room.js';
import {
  planEvent,
  RESERVED_PREFIX,
  type AcceptableEvent,
  type Catalogue,
  type PlannedEvent,
} from './plan-events.js';

/** What one publisher asked in one request. */
export interface AcceptRequest {
  scope: Scope;
  /** In the order of the request; a problem found by parsing keeps its place. */
  events: (AcceptableEvent | Problem)[];
  idempotency: IdempotencyClaim | null;
}

export interface AcceptedEvent {
  /** Public ids. */
  id: string;
  deliveries: number;
  note?: 'no_matching_endpoint' | 'only_disabled_endpoints';
  /** The delivery of a test event. */
  delivery?: string;
}
export type AcceptResult = AcceptedEvent | Problem;

/** The answer to a request: one result per event, and whether it is the stored answer of an earlier request. */
export interface AcceptAnswer {
  results: AcceptResult[];
  replayed: boolean;
}

interface Waiting {
  request: AcceptRequest;
  sinceMs: number;
  resolve: (answer: AcceptAnswer) => void;
  reject: (error: unknown) => void;
}

// One commit's fsync serves a whole group; more than this and the first waits noticeably for the last.
const GROUP_EVENTS_MAX = 200;
// While one group waits for its commit the next one is being built; a third would only contend for the lanes.
const GROUPS_AT_ONCE = 2;
// A group costs the server 1.3 ms, an event in it 0.03: while a large one is under way, those that come wait for it and
// are the next large one. Beside a small one nobody waits: a commit is all that there would be to wait for.
const SMALL_GROUP_EVENTS = 4;
// Two seconds of what a small machine takes. Who comes then is told to come back: his patience may end before his turn.
const WAITING_EVENTS_MAX = 20_000;
// The next group begins within milliseconds unless the database is slow or away. Newcomers hear of that at once, …
const BEHIND_AFTER_MS = 2_000;
// … and who has waited so long is let go before his group begins: nothing was done, and most publishers have hung up.
const WAITING_MS_MAX = 10_000;

/**
 * T1: from a publisher's words to stored events, deliveries and tickets, all or nothing. Requests that come while a
 * group commits form the next group; alone, a request waits for nobody.
 */
export class AcceptEvents {
  private readonly waiting: Waiting[] = [];
  private waitingEvents = 0;
  private groups = 0;
  /** In the groups that are under way. */
  private acceptingEvents = 0;

  constructor(
    private readonly database: Database,
    private readonly queue: Pick<DeliverQueue, 'insert'>,
    private readonly clock: Clock,
    private readonly random: Random,
    private readonly metrics: Metrics,
    private readonly options: {
      autoCreateEventTypes: boolean;
      /** Of deliveries of one subscriber; what would make more is refused. */
      backlogPerSubscriberMax: number;
      monotonic?: () => number;
    },
  ) {}

  /** Resolves after the commit. @throws Problem `unavailable` when too much waits, a connection error when the database is away. */
  async accept(request: AcceptRequest): Promise<AcceptAnswer> {
    this.refuseWhenBehind(request.events.length);
    const end = this.metrics.acceptSeconds.startTimer();
    try {
      return await new Promise<AcceptAnswer>((resolve, reject) => {
        this.waiting.push({ request, sinceMs: this.now(), resolve, reject });
        this.waitingEvents += request.events.length;
        this.startGroups();
      });
    } finally {
      end();
    }
  }

  /** Also for the door, before a body is read. @throws Problem `unavailable` when so many more would wait too long */
  refuseWhenBehind(events: number): void {
    const oldest = this.waiting.at(0);
    if (oldest && this.now() - oldest.sinceMs > BEHIND_AFTER_MS) throw comeBack();
    if (this.waitingEvents > 0 && this.waitingEvents + events > WAITING_EVENTS_MAX) throw comeBack();
  }

  /**
   * The same at the end of a caller's transaction, which it commits: what the caller did and the events are one.
   */
  async acceptIn(tx: Tx, request: AcceptRequest): Promise<AcceptResult[]> {
    const [answer] = await this.acceptGroup(tx, [request]);
    if (answer instanceof Problem) throw answer;
    return answer.results;
  }

  private startGroups(): void {
    this.dropOverdue();
    while (this.waiting.length > 0 && this.mayStartGroup()) {
      const group = this.takeGroup();
      const events = eventsOf(group);
      this.metrics.acceptGroupSize.observe(events);
      this.groups++;
      this.waitingEvents -= events;
      this.acceptingEvents += events;
      void this.runGroup(group).finally(() => {
        this.groups--;
        this.acceptingEvents -= events;
        this.startGroups();
      });
    }
  }

  private mayStartGroup(): boolean {
    if (this.groups === 0) return true;
    if (this.groups >= GROUPS_AT_ONCE) return false;
    return this.acceptingEvents <= SMALL_GROUP_EVENTS || this.waitingEvents >= GROUP_EVENTS_MAX;
  }

  private takeGroup(): Waiting[] {
    let events = 0;
    let count = 0;
    while (
      count < this.waiting.length &&
      (count === 0 || events + this.waiting[count].request.events.length <= GROUP_EVENTS_MAX)
    )
      events += this.waiting[count++].request.events.length;
    return this.waiting.splice(0, count);
  }

  private dropOverdue(): void {
    const latestMs = this.now() - WAITING_MS_MAX;
    const first = this.waiting.findIndex(({ sinceMs }) => sinceMs >= latestMs);
    const overdue = this.waiting.splice(0, first < 0 ? this.waiting.length : first);
    this.waitingEvents -= eventsOf(overdue);
    for (const { reject } of overdue) reject(comeBack());
  }

  private now(): number {
    return this.options.monotonic?.() ?? performance.now();
  }

  private async runGroup(group: Waiting[]): Promise<void> {
    try {
      const requests = group.map((each) => each.request);
      // Of all that are in the group, whichever of them it was that started it.
      const scopes = requests.map(({ scope }) => scope);
      const answers = await inScopes(scopes, () =>
        this.database.hotTransaction((tx) => this.acceptGroup(tx, requests)),
      );
      group.forEach((each, at) => settle(each, answers[at]));
    } catch (error) {
      // One request that the database refuses must not take the others of its group with it.
      if (group.length > 1 && !isConnectionFailure(error))
        for (const each of group) await this.runGroup([each]);
      else for (const each of group) each.reject(error);
    }
  }

  private async acceptGroup(tx: Tx, requests: AcceptRequest[]): Promise<(AcceptAnswer | Problem)[]> {
    // Side by side: what a repeated request names is read for nothing, and nobody waits for two answers one after the other.
    const [answers, known] = await Promise.all([
      this.claimKeys(tx, requests),
      this.readCatalogue(tx, acceptable(requests)),
    ]);
    const fresh = requests.filter((_, at) => answers[at] === undefined);
    const events = fresh.flatMap((request) =>
      request.events.map((event) => ({ event, scope: request.scope })),
    );

    const now = this.clock.now();
    const catalogue = await this.withNewTypes(tx, known, acceptable(fresh));
    const plans = events.map(({ event, scope }) => {
      if (event instanceof Problem) return event;
      return planEvent(event, visibleTo(scope, catalogue), now, this.random);
    });
    refuseTooManyDeliveries(fresh, plans);
    const room = new BacklogRoom(catalogue.subscribers, this.options.backlogPerSubscriberMax);
    const results = await this.admit(tx, plans, room);
    let at = 0;
    for (const [r, request] of requests.entries()) {
      if (answers[r] !== undefined) continue;
      const own = request.events.map(() => {
        const result = results[at] ?? resultOf(plans[at] as PlannedEvent);
        at++;
        return result;
      });
      answers[r] = { results: own, replayed: false };
    }
    const stored = plans.filter(
      (plan, n): plan is PlannedEvent => results[n] === undefined && !(plan instanceof Problem),
    );
    await this.store(tx, stored, answersToStore(requests, answers as (AcceptAnswer | Problem)[]));
    return answers as (AcceptAnswer | Problem)[];
  }

  /** An answer for each request that has one already: replayed, refused, or in use; undefined for those to accept. */
  private async claimKeys(
    tx: Tx,
    requests: AcceptRequest[],
  ): Promise<(AcceptAnswer | Problem | undefined)[]> {
    const answers: (AcceptAnswer | Problem | undefined)[] = requests.map(() => undefined);
    const seen = new Set<string>();
    const claiming: { at: number; claim: IdempotencyClaim }[] = [];
    for (const [at, { idempotency: claim }] of requests.entries()) {
      if (!claim) continue;
      const name = `${claim.scope} ${claim.key}`;
      if (seen.has(name)) answers[at] = inUse();
      else claiming.push({ at, claim });
      seen.add(name);
    }
    if (claiming.length === 0) return answers;
    const claims = await idempotencyRepository.claim(
      tx,
      claiming.map(({ claim }) => claim),
    );
    for (const [c, { at }] of claiming.entries()) {
      const claim = claims[c];
      if (claim === 'in_use') answers[at] = inUse();
      else if (claim === 'reused')
        answers[at] = new Problem(
          'idempotency_key_reused',
          'This Idempotency-Key was used with another body within the last 24 hours.',
        );
      // Answers to publishers hold ids only and are never sealed.
      else if (claim === 'destroyed') throw new Error('Bug: the stored answer to a publisher is sealed');
      else if (claim !== 'fresh') answers[at] = { results: revive(claim.response), replayed: true };
    }
    return answers;
  }

  private async readCatalogue(tx: Tx, events: AcceptableEvent[]): Promise<Catalogue> {
    const ids = new Set<string>();
    const externalIds = new Set<string>();
    for (const { subscriber } of events)
      if ('id' in subscriber) ids.add(subscriber.id);
      else externalIds.add(subscriber.externalId);
    const [subscribers, versions] = await Promise.all([
      acceptRepository.resolveSubscribers(tx, [...ids], [...externalIds]),
      acceptRepository.resolveEventTypes(tx, namesOf(events)),
    ]);
    return { subscribers, versions };
  }

  /** The same catalogue, with the types and versions that these events name and nobody has registered, where they may be. */
  private async withNewTypes(tx: Tx, catalogue: Catalogue, events: AcceptableEvent[]): Promise<Catalogue> {
    if (!this.options.autoCreateEventTypes) return catalogue;
    const { subscribers, versions } = catalogue;
    const missing = events
      .filter(
        (event) =>
          !event.testOf &&
          !event.notice &&
          !event.type.startsWith(RESERVED_PREFIX) &&
          !versions.get(event.type)?.includes(event.version ?? versions.get(event.type)?.[0] ?? ''),
      )
      .map((event) => ({ name: event.type, version: event.version ?? '1' }));
    if (missing.length === 0) return catalogue;
    await acceptRepository.createEventTypes(tx, missing);
    return { subscribers, versions: await acceptRepository.resolveEventTypes(tx, namesOf(events)) };
  }

  /** Undefined for each event to store. The others: why they are refused, or the answer of the event that has their id already. */
  private async admit(
    tx: Tx,
    plans: (PlannedEvent | Problem)[],
    room: BacklogRoom,
  ): Promise<(AcceptResult | undefined)[]> {
    const taken = await this.findTaken(tx, plans);
    return plans.map((plan) => {
      if (plan instanceof Problem) return plan;
      const { id } = plan.event;
      const first = plan.ownId && taken.get(id);
      // It makes nothing new, so it needs no room.
      if (first) return answerOfFirst(first, plan);
      const refusal = room.take(plan);
      // One of the same id behind an event that is refused is no repetition of it.
      if (!refusal && plan.ownId) taken.set(id, knownEvent(plan));
      return refusal;
    });
  }

  /** The events of all that have an id that a publisher chose in this group. */
  private async findTaken(tx: Tx, plans: (PlannedEvent | Problem)[]): Promise<Map<string, KnownEvent>> {
    const ids = [...new Set(this.ownIds(plans))].sort();
    if (ids.length === 0) return new Map();
    await acceptRepository.lockEventIds(tx, ids);
    const found = await tx.asSystem(() => acceptRepository.findEvents(tx, ids));
    return new Map(found.map((row) => [row.id, row]));
  }

  private *ownIds(plans: (PlannedEvent | Problem)[]): Generator<string> {
    for (const plan of plans) if (!(plan instanceof Problem) && plan.ownId) yield plan.event.id;
  }

  /** The end of T1. The lanes are locked by the last statement before the commit, which follows without a wait. */
  private async store(
    tx: Tx,
    plans: PlannedEvent[],
    answers: (IdempotencyClaim & StoredAnswer)[],
  ): Promise<void> {
    const deliveries = plans.flatMap((plan) => plan.deliveries);
    const queued = deliveries.filter((delivery) => delivery.place === 'queued');
    const tickets = queued.map((delivery) => ({
      deliveryId: delivery.id,
      endpointId: delivery.endpointId,
      priority: ticketPriority(delivery),
    }));
    const works: (() => Promise<unknown>)[] = [];
    if (answers.length > 0) works.push(() => idempotencyRepository.store(tx, answers));
    if (tickets.length > 0) works.push(() => this.queue.insert(tx, tickets, { notify: false }));
    const keys = keysOf(deliveries);
    if (keys.length > 0) works.push(() => orderingRepository.enter(tx, keys));
    if (plans.length > 0) {
      const events = plans.map((plan) => plan.event);
      works.push(() => acceptRepository.insert(tx, events, deliveries, noticeOf(keys, tickets.length > 0)));
    }
    await tx.commitWith(works);
  }
}

function acceptable(requests: readonly AcceptRequest[]): AcceptableEvent[] {
  return requests.flatMap(({ events }) => events.filter(isAcceptable));
}

function isAcceptable(event: AcceptableEvent | Problem): event is AcceptableEvent {
  return !(event instanceof Problem);
}

function namesOf(events: readonly AcceptableEvent[]): string[] {
  return [...new Set(events.map((event) => event.type))];
}

/** The ordering keys that get something new, each once and in one order: two groups never wait in a circle. */
function keysOf(deliveries: NewDelivery[]): OrderingKey[] {
  const keys = new Map<string, OrderingKey>();
  for (const { endpointId, subscriberId, orderingKey: key, place } of deliveries)
    if (key !== null && place !== 'cancelled')
      keys.set(`${endpointId} ${key}`, { endpointId, subscriberId, key });
  return [...keys.values()];
}

function noticeOf(keys: OrderingKey[], tickets: boolean): string | null {
  if (keys.length > 0)
    return dueNoticePayload({ endpointIds: [...new Set(keys.map(({ endpointId }) => endpointId))] });
  return tickets ? dueNoticePayload('firsts') : null;
}

/** A batch whose events fan out beyond what one transaction can write: those past the bound are refused, by themselves. */
function refuseTooManyDeliveries(requests: AcceptRequest[], plans: (PlannedEvent | Problem)[]): void {
  let at = 0;
  for (const { events } of requests) {
    let deliveries = 0;
    for (const end = at + events.length; at < end; at++) {
      const plan = plans[at];
      if (plan instanceof Problem) continue;
      deliveries += plan.deliveries.length;
      if (deliveries > BATCH_DELIVERIES_MAX)
        plans[at] = new Problem(
          'limit_reached',
          `One request may make ${BATCH_DELIVERIES_MAX} deliveries; send this event and the ones after it in another.`,
          { limit: BATCH_DELIVERIES_MAX },
        );
    }
  }
}

function knownEvent({ event }: PlannedEvent): KnownEvent {
  const { id, subscriberId, type, version, matched } = event;
  return { id, subscriber_id: subscriberId, type, version, data_hash: sha256(event.data), matched };
}

/** To an event whose id is taken: what the first one was answered, when it is the same. */
function answerOfFirst(first: KnownEvent, { event }: PlannedEvent): AcceptResult {
  if (
    first.subscriber_id === event.subscriberId &&
    first.type === event.type &&
    first.version === event.version &&
    first.data_hash?.equals(sha256(event.data))
  )
    return { id: toPublicId('evt', event.id), deliveries: first.matched };
  return new Problem('event_id_in_use', 'Another event, with other content, has this id.', {
    errors: [{ pointer: '/id', detail: 'is taken' }],
  });
}

function sha256(data: string): Buffer {
  return createHash('sha256').update(data).digest();
}

/** A single event that was refused is not stored: its publisher mends it and uses the same key again. */
function answersToStore(
  requests: AcceptRequest[],
  answers: (AcceptAnswer | Problem)[],
): (IdempotencyClaim & StoredAnswer)[] {
  return requests.flatMap((request, at) => {
    const answer = answers[at];
    if (!request.idempotency || answer instanceof Problem || answer.replayed) return [];
    if (answer.results.every((result) => result instanceof Problem)) return [];
    return [{ ...request.idempotency, statusCode: 202, response: JSON.stringify(answer.results) }];
  });
}

function settle(waiting: Waiting, answer: AcceptAnswer | Problem): void {
  if (answer instanceof Problem) waiting.reject(answer);
  else waiting.resolve(answer);
}

function eventsOf(group: readonly Waiting[]): number {
  return group.reduce((sum, { request }) => sum + request.events.length, 0);
}

function comeBack(): Problem {
  return new Problem(
    'unavailable',
    'More events are waiting than are stored in time. Nothing was changed; try again.',
    {
      retryAfterSeconds: 2,
    },
  );
}

/** A key bound to one subscriber finds no other: the answer for another's and for none is the same. */
function visibleTo(scope: Scope, catalogue: Catalogue): Catalogue {
  const bound = boundTo(scope);
  if (bound === null) return catalogue;
  return { ...catalogue, subscribers: catalogue.subscribers.filter((subscriber) => subscriber.id === bound) };
}

function resultOf({ event, deliveries }: PlannedEvent): AcceptedEvent {
  const result: AcceptedEvent = { id: toPublicId('evt', event.id), deliveries: deliveries.length };
  if (deliveries.length === 0) result.note = 'no_matching_endpoint';
  else if (deliveries.every((delivery) => delivery.place === 'cancelled'))
    result.note = 'only_disabled_endpoints';
  if (deliveries[0]?.trigger === 'test') result.delivery = toPublicId('dlv', deliveries[0].id);
  return result;
}

function inUse(): Problem {
  return new Problem(
    'idempotency_key_in_use',
    'A request with this Idempotency-Key is still running; ask again for its answer.',
    {
      retryAfterSeconds: 1,
    },
  );
}

function revive(response: string): AcceptResult[] {
  const results = JSON.parse(response) as (
    AcceptedEvent | { code: Problem['code']; detail: string; extra: Problem['extra'] }
  )[];
  return results.map((result) =>
    'code' in result ? new Problem(result.code, result.detail, result.extra) : result,
  );
}
