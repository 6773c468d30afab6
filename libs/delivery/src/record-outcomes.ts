import type { Logger, Metrics } from '@app/observability';
import {
  isConnectionFailure,
  isDataError,
  recordRepository,
  violatedUnique,
  type Database,
  type LaneChange,
  type LaneRoom,
  type OutcomeRecord,
  type RecordedOutcome,
  type Tx,
} from '@app/persistence';
import type { DeliverQueue, NewTicket, Ticket } from '@app/queue';
import { toPublicId } from '@app/domain';
import { promoteHeld } from './promote-held.js';

/** A finished ticket, as the pump hands it over. */
export interface FinishedTicket extends OutcomeRecord {
  eventId: string;
  trigger: string;
}

// One commit's fsync serves a whole group. Above the slots of a worker: a burst of quick receivers is one group.
const GROUP_MAX = 512;
// While one group waits for its commit the next is on its way. They touch other deliveries, and lanes in one order.
const GROUPS_AT_ONCE = 2;
// The database is away or refuses: tried again soon, but not in a loop that eats the processor.
const AGAIN_MS = 250;
// Five seconds of trying again, within what a stop may take.
const REFUSALS_WHILE_STOPPING_MAX = 20;

/**
 * T2: what became of every ticket that finished while the last group committed, written together: attempts, deliveries,
 * lanes, the tickets that end and the ones that follow. Outcomes wait here until the database has them: they are the
 * only copy of what a receiver answered.
 */
export class RecordOutcomes {
  private waiting: FinishedTicket[] = [];
  private readonly running = new Set<Promise<void>>();
  private stopping = false;
  private refusedWhileStopping = 0;

  constructor(
    private readonly database: Database,
    private readonly queue: Pick<DeliverQueue, 'settle' | 'insert' | 'notify'>,
    private readonly metrics: Metrics,
    private readonly logger: Logger,
    /** Called when tickets are no longer this worker's, whatever became of them. */
    private readonly onRecorded: (deliveryIds: string[], madeWork: boolean) => void,
  ) {}

  /** Outcomes that are not in the database yet. */
  get backlog(): number {
    return this.waiting.length;
  }

  add(outcome: FinishedTicket): void {
    this.waiting.push(outcome);
    if (this.running.size < GROUPS_AT_ONCE) this.startRun();
  }

  private startRun(): void {
    const run = this.run().finally(() => this.running.delete(run));
    this.running.add(run);
  }

  /** Resolves when everything is written, or after the database has refused once while stopping. */
  async drain(): Promise<void> {
    this.stopping = true;
    while (this.running.size > 0) await Promise.all(this.running);
  }

  private async run(): Promise<void> {
    // The outcomes of one turn of the event loop belong together.
    await new Promise(setImmediate);
    while (this.waiting.length > 0) {
      const group = this.takeGroup();
      try {
        await this.recordGroup(group);
      } catch (error) {
        const lost = await this.recover(group, error);
        if (lost) return;
      }
    }
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
    const { rows, room, madeWork } = await this.database.hotTransaction((tx) => this.record(tx, group));
    end();
    this.onRecorded(
      group.map((outcome) => outcome.deliveryId),
      madeWork,
    );
    const byId = new Map(rows.map((row) => [row.id, row]));
    for (const outcome of group) this.tell(outcome, byId.get(outcome.deliveryId));
    // These outcomes are written, whatever becomes of the promotion: a loop makes up for one that fails.
    if (room.length > 0)
      await promoteHeld(this.database, this.queue, room).catch((error: unknown) =>
        this.logger.warn({ err: error, lanes: room.length }, 'promotion.failed'),
      );
  }

  /** T2. The lanes are locked by the last statement before the commit, which follows without a wait. */
  private async record(
    tx: Tx,
    group: FinishedTicket[],
  ): Promise<{ rows: RecordedOutcome[]; room: LaneRoom[]; madeWork: boolean }> {
    const rows = await recordRepository.record(tx, group);
    const byId = new Map(rows.map((row) => [row.id, row]));
    // A ticket ends with its outcome, or because its delivery is over or gone. Any other is somebody else's by now.
    const ending = group.filter((outcome) => {
      const row = byId.get(outcome.deliveryId);
      return !row || row.applied || row.over;
    });
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
        });
    const madeWork = next.some((ticket) => !ticket.inSeconds);
    const changes = laneChanges(group, byId);

    let room: LaneRoom[] = [];
    const works: (() => Promise<unknown>)[] = [];
    if (ending.length > 0) works.push(() => this.queue.settle(tx, ending.map(ticketOf)));
    if (next.length > 0) works.push(() => this.queue.insert(tx, next, { notify: false }));
    if (madeWork) works.push(() => this.queue.notify(tx));
    if (changes.length > 0) works.push(async () => (room = await recordRepository.settleLanes(tx, changes)));
    await tx.commitWith(works);
    return { rows, room: room.filter((lane) => lane.promote > 0), madeWork };
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
      if (violatedUnique(error) !== undefined) {
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
    // Their claims run out, and other workers repeat them.
    if (
      this.stopping &&
      (isConnectionFailure(error) || ++this.refusedWhileStopping > REFUSALS_WHILE_STOPPING_MAX)
    )
      return true;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    return false;
  }

  private tell(outcome: FinishedTicket, row: RecordedOutcome | undefined): void {
    const { attempt, next } = outcome;
    if (!attempt) return;
    const late = row?.applied !== true;
    if (late) this.metrics.lateOutcomes.inc();
    this.metrics.attempts.inc({ status: attempt.status, failure: attempt.failure ?? 'none' });
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

/** What this group changes in each lane that it changes. */
function laneChanges(group: FinishedTicket[], byId: Map<string, RecordedOutcome>): LaneChange[] {
  const changes = new Map<string, LaneChange>();
  const count = (endpointId: string, place: string | null, by: number): void => {
    let change = changes.get(endpointId);
    if (!change) changes.set(endpointId, (change = { endpointId, queued: 0, held: 0 }));
    if (place === 'queued') change.queued += by;
    else if (place === 'held') change.held += by;
  };
  for (const { deliveryId, endpointId, next } of group) {
    const row = byId.get(deliveryId);
    if (!row?.applied) continue;
    count(endpointId, row.oldPlace, -1);
    if (next.status === 'pending') count(endpointId, next.place, 1);
  }
  return [...changes.values()].filter((change) => change.queued !== 0 || change.held !== 0);
}

function ticketOf(outcome: FinishedTicket): Ticket {
  return { deliveryId: outcome.deliveryId, endpointId: outcome.endpointId, retryCount: outcome.retryCount };
}
