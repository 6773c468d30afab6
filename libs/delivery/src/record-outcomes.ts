import type { Logger, Metrics } from '@app/observability';
import {
  isConnectionFailure,
  isDataError,
  isLockConflict,
  noticesRepository,
  orderingRepository,
  recordRepository,
  violatedUnique,
  type Database,
  type LaneChange,
  type LaneRoom,
  type NewNotice,
  type OrderingKeyChange,
  type OutcomeRecord,
  type Proof,
  type RecordedOutcome,
  type Tx,
} from '@app/persistence';
import type { DeliverQueue, NewTicket } from '@app/queue';
import {
  FAILURES,
  newId,
  ticketPriority,
  toPublicId,
  uuidTimeMs,
  type FailureClass,
  type Random,
  type Trigger,
} from '@app/domain';
import type { CountAttempts } from './count-attempts.js';
import type { DisabledBecause, EndpointSignals, LaneSignals } from './lane-signals.js';
import { promoteHeld, unchanged } from './promote-held.js';
import type { Promote, Successors } from './successors.js';

/** A finished ticket, as the pump hands it over. */
export interface FinishedTicket extends OutcomeRecord {
  eventId: string;
  trigger: Trigger;
  critical: boolean;
  /** Whose turn it was among the deliveries of its endpoint; null when it waits for nobody. */
  orderingKey: string | null;
  /** What a failure for good means for those behind it. */
  orderedFailure: 'block' | 'skip';
  /** How long the receiver asked us to wait. */
  retryAfterSeconds: number | null;
  /** The endpoint is to be disabled for what the receiver said. */
  disable: DisabledBecause | null;
  /** The endpoint has proved that it wants deliveries. */
  proof: Proof | null;
  /** Somebody is to be told when it fails for good. */
  failureIsTold: boolean;
}

type SettledLane = LaneRoom & { turns: boolean; delivered: number };

/** A worker that takes on what follows on its own deliveries. */
export interface TakesOn {
  successors: Successors;
  /** Asks for as much as there is room for, and keeps what it gets. */
  takeOn(promote: Promote): Promise<void>;
}

// One commit's fsync serves a whole group. Above the slots of a worker: a burst of quick receivers is one group.
const GROUP_MAX = 512;
// The database is away or refuses: tried again soon, but not in a loop that eats the processor.
const AGAIN_MS = 250;
// Five seconds of trying again, within what a stop may take.
const REFUSALS_WHILE_STOPPING_MAX = 20;

/**
 * T2: what became of every ticket that finished while the last group committed, written together: attempts, deliveries,
 * lanes, the tickets that end and the ones that follow. Outcomes wait here until the database has them: they are the
 * only copy of what a receiver answered.
 *
 * One group at a time: two, side by side, were half as large each, and a tenth dearer (docs/adr/0014). What follows from a
 * group (promotions, circuits) goes on beside the next one.
 */
export class RecordOutcomes {
  private waiting: FinishedTicket[] = [];
  private running: Promise<void> | null = null;
  private following: Promise<void> = Promise.resolve();
  private stopping = false;
  private refusedWhileStopping = 0;

  constructor(
    private readonly database: Pick<Database, 'hotTransaction'>,
    private readonly queue: Pick<DeliverQueue, 'insert' | 'notify'>,
    private readonly lanes: Pick<LaneSignals, 'apply'>,
    private readonly counts: Pick<CountAttempts, 'count'>,
    private readonly random: Random,
    private readonly metrics: Metrics,
    private readonly logger: Logger,
    /** Called when tickets are no longer this worker's, whatever became of them. */
    private readonly onRecorded: (deliveryIds: string[], madeWork: boolean) => void,
    /** Of a worker; without it all that has room goes by way of the queue. */
    private readonly takesOn: TakesOn | null = null,
  ) {}

  /** Outcomes that are not in the database yet. */
  get backlog(): number {
    return this.waiting.length;
  }

  add(outcome: FinishedTicket): void {
    this.waiting.push(outcome);
    this.running ??= this.run();
  }

  /** Resolves when everything is written, or after the database has refused once while stopping. */
  async drain(): Promise<void> {
    this.stopping = true;
    do {
      while (this.running) await this.running;
      // Tickets that were taken on meanwhile are given back.
      await this.following;
    } while (this.running);
  }

  private async run(): Promise<void> {
    // The outcomes of one turn of the event loop belong together.
    await new Promise(setImmediate);
    let lost = false;
    while (this.waiting.length > 0 && !lost) {
      const group = this.takeGroup();
      try {
        await this.recordGroup(group);
      } catch (error) {
        lost = await this.recover(group, error);
      }
    }
    // At once: what comes next begins another run.
    this.running = null;
  }

  /**
   * At most one outcome of each delivery. A worker that slept over its claim may have claimed the delivery again, and
   * two outcomes in one statement would both be the attempt after the last.
   */
  private takeGroup(): FinishedTicket[] {
    const group = new Map<string, FinishedTicket>();
    const second: FinishedTicket[] = [];
    for (const outcome of this.waiting.splice(0, GROUP_MAX))
      if (group.has(outcome.deliveryId)) second.push(outcome);
      else group.set(outcome.deliveryId, outcome);
    this.waiting.unshift(...second);
    // In order of id, as a heartbeat touches them: the statement locks jobs in the order in which they stand here.
    return [...group.values()].sort((a, b) => (a.deliveryId < b.deliveryId ? -1 : 1));
  }

  private async recordGroup(group: FinishedTicket[]): Promise<void> {
    const end = this.metrics.recordSeconds.startTimer();
    this.metrics.recordGroupSize.observe(group.length);
    const { rows, lanes, madeWork } = await this.database.hotTransaction((tx) => this.record(tx, group));
    end();
    this.onRecorded(
      group.map((outcome) => outcome.deliveryId),
      madeWork,
    );
    const byId = new Map(rows.map((row) => [row.id, row]));
    for (const outcome of group) this.tell(outcome, byId.get(outcome.deliveryId));
    this.countAttempts(group);
    await this.following;
    // These outcomes are written, whatever becomes of what follows from them: loops make up for what fails.
    this.following = this.follow(group, byId, lanes).catch((error: unknown) =>
      this.logger.warn({ err: error, lanes: lanes.length }, 'promotion.failed'),
    );
  }

  /** Tells the lanes what happened, and gives places where there is room now. */
  private async follow(
    group: FinishedTicket[],
    byId: Map<string, RecordedOutcome>,
    lanes: SettledLane[],
  ): Promise<void> {
    const attentive = new Set(lanes.filter((lane) => lane.attentive).map((lane) => lane.endpointId));
    const signals = signalsOf(group, byId).filter((each) => attentive.has(each.endpointId) || each.proof);
    if (signals.length > 0) await this.lanes.apply(signals);
    const { takesOn } = this;
    takesOn?.successors.count(lanes);
    const promote: Promote = async (max, inHand) => {
      const takes = takesOn?.successors.take(max);
      // What is in hand brings another group, and this lane's next portion with it: in the queue it would cost a claim.
      const open = lanes.filter(
        (lane) => (lane.promote > 0 && !inHand.has(lane.endpointId)) || lane.attentive || lane.turns,
      );
      const wanted = [...new Set([...(takes?.keys() ?? []), ...open.map(({ endpointId }) => endpointId)])];
      return wanted.length === 0 ? [] : (await promoteHeld(this.database, this.queue, wanted, takes)).inHand;
    };
    await (takesOn ? takesOn.takeOn(promote) : promote(0, new Set()));
  }

  /** T2. The lanes are locked by the last statement before the commit, which follows without a wait. */
  private async record(
    tx: Tx,
    group: FinishedTicket[],
  ): Promise<{ rows: RecordedOutcome[]; lanes: SettledLane[]; madeWork: boolean }> {
    // Not waited for: the connection is in pipeline mode, so the next statement follows at once.
    const locked = recordRepository.lock(
      tx,
      group.map((outcome) => outcome.deliveryId),
    );
    const recorded = recordRepository.record(tx, group);
    // When the locks were not to be had, it only says that the transaction is over: why is told by what went before.
    recorded.catch(() => undefined);
    await locked;
    const rows = await recorded;
    const byId = new Map(rows.map((row) => [row.id, row]));
    const next: NewTicket[] = [];
    for (const outcome of group)
      if (
        byId.get(outcome.deliveryId)?.applied &&
        outcome.next.status === 'pending' &&
        outcome.next.place !== 'held'
      )
        next.push({
          deliveryId: outcome.deliveryId,
          endpointId: outcome.endpointId,
          inSeconds: outcome.next.inSeconds,
          priority: ticketPriority({ critical: outcome.critical, trigger: triggerAfter(outcome) }),
        });
    const madeWork = next.some((ticket) => !ticket.inSeconds);
    const applied = group.filter((outcome) => byId.get(outcome.deliveryId)?.applied);
    const changes = laneChanges(applied, byId);
    const turns = turnsOver(applied);
    const notices = applied.flatMap((outcome) => failureNotice(outcome, this.random));

    let room: LaneRoom[] = [];
    const works: (() => Promise<unknown>)[] = [];
    if (next.length > 0) works.push(() => this.queue.insert(tx, next, { notify: false }));
    if (madeWork) works.push(() => this.queue.notify(tx, 'tickets'));
    if (notices.length > 0) works.push(() => noticesRepository.add(tx, notices));
    if (turns.length > 0) works.push(() => orderingRepository.settle(tx, turns));
    if (changes.length > 0) works.push(async () => (room = await recordRepository.settleLanes(tx, changes)));
    await tx.commitWith(works);
    const turning = new Set(turns.map(({ endpointId }) => endpointId));
    const delivered = firstsDelivered(applied);
    const lanes = room.map((lane) => ({
      ...lane,
      turns: turning.has(lane.endpointId),
      delivered: delivered.get(lane.endpointId) ?? 0,
    }));
    return { rows, lanes, madeWork };
  }

  /** Answers whether to give up for now: only while stopping, when the tickets' expiry will bring them back. */
  private async recover(group: FinishedTicket[], error: unknown): Promise<boolean> {
    this.logger.error({ err: error, outcomes: group.length }, 'outcomes.failed');
    if (isDataError(error)) {
      if (group.length > 1) {
        // One row that the database cannot hold must not keep the others from being written.
        for (const outcome of group)
          await this.recordGroup([outcome]).catch((each: unknown) => this.recover([outcome], each));
        return false;
      }
      const [outcome] = group;
      // The attempt is there: the connection broke between the commit and its answer.
      if (violatedUnique(error)?.startsWith(ATTEMPTS)) {
        this.onRecorded([outcome.deliveryId], false);
        return false;
      }
      if (outcome.attempt && outcome.attempt.note !== REFUSED_NOTE) {
        const bare = {
          failureDetail: null,
          responseHeaders: null,
          responseBody: null,
          responseEncoding: null,
          note: REFUSED_NOTE,
        };
        this.waiting.unshift({ ...outcome, attempt: { ...outcome.attempt, ...bare } });
        return false;
      }
      // Refused even without the response: our bug. The claim runs out and the delivery is tried again.
      this.onRecorded([outcome.deliveryId], false);
      return false;
    }
    this.waiting.unshift(...group);
    // Their claims run out, and other workers repeat them. Who holds a lock lets go of it; a database that is away stays away.
    const isAway = isConnectionFailure(error) && !isLockConflict(error);
    if (this.stopping && (isAway || ++this.refusedWhileStopping > REFUSALS_WHILE_STOPPING_MAX)) return true;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    return false;
  }

  /** By group: labels are checked and hashed each time. */
  private countAttempts(group: FinishedTicket[]): void {
    const counts = new Map<string, number>();
    for (const { attempt } of group) {
      if (!attempt) continue;
      const failure = attempt.failure ?? 'none';
      counts.set(failure, (counts.get(failure) ?? 0) + 1);
    }
    for (const [failure, n] of counts)
      this.metrics.attempts.inc({ status: failure === 'none' ? 'delivered' : 'failed', failure }, n);
  }

  private tell(outcome: FinishedTicket, row: RecordedOutcome | undefined): void {
    const { attempt, next } = outcome;
    if (!attempt) return;
    const late = row?.applied !== true;
    if (late) this.metrics.lateOutcomes.inc();
    this.counts.count(outcome.endpointId, outcome.subscriberId, attempt);
    this.metrics.attemptSeconds.observe(attempt.totalMs / 1000);
    if (!this.logger.isLevelEnabled('info')) return;
    this.logger.info(
      {
        delivery: toPublicId('dlv', outcome.deliveryId),
        event: toPublicId('evt', outcome.eventId),
        endpoint: toPublicId('ep', outcome.endpointId),
        n: row?.n,
        trigger: outcome.trigger,
        status: attempt.status,
        failure: attempt.failure,
        statusCode: attempt.statusCode,
        ms: Math.round(attempt.totalMs * 10) / 10,
        late,
        next: late
          ? undefined
          : next.status === 'pending'
            ? `again in ${Math.round(next.inSeconds)} s`
            : next.status,
      },
      'delivery.attempted',
    );
  }
}

const REFUSED_NOTE = 'the response could not be stored';
// How the names of their keys begin, whatever the day.
const ATTEMPTS = 'attempts';

/** What these applied outcomes change in each lane. */
function laneChanges(applied: FinishedTicket[], byId: Map<string, RecordedOutcome>): LaneChange[] {
  const changes = new Map<string, LaneChange>();
  for (const outcome of applied) {
    const { endpointId, next } = outcome;
    let change = changes.get(endpointId);
    if (!change) changes.set(endpointId, (change = unchanged(endpointId)));
    count(change, byId.get(outcome.deliveryId)!.oldPlace, -1);
    if (next.status === 'pending') count(change, next.place, 1);
    const said = verdictOf(outcome);
    if (said === 'success') change.successes++;
    if (said === 'failure' || outcome.disable) change.troubled = true;
  }
  return [...changes.values()];
}

function count(change: LaneChange, place: 'queued' | 'held' | 'waiting' | null, by: number): void {
  if (place !== null) change[place] += by;
}

/** Of each endpoint: what follows on a retry or a critical one goes by way of the queue. */
function firstsDelivered(applied: FinishedTicket[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const outcome of applied)
    if (outcome.next.status === 'delivered' && ticketPriority(outcome) === 1)
      counts.set(outcome.endpointId, (counts.get(outcome.endpointId) ?? 0) + 1);
  return counts;
}

/** What an attempt says of its receiver: nothing, when it failed for our or the configuration's sake. */
function verdictOf({ attempt }: FinishedTicket): 'success' | 'failure' | null {
  if (!attempt) return null;
  if (attempt.status === 'delivered') return 'success';
  return FAILURES[attempt.failure as FailureClass].chargeTo === 'receiver' ? 'failure' : null;
}

/** What the group says of each endpoint, in the order in which its attempts ended. */
function signalsOf(group: FinishedTicket[], byId: Map<string, RecordedOutcome>): EndpointSignals[] {
  const ended = group
    .filter((outcome) => byId.get(outcome.deliveryId)?.applied && outcome.attempt)
    .sort((a, b) => a.attempt!.finishedAt.getTime() - b.attempt!.finishedAt.getTime());
  const endpoints = new Map<string, EndpointSignals>();
  for (const outcome of ended) {
    let endpoint = endpoints.get(outcome.endpointId);
    if (!endpoint)
      endpoints.set(
        outcome.endpointId,
        (endpoint = {
          endpointId: outcome.endpointId,
          subscriberId: outcome.subscriberId,
          signals: [],
          disable: null,
          proof: null,
          tested: false,
        }),
      );
    endpoint.disable ??= outcome.disable;
    endpoint.proof ??= outcome.proof;
    const kind = verdictOf(outcome);
    if (kind === 'success' && outcome.trigger === 'test') endpoint.tested = true;
    if (kind)
      endpoint.signals.push({
        at: outcome.attempt!.finishedAt,
        deliveryId: outcome.deliveryId,
        kind,
        failure: outcome.attempt!.failure as FailureClass | null,
        retryAfterSeconds: outcome.retryAfterSeconds,
      });
  }
  return [...endpoints.values()];
}

/** Keys whose delivery is over, or held again: the next one's turn, unless a failure blocks them. In the order of locking. */
function turnsOver(applied: FinishedTicket[]): OrderingKeyChange[] {
  return applied
    .flatMap(({ orderingKey: key, endpointId, deliveryId, next, orderedFailure }): OrderingKeyChange[] => {
      if (key === null || (next.status === 'pending' && next.place !== 'held')) return [];
      const blocks = next.status === 'failed' && orderedFailure === 'block';
      return [{ endpointId, key, deliveryId, state: blocks ? 'blocked' : 'ready' }];
    })
    .sort((a, b) => (a.endpointId + a.key < b.endpointId + b.key ? -1 : 1));
}

/** A retry from now on, unless it is one already in another name. As the record statement writes it. */
function triggerAfter({ trigger, attempt }: FinishedTicket): Trigger {
  return attempt && trigger !== 'test' ? 'retry' : trigger;
}

function failureNotice(outcome: FinishedTicket, random: Random): NewNotice[] {
  const { next, failureIsTold } = outcome;
  if (next.status !== 'failed' || !failureIsTold) return [];
  const { deliveryId, subscriberId, endpointId } = outcome;
  const detail = { failure: next.failure, gaveUp: next.gaveUp };
  const at = outcome.attempt?.finishedAt.getTime() ?? uuidTimeMs(deliveryId);
  return [{ id: newId(at, random), subscriberId, endpointId, kind: 'delivery.failed', deliveryId, detail }];
}
